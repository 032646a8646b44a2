"""Where things lie in a store, who may write to it, and how a file gets there whole."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARKER = "undergrowth.json"

STORE_FORMAT = 1
"""Raised when a store of the version before can no longer be read; no part of a run's id."""


class StoreError(Exception):
    """A directory that cannot be used as asked; one line with the value, the rule and the remedy."""


def create(root: Path) -> None:
    """Make `root` a store, or leave it one.

    Raises StoreError where it is a file, or a directory with other things in it, or cannot be made.
    """
    try:
        _create(root)
    except OSError as error:
        raise _unwritable(root, error) from None


def _create(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is a file: a store is a directory, so name another path")
    if (root / MARKER).exists():
        check(root)
    elif root.exists() and not all(_is_half_a_marker(path) for path in root.iterdir()):
        raise StoreError(
            f"{root} is not empty and holds no undergrowth store (no {MARKER}): "
            "name a new or empty directory"
        )
    else:  # the marker comes first: killed after it, this is a store, and before it an empty directory
        write_whole(root / MARKER, json.dumps({"format": STORE_FORMAT}).encode())
    for folder in (root / "runs", root / "readings"):
        folder.mkdir(exist_ok=True)


def _is_half_a_marker(path: Path) -> bool:
    return path.name.startswith(f".{MARKER}.")


def _unwritable(root: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{root} cannot be written ({error.strerror}): name a directory that you can write to"
    )


def check(root: Path) -> None:
    """Raise StoreError unless `root` is a store that this version reads."""
    try:
        format_ = json.loads((root / MARKER).read_text())["format"]
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"{root} is not an undergrowth store (no {MARKER} in it): "
            "name the --out directory of a run, a study or the demo"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{root / MARKER} cannot be read ({error.strerror}): name a store that you can read"
        ) from None
    except (ValueError, KeyError, TypeError):
        whole = json.dumps({"format": STORE_FORMAT})
        raise StoreError(f"{root / MARKER} is damaged: restore it as {whole}") from None
    if format_ != STORE_FORMAT:
        raise StoreError(
            f"{root} has store format {format_}, this version reads {STORE_FORMAT}: "
            "use the version of undergrowth that wrote it"
        )


@contextmanager
def writing(root: Path, patience: float = 2.0) -> Iterator[int]:
    """Hold the right to write to a store; yields the lock's file descriptor.

    A child that inherits the descriptor shares the right, and the system frees it when the last of
    them is gone, however they ended: after a kill nobody writes beside a worker that is still dying.

    Raises StoreError where others hold it for longer than `patience` seconds, or it is read-only.
    """
    try:
        opened = (root / ".writing").open("w")
    except OSError as error:
        raise _unwritable(root, error) from None
    with opened as lock:
        deadline = time.monotonic() + patience
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{root} is being written by another process: wait for it to end, "
                    "or name another --out"
                )
            time.sleep(0.05)
        yield lock.fileno()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_folder(run_id: str) -> Path:
    """A run's folder, relative to the store."""
    return Path("runs") / run_id


def checkpoint_folder(run_id: str, step: int) -> Path:
    """A checkpoint's folder, relative to the store."""
    return run_folder(run_id) / "checkpoints" / f"step-{step:08d}"


def databases(root: Path) -> list[Path]:
    """One SQLite file for each process that has written."""
    return sorted((root / "readings").glob("*.sqlite"))


def write_whole(path: Path, content: bytes) -> str:
    """Put a file in its place complete or not at all; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return hashlib.sha256(content).hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, digests: set[str]) -> bool:
    """Whether a file is there and is one of those that were written."""
    return path.exists() and sha256(path) in digests


def seal_of(database: Path) -> Path:
    """The file that holds the SHA-256 of a database that was closed in order."""
    return database.with_suffix(".sha256")
