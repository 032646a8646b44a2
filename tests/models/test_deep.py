"""Transformers of every style: prefix sharing against the textbook pass, and both against numpy."""

from __future__ import annotations

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating.attribution import attribute, baselines
from undergrowth.losses import cross_entropy
from undergrowth.models import (
    HOOK_EMBED,
    Model,
    Transformer,
    TransformerSpec,
    gated,
    recording,
    state_dict,
)
from undergrowth.models.sites import is_mlp_out

LABELS = jnp.asarray(np.asarray(tiny.pairs()).sum(axis=1) % tiny.P)
SMALL: dict[str, Any] = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 6}
STYLES: dict[str, dict[str, Any]] = {
    "power2022": {
        "n_layers": 2,
        "layer_norm": "post",
        "mlp_bias": False,
        "pos_embed": "sinusoidal",
        "logits": "vocabulary",
    },
    "teddykoker": {
        "n_layers": 2,
        "layer_norm": "pre",
        "act_fn": "gelu",
        "attn_bias": True,
        "residual_from_layer_norm": True,
        "prompt": "x o y =",
        "logits": "vocabulary",
    },
    "three layers": {"n_layers": 3, "layer_norm": "pre"},
    "no norm": {"n_layers": 2, "attn_bias": True, "prompt": "<eos> x o y ="},
    "one layer, normed": {"layer_norm": "post", "final_layer_norm": True, "prompt": "x o y ="},
    "lieberum": {
        "n_layers": 2,
        "d_head": 6,  # wider inside attention than the residual stream
        "layer_norm": "pre",
        "act_fn": "gelu",
        "attn_bias": "output",
        "prompt": "x o y =",
        "pos_embed": "scaled",
        "logits": "vocabulary",
        "unembed_bias": True,
    },
    "one layer, folded": {
        "attn_bias": True,
        "mlp_bias": False,
        "act_fn": "gelu",
        "prompt": "<eos> x o y =",
        "pos_embed": "sinusoidal",
        "unembed_bias": True,
    },
}
every_style = pytest.mark.parametrize("style", STYLES)
two_layers = pytest.mark.parametrize("style", ["power2022", "teddykoker", "lieberum"])


def model_of(style: str) -> Transformer:
    return tiny.made(TransformerSpec(**{**SMALL, **STYLES[style]}), seed=3)


@cache
def logits(style: str) -> tuple[np.ndarray, np.ndarray]:
    """By the shared and by the plain pass."""
    both = eqx.filter_jit(lambda model: (model(tiny.pairs()), model.plain(tiny.pairs())))
    shared, plain = both(model_of(style))
    return np.asarray(shared), np.asarray(plain)


def assert_close(mine: Any, other: Any, relative: float = 1e-5) -> None:
    mine, other = np.asarray(mine), np.asarray(other)
    assert mine.shape == other.shape
    np.testing.assert_allclose(mine, other, rtol=0, atol=relative * np.abs(other).max())


@every_style
def test_logits_equal_those_of_the_plain_pass(style: str) -> None:
    assert_close(*logits(style))
    assert np.ptp(logits(style)[0], axis=0).max() > 0.1


@every_style
def test_logits_equal_the_papers_formulas_in_float64(style: str) -> None:
    fields = STYLES[style]
    truth = brute_force.deep_transformer(
        state_dict(model_of(style)),
        np.asarray(tiny.pairs()),
        prompt=fields.get("prompt", "x y ="),
        layer_norm=fields.get("layer_norm", "none"),
        act=fields.get("act_fn", "relu"),
        residual_from_layer_norm=fields.get("residual_from_layer_norm", False),
        scales_positions=fields.get("pos_embed") == "scaled",
    )
    for found in logits(style):
        assert_close(found, truth)


