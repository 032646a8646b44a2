"""Which functions networks compute when training has just made them fit the training side."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, UInt32
from pydantic import Field

from undergrowth.losses import LossName
from undergrowth.measures.context import Context
from undergrowth.measures.functions.fitting import Fits, FittingFunctions
from undergrowth.measures.functions.untrained import Untrained, WordStream, lead
from undergrowth.measures.reading import LossMeasure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.training.objectives import OBJECTIVES, TrainSet
from undergrowth.training.optimisers import Optimiser

AT_ONCE = 64
"""Networks that are trained side by side, until the last of them fits."""

N_ORDERS = 64
"""Orders of the batches, which networks take in turn: to draw one for each would take longer than to
train it."""


class TrainedFunctions(FittingFunctions, LossMeasure):
    """The functions of n_networks networks, each trained from a draw of its own until it fits.

    Their shares of the fits are P_OPT(f | S) of Mingard et al. 2021 (arXiv:2006.15191, section 2).
    Training is the run's: its optimiser from the start of its warm-up, loss, temperature, batches and
    weights of examples, but without its noise and interventions. A network stops after the first update
    from which it answers all training examples rightly, and after max_updates it is given up; after 0,
    `sampled_functions` with as many networks finds the same. {key}_updates: the mean over the networks
    that fit.
    """

    endings: ClassVar[tuple[str, ...]] = (*FittingFunctions.endings, "updates")

    name: Literal["trained_functions"] = "trained_functions"
    max_updates: int = Field(default=1000, ge=0, le=100_000)

    @property
    def scalars(self) -> tuple[str, ...]:
        return (*super().scalars, f"{self.key}_updates")

    def read(self, fits: Fits, data: Observed) -> Mapping[str, Reading]:
        readings = super().read(fits, data)
        return {**readings, f"{self.key}_updates": scalar(float(np.mean(fits.updates)))}

    def found(self, data: Observed, at: Context) -> Fits:
        return trained(data, at, self.n_networks, self.max_updates)

    def without_fit(self, n_train: int) -> str:
        return (
            f"none of n_networks = {self.n_networks} networks fits the {n_train} training examples "
            f"after max_updates = {self.max_updates}: raise max_updates or the learning rate"
        )


def trained(
    data: Observed, at: Context, n_networks: int, max_updates: int, at_once: int = AT_ONCE
) -> Fits:
    """Those of n_networks networks that training makes fit; which they are at_once decides not."""
    run, is_train = at.spec, np.asarray(data.is_train)
    untrained, by = Untrained.of(run), getattr(run.weights, "by", None)
    stream = WordStream(untrained, at.rng)
    inputs, labels, weights = (array[is_train] for array in (data.inputs, data.labels, data.weights))
    train_set = TrainSet(inputs, labels, weights if by == "loss" else None, jnp.uint32(0))
    orders = _orders(at, len(labels), max_updates, np.asarray(weights) if by == "sampling" else None)
    how = _How(untrained, run.optimiser.skeleton(), run.loss, run.batch.has_gaps)
    found = []
    for first in range(0, n_networks, at_once):
        network = first + np.arange(at_once)
        batches = None if orders is None else orders[network % N_ORDERS]
        fit, updates, leads = map(
            np.asarray,
            _train(
                stream.next(at_once),
                train_set,
                batches,
                data.inputs,
                run.optimiser.traced(),
                at.state.knobs["temperature"],
                jnp.int32(max_updates),
                how=how,
            ),
        )
        fit = fit & (network < n_networks)
        found.append(Fits(network[fit], leads[fit], updates[fit]))
    return Fits(*map(np.concatenate, zip(*found, strict=True)))


class _How(NamedTuple):
    """What of training decides what is compiled."""

    untrained: Untrained
    optimiser: Optimiser
    loss: LossName
    has_gaps: bool


def _orders(
    at: Context, n_train: int, max_updates: int, drawn_by: np.ndarray | None
) -> Int[np.ndarray, "order update place"] | None:
    """The batches of max_updates updates in N_ORDERS orders, each as of a run with a seed of its own."""
    if max_updates == 0:
        return None
    seeds = at.rng.integers(2**31, size=N_ORDERS)
    orders = [at.spec.batch.indices(n_train, int(s), 0, max_updates, drawn_by) for s in seeds]
    there = [order for order in orders if order is not None]
    return np.stack(there) if there else None


class _Trained(NamedTuple):
    """Networks in training. fits: which have stopped, for they fit."""

    model: Model
    opt_state: optax.OptState
    fits: Bool[Array, " network"]
    updates: Int[Array, " network"]


@partial(jax.jit, static_argnames="how")
def _train(
    words: UInt32[Array, "network word"],
    train_set: TrainSet,
    batches: Int[Array, "network update place"] | None,
    inputs: Array,
    traced: dict[str, Any],
    temperature: Array,
    max_updates: Int[Array, ""],
    how: _How,
) -> tuple[Bool[Array, " network"], Int[Array, " network"], Float[Array, "network example"]]:
    """Which networks fit in the end, after how many updates, and what each then says on all inputs."""
    transform = how.optimiser.with_traced(traced).build()

    def fits(model: Model) -> Array:
        return jnp.all((lead(model, train_set.inputs) > 0) == (train_set.labels == 1))

    def begun(words: Array) -> _Trained:
        model = how.untrained.network(words)
        state = transform.init(cast(optax.Params, model))
        return _Trained(model, state, fits(model), jnp.zeros((), jnp.int32))

    def forward(model: Model, inputs: Array, noise: Array) -> Array:
        return model(inputs) / temperature

    def updated(now: _Trained, batch: Array | None) -> _Trained:
        chosen = train_set if batch is None else train_set.of(batch, has_gaps=how.has_gaps)
        noise = jax.random.key(train_set.noise_seed)  # which this forward pass has none of
        _, gradient = OBJECTIVES[how.loss].gradient(now.model, chosen, forward, noise)
        change, opt_state = transform.update(
            cast(optax.Updates, gradient), now.opt_state, cast(optax.Params, now.model)
        )
        model = eqx.apply_updates(now.model, change)
        after = _Trained(cast(Model, model), opt_state, fits(cast(Model, model)), now.updates + 1)
        return jax.tree.map(partial(jnp.where, now.fits), now, after)

    def step(so_far: tuple[Array, _Trained]) -> tuple[Array, _Trained]:
        k, now = so_far
        if batches is None:
            return k + 1, jax.vmap(lambda its: updated(its, None))(now)
        return k + 1, jax.vmap(updated)(now, batches[:, k])

    def goes_on(so_far: tuple[Array, _Trained]) -> Array:
        return (so_far[0] < max_updates) & ~jnp.all(so_far[1].fits)

    begin = jnp.zeros((), jnp.int32), jax.vmap(begun)(words)
    _, now = jax.lax.while_loop(goes_on, step, begin)
    return now.fits, now.updates, jax.vmap(lambda model: lead(model, inputs))(now.model)
