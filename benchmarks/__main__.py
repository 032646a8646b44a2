"""`make bench`: a step's time beside the references and the machine's limit, and what is around it.

BENCH_JSON=FILE writes the same rows as JSON. It wants the machine to itself, for twelve minutes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks import same_function
from benchmarks.instruments import instrument_times
from benchmarks.measuring import measures_share
from benchmarks.memory import memory
from benchmarks.packs import pack_times
from benchmarks.rows import Row, show
from benchmarks.starting import start_times
from benchmarks.stepping import step_times
from benchmarks.sweeping import cost_of_a_study


def main() -> None:
    same_function.check()
    rows = []
    for row in measured():
        print(f"measured: {row.work}", flush=True)
        rows.append(row)
    show(rows)
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


def measured() -> Iterator[Row]:
    """One after the other: nothing else is timed meanwhile."""
    yield from step_times()
    yield from start_times()
    yield cost_of_a_study()
    yield memory()
    yield measures_share()
    yield from instrument_times()
    yield from pack_times()


if __name__ == "__main__":
    main()
