"""Where one writing process puts what it keeps: rows into its database, files beside it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from undergrowth.store.database import InUseError, close_whole, open_for_writing, seal_of
from undergrowth.store.files import folder, inside, write_whole


class Kept:
    """A database of a store and the store's files, open for writing."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.path, self.connection = _opened(root, name)

    def insert(self, table: str, new: Iterable[tuple[object, ...]]) -> None:
        """Commit rows, each in the place of one with the same key."""
        rows = list(new)
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self.connection:
            self.connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    def put(self, path: Path, content: bytes) -> str:
        """Write a file whole or not at all; its digest."""
        return write_whole(inside(self.root, str(path)), content)

    def fold(self) -> None:
        """Bring onto the disk what is committed, as far as no reader is in the way."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Fold the write-ahead log into the one file and let go of it."""
        close_whole(self.path, self.connection)


def _opened(root: Path, name: str) -> tuple[Path, sqlite3.Connection]:
    """A database for one writing process: of that name, or where a reader holds that, of the next."""
    for number in itertools.count():
        path = folder(root / "readings") / f"{name}{f'-{number}' if number else ''}.sqlite"
        seal_of(path).unlink(missing_ok=True)
        with suppress(InUseError):
            return path, open_for_writing(path)
    raise AssertionError("there is always a next number")
