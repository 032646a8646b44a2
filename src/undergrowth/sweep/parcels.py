"""Parcels: finished runs as bytes, on their way from where they were trained to the sweep's store.

Machines need not share a file system. What arrives is on the disk at once, as a small store of its own
in `shards`, written under another name and renamed; now and then the store takes in all of them.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from undergrowth.store.files import entries, folder, inside, is_regular
from undergrowth.store.gathering import Source, opened
from undergrowth.store.layout import create
from undergrowth.store.lock import LOCK, writing
from undergrowth.store.merging import Merged, gather_as_writer
from undergrowth.sweep.planning import SHARDS
from undergrowth.sweep.publishing import put_under_the_next_name

NAME = "parcel"
"""How what arrives is called in `shards`, with a number."""

FIRST, SHARE = 60.0, 0.1
"""Seconds until the store first takes in what has arrived, and after what share of a sweep it does so
again: each time makes a database, and a sweep of days is not to make thousands."""

Parcel = Mapping[str, bytes]
"""A store's files by their places."""


def packed(store: Path) -> dict[str, bytes]:
    """A store that nobody writes to."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.name != LOCK and is_regular(path)
    }


def packed_runs(runs: Mapping[Path, Collection[str]], work: Path) -> dict[str, bytes]:
    """Some runs of each of some stores, which may be in use. work: where a store can be made."""
    shutil.rmtree(work, ignore_errors=True)
    create(work)
    run_ids = {run_id for its in runs.values() for run_id in its}
    gather_as_writer(work, [opened(root, its) for root, its in runs.items()], run_ids)
    found = packed(work)
    shutil.rmtree(work, ignore_errors=True)
    return found


def unpack(parcel: Parcel, into: Path) -> None:
    """Write a store anew from its bytes."""
    made: set[Path] = set()
    for place, content in parcel.items():
        path = inside(into, place) if Path(place).parent not in made else into / place
        path.parent.mkdir(parents=True, exist_ok=True)
        made.add(Path(place).parent)
        path.write_bytes(content)


def take_in_what_was_left(out: Path) -> None:
    """Have in a store what had arrived at a sweep that was killed before the store took it in."""
    found = [path for path in entries(out / SHARDS) if path.name.startswith(f"{NAME}-")]
    if found:
        with writing(out):
            arrivals = Arrivals(out)
            arrivals.waiting += found
            arrivals.take_in(now=True)


class Arrivals:
    """What has arrived at a sweep's store, for whoever holds the right to write to it."""

    def __init__(self, out: Path) -> None:
        self.out, self.shards = out, out / SHARDS
        self.where: dict[str, Path] = {}
        self.waiting: list[Path] = []
        self.began = self.last = time.monotonic()
        self.damaged: list[tuple[str, str]] = []

    def keep(self, parcel: Parcel, run_ids: Collection[str]) -> None:
        """Have a parcel on the disk, whole or not at all."""
        folder(self.shards).mkdir(exist_ok=True)
        hidden = self.shards / f".{NAME}.{socket.gethostname()}-{os.getpid()}.tmp"
        shutil.rmtree(hidden, ignore_errors=True)
        unpack(parcel, hidden)
        os.sync()
        place = put_under_the_next_name(hidden, self.shards, NAME)
        self.waiting.append(place)
        self.where |= dict.fromkeys(run_ids, place)

    def take_in(self, *, now: bool = False) -> Merged | None:
        """Put what has arrived into the store and remove it beside it, if it is time or `now`."""
        since = time.monotonic() - self.last
        due = max(FIRST, SHARE * (time.monotonic() - self.began))
        if not self.waiting or not (now or since >= due):
            return None
        sources: list[Source] = [opened(place) for place in self.waiting]
        merged = gather_as_writer(self.out, sources)
        self.damaged += merged.damaged
        if not merged.damaged:  # what is damaged stays to be looked at
            for place in self.waiting:
                shutil.rmtree(place)
        self.waiting.clear()
        self.where.clear()
        self.last = time.monotonic()
        return merged
