"""Seconds from the start of a worker to its first finished step: import, compilation, one update."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

from benchmarks.children import one_thread
from benchmarks.rows import Bar, Row, Spread
from undergrowth.spec import RunSpec
from undergrowth.store.layout import create
from undergrowth.sweep.processes import ForkServer

REPEATS = 3


def start_times() -> Iterator[Row]:
    """Of the first worker with an empty cache of compiled programs, and with the one that this has left;
    and of a worker after the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        caches = [Path(folder) / f"cache-{i}" for i in range(REPEATS)]
        cold = [_first(cache) for cache in caches]
        warm = [_first(cache) for cache in caches]
        server = ForkServer(one_thread())
        _milliseconds(server, caches[0])
        later = [_milliseconds(server, cache) for cache in caches]
    note = "start to first finished step (the demo's run)"
    for which, found, seconds in (
        ("a worker, empty compile cache", cold, 6),
        ("a worker, warm compile cache", warm, 3),
        ("another worker, warm compile cache", later, 1.5),
    ):
        bars = (Bar("ours", at_most=seconds * 1e3, unit=" ms"),)
        yield Row(f"start of {which}", Spread.of(found), bars=bars, note=note)


def _first(cache: Path) -> float:
    """Of a server that is new too."""
    began = time.perf_counter()
    server = ForkServer(one_thread())
    return (time.perf_counter() - began) * 1e3 + _milliseconds(server, cache)


def _milliseconds(server: ForkServer, cache: Path) -> float:
    """A real worker is handed a spec the moment it is started, and says when it has advanced."""
    every = {"every": 1, "until": 1, "per_decade": 1}
    spec = RunSpec.from_dict({"measures": [{"name": "curves", "schedule": every}]})
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder))
        began = time.perf_counter()
        ours, its = Pipe()
        with its:
            worker = server.fork((folder, "worker-0", str(cache)), one_thread(), (its.fileno(),))
        with ours, worker.stdout:
            ours.send({"runs": [spec.model_dump(mode="json")], "branches": [[]], "pack": 1})
            while ours.recv().get("step", 0) < 1:
                pass
            taken = time.perf_counter() - began
            worker.kill()
            worker.wait()
    return taken * 1e3
