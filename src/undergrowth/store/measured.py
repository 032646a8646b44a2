"""Readings that were taken of stored checkpoints afterwards: apart from those of training.

They lie in a database of their own, so that taking up, replaying and verifying runs see none of them.
Its events say by which measure, with all its fields, a run was measured at a step.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from undergrowth.measures import Measure, Reading
from undergrowth.store import rows
from undergrowth.values import essence

KIND = "measured"
READS = "reads:"
"""Beside the fields of a measure (no field has such a name): the names of what it read."""


def database(root: Path) -> Path:
    """The file, which is there once something has been measured."""
    return root / "measured" / "measured.sqlite"


def add(root: Path, run_id: str, step: int, measure: Measure, readings: Mapping[str, Reading]) -> None:
    """Keep what a measure read of a run at a step: all of it, or nothing if the process is killed."""
    database(root).parent.mkdir(exist_ok=True)
    with closing(rows.open_for_writing(database(root))) as connection, connection:
        connection.executemany(
            "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [rows.reading_row(run_id, name, step, reading) for name, reading in readings.items()],
        )
        connection.execute(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
            rows.event_row(run_id, step, KIND, {**how(measure), READS: sorted(readings)}),
        )


def how(measure: Measure) -> dict[str, object]:
    """A measure as it is told apart from others: its key, and its fields but for when it is taken."""
    fields = essence(measure)
    return {"key": measure.key, **{name: x for name, x in fields.items() if name != "schedule"}}


def steps_measured(root: Path, run_id: str) -> dict[str, dict[int, dict[str, object]]]:
    """By the key of a measure and by step: how a run was measured."""
    found: dict[str, dict[int, dict[str, object]]] = {}
    for row in _query(root, "SELECT * FROM events WHERE run_id = ?", (run_id,)):
        told = json.loads(row["detail"])
        told.pop(READS, None)
        found.setdefault(told["key"], {})[row["step"]] = told
    return found


def owners(root: Path, run_id: str) -> dict[str, str]:
    """By the name of what was read of a run, the key of the measure that read it."""
    found: dict[str, str] = {}
    for row in _query(root, "SELECT * FROM events WHERE run_id = ?", (run_id,)):
        told = json.loads(row["detail"])
        found |= dict.fromkeys(told.get(READS, ()), told["key"])
    return found


def names_of(root: Path, run_id: str) -> set[str]:
    """Names of what was read of a run."""
    sql = "SELECT DISTINCT name FROM readings WHERE run_id = ?"
    return {row["name"] for row in _query(root, sql, (run_id,))}


def readings_of(root: Path, run_id: str, name: str) -> dict[int, Reading]:
    """One reading of one run by step."""
    sql = "SELECT * FROM readings WHERE run_id = ? AND name = ? ORDER BY step"
    return {row["step"]: rows.reading_of(row) for row in _query(root, sql, (run_id, name))}


def damaged(root: Path) -> Iterator[tuple[str, str]]:
    """Rows that are not as they were written: where, and what is wrong."""
    for table in ("readings", "events"):
        for row in _query(root, f"SELECT * FROM {table}"):
            if not rows.is_whole(row):
                what = row["name"] if table == "readings" else "measuring"
                place = f"run {row['run_id']}, {what} at step {row['step']}"
                yield place, "differs from its digest: delete measured/ and measure anew"


def _query(root: Path, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
    if not database(root).exists():
        return []
    with closing(rows.open_for_reading(database(root))) as connection:
        return connection.execute(sql, parameters).fetchall()
