"""The ledger of the next update: which examples push which neurons, and what decay takes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from undergrowth.explore.arrays import Frames
from undergrowth.explore.scenes.curves import marks
from undergrowth.explore.scenes.table import facts_of_cells, p_of
from undergrowth.explore.scenes.waves import FREQUENCY, groups_of
from undergrowth.explore.stills import cells
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, percent, sets
from undergrowth.store import Run

ENTRIES = "ledger_neuron_entries"
TITLE = "Who pushes which circuit now"


def pushes(story: Story, runs: Mapping[int, Run]) -> Iterator[Scene | LeftOut]:
    """By how much the next update lowers each example's loss through each group of neurons."""
    told = {seed: run for seed, run in runs.items() if {ENTRIES, FREQUENCY} <= set(run.names)}
    if not told:
        yield LeftOut(
            TITLE,
            "no run of this store has a ledger of each example; the story's own runs do",
            story.training_command("STORE"),
        )
        return
    first = told[min(told)]
    yield Scene(
        "pushes",
        TITLE,
        tuple(_beats(first)),
        "Bars for each group of neurons: by how much the next update lowers the loss of a training and "
        "of a held-out example through it, and what decay does. Beside it the table: by how much it "
        "lowers each example's loss through the chosen group.",
        _still(first),
        tuple(each for seed, run in told.items() for each in _of_run(run, seed)),
        {
            "cells": {seed: facts_of_cells(run) for seed, run in told.items()},
            "groups": {seed: groups_of(run).frequencies for seed, run in told.items()},
        },
        "To first order in the update. Bars are shares of the loss that the mean example of a side has: "
        "float32. Cells are by how much the loss itself falls, to 0.4 % of the largest in a frame; "
        "their colours are relative to that, too.",
    )


@lru_cache(maxsize=8)
def by_group(run: Run) -> np.ndarray:
    """Entries of the ledger summed over each group's neurons, [step, part, group, example]; the parts
    are the gradient's and the decay's, the last group is all neurons.
    """
    entries = (
        run[ENTRIES].transpose("step", "layer", "part", "example", "neuron").sel(part=["data", "decay"])
    )
    of_all = entries.values.sum(axis=1, dtype=np.float64)  # [step, part, example, neuron]
    groups = groups_of(run)
    member = np.array(groups.of_neuron)
    chosen = [of_all[..., member == frequency].sum(axis=-1) for frequency in groups.frequencies]
    return np.stack([*chosen, of_all.sum(axis=-1)], axis=2)


def losses(run: Run) -> np.ndarray:
    """The loss of the mean example of each side at the ledger's steps, [step, side]."""
    steps = run[ENTRIES]["step"].values
    return np.stack(
        [run[f"{side}_loss"].reindex(step=steps).values for side in ("train", "val")], axis=1
    )


def _of_run(run: Run, seed: int) -> Iterator[Frames]:
    found, data, p = by_group(run), run.spec.data(), p_of(run)
    steps = run[ENTRIES]["step"].values
    groups = (*map(groups_of(run).called, groups_of(run).frequencies), "all neurons")
    means = np.stack([found[..., side].mean(axis=3) for side in (data.is_train, data.is_val)], axis=3)
    bars = np.swapaxes(means, 1, 2).astype(np.float32)  # [step, group, part, side]
    labels = (("group", groups), ("part", ("gradient", "decay")), ("side", ("training", "held out")))
    yield Frames("bars", run.id, seed, steps, bars, ("group", "part", "side"), labels)
    yield Frames("loss", run.id, seed, steps, losses(run).astype(np.float32), ("side",), labels[2:])
    pushed = np.maximum(found[:, 0][..., data.is_train], 0)
    squares = (pushed**2).sum(axis=2)
    sharing = pushed.sum(axis=2) ** 2 / np.where(squares > 0, squares, 1)
    yield Frames(
        "sharing", run.id, seed, steps, sharing.astype(np.float32), ("group",), (("group", groups),)
    )
    x, y = data.inputs.T
    for place in range(found.shape[2]):
        for side, chosen in (("train", data.is_train), ("val", data.is_val)):
            of_cell = np.full((len(steps), p * p), np.nan, np.float32)
            of_cell[:, (x * p + y)[chosen]] = found[:, 0, place][:, chosen]
            yield Frames(f"push {side} {place}", run.id, seed, steps, of_cell, ("cell",), kind="i1")


def _still(run: Run) -> Markup:
    data, p = run.spec.data(), p_of(run)
    pushed = np.zeros(p * p)
    x, y = data.inputs.T
    pushed[x * p + y] = by_group(run)[-1, 0, -1]
    return cells({"var(--general)": pushed > 0, "var(--memorised)": pushed < 0}, p)


def _beats(run: Run) -> Iterator[Beat]:
    found, data = by_group(run), run.spec.data()
    steps = run[ENTRIES]["step"].values
    yield paragraph(
        "Take the update that the network makes next. To first order it lowers the loss of each example "
        "by so much through each neuron; the bars add this up over the neurons that end at one "
        "frequency. If what a group does were remembered, an update would help the examples that it is "
        "made of and no others: only the bars of examples trained on would stand.",
        step=int(steps[1]),
        group=-1,
    )
    for name in ("memorised", "onset", "grokked"):
        if (step := marks(run).get(name)) is None:
            continue
        place = int(np.searchsorted(steps, step, side="right")) - 1
        words = {"memorised": "memorised", "onset": "at the onset", "grokked": "grokked"}[name]
        told = [
            percent(float(part[..., side].mean() / losses(run)[place, i]), 2)
            for part in found[place, :, -1]
            for i, side in enumerate((data.is_train, data.is_val))
        ]
        yield paragraph(
            "At {} ({}) the gradient's part of one update lowers the loss of the examples trained on by "
            "{}, and of those held out by {}. Decay's part lowers them by {} and {}.",
            sets(f"step {int(steps[place]):,}", step=int(steps[place])),
            words,
            *(each.replace("-", "\u2212") for each in told),
            step=int(steps[place]),
            group=-1,
        )
    yield paragraph(
        "Press a bar to see a group's examples by themselves in the table: green is helped, pink is "
        "hurt. Above it stands how many training examples share the push as if equally. The thin pale "
        "bars are decay's.",
        step=int(steps[-1]),
        group=0,
    )
