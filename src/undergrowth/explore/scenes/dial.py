"""The dial: how much of the gradient goes to each example's own weights, and how long the wait is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from undergrowth.explore.arrays import Frames
from undergrowth.explore.cast import MOST_SEEDS
from undergrowth.explore.scenes.curves import of_reading
from undergrowth.explore.stills import lines
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, sets
from undergrowth.store import Run, Store
from undergrowth.studies.statistic import Missing
from undergrowth.studies.titration import ADAM, DOSES, Dose, wait

TITLE = "Reach as a dial"
READINGS = ("val_accuracy", "train_accuracy")
REACH = "routed_reach_whole"
UNDISTURBED = Dose(ADAM, has_decay=False)
ARMS = tuple(
    base.at(dose, side)
    for base in (UNDISTURBED, Dose(ADAM, has_decay=True))
    for dose in (0.0, *DOSES["standard"])
    for side in (("routed", "random") if dose else ("routed",))
)
"""Under Adam, the optimiser of every budget."""
Doses = Mapping[Dose, Mapping[int, Run]]


def doses_of(store: Store) -> dict[Dose, dict[int, Run]]:
    """By arm of the study `titration` and seed its finished runs, the first few seeds."""
    by_name: dict[str, dict[int, Run]] = {}
    for run in store.runs:
        for part in run.parts:
            if part.study == "titration" and run.status == "done":
                by_name.setdefault(part.arm, {})[part.seed] = run
    return {
        arm: dict(sorted(by_name[arm.name].items())[:MOST_SEEDS]) for arm in ARMS if arm.name in by_name
    }


def dial(story: Story, runs: Doses) -> Iterator[Scene | LeftOut]:
    """Accuracy and reach over steps at the chosen dose, and the wait at every dose."""
    if len({arm.dose for arm in runs}) < 2 or UNDISTURBED not in runs:
        why = "no run of this store has a part of its gradient routed"
        yield LeftOut(TITLE, why, story.training_command("STORE"))
        return
    names = {arm: _called(arm) for arm in runs}
    yield Scene(
        "dial",
        TITLE,
        tuple(_beats(runs)),
        "Above, accuracy on held-out examples over training steps at the chosen dose: routed, and with "
        "as much of the gradient lost. Below, for every dose and seed, the steps from memorised to "
        "grokked.",
        _still(runs),
        tuple(each for arm in runs for each in _of_arm(runs[arm], names[arm])),
        {
            "doses": sorted({arm.dose for arm in runs}),
            "waits": [told for arm in runs for told in _waits(arm, runs[arm])],
        },
        "Every stored evaluation, exactly. A wait that did not end is drawn open, at the steps that it "
        "had.",
    )


def _called(arm: Dose) -> str:
    """What its arrays are called: decay or not, dose, side."""
    return f"{'decay' if arm.has_decay else 'no decay'}|{arm.dose:g}|{arm.side}"


def _of_arm(runs: Mapping[int, Run], name: str) -> Iterator[Frames]:
    for seed, run in runs.items():
        for reading in READINGS:
            yield of_reading(run, seed, reading, f"{reading}|{name}")
        if REACH in run.names:
            yield of_reading(run, seed, REACH, f"reach|{name}")


def _waits(arm: Dose, runs: Mapping[int, Run]) -> Iterator[dict[str, Any]]:
    for seed, run in runs.items():
        found = wait(run)
        if not isinstance(found, Missing):
            where = {"decay": int(arm.has_decay), "dose": arm.dose, "side": arm.side, "seed": seed}
            yield {**where, "steps": found[0], "ended": found[1]}


def _still(runs: Doses) -> Any:
    most = UNDISTURBED.at(max(arm.dose for arm in runs))
    shown = {"dose 0": UNDISTURBED, f"dose {most.dose:g}": most}
    series = {}
    for name, arm in shown.items():
        if arm in runs:
            values = runs[arm][min(runs[arm])]["val_accuracy"].dropna("step")
            series[name] = (values["step"].values, values.values)
    colours = dict(zip(series, ("var(--soft)", "var(--memorised)"), strict=False))
    return lines(series, colours, x="training step (logarithmic)", y="accuracy on held-out examples")


def _beats(runs: Doses) -> Iterator[Beat]:
    doses = sorted({arm.dose for arm in runs} - {0.0})
    yield paragraph(
        "Each example is given some of the weights as its own, at random. At {} its gradient changes "
        "all weights; at a dose of 0.5 half of it goes to its own weights alone. Reach is on how many "
        "examples' margins the push of one acts.",
        sets("dose 0", dose=0),
        dose=0,
        decay=0,
        step=0,
    )
    for dose in doses:
        routed, lost = UNDISTURBED.at(dose), UNDISTURBED.at(dose, "random")
        if routed in runs and lost in runs:
            yield paragraph(
                "At {}, {}. The control loses as much of its gradient, to nobody: {}.",
                sets(f"dose {dose:g}", dose=dose, decay=0),
                _in_words(runs[routed]),
                _in_words(runs[lost]),
                dose=dose,
                decay=0,
                step=max(int(run["val_accuracy"]["step"].values[-1]) for run in runs[routed].values()),
            )
    if any(arm.has_decay for arm in runs):
        yield paragraph(
            "All this was {}. If general circuits win because they are cheap, {} should shorten the "
            "wait at every dose. These are a few seeds; what many say is for the verdict.",
            sets("without decay", decay=0),
            sets("decay", decay=1),
            dose=doses[-1],
            decay=1,
        )


def _in_words(runs: Mapping[int, Run]) -> str:
    """How many seeds got how far, and the middle wait of those that got there."""
    found = [wait(run) for run in runs.values()]
    ended = [told[0] for told in found if not isinstance(told, Missing) and told[1]]
    memorised = sum(not isinstance(told, Missing) for told in found)
    said = f"{memorised} of {len(runs)} networks memorise, and {len(ended)} grok"
    return f"{said}, {np.median(ended):,.0f} steps later in the median" if ended else said
