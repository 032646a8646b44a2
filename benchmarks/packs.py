"""Many runs side by side in one process, on whatever device jax finds: run-steps a second, the share of
the device's peak, and what is stepped in vain where runs are of different lengths.

    python -m benchmarks.packs                           all packs on an accelerator, small ones on a CPU
    python -m benchmarks.packs --works nanda2023 --packs 1 32 --precision tf32
    python -m benchmarks.packs --waste                   packs with and without refilling, and no more
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.children import Child
from benchmarks.rows import Row, Spread, show
from benchmarks.works import WORKS, essential_flop, tiny
from undergrowth.engine import Beginning, side_by_side, stacks
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.sweep import this_machine

PACKS = (1, 32, 256, 1024)
ON_A_CPU = (1, 4, 16)

PEAKS = {  # TFLOP/s of one device, dense, as its maker gives them
    "NVIDIA H200": {"float32": 67.0, "tensorfloat32": 494.7, "bfloat16": 989.4},
    "NVIDIA H100 80GB HBM3": {"float32": 67.0, "tensorfloat32": 494.7, "bfloat16": 989.4},
    "NVIDIA A100": {"float32": 19.5, "tensorfloat32": 156.0, "bfloat16": 312.0},
}
"""By the beginning of jax's name for it; 3xtf32 is three products of tensorfloat32."""

Way = Callable[[Sequence[RunSpec], int], None]

RUNS_A_SLOT = 4
"""Runs of the comparison of packs with and without refilling, for each slot of a pack."""


@dataclass(frozen=True)
class Timed:
    """One pack: runs, milliseconds a run-step, and the peak in GFLOP/s, measured or the maker's."""

    work: str
    platform: str
    pack: int
    ms: Spread
    flop: int | None
    peak_gflops: float

    def row(self) -> Row:
        """As a line of the benchmark."""
        rate = f"{1e3 / self.ms.median:,.0f} run-steps/s"
        name = f"{self.work}, {self.pack} runs at once on {self.platform}"
        return Row(name, self.ms, flop=self.flop, peak_gflops=self.peak_gflops, note=rate)


def pack_times(packs: Sequence[int] = PACKS) -> Iterator[Row]:
    """A row for each work and number of runs at once, per run-step; none without an accelerator."""
    if this_machine().pack > 1:
        rows = (timed(work.name, work.spec(), work.stretch, n) for work in WORKS for n in packs)
        yield from (each.row() for each in rows if each.platform != "cpu")


def timed(name: str, spec: RunSpec, stretch: int, pack: int, rounds: int = 3) -> Timed:
    """A pack of runs that stop together every `stretch` steps, in a process of its own."""
    setup = {"spec": spec.model_dump(mode="json"), "stretch": stretch, "pack": pack}
    with Child("benchmarks.ours", setup, dict(os.environ)) as child:
        child.answer()
        platform = child.ask("platform")
        peak = peak_of(platform["device"], spec.precision) or child.ask("sgemm")["gflops"]
        ms = [child.ask("steps")["ms"] / pack for _ in range(rounds)]
    return Timed(name, platform["platform"], pack, Spread.of(ms), essential_flop(spec), peak)


def peak_of(device: str, precision: str) -> float | None:
    """GFLOP/s that the maker gives for a device; None for one that is not in the table."""
    known = next((peaks for name, peaks in PEAKS.items() if device.startswith(name)), None)
    if known is None:
        return None
    return 1e3 * (known["tensorfloat32"] / 3 if precision == "3xtf32" else known[precision])


def of_other_lengths(spec: RunSpec, n: int) -> list[RunSpec]:
    """n runs whose lengths are spread as times of grokking are: log-normal, by a factor of 1.5, in
    fifties, where they are measured too.
    """
    factors = np.exp(np.log(1.5) * np.random.default_rng(0).standard_normal(n))
    steps = [max(50, 50 * round(spec.steps * factor / 50)) for factor in factors]
    every = {"every": 50, "until": max(steps), "per_decade": 1}
    alike = {"measures": [{"name": "curves", "schedule": every}], "checkpoints": {"every": max(steps)}}
    return [spec.replace(steps=n_steps, **alike).seeded(seed) for seed, n_steps in enumerate(steps)]


