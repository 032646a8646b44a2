"""What of an optimiser's state an intervention may read and change while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array
from optax.contrib import MuonState

from undergrowth.training.optimisers.filters import SlowGradient
from undergrowth.training.optimisers.optimiser import Optimiser
from undergrowth.training.optimisers.rates import multiplier_at

FOLLOWS = {"adam_learning_rate": "learning_rate", "adam_weight_decay": "weight_decay"}
"""Muon's second learning rate and decay change with the first, unless they are named themselves."""

MOMENTS = optax.ScaleByAdamState, optax.TraceState, MuonState, SlowGradient
FORGOTTEN = frozenset({"count", "seen", "mu", "nu", "trace", "ema"})


def hyperparams(opt_state: optax.OptState) -> dict[str, float]:
    """The hyper-parameters as they stand, such as learning_rate and weight_decay, a filter's too."""
    return {name: float(value) for name, value in _traced(opt_state)}


def with_hyperparams(
    opt_state: optax.OptState, change: Mapping[str, Callable[[Any], Any]]
) -> optax.OptState:
    """The state with some hyper-parameters changed, each by a function of its value; no other bit is.

    A change of learning_rate or weight_decay is one of Muon's adam_learning_rate or adam_weight_decay
    too, unless that is named itself. Raises ValueError for a name that the optimiser does not have.
    """
    known = [name for name, _ in _traced(opt_state)]
    for name in change:
        if name not in known:
            raise ValueError(f"{name!r} is not a hyper-parameter of this optimiser: use {_or(known)}")

    def changed(name: str, value: Any) -> Any:
        by = change.get(name) or change.get(FOLLOWS.get(name, ""))
        return value if by is None else jnp.full_like(value, by(value))

    def replaced(node: Any) -> Any:
        if not _is_injected(node):
            return node
        values = {name: changed(name, value) for name, value in node.hyperparams.items()}
        return node._replace(hyperparams=values)

    return jax.tree.map(replaced, opt_state, is_leaf=_is_injected)


def rate_at(optimiser: Optimiser, opt_state: optax.OptState, step: Array) -> Array:
    """The learning rate of the update after `step` updates, with warm-up and annealing."""
    traced = dict(_traced(opt_state))
    how = {"warmup_steps": optimiser.warmup_steps, "annealing": optimiser.annealing}
    return traced["learning_rate"] * multiplier_at(step, **how)


def has_hyperparam(optimiser: Optimiser, name: str) -> bool:
    """Whether `with_hyperparams` can change `name` in this optimiser's state.

    learning_rate and weight_decay are in every optimiser's.
    """
    weights = {"W": jax.ShapeDtypeStruct((1, 1), jnp.float32)}
    state = jax.eval_shape(optimiser.build().init, weights)
    return name in {known for known, _ in _traced(state)}


def reset_moments(opt_state: optax.OptState) -> optax.OptState:
    """The state with all memory of past gradients gone: moments, momentum, moving averages at zero.

    Bias corrections start again with them. Hyper-parameters, the place in warm-up and annealing, and the
    initial weights that decay pulls to stay.
    """

    def is_memory(node: Any) -> bool:
        return isinstance(node, MOMENTS)

    def forgotten(node: Any) -> Any:
        if not is_memory(node):
            return node
        fields = FORGOTTEN.intersection(node._fields)
        return node._replace(**{name: optax.tree.zeros_like(getattr(node, name)) for name in fields})

    return jax.tree.map(forgotten, opt_state, is_leaf=is_memory)


def _traced(opt_state: optax.OptState) -> Iterator[tuple[str, Any]]:
    for node in jax.tree.leaves(opt_state, is_leaf=_is_injected):
        if _is_injected(node):
            yield from node.hyperparams.items()


def _is_injected(node: object) -> bool:
    return hasattr(node, "hyperparams")


def _or(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
