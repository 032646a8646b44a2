"""Curves alone: a CSV file or JSON lines with a row a step, which become a run without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import Beside, Dialect, Fields, Foreign, number
from undergrowth.imports.recorded import CURVES, curve_columns, four_curves, others

P = ("p", "modulus", "prime")
SHARE = ("train_fraction", "train_frac", "frac_train")
OPERATIONS = {
    "add": {"name": "modular", "operation": "x+y"},
    "sub": {"name": "modular", "operation": "x-y"},
    "mul": {"name": "modular", "operation": "x*y"},
    "div": {"name": "modular", "operation": "x/y"},
    "s5": {"name": "group", "group": "S5"},
}
"""What tasks are called elsewhere."""


def groups(files: Sequence[File]) -> Iterable[list[File]]:
    """Each file of rows."""
    for file in files:
        if file.path.suffix.lower() in (".csv", ".jsonl"):
            yield [file]


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """The run whose curves the file has."""
    (file,) = group
    columns = curve_columns(file)
    curves = four_curves(columns)
    if not curves:
        wanted = "; ".join(" or ".join(names) for names in CURVES.values())
        raise ForeignFileError(
            f"it has {', '.join(list(columns)[:12])}, and a run needs the curves {wanted}"
        )
    told = _told(file)
    task, assumed = _task(told)
    share = next((number_in(told, name) for name in SHARE if number_in(told, name)), None)
    optimiser = {key: number_in(told, key) for key in ("lr", "weight_decay")}
    return Foreign(
        name=file.stem,
        dialect=DIALECT.name,
        files=group,
        fields={
            "task": task,
            **({"split": {"name": "leaky_random", "frac_train": share}} if share else {}),
            "optimiser": {k: v for k, v in optimiser.items() if v is not None},
        },
        curves=curves,
        recorded=others(columns),
        assumed=[
            *assumed,
            "split: which examples were trained on is not in the file, and drawn anew",
            "model: not in the file; the spec's is the default, and there are no weights",
        ],
    )


def _told(file: File) -> Mapping[str, Any]:
    """The settings of a run: those of the line `_meta`, or the first row's."""
    first = file.held[0]
    meta = first.get("_meta") if isinstance(first, dict) else None
    return meta if isinstance(meta, dict) else first


def _task(told: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    p = next((number_in(told, name) for name in P if number_in(told, name)), None)
    named = told.get("operation", told.get("op", told.get("task")))
    known = OPERATIONS.get(str(named).lower(), {"name": "modular", "operation": "x+y"})
    task = {**known, "p": int(p)} if known["name"] == "modular" and p else dict(known)
    if str(named).lower() in OPERATIONS and (p or known["name"] != "modular"):
        return task, []
    lacking = "" if p else " and what modulo"
    return task, [f"task: which operation{lacking} is not in the file; taken for x+y"]


def number_in(told: Mapping[str, Any], name: str) -> float | None:
    """A number among settings, which a CSV file has as text."""
    value = told.get(name)
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


DIALECT = Dialect(
    "curves",
    ".csv or .jsonl with step and four curves",
    groups,
    read,
)
