"""A run of checkpoints of a one-hot MLP: N.pth each, final.pth with curves and moments, pairs beside.

logits = W_out relu(W_in (e_x + e_y)), with `mlp.W_in` [neuron, operand], `mlp.W_out` [label, neuron].
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
    Dialect,
    Fields,
    Foreign,
    State,
    as_curve,
    number,
    state_dict_of,
)
from undergrowth.imports.optimisers import TorchAdam, torch_adam
from undergrowth.imports.split_search import by_shuffle
from undergrowth.tasks import GivenSplit, Modular

TABLE = {
    "mlp.0.W_in": Taken(name="mlp.W_in", axes="d_mlp operand -> operand d_mlp"),
    "unembed.W_U": Taken(name="mlp.W_out", axes="label d_mlp -> d_mlp label"),
}
PARAMETERS = ("mlp.W_in", "mlp.W_out")

CLAIMED = {
    "train_loss": "train_loss",
    "test_loss": "val_loss",
    "train_accuracy": "train_accuracy",
    "test_accuracy": "val_accuracy",
}
RECORDED = {"test_losses": "val_loss", "grad_norms": "gradient_norm", "param_norms": "parameter_norm"}


def is_one_hot_mlp(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of this layout."""
    W_in, W_out = (arrays.get(name) for name in PARAMETERS)
    return W_in is not None and W_out is not None and W_in.ndim == 2 and W_in.shape == W_out.shape[::-1]


def groups(files: Sequence[File]) -> Iterable[list[File]]:
    """All that are of this layout and of one size are one run."""
    alike: dict[tuple[int, ...], list[File]] = {}
    for file in files:
        arrays = state_dict_of(file)
        if is_one_hot_mlp(arrays):
            alike.setdefault(arrays["mlp.W_in"].shape, []).append(file)
    return alike.values()


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run whose checkpoints the files are."""
    by_step = {_step(file): file for file in group}
    if len(by_step) != len(group):
        raise ForeignFileError("two checkpoints of one step: give those of one run")
    last = by_step[max(by_step)]
    _, p = state_dict_of(last)["mlp.W_in"].shape
    task, pairs, others = Modular(p=p), beside("train_data.pth"), beside("test_data.pth")
    adam = _adam(last)
    losses = as_curve(last.held.get("train_losses"))
    recorded = {name: as_curve(last.held.get(key)) for key, name in RECORDED.items()}
    return Foreign(
        name=group[0].path.parent.name if len(group) > 1 else last.stem,
        dialect=DIALECT.name,
        files=[*(by_step[step] for step in sorted(by_step)), *filter(None, (pairs, others))],
        fields={
            "task": task.model_dump(),
            "model": {
                "name": "mlp",
                "d_mlp": len(state_dict_of(last)["mlp.W_in"]),
                "n_hidden": 1,
                "bias": False,
                "combine": "summed",
            },
            **({"optimiser": adam.fields} if adam else {}),
            **({"split": _split(task, pairs)} if pairs else {}),
        },
        states={step: _state(file, adam if file is last else None) for step, file in by_step.items()},
        update_loss=np.array(list(losses.values()), np.float32) if losses else None,
        recorded={name: curve for name, curve in recorded.items() if curve},
        assumed=[
            f"task: x+y mod {p}",
            "model: ReLU, of which the files do not tell",
            *([] if adam else ["optimiser: not in the files; no moments"]),
        ],
        claims=[claim for step, file in sorted(by_step.items()) for claim in _claims(step, file)],
        splits=[] if pairs else by_shuffle("torch"),
    )


def _split(task: Modular, file: File) -> dict[str, Any]:
    """The split that trains on the pairs in a file."""
    pairs = file.held
    if not isinstance(pairs, list) or not all(
        isinstance(pair, tuple | list) and all(type(each) is int for each in pair) for pair in pairs
    ):
        raise ForeignFileError(f"{file.name} is no list of pairs (x, y)")
    try:
        return GivenSplit.of(task, pairs).model_dump()
    except ValueError as error:
        raise ForeignFileError(f"{file.name}: {error}") from None


def _step(file: File) -> int:
    step = number(file.held.get("epoch"))
    if step is None and file.stem.isdigit():
        step = int(file.stem)
    if step is None or step != int(step) or step < 0:
        raise ForeignFileError(f"{file.name} does not say of which step it is: it has no 'epoch'")
    return int(step)


def _adam(file: File) -> TorchAdam | None:
    if not isinstance(file.held.get("optimizer"), dict):
        return None
    theirs = state_dict_of(file)
    return torch_adam(file.held["optimizer"], {name: theirs[name] for name in PARAMETERS})


def _state(file: File, adam: TorchAdam | None) -> State:
    weights = taken(state_dict_of(file), TABLE, {})
    if adam is None:
        return State(weights)
    means, squares = (taken(kind, TABLE, {}) for kind in (adam.means, adam.squares))
    return State(weights, means, squares, adam.count)


def _claims(step: int, file: File) -> Iterable[Claim]:
    """What a checkpoint says of itself, read before the update that led to it."""
    found: list[tuple[str, Any]] = [(ours, file.held.get(key)) for key, ours in CLAIMED.items()]
    for name, value in found:
        value = number(value)
        if value is not None:
            yield Claim(name, step, value, lags=1)


DIALECT = Dialect(
    "one_hot_mlp",
    "mlp.W_in [neuron, operand], mlp.W_out [label, neuron]",
    groups,
    read,
)
