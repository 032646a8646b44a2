"""What belongs to a component: slices of parameters that matter through it alone."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from tests.models.test_laws import MODELS
from undergrowth.models import Model, load_state_dict, state_dict

C = 1
every_site = pytest.mark.parametrize(
    ("name", "position"),
    [(name, i) for name, model in MODELS.items() for i in range(len(model.sites))],
)


def logits(model: Model, gates: dict[str, Any]) -> np.ndarray:
    return np.asarray(tiny.forward(model, tiny.pairs(), gates))


def with_slice(model: Model, names: dict[str, int], value: float | None) -> Model:
    """The model with slice C of these parameters set to a value, or to random numbers."""
    arrays = {name: array.copy() for name, array in state_dict(model).items()}
    rng = np.random.default_rng(1)
    for name, axis in names.items():
        part = np.moveaxis(arrays[name], axis, 0)
        part[C] = rng.normal(size=part[C].shape) if value is None else value
    return load_state_dict(model, arrays)


@every_site
def test_a_components_slices_change_nothing_once_its_gate_is_closed(name: str, position: int) -> None:
    model = MODELS[name]
    site = model.sites[position]
    slices = dict(model.slices(site))
    closed = {site.name: jnp.ones(site.n_components).at[C].set(0)}
    changed = with_slice(model, slices, None)
    np.testing.assert_allclose(logits(changed, closed), logits(model, closed), atol=1e-5)
    open_gates = {site.name: jnp.ones(site.n_components)}
    for parameter, axis in slices.items():
        alone = with_slice(model, {parameter: axis}, None)
        moved = np.abs(logits(alone, open_gates) - logits(model, open_gates)).max()
        # a softmax does not see b_K, and factors have numbers of the last block alone
        is_unseen = parameter.endswith("b_K") or parameter.startswith("factors.")
        assert (moved > 1e-4) != is_unseen, parameter


@every_site
def test_a_component_without_its_slices_is_a_component_behind_a_closed_gate(
    name: str, position: int
) -> None:
    model = MODELS[name]
    site = model.sites[position]
    gone = with_slice(model, dict(model.slices(site)), 0.0)
    open_gates = {site.name: jnp.ones(site.n_components)}
    closed = {site.name: jnp.ones(site.n_components).at[C].set(0)}
    np.testing.assert_allclose(logits(gone, open_gates), logits(model, closed), atol=1e-5)


@every_site
def test_no_slice_of_a_component_is_left_out(name: str, position: int) -> None:
    """Behind a closed gate what belongs to a component has no gradient, and all else still has one, but
    for b_K, which a softmax does not see.
    """
    model = MODELS[name]
    site = model.sites[position]
    closed = {site.name: jnp.ones(site.n_components).at[C].set(0)}
    pull = np.random.default_rng(3).standard_normal((len(tiny.pairs()), 1))

    def pulled(model: Model) -> jax.Array:
        return jnp.sum(jnp.sin(tiny.forward(model, tiny.pairs(), closed)) * pull)

    gradients = state_dict(eqx.filter_jit(eqx.filter_grad(pulled))(model))
    for parameter, gradient in gradients.items():
        owned = dict(model.slices(site)).get(parameter)
        for axis, n in enumerate(gradient.shape):
            if n == site.n_components and axis != owned and not parameter.endswith("b_K"):
                assert np.abs(gradient.take(C, axis)).max() > 1e-5, f"{parameter}, axis {axis}"


@every_site
def test_slices_name_an_axis_of_as_many_as_there_are_components(name: str, position: int) -> None:
    model = MODELS[name]
    site, arrays = model.sites[position], state_dict(model)
    for parameter, axis in model.slices(site).items():
        assert arrays[parameter].shape[axis] == site.n_components


def test_a_neuron_reads_by_a_column_and_writes_by_a_row() -> None:
    model = MODELS["transformer"]
    heads, neurons = (dict(model.slices(site)) for site in model.sites)
    assert neurons == {"blocks.0.mlp.W_in": 1, "blocks.0.mlp.b_in": 0, "blocks.0.mlp.W_out": 0}
    assert heads == dict.fromkeys((f"blocks.0.attn.W_{name}" for name in "QKVO"), 0)
