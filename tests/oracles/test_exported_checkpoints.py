"""Exported checkpoints compute the package's logits in the programs that they are for."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import undergrowth as ug
from tests.exports.checkpoints import checkpoint_of
from tests.exports.stores import EVENTFUL
from undergrowth.store import Run, Store

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # of TransformerLens's dependencies

WITHIN = 1e-5

NARROW: dict[str, Any] = {"d_model": 8, "n_heads": 2, "d_head": 3, "d_mlp": 6}
BOTH = {
    "one layer": ug.TransformerSpec(**NARROW),
    "two layers, pre, gelu, biases": ug.TransformerSpec(
        **NARROW, n_layers=2, layer_norm="pre", act_fn="gelu", attn_bias=True, unembed_bias=True
    ),
    "no mlp bias, output bias, operator": ug.TransformerSpec(
        **NARROW, mlp_bias=False, attn_bias="output", prompt="x o y ="
    ),
    "scaled positions, vocabulary": ug.TransformerSpec(
        **NARROW, pos_embed="scaled", logits="vocabulary", prompt="<eos> x o y ="
    ),
    "two tokens alone, embedded apart": ug.TransformerSpec(
        **NARROW, prompt="x y", operand_embeddings="separate", logits="vocabulary"
    ),
    "sinusoidal positions": ug.TransformerSpec(
        **NARROW, pos_embed="sinusoidal", n_layers=3, layer_norm="pre"
    ),
}
"""Transformers that TransformerLens computes."""
PYTORCH = {
    **BOTH,
    "post": ug.TransformerSpec(**NARROW, n_layers=2, layer_norm="post"),
    "post, normed at the end": ug.TransformerSpec(**NARROW, layer_norm="post", final_layer_norm=True),
    "pre, not normed at the end": ug.TransformerSpec(**NARROW, layer_norm="pre", final_layer_norm=False),
    "adds to what it reads": ug.TransformerSpec(
        **NARROW, n_layers=2, layer_norm="pre", residual_from_layer_norm=True
    ),
    "attention partly a constant": ug.TransformerSpec(
        **NARROW, attention_rate=0.3, prompt="x o y =", operand_embeddings="separate"
    ),
    "mlp": ug.MLPSpec(d_mlp=7, n_hidden=3, act_fn="gelu"),
    "mlp without biases, square": ug.MLPSpec(d_mlp=7, n_hidden=1, act_fn="square", bias=False),
    "two tokens": ug.TwoTokenMLPSpec(d_embed=4, d_mlp=7, bias=True, leak=0.1),
    "two tokens, summed": ug.TwoTokenMLPSpec(d_embed=4, d_mlp=7, combine="summed", act_fn="gelu"),
}


def program_of(folder: Path) -> ModuleType:
    """The `load.py` of an exported checkpoint, imported from where it lies."""
    found = importlib.util.spec_from_file_location(f"load_{folder.parent.name}", folder / "load.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def largest_difference(run: Run, model: Any, to: str, folder: Path) -> float:
    """Of logits over all examples, in the program and in the package."""
    place = ug.export(run, to=to, out=folder / "out", step=0)
    program = program_of(place)
    inputs = np.asarray(run.spec.data().inputs)
    with torch.no_grad():
        found = program.logits(program.load(), torch.from_numpy(inputs.copy()), place).numpy()
    expected = np.asarray(model(jnp.asarray(inputs)))
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    assert program.difference()[0] <= WITHIN
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("name", PYTORCH)
def test_pytorch_computes_the_same_logits(name: str, tmp_path: Path) -> None:
    run, model = checkpoint_of(PYTORCH[name])
    assert largest_difference(run, model, "pytorch", tmp_path) <= WITHIN


def test_an_mlp_on_numbers_computes_the_same_logits(tmp_path: Path) -> None:
    run, model = checkpoint_of(ug.MLPSpec(d_mlp=7), ug.SparseParity(n_bits=6, k=2))
    assert largest_difference(run, model, "pytorch", tmp_path) <= WITHIN


@pytest.mark.parametrize("name", BOTH)
def test_transformer_lens_computes_the_same_logits(name: str, tmp_path: Path) -> None:
    run, model = checkpoint_of(BOTH[name])
    assert largest_difference(run, model, "transformer-lens", tmp_path) <= WITHIN


def test_transformer_lens_shows_the_same_activations(store: Store, tmp_path: Path) -> None:
    """Heads and neurons at the last position, by the names that both give them."""
    run = store.run(EVENTFUL.id)
    program = program_of(ug.export(run, to="transformer-lens", out=tmp_path / "out"))
    inputs = np.asarray(run.spec.data().inputs)
    model, pairs = run.model(), torch.from_numpy(inputs.copy())
    expected: dict[str, Any] = {}
    model(jnp.asarray(inputs), ug.recording(expected))
    with torch.no_grad():
        _, cache = program.load().run_with_cache(program.prompts(pairs))
    for site in model.sites:
        its = np.asarray(expected[site.name])
        np.testing.assert_allclose(
            cache[site.name][:, -1].reshape(its.shape).numpy(), its, atol=WITHIN, err_msg=site.name
        )


@pytest.mark.parametrize("to", ["pytorch", "transformer-lens"])
def test_the_program_says_how_near_it_comes_and_fails_where_a_weight_is_another(
    to: str, store: Store, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = ug.export(store.run(EVENTFUL.id), to=to, out=tmp_path / "out")
    command = [sys.executable, str(folder / "load.py")]
    if to == "pytorch":
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.startswith("largest difference from undergrowth's logits: ")
        assert done.stdout.endswith(", over 25 inputs\n")
    weights = load_file(folder / "model.safetensors")
    weights["unembed.W_U"] = weights["unembed.W_U"] + 0.1 * torch.eye(8, 5)
    save_file(weights, folder / "model.safetensors")
    assert program_of(folder).difference()[0] > 100 * WITHIN
