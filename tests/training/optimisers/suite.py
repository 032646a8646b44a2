"""Every optimiser in several settings, and few small weights and gradients to try them on."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

import jax
import numpy as np
import pytest

from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Cosine,
    GrokfastEMA,
    Muon,
    OrthogonalGradient,
    SignSGD,
)

STEPS = 24
RNG = np.random.default_rng(0)
SHAPES = {"W_E": (3, 2), "W_in": (2, 5), "W_out": (5, 2), "W_Q": (2, 3, 2), "b_Q": (2, 2), "b": (4,)}
WEIGHTS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADIENTS = [
    {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    for _ in range(STEPS)
]
HIDDEN = ("W_in", "W_out", "W_Q")

Tree = dict[str, np.ndarray]

ADAMWS = [
    AdamW(warmup_steps=0),
    AdamW(warmup_steps=5, lr=0.03, betas=(0.9, 0.98), weight_decay=0.5),
    AdamW(warmup_steps=0, lr=0.1, betas=(0.5, 0.7), eps=0.1, weight_decay=0.0),
    AdamW(warmup_steps=30, lr=0.2, betas=(0.0, 0.999), eps=1e-3, weight_decay=2.0),
    AdamW(warmup_steps=0, lr=0.1, weight_decay=1.5, decay_to="init"),
]
ADAMS = [Adam(), Adam(warmup_steps=0, lr=0.05, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.7)]
SGDS = [
    SGD(warmup_steps=0),
    SGD(warmup_steps=5, lr=0.05, momentum=0.9),
    SGD(warmup_steps=0, lr=0.02, momentum=0.5, weight_decay=0.3),
    SGD(warmup_steps=0, lr=0.02, momentum=0.9, weight_decay=0.3, nesterov=True),
]
SIGN_SGDS = [SignSGD(lr=0.01), SignSGD(warmup_steps=0, lr=0.05, weight_decay=0.4)]
MUONS = [
    Muon(warmup_steps=0),
    Muon(lr=0.1, weight_decay=0.5, beta=0.8, ns_steps=3, nesterov=False, adam_lr=0.03),
    Muon(eps=0.1, adam_betas=(0.5, 0.9), adam_weight_decay=0.3),
]
FILTERED = [
    SGD(warmup_steps=0, momentum=0.9, filter=GrokfastEMA(alpha=0.8, lamb=3.0)),
    AdamW(lr=0.01, filter=GrokfastEMA()),
    Adam(lr=0.01, weight_decay=0.1, filter=OrthogonalGradient()),
    Muon(filter=GrokfastEMA(lamb=0.5)),
]
ANNEALED = [
    AdamW(warmup_steps=6, annealing=Cosine(steps=12, final=0.1)),
    SGD(warmup_steps=0, annealing=Cosine(steps=50, final=0.0), filter=GrokfastEMA(alpha=0.5)),
]
EVERY = [*ADAMWS, *ADAMS, *SGDS, *SIGN_SGDS, *MUONS, *FILTERED, *ANNEALED]
KINDS = get_args(get_args(AnyOptimiser)[0])


def named(o: AnyOptimiser) -> str:
    return f"{o.name}-{o.annealing.name}-{o.filter.name}"


every_optimiser = pytest.mark.parametrize("optimiser", EVERY, ids=named)


@partial(jax.jit, static_argnums=0)
def updated(skeleton: AnyOptimiser, gradient: Any, state: Any, weights: Any) -> tuple[Any, Any]:
    """One update by the default hyper-parameters' code: what counts must be in the state."""
    change, state = skeleton.build().update(gradient, state, weights)
    return jax.tree.map(lambda w, c: w + c, weights, change), state


def state_of(optimiser: AnyOptimiser, weights: Any = WEIGHTS) -> Any:
    """The optimiser's state before the first update, strongly typed, as the engine has it."""
    state = optimiser.build().init(jax.tree.map(jax.numpy.asarray, weights))
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)


def states_and_weights(optimiser: AnyOptimiser, state: Any, weights: Tree) -> list[tuple[Any, Tree]]:
    """After each of the gradients."""
    path = []
    for gradient in GRADIENTS:
        weights, state = updated(optimiser.skeleton(), gradient, state, weights)
        path.append((state, jax.tree.map(np.asarray, weights)))
    return path


def by_optax(optimiser: AnyOptimiser) -> list[Tree]:
    return [weights for _, weights in states_and_weights(optimiser, state_of(optimiser), WEIGHTS)]
