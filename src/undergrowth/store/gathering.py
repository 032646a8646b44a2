"""One source of a merge: what a store says of its runs, and their rows and files put into another."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from undergrowth.store import rows
from undergrowth.store.database import SCHEMA, reading, sealed_with
from undergrowth.store.errors import StoreError
from undergrowth.store.files import entries, is_regular, sha256
from undergrowth.store.layout import databases, measured_database
from undergrowth.store.staged import BESIDE_RUNS, OF_RUNS, empty_stage

BY_ATTEMPT = tuple(table for table in OF_RUNS if table not in ("runs", "files"))
"""Tables in which a later attempt at a run counts over an earlier."""

IS_PLACE = re.compile(r"(?:(?!\.{1,2}/)[^/\0]+/)+(?!\.{1,2}$)[^/\0]+")
PIECE = 2**20
MOST_LOOKED_AT = 1000
AT_ONCE, PORTION = 4, 25

NOW = "now.safetensors"
"""Of a run under way: how it stands, which no row knows."""


class Account(NamedTuple):
    """What a database says of a run; status is empty where it has only rows that another run left."""

    database: Path
    status: str
    began: float

    @property
    def rank(self) -> tuple[bool, float]:
        """As readers take it: a finished account over an unfinished one, a later over an earlier."""
        return self.status == "done", self.began


@dataclass
class Source:
    """A store that is read.

    accounts: by run, of each database that has rows of it; wrong: runs with a damaged row, and what is
    wrong; known: the runs of each database; sealed: databases that are what was closed, byte by byte;
    notes: what else is to be said.
    """

    root: Path
    accounts: dict[str, list[Account]] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    known: dict[Path, set[str]] = field(default_factory=dict)
    sealed: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def best(self, run_id: str) -> Account | None:
        """How a run stands here; None where it is not, or is damaged."""
        its = [account for account in self.accounts.get(run_id, ()) if account.status]
        return max(its, key=lambda account: account.rank) if its and run_id not in self.wrong else None

    def are_all(self, run_ids: Set[str], path: Path) -> bool:
        """Whether a database has no other runs and gets none: one that was not closed may be in use, and
        have more by the time that it is copied.
        """
        return path in self.sealed and self.known[path] <= run_ids


def opened(root: Path, of: Collection[str] | None = None) -> Source:
    """What a store says of its runs, or of some of them.

    A database that was closed in order is held against the digest of the whole, any other row by row.
    Raises StoreError where one cannot be read.
    """
    found = Source(root)
    for path in databases(root):
        seal = sealed_with(path)
        is_sealed = seal is not None and seal == sha256(path)
        if is_sealed:
            found.sealed.add(path)
        elif seal is not None:
            found.notes.append(
                f"{path} has changed since it was closed: its rows were checked one by one"
            )
        with reading(path) as connection:
            try:
                _look(connection, path, found, of, is_sealed)
            except sqlite3.DatabaseError as error:
                raise StoreError(f"{path} cannot be read ({error}): see {rows.VERIFY}") from None
    return found


def _look(
    connection: sqlite3.Connection,
    path: Path,
    found: Source,
    of: Collection[str] | None,
    is_sealed: bool,
) -> None:
    runs = {row[0]: row for row in connection.execute("SELECT run_id, status, began FROM runs")}
    others = {
        row[0]
        for table in (*BY_ATTEMPT, "files")
        for row in _all(connection, f"SELECT DISTINCT run_id FROM {table}")
    }
    found.known[path] = {*runs, *others}
    for run_id in found.known[path]:
        if not isinstance(run_id, str) or not rows.IS_RUN_ID.fullmatch(run_id):
            raise StoreError(f"{path} has a run whose id is none: do not trust this store")
        if of is None or run_id in of:
            _, status, began = runs.get(run_id, (run_id, "", 0.0))
            found.accounts.setdefault(run_id, []).append(Account(path, status, began or 0.0))
    if not is_sealed:
        for table in ("runs", *BY_ATTEMPT):
            for row in _rows_of(connection, table, of):
                if not rows.is_intact(row):
                    found.wrong[row["run_id"]] = f"a row of {table} in {path} differs from its digest"


def _all(
    connection: sqlite3.Connection, sql: str, parameters: tuple[str, ...] = ()
) -> Iterator[sqlite3.Row]:
    try:
        yield from connection.execute(sql, parameters)
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):  # made by a version before
            raise


def _rows_of(
    connection: sqlite3.Connection, table: str, run_ids: Collection[str] | None
) -> Iterator[sqlite3.Row]:
    """The rows of some runs, of all for None, those of each in the order in which they were written."""
    if run_ids is None:
        yield from _all(connection, f"SELECT * FROM {table} ORDER BY rowid")
        return
    sql = f"SELECT * FROM {table} WHERE run_id = ? ORDER BY rowid"
    for run_id in run_ids:
        yield from _all(connection, sql, (run_id,))


class Gathered:
    """What is new to a store: a database and files, written where nobody reads yet."""

    def __init__(self, root: Path) -> None:
        self.root, self.stage = root, empty_stage(root)
        self._stage = str(self.stage)  # said of every file
        there = {path.name for path in entries(root / "readings")}
        name = next(n for i in count() if (n := f"merged-{i}.sqlite") not in there)
        self.path = self.stage / "readings" / name
        self.connection = _made(self.path)
        self.looked_at: set[str] = set()

    def place_files(self, source: Source, run_ids: Collection[str]) -> dict[str, str]:
        """Put the files of some runs of a source in their places; of runs with a file that is missing or
        not as it was written, what is wrong, and nothing of them is left here.

        Threads help where the first runs mostly waited, for a disk or another machine; where they did
        not, threads would take twice as long, for they hand one lock to each other at every file.
        """
        wrong: dict[str, str] = {}

        def place(some: Sequence[str]) -> list[tuple]:
            found: list[tuple] = []
            for run_id in some:
                try:
                    found += self._place_run(root, run_id, files[run_id])
                except (StoreError, OSError) as error:
                    wrong[run_id] = str(error)
                    shutil.rmtree(self.stage / "runs" / run_id, ignore_errors=True)
            return found

        root, files = str(source.root), _files(source, run_ids)
        ids = list(files)
        portions = [ids[i : i + PORTION] for i in range(0, len(ids), PORTION)]
        began, worked = time.perf_counter(), time.thread_time()
        told = [place(some) for some in portions[:1]]
        waits = time.thread_time() - worked < (time.perf_counter() - began) / 2
        with ThreadPoolExecutor(AT_ONCE) as threads:
            told += (threads.map if waits else map)(place, portions[1:])
        self._insert_files(source, files, [row for rows_of in told for row in rows_of])
        return wrong

    def _insert_files(self, source: Source, files: Files, placed: list[tuple]) -> None:
        """The rows of the files that were put in place: by SQLite itself where these are all of a
        database that is as it was closed.
        """
        n_rows = sum(len(its) for of_run in files.values() for its in of_run.values())
        having = [path for path, run_ids in source.known.items() if run_ids]
        if len(having) == 1 and len(placed) == n_rows and source.are_all(files.keys(), having[0]):
            with self._beside(source, having[0]) as beside:
                beside.copy("files", None)
        else:
            _insert(self.connection, "files", placed)

    def _place_run(
        self, root: str, run_id: str, written: Mapping[str, Mapping[str, tuple]]
    ) -> list[tuple]:
        """Put all files of a run in place; their rows."""
        found: list[tuple] = []
        made = {"runs"}
        for place, digests in written.items():
            if not place.startswith(f"runs/{run_id}/") or not IS_PLACE.fullmatch(place):
                shown = place[:60]
                raise StoreError(f"{shown!r} is no file of run {run_id}: do not trust this store")
            folder = place.rpartition("/")[0]
            if folder not in made:
                _check_no_link(root, folder, self.looked_at)
                self._have_folder(folder, made)
            digest = _digest(f"{root}/{place}")
            if digest is None or digest not in digests:
                told = "is missing" if digest is None else "differs from its digest"
                raise StoreError(f"{place} {told}")
            self._put(f"{root}/{place}", place)
            found.append(digests[digest])
        standing = f"{root}/runs/{run_id}/{NOW}"
        if is_regular(standing):
            self._have_folder(f"runs/{run_id}", made)
            self._put(standing, f"runs/{run_id}/{NOW}")
        return found

    def _put(self, found: str, place: str) -> None:
        """A file in its place: the same one under a second name, or a copy where that cannot be."""
        to = f"{self._stage}/{place}"
        try:
            os.link(found, to, follow_symlinks=False)
            return
        except OSError:  # another file system, or one without second names
            pass
        with open(found, "rb") as original, open(to, "xb") as copy:
            shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())

    def _have_folder(self, folder: str, made: set[str]) -> None:
        """A folder of the stage and those above it; made: those that are there."""
        if folder not in made:
            self._have_folder(folder.rpartition("/")[0], made)
            os.mkdir(f"{self._stage}/{folder}")
            made.add(folder)

    def insert(self, source: Source, run_ids: Collection[str]) -> None:
        """The rows of some runs of a source."""
        by_database: dict[Path, set[str]] = {}
        for run_id in run_ids:
            best = source.best(run_id)
            assert best is not None
            by_database.setdefault(best.database, set()).add(run_id)
        for path, ids in by_database.items():
            with self._beside(source, path) as beside:
                beside.copy("runs", ids)
        for layer in _layers(source, run_ids):
            for path, ids in layer.items():
                with self._beside(source, path) as beside:
                    every = source.are_all(ids, path)
                    for table in BY_ATTEMPT:
                        beside.copy(table, None if every else ids)

    def called(self, sources: Sequence[Source], of: Collection[str] | None) -> bool:
        """What runs are called and which parts they play, as the first of the sources does not have it
        yet, of all runs or of some; whether there is anything.
        """
        known, found = None, False
        for source in sources:
            new = {
                table: {
                    tuple(row)
                    for row in rows.query(source.root, f"SELECT * FROM {table}")
                    if rows.is_intact(row) and (of is None or row["run_id"] in of)
                }
                for table in BESIDE_RUNS
            }
            if known is None:
                known = new
                continue
            for table, told in new.items():
                _insert(self.connection, table, sorted(told - known[table]))
                found |= bool(told - known[table])
        return found

    def _beside(self, source: Source, path: Path) -> _Beside:
        return _Beside(self.connection, path, path in source.sealed)

    def close(self) -> None:
        """Close the database, and bring it onto the disk."""
        self.connection.close()
        _to_disk(self.path)


def _made(path: Path) -> sqlite3.Connection:
    """A new database whose writing nothing survives: it has no readers before it is whole."""
    connection = sqlite3.connect(path, isolation_level=None, uri=True)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.executescript(SCHEMA)
    connection.execute("CREATE TEMP TABLE chosen (run_id TEXT PRIMARY KEY)")
    return connection


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Beside:
    """A database from which rows are copied: a sealed one by SQLite itself, any other through `reading`,
    which may have to recover it.
    """

    def __init__(self, into: sqlite3.Connection, path: Path, is_sealed: bool) -> None:
        self.into, self.path, self.is_sealed = into, path, is_sealed

    def __enter__(self) -> _Beside:
        if self.is_sealed:
            uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            self.into.execute("ATTACH ? AS source", (uri,))
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_sealed:
            self.into.execute("DETACH source")

    def copy(self, table: str, run_ids: Collection[str] | None) -> None:
        """The rows of some runs, of all for None, in the order in which they were written."""
        if run_ids is not None and not run_ids:
            return
        if not self.is_sealed:
            with reading(self.path) as connection:
                told = [tuple(row) for row in _rows_of(connection, table, run_ids)]
            _insert(self.into, table, [r for r in told if r[-1] == rows.digest(*r[:-1])])
            return
        which = ""
        if run_ids is not None:
            _choose(self.into, run_ids)
            which = "WHERE run_id IN (SELECT run_id FROM temp.chosen)"
        with _where_it_is():
            rows_of = f"SELECT * FROM source.{table} {which} ORDER BY rowid"
            self.into.execute(f"INSERT OR REPLACE INTO main.{table} {rows_of}")


@contextmanager
def _where_it_is() -> Iterator[None]:
    """Passes over a table that a version before did not make."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise


