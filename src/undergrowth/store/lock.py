"""Who may write to a store: one process and its children, who first mend what a killed one left."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from undergrowth.store.database import mend, seal_of
from undergrowth.store.errors import StoreError
from undergrowth.store.files import entries, is_regular, regular, sweep_up
from undergrowth.store.layout import databases, measured_database, unwritable
from undergrowth.store.staged import finish

LOCK = ".writing"


@contextmanager
def writing(root: Path, patience: float = 2.0) -> Iterator[int]:
    """Hold the right to write to a store; yields the lock's file descriptor.

    A child that inherits the descriptor shares the right, and the system frees it when the last of
    them is gone, however they ended: after a kill nobody writes beside a worker that is still dying.
    Databases of killed writers are closed, and their unfinished files removed.

    Raises StoreError where others hold it for longer than `patience` seconds, or it is read-only.
    """
    descriptor = _opened(root)
    try:
        deadline = time.monotonic() + patience
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{root} is being written by another process: wait for it to end, "
                    "or give another --out"
                )
            time.sleep(0.05)
        _mend(root)
        yield descriptor
    finally:
        os.close(descriptor)


def is_being_written(root: Path) -> bool:
    """Whether a process holds the right to write to a store now."""
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it was never written to, or by somebody else whom we cannot ask
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _opened(root: Path) -> int:
    regular(root / LOCK)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(root / LOCK, flags, 0o666)
    except OSError as error:
        raise unwritable(root, error) from None


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mend(root: Path) -> None:
    """Finish what a killed merge left, and close what killed writers left open. Where they left nothing
    open, they were not amid a run, and only the folders at the top are looked through, for a store may
    hold a million runs.
    """
    finish(root)
    left_open = [path for path in databases(root) if not is_regular(seal_of(path))]
    measured = measured_database(root)
    if is_regular(measured) and not is_regular(seal_of(measured)):
        left_open.append(measured)
    for path in left_open:
        mend(path)
    for folder in (root, root / "readings", root / "measured"):
        sweep_up(entries(folder))
    if left_open:
        sweep_up((root / "runs").rglob(".*.tmp"))
