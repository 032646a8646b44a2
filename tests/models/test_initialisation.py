"""Untrained weights: how many there are, and how they are drawn."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.models import (
    AnyModel,
    MLPSpec,
    TransformerSpec,
    TwoTokenMLPSpec,
    load_state_dict,
    state_dict,
)
from undergrowth.spec.presets import preset
from undergrowth.tasks import Features, InputSpace, Tokens

POWER2022, TEDDYKOKER, LIEBERUM, GROMOV = (
    preset(name).model for name in ("power2022", "teddykoker2021_as_run", "lieberum2021", "gromov2023")
)


def drawn(spec: AnyModel, inputs: InputSpace, n_labels: int) -> dict[str, np.ndarray]:
    return state_dict(spec.init(inputs, n_labels, np.random.default_rng(0)))


def counted(spec: AnyModel, inputs: InputSpace, n_labels: int) -> dict[str, int]:
    model = spec.init(inputs, n_labels, np.random.default_rng(0))
    paths = jax.tree_util.tree_leaves_with_path(model)
    return {jax.tree_util.keystr(path, simple=True, separator="."): a.size for path, a in paths}


@pytest.mark.parametrize(
    ("spec", "n_operands", "expected"),
    [
        (TransformerSpec(logits="vocabulary"), 113, 226_816),  # Nanda et al.
        (TEDDYKOKER, 97, 422_656),  # their 422,784 less the row of W_pos that is never read
        (TwoTokenMLPSpec(), 120, 142_336),  # Chughtai et al., S5
        (GROMOV, 97, 3 * 97 * 500),
        (MLPSpec(), 113, 226 * 200 + 200 + 200 * 200 + 200 + 200 * 113 + 113),
    ],
    ids=["nanda", "teddykoker", "chughtai", "gromov", "mlp"],
)
def test_a_known_model_has_its_papers_number_of_parameters(
    spec: AnyModel, n_operands: int, expected: int
) -> None:
    assert sum(counted(spec, Tokens(n_operands), n_operands).values()) == expected


def test_openai_grok_has_394_240_parameters_beside_its_vocabulary() -> None:
    counts = counted(POWER2022, Tokens(97), 97)
    assert "pos_embed.W_pos" not in counts
    vocabulary = [counts.pop(name) for name in ("embed.W_E", "unembed.W_U")]
    assert vocabulary == [100 * 128] * 2
    assert sum(counts.values()) == 394_240


def test_by_default_weights_are_normal_with_nanda_et_als_spread() -> None:
    arrays = drawn(TransformerSpec(init_scale=3.0), Tokens(59), 59)
    for name, weights in arrays.items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf.startswith("b_"):
            assert (weights == 0).all()
        else:
            fan = 60 if leaf == "W_U" else 128
            assert weights.std() == pytest.approx(3 / fan**0.5, rel=0.15), name
            assert abs(weights.mean()) < 0.2 / fan**0.5 * 3, name


@pytest.mark.parametrize("spec", [TransformerSpec(n_layers=2), TEDDYKOKER, MLPSpec(n_hidden=3)])
def test_each_array_is_drawn_with_its_own_key(spec: AnyModel) -> None:
    arrays = drawn(spec, Tokens(59), 59)
    draws = {name: a.ravel()[:100] for name, a in arrays.items() if a.size >= 384 and a.std() > 0}
    assert len(draws) > 3
    correlations = np.corrcoef(np.stack(list(draws.values())))
    assert np.abs(correlations - np.eye(len(draws))).max() < 0.5


def assert_uniform(weights: np.ndarray, within: float, name: str) -> None:
    assert np.abs(weights).max() <= within, name
    assert np.abs(weights).max() > 0.9 * within, name
    assert weights.std() == pytest.approx(within / math.sqrt(3), rel=0.2), name


def test_torch_is_drawn_as_pytorch_draws_embeddings_linear_layers_and_attention() -> None:
    arrays = drawn(TEDDYKOKER, Tokens(97), 97)
    bounds = {"W_in": 128, "b_in": 128, "W_out": 512, "b_out": 512, "W_O": 128, "W_U": 128}
    for name, weights in arrays.items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf in ("W_E", "W_pos"):
            assert weights.std() == pytest.approx(1, rel=0.15)
        elif leaf in ("W_Q", "W_K", "W_V"):  # Xavier: fan-in 128 and, stacked, fan-out 3 * 128
            assert_uniform(weights, math.sqrt(6 / (128 + 384)), name)
        elif leaf in bounds:
            assert_uniform(weights, bounds[leaf] ** -0.5, name)
        else:
            assert (weights == (1 if leaf == "w" else 0)).all(), name


def test_torch_linear_draws_queries_keys_and_values_as_linear_layers_too() -> None:
    spec = POWER2022.model_copy(update={"attn_bias": True})
    arrays = drawn(spec, Tokens(20), 20)
    for leaf in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"):
        assert_uniform(arrays[f"blocks.1.attn.{leaf}"], 128**-0.5, leaf)


def test_x_transformers_draws_kaiming_normal_tokens_and_linear_layers_by_what_they_read() -> None:
    arrays = drawn(LIEBERUM, Tokens(97), 97)
    assert arrays["embed.W_E"].std() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert arrays["pos_embed.W_pos"].std() == pytest.approx(1, rel=0.1)
    assert arrays["blocks.0.attn.W_Q"].shape == (4, 128, 64)
    bounds = {"W_Q": 128, "W_K": 128, "W_V": 128, "W_O": 256, "b_O": 256, "b_in": 128, "b_out": 512}
    for leaf, fan_in in bounds.items():
        within = "mlp" if leaf in ("b_in", "b_out") else "attn"
        assert_uniform(arrays[f"blocks.1.{within}.{leaf}"], fan_in**-0.5, leaf)
    for leaf in ("W_U", "b_U"):
        assert_uniform(arrays[f"unembed.{leaf}"], 128**-0.5, leaf)
    assert not any(name.endswith(("b_Q", "b_K", "b_V")) for name in arrays)


def test_scaled_positions_are_learned_ones_as_much_smaller() -> None:
    pairs = np.array([[3, 4], [0, 1]])
    scaled = LIEBERUM.init(Tokens(5), 5, np.random.default_rng(0))
    learned = LIEBERUM.model_copy(update={"pos_embed": "learned"})
    arrays = state_dict(scaled)
    arrays["pos_embed.W_pos"] = arrays["pos_embed.W_pos"] * np.float32(128**-0.5)
    same = load_state_dict(learned.init(Tokens(5), 5, np.random.default_rng(1)), arrays)
    np.testing.assert_allclose(scaled(jnp.asarray(pairs)), same(jnp.asarray(pairs)), atol=1e-6)


@pytest.mark.parametrize(
    "spec", [TEDDYKOKER, MLPSpec(init_mode="torch"), TwoTokenMLPSpec(bias=True)], ids=lambda s: s.name
)
def test_init_scale_multiplies_all_that_is_drawn_and_no_layer_norm(spec: AnyModel) -> None:
    one = drawn(spec, Tokens(5), 5)
    two = drawn(spec.model_copy(update={"init_scale": 2.0}), Tokens(5), 5)
    for name, weights in one.items():
        is_norm = ".ln" in name or name.startswith("ln_final")
        np.testing.assert_allclose(two[name], weights * (1 if is_norm else 2), rtol=1e-6)


def test_the_two_token_mlp_is_drawn_with_one_over_the_root_of_its_fan_in() -> None:
    arrays = drawn(TwoTokenMLPSpec(d_embed=100, d_mlp=64, init_scale=2.0), Tokens(60), 59)
    fans = {"embed.W_x": 100, "embed.W_y": 100, "mlp.W_in": 200, "unembed.W_U": 64}
    assert arrays.keys() == fans.keys()
    for name, fan_in in fans.items():
        assert arrays[name].std() == pytest.approx(2 / fan_in**0.5, rel=0.1), name


@pytest.mark.parametrize(("inputs", "n_inputs"), [(Tokens(30), 60), (Features(40), 40)])
def test_the_mlp_is_drawn_by_its_fan_in(inputs: InputSpace, n_inputs: int) -> None:
    fans = {"mlp.0.W_in": n_inputs, "mlp.1.W_in": 64, "unembed.W_U": 64}
    arrays = drawn(MLPSpec(d_mlp=64), inputs, 50)
    as_torch = drawn(MLPSpec(d_mlp=64, init_mode="torch"), inputs, 50)
    for name, fan_in in fans.items():
        bias = name.replace("W_", "b_")
        assert arrays[name].std() == pytest.approx(fan_in**-0.5, rel=0.1), name
        assert (arrays[bias] == 0).all()
        assert_uniform(as_torch[name], fan_in**-0.5, name)
        assert_uniform(as_torch[bias], fan_in**-0.5, bias)


def test_the_quadratic_network_is_drawn_as_by_doshi_et_al() -> None:
    arrays = drawn(GROMOV, Tokens(97), 97)
    assert arrays.keys() == {"mlp.0.W_in", "unembed.W_U"}
    for weights in arrays.values():
        assert weights.std() == pytest.approx(0.05, rel=0.05)  # (2 * 500)^(-1/3) / 2


def test_transformers_and_two_token_mlps_take_tokens_and_mlps_take_all() -> None:
    taken = {
        spec.name: (spec.takes(Tokens(5)), spec.takes(Features(5)))
        for spec in (TransformerSpec(), TwoTokenMLPSpec(), MLPSpec())
    }
    only_tokens = (True, False)
    assert taken == {"transformer": only_tokens, "two_token_mlp": only_tokens, "mlp": (True, True)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"residual_from_layer_norm": True, "layer_norm": "post"},
            "residual_from_layer_norm = true with layer_norm = 'post': .* set",
        ),
        ({"n_layers": 5}, "less than or equal to 4"),
        ({"prompt": "x ="}, "'x y =', 'x y', 'x o y =' or '<eos> x o y ='"),
    ],
)
def test_an_impossible_transformer_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerSpec(**fields)
