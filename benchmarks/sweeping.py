"""What a study costs beside its runs: start-up, compilation, storing, and waiting for one another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping

from benchmarks.children import cores
from benchmarks.rows import Bar, Row, Spread
from benchmarks.works import tiny
from undergrowth import sweep
from undergrowth.spec import RunSpec

RUNS, STEPS = 64, 16_000


def cost_of_a_study() -> Row:
    """Core-seconds of 64 runs of one shape over 64 times those of one.

    The whole is from the call of `undergrowth.sweep.train` to its return, times the cores: all
    start-up and compilation (with a warm cache), and cores without work at the end, are in it. One run
    is the mean time from one run's end to the next in a worker of that very sweep, when all have long
    started: with the other cores as busy, its own start, storing and checkpoints included. So the ratio
    is what a study pays on top of its runs.
    """
    spec = tiny().replace(steps=STEPS)
    specs = [spec.seeded(seed) for seed in range(RUNS)]
    with tempfile.TemporaryDirectory() as warm:
        sweep.train([spec.replace(steps=200)], warm, layout=sweep.Layout(workers=1))
    layout = sweep.Layout(workers=cores())
    ends: dict[RunSpec, float] = {}

    def note(progress: sweep.Progress) -> None:
        if progress.ended:
            ends[progress.spec] = time.perf_counter()

    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        sweep.train(specs, out, layout=layout, progress=note)
        whole = (time.perf_counter() - began) * cores()
    one = _steady(ends)
    return Row(
        f"{RUNS} runs of one shape in a study, core-ms a run",
        ours=Spread.of([1e3 * whole / RUNS]),
        reference=Spread.of([1e3 * one]),
        figure=whole / (RUNS * one),
        unit="x the cost of one",
        bars=(Bar("figure", at_most=1.05),),
        note=f"one run: {one:.2f} core-s; all: {whole:.1f} core-s",
    )


def _steady(ends: Mapping[RunSpec, float]) -> float:
    """Core-seconds of a run under way: the time from the end of every core's first run to the end of the
    first core's last, over the runs that ended in it.
    """
    times = sorted(ends.values())
    first, last = cores() - 1, len(times) - cores()
    return (times[last] - times[first]) / (last - first) * cores()


if __name__ == "__main__":
    print(cost_of_a_study())
