"""Loss and accuracy of every seed during training, with the steps of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from undergrowth.analysis import Rules, events
from undergrowth.measures import SIDES
from undergrowth.naming import arms_told_apart
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import RULES, Group, Runs, count, groups
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.store.outcomes import diverged_at

EVENTS: dict[EventName, tuple[str, str]] = {
    "memorised": ("train", "circle"),
    "onset": ("val", "diamond"),
    "grokked": ("val", "star"),
}
"""Of each event: the side on whose curve it stands, and its symbol."""
DASHES = ("solid", "9px,3px", "2px,2px", "9px,3px,2px,3px", "14px,4px")
"""Of the arms of a group, where there are several; the same again for more."""
ACCURACY = Scale("accuracy", is_switchable=True, limits=(-0.03, 1.03))
LOSS = Scale("cross-entropy (nats)", "log", is_switchable=True)


def accuracy_figure(runs: Runs, rules: Rules = RULES) -> Figure:
    """Accuracy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, "accuracy", "Accuracy on training and on validation examples", ACCURACY, rules)


def loss_figure(runs: Runs, rules: Rules = RULES) -> Figure:
    """Cross-entropy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, "loss", "Loss on training and on validation examples", LOSS, rules)


def _figure(runs: Runs, quantity: str, title: str, y: Scale, rules: Rules) -> Figure:
    found = groups(runs, *(f"{side}_{quantity}" for side in SIDES), "val_accuracy")
    lines = [line for group in found for line in _lines(group)]
    drawn = [run for group in found for run in group.runs]
    points = [*_events(drawn, quantity, rules), *_ends(drawn, quantity)]
    frames = [*(line.table(quantity) for line in lines), *([pd.DataFrame(points)] if points else [])]
    looks = {line.legend: line.look for line in lines}
    for event, (side, symbol) in EVENTS.items():
        size = 13 if symbol == "star" else 10
        looks[event] = Look(theme.SIDES[side], symbol=symbol, size=size)
        looks[_of_shuffled(event)] = Look(theme.CONTROL_SIDES[side], symbol=f"{symbol}-open", size=size)
    told = "; ".join(f"{event}, {rules.describe(event)}" for event in EVENTS)
    return chart(
        quantity,
        title,
        f"One line per run: {count(found)}. Markers are at the first evaluation at which a rule held: "
        f"{told}. The true time lies between that evaluation and the one before (hover to see both). "
        f"{ZERO_ON_LOG}",
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
        {
            "curve": Layer("lines", "step", quantity, each="run", tell=("seed",)),
            "event": Layer("dots", "step", quantity, tell=("before", "for_good_from", "labels", "seed")),
            "end": Layer("dots", "step", quantity, tell=("diverged_at", "arm", "seed")),
        },
        x=STEPS,
        y=y,
        looks=looks | {"diverged": DIVERGED},
        tall=360,
    )


DIVERGED = Look(theme.NEUTRAL, symbol="x", size=11)


@dataclass(frozen=True, eq=False)
class _Line:
    """What is drawn alike: a side of the runs of an arm."""

    legend: str
    look: Look
    side: str
    runs: tuple[Run, ...]

    def table(self, quantity: str) -> pd.DataFrame:
        """Their curves."""
        frames = []
        for run in self.runs:
            curve = run[f"{self.side}_{quantity}"]
            about = {**_of(run), "side": self.side, "layer": "curve", "series": self.legend}
            frames.append(pd.DataFrame({**about, "step": curve["step"].values, quantity: curve.values}))
        return pd.concat(frames, ignore_index=True)


def _lines(group: Group) -> Iterator[_Line]:
    """A line for each side of each arm; arms are named where there are several."""
    names = arms_told_apart([run.spec for run in group.runs], {run.id: run.called for run in group.runs})
    tasks = {run.spec.task.describe() for run in group.runs}
    common = f"{tasks.pop()}, " if len(tasks) == 1 else ""
    arms: dict[str, list[Run]] = {}
    for run in group.runs:
        arms.setdefault(names[run.id].removeprefix(common), []).append(run)
    for place, (name, runs) in enumerate(arms.items()):
        for side in SIDES:
            dash = {"dash": DASHES[place % len(DASHES)]} if len(arms) > 1 else {}
            legend = f"{group.legend(side)}, {name}" if len(arms) > 1 else group.legend(side)
            yield _Line(legend, group.look(side, width=1.6, **dash), side, tuple(runs))


def _of(run: Run) -> dict[str, object]:
    return {"run": run.id, "seed": run.spec.seeds.model, "labels": run.spec.labels}


def _events(runs: Sequence[Run], quantity: str, rules: Rules) -> Iterator[dict[str, object]]:
    """A row for each run in which an event happened, on that run's curve."""
    for name, (side, _) in EVENTS.items():
        for run in runs:
            event = events(run.curves, rules)[name]
            if event.first is not None:
                value = float(run[f"{side}_{quantity}"].sel(step=event.first))
                when = {"step": event.first, "before": event.before, "for_good_from": event.stable}
                yield {
                    **_of(run),
                    "layer": "event",
                    "series": _of_shuffled(name) if run.spec.labels == "shuffled" else name,
                    "side": side,
                    **when,
                    quantity: value,
                }


def _of_shuffled(event: EventName) -> str:
    """What an event of a run is called whose labels are shuffled."""
    return f"{event}, shuffled"


def _ends(runs: Sequence[Run], quantity: str) -> Iterator[dict[str, object]]:
    """A row where the curve of a run that diverged breaks off."""
    for run in runs:
        at, curve = diverged_at(run), run[f"val_{quantity}"].dropna("step")
        if at is not None and curve.size:
            where = {"step": int(curve["step"][-1]), quantity: float(curve[-1]), "diverged_at": at}
            about = {"layer": "end", "series": "diverged", "side": "val", "arm": run.spec.describe()}
            yield {**_of(run), **about, **where}
