"""SQLite files of a store: made whole, written with a log, closed into one sealed file, and readable
however their writer ended.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from undergrowth.plain_text import in_one_line
from undergrowth.store.errors import StoreError
from undergrowth.store.files import (
    content,
    is_regular,
    regular,
    sha256,
    unfinished,
    unreadable,
    write_whole,
)
from undergrowth.store.temporary import temporary_folder

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
CREATE TABLE IF NOT EXISTS complete (
    run_id TEXT PRIMARY KEY, names TEXT NOT NULL, digest BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS names (
    run_id TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (run_id, name)
) STRICT;
CREATE TABLE IF NOT EXISTS parts (
    run_id TEXT NOT NULL, study TEXT NOT NULL, budget TEXT NOT NULL, arm TEXT NOT NULL,
    role TEXT NOT NULL, seed INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (run_id, study, budget, arm)
) STRICT;
CREATE TABLE IF NOT EXISTS summaries (
    run_id TEXT PRIMARY KEY, content TEXT NOT NULL, digest BLOB NOT NULL
) STRICT;
"""

BESIDE = ("-wal", "-journal", "-shm")
"""How the names of the files end that SQLite keeps beside one that is in use."""

PATIENCE = 2.0
"""Seconds that a writer waits for readers to let go of a file, before it goes on without that."""

NEEDS_A_WRITER = ("SQLITE_READONLY", "SQLITE_CANTOPEN")
"""What SQLite says (among others that begin so) where a file must first be rolled back or recovered, and
whoever reads it may not write there.
"""


class InUseError(Exception):
    """A reader holds a file in a way that keeps its writer from opening it."""


def seal_of(path: Path) -> Path:
    """The file that holds the SHA-256 of a database that was closed in order."""
    return path.with_suffix(".sha256")


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that survives its process being killed at any moment (write-ahead log).

    Raises InUseError where a reader holds the closed file for longer than a writer waits.
    """
    if not is_regular(regular(path)):
        _make(path)
    for suffix in BESIDE:
        regular(path.with_name(path.name + suffix))
    connection = sqlite3.connect(path, timeout=PATIENCE)
    try:
        _check_schema(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA)
        connection.execute("PRAGMA busy_timeout = 30000")
    except sqlite3.OperationalError as error:
        connection.close()
        if _is_locked(error):
            raise InUseError(str(path)) from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Put an empty database in its place, with all tables and already in the mode that needs a log: a
    kill leaves a whole one or none, and never a journal that only a writer could roll back.
    """
    path.parent.mkdir(exist_ok=True)
    temporary = unfinished(path)
    _remove(temporary)
    try:
        with closing(sqlite3.connect(temporary)) as connection:
            connection.executescript(SCHEMA)
            # the mode comes last: what a log held at the close would be lost if that failed, for SQLite
            # says nothing of errors there
            connection.execute("PRAGMA journal_mode = WAL")
        log = temporary.with_name(f"{temporary.name}-wal")
        if log.exists() and log.stat().st_size:
            raise sqlite3.OperationalError("disk I/O error")
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            _remove(temporary)
        raise


def _remove(path: Path) -> None:
    for suffix in ("", *BESIDE):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def close_whole(path: Path, connection: sqlite3.Connection) -> bool:
    """Fold the log into the file, close and seal it; returns whether that could be done.

    A reader may hold the file for as long as it likes: after `PATIENCE` the log stays beside the file,
    where readers find it, and whoever writes to the store next folds it in.
    """
    deadline = time.monotonic() + PATIENCE
    connection.execute("PRAGMA busy_timeout = 0")
    with closing(connection):
        while True:
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
                if mode != "delete":
                    raise sqlite3.OperationalError("database is locked")
                break
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.01)
    write_whole(seal_of(path), sha256(path).encode())
    return True


