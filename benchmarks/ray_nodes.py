"""Sweeps on Ray held against local workers, and with nodes killed amid chunks; needs `undergrowth[ray]`.

    python -m benchmarks.ray_nodes --runs 10000 --folder /dev/shm/ray-nodes

One machine stands for two nodes of one slot each beside a head without any; local are two workers.
Wall time is from the start of a process to its end, start-up and compilation included; CPU time is that
of all processes that it starts, Ray's own among them. Each way has its own process and folder, and all
stores are compared bit by bit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.works import smallest
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.sweep import Layout, Progress, train
from undergrowth.sweep.ray_engine import OnRay, library, train_on_ray

SLOTS = 2
MARK = "UNDERGROWTH_BENCHMARK"
AT_WORK = (b"benchmarks.ray_nodes", b"undergrowth.sweep.forkserver", b"ray::_task", b"ray::IDLE")
TICK = os.sysconf("SC_CLK_TCK")
KILLS = (0.2, 0.5)
"""When a node is killed, as shares of the runs that have ended."""


def specs(n: int, steps: int) -> list[RunSpec]:
    """The smallest runs that still train, measure and keep a checkpoint."""
    base = smallest(steps)
    return [base.seeded(seed) for seed in range(n)]


class Nodes:
    """A cluster of `SLOTS` nodes within one machine, of which one can be killed and replaced."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

        library()
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": 200 * 10**6,
                "include_dashboard": False,
            },
        )
        self.nodes = [self._one() for _ in range(SLOTS)]
        self.killed = 0

    def _one(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=200 * 10**6)

    def kill_one(self) -> None:
        """As a machine that loses its power, and another that takes its place."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self._one())
        self.killed += 1


def on_ray(some: list[RunSpec], out: Path, *, kills: bool) -> dict[str, Any]:
    """Train on two nodes; kills: of which one is killed twice."""
    nodes = Nodes()
    ended: set[str] = set()
    at = [share * len(some) for share in KILLS] if kills else []
    begun_again = [0]

    def hear(told: Progress) -> None:
        begun_again[0] += told.spec.id in ended
        if told.ended:
            ended.add(told.spec.id)
        if at and len(ended) > at[0]:
            at.pop(0)
            nodes.kill_one()

    try:
        train_on_ray(some, out, OnRay(address=nodes.cluster.address), progress=hear)
    finally:
        nodes.cluster.shutdown()
    return {"killed": nodes.killed, "told of again": begun_again[0]}


def one_way(way: str, some: list[RunSpec], out: Path) -> None:
    """Train in this process, and say what there is to say as JSON."""
    said: dict[str, Any] = {}
    if way == "local":
        train(some, out, layout=Layout(workers=SLOTS))
    else:
        said = on_ray(some, out, kills=way == "kills")
    print(json.dumps(said))


class Cpu:
    """CPU time of the processes that have a mark in their environment, by looking twice a second.

    at_work: those that train, and who hands out; the others are Ray's own, which take time by the clock
    whatever there is to do.
    """

    def __init__(self, mark: str) -> None:
        self.mark = f"{MARK}={mark}".encode()
        self.used: dict[str, float] = {}
        self.known: dict[str, bool] = {}
        self.at_work: set[str] = set()

    def look(self) -> None:
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal():
                continue
            with suppress(OSError, ValueError, IndexError):
                if process.name not in self.known:
                    self.known[process.name] = self.mark in (process / "environ").read_bytes()
                if self.known[process.name]:
                    command = (process / "cmdline").read_bytes()
                    if any(name in command for name in AT_WORK):
                        self.at_work.add(process.name)
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                    self.used[process.name] = (int(fields[11]) + int(fields[12])) / TICK

    def seconds(self) -> tuple[float, float]:
        """Of those that are at work, and of the others."""
        at_work = sum(used for process, used in self.used.items() if process in self.at_work)
        return at_work, sum(self.used.values()) - at_work


def measured(way: str, arguments: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Wall and CPU seconds of one way, and what it says."""
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "benchmarks.ray_nodes", "--way", way, "--folder", str(out)]
    command += ["--runs", str(arguments.runs), "--steps", str(arguments.steps)]
    environment = {**os.environ, MARK: mark, "TMPDIR": str(arguments.folder), "RAY_worker_niceness": "0"}
    cpu, began = Cpu(mark), time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=said)
        while process.poll() is None:
            cpu.look()
            time.sleep(0.5)
        said.seek(0)
        told = said.read().decode().strip().splitlines()
    if process.returncode:
        raise SystemExit(f"{way}: exit code {process.returncode}")
    at_work, others = cpu.seconds()
    took = {"wall": time.monotonic() - began, "cpu": at_work + others, "of which Ray's own": others}
    return {name: round(seconds, 2) for name, seconds in took.items()} | json.loads(told[-1])


def bits(root: Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """Of each finished run, which must be there once, the digests of all its readings and files."""
    store = Store(root)
    done = [row["run_id"] for row in store.query("SELECT run_id FROM runs WHERE status = 'done'")]
    assert len(done) == len(set(done)), "a run is there twice"
    found: dict[str, list[tuple[Any, ...]]] = {run_id: [] for run_id in done}
    for sql in (
        "SELECT run_id, name, step, digest FROM readings",
        "SELECT run_id, path, step, sha256 FROM files",
    ):
        for run_id, *rest in map(tuple, store.query(sql)):
            found[run_id].append(tuple(rest))
    return {run_id: sorted(its, key=str) for run_id, its in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--way", choices=("local", "ray", "kills"))
    parser.add_argument("--ways", default="local,ray,kills")
    arguments = parser.parse_args()
    if arguments.way:
        one_way(arguments.way, specs(arguments.runs, arguments.steps), arguments.folder)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    told, stores = {}, {}
    for number, way in enumerate(arguments.ways.split(",")):
        out = arguments.folder / f"{way}-{number}"
        told[f"{way}-{number}"] = it = measured(way, arguments, out)
        stores[out.name] = bits(out)
        n_damaged = len(verify(out).damage)
        print(f"{out.name}: {len(stores[out.name])} runs done, {n_damaged} damaged; {it}", flush=True)
    first = next(iter(stores))
    for name, its in stores.items():
        print(f"{name}: {'equal to' if its == stores[first] else 'DIFFERS FROM'} {first}, bit by bit")
        for what in ("wall", "cpu"):
            print(f"  {what}: {told[name][what] / told[first][what]:.3f} x {first}")


if __name__ == "__main__":
    main()
