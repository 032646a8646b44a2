"""Pre-LayerNorm transformers with fused queries, keys and values, in the layout of PyTorch's nn.Linear.

`NAME.pt` are the last weights, `NAME_memorize.pt` those when all training examples were right; beside
them lie `NAME.json`, the configuration, and `NAME.csv`, the curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from undergrowth.imports.arrays import Taken, taken
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import (
    Beside,
    Claim,
    Curve,
    Dialect,
    Fields,
    Foreign,
    State,
    state_dict_of,
)
from undergrowth.imports.optimisers import adamw_fields
from undergrowth.imports.recorded import curve_columns, four_curves, others
from undergrowth.tasks import Modular, Shuffled

EARLIER = "_memorize"
"""What stands behind a run's name where its weights are those of the configuration's memorize_step."""

OPERATIONS = {"add": "x+y", "sub": "x-y", "mul": "x*y", "div": "x/y"}


def is_fused(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of this layout."""
    return {"tok_emb.weight", "pos_emb", "blocks.0.attn.qkv.weight", "unembed.weight"} <= arrays.keys()


def groups(files: Sequence[File]) -> Iterable[list[File]]:
    """A run's weights at both moments."""
    runs: dict[str, list[File]] = {}
    for file in files:
        if is_fused(state_dict_of(file)):
            runs.setdefault(file.stem.removesuffix(EARLIER), []).append(file)
    return runs.values()


def table(n_layers: int) -> dict[str, Taken]:
    """Which array becomes which of ours."""
    found = {
        "embed.W_E": Taken(name="tok_emb.weight"),
        "pos_embed.W_pos": Taken(name="pos_emb"),
        "ln_final.w": Taken(name="ln_f.gamma"),
        "ln_final.b": Taken(name="ln_f.beta"),
        "unembed.W_U": Taken(name="unembed.weight", axes="label d_model -> d_model label"),
    }
    for layer in range(n_layers):
        block = f"blocks.{layer}"
        for part, W in enumerate(("W_Q", "W_K", "W_V")):
            axes = "(part head d_head) d_model -> part head d_model d_head"
            found[f"{block}.attn.{W}"] = Taken(name=f"{block}.attn.qkv.weight", axes=axes, part=part)
        axes = "d_model (head d_head) -> head d_head d_model"
        found[f"{block}.attn.W_O"] = Taken(name=f"{block}.attn.proj.weight", axes=axes)
        for ours, theirs in (("W_in", "up"), ("W_out", "down")):
            found[f"{block}.mlp.{ours}"] = Taken(
                name=f"{block}.mlp.{theirs}.weight", axes="to by -> by to"
            )
            found[f"{block}.mlp.b_{ours[2:]}"] = Taken(name=f"{block}.mlp.{theirs}.bias")
        for norm in ("ln1", "ln2"):
            found[f"{block}.{norm}.w"] = Taken(name=f"{block}.{norm}.gamma")
            found[f"{block}.{norm}.b"] = Taken(name=f"{block}.{norm}.beta")
    return found


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run whose weights the files are."""
    name = group[0].stem.removesuffix(EARLIER)
    told_by, curves_of = beside(f"{name}.json"), beside(f"{name}.csv")
    if told_by is None or not isinstance(told_by.held, dict) or "config" not in told_by.held:
        raise ForeignFileError(f"{name} has no {name}.json beside it, which says how many heads it has")
    told, config = told_by.held, told_by.held["config"]
    theirs = state_dict_of(group[0])
    model = _model(theirs, config)
    sizes = {"part": 3, "head": model["n_heads"], "d_head": model["d_head"]}
    names = table(model["n_layers"])
    states = {_step(file, told): State(taken(state_dict_of(file), names, sizes)) for file in group}
    columns = curve_columns(curves_of) if curves_of else {}
    seed = int(config.get("seed", 0))
    operation = config.get("operation", "add")
    if operation not in OPERATIONS:
        raise ForeignFileError(f"operation {operation!r}: known are {', '.join(OPERATIONS)}")
    split = Shuffled(by="torch", seed=seed, frac_train=float(config["train_frac"]))
    return Foreign(
        name=name,
        dialect=DIALECT.name,
        files=[*group, told_by, *([curves_of] if curves_of else [])],
        fields={
            "task": Modular(
                p=len(theirs["tok_emb.weight"]) - 1, operation=OPERATIONS[operation]
            ).model_dump(),
            "split": split.model_dump(),
            "model": model,
            "optimiser": adamw_fields(config),
            "seeds": {"model": seed, "data": seed, "noise": seed},
        },
        states=states,
        curves=four_curves(columns),
        recorded=others(columns),
        assumed=[
            "model: exact GELU, causal, of which the files do not tell",
            f"split: PyTorch's randperm with seed {seed}, the first {split.frac_train:.0%}",
            "optimiser: its moments are not in the files",
            "steps: those of the configuration",
        ],
        claims=[claim for step in states for claim in _claims(columns, step)],
    )


def _model(theirs: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, Any]:
    d_model = theirs["pos_emb"].shape[1]
    n_heads = config.get("model", {}).get("n_heads")
    if type(n_heads) is not int or n_heads < 1 or d_model % n_heads:
        raise ForeignFileError(f"n_heads = {n_heads!r} does not divide d_model = {d_model}")
    return {
        "name": "transformer",
        "n_layers": sum(name.endswith("attn.qkv.weight") for name in theirs),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": len(theirs["blocks.0.mlp.up.weight"]),
        "act_fn": "gelu",
        "layer_norm": "pre",
    }


def _step(file: File, told: Mapping[str, Any]) -> int:
    key = "memorize_step" if file.stem.endswith(EARLIER) else "steps_run"
    step = told.get(key)
    if type(step) is not int or step < 0:
        raise ForeignFileError(f"{file.name}: its configuration has no {key}, so its step is unknown")
    return step


def _claims(columns: Mapping[str, Curve], step: int) -> list[Claim]:
    """What the curves say where the weights are."""
    read = {**four_curves(columns), "weight_norm": columns.get("weight_norm", {})}
    return [Claim(name, step, curve[step]) for name, curve in read.items() if step in curve]


DIALECT = Dialect(
    "fused_qkv",
    "tok_emb.weight, blocks.N.attn.qkv.weight, with a .json",
    groups,
    read,
)