@two_layers
def test_gradients_equal_those_of_the_plain_pass(style: str) -> None:
    model = model_of(style)

    def loss(model: Transformer, *, plain: bool) -> jax.Array:
        logits = (model.plain if plain else model)(tiny.pairs())
        return jnp.mean(cross_entropy(logits, LABELS))

    @eqx.filter_jit
    def both(model: Transformer) -> list[Transformer]:
        return [eqx.filter_grad(loss)(model, plain=plain) for plain in (False, True)]

    shared, plain = (state_dict(gradient) for gradient in both(model))
    assert shared.keys() == state_dict(model).keys()
    largest = max(np.abs(gradient).max() for gradient in plain.values())
    for name, gradient in plain.items():
        np.testing.assert_allclose(shared[name], gradient, rtol=1e-4, atol=1e-5 * largest, err_msg=name)
        shifts_all_scores = name.endswith("b_K")  # alike, which a softmax does not see
        assert (np.abs(gradient).max() > 1e-4 * largest) != shifts_all_scores, name


def test_only_the_asked_examples_matter() -> None:
    """A table of operands is as long as the vocabulary, whichever of them the examples have."""
    some = jnp.asarray([[4, 0], [2, 2], [4, 0]])
    asked = eqx.filter_jit(model_of("power2022"))(some)
    assert_close(asked, logits("power2022")[0][[20, 12, 20]])


@eqx.filter_jit
def recorded(model: Model, *, plain: bool) -> dict[str, jax.Array]:
    found: dict[str, jax.Array] = {}
    (model.plain if plain else model)(tiny.pairs(), recording(found))
    return found


@two_layers
def test_a_tap_sees_what_the_plain_pass_has_and_of_the_last_layer_the_last_position(
    style: str,
) -> None:
    model = model_of(style)
    shared, plain = recorded(model, plain=False), recorded(model, plain=True)
    assert [name for name in shared if not is_mlp_out(name)] == [site.name for site in model.sites]
    assert plain.keys() == {HOOK_EMBED, *shared}
    for name, seen in shared.items():
        is_of_last_layer = name.startswith(f"blocks.{len(model.blocks) - 1}.")
        assert_close(seen, plain[name][:, -1] if is_of_last_layer else plain[name])


@two_layers
def test_gates_of_each_example_with_baselines_of_each_position_act_alike_in_both_passes(
    style: str,
) -> None:
    model, rng = model_of(style), np.random.default_rng(0)
    shapes = {name: a.shape[1:] for name, a in recorded(model, plain=False).items()}
    baselines = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}
    gates = {
        site.name: jnp.asarray(rng.uniform(0, 2, (25, site.n_components)), jnp.float32)
        for site in model.sites
    }
    shared = tiny.forward(model, tiny.pairs(), gates, baselines)
    assert_close(shared, tiny.forward(model, tiny.pairs(), gates, baselines, plain=True), 2e-5)
    assert np.abs(np.asarray(shared) - logits(style)[0]).max() > 0.1


def test_the_same_gate_for_all_examples_is_the_gate_of_each() -> None:
    model = model_of("power2022")
    gate = jnp.linspace(0, 1, 6)
    name = "blocks.0.mlp.hook_post"

    @eqx.filter_jit
    def behind(gates: jax.Array) -> jax.Array:
        return model(tiny.pairs(), gated(model.sites, {name: gates}))

    assert_close(behind(gate), behind(jnp.broadcast_to(gate, (25, 6))))


@pytest.mark.parametrize("layer", [0, 1])
def test_ablation_of_a_neuron_in_any_layer_is_what_the_plain_pass_loses(layer: int) -> None:
    model, inputs = model_of("teddykoker"), tiny.pairs()
    site = model.sites[2 * layer + 1]
    means = baselines(model, inputs, "mean")
    found = attribute(
        model, inputs, LABELS, site=site, method="ablation", score="correct_logit", baseline=means
    )

    @eqx.filter_jit
    def correct(gates: jax.Array) -> jax.Array:
        hook = gated((site,), {site.name: gates}, means)
        return jnp.take_along_axis(model.plain(inputs, hook), LABELS[:, None], axis=1)[:, 0]

    whole = correct(jnp.ones(6))
    for neuron in (0, 5):
        lost = whole - correct(jnp.ones(6).at[neuron].set(0))
        np.testing.assert_allclose(np.asarray(found)[:, neuron], lost, atol=2e-5)
