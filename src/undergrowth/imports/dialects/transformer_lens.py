"""TransformerLens: a transformer's state dict, alone or with curves, checkpoints and pairs.

Up to version 3 the names and shapes of a HookedTransformer are ours; what is no parameter is left out.
From version 4 on those of a TransformerBridge are PyTorch's nn.Linear's. With `train_indices` and
`checkpoints` it is the file that TransformerLens's demo of grokking saves.
"""

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
    state_dict_of,
)
from undergrowth.imports.split_search import by_shuffle
from undergrowth.tasks import GivenSplit, Modular

LINEAR = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")
BIASES = ("b_Q", "b_K", "b_V", "b_O")
NORMS = ("ln1.w", "ln1.b", "ln2.w", "ln2.b")
BUFFERS = ("mask", "IGNORE")
"""Ends of the names of arrays that are no parameters."""


def is_transformer_lens(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of this layout."""
    W_E, W_U, W_Q = (arrays.get(n) for n in ("embed.W_E", "unembed.W_U", "blocks.0.attn.W_Q"))
    return (
        W_E is not None
        and W_U is not None
        and W_Q is not None
        and (W_E.ndim, W_U.ndim, W_Q.ndim) == (2, 2, 3)
        and W_E.shape[1] == W_U.shape[0] == W_Q.shape[1]
    )


def is_bridge(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of TransformerLens 4: a native transformer behind a bridge."""
    names = {"embed.weight", "pos_embed.weight", "blocks.0.attn.q.weight", "unembed.weight"}
    return names <= arrays.keys()


def with_our_names(
    theirs: Mapping[str, np.ndarray], held: Any, fields: Fields
) -> Mapping[str, np.ndarray]:
    """A state dict with the names and shapes of a HookedTransformer, whichever it has.

    Raises ForeignFileError where it is a bridge's and nobody says how many heads there are.
    """
    if not is_bridge(theirs):
        return theirs
    told = [dict(fields.get("model") or {}), *(held.get(key) for key in ("config", "cfg"))]
    numbers = [each.get("n_heads") for each in told if isinstance(each, dict)]
    n_heads = next((n for n in numbers if type(n) is int and n > 0), None)
    if n_heads is None:
        raise ForeignFileError(
            "it does not say how many heads there are: give model.n_heads with --spec"
        )
    return taken(theirs, _table_of_bridge(theirs), {"head": n_heads})


def _table_of_bridge(theirs: Mapping[str, np.ndarray]) -> dict[str, Taken]:
    """Which array of a bridge becomes which of ours."""
    found: dict[str, Taken] = {}
    for name in theirs:
        place, _, kind = name.rpartition(".")
        part = place.rpartition(".")[2]
        within = place.removesuffix(part)
        if part in ("q", "k", "v"):
            axes = "(head d_head) d_model -> head d_model d_head"
            bias = "(head d_head) -> head d_head"
            ours, how = f"{within}{kind[0].replace('w', 'W')}_{part.upper()}", (axes, bias)
        elif part == "o":
            axes = "d_model (head d_head) -> head d_head d_model"
            ours, how = f"{within}{kind[0].replace('w', 'W')}_O", (axes, "")
        elif part in ("in", "out"):
            ours, how = f"{within}{kind[0].replace('w', 'W')}_{part}", ("to by -> by to", "")
        elif part == "unembed":
            ours, how = f"unembed.{kind[0].replace('w', 'W')}_U", ("to by -> by to", "")
        elif part in ("embed", "pos_embed"):
            ours, how = f"{part}.{'W_E' if part == 'embed' else 'W_pos'}", ("", "")
        elif part in ("ln1", "ln2", "ln_final"):
            ours, how = f"{place}.{kind[0]}", ("", "")
        else:
            continue
        found[ours] = Taken(name=name, axes=how[kind == "bias"])
    return found


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run in a file."""
    (file,) = group
    held = file.held
    theirs = with_our_names(state_dict_of(file), held, fields)
    model = model_fields(theirs)
    p, losses = model_operands(theirs), as_curve(held.get("train_losses"))
    val = as_curve(held.get("test_losses"))
    task = Modular(p=p)
    states = _states(held, theirs, fields, len(losses))
    pairs = _pairs(held, p)
    return Foreign(
        name=file.stem,
        dialect=DIALECT.name,
        files=group,
        fields={
            "task": task.model_dump(),
            "model": model,
            **({"split": GivenSplit.of(task, pairs).model_dump()} if pairs is not None else {}),
        },
        states=states,
        update_loss=np.array(list(losses.values()), np.float32) if losses else None,
        recorded={"val_loss": val} if val else {},
        assumed=[
            f"task: x+y mod {p}",
            "model: ReLU, of which the file does not tell",
            "optimiser: not in the file; no moments",
            *([] if losses else ["steps: the file has no step, so it is called 1"]),
        ],
        claims=_claims(losses, val),
        splits=[] if pairs is not None else by_shuffle("torch"),
    )


def model_operands(theirs: Mapping[str, np.ndarray]) -> int:
    """The number of operands: all tokens but `=`."""
    return len(theirs["embed.W_E"]) - 1


def model_fields(theirs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of the transformer that has these arrays; raises ForeignFileError for one that is not
    read at the last of three tokens.
    """
    n_layers = sum(name.endswith(".attn.W_Q") for name in theirs)
    n_heads, d_model, d_head = theirs["blocks.0.attn.W_Q"].shape
    W_in, W_pos = theirs.get("blocks.0.mlp.W_in"), theirs.get("pos_embed.W_pos")
    if W_in is None or W_pos is None or len(W_pos) != 3:
        raise ForeignFileError(
            "a transformer without an MLP or not of three positions x y =, which this laboratory has not"
        )
    normed = "blocks.0.ln1.w" in theirs
    d_out = theirs["unembed.W_U"].shape[1]
    d_vocab = len(theirs["embed.W_E"])
    return {
        "name": "transformer",
        "n_layers": n_layers,
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_head,
        "d_mlp": W_in.shape[1],
        "layer_norm": "pre" if normed else "none",
        "final_layer_norm": "ln_final.w" in theirs,
        "mlp_bias": "blocks.0.mlp.b_in" in theirs,
        "attn_bias": "blocks.0.attn.b_Q" in theirs,
        "unembed_bias": "unembed.b_U" in theirs,
        "logits": "vocabulary" if d_out == d_vocab else "labels",
    }


def table(theirs: Mapping[str, np.ndarray]) -> dict[str, Taken]:
    """Every parameter by its name, which is ours too."""
    known = {"embed", "pos_embed", "unembed", "blocks", "ln_final"}
    return {
        name: Taken(name=name)
        for name in theirs
        if name.split(".")[0] in known and name.rpartition(".")[2] not in BUFFERS and "." in name
    }


def _states(
    held: Mapping[str, Any],
    theirs: Mapping[str, np.ndarray],
    fields: Fields,
    n_updates: int,
) -> dict[int, State]:
    """The weights at each step at which the file has them."""
    names = table(theirs)
    states = {max(n_updates, 1): State(taken(theirs, names, {}))}
    checkpoints, steps = held.get("checkpoints"), held.get("checkpoint_epochs")
    if isinstance(checkpoints, list | tuple) and isinstance(steps, list | tuple):
        for step, arrays in zip(steps, checkpoints, strict=False):
            if isinstance(arrays, dict) and type(step) is int and step >= 0:
                ours = with_our_names(arrays, held, fields)
                states[step] = State(taken(ours, names, {}))
    return states


def _pairs(held: Mapping[str, Any], p: int) -> list[tuple[int, int]] | None:
    """The pairs that were trained on, which the demo numbers x p + y; None where they are not told."""
    indices = held.get("train_indices")
    if not isinstance(indices, np.ndarray) or indices.ndim != 1 or indices.dtype.kind != "i":
        return None
    if indices.size and not 0 <= indices.min() <= indices.max() < p * p:
        raise ForeignFileError(f"train_indices are not all of the {p * p} pairs: the file is damaged")
    return [divmod(index, p) for index in indices.tolist()]


def _claims(losses: Mapping[int, float], val: Mapping[int, float]) -> list[Claim]:
    step = len(losses)
    found = [Claim("train_loss", step, losses[step - 1], lags=1)] if losses else []
    if val and len(val) == step:
        found.append(Claim("val_loss", step, val[step - 1], lags=1))
    return found


DIALECT = Dialect(
    "transformer_lens",
    "embed.W_E [d_vocab, d_model], blocks.N.attn.W_Q",
    each_alone(lambda arrays: is_transformer_lens(arrays) or is_bridge(arrays)),
    read,
)
