"""What a write_hook sees: the inputs and outputs of every weight, which multiply out to the gradient."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from tests.models.test_laws import MODELS
from undergrowth.losses import cross_entropy
from undergrowth.models import Ablated, Model, state_dict

LABELS = tiny.pairs().sum(axis=1) % tiny.P
MULTIPLIED = {  # by the axes of weight, of what it reads and of what it writes: [example, position, ...]
    (2, 3, 3): "npi,npo->io",
    (3, 3, 4): "npi,npho->hio",
    (3, 4, 3): "nphi,npo->hio",
}


def loss(logits: jax.Array) -> jax.Array:
    return jnp.sum(cross_entropy(logits, LABELS))


@eqx.filter_jit
def seen(model: Model, shifts: tuple[jax.Array, ...] | None = None) -> Any:
    """Logits, what is written and what is read, at every spot; the writing shifted where asked."""
    spots = []

    def write_hook(written: jax.Array, reads: Any) -> jax.Array:
        spots.append((written, dict(reads)))
        return written if shifts is None else written + shifts[len(spots) - 1]

    return model.plain(tiny.pairs(), write_hook=write_hook), spots


@eqx.filter_jit
def slopes(model: Model, shifts: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    return jax.grad(lambda shifts: loss(seen(model, shifts)[0]))(shifts)


@eqx.filter_jit
def gradient(model: Model) -> Model:
    return eqx.filter_grad(lambda model: loss(model(tiny.pairs())))(model)


def multiplied_out(read: np.ndarray | None, slope: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1 or read is None:  # scales and biases
        of_each = slope if read is None else read * slope
        return of_each.reshape(-1, *shape).sum(axis=0)
    if slope.ndim == 2:  # a network without positions
        read, slope = read[:, None], slope[:, None]
    return np.einsum(MULTIPLIED[len(shape), read.ndim, slope.ndim], read, slope)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_times_the_slope_at_what_is_written_is_the_gradient(name: str) -> None:
    model = MODELS[name]
    logits, spots = seen(model)
    np.testing.assert_allclose(logits, tiny.forward(model, tiny.pairs()), rtol=1e-4, atol=1e-5)
    truth, found = state_dict(gradient(model)), {}
    for slope, (_, reads) in zip(
        slopes(model, tuple(jnp.zeros_like(w) for w, _ in spots)), spots, strict=True
    ):
        for weight in reads.keys() & truth.keys():
            assert weight not in found, f"{weight} has a write hook twice"
            read = None if reads[weight] is None else np.asarray(reads[weight])
            found[weight] = multiplied_out(read, np.asarray(slope), truth[weight].shape)
    assert found.keys() == truth.keys()
    largest = max(np.abs(array).max() for array in truth.values())
    for weight, array in truth.items():
        np.testing.assert_allclose(found[weight], array, rtol=1e-4, atol=1e-5 * largest, err_msg=weight)


def test_a_watch_sees_the_weights_of_an_ablated_model_behind_its_gates() -> None:
    model = MODELS["two_token_mlp"]
    (site,) = model.sites
    ablated = Ablated(model, {site.name: jnp.arange(6.0) % 2}, {})
    _, spots = seen(ablated)
    post = next(reads["unembed.W_U"] for _, reads in spots if "unembed.W_U" in reads)
    assert (np.asarray(post)[:, ::2] == 0).all()
    assert (np.asarray(post)[:, 1::2] > 0).any(axis=0).all()
