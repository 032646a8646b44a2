"""The race: how much of the margin is general, and how much memorised."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from undergrowth.analysis.general_part import MEAN_LOGITS, POWER, WHOLE, Parts, key_irreps, parts
from undergrowth.explore.arrays import Frames
from undergrowth.explore.scenes.curves import marks
from undergrowth.explore.scenes.table import CORRECT, facts_of_cells, p_of
from undergrowth.explore.stills import lines
from undergrowth.explore.story import Beat, LeftOut, Scene, Story, paragraph, percent, sets
from undergrowth.measures.harmonics.group_tables import group_table
from undergrowth.store import Run
from undergrowth.tasks.groups import products
from undergrowth.tasks.irreps import isotypic

TITLE = "The race"
NEEDS = {MEAN_LOGITS, POWER, WHOLE, CORRECT}


def race(
    story: Story, runs: Mapping[int, Run], controls: Mapping[int, Run]
) -> Iterator[Scene | LeftOut]:
    """The training examples' centred logits, parted as `analysis.general_part` does. controls: the
    same networks with shuffled labels.
    """
    told = {seed: run for seed, run in runs.items() if set(run.names) >= NEEDS}
    if not told:
        yield LeftOut(
            TITLE,
            "no run of this store has mean logits by sum and the whole table at its steps; the story's "
            "own runs do",
            story.training_command("STORE"),
        )
        return
    parted = {seed: parts(run, key_irreps(run)) for seed, run in told.items()}
    arrays = [each for seed, run in told.items() for each in _of_run(run, seed, parted[seed])]
    beside = {s: run for s, run in controls.items() if s in told and set(run.names) >= NEEDS}
    for seed, run in beside.items():
        its = parts(run, key_irreps(run, len(key_irreps(told[seed]))))
        share = its.share.values.astype(np.float32)
        arrays.append(Frames("control share", run.id, seed, its.steps, share))
    seed = min(told)
    share = parted[seed].share
    yield Scene(
        "race",
        TITLE,
        tuple(_beats(told[seed], parted[seed], seed in beside)),
        "Left, over training steps: the mean centred logit of the training examples as two layers, a "
        "general and a memorised one. Right: the table, each training cell coloured by its general "
        "share.",
        lines(
            {"general share": (share["step"].values, share.values)},
            {"general share": "var(--general)"},
            x="training step (logarithmic)",
            y="general share of the centred logit",
        ),
        tuple(arrays),
        {
            "cells": {seed: facts_of_cells(run) for seed, run in told.items()},
            "lookUp": {seed: look_up_share(run, key_irreps(run)) for seed, run in told.items()},
        },
        "Layers and their share: float32. Each cell's share: cut to -1 to 2, to 0.8 % of a centred "
        "logit at most. Where the sum of centred logits is not above 0 there is no share.",
    )


def look_up_share(run: Run, irreps: Collection[str]) -> float:
    """The general share of a network that only looks its training examples up: logit 1 for the label of
    each, all else 0.

    The mean over the cells of a product g has f_g of it, the trained part of these cells. With P the
    projection on the irreps, the general part of an example's centred logit is P_gg f_g less the mean of
    P_gh f_h over all other h, and its whole is 1. Returned is the mean over the training examples.
    """
    table = group_table(run.spec.task)
    assert table is not None, "the readings are of a group"
    parts_of, n = isotypic(table.group), len(table.x)
    columns = parts_of.basis[:, np.isin(np.array(parts_of.names)[parts_of.part], list(irreps))]
    projection = columns @ columns.T
    element = np.full((2, int(run.spec.data().inputs.max()) + 1), -1)
    for side, tokens in enumerate((table.x, table.y)):
        element[side, tokens] = np.arange(n)
    data = run.spec.data()
    x, y = data.inputs[data.is_train].T
    product = products(table.group)[element[0, x], element[1, y]]
    pushed = projection * (np.bincount(product, minlength=n) / n)
    own = np.diag(pushed)
    general = own - (pushed.sum(axis=1) - own) / (n - 1)
    return float(general[product].mean())


def _of_run(run: Run, seed: int, found: Parts) -> Iterator[Frames]:
    steps = found.steps
    for name, values in (("whole", found.whole), ("general", found.general)):
        yield Frames(name, run.id, seed, steps, values.mean(axis=1).astype(np.float32))
    yield Frames("share", run.id, seed, steps, found.share.values.astype(np.float32))
    p, data = p_of(run), run.spec.data()
    x, y = data.inputs[data.is_train].T
    of_cell = np.full((len(steps), p * p), np.nan, np.float32)
    share = found.general / np.where(found.whole > 0, found.whole, np.nan)
    of_cell[:, x * p + y] = np.clip(share, -1, 2)
    yield Frames("cell share", run.id, seed, steps, of_cell, ("cell",), kind="i1")
    correct = run[CORRECT].transpose("step", "x", "y").sel(step=steps).values.reshape(len(steps), -1)
    yield Frames("correct", run.id, seed, steps, correct, ("cell",), kind="i1")


def _beats(run: Run, found: Parts, has_control: bool) -> Iterator[Beat]:
    events, irreps, share = marks(run), key_irreps(run), found.share
    yield paragraph(
        "Take the logit of the right answer less the mean of all others, its centred logit. The part of "
        "it that depends on the operands only through their sum, in the {} frequencies that the network "
        "ends up with ({}), is called general: it is the same for seen and unseen examples. The rest is "
        "memorised.",
        len(irreps),
        ", ".join(irreps),
        step=int(found.steps[1]),
        axis="log",
    )
    yield paragraph(
        "Most pairs with one sum are in the training set, so even a table that only looks these up "
        "would have a general share, of {}: the dashed line.{}",
        percent(look_up_share(run, irreps)),
        " The dotted one is the share in a network trained on shuffled labels, which can only memorise."
        if has_control
        else "",
        step=int(found.steps[1]),
    )
    told = [(name, events[name]) for name in ("memorised", "onset", "grokked") if name in events]
    words = {"memorised": "has memorised", "onset": "begins to generalise", "grokked": "has grokked"}
    for name, step in told:
        at = share.sel(step=slice(None, step)).values[-1]
        answers = found.answers[share["step"].values <= step][-1]
        yield paragraph(
            "At {}, when the network {}, the general part carries {} of it, and would by itself "
            "answer {} of the training examples.",
            sets(f"step {step:,}", step=step),
            words[name],
            percent(float(at)),
            percent(float(answers.mean())),
            step=step,
        )
    yield paragraph(
        "Each square of the table is a training example and shows which part carries it, from memorised "
        "to general; a disc is held out, and filled once it is right. At the end, {}, the share is {}.",
        sets(f"step {int(found.steps[-1]):,}", step=int(found.steps[-1])),
        percent(float(share.values[-1])),
        step=int(found.steps[-1]),
    )
