"""The largest logit is the prediction, and NaN is none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tests import tiny
from undergrowth.measures import Curves, Observed
from undergrowth.measures.correct import correct
from undergrowth.tasks import make_data


def test_the_label_with_the_largest_logit_is_predicted() -> None:
    logits = jnp.asarray([[1.0, 2.0], [3.0, -1.0], [jnp.inf, 0.0]])
    assert correct(logits, jnp.asarray([1, 1, 0])).tolist() == [True, False, True]


def test_nan_logits_are_not_the_first_label() -> None:
    logits = jnp.asarray([[jnp.nan, jnp.nan], [1.0, jnp.nan]])
    assert correct(logits, jnp.asarray([0, 0])).tolist() == [False, False]


def test_the_accuracy_of_a_network_of_nan_is_0() -> None:
    model = jax.tree.map(lambda leaf: jnp.full_like(leaf, np.nan), tiny.mlp())
    data = Observed.of(make_data(tiny.spec().task, tiny.SPLIT, "true", seed=0))
    found = Curves().observe(model, data, tiny.context(tiny.mlp()))
    assert float(found["train_accuracy"].values) == float(found["val_accuracy"].values) == 0.0
