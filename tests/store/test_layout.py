"""Who may write where, and that a file is in its place whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from undergrowth.store import StoreError
from undergrowth.store.files import sha256, write_whole
from undergrowth.store.layout import check, create
from undergrowth.store.lock import writing


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


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_kill_while_a_store_is_made_leaves_what_can_be_made_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Killed before the marker is renamed into its place, and before each of the two folders."""
    left = [1, 2, 3][at]

    def killed_at_last(whole: Callable[..., object]) -> Callable[..., object]:
        def step(self: Path, *args: object, **kwargs: object) -> object:
            nonlocal left
            if self.parent == tmp_path / "store":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return whole(self, *args, **kwargs)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed_at_last(Path.replace))
        patched.setattr(Path, "mkdir", killed_at_last(Path.mkdir))
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path / "store")
    create(tmp_path / "store")
    check(tmp_path / "store")
    assert (tmp_path / "store" / "runs").is_dir()
    assert (tmp_path / "store" / "readings").is_dir()


@pytest.mark.parametrize("place", ["/etc/passwd", "/etc/passwd/x", "/nowhere"])
def test_what_is_no_directory_is_no_store_in_one_line(place: str) -> None:
    with pytest.raises(StoreError, match="is not an undergrowth store") as error:
        check(Path(place))
    assert "\n" not in str(error.value)


def test_a_marker_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "undergrowth.json").mkdir()
    with pytest.raises(StoreError, match="is a directory, but a store holds only"):
        check(tmp_path)


@pytest.mark.parametrize("place", ["/etc/passwd/x", "/proc/x/y"])
def test_a_place_that_cannot_be_written_is_one_line_with_the_remedy(place: str) -> None:
    with pytest.raises(StoreError, match=r"cannot be written \(.*\): give a directory") as error:
        create(Path(place))
    assert "\n" not in str(error.value)


def test_a_store_without_the_right_to_write_is_one_line(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / ".writing").mkdir()  # permissions do not hold root back
    with pytest.raises(StoreError, match="is a directory, but a store"), writing(tmp_path):
        pass


def test_a_damaged_marker_can_be_restored_as_the_error_says(tmp_path: Path) -> None:
    create(tmp_path)
    marker = tmp_path / "undergrowth.json"
    marker.write_text("{")
    with pytest.raises(StoreError, match="is damaged") as error:
        check(tmp_path)
    marker.write_text(str(error.value).split("restore it as ")[1])
    check(tmp_path)
