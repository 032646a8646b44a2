"""Laws of gates, for every site of every model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from tests.models.test_laws import MODELS, SITES
from undergrowth.models import Model, Site, gated, no_hook, recording

INPUTS = tiny.pairs()
N = len(INPUTS)
every_site = pytest.mark.parametrize(
    ("model", "site"),
    [(MODELS[name], site) for name, site in SITES],
    ids=[f"{name}-{site.name}" for name, site in SITES],
)


def logits(model: Model, *gates_and_baselines: Any, inputs: jax.Array = INPUTS) -> np.ndarray:
    return np.asarray(tiny.forward(model, inputs, *gates_and_baselines))


def gate_values(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-0.5, 1.5, shape).astype(np.float32)


def mean_baselines(model: Model) -> dict[str, jax.Array]:
    return {name: jnp.asarray(np.mean(a, axis=0)) for name, a in tiny.recorded(model, INPUTS).items()}


def test_models_name_their_sites_in_forward_order() -> None:
    assert [(s.name, s.component, s.n_components) for s in MODELS["transformer"].sites] == [
        ("blocks.0.attn.hook_z", "head", 2),
        ("blocks.0.mlp.hook_post", "neuron", 6),
    ]
    assert [(s.name, s.component, s.n_components) for s in MODELS["two_token_mlp"].sites] == [
        ("mlp.hook_post", "neuron", 6)
    ]


@every_site
def test_the_component_axis_is_where_the_site_says(model: Model, site: Site) -> None:
    assert tiny.recorded(model, INPUTS)[site.name].shape[site.axis] == site.n_components


@every_site
def test_a_gate_of_one_is_the_identity(model: Model, site: Site) -> None:
    gates = {site.name: jnp.ones(site.n_components)}
    for baselines in ({}, mean_baselines(model)):
        np.testing.assert_allclose(logits(model, gates, baselines), logits(model), atol=5e-6)


def test_recording_hands_activations_on_and_keeps_them() -> None:
    found: dict[str, jax.Array] = {}
    activation = jnp.arange(3.0)
    assert recording(found)("mlp.hook_post", activation) is activation
    assert found == {"mlp.hook_post": activation}
    assert no_hook("mlp.hook_post", activation) is activation


@every_site
def test_a_gate_of_zero_puts_the_baseline_in_place(model: Model, site: Site) -> None:
    closed = {site.name: jnp.zeros(site.n_components)}
    baselines = mean_baselines(model)
    activation = tiny.recorded(model, INPUTS)[site.name]
    after = gated((site,), closed, baselines)(site.name, activation)
    np.testing.assert_allclose(after, np.broadcast_to(baselines[site.name], activation.shape), atol=1e-6)
    assert np.abs(logits(model, closed, baselines) - logits(model)).max() > 0.01


@every_site
def test_without_a_baseline_a_gate_of_zero_puts_zero_in_place(model: Model, site: Site) -> None:
    closed = {site.name: jnp.zeros(site.n_components)}
    after = gated((site,), closed)(site.name, tiny.recorded(model, INPUTS)[site.name])
    assert not np.asarray(after).any()


@every_site
def test_one_gate_moves_one_component(model: Model, site: Site) -> None:
    before = tiny.recorded(model, INPUTS)[site.name]
    gates = np.ones(site.n_components, np.float32)
    gates[1] = 0.25
    after = gated((site,), {site.name: jnp.asarray(gates)})(site.name, before)
    of_component, before_of = (np.moveaxis(np.asarray(a), site.axis, 0) for a in (after, before))
    np.testing.assert_allclose(of_component[1], 0.25 * before_of[1], rtol=1e-6)
    assert (np.delete(of_component, 1, axis=0) == np.delete(before_of, 1, axis=0)).all()


@every_site
def test_gates_of_each_example_equal_a_loop_over_examples(model: Model, site: Site) -> None:
    gates, baselines = gate_values(N, site.n_components), mean_baselines(model)
    together = logits(model, {site.name: gates}, baselines)
    for i in range(N):
        one = INPUTS[i : i + 1]
        alone = logits(model, {site.name: gates[i]}, baselines, inputs=one)
        np.testing.assert_allclose(together[i : i + 1], alone, atol=1e-5)


@every_site
def test_gates_of_each_example_reach_every_position_of_the_plain_pass(model: Model, site: Site) -> None:
    gates = gate_values(N, site.n_components)
    together = np.asarray(tiny.forward(model, INPUTS, {site.name: gates}, plain=True))
    for i in range(N):
        alone = tiny.forward(model, INPUTS[i : i + 1], {site.name: gates[i]}, plain=True)
        np.testing.assert_allclose(together[i : i + 1], np.asarray(alone), atol=1e-5)


def test_several_sites_are_gated_at_once() -> None:
    model = MODELS["transformer"]
    heads, neurons = model.sites
    closed = {heads.name: np.zeros(2, np.float32), neurons.name: np.zeros(6, np.float32)}
    assert np.ptp(logits(model, closed), axis=0).max() < 1e-6  # nothing of x and y reaches `=`
    del closed[heads.name]
    assert np.ptp(logits(model, closed), axis=0).max() > 0.1


def test_a_site_that_the_model_has_not_is_an_error_that_lists_its_sites() -> None:
    model = MODELS["two_token_mlp"]
    with pytest.raises(ValueError, match=r"no site 'hook_z' in this model.*mlp\.hook_post"):
        gated(model.sites, {"hook_z": jnp.ones(2)})
