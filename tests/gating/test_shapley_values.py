"""Shapley values against enumeration in float64, their axioms, and both ways along an order."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating import Sampling, baselines, shapley_values, site_of
from undergrowth.gating.gated_scores import gated_scores
from undergrowth.gating.scores import ScoreName
from undergrowth.gating.shapley_values import ShapleyValues, enumerated, sampled
from undergrowth.models import MLPSpec, Model, TwoTokenMLPSpec, load_state_dict, state_dict

ALL: tuple[ScoreName, ...] = ("correct_logit", "centred_logit", "log_prob", "accuracy")
DEEP = MLPSpec(d_mlp=6)
WIDE = TwoTokenMLPSpec(d_embed=4, d_mlp=13, bias=True)
"""More neurons than are enumerated, and still few enough to enumerate by hand."""


def arguments(
    model: Model, component: str = "neuron", score: ScoreName = "log_prob", layer: int = -1
) -> dict[str, Any]:
    data = tiny.observed()
    return {
        "model": model,
        "inputs": data.inputs,
        "labels": data.labels,
        "site": site_of(model, component, layer),
        "score": score,
        "baseline": dict(baselines(model, data.train_inputs(), "mean")),
    }


def of(model: Model, component: str = "neuron", score: ScoreName = "log_prob") -> ShapleyValues:
    return shapley_values(**arguments(model, component, score), rng=np.random.default_rng(0))


def by_sampling(model: Model, score: ScoreName, seed: int = 0, **fields: Any) -> ShapleyValues:
    rng, sampling = np.random.default_rng(seed), Sampling(**fields)
    return sampled(**arguments(model, "neuron", score), rng=rng, sampling=sampling)


@cache
def by_hand(name: str, component: str, score: str) -> np.ndarray:
    """From all coalitions, in float64, of the tiny transformer or MLP with the mean baseline."""
    data, model = tiny.observed(), {"transformer": tiny.transformer, "mlp": tiny.mlp}[name]()
    weights, inputs, labels = state_dict(model), np.asarray(data.inputs), np.asarray(data.labels)
    forward = getattr(brute_force, name)
    kept: dict[str, np.ndarray] = {}
    forward(weights, inputs[np.asarray(data.is_train)], keep=kept)
    baseline = kept[{"head": "z", "neuron": "post"}[component]].mean(axis=0)

    def scored(gates: np.ndarray) -> np.ndarray:
        gated: Any = {f"{component}_gates": gates, f"{component}_baseline": baseline}
        return brute_force.score(score, forward(weights, inputs, **gated), labels)

    return brute_force.shapley(scored, (25, site_of(model, component).n_components))


@cache
def exact(score: ScoreName) -> np.ndarray:
    """Of the wide model, by going through all 2^13 sets."""
    return enumerated(**arguments(tiny.made(WIDE), score=score)).values


MODELS = {"transformer": tiny.transformer(), "mlp": tiny.mlp()}
SITES = [("transformer", "neuron"), ("transformer", "head"), ("mlp", "neuron")]


@pytest.mark.parametrize(("name", "component"), SITES)
@pytest.mark.parametrize("score", ALL)
def test_up_to_twelve_components_values_are_exact(name: str, component: str, score: ScoreName) -> None:
    found = of(MODELS[name], component, score)
    np.testing.assert_allclose(found.values, by_hand(name, component, score), atol=2e-5)
    assert (found.standard_errors == 0).all()


@pytest.mark.parametrize("score", ALL)
def test_values_of_an_example_add_up_to_what_all_components_do_together(score: ScoreName) -> None:
    of_wide = arguments(tiny.made(WIDE), score=score)
    ends = gated_scores(patterns=np.eye(2, dtype=np.float32)[:, [0] * 13], **of_wide)
    assert np.abs(ends[:, 0] - ends[:, 1]).max() > 0.1
    drawn = by_sampling(of_wide["model"], score, n_permutations=4)
    for values in (of(of_wide["model"], score=score).values, drawn.values, exact(score)):
        np.testing.assert_allclose(values.sum(axis=1), ends[:, 0] - ends[:, 1], atol=1e-4)


def with_twins_and_a_dummy() -> Model:
    """Neuron 1 is as neuron 0, and nothing reads neuron 2."""
    arrays = state_dict(tiny.made(WIDE))
    for name in ("mlp.W_in", "mlp.b_in"):
        arrays[name] = arrays[name].copy()
        arrays[name][..., 1] = arrays[name][..., 0]
    arrays["unembed.W_U"] = arrays["unembed.W_U"].copy()
    arrays["unembed.W_U"][1] = arrays["unembed.W_U"][0]
    arrays["unembed.W_U"][2] = 0
    return load_state_dict(tiny.made(WIDE), arrays)


@pytest.mark.parametrize("score", ALL)
def test_twins_get_equal_values_and_a_dummy_nothing(score: ScoreName) -> None:
    model = with_twins_and_a_dummy()
    values = enumerated(**arguments(model, score=score)).values
    np.testing.assert_allclose(values[:, 0], values[:, 1], atol=1e-5)
    np.testing.assert_allclose(values[:, 2], 0, atol=1e-5)
    assert np.abs(values).max() > 0.1
    drawn = by_sampling(model, score, n_permutations=200)
    assert np.abs(drawn.values[:, 2]).max() < 1e-5
    apart = drawn.values[:, 0] - drawn.values[:, 1]
    error = np.sqrt((drawn.standard_errors[:, :2] ** 2).sum(axis=1) * 2)  # twins are correlated
    assert (np.abs(apart) <= 4 * error + 1e-5).all()


def test_values_are_linear_in_the_score() -> None:
    """The correct logit is linear in W_U; in the gates of the first of two layers it is not."""
    first = tiny.made(DEEP)
    other = 3 * state_dict(tiny.made(DEEP, seed=1))["unembed.W_U"]
    second = load_state_dict(first, {**state_dict(first), "unembed.W_U": other})
    total = state_dict(first)["unembed.W_U"] + other
    both = load_state_dict(first, {**state_dict(first), "unembed.W_U": total})
    of_models = [arguments(model, score="correct_logit", layer=0) for model in (first, second, both)]
    sampling = Sampling(n_permutations=4)
    drawn = [sampled(**of, rng=np.random.default_rng(0), sampling=sampling) for of in of_models]
    for one, two, together in (drawn, [enumerated(**of) for of in of_models]):
        assert np.abs(one.values - two.values).max() > 0.1
        np.testing.assert_allclose(one.values + two.values, together.values, atol=1e-4)


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("score", ["log_prob", "accuracy"])
def test_sampled_values_lie_within_their_errors_of_the_exact_ones(
    score: ScoreName, antithetic: bool
) -> None:
    """325 values: as many beyond two errors as a normal law has, about, and none beyond six."""
    model = tiny.made(WIDE)
    found = by_sampling(model, score, n_permutations=200, antithetic=antithetic)
    moved = found.standard_errors > 1e-6
    assert moved.mean() > 0.3
    off = np.abs(found.values - exact(score))[moved] / found.standard_errors[moved]
    assert off.max() < 6
    assert 0.005 < (off > 2).mean() < 0.1
    assert np.abs(found.values - exact(score))[~moved].max(initial=0) < 0.02


def test_the_error_of_a_mean_over_examples_is_that_of_independent_examples() -> None:
    """Over 40 seeds the mean scatters by what one seed says."""
    found = [by_sampling(tiny.mlp(), "log_prob", seed, n_permutations=8) for seed in range(40)]
    scatter = np.std([f.values.mean(axis=0) for f in found], axis=0, ddof=1)
    said = [np.sqrt((f.standard_errors**2).sum(axis=0)) / 25 for f in found]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(said), axis=0)), scatter, rtol=0.35)


def test_pairs_of_an_order_and_its_reverse_err_less() -> None:
    """As much for as many passes: a value's curvature in the gates cancels."""
    paired, plain = (
        by_sampling(tiny.made(WIDE), "log_prob", n_permutations=200, antithetic=a).standard_errors
        for a in (True, False)
    )
    assert np.sqrt(np.mean(paired**2)) < 0.8 * np.sqrt(np.mean(plain**2))


