"""The live view beside training: first paint, what it costs the runs, and that it loses nothing.

    python -m benchmarks.live paint [RUNS]          a page over a store of so many runs, in Chromium
    python -m benchmarks.live lag [COMMITS]         from a commit to the page that shows it
    python -m benchmarks.live commits [BLOCKS]      processor time of commits, watched or not
    python -m benchmarks.live slowing [PAIRS]       runs trained alone, and beside an open page
    python -m benchmarks.live endurance [MINUTES]   runs that write while a stream reads

Where the machine is busy with something else, processor time says more than the clock.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from undergrowth.measures import Reading
from undergrowth.spec import RunSpec
from undergrowth.store import Store, rows, verify
from undergrowth.store.kept import Kept
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.parts import Part, part_row
from undergrowth.sweep import Layout, train

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
ONE = np.array(1, np.float32)
EVALUATIONS = 250
"""Of each run of the store that is painted: as many as the demo's have."""


class Server:
    """`undergrowth serve` at work."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "undergrowth", "serve", str(root), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+/", self.process.stdout.readline())
        assert found, "the server did not start"
        self.address = found.group()

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextmanager
def served(root: Path) -> Iterator[Server]:
    server = Server(root)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    path = next(found for name in CHROMIUMS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


def planted(root: Path, n: int) -> None:
    """A store of finished runs with curves, in arms of eight."""
    create(root)
    with writing(root):
        kept = Kept(root, "worker-0")
        spec = RunSpec(steps=EVALUATIONS * 10)
        for i in range(n):
            run = spec.seeded(i)
            text = run.model_dump_json()
            kept.insert("runs", [rows.run_row(run.id, text, "done", "", float(i), i + 1.0, "{}")])
            part = Part("grokking", "quick", f"arm {i // 8}", "main", i)
            kept.insert("parts", [part_row(run.id, part)])
            new = [
                rows.reading_row(run.id, name, 10 * k, Reading((), np.array(k, np.float32)))
                for k in range(EVALUATIONS)
                for name in CURVES
            ]
            kept.insert("readings", new)
        kept.close()


def paint(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        root = Path(folder) / "store"
        planted(root, n)
        with served(root) as server:
            for attempt in ("first, while the store is read", "again", "again"):
                page = chromium.new_page(viewport={"width": 1400, "height": 1000})
                began = time.perf_counter()
                page.goto(server.address, wait_until="commit")
                page.locator("tr.run").first.wait_for()
                listed = time.perf_counter() - began
                page.get_by_text(f"{n} of {n} runs done.", exact=True).wait_for()
                whole = time.perf_counter() - began
                script = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
                first = page.evaluate(script)
                told = f"{n} runs, {attempt}: first paint {first:.2f} s, a run is listed {listed:.2f} s"
                print(f"{told}, all is read {whole:.2f} s", flush=True)
                page.close()
            print(f"server: {server.cpu:.2f} s of processor time in all")


def lag(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        root = Path(folder) / "store"
        planted(root, 100)
        spec = RunSpec(steps=100_000).seeded(1000)
        with writing(root):
            kept = Kept(root, "worker-1")
            row = rows.run_row(spec.id, spec.model_dump_json(), "running", "", 1e9, None, "{}")
            kept.insert("runs", [row])
            with served(root) as server:
                page = chromium.new_page(viewport={"width": 1400, "height": 1000})
                page.goto(server.address)
                page.get_by_text("100 of 101 runs done, 1 running.").wait_for()
                lags = []
                for step in range(1, n + 1):
                    new = [rows.reading_row(spec.id, name, step, Reading((), ONE)) for name in CURVES]
                    kept.insert("readings", new)
                    committed = time.perf_counter()
                    page.get_by_text(f"{step} of 100,000", exact=True).wait_for()
                    lags.append(time.perf_counter() - committed)
            kept.close()
        print(f"commit to page: median {statistics.median(lags):.2f} s, most {max(lags):.2f} s of {n}")


def commits(blocks: int) -> None:
    each = 300
    used: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        root = Path(folder) / "store"
        planted(root, 8)
        spec = RunSpec(steps=100_000).seeded(1000)
        with writing(root), served(root) as server:
            kept = Kept(root, "worker-1")
            row = rows.run_row(spec.id, spec.model_dump_json(), "running", "", 1e9, None, "{}")
            kept.insert("runs", [row])
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(server.address)
            page.get_by_text("8 of 9 runs done, 1 running.").wait_for()
            process = psutil.Process(server.process.pid)
            for block in range(2 * blocks):
                watched = (block + block // 2) % 2 == 1
                (process.resume if watched else process.suspend)()
                spent = 0.0
                for k in range(each):
                    step = block * each + k
                    new = [rows.reading_row(spec.id, name, step, Reading((), ONE)) for name in CURVES]
                    before = time.process_time()
                    kept.insert("readings", new)
                    spent += time.process_time() - before
                    time.sleep(0.01)  # what trains in between
                used[watched].append(1e3 * spent / each)
            process.resume()
            page.get_by_text(f"{2 * blocks * each - 1:,} of 100,000", exact=True).wait_for()
            kept.close()
    alone, beside = (statistics.median(used[watched]) for watched in (False, True))
    print(f"processor time of a commit: {alone:.3f} ms alone, {beside:.3f} ms watched")


def trained(root: Path, spec: RunSpec) -> tuple[float, float]:
    """Steps a second from the first evaluation seen to the end, and the worker's processor time."""
    seen: list[tuple[float, int]] = []
    before = _children()
    train(
        spec,
        root,
        layout=Layout(workers=1),
        progress=lambda told: seen.append((time.perf_counter(), told.step)),
    )
    (since, first), (until, last) = seen[0], seen[-1]
    return (last - first) / (until - since), _children() - before


