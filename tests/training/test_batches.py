"""Batches are functions of (seed, step), and each kind visits the examples as it says."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from undergrowth.training.batches import (
    BLOCK,
    NOBODY,
    AnyBatch,
    Blocked,
    FullBatch,
    MiniBatch,
    WithReplacement,
)

SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(1, 40)
BATCHES = st.one_of(
    st.builds(MiniBatch, batch_size=SIZES),
    st.builds(WithReplacement, batch_size=SIZES),
    st.builds(Blocked, batch_size=SIZES, repeats=st.integers(1, 7)),
)
Drawing = MiniBatch | WithReplacement | Blocked


@given(n=st.integers(1, 60), size=st.integers(1, 60), epoch=st.integers(0, 5), seed=SEEDS)
def test_an_epoch_visits_each_example_at_most_once_in_whole_batches(
    n: int, size: int, epoch: int, seed: int
) -> None:
    assume(size <= n)
    per_epoch = n // size
    batches = MiniBatch(batch_size=size).indices(n, seed, epoch * per_epoch, per_epoch)
    visited = batches.ravel()
    assert len(set(visited.tolist())) == per_epoch * size
    assert visited.min() >= 0
    assert visited.max() < n


@given(
    batch=BATCHES,
    n=st.integers(1, 40),
    start=st.integers(0, 2 * BLOCK),
    length=st.integers(1, 30),
    skip=st.integers(0, 30),
    seed=SEEDS,
    weighted=st.booleans(),
)
def test_any_stretch_of_steps_is_a_slice_of_a_longer_one(
    batch: Drawing, n: int, start: int, length: int, skip: int, seed: int, weighted: bool
) -> None:
    assume(isinstance(batch, WithReplacement) or batch.batch_size <= n)
    weights = np.random.default_rng(n).random(n) + 0.1 if weighted else None
    longer = batch.indices(n, seed, start, skip + length + 3, weights)
    part = batch.indices(n, seed, start + skip, length, weights)
    assert (part == longer[skip : skip + length]).all()
    assert part.shape == (length, batch.batch_size)
    assert part.dtype == np.int32
    assert part.min() >= 0
    assert part.max() < n


@given(n=st.integers(1, 60), size=st.integers(1, 60), epochs=st.integers(1, 3), seed=SEEDS)
def test_with_the_remainder_kept_an_epoch_visits_each_example_once(
    n: int, size: int, epochs: int, seed: int
) -> None:
    assume(size <= n)
    batch, per_epoch = MiniBatch(batch_size=size, remainder="kept"), -(-n // size)
    batches = batch.indices(n, seed, 0, epochs * per_epoch)
    assert batches.shape == (epochs * per_epoch, size)
    for epoch in batches.reshape(epochs, -1):
        assert sorted(epoch[epoch != NOBODY].tolist()) == list(range(n))
        assert (epoch[:n] != NOBODY).all()  # the empty places are the last ones
    whole = MiniBatch(batch_size=size).indices(n, seed, 0, n // size)
    assert (batches[: n // size] == whole).all()
    later = batch.indices(n, seed, per_epoch - 1, 2)
    assert (later == batch.indices(n, seed, 0, per_epoch + 1)[per_epoch - 1 :]).all()


def test_epochs_and_seeds_differ_in_their_order() -> None:
    batch = MiniBatch(batch_size=50)
    first, second = batch.indices(50, 0, 0, 2)
    (other,) = batch.indices(50, 1, 0, 1)
    assert (first != second).any()
    assert (first != other).any()
    assert (np.sort(first) == np.arange(50)).all()


def test_the_orders_of_shuffled_epochs_are_the_same_for_ever() -> None:
    """What stored runs were trained with: another numpy or another line of ours must not change it."""
    few = MiniBatch(batch_size=3).indices(7, 5, 0, 4)
    assert few.tolist() == [[2, 4, 6], [5, 1, 3], [4, 6, 0], [1, 3, 2]]
    many = MiniBatch(batch_size=100).indices(1404, 11, 137, 500)
    assert hashlib.sha256(many.tobytes()).hexdigest()[:16] == "a26835f1afad8713"


def test_over_many_epochs_every_example_is_left_out_as_seldom() -> None:
    visits = np.bincount(MiniBatch(batch_size=4).indices(10, 0, 0, 2 * 500).ravel(), minlength=10)
    assert visits.sum() == 4000
    assert abs(visits - 400).max() < 60  # of 500 epochs each sits out a fifth


@given(n=st.integers(1, 30), size=st.integers(1, 30), repeats=st.integers(1, 9), start=SIZES, seed=SEEDS)
def test_blocked_repeats_the_batches_of_shuffled_epochs(
    n: int, size: int, repeats: int, start: int, seed: int
) -> None:
    assume(size <= n)
    once = MiniBatch(batch_size=size).indices(n, seed, 0, start + 20)
    blocked = Blocked(batch_size=size, repeats=repeats).indices(n, seed, start, 20)
    for step, batch in enumerate(blocked, start=start):
        assert (batch == once[step // repeats]).all()


def test_draws_with_replacement_are_independent_of_each_other() -> None:
    batch = WithReplacement(batch_size=4)
    draws = batch.indices(5, 0, 0, 4 * BLOCK)
    assert any(len(set(row)) < 4 for row in draws.tolist())
    for a, b in [(draws[:-1, 0], draws[1:, 0]), (draws[:, 0], draws[:, 3])]:
        together = np.histogram2d(a, b, bins=5)[0] / len(a)
        assert abs(together - 1 / 25).max() < 0.03  # five standard deviations
    assert (draws[:BLOCK] != draws[BLOCK : 2 * BLOCK]).any()
    assert (draws[:10] != batch.indices(5, 1, 0, 10)).any()


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_draws_with_replacement_come_as_often_as_their_weights_say(scale: float) -> None:
    weights = np.array([0, 1, 2, 4, 8, 1, 0])
    draws = WithReplacement(batch_size=50).indices(7, 3, 0, 4 * BLOCK, weights * scale).ravel()
    shares = np.bincount(draws, minlength=7) / len(draws)
    assert abs(shares - weights / 16).max() < 0.012  # five standard deviations
    assert (shares[[0, 6]] == 0).all()


def test_without_weights_all_examples_are_drawn_as_often() -> None:
    draws = WithReplacement(batch_size=50).indices(7, 3, 0, 4 * BLOCK).ravel()
    assert abs(np.bincount(draws) / len(draws) - 1 / 7).max() < 0.009  # five standard deviations


@pytest.mark.parametrize("batch", [MiniBatch(batch_size=2), Blocked(batch_size=2, repeats=3)])
def test_epochs_visit_all_examples_alike_whatever_their_weights(batch: Drawing) -> None:
    assert not batch.by_weight
    weights = np.array([1.0, 0, 0, 5])
    assert (batch.indices(4, 0, 3, 9, weights) == batch.indices(4, 0, 3, 9)).all()


def test_the_full_batch_has_nothing_to_choose() -> None:
    assert FullBatch().indices(10, 0, 0, 5) is None
    assert FullBatch().indices(10, 0, 0, 5, np.ones(10)) is None
    assert FullBatch.batch_size is None


@pytest.mark.parametrize("batch", [MiniBatch(batch_size=11), Blocked(batch_size=11)])
def test_a_batch_that_exceeds_the_data_is_an_error_with_three_remedies(batch: Drawing) -> None:
    message = r"batch_size = 11 exceeds the 10 training examples: use a "
    with pytest.raises(ValueError, match=message):
        batch.indices(10, 0, 0, 1)
    with pytest.raises(ValueError, match=message):
        batch.check(10)


@pytest.mark.parametrize(
    "batch",
    [FullBatch(), MiniBatch(batch_size=10), Blocked(batch_size=10), WithReplacement(batch_size=11)],
    ids=lambda batch: batch.name,
)
def test_a_batch_that_the_data_can_fill_passes_the_check(batch: AnyBatch) -> None:
    batch.check(10)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(9), r"weights have shape \(9,\), but there are 10 training examples: give one"),
        (np.zeros(10), r"weights from 0.0 to 0.0 are not probabilities: use finite ones, none negative"),
        (np.arange(10.0) - 1, r"weights from -1.0 to 8.0 are not probabilities"),
        (np.full(10, np.nan), r"weights from nan to nan are not probabilities"),
    ],
)
def test_weights_that_are_none_are_refused(weights: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WithReplacement(batch_size=2).indices(10, 0, 0, 1, weights)
