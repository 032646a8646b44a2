"""A database is readable however its writer ended, also by whoever may only read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.campaigns.kills import built
from tests.store.conftest import SPECS
from undergrowth.measures import Norms
from undergrowth.store import Store, StoreError, measured, verify
from undergrowth.store.database import (
    SCHEMA,
    InUseError,
    close_whole,
    kept_open,
    kept_or_opened,
    mend,
    open_for_writing,
    reading,
    seal_of,
    sealed_with,
)
from undergrowth.store.layout import create, databases, measured_database
from undergrowth.store.lock import writing
from undergrowth.store.writer import Writer
from undergrowth.sweep import Layout, train
from undergrowth.sweep.measuring import read


def copied_in_use(path: Path, to: Path, act: Callable[[sqlite3.Connection], None]) -> Path:
    """The files of a database as a kill leaves them amid something."""
    connection = sqlite3.connect(path, isolation_level=None)
    act(connection)
    to.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, to / part.name)
    connection.close()
    return to / path.name


def a_hot_journal(connection: sqlite3.Connection) -> None:
    """Amid a transaction whose pages have reached the file: only a writer can roll it back."""
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO names VALUES (?, 'x', x'00')", [(f"{i:016x}",) for i in range(3000)]
    )


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Takes the right to write to a folder away, from root too, who ignores permissions."""
    bare = os.geteuid() == 0

    def without(folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        for parent in folder.parents[:-2]:
            parent.chmod(0o755)
        if bare:
            os.seteuid(65534)

    yield without
    if bare:
        os.seteuid(0)


def test_a_hot_journal_hides_nothing_that_was_stored(root: Path) -> None:
    (database,) = databases(root)
    hot = copied_in_use(database, root.parent / "hot", a_hot_journal)
    assert hot.with_name(f"{hot.name}-journal").stat().st_size
    with (
        pytest.raises(sqlite3.OperationalError),
        closing(sqlite3.connect(f"{hot.as_uri()}?mode=ro", uri=True)) as plain,
    ):
        plain.execute("SELECT * FROM runs").fetchall()
    with reading(hot) as connection:
        assert len(connection.execute("SELECT * FROM runs").fetchall()) == 2
        assert not connection.execute("SELECT * FROM names").fetchall()


def test_a_store_with_a_hot_journal_is_whole_and_mended_by_the_next_writer(root: Path) -> None:
    (database,) = databases(root)
    hot = copied_in_use(database, root.parent / "hot", a_hot_journal)
    for part in hot.parent.iterdir():
        shutil.copy(part, database.parent / part.name)
    seal_of(database).unlink()
    assert verify(root).damage == ()
    train(SPECS, root, layout=Layout(workers=1))
    assert sorted(path.name for path in database.parent.iterdir()) == [
        "worker-0.sha256",
        "worker-0.sqlite",
    ]
    assert verify(root).damage == ()


def test_a_killed_store_can_be_read_where_nothing_may_be_written(
    tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    create(tmp_path / "store")
    writer = Writer(tmp_path / "store", "worker-0")
    writer.begin(SPECS[0])
    killed = Path(shutil.copytree(tmp_path / "store", tmp_path / "killed"))
    writer.close()
    for database in databases(killed):
        database.with_name(f"{database.name}-shm").unlink()
    read_only(killed)
    assert [run.status for run in Store(killed).runs] == ["interrupted"]
    found = verify(killed)
    assert (found.damage, found.interrupted) == ((), 1)


def test_a_finished_and_measured_store_can_be_read_where_nothing_may_be_written(
    root: Path, read_only: Callable[[Path], None]
) -> None:
    run = Store(root).runs[0]
    with writing(root), measured.adding(root) as add:
        add(run.id, 10, Norms(), read(run, Norms(), 10))
    before = sorted(path.name for path in root.rglob("*"))
    read_only(root)
    assert "weight_norm" in Store(root).runs[0].names
    assert verify(root).damage == ()
    assert sorted(path.name for path in root.rglob("*")) == before


def test_a_database_appears_with_its_tables_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        open_for_writing(tmp_path / "worker-0.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", [b"", b"half a database"])
def test_half_a_measured_database_hides_no_run_and_an_empty_one_is_mended(
    root: Path, left: bytes
) -> None:
    measured_database(root).parent.mkdir()
    measured_database(root).write_bytes(left)
    if left:
        assert [entry.place for entry in verify(root).damage] == ["measured/measured.sqlite"]
        return
    assert len(Store(root).runs[0].names) > 4
    assert verify(root).damage == ()
    with writing(root):
        pass
    assert sealed_with(measured_database(root))


def test_a_reader_that_never_lets_go_keeps_no_writer_from_closing(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.sqlite"
    connection = open_for_writing(path)
    with reading(path) as reader:
        rows = reader.execute("SELECT * FROM runs")
        rows.fetchone()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        assert close_whole(path, connection) is False
    mend(path)
    assert sealed_with(path)


def test_a_reader_of_a_closed_file_sends_the_writer_to_another(tmp_path: Path) -> None:
    create(tmp_path)
    Writer(tmp_path, "worker-0").close()
    (path,) = databases(tmp_path)
    with reading(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(InUseError):
            open_for_writing(path)
        writer = Writer(tmp_path, "worker-0")
        assert writer.kept.path.name == "worker-0-1.sqlite"
        writer.close()
    assert verify(tmp_path).damage == ()


def names_in(path: Path) -> list[str]:
    with kept_or_opened(path) as connection:
        return [row["name"] for row in connection.execute("SELECT name FROM names").fetchall()]


def named(path: Path, name: str) -> sqlite3.Connection:
    """A database under way in which a run has been given a name."""
    connection = open_for_writing(path)
    with connection:
        connection.execute("INSERT INTO names VALUES (?, ?, x'00')", ("0" * 16, name))
    return connection


def test_a_file_is_opened_once_while_connections_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker-0.sqlite"
    close_whole(path, named(path, "a"))
    opened: list[Path] = []
    monkeypatch.setattr(
        "undergrowth.store.database.reading", lambda path: opened.append(path) or reading(path)
    )
    with kept_open():
        assert [names_in(path) for _ in range(3)] == [["a"]] * 3
    assert opened == [path]
    assert names_in(path) == ["a"]
    assert opened == [path, path]


def test_a_kept_connection_shows_what_others_do_to_the_file_and_keeps_them_from_nothing(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "worker-0.sqlite", tmp_path / "other" / "worker-0.sqlite"
    close_whole(path, named(path, "a"))
    close_whole(other, named(other, "c"))
    with kept_open():
        assert names_in(path) == ["a"]
        writer = named(path, "b")
        assert names_in(path) == ["a", "b"]
        assert close_whole(path, writer)
        assert names_in(path) == ["a", "b"]
        other.replace(path)
        assert names_in(path) == ["c"]
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("CREATE TABLE more (x)")
        with pytest.raises(StoreError, match="that undergrowth did not make"):
            names_in(path)
        path.unlink()
        with pytest.raises(StoreError):
            names_in(path)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE runs; CREATE VIEW runs AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS run_id FROM n",
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        "CREATE TABLE more (x)",
        "DROP TABLE events; CREATE TABLE events (run_id, step, kind, detail, digest)",
    ],
)
def test_a_database_of_another_make_is_refused_in_one_line(root: Path, sql: str) -> None:
    (database,) = databases(root)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(sql)
    with pytest.raises(StoreError, match="that undergrowth did not make") as error:
        _ = Store(root).runs
    assert "\n" not in str(error.value)


def test_a_store_of_the_version_before_is_whole(root: Path) -> None:
    """It lacked the tables of complete runs, of names, of parts, and of summaries."""
    assert SCHEMA.count("CREATE TABLE") == 8
    (database,) = databases(root)
    lacking = ("complete", "names", "parts", "summaries")
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("; ".join(f"DROP TABLE {table}" for table in lacking))
    seal_of(database).unlink()
    assert verify(root).damage == ()
    assert Store(root).runs[0].given_names == ()
    assert Store(root).runs[0].parts == ()


FAULTS_WHILE_MADE = """
import ctypes, os, sqlite3, sys
from pathlib import Path
from undergrowth.store.database import close_whole, open_for_writing, reading

faults, root = ctypes.CDLL(None), Path(sys.argv[1])


def made(path, at, kind):
    path.parent.mkdir()
    faults.fault_arm(os.fsencode(path.parent), ctypes.c_long(at), kind)
    try:
        close_whole(path, open_for_writing(path))
    except (OSError, sqlite3.Error):
        pass
    finally:
        faults.fault_arm(b"", 0, 0)


faults.fault_count.restype = ctypes.c_long
path = root / "whole" / "x.sqlite"
path.parent.mkdir()
faults.fault_arm(os.fsencode(path.parent), 0, 0)
close_whole(path, open_for_writing(path))
calls = faults.fault_count()
faults.fault_arm(b"", 0, 0)
for kind in (2, 3):
    for at in range(1, calls + 1):
        path = root / f"{kind}-{at}" / "x.sqlite"
        made(path, at, kind)
        if path.exists():
            with reading(path) as connection:
                assert not list(connection.execute("SELECT * FROM runs")), (kind, at)
print(calls)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="faults.c needs a C compiler")
def test_a_call_that_fails_while_a_database_is_made_leaves_a_whole_one_or_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS_WHILE_MADE, tmp_path],
        env={**os.environ, "LD_PRELOAD": str(built(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
