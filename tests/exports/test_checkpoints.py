"""Exported checkpoints hold the weights under the names that other programs know them by.

That the programs compute the same logits with them is tested with these programs (`tests/oracles`).
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import undergrowth as ug
from tests.exports.checkpoints import checkpoint_of
from tests.exports.stores import EVENTFUL, PLAIN
from undergrowth.models import state_dict
from undergrowth.models.prompts import sinusoids
from undergrowth.store import Store


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("spec", [PLAIN, EVENTFUL], ids=["mlp", "transformer"])
def test_a_pytorch_checkpoint_has_the_weights_and_logits_of_its_step(
    spec: ug.RunSpec, store: Store, tmp_path: Path
) -> None:
    run = store.run(spec.id)
    folder = ug.export(run, to="pytorch", out=tmp_path / "out", step=20)
    weights, known = (load_file(folder / f"{name}.safetensors") for name in ("model", "logits"))
    model = run.model(20)
    assert {n: a.tolist() for n, a in weights.items()} == {
        n: a.tolist() for n, a in state_dict(model).items()
    }
    np.testing.assert_array_equal(known["logits"], model(jnp.asarray(known["inputs"])))
    assert load_file(folder / "data.safetensors").keys() >= {"inputs", "labels", "is_train"}
    assert config_of(folder)["step"] == 20
    ast.parse((folder / "load.py").read_text())


def test_a_transformer_for_transformer_lens_has_all_biases_and_its_prompt(
    store: Store, tmp_path: Path
) -> None:
    run = store.run(EVENTFUL.id)
    folder = ug.export(run, to="transformer-lens", out=tmp_path / "out")
    weights = load_file(folder / "model.safetensors")
    assert weights.keys() - state_dict(run.model()).keys() == {
        *(f"blocks.0.attn.b_{name}" for name in "QKVO"),
        "unembed.b_U",
    }
    assert not weights["blocks.0.attn.b_Q"].any()
    assert weights["blocks.0.attn.b_Q"].shape == (2, 4)
    config = config_of(folder)
    assert config["prompt"] == ["x", "y", 5]
    assert config["transformer_lens"] == {
        "n_layers": 1,
        "d_model": 8,
        "n_heads": 2,
        "d_head": 4,
        "d_mlp": 20,
        "act_fn": "relu",
        "normalization_type": None,
        "n_ctx": 3,
        "d_vocab": 6,
        "d_vocab_out": 5,
    }


def test_positions_are_those_that_the_model_adds(tmp_path: Path) -> None:
    for pos_embed in ("scaled", "sinusoidal"):
        run, model = checkpoint_of(
            ug.TransformerSpec(d_model=8, n_heads=2, d_head=4, pos_embed=pos_embed)
        )
        folder = ug.export(run, to="transformer-lens", out=tmp_path / pos_embed)
        found = load_file(folder / "model.safetensors")["pos_embed.W_pos"]
        if pos_embed == "sinusoidal":
            np.testing.assert_array_equal(found, sinusoids(3, 8))
        else:
            W_pos = np.asarray(model.pos_embed.W_pos)
            np.testing.assert_allclose(found, W_pos / 8**0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"layer_norm": "post"}, "layer norms after each part"),
        ({"attention_rate": 0.5}, "attention a part of which is a constant"),
        ({"layer_norm": "pre", "residual_from_layer_norm": True}, "attention that adds to what it read"),
        ({"layer_norm": "pre", "final_layer_norm": False}, "final_layer_norm = false with"),
        ({"final_layer_norm": True}, "final_layer_norm = true with layer_norm = 'none'"),
    ],
)
def test_a_model_that_transformer_lens_cannot_compute_is_refused(
    fields: dict[str, Any], lacking: str, tmp_path: Path
) -> None:
    run, _ = checkpoint_of(ug.TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=6, **fields))
    with pytest.raises(ug.ExportError, match=lacking):
        ug.export(run, to="transformer-lens", out=tmp_path / "out")


def test_a_model_without_a_module_is_refused_with_where_its_weights_are(tmp_path: Path) -> None:
    run, _ = checkpoint_of(ug.PlantedSpec(group="C5"))
    with pytest.raises(ug.ExportError, match=r"no PyTorch module of 'planted', .*model\.safetensors"):
        ug.export(run, to="pytorch", out=tmp_path / "out")
