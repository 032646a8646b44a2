"""Chughtai et al. 2023: MLPs and transformers on groups, with their configuration and curves.

Their groups come from sympy, which numbers elements in an order of its own. What a network answers is
their table, so our number of each element is read off it, and rows and columns are put in our order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from undergrowth.engine import initial
from undergrowth.imports.arrays import Taken, taken
from undergrowth.imports.dialects.transformer_lens import (
    is_transformer_lens,
    model_fields,
    table as transformer_table,
)
from undergrowth.imports.element_order import numbering
from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import (
    Beside,
    Claim,
    Dialect,
    Fields,
    Foreign,
    State,
    number,
    state_dict_of,
)
from undergrowth.imports.optimisers import adamw_fields
from undergrowth.imports.recorded import curve_columns, four_curves, others
from undergrowth.imports.split_search import labels_of
from undergrowth.models import load_state_dict
from undergrowth.spec import RunSpec
from undergrowth.tasks import GivenSplit, Group, Modular, Operation, Shuffled

MLP = {
    "embed.W_x": Taken(name="W_x"),
    "embed.W_y": Taken(name="W_y"),
    "mlp.W_in": Taken(name="W"),
    "unembed.W_U": Taken(name="W_U"),
}
GROUPS = {"SymmetricGroup": "S", "AlternatingGroup": "A", "DihedralGroup": "D", "CyclicGroup": "C"}
ROWS = {"embed.W_x": 0, "embed.W_y": 0, "embed.W_E": 0, "unembed.W_U": 1, "unembed.b_U": 0}
"""The arrays with an entry for each element, and along which axis."""
CURVES = {
    "train_loss": "train_loss",
    "test_loss": "val_loss",
    "train_acc": "train_accuracy",
    "test_acc": "val_accuracy",
}


def is_mlp(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of this layout's MLP."""
    return {"W_x", "W_y", "W", "W_U"} <= arrays.keys()


def groups(files: Sequence[File]) -> Iterable[list[File]]:
    """Each MLP, and each transformer that keeps what it embeds beside what it embeds with."""
    for file in files:
        arrays = state_dict_of(file)
        if is_mlp(arrays) or ({"x_embed", "y_embed"} <= arrays.keys() and is_transformer_lens(arrays)):
            yield [file]


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run in a file; what it was is in a configuration beside it."""
    (file,) = group
    config = _beside(file, beside, "cfg.json")
    if config is None or not isinstance(config.held, dict):
        raise ForeignFileError(
            f"{file.name} has no {_named(file, 'cfg.json')} beside it, which says of which group it is"
        )
    told, theirs = config.held, state_dict_of(file)
    task = _task(told)
    model = _mlp(theirs) if is_mlp(theirs) else model_fields(theirs)
    weights = taken(theirs, MLP if is_mlp(theirs) else transformer_table(theirs), {})
    ours, split = _in_our_order(weights, task, model, told)
    metrics, summary = (_beside(file, beside, name) for name in ("metrics.csv", "summary_metrics.json"))
    step = int(number(told.get("num_epochs")) or 1)
    columns = curve_columns(metrics, shift=1) if metrics else {}
    optimiser = {"lr": 1e-3, "betas": told.get("betas", (0.9, 0.98)), **told}
    return Foreign(
        name=file.stem.removesuffix("model").rstrip("_") or file.path.parent.name,
        dialect=DIALECT.name,
        files=[each for each in (file, config, metrics, summary) if each is not None],
        fields={
            "task": task.model_dump(),
            "model": model,
            "split": split,
            "optimiser": adamw_fields(optimiser),
            "seeds": dict.fromkeys(("model", "data", "noise"), int(told.get("seed", 0))),
        },
        states={step: State(ours)},
        curves=four_curves(columns),
        recorded=others(columns),
        assumed=[
            "task: elements are numbered so that the network's answers are our products",
            *([] if is_mlp(theirs) else ["model: ReLU, of which the files do not tell"]),
            "optimiser: its moments are not in the files",
            f"steps: the weights are those after the last epoch of the configuration, {step}",
            "curves: read after the update of their epoch, so at one step more; train_loss before it",
        ],
        claims=_claims(summary, step),
    )


def _named(file: File, ending: str) -> str:
    """What a file of the run is called: `NAME__model.pt` has `NAME__cfg.json`, `model.pt` `cfg.json`."""
    return f"{file.stem.removesuffix('model')}{ending}"


def _beside(file: File, beside: Beside, ending: str) -> File | None:
    return beside(_named(file, ending))


def _task(told: Mapping[str, Any]) -> Operation:
    kind, n = told.get("group"), told.get("group_parameter")
    if kind not in GROUPS or type(n) is not int:
        raise ForeignFileError(f"a group {kind!r} of {n!r}, and known are {', '.join(GROUPS)}")
    return Modular(p=n) if kind == "CyclicGroup" else Group(group=f"{GROUPS[kind]}{n}")


def _mlp(theirs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    shape = {"d_embed": theirs["W_x"].shape[1], "d_mlp": theirs["W"].shape[1]}
    return {"name": "two_token_mlp", **shape}


def _in_our_order(
    weights: Mapping[str, np.ndarray], task: Operation, model: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights with rows and columns in our order of the elements, and the split of our pairs."""
    n = task.n_operands
    spec = RunSpec.from_dict({"task": task.model_dump(), "model": dict(model)})
    try:
        network = load_state_dict(initial(spec).state.model, dict(weights))
    except ValueError as error:
        raise ForeignFileError(f"its weights do not make a {spec.model.name}: {error}") from None
    table = labels_of(network, n).reshape(n, n)
    number_of = numbering(table, task.table())
    place = np.argsort(number_of)  # of our elements, the number that theirs has
    ours = dict(weights)
    for name, axis in ROWS.items():
        if name in ours:
            array = ours[name]
            others = np.arange(n, array.shape[axis])  # special tokens stay where they are
            ours[name] = np.take(array, [*place, *others], axis=axis)
    is_train = _train_mask(task, told).reshape(n, n)
    return ours, GivenSplit.of_mask(is_train[np.ix_(place, place)].reshape(-1)).model_dump()


def _train_mask(task: Operation, told: Mapping[str, Any]) -> np.ndarray:
    """bool [pair]: the first share of their pairs, which seed 0 leaves in order."""
    seed, share = int(told.get("seed", 0)), number(told.get("frac_train"))
    if share is None or not 0 < share < 1:
        raise ForeignFileError(
            f"frac_train = {told.get('frac_train')!r} in its configuration is no share"
        )
    if seed:
        split = Shuffled(by="torch", seed=seed, frac_train=share)
        return split.train_mask(task, np.random.default_rng(0))
    n = len(task.examples())
    return np.arange(n) < int(share * n)


def _claims(summary: File | None, step: int) -> list[Claim]:
    held = summary.held if summary is not None else {}
    told = {ours: number(held.get(key)) for key, ours in CURVES.items()}
    found = [Claim(name, step, value) for name, value in told.items() if value is not None]
    squares = number(held.get("sum_of_squared_weights"))
    return [*found, Claim("weight_norm", step, squares**0.5)] if squares else found


DIALECT = Dialect(
    "rep_theory",
    "W_x, W_y, W, W_U or x_embed, y_embed, with cfg.json",
    groups,
    read,
)