@dataclass
class Spent:
    """Run-steps that were asked for, those that were stepped, and the seconds that it took, by the clock
    and of this process's CPU.
    """

    asked: int
    stepped: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def in_vain(self) -> float:
        """Share of what was stepped, in [0, 1]."""
        return 1 - self.asked / self.stepped


@contextmanager
def counting(spent: Spent) -> Iterator[None]:
    """Counts what the compiled steps do, and takes the time."""
    alone, together = stacks.advance, stacks.advance_together

    def one(state: Any, train_set: Any, batches: Any, start: int, n: int, **how: Any) -> Any:
        spent.stepped += n
        return alone(state, train_set, batches, start, n, **how)

    def many(states: Any, sets: Any, batches: Any, starts: Any, seen: Any, n: int, **how: Any) -> Any:
        spent.stepped += n * len(starts)
        return together(states, sets, batches, starts, seen, n, **how)

    began, cpu_began = time.perf_counter(), time.process_time()
    with patch.object(stacks, "advance", one), patch.object(stacks, "advance_together", many):
        yield
    spent.seconds, spent.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began


def refilled(specs: Sequence[RunSpec], pack: int) -> None:
    """All runs in so many slots, each of which is filled again at once."""
    waiting = [Beginning(spec) for spec in specs]

    def more(n: int) -> list[Beginning]:
        taken = waiting[:n]
        del waiting[:n]
        return taken

    for _ in side_by_side(more, pack):
        pass


def cut_beforehand(specs: Sequence[RunSpec], pack: int) -> None:
    """The same in packs of so many, the next of which begins when the slowest of one is done."""
    for first in range(0, len(specs), pack):
        refilled(specs[first : first + pack], pack)


def with_all_slots(way: Way) -> Way:
    """The same, but empty slots are stepped to the end instead of being given up by halves."""

    def stepped(specs: Sequence[RunSpec], pack: int) -> None:
        with patch.object(stacks.Stacks, "_slots", lambda self, n: self.width):
            way(specs, pack)

    return stepped


WAYS: dict[str, Way] = {
    "refilled": refilled,
    "refilled, empty slots kept": with_all_slots(refilled),
    "cut beforehand": cut_beforehand,
    "cut beforehand, empty slots kept": with_all_slots(cut_beforehand),
}


def waste(spec: RunSpec, pack: int) -> Iterator[Row]:
    """What is stepped in vain in packs that are filled again and in packs that are not, twice each: the
    first time with what has to be compiled.
    """
    specs = of_other_lengths(spec, RUNS_A_SLOT * pack)
    asked = sum(each.steps for each in specs)
    for name, way in WAYS.items():
        found = []
        for _ in range(2):
            spent = Spent(asked)
            with counting(spent):
                way(specs, pack)
            found.append(spent)
        first, again = found
        told = (
            f"{len(specs)} runs, {asked} steps: {again.seconds:.1f} s ({again.cpu_seconds:.1f} of CPU); "
            f"the first time, with compiling, {first.seconds:.1f} s ({first.cpu_seconds:.1f})"
        )
        ms = Spread.of([1e3 * again.seconds / asked])
        yield Row(f"pack of {pack}, {name}", ms, figure=100 * again.in_vain, unit="% in vain", note=told)


NAMED = {"nanda2023": (lambda: preset("nanda2023"), 20), "tiny": (tiny, 2000)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packs", type=int, nargs="+", help="runs at once")
    parser.add_argument("--works", nargs="+", choices=NAMED, default=list(NAMED))
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--waste", action="store_true", help="only packs with and without refilling")
    given = parser.parse_args()
    rows = []
    if not given.waste:
        packs = given.packs or (PACKS if this_machine().pack > 1 else ON_A_CPU)
        for name in given.works:
            spec, stretch = NAMED[name]
            rows += [
                timed(name, spec().replace(precision=given.precision), stretch, pack).row()
                for pack in packs
            ]
    rows += waste(tiny().replace(steps=300, precision=given.precision), max(given.packs or [8]))
    show(rows)


if __name__ == "__main__":
    main()