def mend(path: Path) -> None:
    """Close and seal a database whose writer was killed; nobody else may be writing to the store.

    What cannot be mended is left as it is: who reads it will say what is wrong with it.
    """
    with suppress(InUseError, StoreError, sqlite3.Error):
        close_whole(path, open_for_writing(path))


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing and can be used while another process writes.

    A file whose writer was killed may have to be rolled back or recovered before it can be read. Where
    that cannot be done in place, for nothing may be written there, it is done on a copy.

    Raises StoreError where there is something else, or SQLite finds the file damaged.
    """
    for suffix in ("", *BESIDE):
        regular(path.with_name(path.name + suffix))
    try:
        connection = _opened(f"{path.absolute().as_uri()}?mode=ro{_as_it_is(path)}")
    except sqlite3.OperationalError as error:
        if not getattr(error, "sqlite_errorname", "").startswith(NEEDS_A_WRITER):
            raise damaged(path, error) from None
        with _recovered(path) as connection:
            yield _checked(path, connection)
        return
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from None
    with closing(connection):
        yield _checked(path, connection)


def _as_it_is(path: Path) -> str:
    """How to open a file that is in the mode that needs a log and has none, since its writer was killed
    before the first row: opened otherwise, SQLite would make a log beside it, and leave it there.
    """
    if os.path.lexists(f"{path}{BESIDE[0]}"):
        return ""
    try:
        with path.open("rb") as file:
            is_logged = file.read(20)[18:] == b"\2\2"
    except OSError:  # SQLite says what is wrong with it
        return ""
    return "&immutable=1" if is_logged else ""


class _Kept:
    """Connections that the process keeps open which opened them."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.by_path: dict[Path, tuple[object, sqlite3.Connection, ExitStack]] = {}

    def to(self, path: Path) -> sqlite3.Connection | None:
        """The one to a file as it is now; None where the file is in use."""
        identity = _identity(path)
        its, connection, _ = self.by_path.get(path, (None, None, None))
        if its == identity:
            return connection
        self.close(path)
        if identity is not None:
            with ExitStack() as opening:
                connection = opening.enter_context(reading(path))
                self.by_path[path] = identity, connection, opening.pop_all()
            return connection
        return None

    def close(self, *paths: Path) -> None:
        """Close those to some files."""
        for path in paths:
            if path in self.by_path:
                self.by_path.pop(path)[-1].close()


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def kept_open() -> Iterator[None]:
    """While this lasts, a file that nobody writes to is opened once, not for every query."""
    kept = _Kept()
    before = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(before)
        if kept.process == os.getpid():
            kept.close(*kept.by_path)


@contextmanager
def kept_or_opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as `reading` gives it, for one query, whose rows are all fetched before it is let go.

    Between such queries a connection holds no lock on a file without a log. Where a writer has a log
    open, or left one, the file is opened for each query: an open connection would keep the writer from
    closing it.
    """
    kept = _kept.get()
    connection = kept.to(path) if kept and kept.process == os.getpid() else None
    if connection is not None:
        yield connection
        return
    with reading(path) as connection:
        yield connection


def _identity(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to; None where it is in use, or is no file."""
    if any(os.path.lexists(f"{path}{suffix}") for suffix in BESIDE):
        return None
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _opened(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=30)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _checked(path: Path, connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        _check_schema(path, connection)
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from None
    return connection


@contextmanager
def _recovered(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of a file and its logs."""
    originals = {suffix: path.with_name(path.name + suffix) for suffix in ("", "-wal", "-journal")}
    with temporary_folder("undergrowth-read-") as folder:
        copy = folder / "copy.sqlite"
        try:
            for suffix, original in originals.items():
                if is_regular(original):
                    shutil.copyfile(original, copy.with_name(copy.name + suffix))
            if not copy.exists():
                raise FileNotFoundError(2, "No such file or directory")
        except OSError as error:
            raise unreadable(path, error) from None
        try:
            connection = _opened(f"{copy.as_uri()}?mode=rw")
        except sqlite3.DatabaseError as error:
            raise damaged(path, error) from None
        with closing(connection):
            yield connection


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Raise StoreError where a table is not as this package makes it: of a stranger's file a view that
    never ends, or columns that are computed, could stand there.
    """
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
        if name.startswith("sqlite_autoindex_") and sql is None:
            continue
        if kind != "table" or _plain(sql) != TABLES.get(name):
            shown = str(name)[:40]
            raise StoreError(
                f"{path} has a {kind} {shown!r} that undergrowth did not make: do not trust this store, "
                "or restore the file from a copy"
            )


def _plain(sql: str | None) -> str:
    return re.sub(r"\s+", " ", sql or "").replace(" IF NOT EXISTS", "").strip()


TABLES = {
    statement.split()[2]: statement
    for statement in (_plain(part) for part in SCHEMA.split(";"))
    if statement
}
"""By name, how each table is made."""


def damaged(path: Path, error: Exception) -> StoreError:
    """What to say of a file that SQLite cannot read."""
    reason = in_one_line(str(error))
    return StoreError(
        f"{path} cannot be read ({reason}): restore it from a copy, or move it away and train its runs "
        f"again; `undergrowth verify` says what else is wrong"
    )


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def sealed_with(path: Path) -> str | None:
    """The SHA-256 in a database's seal; None where it has none, for it is in use or its writer died."""
    seal = seal_of(path)
    return content(seal).decode("ascii", "replace").strip() if is_regular(regular(seal)) else None
