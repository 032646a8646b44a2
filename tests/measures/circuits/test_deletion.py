"""Top-k deletion against models whose weights are edited by hand, in float64."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests import brute_force, tiny
from undergrowth.gating.attribution import BaselineName
from undergrowth.measures import Deletion, Observed, Reading, deletion_sets
from undergrowth.measures.circuits.deletion import STRATEGIES
from undergrowth.models import load_state_dict, state_dict

KS = (0, 1, 2, 4, 5)
TOP, RANDOM, LEAST, NORM_MATCHED, COMPLEMENT = range(5)

both_baselines = pytest.mark.parametrize("baseline", ["zero", "mean"])


def observe(
    baseline: BaselineName, repeats: int = 1, seed: int = 0, **fields: Any
) -> dict[str, Reading]:
    measure = Deletion(ks=KS, baseline=baseline, repeats=repeats, **fields)
    model, data = tiny.transformer(), tiny.observed()
    return dict(measure.observe(model, data, tiny.context(model, seed)))


def arrays_of(data: Observed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.asarray(data.inputs), np.asarray(data.labels), np.asarray(data.is_train)


def mean_post(baseline: str) -> np.ndarray:
    inputs, _, is_train = arrays_of(tiny.observed())
    kept: dict[str, np.ndarray] = {}
    brute_force.transformer(state_dict(tiny.transformer()), inputs[is_train], keep=kept)
    return kept["post"].mean(axis=0) * (baseline == "mean")


def after_editing(deleted: tuple[int, ...], baseline: str) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and log-probability on each side, the neurons' output rows cut out of the weights."""
    weights = brute_force.in_float64(state_dict(tiny.transformer()))
    stand_in = mean_post(baseline)
    for j in deleted:
        row = weights["blocks.0.mlp.W_out"][j].copy()
        weights["blocks.0.mlp.b_out"] = weights["blocks.0.mlp.b_out"] + stand_in[j] * row
        weights["blocks.0.mlp.W_out"][j] = 0
    inputs, labels, is_train = arrays_of(tiny.observed())
    logits = brute_force.transformer(weights, inputs)
    correct = logits.argmax(axis=1) == labels
    log_prob = brute_force.score("log_prob", logits, labels)
    sides = (is_train, ~is_train)
    return (
        np.array([correct[side].mean() for side in sides]),
        np.array([log_prob[side].mean() for side in sides]),
    )


def by_saliency(baseline: str) -> list[int]:
    """Neurons, the most salient first, by median |integrated gradient| on the training side."""
    weights = state_dict(tiny.transformer())
    inputs, labels, is_train = arrays_of(tiny.observed())

    def centred_logit(gates: np.ndarray) -> np.ndarray:
        logits = brute_force.transformer(
            weights,
            inputs[is_train],
            neuron_gates=gates,
            neuron_baseline=mean_post(baseline),
        )
        return brute_force.score("centred_logit", logits, labels[is_train])

    attribution = brute_force.integrated_gradients(centred_logit, (15, 6), n=3)  # linear: any n is exact
    return list(np.argsort(-np.median(np.abs(attribution), axis=0)))


@both_baselines
def test_deleting_the_most_and_the_least_salient_equals_cutting_their_weights(
    baseline: BaselineName,
) -> None:
    readings, order = observe(baseline), by_saliency(baseline)
    for column, k in enumerate(KS):
        for strategy, cut in ((TOP, order[:k]), (LEAST, order[6 - k :]), (COMPLEMENT, order[k:])):
            accuracy, log_prob = after_editing(tuple(cut), baseline)
            found = readings["deletion_accuracy"].values[:, strategy, column]
            np.testing.assert_allclose(found, accuracy, atol=1e-6)
            found = readings["deletion_log_prob"].values[:, strategy, column]
            np.testing.assert_allclose(found, log_prob, rtol=1e-5, atol=1e-6)
    values = readings["deletion_log_prob"].values
    assert np.abs(values[:, TOP, 1] - values[:, LEAST, 1]).max() > 0.005


