"""One step of gradient descent, and many of them in one compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from undergrowth.losses import Loss, LossName
from undergrowth.models import Hook, Model, mapped, no_hook
from undergrowth.models.sites import is_mlp_out
from undergrowth.training.interventions.lasting import asked
from undergrowth.training.noise import key_for
from undergrowth.training.objectives import OBJECTIVES, TrainSet, sum_by_example
from undergrowth.training.objectives.by_example import Make
from undergrowth.training.optimisers import AnyOptimiser
from undergrowth.training.optimisers.state import rate_at, with_hyperparams
from undergrowth.training.state import TrainState

T = TypeVar("T")

STRETCH = 250
"""Most steps between two returns to Python: bounds memory and the wait for progress."""


@partial(jax.jit, static_argnames=("optimiser", "loss", "has_gaps"))
def advance(
    state: TrainState,
    train_set: TrainSet,
    batches: Array | None,
    start: int,
    n_steps: int,
    *,
    optimiser: AnyOptimiser,
    loss: LossName,
    has_gaps: bool,
) -> tuple[TrainState, Float[Array, " step"]]:
    """n_steps updates, at most STRETCH, from step `start` in one compiled loop; and the loss of each.

    start and n_steps are traced, so a shape compiles once; the losses are filled up to STRETCH.
    `has_gaps`: as in `TrainSet.of`.
    """

    def step(k: Array, so_far: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
        state, losses = so_far
        chosen = train_set if batches is None else train_set.of(batches[k], has_gaps=has_gaps)
        mean, gradient = slope(state, loss, chosen, start + k)
        after = update(state, optimiser, gradient, start + k, train_set.noise_seed)
        return after, losses.at[k].set(mean)

    return jax.lax.fori_loop(0, n_steps, step, (state, jnp.zeros(STRETCH)))


@partial(jax.jit, static_argnames=("optimiser", "loss", "has_gaps"), donate_argnames="states")
def advance_together(
    states: TrainState,
    train_sets: TrainSet,
    batches: Array | None,
    starts: Int[Array, " run"],
    seen: Int[Array, " run"],
    n_steps: int,
    *,
    optimiser: AnyOptimiser,
    loss: LossName,
    has_gaps: bool,
) -> tuple[TrainState, Float[Array, "run step"]]:
    """`advance` for several runs side by side, each from a step of its own: all make n_steps updates.

    states, train_sets, batches: those of all runs, stacked. seen: how many of its batches a run has had.
    The memory of the states that are given is used for those that are returned.
    """

    def step(k: Array, so_far: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
        states, losses = so_far

        def one(
            state: TrainState, train_set: TrainSet, batches: Array | None, start: Array, seen: Array
        ) -> tuple[TrainState, Array]:
            chosen = train_set if batches is None else train_set.of(batches[seen + k], has_gaps=has_gaps)
            mean, gradient = slope(state, loss, chosen, start + k)
            return update(state, optimiser, gradient, start + k, train_set.noise_seed), mean

        states, means = jax.vmap(one)(states, train_sets, batches, starts, seen)
        return states, losses.at[:, k].set(means)

    return jax.lax.fori_loop(0, n_steps, step, (states, jnp.zeros((len(starts), STRETCH))))


def update(
    state: TrainState,
    optimiser: AnyOptimiser,
    gradient: Model,
    step: Array,
    noise_seed: UInt32[Array, ""],
) -> TrainState:
    """One step down a gradient, with all that is set."""
    change, opt_state = _change(state, optimiser, gradient, step, noise_seed)
    model = asked("on_weights", eqx.apply_updates(state.model, change), state)
    return state.replace(model=model, opt_state=opt_state)


@partial(jax.jit, static_argnames=("optimiser", "loss"))
def update_in_parts(
    state: TrainState, examples: TrainSet, step: int, *, optimiser: AnyOptimiser, loss: LossName
) -> tuple[Model, Model, Model]:
    """What `update` adds to the weights by the gradient, by decay and by holding a norm.

    See `measures.Update`.
    """
    at, seed = jnp.asarray(step), examples.noise_seed
    _, gradient = slope(state, loss, examples, at)
    whole, _ = _change(state, optimiser, gradient, at, seed)
    data, _ = _change(_undecayed(state), optimiser, gradient, at, seed)
    free = eqx.apply_updates(state.model, whole)
    held = asked("on_weights", free, state)
    return data, jax.tree.map(jnp.subtract, whole, data), jax.tree.map(jnp.subtract, held, free)


@partial(jax.jit, static_argnames="loss")
def gradient_followed(state: TrainState, examples: TrainSet, step: int, *, loss: LossName) -> Model:
    """The gradient that the update follows, as the optimiser is handed it."""
    return slope(state, loss, examples, jnp.asarray(step))[1]


def _change(
    state: TrainState,
    optimiser: AnyOptimiser,
    gradient: Model,
    step: Array,
    noise_seed: UInt32[Array, ""],
) -> tuple[Model, optax.OptState]:
    """What a gradient adds to the weights, before any norm is held."""
    change, opt_state = _stepped(state, optimiser, gradient)
    if state.scales_decay:
        data, _ = _stepped(_undecayed(state), optimiser, gradient)
        decay = asked("on_decay", jax.tree.map(jnp.subtract, change, data), state)
        change = jax.tree.map(jnp.add, data, decay)
    if "update_noise" in state.knobs:
        sd = state.knobs["update_noise"] * rate_at(optimiser, state.opt_state, step)
        change = _jittered(change, sd, key_for("update", _noise_of(noise_seed, step)))
    return asked("on_update", change, state, step), opt_state


def _stepped(
    state: TrainState, optimiser: AnyOptimiser, gradient: Model
) -> tuple[Model, optax.OptState]:
    """What the optimiser itself makes of a gradient."""
    updates, opt_state = optimiser.build().update(
        cast(optax.Updates, gradient), state.opt_state, cast(optax.Params, state.model)
    )
    return cast(Model, updates), opt_state


def _undecayed(state: TrainState) -> TrainState:
    return state.replace(opt_state=with_hyperparams(state.opt_state, {"weight_decay": jnp.zeros_like}))


def slope(
    state: TrainState, loss: LossName, examples: TrainSet, step: Array
) -> tuple[Float[Array, ""], Model]:
    """The mean loss of the given examples as it is trained on, and the gradient that is followed, noise
    included.
    """
    noise = _noise_of(examples.noise_seed, step)

    def forward(model: Model, inputs: Array, key: PRNGKeyArray) -> Array:
        return _forward(model, state, inputs, key) / state.knobs["temperature"]

    mean, gradient = OBJECTIVES[loss].gradient(state.model, examples, forward, noise)
    of_example = OBJECTIVES[loss].of_example
    by_example = None
    if of_example is not None:
        by_example = partial(_by_example, of_example, state, examples, noise)
    gradient = asked("on_examples", gradient, state, by_example, noise)
    gradient = asked("on_gradient", gradient, state, noise)
    if "gradient_noise" in state.knobs:
        gradient = _jittered(gradient, state.knobs["gradient_noise"], key_for("gradient", noise))
    return mean, gradient


def _by_example(
    loss: Loss, state: TrainState, examples: TrainSet, noise: PRNGKeyArray, make: Make
) -> Model:
    """See `sum_by_example`; in the textbook pass, for one example shares nothing with others."""

    def forward(model: Model, inputs: Array, key: PRNGKeyArray) -> Array:
        return _forward(model, state, inputs, key, is_plain=True) / state.knobs["temperature"]

    return sum_by_example(loss, state.model, examples, forward, noise, make)


def _forward(
    model: Model, state: TrainState, inputs: Array, noise: PRNGKeyArray, *, is_plain: bool = False
) -> Array:
    """Logits under training: noisy weights, ablated components and dropout where they are set."""
    if "weight_noise" in state.knobs:
        model = _jittered(model, state.knobs["weight_noise"], key_for("weight", noise))
    hook = asked("on_activations", no_hook, state)
    sites = {site.name for site in model.sites}
    if "dropout" in state.knobs:
        hook = _dropping(hook, state.knobs["dropout"], noise, sites.__contains__)
    if "residual_dropout" in state.knobs:
        hook = _dropping(hook, state.knobs["residual_dropout"], noise, is_mlp_out)
    return model.plain(inputs, hook) if is_plain else model(inputs, hook)


def _dropping(hook: Hook, rate: Array, noise: PRNGKeyArray, where: Callable[[str], bool]) -> Hook:
    """The hook, then inverted dropout of the activations at some places."""

    def drop(name: str, activation: Array) -> Array:
        if not where(name):
            return hook(name, activation)
        kept = jax.random.bernoulli(key_for(name, noise), 1 - rate, activation.shape)
        return jnp.where(kept, hook(name, activation) / (1 - rate), 0)

    return drop


def _jittered(tree: T, sd: Array, key: PRNGKeyArray) -> T:
    """A tree of arrays with independent normal noise added to every number."""

    def one(name: str, array: Array) -> Array:
        return array + sd * jax.random.normal(key_for(name, key), array.shape, array.dtype)

    return mapped(one, tree)


def _noise_of(noise_seed: UInt32[Array, ""], step: Array) -> PRNGKeyArray:
    """All noise of one step."""
    return jax.random.fold_in(jax.random.key(noise_seed), step)
