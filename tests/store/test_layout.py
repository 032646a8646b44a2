"""Who may write where, and that a file is in its place whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from undergrowth.store import StoreError
from undergrowth.store.layout import create, sha256, write_whole, writing


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="is not empty and holds no undergrowth store"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        create(tmp_path / "out")


def test_making_a_store_twice_leaves_it_one(tmp_path: Path) -> None:
    create(tmp_path / "a" / "b")
    create(tmp_path / "a" / "b")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / "undergrowth.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format 99"):
        create(tmp_path)


def test_two_may_not_write_at_once_and_the_right_is_freed(tmp_path: Path) -> None:
    create(tmp_path)
    with (
        writing(tmp_path),
        pytest.raises(StoreError, match="written by another process"),
        writing(tmp_path, patience=0.1),
    ):
        pass
    with writing(tmp_path, patience=0.0):
        pass


def test_a_file_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    digest = write_whole(path, b"old")
    assert digest == sha256(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
