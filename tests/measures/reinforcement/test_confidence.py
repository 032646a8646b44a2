"""Confidence against float64: probabilities near 1, and every example's gradient by brute force."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from tests.measures.worked_examples import NAMES, Worked, worked
from undergrowth.measures import Observed, Reading
from undergrowth.measures.reinforcement.confidence import (
    EDGES,
    LEVELS,
    QUANTILES,
    TOP,
    Confidence,
    confidence,
)
from undergrowth.models import Model, load_state_dict, state_dict

every_model = pytest.mark.parametrize("name", NAMES)


def observe(case: Worked) -> dict[str, Reading]:
    return dict(Confidence().observe(case.model, tiny.observed(), case.context()))


def norms(case: Worked) -> np.ndarray:
    """Of each example's gradient."""
    return np.sqrt(sum((g.reshape(len(g), -1) ** 2).sum(axis=1) for g in case.gradients.values()))


def sure(gain: float) -> tuple[Model, Observed, np.ndarray]:
    """A network that is as sure of its predictions as it is scaled, and log10(1 - p) in float64."""
    weights = state_dict(tiny.mlp())
    weights["unembed.W_U"] = gain * weights["unembed.W_U"]
    data = tiny.observed()
    logits = brute_force.mlp(weights, np.asarray(data.inputs))
    labels = logits.argmax(axis=1)
    labels[0] = logits[0].argmin()
    odds = np.exp(logits - logits[np.arange(25), labels][:, None])
    odds[np.arange(25), labels] = 0
    wrong = odds.sum(axis=1)
    data = replace(data, labels=jnp.asarray(labels, jnp.int32))
    return load_state_dict(tiny.mlp(), weights), data, np.log10(wrong / (1 + wrong))


def test_error_probability_is_exact_however_near_1_p_is() -> None:
    model, data, truth = sure(gain=60)
    assert truth.min() < -20  # 1 - p in float32 is 0 below 6e-8
    assert truth.max() > -1e-6  # and of one label the model is sure that it is not
    held = truth > -37
    np.testing.assert_allclose(confidence(model, data).error_probability[held], truth[held], atol=2e-5)


def test_quantiles_levels_and_histogram_are_those_of_the_examples() -> None:
    model, data, truth = sure(gain=8)
    readings = Confidence().observe(model, data, tiny.context(model))
    for s, side in enumerate(data.sides()):
        error_probability = truth[side]
        quantiles = np.quantile(error_probability, QUANTILES)
        np.testing.assert_allclose(
            readings["confidence_error_probability"].values[s], quantiles, atol=1e-4
        )
        p = 1 - 10**error_probability
        above = [(p > level).mean() for level in LEVELS]
        np.testing.assert_allclose(readings["confidence_above"].values[s], above, atol=1e-6)
        in_bins = [
            ((error_probability >= edge) & (error_probability < edge + 0.25)).mean()
            for edge in EDGES[:-1]
        ]
        np.testing.assert_allclose(readings["confidence_histogram"].values[s], in_bins, atol=1e-6)
        assert sum(in_bins) == pytest.approx(1)
    assert readings["confidence_histogram"].coords["bin"][-2:] == ("-0.5", "-0.25")


@every_model
def test_every_examples_gradient_norm_is_that_by_brute_force(name: str) -> None:
    case = worked(name)
    spec = case.context().spec
    found = confidence(
        case.model, tiny.observed(), loss=spec.loss, temperature=spec.temperature
    ).gradient_norm
    np.testing.assert_allclose(found, norms(case), rtol=1e-4)


def test_who_pushes_is_counted_from_the_norms_of_each_side() -> None:
    case = worked("transformer")
    readings = observe(case)
    for s, side in enumerate(tiny.observed().sides()):
        norm = np.sort(norms(case)[side])[::-1]
        effective_examples = float(
            readings[f"confidence_effective_examples_{('train', 'val')[s]}"].values
        )
        assert effective_examples == pytest.approx(norm.sum() ** 2 / (norm**2).sum(), rel=1e-4)
        n_top = {0.01: 1, 0.1: 2 if s == 0 else 1, 0.5: 8 if s == 0 else 5}  # of 15 and of 10
        expected = [norm[: n_top[share]].sum() / norm.sum() for share in TOP]
        np.testing.assert_allclose(readings["confidence_top"].values[s], expected, rtol=1e-4)


@every_model
def test_the_pulls_are_those_of_the_gradient_and_of_the_weights(name: str) -> None:
    case = worked(name)
    is_train, _ = tiny.observed().sides()
    readings = {n: float(r.values) for n, r in observe(case).items() if not r.dims}
    slope = np.concatenate([g[is_train].mean(axis=0).ravel() for g in case.gradients.values()])
    weights = np.concatenate([w.ravel() for w in case.weights.values()])
    rate = case.fields["optimiser"]["weight_decay"]
    assert readings["confidence_gradient_norm"] == pytest.approx(np.linalg.norm(slope), rel=1e-4)
    assert readings["confidence_pull_norm"] == pytest.approx(rate * np.linalg.norm(weights), rel=1e-5)
    cosine = slope @ weights / np.linalg.norm(slope) / np.linalg.norm(weights)
    assert readings["confidence_pull_cosine"] == pytest.approx(cosine, abs=1e-4)
    update = case.context().update()
    for part, tree in (("data", update.data), ("decay", update.decay)):
        norm = np.sqrt(sum((np.float64(a) ** 2).sum() for a in state_dict(tree).values()))
        assert readings[f"confidence_{part}_norm"] == pytest.approx(norm, rel=1e-5)


def test_the_pull_of_a_decay_to_the_first_weights_is_from_there() -> None:
    model = tiny.mlp()
    fields = {"optimiser": {"name": "adamw", "decay_to": "init", "weight_decay": 2.0}}
    at = tiny.context(model, **fields)
    readings = Confidence().observe(model, tiny.observed(), at)
    assert readings["confidence_pull_norm"].values == 0  # the run begins here
    further = load_state_dict(model, {n: w + 1 for n, w in state_dict(model).items()})
    readings = Confidence().observe(further, tiny.observed(), at)
    n_weights = sum(w.size for w in state_dict(model).values())
    assert readings["confidence_pull_norm"].values == pytest.approx(2 * n_weights**0.5, rel=1e-5)