def _children() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def slowing(pairs: int) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    used: dict[bool, list[float]] = {False: [], True: []}
    share: list[float] = []
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        root = Path(folder) / "store"
        spec = RunSpec(steps=400)
        trained(root, spec.seeded(99))  # what it compiles is kept
        with served(root) as server:
            for pair in range(2 * pairs):
                watched = (pair + pair // 2) % 2 == 1  # alone, watched, watched, alone
                process = psutil.Process(server.process.pid)
                page = chromium.new_page(viewport={"width": 1400, "height": 1000}) if watched else None
                if page is None:
                    process.suspend()
                else:
                    page.goto(server.address)
                    page.locator("tr.run").first.wait_for()
                began, cpu = time.perf_counter(), server.cpu
                rate, seconds = trained(root, spec.seeded(pair))
                if page is not None:
                    share.append((server.cpu - cpu) / (time.perf_counter() - began))
                    page.close()
                process.resume()
                rates[watched].append(rate)
                used[watched].append(seconds)
                how = "watched" if watched else "alone"
                print(f"{how:8} {rate:7.1f} steps/s {seconds:6.2f} s", flush=True)
    alone, beside = (statistics.median(rates[watched]) for watched in (False, True))
    cost_alone, cost_beside = (statistics.median(used[watched]) for watched in (False, True))
    print(f"steps/s: {alone:.1f} alone, {beside:.1f} watched: ratio {beside / alone:.3f}")
    ratio = cost_beside / cost_alone
    print(f"writer's processor time: {cost_alone:.2f} s and {cost_beside:.2f} s: {ratio:.3f}")
    print(f"server: {statistics.median(share):.2%} of one core")


class Listener(threading.Thread):
    """Merges what a stream says, and breaks off and comes back every few seconds."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address, self.last = address, ""
        self.points: dict[tuple[str, int], list[float | None]] = {}
        self.done = threading.Event()
        self.returns = 0

    def run(self) -> None:
        import httpx

        while not self.done.is_set():
            until = time.monotonic() + 3.0
            headers = {"last-event-id": self.last} if self.last else {}
            with httpx.stream("GET", f"{self.address}events", headers=headers, timeout=60) as stream:
                identity = ""
                for line in stream.iter_lines():
                    if line.startswith("id: "):
                        identity = line[4:]
                    elif line.startswith("data: "):
                        self._merge(json.loads(line[6:]))
                        self.last = identity
                    if time.monotonic() > until or self.done.is_set():
                        break
            self.returns += 1

    def _merge(self, news: dict) -> None:
        for run_id, its in news["points"].items():
            for step, *values in its:
                self.points[run_id, step] = values


def endurance(minutes: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        root.mkdir()
        with served(root) as server:
            listener = Listener(server.address)
            listener.start()
            until, seed = time.monotonic() + 60 * minutes, 0
            while time.monotonic() < until:
                specs = [RunSpec(steps=300).seeded(seed + i) for i in range(2)]
                train(specs, root, layout=Layout(workers=1))
                seed += 2
            time.sleep(3)
            listener.done.set()
            listener.join(60)
        found = verify(root)
        stored = {
            (run.id, int(step)): run.curves.sel(step=step)["val_loss"].item()
            for run in Store(root).runs
            for step in run.curves["step"].values
        }
        wrong = sum(
            abs((listener.points[at][3] or 0.0) - value) > 1e-5 * abs(value)
            for at, value in stored.items()
            if at in listener.points
        )
        missing = stored.keys() - listener.points.keys()
        print(f"{minutes:g} minutes, {seed} runs, {listener.returns} connections")
        print(f"store: {found.readings} readings, {found.files} files, {len(found.damage)} damaged")
        print(f"stream: {len(stored)} points stored, {len(missing)} not heard, {wrong} heard wrong")


if __name__ == "__main__":
    kinds = {
        "paint": (paint, 100),
        "lag": (lag, 20),
        "commits": (commits, 6),
        "slowing": (slowing, 6),
        "endurance": (endurance, 10),
    }
    work, amount = kinds[sys.argv[1]]
    work(type(amount)(sys.argv[2]) if len(sys.argv) > 2 else amount)
