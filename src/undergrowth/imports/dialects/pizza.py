"""Zhong et al. 2023 ("the clock and the pizza"): a one-layer transformer of two tokens `x y`.

Its arrays lie as Nanda et al.'s do. A configuration beside it says of which task it is and how much of
its attention is a constant. Their networks without attention are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from undergrowth.imports.arrays import taken
from undergrowth.imports.dialects.nanda import table
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import (
    Beside,
    Dialect,
    Fields,
    Foreign,
    State,
    each_alone,
    number,
    state_dict_of,
)
from undergrowth.imports.optimisers import adamw_fields
from undergrowth.tasks import Shuffled


def is_transformer(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of their transformer: Nanda et al.'s layout, of two positions."""
    W_E, W_pos = arrays.get("embed.W_E"), arrays.get("pos_embed.W_pos")
    return W_E is not None and W_pos is not None and W_pos.shape == (2, len(W_E))


def is_linear(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of their network without attention."""
    return {"embed.weight", "unembed.weight", "l1.weight", "l1.bias"} <= arrays.keys()


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run in a file."""
    (file,) = group
    theirs = state_dict_of(file)
    if is_linear(theirs):
        raise ForeignFileError(
            "a network of Zhong et al. 2023 without attention, with one embedding for both operands "
            "side by side: the MLPs here have one for each, so it is not imported"
        )
    config = beside(f"config_{file.stem.removeprefix('model_')}.json")
    if config is None or not isinstance(config.held, dict):
        raise ForeignFileError(
            f"{file.name} has no config_{file.stem.removeprefix('model_')}.json beside it, which says "
            "how much of its attention is a constant"
        )
    told = config.held
    p = _modulus(told)
    model, sizes = _model(theirs, told, p)
    frac_train = number(told.get("frac")) or 0.8
    return Foreign(
        name=file.stem.removeprefix("model_"),
        dialect=DIALECT.name,
        files=[file, config],
        fields={
            "task": {"name": "modular", "operation": "x+y", "p": p},
            "model": model,
            "optimiser": adamw_fields({"betas": (0.9, 0.98), **told}),
        },
        states={int(number(told.get("epoch")) or 1): State(taken(theirs, table(1), sizes))},
        assumed=[
            "optimiser.betas: 0.9 and 0.98, of which the files do not tell, nor of its moments",
            "steps: the weights are those after the last epoch of the configuration",
        ],
        splits=[Shuffled(by="torch", seed=0, frac_train=frac_train)],
    )


def _modulus(told: Mapping[str, Any]) -> int:
    """p, where the task is their addition."""
    p = told.get("C")
    if type(p) is not int or told.get("name") != f"modadd_{p}" or told.get("eqn_sign", 0) != 0:
        raise ForeignFileError(
            f"its configuration is of {told.get('name')!r} with C = {p!r}, and known is the addition "
            "modadd_C: give the task and the model in a mapping file"
        )
    return p


def _model(
    theirs: Mapping[str, np.ndarray], told: Mapping[str, Any], p: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """The fields of the model, and the lengths of axes that lie in one with others."""
    rate, act_fn = number(told.get("attn_coeff")), str(told.get("act_fn", "ReLU")).lower()
    if rate is None or not 0 <= rate <= 1 or told.get("n_layers", 1) != 1:
        raise ForeignFileError(
            f"attn_coeff = {told.get('attn_coeff')!r} and n_layers = {told.get('n_layers')!r} in its "
            "configuration: a share of one layer's attention is known"
        )
    try:
        n_heads, d_head, d_model = theirs["blocks.0.attn.W_Q"].shape
        d_mlp, n_tokens = len(theirs["blocks.0.mlp.b_in"]), theirs["embed.W_E"].shape[1]
    except (KeyError, ValueError):
        raise ForeignFileError("it lacks blocks.0.attn.W_Q [head, d_head, d_model] or the MLP") from None
    if n_tokens not in (p, 2 * p):
        raise ForeignFileError(f"it embeds {n_tokens} tokens, and the operands of its task are {p}")
    shape = {"d_model": d_model, "n_heads": n_heads, "d_head": d_head, "d_mlp": d_mlp}
    fields = {
        **shape,
        "name": "transformer",
        "act_fn": act_fn,
        "attention_rate": rate,
        "prompt": "x y",
        "operand_embeddings": "shared" if n_tokens == p else "separate",
        "logits": "vocabulary",
    }
    return fields, {"d_model": d_model, "head": n_heads, "d_head": d_head, "d_mlp": d_mlp}


DIALECT = Dialect(
    "pizza",
    "embed.W_E [d_model, d_vocab], pos_embed.W_pos [2, d_model], with config_NAME.json",
    each_alone(lambda arrays: is_transformer(arrays) or is_linear(arrays)),
    read,
)