def _choose(connection: sqlite3.Connection, run_ids: Iterable[str]) -> None:
    connection.execute("DELETE FROM temp.chosen")
    connection.executemany("INSERT INTO temp.chosen VALUES (?)", ((run_id,) for run_id in run_ids))


def _layers(source: Source, run_ids: Collection[str]) -> list[dict[Path, set[str]]]:
    """In which order databases are copied, for which runs: of each run the earliest attempt first."""
    found: list[dict[Path, set[str]]] = []
    for run_id in run_ids:
        attempts = sorted(source.accounts[run_id], key=lambda account: account.began)
        for depth, account in enumerate(attempts):
            if depth == len(found):
                found.append({})
            found[depth].setdefault(account.database, set()).add(run_id)
    return found


Files = dict[str, dict[str, dict[str, tuple]]]
"""Of each run its files, and of each the rows that tell of it, by the digest in them."""


def _files(source: Source, run_ids: Collection[str]) -> Files:
    found: Files = {run_id: {} for run_id in run_ids}
    for path in {account.database for run_id in run_ids for account in source.accounts[run_id]}:
        every = source.are_all(found.keys(), path)
        with reading(path) as connection:
            for row in _rows_of(connection, "files", None if every else run_ids):
                its = found[row["run_id"]].setdefault(str(row["path"]), {})
                its[row["sha256"]] = tuple(row)
    return found


