"""Accuracy and loss over training steps, on a logarithmic or a linear axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from undergrowth.explore.arrays import Frames
from undergrowth.explore.cast import events_of
from undergrowth.explore.stills import lines
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, percent, sets
from undergrowth.store import Run

READINGS = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
TITLE = "It learns twice"


def curves(story: Story, runs: Mapping[int, Run]) -> Iterator[Scene | LeftOut]:
    """The four curves of each seed's run, as they are stored."""
    if not runs:
        why = "no run of this store is the one that the story is about"
        yield LeftOut(TITLE, why, story.training_command("STORE"))
        return
    first = runs[min(runs)]
    yield Scene(
        "curves",
        TITLE,
        tuple(_beats(first)),
        "Two panels over training steps: accuracy, and loss on a logarithmic axis, each for training "
        "and held-out examples.",
        lines(
            {
                "training": (first["train_accuracy"]["step"].values, first["train_accuracy"].values),
                "held out": (first["val_accuracy"]["step"].values, first["val_accuracy"].values),
            },
            {"training": "var(--train)", "held out": "var(--val)"},
            x="training step (logarithmic)",
            y="accuracy",
        ),
        tuple(of_reading(run, seed, name) for seed, run in runs.items() for name in READINGS),
        {"events": {seed: marks(run) for seed, run in runs.items()}},
        "Every stored evaluation, exactly.",
    )


def of_reading(run: Run, seed: int, name: str, called: str | None = None, since: int = 0) -> Frames:
    """A curve of a run from a step on, as it is stored."""
    values = run[name].dropna("step")
    values = values.where(values["step"] >= since, drop=True)
    return Frames(called or name, run.id, seed, values["step"].values, values.values.astype(np.float32))


def marks(run: Run) -> dict[str, int]:
    """The steps at which it memorised, set off and grokked, as far as it did."""
    return {name: event.first for name, event in events_of(run).items() if event.first is not None}


def accuracy_at(run: Run, side: str, step: int) -> str:
    """Accuracy at the last evaluation up to a step, in per cent."""
    values = run[f"{side}_accuracy"].dropna("step")
    return percent(float(values.sel(step=slice(None, step)).values[-1]), 1)


def _beats(run: Run) -> Iterator[Beat]:
    found = marks(run)
    n = run.spec.data()
    yield paragraph(
        "A network of {} neurons learns {}. It sees {} of the {} pairs; the other {} are held out. "
        "Scroll, and training goes on; or press what is underlined, or drag in any picture. The numbers "
        "in this text are of seed {}.",
        getattr(run.spec.model, "d_mlp", "many"),
        run.spec.task.describe(),
        n.n_train,
        len(n.labels),
        int(n.is_val.sum()),
        run.spec.seeds.model,
        step=0,
        axis="log",
    )
    memorised, onset, grokked = (found.get(name) for name in ("memorised", "onset", "grokked"))
    if memorised is not None:
        rises = _rise(run, memorised)
        yield paragraph(
            "At {} it has memorised: {} of the training examples are right, and {} of those held out.{}",
            sets(f"step {memorised:,}", step=memorised),
            accuracy_at(run, "train", memorised),
            accuracy_at(run, "val", memorised),
            f" Meanwhile the loss of those held out has risen from its lowest, {rises[0]:.2f}, to "
            f"{rises[1]:.2f}; guessing would cost {np.log(run.spec.task.n_labels):.2f}."
            if rises[1] > 1.1 * rises[0]
            else "",
            step=memorised,
        )
    if onset is not None and grokked is not None:
        last = int(run["val_accuracy"]["step"].values[-1])
        on_log = np.log(grokked / onset) / np.log(last)
        yield paragraph(
            "At {} it has grokked: {} of the examples that it has never seen are right. The climb from "
            "{} to there takes {} of the width of a {} axis and {} of a {} one. How sudden grokking "
            "looks is partly a choice of axis.",
            sets(f"step {grokked:,}", step=grokked),
            accuracy_at(run, "val", grokked),
            sets(f"its onset at step {onset:,}", step=onset),
            percent(on_log),
            sets("logarithmic", axis="log"),
            percent((grokked - onset) / last),
            sets("linear", axis="linear"),
            step=grokked,
            axis="linear",
        )


def _rise(run: Run, until: int) -> tuple[float, float]:
    """The lowest loss of held-out examples up to a step, and that at the step."""
    loss = run["val_loss"].dropna("step").sel(step=slice(None, until)).values
    return float(loss.min()), float(loss[-1])
