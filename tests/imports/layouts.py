"""A small run of ours in the layouts of others, written by plain numpy."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.imports.torch_writer import saved

Arrays = Mapping[str, np.ndarray]


def nanda(ours: Arrays) -> OrderedDict[str, np.ndarray]:
    """A transformer's arrays transposed, with the mask between them."""
    a = {name: np.asarray(array) for name, array in ours.items()}
    found = OrderedDict[str, np.ndarray]()
    found["embed.W_E"] = a["embed.W_E"].T
    found["pos_embed.W_pos"] = a["pos_embed.W_pos"]
    for W in ("W_K", "W_Q", "W_V"):
        found[f"blocks.0.attn.{W}"] = a[f"blocks.0.attn.{W}"].transpose(0, 2, 1)
    W_O = a["blocks.0.attn.W_O"]
    found["blocks.0.attn.W_O"] = W_O.reshape(-1, W_O.shape[-1]).T
    found["blocks.0.attn.mask"] = np.tril(np.ones((3, 3), np.float32))
    found["blocks.0.mlp.W_in"] = a["blocks.0.mlp.W_in"].T
    found["blocks.0.mlp.b_in"] = a["blocks.0.mlp.b_in"]
    found["blocks.0.mlp.W_out"] = a["blocks.0.mlp.W_out"].T
    found["blocks.0.mlp.b_out"] = a["blocks.0.mlp.b_out"]
    found["unembed.W_U"] = a["unembed.W_U"]
    return found


def transformer_lens(ours: Arrays) -> OrderedDict[str, np.ndarray]:
    """A transformer's arrays with the buffers of TransformerLens 1.x."""
    found = OrderedDict((name, np.asarray(array)) for name, array in ours.items())
    found["blocks.0.attn.mask"] = np.tril(np.ones((3, 3), bool))
    found["blocks.0.attn.IGNORE"] = np.array(-1e5, np.float32)
    return found


def bridge(ours: Arrays) -> OrderedDict[str, np.ndarray]:
    """A transformer's arrays as TransformerLens 4.3 has those of a native model, by rows."""
    a = {name: np.asarray(array) for name, array in ours.items()}
    found = OrderedDict[str, np.ndarray]()
    found["embed.weight"], found["pos_embed.weight"] = a["embed.W_E"], a["pos_embed.W_pos"]
    at = "blocks.0.attn"
    d_model = a["embed.W_E"].shape[1]
    for part in "QKV":
        W = a[f"{at}.W_{part}"].transpose(0, 2, 1)
        found[f"{at}.{part.lower()}.weight"] = W.reshape(-1, d_model)
        found[f"{at}.{part.lower()}.bias"] = a[f"{at}.b_{part}"].reshape(-1)
    found[f"{at}.o.weight"] = a[f"{at}.W_O"].reshape(-1, d_model).T
    found[f"{at}.o.bias"] = a[f"{at}.b_O"]
    for part in ("in", "out"):
        found[f"blocks.0.mlp.{part}.weight"] = a[f"blocks.0.mlp.W_{part}"].T
        found[f"blocks.0.mlp.{part}.bias"] = a[f"blocks.0.mlp.b_{part}"]
    for norm in ("blocks.0.ln1", "blocks.0.ln2", "ln_final"):
        if f"{norm}.w" in a:
            found[f"{norm}.weight"], found[f"{norm}.bias"] = a[f"{norm}.w"], a[f"{norm}.b"]
    found["unembed.weight"], found["unembed.bias"] = a["unembed.W_U"].T, a["unembed.b_U"]
    return found


def fused(ours: Arrays) -> OrderedDict[str, np.ndarray]:
    """A pre-LayerNorm transformer's arrays, queries, keys and values in one."""
    a = {name: np.asarray(array) for name, array in ours.items()}
    found = OrderedDict(pos_emb=a["pos_embed.W_pos"])
    found["tok_emb.weight"] = a["embed.W_E"]
    for norm in ("ln1", "ln2"):
        found[f"blocks.0.{norm}.gamma"] = a[f"blocks.0.{norm}.w"]
        found[f"blocks.0.{norm}.beta"] = a[f"blocks.0.{norm}.b"]
    d_model = len(a["blocks.0.ln1.w"])
    rows = [
        a[f"blocks.0.attn.{W}"].transpose(0, 2, 1).reshape(-1, d_model) for W in ("W_Q", "W_K", "W_V")
    ]
    found["blocks.0.attn.qkv.weight"] = np.concatenate(rows)
    found["blocks.0.attn.proj.weight"] = a["blocks.0.attn.W_O"].reshape(-1, d_model).T
    found["blocks.0.attn.causal_mask"] = np.tril(np.ones((3, 3), bool))
    for ours_name, theirs in (("in", "up"), ("out", "down")):
        found[f"blocks.0.mlp.{theirs}.weight"] = a[f"blocks.0.mlp.W_{ours_name}"].T
        found[f"blocks.0.mlp.{theirs}.bias"] = a[f"blocks.0.mlp.b_{ours_name}"]
    found["ln_f.gamma"], found["ln_f.beta"] = a["ln_final.w"], a["ln_final.b"]
    found["unembed.weight"] = a["unembed.W_U"].T
    return found


def one_hot(ours: Arrays) -> OrderedDict[str, np.ndarray]:
    """An MLP's arrays over the sum of two one-hot vectors."""
    W_in, W_U = np.asarray(ours["mlp.0.W_in"]), np.asarray(ours["unembed.W_U"])
    found = OrderedDict[str, np.ndarray]()
    found["mlp.W_in"], found["mlp.W_out"] = W_in.T, W_U.T
    found["mlp.basis"] = np.eye(len(W_in), dtype=np.float32)
    return found


def adamw(
    parameters: Sequence[np.ndarray], squares: Sequence[np.ndarray], step: Any, **group: Any
) -> Any:
    """The state dict of a PyTorch AdamW with these moments, one an array."""
    state = {
        i: {"step": step, "exp_avg": m, "exp_avg_sq": v}
        for i, (m, v) in enumerate(zip(parameters, squares, strict=True))
    }
    numbers = {"lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1, **group}
    groups = [{**numbers, "amsgrad": False, "maximize": False, "params": list(range(len(state)))}]
    return {"state": state, "param_groups": groups}


def write(path: Path, value: Any) -> Path:
    """A file of PyTorch's, or JSON where its name says so."""
    content = json.dumps(value).encode() if path.suffix == ".json" else saved(value)
    path.write_bytes(content)
    return path


def write_csv(path: Path, columns: Mapping[str, Sequence[float]]) -> Path:
    """A CSV file of columns."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
