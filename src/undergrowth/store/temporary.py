"""Temporary folders that a kill cannot leave behind for long: the next of their kind removes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

YOUNG = 60.0
"""Seconds in which a folder may not yet be held by whoever makes it."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder of this prefix, removed in the end; those that killed processes left go first."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(held)


def _is_abandoned(folder: Path) -> bool:
    """Whether it is ours, and nobody has held it for a while."""
    with suppress(OSError):
        seen = folder.lstat()
        if folder.is_symlink() or seen.st_uid != os.getuid() or time.time() - seen.st_mtime < YOUNG:
            return False
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
