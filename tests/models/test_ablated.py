"""A model behind fixed gates is a model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tests import tiny
from undergrowth.gating.attribution import attribute, baselines, site_of
from undergrowth.models import Ablated, gated, state_dict

MODEL = tiny.transformer()
HEADS, NEURONS = MODEL.sites
GATES = {NEURONS.name: jnp.asarray([1.0, 0, 1, 0, 1, 1])}
MEANS = {NEURONS.name: jnp.linspace(-1, 1, 6)}


def test_its_logits_are_the_gated_ones_in_both_passes() -> None:
    ablated = Ablated(MODEL, GATES, MEANS)
    expected = tiny.forward(MODEL, tiny.pairs(), GATES, MEANS)
    for plain in (False, True):
        found = tiny.forward(ablated, tiny.pairs(), plain=plain)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(np.asarray(expected) - np.asarray(tiny.forward(MODEL, tiny.pairs()))).max() > 0.1


def test_a_tap_comes_after_the_gate() -> None:
    ablated = Ablated(MODEL, GATES, MEANS)
    before, after = (tiny.recorded(model, tiny.pairs()) for model in (MODEL, ablated))
    np.testing.assert_allclose(after[HEADS.name], before[HEADS.name], atol=1e-6)
    gate = gated(MODEL.sites, GATES, MEANS)
    np.testing.assert_allclose(after[NEURONS.name], gate(NEURONS.name, before[NEURONS.name]), atol=1e-6)
    half = {NEURONS.name: jnp.full(6, 0.5)}
    composed = tiny.forward(ablated, tiny.pairs(), half)
    both = {NEURONS.name: GATES[NEURONS.name] * 0.5}
    without_means = tiny.forward(Ablated(MODEL, GATES, {}), tiny.pairs(), half)
    np.testing.assert_allclose(without_means, tiny.forward(MODEL, tiny.pairs(), both), atol=1e-5)
    assert np.abs(np.asarray(composed) - np.asarray(without_means)).max() > 0.01


def test_without_gates_it_is_the_model_to_the_bit() -> None:
    whole = Ablated(MODEL, {}, {})
    assert (tiny.forward(whole, tiny.pairs()) == tiny.forward(MODEL, tiny.pairs())).all()


def test_it_has_the_sites_and_the_slices_of_the_model() -> None:
    ablated = Ablated(MODEL, GATES, MEANS)
    assert ablated.sites == MODEL.sites
    assert ablated.slices(HEADS) == MODEL.slices(HEADS)
    assert {name.removeprefix("model.") for name in state_dict(ablated.model)} == set(state_dict(MODEL))


def test_an_ablated_neuron_carries_nothing_of_the_score() -> None:
    ablated = Ablated(MODEL, GATES, MEANS)
    inputs = tiny.pairs()
    labels = jnp.asarray(np.asarray(inputs).sum(axis=1) % tiny.P)
    site = site_of(ablated, "neuron")
    baseline = baselines(ablated, inputs, "mean")
    found = np.asarray(attribute(ablated, inputs, labels, site=site, baseline=baseline))
    np.testing.assert_allclose(found[:, [1, 3]], 0, atol=1e-6)
    assert (np.abs(found[:, [0, 2, 4, 5]]).max(axis=0) > 1e-3).all()


def test_gates_are_arrays_that_can_be_compiled_in() -> None:
    @jax.jit
    def by_gate(gates: dict[str, jax.Array]) -> jax.Array:
        return Ablated(MODEL, gates, {})(tiny.pairs())

    np.testing.assert_allclose(
        by_gate(GATES), tiny.forward(MODEL, tiny.pairs(), GATES), rtol=0, atol=1e-5
    )
