"""What is new in a store since it was last looked at: rows by rowid, none of them twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from undergrowth.store import rows
from undergrowth.store.database import BESIDE, damaged, reading, seal_of
from undergrowth.store.errors import StoreError
from undergrowth.store.files import is_regular
from undergrowth.store.layout import MARKER, check, databases
from undergrowth.store.lock import is_being_written
from undergrowth.store.updates import UPDATE_LOSS, span

CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
"""The readings that are followed, each beside the others of its step."""

GONE = "{} is no longer there: put it back, or end this server; what was read of it is still shown"

TABLES = ("runs", "names", "parts", "events")
"""Those whose new rows are read whole, in this order; of `readings` only the curves are."""

AGAIN = 5.0
"""Seconds until a database that could not be read is tried again."""

MOST = 10_000
"""Rows of readings of one database that one look takes; the next one goes on from there."""

UNSETTLED = 200_000_000
"""Nanoseconds: a file that was written to so shortly before it was read may have grown since without
its time showing it, and is read once more."""


@dataclass
class News:
    """What is new in one database, in the order in which it was written.

    at_work: whether its writer has it open; rows: by table; points: of the curves; reached: by run id,
    the last step of any new reading; wrong: what is not as it was written; is_all: whether there was no
    more to be read.
    """

    path: Path
    at_work: bool
    rows: dict[str, list[sqlite3.Row]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    is_all: bool = True


class Point(NamedTuple):
    """The value of a curve at a step of a run."""

    run_id: str
    step: int
    name: str
    value: float


@dataclass
class Look:
    """What one look at a store found.

    is_other: whether it is not the one seen before, and all is told again; is_all: whether there was no
    more to be read; wrong: what cannot be read, by where it lies; in_use: whether a process holds the
    right to write to it.
    """

    is_other: bool = False
    is_all: bool = True
    news: list[News] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    in_use: bool = False


@dataclass
class _File:
    """How far a database has been read.

    seen: how it looked when it was; wrong, at: what was wrong when it was tried last, and when.
    """

    identity: tuple[int, int]
    seen: object = None
    upto: dict[str, int] = field(default_factory=dict)
    wrong: str = ""
    at: float = 0.0


class _ReplacedError(Exception):
    """Another database is in the place of one that was read."""


class Tail:
    """Follows a store. It takes no lock, holds nothing open between two looks, and writes nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[Path, _File] = {}
        self.is_gone = False
        self.stopped = threading.Event()

    def look(self) -> Look:
        """What is new since the last look; costs what is new, and a few calls per database."""
        found = Look()
        try:
            if not is_there(self.root):
                if self.files:
                    self.is_gone = True
                    found.wrong[str(self.root)] = GONE.format(self.root)
                return found
            check(self.root)
            paths = databases(self.root)
            found.in_use = is_being_written(self.root)
        except (OSError, StoreError) as error:
            found.wrong[str(self.root)] = str(error)
            return found
        now = {path: identity for path in paths if (identity := _identity(path))}
        is_same = all(now.get(path) == file.identity for path, file in self.files.items())
        if self.is_gone or not is_same:
            found.is_other, self.is_gone, self.files = True, False, {}
        for path in paths:
            if self.stopped.is_set():
                break
            file = self.files.setdefault(path, _File(now.get(path, (0, 0))))
            if not file.wrong or time.monotonic() - file.at > AGAIN:
                try:
                    file.wrong = self._read(path, file, found)
                except _ReplacedError:
                    self.is_gone = True
                    return self.look()
            if file.wrong:
                found.wrong[str(path)] = file.wrong
        return found

    def _read(self, path: Path, file: _File, found: Look) -> str:
        """Add what is new in a database; what is wrong with it, empty if nothing is."""
        file.at = time.monotonic()
        try:
            if (news := self._news(path, file)) is not None:
                found.news.append(news)
                found.is_all &= news.is_all
        except (OSError, StoreError) as error:
            return str(error)
        except sqlite3.DatabaseError as error:
            return str(damaged(path, error))
        return ""

    def _news(self, path: Path, file: _File) -> News | None:
        """The new rows of a database; None where it has not been written to."""
        before, at = _signature(path), time.time_ns()
        at_work = not is_regular(seal_of(path))
        if file.seen == (before, at_work):
            return None
        news = News(path, at_work)
        with reading(path) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("BEGIN")  # all tables as they are at one moment
            upto = {}
            for table in (*TABLES, "readings"):
                upto[table] = _last(cursor, table)
                begin = file.upto.get(table, 0)
                if upto[table] < begin:  # rows are never removed
                    raise _ReplacedError(str(path))
                if table == "readings" and upto[table] > begin + MOST:
                    upto[table], news.is_all = begin + MOST, False
                since = begin, upto[table]
                if upto[table] <= begin:
                    continue
                if table == "readings":
                    self._read_curves(cursor, since, news)
                else:
                    sql = f"SELECT * FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid"
                    news.rows[table] = cursor.execute(sql, since).fetchall()
            cursor.execute("ROLLBACK")
        latest = max((when for _, _, when in before), default=0)
        is_settled = news.is_all and at - latest > UNSETTLED
        file.seen = (before, at_work) if is_settled else None
        file.upto = upto
        return news

    def _read_curves(self, cursor: sqlite3.Cursor, since: tuple[int, int], news: News) -> None:
        sql = f"SELECT run_id, MAX(step) AS step {NEW} GROUP BY run_id"
        news.reached = {row["run_id"]: row["step"] for row in cursor.execute(sql, since)}
        names = (*CURVES, UPDATE_LOSS)
        sql = f"SELECT * {NEW} AND name IN ({', '.join('?' * len(names))}) ORDER BY rowid"
        for row in cursor.execute(sql, (*since, *names)):
            if self.stopped.is_set():
                return
            try:
                _take(row, news)
            except StoreError as error:
                news.wrong.append(str(error))


def _take(row: sqlite3.Row, news: News) -> None:
    """Add a point of a curve, or how far updates have been made."""
    run_id, name = row["run_id"], row["name"]
    if name == UPDATE_LOSS:
        news.reached[run_id] = max(news.reached[run_id], span(row)[1])
        return
    read = rows.stored_in(row)
    if read.axes.shape != ():
        raise StoreError(f"run {run_id}: {name} has axes: do not trust this store")
    news.points.append(Point(run_id, row["step"], name, float(read.values)))


def is_there(root: Path) -> bool:
    """Whether there is a store, or something else that must be complained of."""
    return (root / MARKER).exists() or (root.exists() and not (root.is_dir() and _is_empty(root)))


def _is_empty(root: Path) -> bool:
    return not any(not each.name.startswith(".") for each in root.iterdir())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _signature(path: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes when a database is written to: of it and of its log inode, size and time."""
    found = []
    for suffix in ("", BESIDE[0]):
        try:
            its = path.with_name(path.name + suffix).stat()
        except OSError:
            continue
        found.append((its.st_ino, its.st_size, its.st_mtime_ns))
    return tuple(found)


def _last(cursor: sqlite3.Cursor, table: str) -> int:
    try:
        (last,) = cursor.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # made by a version before
            return 0
        raise
    return last or 0


NEW = "FROM readings WHERE rowid > ? AND rowid <= ?"
"""Rows of `readings` that are new; a row that is written again gets a new rowid, above all others."""


def intact(found: Iterable[sqlite3.Row]) -> list[sqlite3.Row]:
    """The rows that are what was written."""
    return [row for row in found if rows.is_intact(row)]
