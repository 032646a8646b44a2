"""Reinforcement of a strength against brute-force gradients of the losses and of the strength."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, brute_gradients, tiny
from tests.measures.worked_examples import worked
from undergrowth.gating.scores import centred_logit
from undergrowth.measures.reinforcement.strength import reinforcement_of
from undergrowth.models import Model, gated, load_state_dict, state_dict
from undergrowth.training.optimisers import SGD, AdamW, Muon

CASE = worked("two_token_mlp")
OPEN = np.array([1, 0, 1, 1, 0, 1], np.float32)


def carried(model: Model) -> jax.Array:
    """The mean centred logit that neurons 1 and 4 carry."""
    data, (site,) = tiny.observed(), model.sites
    closed = model(data.inputs, gated((site,), {site.name: jnp.asarray(OPEN)}))
    return jnp.mean(centred_logit(model(data.inputs), data.labels) - centred_logit(closed, data.labels))


def slope_of_carried() -> dict[str, np.ndarray]:
    """By central differences, in float64."""
    data = tiny.observed()
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)

    def of(weights: brute_force.Weights) -> np.ndarray:
        scores = [
            brute_force.score(
                "centred_logit", brute_force.mlp(weights, inputs, neuron_gates=gates), labels
            )
            for gates in (1.0, OPEN)
        ]
        return (scores[0] - scores[1]).mean(keepdims=True)

    return {n: g[0] for n, g in brute_gradients.gradients(of, CASE.weights).items()}


def expected(scale: dict[str, np.ndarray] | None = None) -> np.ndarray:
    slope = slope_of_carried()
    found = np.zeros(25)
    for name, gradient in CASE.gradients.items():
        raised = slope[name] * (1 if scale is None else scale[name])
        found -= (gradient * raised).reshape(25, -1).sum(axis=1)
    return found


@pytest.mark.parametrize("opt_state", [None, SGD().build().init(CASE.model)], ids=["none", "sgd"])  # pyright: ignore[reportArgumentType]
def test_without_a_preconditioner_it_is_the_inner_product_of_the_two_gradients(
    opt_state: object,
) -> None:
    found = reinforcement_of(CASE.model, tiny.observed(), carried, opt_state=opt_state)
    truth = expected()
    assert np.abs(truth).max() > 0.01
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-6 * np.abs(truth).max())


def test_adams_moments_weigh_each_weight() -> None:
    optimiser, rng = AdamW(betas=(0.9, 0.8), eps=1e-3), np.random.default_rng(0)
    tx = optimiser.build()
    state = tx.init(CASE.model)  # pyright: ignore[reportArgumentType]
    weights, seen = state_dict(CASE.model), []
    for _ in range(2):
        seen.append({n: rng.normal(size=w.shape).astype(np.float32) for n, w in weights.items()})
        gradient = load_state_dict(CASE.model, seen[-1])
        _, state = tx.update(gradient, state, CASE.model)  # pyright: ignore[reportArgumentType]
    v = {n: (0.8 * 0.2 * seen[0][n] ** 2 + 0.2 * seen[1][n] ** 2) / (1 - 0.8**2) for n in weights}
    scale = {n: 1 / (np.sqrt(of) + 1e-3) for n, of in v.items()}
    found = reinforcement_of(CASE.model, tiny.observed(), carried, opt_state=state)
    truth = expected(scale)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-6 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("optimiser", "message"), [(AdamW(), "no second moment yet"), (Muon(), "Muon rotates gradients")]
)
def test_an_optimiser_without_a_preconditioner_is_an_error(
    optimiser: AdamW | Muon, message: str
) -> None:
    state = optimiser.build().init(CASE.model)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=message):
        reinforcement_of(CASE.model, tiny.observed(), carried, opt_state=state)
