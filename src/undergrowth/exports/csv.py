"""CSV: tidy tables as text, of which each number reads back as the number that was stored."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from undergrowth.exports.format import OfRuns
from undergrowth.exports.tables import Column, Columns, write_tables
from undergrowth.store import Run


def write(runs: Sequence[Run], readings: Sequence[str], folder: Path) -> None:
    """Write `runs.csv`, `events.csv`, `readings.csv` and one `readings_by_AXES.csv` for each set of
    axes.

    Nothing, an empty field, stands for what is not there; `nan` and `inf` are numbers.
    """
    files: dict[str, Any] = {}
    with ExitStack() as open_files:

        def add(table: str, columns: Columns) -> None:
            if table not in files:
                file = (folder / f"{table}.csv").open("w", newline="", encoding="utf-8")
                files[table] = csv.writer(open_files.enter_context(file), lineterminator="\n")
                files[table].writerow(columns)
            files[table].writerows(zip(*map(_fields, columns.values()), strict=True))

        write_tables(runs, readings, add)


def _fields(column: Column) -> Iterable[Any]:
    values = column.values
    if isinstance(values, np.ndarray):
        # the shortest text that reads back as the same number of the array's type
        return (values.astype(str) if values.dtype.kind == "f" else values).tolist()
    if column.kind == "truth":
        return [None if value is None else str(value).lower() for value in values]
    return values


FORMAT = OfRuns("runs, events and readings as tidy tables of text", write)
