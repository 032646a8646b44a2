"""Readings that were taken of stored checkpoints afterwards: apart from those of training.

They lie in a database of their own, so that taking up, replaying and verifying runs see none of them.
Its events say by which measure, with all its fields, a run was measured at a step.
"""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from undergrowth.store import rows
from undergrowth.store.database import InUseError, close_whole, open_for_writing, seal_of
from undergrowth.store.errors import StoreError
from undergrowth.store.files import folder, is_regular, regular
from undergrowth.store.layout import measured_database
from undergrowth.values import essence

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.measures import Measure, Reading

KIND = "measured"
READS = "reads:"
"""Beside the fields of a measure (no field has such a name): the names of what it read."""
SAYS = "says:"
"""Of a measure of one's own its docstring too, which nobody else who reads the store has."""

Add = Callable[[str, int, "Measure", "Mapping[str, Reading]"], None]


@contextmanager
def adding(root: Path) -> Iterator[Add]:
    """Open what was measured for more: add(run id, step, measure, readings) keeps what a measure read of
    a run at a step, all of it, or nothing if the process is killed.

    The caller must hold the right to write to the store. Raises StoreError where a reader holds the
    file, or the system does not take more.
    """
    path = measured_database(root)
    folder(path.parent).mkdir(exist_ok=True)
    seal_of(path).unlink(missing_ok=True)
    try:
        connection = open_for_writing(path)
    except InUseError:
        raise StoreError(f"{path} is being read by another process: try again when it is done") from None

    def add(run_id: str, step: int, measure: Measure, readings: Mapping[str, Reading]) -> None:
        told = [rows.reading_row(run_id, name, step, reading) for name, reading in readings.items()]
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", told
            )
            connection.execute(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
                rows.event_row(run_id, step, KIND, _told(measure, readings)),
            )

    try:
        try:
            yield add
        finally:
            close_whole(path, connection)
    except sqlite3.Error as error:
        raise StoreError(
            f"cannot write to {path} ({error}): free some space and run the same command again; what "
            "was measured so far is kept"
        ) from None


def _told(measure: Measure, readings: Mapping[str, Reading]) -> dict[str, object]:
    kind = type(measure)
    is_own = not kind.__module__.startswith("undergrowth.")
    says = {SAYS: inspect.cleandoc(kind.__doc__ or "")} if is_own else {}
    return {**how(measure), READS: sorted(readings), **says}


def how(measure: Measure) -> dict[str, object]:
    """A measure as it is told apart from others: its key, and its fields but for when it is taken."""
    fields = essence(measure)
    return {"key": measure.key, **{name: x for name, x in fields.items() if name != "schedule"}}


def steps_measured(root: Path, run_id: str) -> dict[str, dict[int, dict[str, object]]]:
    """By the key of a measure and by step: how a run was measured."""
    found: dict[str, dict[int, dict[str, object]]] = {}
    for row in _query(root, "SELECT * FROM events WHERE run_id = ?", (run_id,)):
        told = rows.event_of(row)
        told.pop(READS, None)
        told.pop(SAYS, None)
        found.setdefault(str(told.get("key")), {})[row["step"]] = told
    return found


def owners(root: Path, run_id: str) -> dict[str, str]:
    """By the name of what was read of a run, the key of the measure that read it."""
    found: dict[str, str] = {}
    for row in _query(root, "SELECT * FROM events WHERE run_id = ?", (run_id,)):
        told = rows.event_of(row)
        found |= dict.fromkeys(told.get(READS, ()), told["key"])
    return found


def docstrings(root: Path, run_id: str) -> dict[str, str]:
    """By the key of a measure of one's own what it said of itself when it measured a run."""
    found = _query(root, "SELECT * FROM events WHERE run_id = ?", (run_id,))
    told = [rows.event_of(row) for row in found]
    return {str(each["key"]): str(each[SAYS]) for each in told if SAYS in each}


def names_of(root: Path, run_id: str) -> set[str]:
    """Names of what was read of a run."""
    sql = "SELECT DISTINCT name FROM readings WHERE run_id = ?"
    return {row["name"] for row in _query(root, sql, (run_id,))}


def rows_of(root: Path, run_id: str, name: str) -> list[rows.Row]:
    """One reading of one run, by step."""
    sql = "SELECT * FROM readings WHERE run_id = ? AND name = ? ORDER BY step"
    return _query(root, sql, (run_id, name))


def scalar_rows_of(root: Path, run_id: str) -> list[rows.Row]:
    """What was read of a run that has no axes."""
    return _query(root, "SELECT * FROM readings WHERE run_id = ? AND shape = '[]'", (run_id,))


def all_scalar_rows(root: Path) -> list[rows.Row]:
    """What was read of all runs that has no axes."""
    return _query(root, "SELECT * FROM readings WHERE shape = '[]'")


def damaged(root: Path) -> Iterator[tuple[str, str]]:
    """Rows that are not as they were written: where, and what is wrong."""
    for table in ("readings", "events"):
        for row in _query(root, f"SELECT * FROM {table}"):
            if not rows.is_intact(row):
                what = row["name"] if table == "readings" else "measuring"
                place = f"run {row['run_id']}, {what} at step {row['step']}"
                yield place, "differs from its digest: delete measured/ and measure anew"


def _query(root: Path, sql: str, parameters: tuple[object, ...] = ()) -> list[rows.Row]:
    path = measured_database(root)
    return rows.query_one(path, sql, parameters) if is_regular(regular(path)) else []
