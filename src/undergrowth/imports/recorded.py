"""Curves that were written down: columns of numbers by step, from CSV and JSON lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File

STEP = ("step", "steps", "epoch", "iteration", "iter", "global_step")
"""Names of the column that counts updates, the first that is there."""

CURVES = {
    "train_loss": ("train_loss", "loss_train", "training_loss"),
    "val_loss": ("test_loss", "val_loss", "valid_loss", "validation_loss"),
    "train_accuracy": ("train_accuracy", "train_acc", "training_accuracy"),
    "val_accuracy": ("test_accuracy", "test_acc", "val_accuracy", "val_acc", "validation_accuracy"),
}
"""What the four curves are called elsewhere."""

MOST_STEPS = 200_000


def curve_columns(file: File, shift: int = 0) -> dict[str, dict[int, float]]:
    """By its name each column of finite numbers, by step; shift: what is added to each step.

    Raises ForeignFileError where the file has no rows, or no column of steps.
    """
    rows = [row for row in file.held if isinstance(row, dict)] if isinstance(file.held, list) else []
    key = next((name for name in STEP if any(name in row for row in rows)), None)
    if key is None:
        names = ", ".join(map(str, list(rows[0])[:12])) if rows else "none"
        raise ForeignFileError(
            f"{file.name} has no column of steps ({', '.join(STEP)}); it has {names}: no curves"
        )
    columns: dict[str, dict[int, float]] = {}
    seen = set[int]()
    if len(rows) > MOST_STEPS:
        raise ForeignFileError(f"{file.name} has more than {MOST_STEPS} rows: leave some steps out")
    for row in rows:
        step = _number(row.get(key))
        if step is None or step != int(step) or step < 0:
            continue
        if int(step) in seen:
            raise ForeignFileError(
                f"{file.name} has step {int(step)} twice, as of several runs: give each its own file"
            )
        seen.add(int(step))
        for name, cell in row.items():
            value = _number(cell)
            if name != key and value is not None and name:
                columns.setdefault(name, {})[int(step) + shift] = value
    return columns


def four_curves(columns: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """The four curves at the steps at which all are there; nothing where one is missing."""
    found = {
        ours: next((columns[name] for name in theirs if name in columns), {})
        for ours, theirs in CURVES.items()
    }
    common = set.intersection(*(set(curve) for curve in found.values()))
    return (
        {name: {step: curve[step] for step in sorted(common)} for name, curve in found.items()}
        if common
        else {}
    )


def others(columns: Mapping[str, Mapping[int, float]]) -> dict[str, Mapping[int, float]]:
    """The columns that are none of the four curves."""
    known = {name for theirs in CURVES.values() for name in theirs}
    return {name: curve for name, curve in columns.items() if name not in known}


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
