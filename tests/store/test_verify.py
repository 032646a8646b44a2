"""Planted damage is found, wherever it is planted; a whole store is called whole."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from undergrowth.store import Store, StoreError, verify
from undergrowth.store.layout import databases, seal_of


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_a_whole_store_has_no_damage(finished: Path) -> None:
    found = verify(finished)
    assert found.damage == ()
    assert (found.runs, found.files) == (2, 2 * (1 + 4 * 3))  # data, and 4 checkpoints of 3 files
    assert found.readings == 2 * 4 * (4 + 2)  # 4 curves and 2 norms at 4 steps


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
    assert {entry.wrong for entry in damage} == {"the file is missing"}


def test_a_changed_reading_is_found_in_a_database_that_was_never_closed(root: Path) -> None:
    (database,) = databases(root)
    seal_of(database).unlink()  # as after a kill
    assert verify(root).damage == ()
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE readings SET step = 11 WHERE step = 10 AND name = 'val_loss'")
    connection.close()
    places = [damage.place for damage in verify(root).damage]
    assert len(places) == 2
    assert all("val_loss at step 11" in place for place in places)


def test_a_changed_spec_is_found_and_refused(root: Path) -> None:
    (database,) = databases(root)
    seal_of(database).unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("""UPDATE runs SET spec = replace(spec, '"steps":30', '"steps":31')""")
    connection.close()
    assert {damage.wrong for damage in verify(root).damage} == {"its spec does not hash to its id"}
    with pytest.raises(StoreError, match="does not match its spec"):
        _ = Store(root).runs
