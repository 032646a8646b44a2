"""Multitask parity: labels by their definition, counts by Zipf's law, and what does not fit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests import tiny
from undergrowth.spec import SpecError
from undergrowth.tasks import MultitaskParity

SMALL = MultitaskParity(n_tasks=4, n_bits=8, k=3, exponent=1.0, n_examples=100)


@given(
    n_tasks=st.integers(2, 12),
    n_bits=st.integers(8, 62),
    k=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_the_label_is_the_parity_of_the_bits_of_the_subtask_that_is_asked_for(
    n_tasks: int, n_bits: int, k: int, seed: int
) -> None:
    n_tasks = min(n_tasks, n_bits)
    task = MultitaskParity(n_tasks=n_tasks, n_bits=n_bits, k=k, n_examples=200, sample_seed=seed)
    examples, subsets = task.examples(), task.subsets()
    asked, bits = np.split(examples.inputs, [n_tasks], axis=1)
    assert set(np.unique(bits)) == {-1.0, 1.0}
    assert (asked.sum(axis=1) == 1).all()
    of = asked.argmax(axis=1)
    assert (of == task.groups()).all()
    for number, label, subtask in zip(bits, examples.labels, of, strict=True):
        assert number[subsets[subtask]].prod() == (-1 if label else 1)
    assert len({tuple(subset) for subset in subsets}) == n_tasks
    assert all(len(set(subset)) == k for subset in subsets)


@given(n_tasks=st.integers(2, 30), n_examples=st.integers(1_000, 4_000), exponent=st.integers(0, 1))
def test_counts_are_within_one_of_zipfs_law_and_add_up(
    n_tasks: int, n_examples: int, exponent: int
) -> None:
    task = MultitaskParity(n_tasks=n_tasks, n_bits=30, n_examples=n_examples, exponent=exponent)
    shares = [Fraction(1, i**exponent) for i in range(1, n_tasks + 1)]
    counts = task.counts()
    assert counts.sum() == n_examples
    assert sorted(counts, reverse=True) == counts.tolist()
    for count, share in zip(counts, shares, strict=True):
        assert abs(int(count) - n_examples * share / sum(shares)) < 1
    assert np.bincount(task.groups()).tolist() == counts.tolist()


def test_inputs_of_a_subtask_are_all_those_that_there_are_where_so_many_are_asked_for() -> None:
    task = MultitaskParity(n_tasks=2, n_bits=4, exponent=0.0, n_examples=32)
    inputs = task.examples().inputs
    assert len(np.unique(inputs, axis=0)) == 32


def test_the_bits_do_not_depend_on_how_often_a_subtask_is_asked_for() -> None:
    other = SMALL.model_copy(update={"exponent": 0.0, "n_examples": 40})
    assert (other.subsets() == SMALL.subsets()).all()
    seeded = SMALL.model_copy(update={"sample_seed": 1})
    assert (seeded.subsets() != SMALL.subsets()).any()
    assert (seeded.examples().inputs != SMALL.examples().inputs).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": 9}, "k = 9 bits matter, but there are only n_bits = 8: use k = 8 or less"),
        ({"n_tasks": 57}, "n_tasks = 57 parities, but there are 56 choices of 3 of 8 bits"),
        ({"n_examples": 1000}, "the first subtask has 480 of n_examples = 1000, but 8 bits have 256"),
        ({"n_examples": 9}, "the last subtask has 1 of n_examples = 9, and two are needed"),
        ({"exponent": -1}, "exponent"),
    ],
)
def test_what_does_not_fit_is_an_error_of_one_line(fields: dict[str, float], message: str) -> None:
    task = {**SMALL.model_dump(), **fields}
    with pytest.raises(SpecError, match=message) as told:
        tiny.spec(task=task, model={"name": "mlp", "d_mlp": 6})
    assert "\n" not in str(told.value)
