from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from undergrowth.training.batches import FullBatch, MiniBatch

SEEDS = st.integers(0, 2**31 - 1)


@given(n=st.integers(1, 60), size=st.integers(1, 60), epoch=st.integers(0, 5), seed=SEEDS)
def test_an_epoch_visits_each_example_at_most_once_in_whole_batches(
    n: int, size: int, epoch: int, seed: int
) -> None:
    assume(size <= n)
    per_epoch = n // size
    batches = MiniBatch(batch_size=size).indices(n, seed, epoch * per_epoch, per_epoch)
    assert batches.shape == (per_epoch, size)
    assert batches.dtype == np.int32
    visited = batches.ravel()
    assert len(set(visited.tolist())) == per_epoch * size
    assert visited.min() >= 0
    assert visited.max() < n


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 40),
    start=st.integers(0, 50),
    length=st.integers(1, 30),
    skip=st.integers(0, 30),
    seed=SEEDS,
)
def test_any_stretch_of_steps_is_a_slice_of_a_longer_one(
    n: int, size: int, start: int, length: int, skip: int, seed: int
) -> None:
    assume(size <= n)
    batch = MiniBatch(batch_size=size)
    longer = batch.indices(n, seed, start, skip + length + 3)
    assert (batch.indices(n, seed, start + skip, length) == longer[skip : skip + length]).all()


def test_epochs_and_seeds_differ_in_their_order() -> None:
    batch = MiniBatch(batch_size=50)
    first, second = batch.indices(50, 0, 0, 2)
    (other,) = batch.indices(50, 1, 0, 1)
    assert (first != second).any()
    assert (first != other).any()
    assert (np.sort(first) == np.arange(50)).all()


def test_over_many_epochs_every_example_is_left_out_as_seldom() -> None:
    visits = np.bincount(MiniBatch(batch_size=4).indices(10, 0, 0, 2 * 500).ravel(), minlength=10)
    assert visits.sum() == 4000
    assert abs(visits - 400).max() < 60  # of 500 epochs each sits out a fifth


def test_the_full_batch_has_nothing_to_choose() -> None:
    assert FullBatch().indices(10, 0, 0, 5) is None


def test_a_batch_that_exceeds_the_data_is_an_error_with_three_remedies() -> None:
    with pytest.raises(ValueError, match=r"batch_size = 11 exceeds the 10 training examples: take a "):
        MiniBatch(batch_size=11).indices(10, 0, 0, 1)
