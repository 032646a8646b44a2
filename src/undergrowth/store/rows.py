"""The rows of a store's SQLite files: their schema, and how a reading becomes one and comes back."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from undergrowth.measures import Reading
from undergrowth.store.layout import StoreError, databases

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, spec TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL,
    began REAL NOT NULL, ended REAL, environment TEXT NOT NULL, digest BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS readings (
    run_id TEXT NOT NULL, name TEXT NOT NULL, step INTEGER NOT NULL, axes TEXT NOT NULL,
    dtype TEXT NOT NULL, shape TEXT NOT NULL, content BLOB NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (run_id, name, step)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    run_id TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
    digest BLOB NOT NULL, PRIMARY KEY (run_id, step, kind, detail)
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    run_id TEXT NOT NULL, path TEXT NOT NULL, step INTEGER, bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (run_id, path)
) STRICT;
"""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that survives its process being killed at any moment (write-ahead log)."""
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(SCHEMA)
    return connection


def close_whole(connection: sqlite3.Connection, patience: float = 30.0) -> None:
    """Fold the write-ahead log into the file and close it.

    SQLite waits for readers nearly everywhere, but not where a database leaves its log: other workers,
    which look into it as they begin a fork, are waited for here.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return connection.close()


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that can be used while another process writes, and changes nothing."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def query(root: Path, sql: str, parameters: Sequence[object] = ()) -> Iterator[sqlite3.Row]:
    """Rows of all the SQLite files of a store, one file after the other.

    Raises StoreError where SQLite finds a file damaged.
    """
    for path in databases(root):
        with closing(open_for_reading(path)) as connection:
            try:
                yield from connection.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                if "no such table" in str(error):  # its writer has only just begun
                    continue
                raise StoreError(
                    f"{path} is damaged ({error}): see `undergrowth verify {root}`"
                ) from None


def of_run(root: Path, table: str, run_id: str, name: str | None = None) -> list[sqlite3.Row]:
    """What a run has in `readings` or `events`, in the order of the attempts at it, then of writing.

    A reading or event that several attempts wrote thus comes last as the latest attempt wrote it.
    """
    sql = f"SELECT {table}.*, began FROM {table} LEFT JOIN runs USING (run_id) WHERE run_id = ?"
    if name is None:
        found = query(root, f"{sql} ORDER BY {table}.rowid", (run_id,))
    else:
        found = query(root, f"{sql} AND name = ? ORDER BY {table}.rowid", (run_id, name))
    return sorted(found, key=lambda row: row["began"] or 0.0)


def scalars_of(root: Path, run_id: str) -> list[sqlite3.Row]:
    """The scalar readings of a run, in the order of `of_run`."""
    sql = (
        "SELECT readings.*, began FROM readings LEFT JOIN runs USING (run_id) "
        "WHERE run_id = ? AND shape = '[]' ORDER BY readings.rowid"
    )
    return sorted(query(root, sql, (run_id,)), key=lambda row: row["began"] or 0.0)


def digest(*parts: object) -> bytes:
    """8 bytes that differ when any of the parts does."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        hasher.update(part if isinstance(part, bytes) else str(part).encode())
        hasher.update(b"\0")
    return hasher.digest()


def run_row(
    run_id: str,
    spec: str,
    status: str,
    message: str,
    began: float,
    ended: float | None,
    environment: str,
) -> tuple[object, ...]:
    """A row of `runs`."""
    columns = (run_id, spec, status, message, began, ended, environment)
    return (*columns, digest(*columns))


def reading_row(run_id: str, name: str, step: int, reading: Reading) -> tuple[object, ...]:
    """A row of `readings`."""
    values = reading.values
    axes = json.dumps([[dim, reading.coords.get(dim)] for dim in reading.dims])
    columns = (
        run_id,
        name,
        step,
        axes,
        values.dtype.str,
        json.dumps(values.shape),
        values.tobytes(),
    )
    return (*columns, digest(*columns))


def reading_of(row: sqlite3.Row) -> Reading:
    """The reading in a row of `readings`."""
    axes = json.loads(row["axes"])
    values = np.frombuffer(row["content"], row["dtype"]).reshape(json.loads(row["shape"]))
    coords = {dim: tuple(labels) for dim, labels in axes if labels is not None}
    return Reading(tuple(dim for dim, _ in axes), values, coords)


def is_whole(row: sqlite3.Row) -> bool:
    """Whether a row of `runs`, `readings` or `events` still is what was written."""
    return row["digest"] == digest(*tuple(row)[: row.keys().index("digest")])


def event_row(run_id: str, step: int, kind: str, detail: dict) -> tuple[object, ...]:
    """A row of `events`."""
    columns = (run_id, step, kind, json.dumps(detail, sort_keys=True))
    return (*columns, digest(*columns))
