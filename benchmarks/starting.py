"""Seconds from the start of a worker to its first finished step: import, compilation, one update."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

from benchmarks.children import one_thread
from benchmarks.rows import Bar, Row, Spread
from undergrowth.spec import RunSpec
from undergrowth.store.layout import create

REPEATS = 3


def start_times() -> Iterator[Row]:
    """With an empty cache of compiled programs, and with the one that this has left."""
    with tempfile.TemporaryDirectory() as folder:
        caches = [Path(folder) / f"cache-{i}" for i in range(REPEATS)]
        cold = [_milliseconds(cache) for cache in caches]
        warm = [_milliseconds(cache) for cache in caches]
    note = "spawn to first finished step (the demo's run)"
    for cache, found, seconds in (("empty", cold, 6), ("warm", warm, 3)):
        bars = (Bar("ours", at_most=seconds * 1e3, unit=" ms"),)
        yield Row(f"start of a worker, {cache} compile cache", Spread.of(found), bars=bars, note=note)


def _milliseconds(cache: Path) -> float:
    """A real worker is handed a spec the moment it is started, and says when it has advanced."""
    every = {"every": 1, "until": 1, "per_decade": 1}
    spec = RunSpec.from_dict({"measures": [{"name": "curves", "schedule": every}]})
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder))
        module = [sys.executable, "-P", "-m", "undergrowth.sweep.worker"]
        began = time.perf_counter()
        ours, its = Pipe()
        own = its.fileno()
        with subprocess.Popen(
            [*module, folder, "worker-0", str(cache), str(own)], pass_fds=(own,), env=one_thread()
        ) as worker:
            its.close()
            ours.send({"runs": [spec.model_dump(mode="json")], "branches": [[]], "pack": 1})
            while ours.recv().get("step", 0) < 1:
                pass
            taken = time.perf_counter() - began
            worker.kill()
        ours.close()
    return taken * 1e3