def _check_no_link(root: str, folder: str, looked_at: set[str]) -> None:
    """Raise StoreError where a place within a store is reached through something other than folders."""
    place = f"{root}/{folder}"
    if place in looked_at:
        return
    if len(looked_at) > MOST_LOOKED_AT:
        looked_at.clear()
    if "/" in folder:
        _check_no_link(root, folder.rpartition("/")[0], looked_at)
    try:
        mode = os.lstat(place).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise StoreError(f"{place} is no directory: do not trust this store")
    looked_at.add(place)


def _digest(path: str) -> str | None:
    """The SHA-256 of a regular file, None where there is none; a link or a device is not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no regular file: do not trust this store")
        if found.st_size < PIECE:
            return hashlib.sha256(os.read(descriptor, found.st_size)).hexdigest()
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        os.close(descriptor)


def digests_in(source: Source, run_ids: Collection[str]) -> dict[str, dict[tuple[str, int], bytes]]:
    """Of each run of a source what `Gathered.readings_of` gives."""
    found: dict[str, dict[tuple[str, int], bytes]] = {run_id: {} for run_id in run_ids}
    for layer in _layers(source, run_ids):
        for path, ids in layer.items():
            with reading(path) as connection:
                for run_id, its in _digests(connection, ids).items():
                    found[run_id] |= its
    return found


def _digests(
    connection: sqlite3.Connection, run_ids: Collection[str]
) -> dict[str, dict[tuple[str, int], bytes]]:
    found: dict[str, dict[tuple[str, int], bytes]] = {run_id: {} for run_id in run_ids}
    sql = "SELECT name, step, digest FROM readings WHERE run_id = ? AND name != 'update_loss'"
    for run_id, its in found.items():
        its.update({(name, step): digest for name, step, digest in connection.execute(sql, (run_id,))})
    return found


def copy_measured(
    had: Source,
    instead: Collection[str],
    sources: Sequence[tuple[Source, Collection[str]]],
    stage: Path,
) -> bool:
    """What a store had measured after training, but of runs whose place others take, and what sources
    have measured of some of their runs, of each run what the first has that has any; whether that is
    other than it had.
    """
    into = measured_database(stage)
    into.parent.mkdir()
    connection = _made(into)
    measured: set[str] = set()
    is_new = False
    for source, run_ids in ((had, None), *sources):
        path = measured_database(source.root)
        if not is_regular(path) or run_ids == set():
            continue
        before = set(measured)
        with reading(path) as found:
            for table in ("readings", "events"):
                for row in map(tuple, found.execute(f"SELECT * FROM {table}")):
                    is_kept = row[0] not in instead if run_ids is None else row[0] in run_ids
                    if is_kept and row[0] not in before and row[-1] == rows.digest(*row[:-1]):
                        _insert(connection, table, [row])
                        measured.add(row[0])
                    is_new |= is_kept == (run_ids is not None) and row[0] not in before
    connection.close()
    _to_disk(into)
    if not is_new:
        shutil.rmtree(into.parent)
    return is_new


def _insert(connection: sqlite3.Connection, table: str, new: list[tuple]) -> None:
    if new:
        marks = ", ".join("?" * len(new[0]))
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", new)


def sync(root: Path) -> None:
    """Bring the folders onto the disk."""
    with suppress(AttributeError):
        os.sync()
    _to_disk(root)
