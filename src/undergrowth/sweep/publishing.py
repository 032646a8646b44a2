"""A shard: trained into a store on this machine, whose finished runs are published as they come.

What is published is a small store of its own: copied under another name into `shards` of the sweep's
directory, which may be on a network file system, and then renamed. Nothing that is published is ever
written again, no database is written there, and no lock is taken.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from undergrowth.store.files import folder
from undergrowth.store.gathering import opened
from undergrowth.store.layout import MARKER, create
from undergrowth.store.merging import gather
from undergrowth.store.parts import Parts
from undergrowth.sweep.local import Layout, Progress, train
from undergrowth.sweep.planning import SHARDS, Plan, ended, fetch_trunks

PUBLISH_EVERY = 120.0
"""Seconds between two publications while runs end."""


def scratch(out: Path, which: int, of: int) -> Path:
    """Where on this machine a shard is trained unless it is said: again in the same place."""
    told = f"{os.path.abspath(out)} {which}/{of}".encode()
    name = f"undergrowth-sweep-{hashlib.sha256(told).hexdigest()[:16]}"
    return Path(tempfile.gettempdir()) / name


class Shard:
    """Trains what of a plan is this shard's, and publishes it.

    out: the sweep's directory; name: what its publications are called; work: the store on this machine.
    """

    def __init__(self, out: Path, name: str, work: Path, every: float = PUBLISH_EVERY) -> None:
        self.out, self.name, self.work, self.every = out, name, work, every
        self.published: set[str] = set()
        self.last = time.monotonic()

    def train(
        self,
        plan: Plan,
        *,
        layout: Layout | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
        parts: Parts | None = None,
    ) -> int:
        """Train and publish; how many runs failed. Whatever ends it, what has ended is published."""
        if not plan.left:
            return 0
        create(self.work)
        ids = {spec.id for spec in plan.todo}
        fetch_trunks(plan, self.work)
        self._publish(self._ended(ids))  # by one that was killed before it could

        def hear(told: Progress) -> None:
            progress(told)
            if told.ended and time.monotonic() - self.last >= self.every:
                self._publish(self._ended(ids))

        own = {run_id: its for run_id, its in (parts or {}).items() if run_id in ids}
        try:
            train(plan.todo, self.work, layout=layout, progress=hear, names=plan.names, parts=own)
        finally:
            self._publish(self._ended(ids))
        return len(ended(self.work, "failed") - ended(self.work, "done") & ids)

    def _ended(self, ids: set[str]) -> set[str]:
        """Those of some runs that have ended."""
        return (ended(self.work, "done") | ended(self.work, "failed")) & ids

    def _publish(self, these: set[str]) -> None:
        """Put what has ended since the last time where all can see it."""
        new = these - self.published
        self.last = time.monotonic()
        if not new:
            return
        local = self.work.with_name(f"{self.work.name}-parcel")
        shutil.rmtree(local, ignore_errors=True)
        create(local)
        gather(local, [opened(self.work, new)], new)
        shards = self.out / SHARDS
        folder(shards).mkdir(exist_ok=True)
        hidden = shards / f".{self.name}.{socket.gethostname()}-{os.getpid()}.tmp"
        shutil.rmtree(hidden, ignore_errors=True)
        copy_whole(local, hidden)
        put_under_the_next_name(hidden, shards, self.name)
        shutil.rmtree(local, ignore_errors=True)
        self.published |= new

    def forget(self) -> None:
        """Remove the store on this machine: all that it finished is published."""
        shutil.rmtree(self.work, ignore_errors=True)


def copy_whole(original: Path, copy: Path) -> None:
    """Copy a directory and bring every file of it onto the disk."""
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns(".writing"))
    for path in copy.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def put_under_the_next_name(hidden: Path, into: Path, name: str) -> Path:
    """Rename a directory to the first free of `name-0`, `name-1` and so on, whoever else does so too."""
    for number in count():
        place = into / f"{name}-{number}"
        if (place / MARKER).exists():
            continue
        with suppress(FileExistsError, NotADirectoryError):
            try:
                hidden.rename(place)
            except OSError as error:
                if error.errno not in (39, 66, 17):  # a directory that is not empty
                    raise
                continue
            return place
    raise AssertionError("there is always a next number")
