"""The loss of each arm with its spikes, how often it spikes, and what changes across them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from undergrowth.report.estimates import by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.spikes import spikes_by_arm_figure
from undergrowth.studies.spikes.arms import DECAYS, KICK_NORM, KICKED, ROUNDED
from undergrowth.studies.spikes.statistics import (
    EXCESS,
    SINGLE,
    STRUCTURES,
    early,
    excess,
    kicks_of,
    rate,
    spikes_of,
)
from undergrowth.studies.table import Table


def figures(table: Table) -> Iterator[Figure]:
    """One run of each arm, how often each spikes, and what changes across spikes."""
    arms = table.among(table.arms)
    if not arms:
        return
    examples = {arm: table.of(arm)[0] for arm in arms}
    yield spikes_by_arm_figure(
        examples,
        {arm: spikes_of(run) for arm, run in examples.items()},
        "In kicked runs, some of the spikes are the kicks.",
    )
    unkicked = [arm for arm in arms if arm not in KICKED.values()]
    yield by_arm_figure(
        "spike-rate",
        "How often each arm spikes",
        {"spikes per 1,000 steps": {arm: [(r, rate(r)) for r in table.of(arm)] for arm in unkicked}},
        "From memorised to the end; a run without a spike counts as 0.",
    )
    for decay in DECAYS:
        if table.has(ROUNDED[decay]):
            yield _changes_figure(table, decay)


def _changes_figure(table: Table, decay: float) -> Figure:
    """What changes across spikes, early and late, and across kicks."""
    runs = [run for run in table.of(ROUNDED[decay]) if len(spikes_of(run))]
    pairs = table.pairs(ROUNDED[decay], KICKED[decay]).values()
    windows = {
        "spike before the onset": [(run, early(run)) for run in runs],
        "spike after the onset": [(run, early(run, late=True)) for run in runs],
        "random kick": [(kicked, kicks_of(kicked, run)) for run, kicked in pairs if run in runs],
    }
    panels = {
        f"{structure.name}: excess change, as a share of its range": {
            name: [(run, _mean(excess(run, structure, each))) for run, each in its]
            for name, its in windows.items()
        }
        for structure in STRUCTURES
    }
    return by_arm_figure(
        f"across-spikes-decay-{decay:g}",
        f"What changes across a spike beyond matched windows, decay {decay:g}",
        panels,
        " ".join(f"{s.name.capitalize()}: {s.says}." for s in SINGLE)
        + f" {EXCESS} Each seed is the mean over its spikes. Kicks move the weights by "
        f"{KICK_NORM[decay]:g} of their norm.",
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
