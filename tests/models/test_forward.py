"""The shared-prefix forward pass against the plain one and against numpy in float64."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.models import (
    AnyModel,
    Model,
    Transformer,
    TransformerSpec,
    TwoTokenMLPSpec,
    gated,
    state_dict,
)
from undergrowth.tasks import Tokens
from undergrowth.training.losses import cross_entropy

SHAPES: list[tuple[AnyModel, int, int]] = [
    (tiny.TRANSFORMER, tiny.P, tiny.P),
    (TransformerSpec(d_model=12, n_heads=1, d_head=12, d_mlp=20), 7, 4),
    (TransformerSpec(d_model=32, n_heads=4, d_head=8, d_mlp=64, init_scale=2.0), 13, 13),
    (TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16), 7, 40),  # too many labels to fold
    (tiny.MLP, tiny.P, tiny.P),
    (TwoTokenMLPSpec(d_embed=16, d_mlp=24), 11, 3),
]
every_shape = pytest.mark.parametrize(
    ("spec", "n_operands", "n_labels"),
    SHAPES,
    ids=[f"{spec.name}-{spec.d_mlp}" for spec, _, _ in SHAPES],
)


def assert_close(mine: Any, other: Any, relative: float) -> None:
    """Equal up to `relative` of the largest number."""
    mine, other = np.asarray(mine), np.asarray(other)
    np.testing.assert_allclose(mine, other, rtol=0, atol=relative * np.abs(other).max())


@every_shape
def test_logits_equal_the_plain_forward_pass(spec: AnyModel, n_operands: int, n_labels: int) -> None:
    model, inputs = tiny.made(spec, n_operands, n_labels), tiny.pairs(n_operands)
    logits = tiny.forward(model, inputs)
    assert logits.shape == (n_operands**2, n_labels)
    assert_close(logits, tiny.forward(model, inputs, plain=True), 1e-5)


@every_shape
def test_gradients_equal_those_of_the_plain_forward_pass(
    spec: AnyModel, n_operands: int, n_labels: int
) -> None:
    model, inputs = tiny.made(spec, n_operands, n_labels), tiny.pairs(n_operands)
    labels = jnp.asarray(np.asarray(inputs).sum(axis=1) % n_labels)

    @eqx.filter_jit
    def gradients(model: Model) -> tuple[Model, Model]:
        shared = eqx.filter_grad(lambda m: jnp.mean(cross_entropy(m(inputs), labels)))(model)
        plain = eqx.filter_grad(lambda m: jnp.mean(cross_entropy(m.plain(inputs), labels)))(model)
        return shared, plain

    shared, plain = (state_dict(gradient) for gradient in gradients(model))
    assert set(shared) == set(state_dict(model))
    largest = max(np.abs(gradient).max() for gradient in plain.values())
    for name, gradient in plain.items():
        np.testing.assert_allclose(shared[name], gradient, rtol=1e-4, atol=1e-5 * largest)
        assert np.abs(gradient).max() > 1e-4 * largest, name


@pytest.mark.parametrize("component", ["head", "neuron"])
def test_gates_act_alike_in_both_passes_at_the_last_position_and_at_all(component: str) -> None:
    """A gate at every position equals one at the last: with one layer no other position's heads or
    neurons reach the logits, for attention reads the embeddings, before any of them has written.
    """
    model, inputs, rng = tiny.transformer(), tiny.pairs(), np.random.default_rng(2)
    site = next(site for site in model.sites if site.component == component)
    shape = (site.n_components, *(4,) * site.trailing)
    gates, baselines = (
        {site.name: jnp.asarray(a, jnp.float32)}
        for a in (rng.uniform(0, 2, (len(inputs), site.n_components)), rng.normal(size=shape))
    )

    @jax.jit
    def at_last_position_only() -> jax.Array:
        tap = gated(model.sites, gates, baselines)

        def at_last(name: str, activation: jax.Array) -> jax.Array:
            return activation.at[:, -1].set(tap(name, activation[:, -1]))

        return model.plain(inputs, at_last)

    shared = tiny.forward(model, inputs, gates, baselines)
    assert_close(shared, at_last_position_only(), 1e-5)
    assert_close(shared, tiny.forward(model, inputs, gates, baselines, plain=True), 1e-5)
    assert np.abs(np.asarray(shared) - np.asarray(tiny.forward(model, inputs))).max() > 0.1


def test_the_transformer_equals_the_paper_in_float64(transformer: Transformer) -> None:
    inputs = tiny.pairs()
    truth = brute_force.transformer(state_dict(transformer), np.asarray(inputs))
    assert_close(tiny.forward(transformer, inputs), truth, 1e-5)
    assert_close(tiny.forward(transformer, inputs, plain=True), truth, 1e-5)


def test_the_gated_transformer_equals_the_paper_in_float64(transformer: Transformer) -> None:
    inputs, rng = tiny.pairs(), np.random.default_rng(0)
    heads, neurons = transformer.sites
    gates = {heads.name: rng.uniform(0, 2, (25, 2)), neurons.name: rng.uniform(0, 2, (25, 6))}
    baselines = {heads.name: rng.normal(size=(2, 4)), neurons.name: rng.normal(size=6)}
    truth = brute_force.transformer(
        state_dict(transformer),
        np.asarray(inputs),
        head_gates=gates[heads.name],
        head_baseline=baselines[heads.name],
        neuron_gates=gates[neurons.name],
        neuron_baseline=baselines[neurons.name],
    )
    in_float32 = [
        {name: a.astype(np.float32) for name, a in arrays.items()} for arrays in (gates, baselines)
    ]
    assert_close(tiny.forward(transformer, inputs, *in_float32), truth, 1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_the_two_token_mlp_equals_the_paper_in_float64(bias: bool) -> None:
    inputs = tiny.pairs()
    mlp = tiny.made(tiny.MLP.model_copy(update={"bias": bias}))
    assert ("mlp.b_in" in state_dict(mlp)) == bias
    truth = brute_force.mlp(state_dict(mlp), np.asarray(inputs))
    assert_close(tiny.forward(mlp, inputs), truth, 1e-5)
    assert_close(tiny.forward(mlp, inputs, plain=True), truth, 1e-5)


def test_order_matters_to_the_transformer_only_through_the_positions(
    transformer: Transformer,
) -> None:
    inputs = tiny.pairs()
    swapped = jnp.asarray(np.asarray(inputs)[:, ::-1])
    placed = [np.asarray(tiny.forward(transformer, pairs)) for pairs in (inputs, swapped)]
    assert np.abs(placed[0] - placed[1]).max() > 0.01
    no_positions = jnp.zeros_like(transformer.pos_embed.W_pos)
    unplaced = eqx.tree_at(lambda m: m.pos_embed.W_pos, transformer, no_positions)
    assert_close(tiny.forward(unplaced, inputs), tiny.forward(unplaced, swapped), 1e-5)


@pytest.mark.parametrize("spec", [tiny.TRANSFORMER, tiny.MLP], ids=lambda spec: spec.name)
def test_the_same_key_gives_the_same_model_and_another_key_another(spec: AnyModel) -> None:
    one, again, other = (
        state_dict(spec.init(Tokens(tiny.P), tiny.P, jax.random.key(k))) for k in (0, 0, 1)
    )
    for name, weights in one.items():
        assert (weights == again[name]).all()
        assert (weights != other[name]).any() or name.rsplit(".", 1)[-1].startswith("b_")


def test_weights_are_drawn_with_the_stated_spread() -> None:
    spec = TransformerSpec(init_scale=3.0)
    arrays = state_dict(spec.init(Tokens(59), 59, jax.random.key(0)))
    for name, weights in arrays.items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf.startswith("b_"):
            assert (weights == 0).all()
        else:
            fan = 60 if leaf == "W_U" else 128
            assert weights.std() == pytest.approx(3 / fan**0.5, rel=0.15), name
            assert abs(weights.mean()) < 0.2 / fan**0.5 * 3, name
    named = [name for name in arrays if name.rsplit(".", 1)[-1].startswith("W_")]
    draws = [arrays[name].ravel()[:100] for name in named if arrays[name].size >= 384]
    for i, draw in enumerate(draws):  # each with its own key
        for other in draws[i + 1 :]:
            assert abs(np.corrcoef(draw, other)[0, 1]) < 0.5


def test_the_mlp_is_drawn_with_one_over_the_root_of_its_fan_in() -> None:
    spec = TwoTokenMLPSpec(d_embed=100, d_mlp=64, init_scale=2.0)
    arrays = state_dict(spec.init(Tokens(60), 59, jax.random.key(0)))
    fans = {"embed.W_x": 100, "embed.W_y": 100, "mlp.W_in": 200, "unembed.W_U": 64}
    assert arrays.keys() == fans.keys()
    for name, fan_in in fans.items():
        assert arrays[name].std() == pytest.approx(2 / fan_in**0.5, rel=0.1), name
