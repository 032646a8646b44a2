"""Chains against closed forms, and against quadrature of the density that they are to sample from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.measures.geometry.langevin import Chains, langevin

Loss = Callable[[Any], Any]


@partial(jax.jit, static_argnames=("loss", "n_chains", "n_steps"))
def sampled(
    loss: Loss,
    centre: jax.Array,
    *,
    lr: float,
    n_beta: float,
    localisation: float,
    n_chains: int = 16,
    n_steps: int = 20_000,
) -> Chains:
    def slope(w: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.value_and_grad(loss)(w)

    how: dict[str, Any] = {"lr": lr, "n_beta": n_beta, "localisation": localisation}
    return langevin(slope, centre, jax.random.key(1), n_chains=n_chains, n_steps=n_steps, **how)


def estimate(chains: Chains, n_beta: float, burn_in: int) -> tuple[float, float]:
    """The coefficient where L(w*) = 0, and the standard error that the chains' scatter gives it."""
    by_chain = n_beta * np.asarray(chains.loss, np.float64)[:, burn_in:].mean(axis=1)
    return by_chain.mean(), by_chain.std(ddof=1) / np.sqrt(len(by_chain))


CURVATURE = np.array([0.5, 1.0, 2.0, 4.0])


def regular(w: jax.Array) -> jax.Array:
    return jnp.sum(jnp.asarray(CURVATURE, jnp.float32) * w**2) / 2


def test_a_regular_minimum_has_half_its_dimension_less_what_localisation_and_steps_do() -> None:
    """The chain is an autoregression w <- (1 - a) w + sqrt(lr) noise, whose variance is known."""
    n_beta, localisation, lr = 200.0, 1.0, 5e-4
    chains = sampled(regular, jnp.zeros(4), lr=lr, n_beta=n_beta, localisation=localisation)
    found, error = estimate(chains, n_beta, 2000)
    a = lr / 2 * (n_beta * CURVATURE + localisation)
    expected = float((n_beta * CURVATURE / 2 * lr / (1 - (1 - a) ** 2)).sum())
    assert error < 0.02
    assert abs(found - expected) < 0.05
    assert abs(expected - 4 / 2) < 0.1


def test_the_first_steps_of_a_chain_spread_as_an_autoregression_does() -> None:
    n_beta, localisation, lr = 200.0, 1.0, 1e-4
    chains = sampled(
        regular, jnp.zeros(4), lr=lr, n_beta=n_beta, localisation=localisation, n_chains=2000, n_steps=40
    )
    mean = np.asarray(chains.loss, np.float64).mean(axis=0)
    a = lr / 2 * (n_beta * CURVATURE + localisation)
    t = np.arange(40)[:, None]
    variance = lr * (1 - (1 - a) ** (2 * t)) / (1 - (1 - a) ** 2)
    assert mean[0] == 0
    np.testing.assert_allclose(mean[1:], (variance * CURVATURE / 2).sum(axis=1)[1:], rtol=0.1)


def fourth(w: jax.Array) -> jax.Array:
    return w[0] ** 4


def squares(w: jax.Array) -> jax.Array:
    return w[0] ** 2 * w[1] ** 2


def square_and_flat(w: jax.Array) -> jax.Array:
    return w[0] ** 2 + 0 * w[1]


def mean_energy(loss: Loss, n_beta: float, localisation: float) -> float:
    """n beta E[L] under exp(-n beta L - localisation |w|^2 / 2), by quadrature over the first weight.

    Given it, the second is normal: of variance 1 / localisation, or 1 / (2 n beta w^2 + localisation).
    """
    w = np.linspace(0, 10 / np.sqrt(localisation), 1_000_001)
    precision = localisation + 2 * n_beta * w**2 * (loss is squares)
    energy = n_beta * w ** (4 if loss is fourth else 2) / (precision if loss is squares else 1)
    exponent = localisation / 2 * w**2 + (0 if loss is squares else energy)
    density = np.exp(-exponent) / np.sqrt(precision)
    return float(np.trapezoid(energy * density) / np.trapezoid(density))


@pytest.mark.parametrize(
    ("loss", "n_beta", "lr", "n_chains"),
    [(square_and_flat, 1000.0, 2e-5, 16), (fourth, 1000.0, 5e-4, 16), (squares, 100.0, 4e-4, 32)],
)
def test_normal_crossings_have_the_coefficient_of_their_density(
    loss: Loss, n_beta: float, lr: float, n_chains: int
) -> None:
    """Steps of at most a tenth of the way to the minimum of the sharpest direction bias it by 5 %."""
    chains = sampled(loss, jnp.zeros(2), lr=lr, n_beta=n_beta, localisation=1.0, n_chains=n_chains)
    found, error = estimate(chains, n_beta, 5000)
    assert error < 0.015
    assert abs(found - mean_energy(loss, n_beta, 1.0)) < 0.03


@pytest.mark.parametrize(
    ("loss", "limit"), [(square_and_flat, 1 / 2), (fourth, 1 / 4), (squares, 1 / 2)]
)
def test_the_quadrature_goes_to_the_known_limit_as_the_temperature_falls(
    loss: Loss, limit: float
) -> None:
    """For prod w_i^(2 k_i) it is min 1 / (2 k_i), near as 1 / log where two weights share it."""
    gaps = [abs(mean_energy(loss, n_beta, 1.0) - limit) for n_beta in (10.0, 1e3, 1e5)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < gaps[0] / 2


def half_square(w: jax.Array) -> jax.Array:
    return jnp.sum(w**2) / 2


def test_acceptance_is_metropoliss_under_the_law_of_the_chain() -> None:
    """For one Gaussian weight a step and the place it starts at are jointly normal: by quadrature."""
    n_beta, localisation, lr = 3.0, 1.0, 0.2
    precision = n_beta + localisation
    chains = sampled(half_square, jnp.zeros(1), lr=lr, n_beta=n_beta, localisation=localisation)
    found = np.asarray(chains.acceptance, np.float64)[:, 1000:].mean()
    a = lr * precision / 2
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()
    w = np.sqrt(lr / (1 - (1 - a) ** 2)) * x[:, None]
    moved = (1 - a) * w + np.sqrt(lr) * x[None, :]

    def log_of_going(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return -precision * start**2 / 2 - (end - (1 - a) * start) ** 2 / (2 * lr)

    ratio = np.exp(np.minimum(log_of_going(moved, w) - log_of_going(w, moved), 0))
    expected = float(weight @ ratio @ weight)
    assert 0.8 < expected < 0.99
    assert abs(found - expected) < 0.003


def test_chains_that_leave_every_bound_are_seen() -> None:
    chains = sampled(
        half_square, jnp.ones(1), lr=1.0, n_beta=1e3, localisation=0.0, n_chains=2, n_steps=200
    )
    assert not np.isfinite(np.asarray(chains.loss)[:, -1]).any()


def test_equal_keys_give_equal_chains_and_chains_differ() -> None:
    one, again = (
        sampled(half_square, jnp.ones(1), lr=1e-3, n_beta=1.0, localisation=1.0, n_chains=2, n_steps=200)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.loss, again.loss)
    assert (np.asarray(one.loss)[0, 1:] != np.asarray(one.loss)[1, 1:]).all()
