"""Parquet: tidy tables with typed columns, by pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from undergrowth.exports.format import OfRuns, library
from undergrowth.exports.tables import Column, Columns, Kind, write_tables
from undergrowth.store import Run

TYPES: Mapping[Kind, str] = {"text": "string", "whole": "int64", "number": "float64", "truth": "bool"}
ROWS = 2**18
"""Rows of all tables that may wait to be written: files of small groups are slow to read."""


def write(runs: Sequence[Run], readings: Sequence[str], folder: Path) -> None:
    """Write `runs.parquet`, `events.parquet`, `readings.parquet` and one `readings_by_AXES.parquet` for
    each set of axes.
    """
    arrow, parquet = (library(name, "parquet") for name in ("pyarrow", "pyarrow.parquet"))
    writers: dict[str, Any] = {}
    waiting: dict[str, list[Any]] = {}
    n_rows: dict[str, int] = {}

    def put(table: str) -> None:
        writers[table].write_table(arrow.concat_tables(waiting.pop(table)))
        del n_rows[table]

    with ExitStack() as open_files:

        def add(table: str, columns: Columns) -> None:
            piece = arrow.table({name: _array(arrow, its) for name, its in columns.items()})
            if table not in writers:
                writer = parquet.ParquetWriter(folder / f"{table}.parquet", piece.schema)
                writers[table] = open_files.enter_context(writer)
            waiting.setdefault(table, []).append(piece)
            n_rows[table] = n_rows.get(table, 0) + len(piece)
            while sum(n_rows.values()) > ROWS:
                put(max(n_rows, key=n_rows.__getitem__))

        write_tables(runs, readings, add)
        for table in list(waiting):
            put(table)


def _array(arrow: Any, column: Column) -> Any:
    values = column.values
    if column.kind == "number" and isinstance(values, np.ndarray):
        values = values.astype(np.float64)
    # a NaN that was read is one, and nothing is None
    return arrow.array(values, type=arrow.type_for_alias(TYPES[column.kind]), from_pandas=False)


FORMAT = OfRuns("the same tables with typed columns; needs pyarrow", write)