@both_baselines
@pytest.mark.parametrize("strategy", [RANDOM, NORM_MATCHED])
def test_every_random_set_is_some_set_that_keeps_the_rules(
    strategy: int, baseline: BaselineName
) -> None:
    """Found by trying all sets of that size (for norm_matched, those outside the top k)."""
    readings, order = observe(baseline), by_saliency(baseline)
    for column, k in enumerate(KS):
        n = readings["deletion_n_deleted"].values[strategy, column]
        assert n == k or strategy == NORM_MATCHED
        allowed = range(6) if strategy == RANDOM else order[k:]
        found = readings["deletion_log_prob"].values[:, strategy, column]
        gaps = [
            np.abs(after_editing(cut, baseline)[1] - found).max()
            for cut in combinations(allowed, int(n))
        ]
        assert min(gaps) < 1e-5


@both_baselines
def test_deleting_nothing_leaves_the_whole_model(baseline: BaselineName) -> None:
    readings = observe(baseline)
    accuracy, log_prob = after_editing((), baseline)
    for strategy in (TOP, RANDOM, LEAST, NORM_MATCHED):
        np.testing.assert_allclose(readings["deletion_accuracy"].values[:, strategy, 0], accuracy)
        found = readings["deletion_log_prob"].values[:, strategy, 0]
        np.testing.assert_allclose(found, log_prob, rtol=1e-5)
        assert readings["deletion_n_deleted"].values[strategy, 0] == 0
        assert readings["deletion_norm_share"].values[strategy, 0] == 0


def test_readings_are_labelled_by_side_strategy_and_k() -> None:
    readings = observe("mean")
    by_side = ("accuracy", "log_prob", "accuracy_sd", "log_prob_sd")
    assert set(readings) == {f"deletion_{name}" for name in (*by_side, "n_deleted", "norm_share")}
    for name, reading in readings.items():
        has_side = name.removeprefix("deletion_") in by_side
        assert reading.dims == (("side", "strategy", "k") if has_side else ("strategy", "k"))
        assert reading.coords["strategy"] == STRATEGIES
        assert reading.coords["k"] == KS


def test_ks_beyond_the_number_of_components_are_left_out() -> None:
    measure = Deletion(ks=(0, 3, 6, 100), repeats=1)
    model = tiny.transformer()
    readings = measure.observe(model, tiny.observed(), tiny.context(model))
    assert readings["deletion_accuracy"].coords["k"] == (0, 3)


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_random_deletion_has_the_mean_and_the_spread_over_all_sets(k: int) -> None:
    """400 draws against all sets of that size: within five standard errors."""
    readings, column = observe("mean", repeats=400), KS.index(k)
    every = np.array([after_editing(cut, "mean") for cut in combinations(range(6), k)])
    for of, name in enumerate(("accuracy", "log_prob")):
        mean, sd = every[:, of].mean(axis=0), every[:, of].std(axis=0)
        found = readings[f"deletion_{name}"].values[:, RANDOM, column]
        assert (np.abs(found - mean) <= 5 * sd / 400**0.5 + 1e-6).all()
        found = readings[f"deletion_{name}_sd"].values[:, RANDOM, column]
        np.testing.assert_allclose(found, sd, rtol=0.2, atol=1e-6)
        assert sd.max() > 0.02


def test_what_is_not_drawn_or_drawn_once_has_no_spread() -> None:
    once, often = observe("mean", repeats=1), observe("mean", repeats=8)
    for name in ("deletion_accuracy_sd", "deletion_log_prob_sd"):
        assert (once[name].values == 0).all()
        assert (often[name].values[:, [TOP, LEAST, COMPLEMENT]] == 0).all()
    assert (often["deletion_log_prob_sd"].values[:, RANDOM, 1] > 0).all()


def test_components_can_be_ranked_by_the_norm_of_what_they_write() -> None:
    """The mean square over training examples of post_j - its mean, times its row's squared length."""
    weights = brute_force.in_float64(state_dict(tiny.transformer()))
    inputs, _, is_train = arrays_of(tiny.observed())
    kept: dict[str, np.ndarray] = {}
    brute_force.transformer(weights, inputs[is_train], keep=kept)
    rows = weights["blocks.0.mlp.W_out"] @ weights["unembed.W_U"]
    squares = kept["post"].var(axis=0) * (rows**2).sum(axis=1)
    order = list(np.argsort(-squares))
    assert order != by_saliency("mean")
    readings = observe("mean", rank_by="norm")
    for column, k in enumerate(KS):
        _, log_prob = after_editing(tuple(order[:k]), "mean")
        found = readings["deletion_log_prob"].values[:, TOP, column]
        np.testing.assert_allclose(found, log_prob, rtol=1e-5, atol=1e-6)
        share = squares[order[:k]].sum() / squares.sum()
        found = readings["deletion_norm_share"].values[TOP, column]
        np.testing.assert_allclose(found, share, rtol=1e-4)


