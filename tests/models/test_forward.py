"""The shared-prefix forward pass against the plain one and against numpy in float64."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.losses import cross_entropy
from undergrowth.models import (
    AnyModel,
    MLPSpec,
    Model,
    Transformer,
    TransformerSpec,
    TwoTokenMLPSpec,
    gated,
    load_state_dict,
    state_dict,
)

SHAPES: list[tuple[TransformerSpec | TwoTokenMLPSpec | MLPSpec, int, int]] = [
    (tiny.TRANSFORMER, tiny.P, tiny.P),
    (TransformerSpec(d_model=12, n_heads=1, d_head=12, d_mlp=20), 7, 4),
    (TransformerSpec(d_model=32, n_heads=4, d_head=8, d_mlp=64, init_scale=2.0), 13, 13),
    (TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16), 7, 40),  # too many labels to fold
    (tiny.MLP, tiny.P, tiny.P),
    (TwoTokenMLPSpec(d_embed=16, d_mlp=24), 11, 3),
    (TwoTokenMLPSpec(d_embed=4, d_mlp=7, combine="summed", act_fn="gelu"), 5, 5),
    (MLPSpec(d_mlp=9, act_fn="square"), 5, 5),
    (MLPSpec(d_mlp=8, n_hidden=1, bias=False), 5, 3),
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
        hook = gated(model.sites, gates, baselines)

        def at_last(name: str, activation: jax.Array) -> jax.Array:
            return activation.at[:, -1].set(hook(name, activation[:, -1]))

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


@pytest.mark.parametrize(
    ("bias", "act_fn", "combine"),
    [
        (True, "relu", "concatenated"),
        (False, "relu", "concatenated"),
        (False, "gelu", "summed"),
        (True, "square", "summed"),
    ],
)
def test_the_two_token_mlp_equals_the_paper_in_float64(bias: bool, act_fn: str, combine: str) -> None:
    inputs = tiny.pairs()
    style = {"bias": bias, "act_fn": act_fn, "combine": combine}
    mlp = tiny.made(tiny.MLP.model_copy(update=style))
    assert ("mlp.b_in" in state_dict(mlp)) == bias
    truth = brute_force.mlp(state_dict(mlp), np.asarray(inputs), act=act_fn, summed=combine == "summed")
    assert_close(tiny.forward(mlp, inputs), truth, 1e-5)
    assert_close(tiny.forward(mlp, inputs, plain=True), truth, 1e-5)


@pytest.mark.parametrize("n_features", [0, 4], ids=["tokens", "numbers"])
def test_the_plain_mlp_equals_its_formula_in_float64(n_features: int) -> None:
    numbers = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
    inputs = jnp.asarray(numbers) if n_features else tiny.pairs()
    mlp = tiny.made(MLPSpec(d_mlp=6, n_hidden=3, act_fn="gelu"), n_features=n_features)
    truth = brute_force.deep_mlp(state_dict(mlp), np.asarray(inputs), act="gelu")
    assert_close(tiny.forward(mlp, inputs), truth, 1e-5)
    assert_close(tiny.forward(mlp, inputs, plain=True), truth, 1e-5)


def test_order_matters_to_the_transformer_only_through_the_positions(
    transformer: Transformer,
) -> None:
    inputs = tiny.pairs()
    swapped = jnp.asarray(np.asarray(inputs)[:, ::-1])
    placed = [np.asarray(tiny.forward(transformer, pairs)) for pairs in (inputs, swapped)]
    assert np.abs(placed[0] - placed[1]).max() > 0.01
    arrays = state_dict(transformer)
    no_positions = {"pos_embed.W_pos": np.zeros_like(arrays["pos_embed.W_pos"])}
    unplaced = load_state_dict(transformer, {**arrays, **no_positions})
    assert_close(tiny.forward(unplaced, inputs), tiny.forward(unplaced, swapped), 1e-5)
