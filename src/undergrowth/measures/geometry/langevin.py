"""Stochastic gradient Langevin dynamics: what the loss is in the neighbourhood of some weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

W = TypeVar("W")
Slope = Callable[[W, PRNGKeyArray], tuple[Array, W]]


class Chains(NamedTuple):
    """The loss at each step of each chain, and the probability that Metropolis's rule would have let it
    move there from the step before (of the first, where the chain begins, it says nothing).
    """

    loss: Float[Array, "chain step"]
    acceptance: Float[Array, "chain step"]


class Move(NamedTuple):
    """The step that led to where a chain is: the log density and the mean move at the step before, and
    the move that was made.
    """

    log_density: Float[Array, ""]
    drift: Float[Array, " weight"]
    made: Float[Array, " weight"]


def langevin(
    loss_and_gradient: Slope[W],
    centre: W,
    key: PRNGKeyArray,
    *,
    n_chains: int,
    n_steps: int,
    lr: float | Array,
    n_beta: float | Array,
    localisation: float | Array,
) -> Chains:
    r"""Chains that begin at `centre` w* and sample, but for their finite steps, from

    .. math:: p(w) \propto \exp\bigl(-n\beta L(w) - \tfrac{\gamma}{2} |w - w^*|^2\bigr)

    by w <- w - lr/2 (n_beta grad L(w) + localisation (w - w*)) + sqrt(lr) noise (Welling & Teh 2011;
    Lau et al. 2023, arXiv:2308.12108, section 4.2). loss_and_gradient: of the weights and a key, from
    which a random batch may be drawn. The acceptance means something only where the loss is not of a
    random batch (Roberts & Tweedie 1996).

    In one compiled loop, on a CPU one chain after the other; memory: some five copies of the weights.
    """
    at_start, unravel = ravel_pytree(centre)

    def step(at: tuple[Array, Move], key: PRNGKeyArray) -> tuple[tuple[Array, Move], Chains]:
        w, last = at
        for_noise, for_batch = jax.random.split(key)
        loss, gradient = loss_and_gradient(unravel(w), for_batch)
        away = w - at_start
        log_density = -n_beta * loss - localisation / 2 * jnp.vdot(away, away)
        drift = -lr / 2 * (n_beta * ravel_pytree(gradient)[0] + localisation * away)
        # |made + drift|^2 - |made - last.drift|^2, without the difference of two large numbers
        asymmetry = jnp.vdot(last.drift + drift, 2 * last.made + drift - last.drift)
        log_ratio = log_density - last.log_density - asymmetry / (2 * lr)
        made = drift + jnp.sqrt(lr) * jax.random.normal(for_noise, w.shape, w.dtype)
        seen = Chains(loss, jnp.exp(jnp.minimum(log_ratio, 0)))
        return (w + made, Move(log_density, drift, made)), seen

    def chain(key: PRNGKeyArray) -> Chains:
        still = Move(jnp.zeros(()), jnp.zeros_like(at_start), jnp.zeros_like(at_start))
        return jax.lax.scan(step, (at_start, still), jax.random.split(key, n_steps))[1]

    at_once = None if jax.default_backend() == "cpu" else n_chains
    return jax.lax.map(chain, jax.random.split(key, n_chains), batch_size=at_once)
