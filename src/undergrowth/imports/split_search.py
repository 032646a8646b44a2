"""Which of some splits a network was trained on, by the losses that its file has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np

from undergrowth.imports.foreign import Claim
from undergrowth.losses import cross_entropy
from undergrowth.models import Model
from undergrowth.models.micro_batches import rows_that_fit
from undergrowth.spec import RunSpec
from undergrowth.tasks import Shuffled

NEAR = 0.1
"""How far the logarithm of a side's loss may be from that of the file."""

SEEDS = range(20)
USUAL = 30
PERCENT = range(5, 100, 5)


def by_shuffle(library: Literal["python", "torch"]) -> list[Shuffled]:
    """The splits that people draw with a library: shares of 5 to 95 %, and the first 20 seeds.

    The first of them is what is assumed where the losses single out none.
    """
    return [
        Shuffled(by=library, seed=seed, frac_train=percent / 100)
        for percent in (USUAL, *(each for each in PERCENT if each != USUAL))
        for seed in SEEDS
    ]


def found_split(
    spec: RunSpec, model: Model, claims: Sequence[Claim], splits: Sequence[Shuffled]
) -> Shuffled | None:
    """The one split on which the model has the losses that are claimed of it; see `fitting`."""
    return fitting(spec, losses_of(spec, model), claims, splits)


def fitting(
    spec: RunSpec, losses: np.ndarray, claims: Sequence[Claim], splits: Sequence[Shuffled]
) -> Shuffled | None:
    """The one split of whose sides the mean losses are those claimed, of losses by example.

    None where there is none, or several, or one side's loss is not claimed.
    """
    claimed = {claim.name: claim.value for claim in claims}
    wanted = [claimed.get("train_loss"), claimed.get("val_loss")]
    if any(loss is None or loss <= 0 for loss in wanted):
        return None
    rng = np.random.default_rng(0)  # which a shuffle has no use for
    found = [
        split
        for split in splits
        for is_train in [split.train_mask(spec.task, rng)]
        if all(
            abs(np.log(losses[side].mean() / loss)) < NEAR
            for side, loss in zip((is_train, ~is_train), wanted, strict=True)
        )
    ]
    return found[0] if len(found) == 1 else None


def losses_of(spec: RunSpec, model: Model) -> np.ndarray:
    """float64 [example]: the exact cross-entropy of every example of the task."""
    examples = spec.task.examples()
    at_once = rows_that_fit(model)
    parts = [slice(i, i + at_once) for i in range(0, len(examples), at_once)]
    inputs, labels = jnp.asarray(examples.inputs), jnp.asarray(examples.labels)
    return np.concatenate(
        [np.asarray(cross_entropy(model(inputs[part]), labels[part]), np.float64) for part in parts]
    )


def labels_of(model: Model, n_operands: int) -> np.ndarray:
    """int [pair]: what a model answers to every pair of tokens, in row-major order."""
    pairs = np.argwhere(np.ones((n_operands, n_operands), bool)).astype(np.int32)
    at_once = rows_that_fit(model)
    parts = [jnp.asarray(pairs[i : i + at_once]) for i in range(0, len(pairs), at_once)]
    return np.concatenate([np.asarray(model(part).argmax(axis=1)) for part in parts])
