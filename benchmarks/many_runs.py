"""What a million planned runs, a thousand stores and ten thousand stored runs take.

    python -m benchmarks.many_runs plan [RUNS]               of a grid, none of it stored
    python -m benchmarks.many_runs make FOLDER [STORES]      stores of 100 runs, to be merged
    python -m benchmarks.many_runs merge FOLDER              all of them into FOLDER/all
    python -m benchmarks.many_runs commands FOLDER [RUNS]    `runs`, `report` and `measure` on one store

The facts of one tiny run, really trained, are stored as those of each run: what is timed reads them and
never trains. It wants the machine to itself; only `make` does not.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.works import smallest
from undergrowth.engine import train
from undergrowth.spec import RunSpec
from undergrowth.spec.grid import grid
from undergrowth.store import Store
from undergrowth.store.layout import create
from undergrowth.store.merging import merge
from undergrowth.store.writer import Writer
from undergrowth.sweep.planning import plan

SMALLEST = smallest(steps=20)
RUNS_A_STORE = 100
SHARE_MEASURED = 10
"""`measure` is timed on all runs, and on one in so many: its time grows in proportion or it does not."""


def time_plan(n: int) -> None:
    runs = grid(SMALLEST, {"optimiser.lr": [1e-3, 3e-3]}, seeds=range(n // 2))
    began = time.perf_counter()
    left = plan(runs, Path("nothing-is-stored-here")).n_runs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"plan of {left:,} runs: {time.perf_counter() - began:.1f} s, peak {peak / 1e9:.2f} GB")


def make(folder: Path, n: int) -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        list(processes.map(_make_some, [folder] * n, range(n), chunksize=max(1, n // 20)))


def _make_some(folder: Path, which: int) -> None:
    seeds = range(RUNS_A_STORE * which, RUNS_A_STORE * (which + 1))
    _store(folder / f"store-{which:04}", (SMALLEST.seeded(seed) for seed in seeds))


def _store(root: Path, specs: Iterable[RunSpec]) -> None:
    facts = [fact for _, fact in train([SMALLEST], [None])]
    create(root)
    writer = Writer(root, "made")
    for spec in specs:
        writer.announce(spec)
        for fact in facts:
            writer.write(spec, fact)
        writer.end(spec, "done")
    writer.close()


def time_merge(folder: Path) -> None:
    stores = sorted(folder.glob("store-*"))
    began = time.perf_counter()
    merged = merge(stores, folder / "all")
    print(f"{len(stores):,} stores, {merged.new:,} runs: {time.perf_counter() - began:.1f} s")


def time_commands(folder: Path, n: int) -> None:
    root, few = folder / "one", folder / "few"
    for store, runs in ((root, n), (few, n // SHARE_MEASURED)):
        if not store.exists():
            merge(sorted(folder.glob("store-*"))[: runs // RUNS_A_STORE], store)
    print(f"a store of {len(Store(root).runs):,} runs")
    for name, store, more in (
        ("runs", root, ()),
        ("report", root, ("--out", str(folder / "report.html"))),
        ("measure", few, ("--measure", "norms")),
        ("measure", root, ("--measure", "norms")),
    ):
        command = [sys.executable, "-m", "undergrowth", name, str(store), *more]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - began
        print(f"{name} of {len(Store(store).runs):,} runs: {took:.1f} s", flush=True)


def main() -> None:
    what, *rest = sys.argv[1:] or [""]
    if what == "plan":
        time_plan(int(rest[0]) if rest else 10**6)
    elif what == "make" and rest:
        make(Path(rest[0]), int(rest[1]) if rest[1:] else 1000)
    elif what == "merge" and rest:
        time_merge(Path(rest[0]))
    elif what == "commands" and rest:
        time_commands(Path(rest[0]), int(rest[1]) if rest[1:] else 10_000)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    os.environ.setdefault("NPROC", "1")
    main()
