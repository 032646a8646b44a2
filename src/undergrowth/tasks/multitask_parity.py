"""Multitask sparse parity: many parities, some of them asked for more often (Michaud et al. 2023)."""

from __future__ import annotations

from math import comb
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.rng import stream
from undergrowth.tasks.task import Examples, Features, Task


class MultitaskParity(Task):
    """Subtasks, each the parity of k bits of its own choice; the first n_tasks inputs say which one.

    Inputs are float32 [example, n_tasks + n_bits]: a one-hot vector of the subtask, then bits of +1 and
    -1. The label is 1 where the product of the subtask's k bits is -1, else 0. No two subtasks have the
    same k bits. Subtask i, counted from 1, has a share of the n_examples that goes with i^-exponent,
    rounded so that they add up; inputs of one subtask are all different. Bits and inputs are drawn once
    from `sample_seed`, so that the split does not change them. Examples are in order of subtasks, which
    are the task's `groups`.

    Source: Michaud et al. 2023 (arXiv:2303.13506, section 3), whose task has n_tasks = 500,
    n_bits = 100, k = 3, exponent = 1.4 and a fresh sample at every step.
    """

    name: Literal["multitask_parity"] = "multitask_parity"
    n_tasks: int = Field(default=8, ge=2, le=1000)
    n_bits: int = Field(default=16, ge=1, le=62)
    k: int = Field(default=2, ge=1)
    exponent: float = Field(default=1.0, ge=0, le=10)
    n_examples: int = Field(default=4000, ge=2, le=100_000)
    sample_seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _has_the_bits_and_inputs(self) -> MultitaskParity:
        if self.k > self.n_bits:
            raise ValueError(
                f"k = {self.k} bits matter, but there are only n_bits = {self.n_bits}: "
                f"use k = {self.n_bits} or less, or more bits"
            )
        if (n_choices := comb(self.n_bits, self.k)) < self.n_tasks:
            raise ValueError(
                f"n_tasks = {self.n_tasks} parities, but there are {n_choices} choices of {self.k} of "
                f"{self.n_bits} bits: use n_tasks = {n_choices} or less, or more bits"
            )
        counts = self.counts()
        if counts[0] > 2**self.n_bits:
            raise ValueError(
                f"the first subtask has {counts[0]} of n_examples = {self.n_examples}, but "
                f"{self.n_bits} bits have {2**self.n_bits} values: use fewer examples, more bits or a "
                "lower exponent"
            )
        if counts[-1] < 2:
            raise ValueError(
                f"the last subtask has {counts[-1]} of n_examples = {self.n_examples}, and two are "
                "needed, to train on and to validate: use more examples or a lower exponent"
            )
        return self

    @property
    def input_space(self) -> Features:
        return Features(self.n_tasks + self.n_bits)

    @property
    def n_labels(self) -> int:
        return 2

    def describe(self) -> str:
        return f"{self.n_tasks} parities of {self.k} of {self.n_bits} bits"

    def counts(self) -> np.ndarray:
        """int [subtask]: how many examples each has, most the first (by largest remainders)."""
        shares = np.arange(1.0, self.n_tasks + 1) ** -self.exponent
        exact = self.n_examples * shares / shares.sum()
        counts = exact.astype(int)
        short = self.n_examples - counts.sum()
        counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
        return counts

    def subsets(self) -> np.ndarray:
        """int [subtask, k]: the bits that each one's label is the parity of, in ascending order."""
        rng = stream(self.sample_seed, "multitask_parity")
        found: dict[tuple[int, ...], None] = {}
        while len(found) < self.n_tasks:
            found[tuple(sorted(rng.choice(self.n_bits, self.k, replace=False).tolist()))] = None
        return np.array(list(found))

    def examples(self) -> Examples:
        places = np.arange(self.n_bits - 1, -1, -1)  # the first bit is the highest
        inputs, labels = [], []
        for i, (count, subset) in enumerate(zip(self.counts(), self.subsets(), strict=True)):
            codes = stream(self.sample_seed, "multitask_parity", 1 + i).choice(
                2**self.n_bits, count, replace=False
            )
            is_minus = codes[:, None] >> places & 1
            asked = np.zeros((count, self.n_tasks))
            asked[:, i] = 1
            inputs.append(np.concatenate([asked, 1 - 2 * is_minus], axis=1))
            labels.append(is_minus[:, subset].sum(axis=1) % 2)
        return Examples(
            np.concatenate(inputs).astype(np.float32), np.concatenate(labels).astype(np.int32)
        )

    def groups(self) -> np.ndarray:
        return np.repeat(np.arange(self.n_tasks), self.counts())