@pytest.mark.parametrize("tolerance", [None, 0.2])
@pytest.mark.parametrize("score", ALL)
def test_the_rank_one_walk_equals_the_walk_through_forward_passes(
    score: ScoreName, tolerance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, fields = tiny.made(WIDE), {"n_permutations": 4, "tolerance": tolerance}
    by_readout = by_sampling(model, score, **fields)
    monkeypatch.setattr(type(model), "readout", lambda self, site: None)
    by_passes = by_sampling(model, score, **fields)
    for mine, other in zip(by_readout, by_passes, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-5)
    assert np.abs(by_passes.values).max() > 0.1


def test_truncation_gives_nothing_to_what_is_open_when_the_end_is_near() -> None:
    """With one order, against a walk in numpy."""
    of_wide, tolerance = arguments(tiny.made(WIDE)), 0.3
    found = by_sampling(
        of_wide["model"], "log_prob", n_permutations=2, antithetic=False, tolerance=tolerance
    )
    rng, order, expected = np.random.default_rng(0), np.tile(np.arange(13), (25, 1)), np.zeros((25, 13))
    for _ in range(2):
        order = rng.permuted(order, axis=1)
        for i in range(25):
            open_gates = np.ones((14, 13), np.float32)
            for step, j in enumerate(order[i]):
                open_gates[step + 1 :, j] = 0
            one = {
                **of_wide,
                "inputs": of_wide["inputs"][i : i + 1],
                "labels": of_wide["labels"][i : i + 1],
            }
            scores = gated_scores(patterns=open_gates, **one)[0]
            near = np.flatnonzero(np.abs(scores - scores[-1]) <= tolerance)[0]
            expected[i, order[i, :near]] += (scores[:near] - scores[1 : near + 1]) / 2
    np.testing.assert_allclose(found.values, expected, atol=2e-5)
    assert ((expected == 0).sum(axis=1) > 0).any()


def test_zero_tolerance_ends_only_where_nothing_is_left_to_lose() -> None:
    """Of a step function, that is early; what is left out is less than what is over all."""
    whole, cut = (
        by_sampling(tiny.made(WIDE), "log_prob", n_permutations=4, tolerance=t) for t in (None, 0.0)
    )
    np.testing.assert_allclose(whole.values, cut.values, atol=1e-5)


def test_a_linear_score_needs_no_sampling() -> None:
    model = tiny.made(WIDE)
    found = of(model, score="centred_logit")
    assert (found.standard_errors == 0).all()
    np.testing.assert_allclose(found.values, exact("centred_logit"), atol=1e-5)
    drawn = by_sampling(model, "centred_logit", n_permutations=4)
    np.testing.assert_allclose(drawn.values, found.values, atol=1e-5)
    assert drawn.standard_errors.max() < 1e-5


def test_more_components_than_are_enumerated_are_sampled() -> None:
    found = shapley_values(
        **arguments(tiny.made(WIDE)),
        rng=np.random.default_rng(0),
        sampling=Sampling(n_permutations=4),
    )
    drawn = by_sampling(tiny.made(WIDE), "log_prob", n_permutations=4)
    assert (found.values == drawn.values).all()
    assert found.standard_errors.max() > 0


def test_sampling_in_pairs_wants_whole_pairs() -> None:
    with pytest.raises(ValueError, match="n_permutations = 7 with antithetic = true must be even"):
        Sampling(n_permutations=7)
    assert Sampling(n_permutations=7, antithetic=False).n_draws == 7
