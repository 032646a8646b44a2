"""Planted damage is found, wherever it is planted; a whole store is called whole."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.store.conftest import SPECS
from undergrowth.store import Damage, Store, verify
from undergrowth.store.database import seal_of
from undergrowth.store.layout import databases
from undergrowth.sweep import Layout, train


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def change(root: Path, sql: str) -> None:
    """Change the database's rows behind the store's back, as if it had never been closed."""
    (database,) = databases(root)
    seal_of(database).unlink(missing_ok=True)
    with sqlite3.connect(database) as connection:
        connection.execute(sql)
    connection.close()


def test_a_whole_store_has_no_damage(finished: Path) -> None:
    found = verify(finished)
    assert found.damage == ()
    assert (found.runs, found.files) == (2, 2 * (2 + 4 * 3))  # spec, data, and 4 checkpoints of 3 files
    assert found.readings == 2 * (4 * (4 + 2) + 1)  # 4 curves and 2 norms at 4 steps, update_loss


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 12).round(3))
def test_a_flipped_byte_anywhere_in_the_database_is_found(root: Path, share: float) -> None:
    (database,) = databases(root)
    flip(database, int(share * database.stat().st_size))
    assert verify(root).damage


@pytest.mark.parametrize("file", ["model.safetensors", "training.safetensors", "config.json"])
def test_a_flipped_byte_in_a_checkpoint_is_found_and_named(root: Path, file: str) -> None:
    run = Store(root).runs[0]
    path = run.checkpoint_path(20).with_name(file)
    flip(path, path.stat().st_size // 2)
    assert [damage.place for damage in verify(root).damage] == [str(path.relative_to(root))]


def test_a_missing_checkpoint_is_found_and_named(root: Path) -> None:
    run = Store(root).runs[0]
    shutil.rmtree(run.checkpoint_path(20).parent)
    damage = verify(root).damage
    assert len(damage) == 3
    assert all(f"{run.id}/checkpoints/step-00000020" in entry.place for entry in damage)
    assert all(entry.wrong.startswith("the file is missing: train its run again") for entry in damage)


def test_a_changed_reading_is_found_in_a_database_that_was_never_closed(root: Path) -> None:
    (database,) = databases(root)
    seal_of(database).unlink()  # as after a kill
    assert verify(root).damage == ()
    change(root, "UPDATE readings SET step = 11 WHERE step = 10 AND name = 'val_loss'")
    places = [damage.place for damage in verify(root).damage]
    assert sum("val_loss at step 11" in place for place in places) == 2


def test_a_changed_spec_is_found_and_its_run_left_out(root: Path) -> None:
    one, other = Store(root).runs
    spec = """replace(spec, '"steps":30', '"steps":31')"""
    change(root, f"UPDATE runs SET spec = {spec} WHERE run_id = '{one.id}'")
    assert verify(root).damage == (Damage(f"run {one.id}", "its spec does not hash to its id"),)
    assert [run.id for run in Store(root).runs] == [other.id]
    ((run_id, reason),) = Store(root).unreadable
    assert run_id == one.id
    assert "its spec hashes to" in reason


def test_a_spec_that_this_version_cannot_read_hides_no_other_run(root: Path) -> None:
    one, other = Store(root).runs
    change(root, f"UPDATE runs SET spec = '{{\"new\": 1}}' WHERE run_id = '{one.id}'")
    assert [run.id for run in Store(root).runs] == [other.id]
    ((_, reason),) = Store(root).unreadable
    assert "use the version that wrote it" in reason


@pytest.mark.parametrize("column", ["status", "message", "environment"])
def test_a_changed_account_of_a_run_is_found(root: Path, column: str) -> None:
    change(root, f"UPDATE runs SET {column} = '{{}}'")
    assert len(verify(root).damage) == 2
    assert {entry.wrong for entry in verify(root).damage} == {
        "its status, message, times or environment were changed"
    }


def test_an_overwritten_spec_file_is_found_and_named(root: Path) -> None:
    place = f"runs/{Store(root).runs[0].id}/spec.toml"
    (root / place).write_text("steps = 1")
    assert [entry.place for entry in verify(root).damage] == [place]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_deleted_database_is_found(root: Path, sealed: bool) -> None:
    ids = [run.id for run in Store(root).runs]
    (database,) = databases(root)
    database.unlink()
    if not sealed:
        seal_of(database).unlink()
    damage = {entry.place: entry.wrong for entry in verify(root).damage}
    assert {f"runs/{id_}" for id_ in ids} <= damage.keys()
    assert ("readings/worker-0.sqlite" in damage) == sealed
    assert all("train its run again" in damage[f"runs/{id_}"] for id_ in ids)


@pytest.mark.parametrize(
    "which",
    [
        *("name = 'train_loss'", "step = 20", "name = 'val_loss' AND step = 0"),
        *(f"name = 'update_loss' AND step = {step}" for step in (0, 10, 20)),
    ],
)
def test_a_finished_run_that_lacks_readings_is_found(root: Path, which: str) -> None:
    change(root, f"DELETE FROM readings WHERE {which}")
    wrong = {entry.wrong for entry in verify(root).damage}
    assert wrong == {"readings are missing: restore them from a copy"}


@pytest.mark.parametrize("name", ["spec.toml", "checkpoints/step-00000010/model.safetensors"])
@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_training_again_mends_damaged_files(root: Path, name: str, how: str) -> None:
    run = Store(root).runs[0]
    path = root / "runs" / run.id / name
    whole = path.read_bytes()
    if how == "cut short":
        path.write_bytes(whole[:-1])
    else:
        path.unlink()
    assert len(verify(root).damage) == 1
    heard: dict[str, str] = {}
    train(
        SPECS,
        root,
        layout=Layout(workers=1),
        progress=lambda p: heard.update({p.spec.id: p.ended}),
    )
    assert sorted(heard.values()) == ["done", "stored"]
    assert heard[run.id] == "done"
    assert verify(root).damage == ()
    assert path.read_bytes() == whole
