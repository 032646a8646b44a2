"""TransformerLens: a checkpoint of a transformer as its TransformerBridge, for version 4 and later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from undergrowth.exports.checkpoint import prompt_of, write_checkpoint
from undergrowth.exports.format import ExportError, OfCheckpoint
from undergrowth.models import TransformerSpec, state_dict
from undergrowth.models.prompts import sinusoids
from undergrowth.store import Run


def write(run: Run, step: int, folder: Path) -> None:
    """Write weights and `load.py`: `load()` in it is a TransformerBridge; `python load.py` compares its
    logits with the package's.

    The weights are complete: biases that the model has not are zero, a fixed table of positions stands
    in the place of a learned one, and a scaled one has been multiplied by its scale. Raises ExportError
    for a model that TransformerLens cannot compute.
    """
    its = run.spec.model
    if not isinstance(its, TransformerSpec):
        raise ExportError(
            f"run {run.id} has a model {its.name!r}, TransformerLens only transformers: use pytorch"
        )
    weights = state_dict(run.model(step))
    for lacking in _lacking(its, ends_normed="ln_final.w" in weights):
        raise ExportError(f"run {run.id}: TransformerLens has no {lacking}: use pytorch")
    told = prompt_of(run.spec, its)
    added = _added(its, weights, len(told["prompt"]))
    d_vocab, d_vocab_out = len(weights["embed.W_E"]), weights["unembed.W_U"].shape[1]
    its_config: dict[str, Any] = {
        **{name: getattr(its, name) for name in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp")},
        "act_fn": its.act_fn,
        "normalization_type": "LN" if its.layer_norm == "pre" else None,
        "n_ctx": len(told["prompt"]),
        "d_vocab": d_vocab,
        "d_vocab_out": d_vocab_out,
    }
    told |= {"transformer_lens": its_config}
    write_checkpoint(run, step, folder, "transformer_lens", told, added)


def _lacking(its: TransformerSpec, *, ends_normed: bool) -> list[str]:
    """What of a transformer TransformerLens does not have."""
    found = []
    if its.layer_norm == "post":
        found.append("layer norms after each part (layer_norm = 'post')")
    if its.attention_rate != 1:
        found.append(f"attention a part of which is a constant (attention_rate = {its.attention_rate})")
    if its.residual_from_layer_norm:
        found.append("attention that adds to what it read (residual_from_layer_norm = true)")
    if ends_normed != (its.layer_norm != "none"):
        said = str(its.final_layer_norm).lower()
        found.append(f"final_layer_norm = {said} with layer_norm = {its.layer_norm!r}")
    return found


def _added(
    its: TransformerSpec, weights: dict[str, np.ndarray], n_positions: int
) -> dict[str, np.ndarray]:
    """What its state dict has, and the model's has not or has otherwise."""
    shapes: dict[str, tuple[int, ...]] = {"unembed.b_U": (weights["unembed.W_U"].shape[1],)}
    for layer in range(its.n_layers):
        within = f"blocks.{layer}"
        shapes |= {f"{within}.attn.b_{name}": (its.n_heads, its.d_head) for name in "QKV"}
        shapes |= {f"{within}.attn.b_O": (its.d_model,), f"{within}.mlp.b_out": (its.d_model,)}
        shapes[f"{within}.mlp.b_in"] = (its.d_mlp,)
    zeros = {n: np.zeros(shape, np.float32) for n, shape in shapes.items() if n not in weights}
    if its.pos_embed == "sinusoidal":
        return {**zeros, "pos_embed.W_pos": sinusoids(n_positions, its.d_model)}
    if its.pos_embed == "scaled":
        W_pos = weights["pos_embed.W_pos"] * np.float32(its.d_model**-0.5)
        return {**zeros, "pos_embed.W_pos": W_pos}
    return zeros


FORMAT = OfCheckpoint("a transformer's checkpoint with a loader for TransformerLens 4", write)
