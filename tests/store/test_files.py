"""A store holds files of its own: links, pipes, devices and paths that lead out of it are refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.test_verify import change
from undergrowth.store import Store, StoreError, verify
from undergrowth.store.database import seal_of
from undergrowth.store.files import inside, sweep_up, write_whole
from undergrowth.store.layout import databases
from undergrowth.store.lock import LOCK, writing
from undergrowth.store.rows import digest


def linked(path: Path) -> None:
    path.symlink_to("/dev/zero")


PUT: list[Callable[[Path], None]] = [linked, os.mkfifo]
PLACES = ["undergrowth.json", "readings", "readings/worker-0.sqlite", "readings/worker-0.sqlite-wal"]


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_of_the_store_is_refused_in_one_line(
    root: Path, place: str, put: Callable[[Path], None]
) -> None:
    path = root / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    put(path)
    with pytest.raises(StoreError, match="but a store h") as error:
        _ = Store(root).runs
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("put", PUT)
def test_a_checkpoint_that_is_no_file_is_damage_and_no_model(
    root: Path, put: Callable[[Path], None]
) -> None:
    run = Store(root).runs[0]
    path = run.checkpoint_path(20)
    path.unlink()
    put(path)
    with pytest.raises(StoreError, match="is missing or damaged"):
        run.model(20)
    assert [entry.place for entry in verify(root).damage] == [str(path.relative_to(root))]


def test_a_lock_that_is_a_link_cuts_no_file(root: Path) -> None:
    precious = root.parent / "precious"
    precious.write_text("precious")
    (root / LOCK).unlink()
    (root / LOCK).symlink_to(precious)
    with pytest.raises(StoreError, match="is a link"), writing(root):
        pass
    assert precious.read_text() == "precious"


def test_a_link_in_the_place_of_an_unfinished_file_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / f".x.{os.getpid()}.tmp").symlink_to(precious)
    write_whole(tmp_path / "x", b"new")
    assert (precious.read_text(), (tmp_path / "x").read_text()) == ("precious", "new")


@pytest.mark.parametrize("place", ["/etc/passwd", "../x", "runs/../../x", "", "a\0b"])
def test_a_stored_path_leads_nowhere_else(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match="leads out of the store"):
        inside(tmp_path, place)


def test_a_stored_path_leads_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("/etc")
    with pytest.raises(StoreError, match="is a link"):
        inside(tmp_path, "runs/passwd")


def test_a_stored_spec_reads_no_file_of_this_machine(root: Path) -> None:
    run = Store(root).runs[0]
    table = '{"task": {"name": "table", "path": "/etc/passwd"}}'
    change(root, f"UPDATE runs SET spec = '{table}' WHERE run_id = '{run.id}'")
    ((_, reason),) = Store(root).unreadable
    assert "it would read a file of this machine" in reason


@pytest.mark.parametrize("spec", ["[" * 100_000, "9" * 5000, "null", '{"steps": 3'])
def test_json_that_cannot_be_is_one_run_that_cannot_be_read(root: Path, spec: str) -> None:
    one, other = Store(root).runs
    change(root, f"UPDATE runs SET spec = '{spec}' WHERE run_id = '{one.id}'")
    assert [run.id for run in Store(root).runs] == [other.id]
    ((_, reason),) = Store(root).unreadable
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dtype", "O"),
        ("dtype", "<U4"),
        ("dtype", "nonsense"),
        ("shape", "[-1]"),
        ("shape", "[1000000000000]"),
        ("axes", "[" * 100_000),
        ("axes", '[["neuron", ["a", "b"]]]'),
        ("content", b"123"),
    ],
)
def test_a_reading_that_is_none_is_one_line_though_its_digest_fits(
    root: Path, column: str, value: object
) -> None:
    run = Store(root).runs[0]
    (database,) = databases(root)
    names = ("run_id", "name", "step", "axes", "dtype", "shape", "content")
    with closing(sqlite3.connect(database)) as connection, connection:
        where = "run_id = ? AND name = 'val_loss' AND step = 10"
        row = connection.execute(
            f"SELECT {', '.join(names)} FROM readings WHERE {where}", (run.id,)
        ).fetchone()
        told = dict(zip(names, row, strict=True)) | {column: value}
        connection.execute(
            f"UPDATE readings SET {column} = ?, digest = ? WHERE {where}",
            (value, digest(*told.values()), run.id),
        )
    with pytest.raises(StoreError) as error:
        _ = Store(root).run(run.id)["val_loss"]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("environment", ["[" * 100_000, "1", '"text"'])
def test_an_environment_that_is_none_spoils_one_run_alone(root: Path, environment: str) -> None:
    one, other = Store(root).runs
    (database,) = databases(root)
    with closing(sqlite3.connect(database)) as connection, connection:
        row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (one.id,)).fetchone()
        columns = (*row[:-2], environment)
        connection.execute(
            "UPDATE runs SET environment = ?, digest = ? WHERE run_id = ?",
            (environment, digest(*columns), one.id),
        )
    seal_of(database).unlink()
    assert [run.id for run in Store(root).runs] == [other.id]
    assert Store(root).unreadable == ((one.id, "its environment is invalid: see `undergrowth verify`"),)
    assert [damage.place for damage in verify(root).damage] == [f"run {one.id}"]


def test_a_flipped_bit_never_comes_back_as_a_number(root: Path) -> None:
    change(root, "UPDATE readings SET content = x'00000000' WHERE name = 'val_loss' AND step = 10")
    run = Store(root).runs[0]
    with pytest.raises(StoreError, match="val_loss at step 10 differs from its digest"):
        _ = run["val_loss"]
    assert run["train_loss"].size
    path = run.checkpoint_path(30)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is missing or damaged: train the run again"):
        run.model(30)


def test_a_folder_that_may_not_be_read_is_no_empty_one(root: Path) -> None:
    def unreadable() -> None:
        (root / "readings").chmod(0)
        for parent in root.parents[:-2]:
            parent.chmod(0o755)

    unreadable()
    if bare := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"readings cannot be read \(Permission denied\)"):
            _ = Store(root).runs
    finally:
        if bare:
            os.seteuid(0)
        (root / "readings").chmod(0o755)


def test_what_killed_writers_left_unfinished_is_swept_up_by_the_next(root: Path) -> None:
    left = [root / ".report.html.7.tmp", root / "readings" / ".worker-0.sqlite.7.tmp-wal"]
    left.append(next((root / "runs").iterdir()) / ".data.safetensors.7.tmp")
    for path in left:
        path.write_bytes(b"half")
    for database in databases(root):
        database.with_suffix(".sha256").unlink()  # as a kill leaves it
    with writing(root):
        pass
    assert not [path for path in left if path.exists()]


def test_only_unfinished_files_are_swept_up(tmp_path: Path) -> None:
    for name in (".hidden", "notes.tmp", ".x.1.tmp"):
        (tmp_path / name).write_text("")
    sweep_up(list(tmp_path.iterdir()))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "notes.tmp"]


@pytest.mark.parametrize("name", ["a#b", "a?b", "%41", "a b", "ü", "a\nb", os.fsdecode(b"\xff")])
def test_any_name_of_a_directory_will_do(finished: Path, tmp_path: Path, name: str) -> None:
    root = Path(shutil.copytree(finished, tmp_path / name))
    assert len(Store(root).runs) == 2
    assert verify(root).damage == ()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_killed_writer_left_of_a_file_goes_when_it_is_written_again(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    killed = tmp_path / f".page.html.{int(ended.stdout)}.tmp"
    at_work = tmp_path / f".page.html.{os.getppid()}.tmp"
    another = tmp_path / f".other.html.{int(ended.stdout)}.tmp"
    for left in (killed, at_work, another):
        left.write_bytes(b"")
    write_whole(tmp_path / "page.html", b"whole")
    assert (killed.exists(), at_work.exists(), another.exists()) == (False, True, True)
