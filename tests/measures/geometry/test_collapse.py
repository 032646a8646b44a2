from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import Collapse, Observed, Reading
from undergrowth.measures.geometry.collapse import rounded
from undergrowth.models import Model, Transformer, TwoTokenMLP, load_state_dict, state_dict


def leading_by(margin: float, n_labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of one example whose right label, 1, leads one other by a margin; the rest are far off."""
    logits = np.full((1, n_labels), -200.0, np.float32)
    logits[0, 1], logits[0, 3] = 0.5 * margin, -0.5 * margin
    return logits, np.array([1], np.int32)


def found_at(margin: float) -> dict[str, float]:
    logits, labels = leading_by(margin)
    return {
        name: float(values[0])
        for name, values in rounded(jnp.asarray(logits), jnp.asarray(labels)).items()
    }


def readings_of(model: Model, temperature: float = 1.0) -> dict[str, Reading]:
    at = tiny.context(model, temperature=temperature)
    return dict(Collapse().observe(model, tiny.observed(), at))


@pytest.mark.parametrize(("margin", "collapsed"), [(10, 0), (16, 0), (17, 1), (30, 1), (-17, 0)])
def test_the_gradient_of_the_right_label_is_absorbed_once_it_leads_by_more_than_sixteen(
    margin: float, collapsed: float
) -> None:
    """1 + exp(-margin) rounds to 1 in float32 beyond 24 ln 2 = 16.64 nats, numpy says so too."""
    assert found_at(margin)["is_collapsed"] == collapsed
    assert (np.float32(1) + np.exp(np.float32(-margin)) == 1) == bool(collapsed)


@pytest.mark.parametrize("margin", [10, 16, 17, 30])
def test_losses_margin_and_sum_have_their_closed_forms(margin: float) -> None:
    found, exact = found_at(margin), np.log1p(np.exp(-float(margin)))
    np.testing.assert_allclose(found["exact"], exact, rtol=1e-5)
    np.testing.assert_allclose(found["float32"], exact, atol=1.2e-7)
    np.testing.assert_allclose(found["margin"], margin, rtol=1e-6)
    if margin > 16.7:  # all that is left is the pull on the wrong label
        assert found["float32"] == 0
        np.testing.assert_allclose(found["sum"], np.exp(-float(margin)), rtol=1e-5)
        assert found["sum"] == found["size"]
    else:
        assert found["sum"] < 0.2 * found["size"]


def test_readings_are_means_and_percentiles_over_each_side(
    transformer: Transformer, observed: Observed
) -> None:
    readings, labels = readings_of(transformer, temperature=0.5), np.asarray(observed.labels)
    logits = brute_force.transformer(state_dict(transformer), np.asarray(observed.inputs)) / 0.5
    losses = -brute_force.score("log_prob", logits, labels)
    in_order = np.sort(logits, axis=1)
    margins = in_order[:, -1] - in_order[:, -2]
    for i, side in enumerate(observed.sides()):
        np.testing.assert_allclose(readings["collapse_loss"].values[i], losses[side].mean(), rtol=1e-5)
        percentiles = readings["collapse_margin"].coords["percentile"]
        expected = [_percentile(margins[side], float(q)) for q in percentiles]
        np.testing.assert_allclose(readings["collapse_margin"].values[i], expected, rtol=1e-4)
        assert readings["collapse_zero_sum"].values[i] < 1e-6
        assert readings["collapse_share"].values[i] == 0


def test_a_scaled_up_model_collapses_on_what_it_is_sure_of(mlp: TwoTokenMLP, observed: Observed) -> None:
    arrays = state_dict(mlp)
    sure = load_state_dict(mlp, {**arrays, "unembed.W_U": 60 * arrays["unembed.W_U"]})
    logits = brute_force.mlp(state_dict(sure), np.asarray(observed.inputs))
    labels = np.asarray(observed.labels)
    others = np.exp(np.where(np.arange(5) == labels[:, None], -np.inf, logits)).sum(axis=1)
    rest = others / np.exp(np.take_along_axis(logits, labels[:, None], axis=1)[:, 0])
    assert not ((rest > 2**-25) & (rest < 2**-23)).any()  # no example where rounding is a close call
    share = readings_of(sure)["collapse_share"].values
    expected = [(rest[side] < 2**-24).mean() for side in observed.sides()]
    np.testing.assert_allclose(share, expected, rtol=1e-6)
    assert 0 < max(expected) < 1


def test_class_mean_and_feature_mean_are_those_of_the_unembedding(
    mlp: TwoTokenMLP, observed: Observed
) -> None:
    readings, keep = readings_of(mlp), {}
    is_train = np.asarray(observed.is_train)
    brute_force.mlp(state_dict(mlp), np.asarray(observed.inputs)[is_train], keep=keep)
    W_G, mu_G = state_dict(mlp)["unembed.W_U"].mean(axis=1), keep["post"].mean(axis=0)
    lengths = np.linalg.norm(W_G), np.linalg.norm(mu_G)
    found = [
        float(readings[f"collapse_{name}"].values) for name in ("weight_norm", "feature_norm", "cosine")
    ]
    np.testing.assert_allclose(found, [*lengths, W_G @ mu_G / np.prod(lengths)], rtol=1e-5)


def test_features_of_a_transformer_are_its_last_residual_stream(
    transformer: Transformer, observed: Observed
) -> None:
    """With W_U the identity the logits are the residual stream."""
    arrays = state_dict(transformer)
    weights = {**arrays, "unembed.W_U": np.eye(8, dtype=np.float32)}
    is_train = np.asarray(observed.is_train)
    resid = brute_force.transformer(weights, np.asarray(observed.inputs)[is_train])
    found = readings_of(transformer)["collapse_feature_norm"].values
    np.testing.assert_allclose(found, np.linalg.norm(resid.mean(axis=0)), rtol=1e-5)


def _percentile(values: np.ndarray, q: float) -> float:
    """Between the two neighbours in rank, linearly."""
    in_order, at = np.sort(values), q / 100 * (len(values) - 1)
    below = int(at)
    above = min(below + 1, len(values) - 1)
    return float(in_order[below] + (at - below) * (in_order[above] - in_order[below]))
