"""Files of a store: written whole or not at all, and read only where they are what they seem.

A store may come from anybody. What lies in it is a regular file or a directory: a link would lead out of
it, a pipe or a device would be read for ever.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

from undergrowth.store.errors import StoreError

UNFINISHED = ".tmp"
"""How the name of a file ends that is being written; it begins with a dot."""


def is_regular(path: Path | str) -> bool:
    """Whether a file is there, and neither a link nor a device, pipe, socket or directory.

    Raises StoreError where the system does not let us look.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path | str) -> bool:
    """Whether a directory is there itself, not a link to one; raises StoreError as `is_regular` does."""
    return stat.S_ISDIR(_mode(path))


def regular(path: Path) -> Path:
    """The same path; raises StoreError where something other than a regular file is there."""
    if (mode := _mode(path)) and not stat.S_ISREG(mode):
        raise StoreError(
            f"{path} is {_kind(mode)}, but a store holds only its own files: remove it, or put the "
            "file itself there"
        )
    return path


def folder(path: Path) -> Path:
    """The same path; raises StoreError where something other than a directory is there."""
    if (mode := _mode(path)) and not stat.S_ISDIR(mode):
        raise StoreError(
            f"{path} is {_kind(mode)}, but a store has a directory there: put the directory itself there"
        )
    return path


def _mode(path: Path | str) -> int:
    """The mode of what is there, 0 where nothing is."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a file" if stat.S_ISREG(mode) else "a pipe, socket or device"


def unreadable(path: Path | str, error: Exception) -> StoreError:
    """What to say of a file or directory that the system does not let us read."""
    reason = getattr(error, "strerror", None) or error
    return StoreError(f"{path} cannot be read ({reason}): make it readable, or name another store")


def inside(root: Path, place: str) -> Path:
    """Where a stored path leads, which must be in the store and lead through no link.

    Raises StoreError where it does not.
    """
    parts = Path(place).parts
    if Path(place).is_absolute() or ".." in parts or "\0" in place or not parts:
        raise StoreError(f"{root}: the stored path {place!r} leads out of the store: do not trust it")
    for depth in range(1, len(parts)):
        folder(root.joinpath(*parts[:depth]))
    return root.joinpath(*parts)


def content(path: Path) -> bytes:
    """All bytes of a regular file; raises StoreError where it is none or cannot be read."""
    try:
        return regular(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def entries(path: Path) -> list[Path]:
    """What lies in a directory, in the order of names; nothing where there is no directory.

    Raises StoreError where it cannot be read, which must not pass for an empty one.
    """
    return [path / name for name in names_in(path)]


def names_in(path: Path) -> list[str]:
    """The names of what lies there, as `entries` has it."""
    if not is_folder(folder(path)):
        return []
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        raise unreadable(path, error) from None


def write_whole(path: Path, content: bytes) -> str:
    """Put a file in its place complete or not at all; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        with new(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sweep_up_beside(path)
    return hashlib.sha256(content).hexdigest()


def _sweep_up_beside(path: Path) -> None:
    """Remove what killed writers of this file left: a page is written beside whoever holds the lock."""
    for left in path.parent.glob(f".{escape(path.name)}.*{UNFINISHED}"):
        process = left.name.removesuffix(UNFINISHED).rpartition(".")[2]
        if process.isdigit() and not _is_running(int(process)) and is_regular(left):
            with suppress(OSError):
                left.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        pass
    return True


def unfinished(path: Path) -> Path:
    """Where a file of this process is made before it is put in its place."""
    return path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")


def new(path: Path):
    """A file that was not there, open for writing; what a killed process of this number left, goes."""
    with suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb")


def sweep_up(where: Iterator[Path] | list[Path]) -> None:
    """Remove what killed writers left unfinished among some files; nobody else may be writing."""
    for path in where:
        if path.name.startswith(".") and UNFINISHED in path.name and is_regular(path):
            with suppress(OSError):
                path.unlink()


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file, in hexadecimal; raises StoreError where it is none."""
    try:
        with regular(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def is_intact(path: Path, digests: set[str]) -> bool:
    """Whether a file is there and is one of those that were written."""
    return is_regular(path) and sha256(path) in digests
