"""The smallest sets that carry a score, by enumeration, and how much of them examples share."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from tests import brute_force, planted, tiny
from undergrowth.measures import Carriers, Observed, carriers
from undergrowth.measures.circuits.carriers import PERCENTILES, overlap_of, pairs_across, pairs_within
from undergrowth.models import MLPSpec, Model, state_dict
from undergrowth.tasks import CommutationSafe, Modular, SparseParity, make_data

P = 13
PAIRS = ((0, 5), (5, 1), (7, 7), (12, 3))
AREA = np.array([2, 0, 0, 1, 2, 0, 3])


def observe(measure: Carriers, model: Model, data: Observed, seed: int = 0) -> dict[str, np.ndarray]:
    readings = measure.observe(model, data, tiny.context(tiny.mlp(), seed))
    return {name.removeprefix("carriers_"): reading.values for name, reading in readings.items()}


@given(
    attribution=hnp.arrays(np.float64, (3, 6), elements=st.integers(-8, 8).map(float)),
    share=st.sampled_from([0.25, 0.5, 0.875, 1.0]),
)
def test_no_smaller_set_carries_as_much(attribution: np.ndarray, share: float) -> None:
    """All 64 sets of 6 components, in numbers that are added without rounding."""
    for row, found in zip(attribution, carriers(attribution, share), strict=True):
        if row.sum() <= 0:
            assert not found.any()
            continue
        sizes = [
            len(subset)
            for n in range(7)
            for subset in combinations(range(6), n)
            if row[list(subset)].sum() >= share * row.sum()
        ]
        assert found.sum() == max(1, min(sizes))
        assert row[found].sum() >= share * row.sum()


def carried_by_brute_force(share: float) -> np.ndarray:
    """Sizes [example] on the tiny transformer: how far each set of neurons lifts the centred logit."""
    weights, data = state_dict(tiny.transformer()), tiny.observed()
    inputs, labels, is_train = (np.asarray(a) for a in (data.inputs, data.labels, data.is_train))
    kept: dict[str, np.ndarray] = {}
    brute_force.transformer(weights, inputs[is_train], keep=kept)

    def centred_logit(gates: np.ndarray) -> np.ndarray:
        logits = brute_force.transformer(
            weights, inputs, neuron_gates=gates, neuron_baseline=kept["post"].mean(axis=0)
        )
        return brute_force.score("centred_logit", logits, labels)

    nothing, whole = centred_logit(np.zeros(6)), centred_logit(np.ones(6))
    size = np.where(whole > nothing, 7, 0)
    for n in range(6, 0, -1):
        for subset in combinations(range(6), n):
            gates = np.isin(np.arange(6), subset).astype(float)
            enough = centred_logit(gates) - nothing >= share * (whole - nothing)
            size = np.where((size > 0) & enough, n, size)
    return size


def test_sizes_are_those_of_the_smallest_sets_of_open_gates() -> None:
    data, sizes = tiny.observed(), carried_by_brute_force(0.7)
    found = observe(Carriers(share=0.7), tiny.transformer(), data)
    for i, side in enumerate(data.sides()):
        carried = sizes[side][sizes[side] > 0]
        assert found["carried"][i] == pytest.approx(len(carried) / side.sum())
        np.testing.assert_allclose(found["size"][i], np.percentile(carried, PERCENTILES))
    assert len(set(sizes)) > 2


def test_overlaps_are_means_over_all_pairs_and_the_null_is_that_of_random_sets() -> None:
    """20,000 drawn pairs against all pairs, and for the null all pairs of sets of 6: within 5 errors."""
    data, model = tiny.observed(), tiny.transformer()
    measure = Carriers(share=0.7, n_pairs=20_000)
    found = observe(measure, model, data)
    sets = carriers(np.asarray(measure.attributed(model, data)), 0.7)
    shares_of = {(a, b): _mean_of_random_sets(a, b) for a in range(1, 7) for b in range(1, 7)}
    for i, side in enumerate(data.sides()):
        carried = [set(np.flatnonzero(row)) for row in sets[side] if row.any()]
        every = list(permutations(carried, 2))
        expected = {
            "jaccard": np.mean([len(a & b) / len(a | b) for a, b in every]),
            "overlap": np.mean([len(a & b) / min(len(a), len(b)) for a, b in every]),
            "jaccard_null": np.mean([shares_of[len(a), len(b)][0] for a, b in every]),
            "overlap_null": np.mean([max(len(a), len(b)) / 6 for a, b in every]),
        }
        for name, value in expected.items():
            assert found[name][i, 0] == pytest.approx(value, abs=5 * 0.5 / 20_000**0.5)


def _mean_of_random_sets(size: int, other_size: int) -> tuple[float, float]:
    """Of a set against all sets of a size out of 6: which set it is does not matter."""
    one = set(range(size))
    others = [set(other) for other in combinations(range(6), other_size)]
    jaccard = np.mean([len(one & other) / len(one | other) for other in others])
    overlap = np.mean([len(one & other) / min(size, other_size) for other in others])
    assert overlap == pytest.approx(max(size, other_size) / 6)
    return float(jaccard), float(overlap)


def test_look_ups_are_carried_by_one_neuron_each_and_shared_by_none() -> None:
    data = Observed.of(make_data(Modular(p=P), CommutationSafe(frac_train=0.6), "true", seed=0))
    found = observe(Carriers(baseline="zero"), planted.lookup(P, PAIRS), data)
    cells = [x * P + y for x, y in PAIRS]
    on_side = np.array([side[cells].sum() for side in data.sides()])
    np.testing.assert_allclose(found["carried"] * [side.sum() for side in data.sides()], on_side)
    for i in np.flatnonzero(on_side > 0):
        assert (found["size"][i] == 1).all()
    for i in np.flatnonzero(on_side > 1):
        assert found["jaccard"][i, 0] == found["overlap"][i, 0] == 0
        assert found["overlap_null"][i, 0] == pytest.approx(1 / 4, abs=0.03)
    assert (on_side > 1).any()


def test_areas_with_circuits_of_their_own_share_within_and_not_across() -> None:
    rng = np.random.default_rng(0)
    sets = np.eye(4, dtype=bool)[AREA]
    assert (overlap_of(sets, pairs_within(AREA, 200, rng)).jaccard == 1).all()
    assert (overlap_of(sets, pairs_across(AREA, 200, rng)).jaccard == 0).all()


def test_pairs_within_are_even_over_examples_that_are_not_alone() -> None:
    pairs = pairs_within(AREA, 40_000, np.random.default_rng(0))
    expected = {
        (i, j): 1 / 5 / (np.sum(AREA[i] == AREA) - 1)
        for i, j in permutations(range(7), 2)
        if AREA[i] == AREA[j]
    }
    _have_these_shares(pairs, expected)


def test_pairs_across_are_even_over_the_examples_of_other_areas() -> None:
    pairs = pairs_across(AREA, 40_000, np.random.default_rng(0))
    expected = {
        (i, j): 1 / 7 / np.sum(AREA[i] != AREA)
        for i, j in permutations(range(7), 2)
        if AREA[i] != AREA[j]
    }
    _have_these_shares(pairs, expected)


def _have_these_shares(pairs: np.ndarray, expected: dict[tuple[int, int], float]) -> None:
    found, counts = np.unique(pairs.T, axis=0, return_counts=True)
    assert {tuple(pair) for pair in found.tolist()} == set(expected)
    for pair, count in zip(found.tolist(), counts, strict=True):
        share = expected[tuple(pair)]
        assert abs(count / 40_000 - share) < 5 * (share / 40_000) ** 0.5


def test_no_such_pair_is_no_pair() -> None:
    rng = np.random.default_rng(0)
    assert pairs_within(np.arange(3), 5, rng).shape == (2, 0)
    assert pairs_across(np.zeros(3, int), 5, rng).shape == (2, 0)


def test_areas_are_read_within_and_across() -> None:
    model, data = tiny.transformer(), tiny.observed()
    measure = Carriers(areas="sum_band", n_pairs=50)
    readings = measure.observe(model, data, tiny.context(model))
    for name in ("jaccard", "overlap", "jaccard_null", "overlap_null"):
        reading = readings[f"carriers_{name}"]
        assert reading.dims == ("side", "pair")
        assert reading.coords["pair"] == (
            "any",
            "within",
            "across",
            "within_renamed",
            "across_renamed",
        )
        assert np.isfinite(reading.values).all()


def test_where_nothing_is_carried_nothing_is_said() -> None:
    model = planted.lookup(5, [(0, 1)], strength=-1.0)
    found = observe(Carriers(baseline="zero"), model, tiny.observed())
    assert (found["carried"] == 0).all()
    assert np.isnan(found["size"]).all()
    assert np.isnan(found["jaccard"]).all()


def test_a_task_without_a_table_has_no_areas() -> None:
    run = tiny.spec(
        task=SparseParity().model_dump(), model=MLPSpec().model_dump(), split={"name": "leaky_random"}
    )
    Carriers().check(run)
    with pytest.raises(ValueError, match="none"):
        Carriers(areas="block").check(run)
