"""The local learning coefficient: how degenerate the loss is around the present weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from pydantic import Field

from undergrowth.measures.context import Context
from undergrowth.measures.geometry.langevin import Chains, langevin
from undergrowth.measures.reading import LossMeasure, Observed, Reading, scalar
from undergrowth.measures.training_loss import TrainingLoss, loss_and_gradient
from undergrowth.models import Model
from undergrowth.schedules import Schedule
from undergrowth.training.optimisers import NonNegative, Positive


class LocalLearningCoefficient(LossMeasure):
    r"""The local learning coefficient (Lau et al. 2023, arXiv:2308.12108, section 4).

    .. math:: \hat\lambda = n\beta \, (E[L(w)] - L(w^*))

    with L the training loss (`TrainingLoss`), w* the present weights and the mean over Langevin dynamics
    around them (`langevin`: lr, localisation gamma, n_beta).

    n_beta: None for n / log n, with n the number of training examples. batch_size: examples per step,
    drawn with replacement; None, or as many as there are, for all of them. `n_draws` steps of each chain
    count, after `burn_in` that do not.

    llc: the mean over chains; llc_sd: their standard deviation; llc_chain [chain]; llc_loss: L(w*).
    llc_trace [chain, draw]: L at every `trace_every`-th step, burn-in too.

    Trust it only where llc_negative_share, the share of draws with a loss below L(w*), is small (it is
    not if w* is no minimum); where llc_drift, the estimate from the later half of the draws minus that
    from the earlier, is small relative to llc; and where llc_acceptance, the Metropolis acceptance rate,
    is near 1, so steps are short enough (only if every step uses all examples). A chain that diverges
    reads NaN, and so do the means; llc_diverged_share is the share of such chains.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "",
        "acceptance",
        "chain",
        "diverged_share",
        "drift",
        "loss",
        "negative_share",
        "sd",
        "trace",
    )

    name: Literal["local_learning_coefficient"] = "local_learning_coefficient"
    lr: Positive = 2e-5
    localisation: NonNegative = 1000.0
    n_beta: Positive | None = None
    batch_size: int | None = Field(default=256, ge=1, le=4096)
    n_chains: int = Field(default=4, ge=2)
    n_draws: int = Field(default=300, ge=2)
    burn_in: int = Field(default=200, ge=0)
    trace_every: int = Field(default=10, ge=1)
    schedule: Schedule = Schedule(every=1000, until=1000, per_decade=4)

    @property
    def key(self) -> str:
        return "llc"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("llc", "llc_sd", "llc_loss", "llc_negative_share", "llc_drift", "llc_diverged_share")

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        weights, objective = model.network, TrainingLoss.of(model, data, at)
        n, size = objective.n_examples, self.batch_size
        n_beta = n / math.log(max(n, 2)) if self.n_beta is None else self.n_beta
        at_centre = float(loss_and_gradient(objective, weights)[0])
        chains = _chains(
            objective,
            weights,
            jax.random.key(int(at.rng.integers(2**32))),
            None if size is None or size >= n else size,
            self.n_chains,
            self.burn_in + self.n_draws,
            jnp.float32(self.lr),
            jnp.float32(n_beta),
            jnp.float32(self.localisation),
        )
        losses = _finite(chains.loss)
        above = n_beta * (losses[:, self.burn_in :].astype(np.float64) - at_centre)
        steps = tuple(range(0, self.burn_in + self.n_draws, self.trace_every))
        readings = {name: scalar(value) for name, value in _summary(above).items()} | {
            "llc_loss": scalar(at_centre),
            "llc_chain": Reading(("chain",), above.mean(axis=1).astype(np.float32)),
            "llc_trace": Reading(("chain", "draw"), losses[:, :: self.trace_every], {"draw": steps}),
        }
        if size is None or size >= n:
            accepted = np.asarray(chains.acceptance)[:, max(1, self.burn_in) :]
            readings["llc_acceptance"] = scalar(accepted.mean(dtype=np.float64))
        return readings


def _summary(above: np.ndarray) -> dict[str, float]:
    """What is read off n beta (L - L(w*)) [chain, draw]."""
    half = above.shape[1] // 2
    by_chain = above.mean(axis=1)
    drift = above[:, half:].mean(axis=1) - above[:, :half].mean(axis=1)
    return {
        "llc": float(by_chain.mean()),
        "llc_sd": float(by_chain.std(ddof=1)),
        "llc_negative_share": float((above < 0).mean()),
        "llc_drift": float(drift.mean()),
        "llc_diverged_share": float(np.isnan(by_chain).mean()),
    }


def _finite(values: Array) -> np.ndarray:
    """The values with NaN for what is not finite."""
    return np.where(np.isfinite(values), values, np.float32(np.nan))


@partial(jax.jit, static_argnums=(3, 4, 5))
def _chains(
    objective: TrainingLoss,
    weights: Model,
    key: PRNGKeyArray,
    batch_size: int | None,
    n_chains: int,
    n_steps: int,
    lr: Array,
    n_beta: Array,
    localisation: Array,
) -> Chains:
    def slope(weights: Model, key: PRNGKeyArray) -> tuple[Array, Model]:
        looked_at = objective if batch_size is None else objective.drawn(key, batch_size)
        return loss_and_gradient(looked_at, weights)

    return langevin(
        slope,
        weights,
        key,
        n_chains=n_chains,
        n_steps=n_steps,
        lr=lr,
        n_beta=n_beta,
        localisation=localisation,
    )
