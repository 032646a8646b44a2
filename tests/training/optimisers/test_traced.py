"""What an optimiser traces is all that its skeleton lacks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
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
    SignSGD,
)

OPTIMISERS = (
    AdamW(lr=0.3, betas=(0.7, 0.8), eps=1e-3, weight_decay=0.4, decay_to="init"),
    Adam(lr=0.3, betas=(0.7, 0.8), weight_decay=0.4, filter=GrokfastEMA(alpha=0.6, lamb=3.0)),
    SGD(lr=0.3, momentum=0.6, nesterov=True, weight_decay=0.4, annealing=Cosine(steps=50, final=0.3)),
    SignSGD(lr=0.3, weight_decay=0.4, warmup_steps=3),
    Muon(lr=0.3, beta=0.6, ns_steps=3, adam_lr=0.2, adam_betas=(0.5, 0.6), adam_weight_decay=0.1),
)


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda o: o.name)
def test_a_skeleton_with_what_is_traced_begins_like_the_optimiser(optimiser: AnyOptimiser) -> None:
    weights = {"W_in": jnp.ones((3, 4)), "b_in": jnp.zeros(4)}
    traced = jax.tree.map(jnp.float32, optimiser.traced())
    begun = optimiser.skeleton().with_traced(traced).build().init(weights)
    expected = optimiser.build().init(weights)
    assert jax.tree.structure(begun) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(begun), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
