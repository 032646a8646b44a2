from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pytest

from tests import tiny
from undergrowth.models import Model, load_state_dict, state_dict


def test_the_transformer_has_transformer_lens_names_and_shapes() -> None:
    d_vocab, d_model, n_heads, d_head, d_mlp = 6, 8, 2, 4, 6
    assert {name: array.shape for name, array in state_dict(tiny.transformer()).items()} == {
        "embed.W_E": (d_vocab, d_model),
        "pos_embed.W_pos": (3, d_model),
        "blocks.0.attn.W_Q": (n_heads, d_model, d_head),
        "blocks.0.attn.W_K": (n_heads, d_model, d_head),
        "blocks.0.attn.W_V": (n_heads, d_model, d_head),
        "blocks.0.attn.W_O": (n_heads, d_head, d_model),
        "blocks.0.mlp.W_in": (d_model, d_mlp),
        "blocks.0.mlp.b_in": (d_mlp,),
        "blocks.0.mlp.W_out": (d_mlp, d_model),
        "blocks.0.mlp.b_out": (d_model,),
        "unembed.W_U": (d_model, 5),
    }


def test_the_mlp_has_named_arrays_too() -> None:
    assert {name: array.shape for name, array in state_dict(tiny.mlp()).items()} == {
        "embed.W_x": (5, 4),
        "embed.W_y": (5, 4),
        "mlp.W_in": (8, 6),
        "mlp.b_in": (6,),
        "unembed.W_U": (6, 5),
    }


@pytest.mark.parametrize("make", [tiny.transformer, tiny.mlp])
def test_a_model_comes_back_to_the_bit(make: Callable[[int], Model]) -> None:
    one, other = make(0), make(1)
    back = load_state_dict(other, state_dict(one))
    arrays = state_dict(back)
    for name, array in state_dict(one).items():
        assert array.dtype == arrays[name].dtype
        assert (array == arrays[name]).all()
    assert (state_dict(other)["unembed.W_U"] != arrays["unembed.W_U"]).any()  # a copy


def test_an_optimisers_state_comes_back_to_the_bit() -> None:
    model = tiny.made(tiny.MLP)
    tx = tiny.spec().optimiser.build()
    state = tx.init(model)
    _, moved = jax.jit(tx.update)(model, state, model)
    arrays = state_dict(moved)
    assert any(name.endswith("learning_rate") for name in arrays)
    back = state_dict(load_state_dict(state, arrays))
    assert arrays.keys() == back.keys()
    assert all((arrays[name] == back[name]).all() for name in arrays)
    assert any((arrays[name] != array).any() for name, array in state_dict(state).items())


def test_a_missing_array_is_an_error_that_names_it() -> None:
    arrays = state_dict(tiny.mlp())
    del arrays["mlp.b_in"]
    with pytest.raises(ValueError, match=r"do not fit this model: mlp\.b_in"):
        load_state_dict(tiny.mlp(), arrays)


def test_a_superfluous_array_is_an_error_that_names_it() -> None:
    arrays = {**state_dict(tiny.mlp()), "mlp.b_out": np.zeros(5)}
    with pytest.raises(ValueError, match=r"do not fit this model: mlp\.b_out"):
        load_state_dict(tiny.mlp(), arrays)


def test_an_array_of_another_shape_is_an_error_that_names_both_shapes() -> None:
    arrays = {**state_dict(tiny.mlp()), "mlp.b_in": np.zeros(7)}
    with pytest.raises(ValueError, match=r"mlp\.b_in has shape \(7,\), the model wants \(6,\)"):
        load_state_dict(tiny.mlp(), arrays)
