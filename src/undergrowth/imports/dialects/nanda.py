"""Nanda et al. 2022: a one-layer transformer of their own, its matrices transposed, with curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from undergrowth.imports.arrays import Taken, taken
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import (
    Beside,
    Claim,
    Dialect,
    Fields,
    Foreign,
    State,
    as_curve,
    each_alone,
    number,
    state_dict_of,
)
from undergrowth.imports.optimisers import torch_adam
from undergrowth.imports.split_search import by_shuffle

BUFFERS = ("mask",)
"""Ends of names of arrays that are no parameters."""


def table(n_layers: int) -> dict[str, Taken]:
    """Which array becomes which of ours."""
    found = {
        "embed.W_E": Taken(name="embed.W_E", axes="d_model d_vocab -> d_vocab d_model"),
        "pos_embed.W_pos": Taken(name="pos_embed.W_pos"),
        "unembed.W_U": Taken(name="unembed.W_U"),
    }
    for layer in range(n_layers):
        attn, mlp = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
        for W in ("W_Q", "W_K", "W_V"):
            axes = "head d_head d_model -> head d_model d_head"
            found[f"{attn}.{W}"] = Taken(name=f"{attn}.{W}", axes=axes)
        axes = "d_model (head d_head) -> head d_head d_model"
        found[f"{attn}.W_O"] = Taken(name=f"{attn}.W_O", axes=axes)
        found[f"{mlp}.W_in"] = Taken(name=f"{mlp}.W_in", axes="d_mlp d_model -> d_model d_mlp")
        found[f"{mlp}.W_out"] = Taken(name=f"{mlp}.W_out", axes="d_model d_mlp -> d_mlp d_model")
        found |= {f"{mlp}.{b}": Taken(name=f"{mlp}.{b}") for b in ("b_in", "b_out")}
    return found


def is_nanda(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of this layout: W_E is as wide as W_pos is from right to left."""
    W_E, W_pos, W_O = (arrays.get(n) for n in ("embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_O"))
    return (
        W_E is not None
        and W_pos is not None
        and W_O is not None
        and (W_E.ndim, W_pos.ndim, W_O.ndim) == (2, 2, 2)
        and W_E.shape[0] == W_pos.shape[1]
        and W_pos.shape[0] == 3
    )


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run in a file."""
    (file,) = group
    theirs, held = state_dict_of(file), file.held if isinstance(file.held, dict) else {}
    model, sizes = _model(theirs)
    p = theirs["embed.W_E"].shape[1] - 1
    step, state, optimiser = _state(held, theirs, table(model["n_layers"]), sizes)
    losses = as_curve(held.get("train_losses"))
    every = _spacing(held)
    val = as_curve(held.get("test_losses"), every)
    fields = {
        "task": {"name": "modular", "operation": "x+y", "p": p},
        "model": model,
        "optimiser": optimiser,
    }
    return Foreign(
        name=file.stem,
        dialect=DIALECT.name,
        files=group,
        fields=fields,
        states={step: state},
        update_loss=np.array(list(losses.values()), np.float32) if losses else None,
        recorded={"val_loss": val} if val else {},
        assumed=_assumed(p, held, has_step=bool(losses) or state.means is not None),
        claims=_claims(held, losses, val, step),
        splits=by_shuffle("python"),
    )


def _model(theirs: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, int]]:
    n_layers = sum(name.endswith("attn.W_Q") for name in theirs)
    try:
        n_heads, d_head, d_model = theirs["blocks.0.attn.W_Q"].shape
        d_mlp = len(theirs["blocks.0.mlp.b_in"])
    except (KeyError, ValueError):
        raise ForeignFileError("it lacks blocks.0.attn.W_Q [head, d_head, d_model] or the MLP") from None
    sizes = {"d_model": d_model, "head": n_heads, "d_head": d_head, "d_mlp": d_mlp}
    shape = {"d_model": d_model, "n_heads": n_heads, "d_head": d_head, "d_mlp": d_mlp}
    return {"name": "transformer", "n_layers": n_layers, **shape, "logits": "vocabulary"}, sizes


def _state(
    held: Mapping[str, Any],
    theirs: Mapping[str, np.ndarray],
    names: Mapping[str, Taken],
    sizes: Mapping[str, int],
) -> tuple[int, State, dict[str, Any]]:
    """The step, what the run was there, and its optimiser."""
    weights = taken(theirs, names, sizes)
    n_updates = len(held.get("train_losses") or ())
    if not isinstance(held.get("optimizer"), dict):
        published = {"name": "adamw", "lr": 1e-3, "weight_decay": 1.0, "warmup_steps": 10}
        return max(n_updates, 1), State(weights), published
    parameters = {name: a for name, a in theirs.items() if name.rpartition(".")[2] not in BUFFERS}
    adam = torch_adam(held["optimizer"], parameters)
    means, squares = (taken(kind, names, sizes) for kind in (adam.means, adam.squares))
    return adam.count, State(weights, means, squares, adam.count), dict(adam.fields)


def _spacing(held: Mapping[str, Any]) -> int:
    """How many steps lie between two test losses."""
    n_train, n_test = (len(held.get(key) or ()) for key in ("train_losses", "test_losses"))
    return max(1, round(n_train / n_test)) if n_test else 1


def _claims(held: Mapping[str, Any], train: Any, val: Any, step: int) -> list[Claim]:
    """The losses of the update before the weights: told by themselves, or the last of the curves."""
    told = [
        ("train_loss", number(held.get("train_loss")), 1),
        ("val_loss", number(held.get("test_loss")), 1),
    ]
    for at, (name, curve) in enumerate((("train_loss", train), ("val_loss", val))):
        if told[at][1] is None and curve and max(curve) < step:
            told[at] = (name, curve[max(curve)], step - max(curve))
    return [Claim(name, step, value, lag) for name, value, lag in told if value is not None]


def _assumed(p: int, held: Mapping[str, Any], *, has_step: bool) -> list[str]:
    found = [f"task: x+y mod {p}", "model: ReLU, of which the file does not tell"]
    if not isinstance(held.get("optimizer"), dict):
        found.append("optimiser: AdamW with lr 0.001 and weight decay 1, as published; no moments")
    if not has_step:
        found.append("steps: the file has no step, so it is called 1")
    return found


DIALECT = Dialect(
    "nanda2022",
    "embed.W_E [d_model, d_vocab], pos_embed.W_pos [3, d_model]",
    each_alone(is_nanda),
    read,
)