@given(n=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_sets_have_their_sizes_and_keep_apart(n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    saliency, weight, k = rng.exponential(size=n), rng.exponential(size=n), int(share * n)
    found = deletion_sets(saliency, weight, (0, k), rng)
    assert found.shape == (len(STRATEGIES), 2, n)
    assert found.dtype == bool
    assert not found[:4, 0].any()
    sets = found[:, 1]
    assert (sets[[TOP, RANDOM, LEAST]].sum(axis=1) == k).all()
    assert (sets[COMPLEMENT] == ~sets[TOP]).all()
    assert not (sets[TOP] & sets[NORM_MATCHED]).any()
    if 0 < k < n:
        assert saliency[sets[TOP]].min() >= saliency[~sets[TOP]].max()
        assert saliency[sets[LEAST]].max() <= saliency[~sets[LEAST]].min()
    if 2 * k <= n:
        assert not (sets[TOP] & sets[LEAST]).any()


@given(n=st.integers(2, 40), seed=st.integers(0, 2**32))
def test_a_draw_deletes_with_every_k_what_it_deleted_with_a_smaller_one(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = deletion_sets(rng.exponential(size=n), rng.exponential(size=n), range(n), rng)
    for strategy in (TOP, RANDOM, LEAST):
        assert (sets[strategy, 1:] >= sets[strategy, :-1]).all()
    assert (sets[COMPLEMENT, 1:] <= sets[COMPLEMENT, :-1]).all()
    assert (sets[NORM_MATCHED, 1:] | sets[TOP, 1:] >= sets[NORM_MATCHED, :-1]).all()


@given(seed=st.integers(0, 2**32), k=st.integers(1, 40))
def test_the_norm_matched_set_carries_as_much_as_one_component_allows(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    saliency, weight = rng.exponential(size=200), rng.uniform(0.5, 1.5, 200)
    sets = deletion_sets(saliency, weight, [k], rng)[:, 0]
    wanted, carried = (weight[sets[strategy]].sum() for strategy in (TOP, NORM_MATCHED))
    assert abs(carried - wanted) <= 1.5 / 2  # half the largest component


def test_where_the_rest_cannot_carry_as_much_all_of_it_is_deleted() -> None:
    weight = np.array([10.0, 1.0, 1.0, 1.0])
    sets = deletion_sets(weight, weight, [1], np.random.default_rng(0))
    assert sets[NORM_MATCHED, 0].tolist() == [False, True, True, True]


def test_random_sets_are_drawn_evenly() -> None:
    rng, saliency = np.random.default_rng(0), np.arange(10.0)
    drawn = [deletion_sets(saliency, saliency, [3], rng)[RANDOM, 0] for _ in range(2000)]
    assert np.abs(np.mean(drawn, axis=0) - 0.3).max() < 0.05


def test_random_sets_follow_a_permutation_of_the_components() -> None:
    saliency, order = np.array([5.0, 1.0, 3.0, 2.0, 4.0]), np.array([4, 2, 0, 1, 3])
    sets, permuted = (
        deletion_sets(s, s, [0, 2], np.random.default_rng(3)) for s in (saliency, saliency[order])
    )
    assert (permuted == sets[..., order]).all()


def test_a_network_that_says_nothing_has_no_norm_to_share() -> None:
    model = load_state_dict(
        tiny.mlp(), {name: 0 * array for name, array in state_dict(tiny.mlp()).items()}
    )
    readings = Deletion(ks=KS, repeats=2).observe(model, tiny.observed(), tiny.context(model))
    assert (readings["deletion_norm_share"].values == 0).all()
    assert (readings["deletion_accuracy"].values == 0).all()
