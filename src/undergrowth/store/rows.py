"""The rows of a store's SQLite files: their schema, and how a reading becomes one and comes back."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from undergrowth.measures import Reading
from undergrowth.store.layout import StoreError, databases

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, spec TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL,
    began REAL NOT NULL, ended REAL, environment TEXT NOT NULL
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


def digest(*parts: object) -> bytes:
    """8 bytes that differ when any of the parts does."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        hasher.update(part if isinstance(part, bytes) else str(part).encode())
        hasher.update(b"\0")
    return hasher.digest()


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


def reading_is_whole(row: sqlite3.Row) -> bool:
    """Whether a row of `readings` still is what was written."""
    return row["digest"] == digest(*tuple(row)[:-1])


def event_row(run_id: str, step: int, kind: str, detail: dict) -> tuple[object, ...]:
    """A row of `events`."""
    columns = (run_id, step, kind, json.dumps(detail, sort_keys=True))
    return (*columns, digest(*columns))


def event_is_whole(row: sqlite3.Row) -> bool:
    """Whether a row of `events` still is what was written."""
    return row["digest"] == digest(*tuple(row)[:-1])
