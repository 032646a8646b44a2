"""The whole table of inputs, cell by cell: what is right when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from undergrowth.explore.arrays import Frames
from undergrowth.explore.scenes.curves import accuracy_at, marks
from undergrowth.explore.stills import cells
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, sets
from undergrowth.store import Run
from undergrowth.tasks.swaps import swap_is_in_train

CORRECT, LOGIT = "table_correct", "table_centred_logit"
TITLE = "The table fills in"


def table(
    story: Story, runs: Mapping[int, Run], arms: Mapping[int, Mapping[str, Run]] | None = None
) -> Iterator[Scene | LeftOut]:
    """Which cells are right, and how far ahead their label is. arms: by seed and name runs that branch
    off, of which those are shown that have the table.
    """
    told = {seed: run for seed, run in runs.items() if {CORRECT, LOGIT} <= set(run.names)}
    if not told:
        yield LeftOut(
            TITLE,
            "no run of this store has the whole table at its steps; the story's own runs do",
            story.training_command("STORE"),
        )
        return
    first = told[min(told)]
    branches = {
        (seed, name): run
        for seed, its in (arms or {}).items()
        for name, run in its.items()
        if seed in told and CORRECT in run.names
    }
    arrays = [each for seed, run in told.items() for each in _of_run(run, seed, "")]
    for (seed, name), run in branches.items():
        arrays += _of_run(run, seed, name)
    yield Scene(
        "table",
        TITLE,
        tuple(_beats(first, bool(branches))),
        f"A table of {p_of(first)} by {p_of(first)} cells, one for each pair of operands: full squares "
        "are training examples, discs are held out; coloured where the network is right, grey where "
        "not.",
        _still(first),
        tuple(arrays),
        {
            "cells": {seed: facts_of_cells(run) for seed, run in told.items()},
            "arms": arm_names(branches),
        },
        "Right or wrong: exactly as stored. Depth of colour: the centred logit, to 0.4 % of the largest "
        "in its frame.",
    )


def p_of(run: Run) -> int:
    """The number of operands, whose square is that of the cells."""
    return int(run.spec.data().inputs.max()) + 1


def arm_names(branches: Mapping[tuple[int, str], Run]) -> list[str]:
    """The names of arms, each once, in their order."""
    return list(dict.fromkeys(name for _, name in branches))


def facts_of_cells(run: Run) -> dict[str, Any]:
    """Of each cell [p * p], row by row: its label, whether it is trained on, and whether its swap is."""
    data, p = run.spec.data(), p_of(run)
    x, y = data.inputs.T
    at = x * p + y
    label, side, swap = (np.full(p * p, -1) for _ in range(3))
    label[at], side[at] = data.labels, np.where(data.is_train, 0, 1)
    swap[at] = swap_is_in_train(data.inputs, data.labels, data.is_train) & data.is_val
    return {
        "p": p,
        "sign": getattr(run.spec.task, "operation", "x+y"),
        "label": label.tolist(),
        "heldOut": side.tolist(),
        "swapTrained": swap.tolist(),
    }


def _of_run(run: Run, seed: int, arm: str) -> Iterator[Frames]:
    since = run.forked_at or 0
    for name, reading in (("correct", CORRECT), ("logit", LOGIT)):
        values = run[reading].transpose("step", "x", "y")
        values = values.where(values["step"] >= since, drop=True)
        flat = values.values.reshape(len(values), -1).astype(np.float32)
        called = f"{name}|{arm}" if arm else name
        yield Frames(called, run.id, seed, values["step"].values, flat, ("cell",), kind="i1")


def _still(run: Run) -> Markup:
    facts, p = facts_of_cells(run), p_of(run)
    right = run[CORRECT].isel(step=-1).transpose("x", "y").values.reshape(-1) > 0.5
    held_out = np.array(facts["heldOut"]) == 1
    return cells(
        {"var(--train)": right & ~held_out, "var(--val)": right & held_out, "var(--wrong)": ~right}, p
    )


def _beats(run: Run, has_arms: bool) -> Iterator[Beat]:
    found, last = marks(run), int(run[CORRECT]["step"].values[-1])
    swaps = sum(value == 1 for value in facts_of_cells(run)["swapTrained"])
    yield paragraph(
        "Every pair of operands is a cell. Squares are trained on, discs are held out, and a cell is "
        "coloured once the network is right about it. Addition commutes, so a held-out cell is given "
        "away if its mirror image is trained on: here that is so for {} of them{}.",
        swaps,
        ", which are marked with a dot" if swaps else ", since the split keeps both on one side",
        step=0,
        arm="",
    )
    if (memorised := found.get("memorised")) is not None:
        yield paragraph(
            "By {}, {} of the squares are right, and {} of the discs; guessing would get one in {}.",
            sets(f"step {memorised:,}", step=memorised, arm=""),
            accuracy_at(run, "train", memorised),
            accuracy_at(run, "val", memorised),
            run.spec.task.n_labels,
            step=memorised,
            arm="",
        )
    yield paragraph(
        "By {}, {} of the discs are right. Press a cell to see its sum and its mirror image.{}",
        sets(f"step {last:,}", step=last),
        accuracy_at(run, "val", last),
        " The arms of the scene before can be chosen here, too." if has_arms else "",
        step=last,
    )
