"""`make bench`: the engine's step with every core busy, and what the measures cost beside it.

BENCH_JSON=FILE writes the same rows as JSON.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import measures_share
from benchmarks.stepping import Row, step_times


def main() -> None:
    rows = [*step_times(), measures_share()]
    show(rows)
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def show(rows: list[Row]) -> None:
    table = Table("work", "median", "min", "max", "unit", "bar", "note", box=None)
    for row in rows:
        figures = (f"{value:.3g}" for value in (row.median, row.min, row.max))
        table.add_row(row.work, *figures, row.unit, row.bar, row.note)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
