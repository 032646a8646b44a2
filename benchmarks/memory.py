"""The most memory that a worker takes for a long run."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile

from benchmarks.children import on_cpu
from benchmarks.rows import Bar, Row
from benchmarks.works import tiny

STEPS = 200_000


def memory() -> Row:
    """Peak resident memory of the worker that trains the tiny MLP for 200,000 steps into a store."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    run = subprocess.run(command, env=on_cpu(), check=True, capture_output=True, text=True)
    return Row(
        f"memory of a run of {STEPS:,} steps of the tiny MLP",
        figure=float(run.stdout),
        unit="GB",
        bars=(Bar("figure", at_most=1.5, unit=" GB"),),
        note="peak resident set of its worker",
    )


def _gigabytes() -> float:
    from undergrowth import sweep

    with tempfile.TemporaryDirectory() as out:
        sweep.train([tiny().replace(steps=STEPS)], out, layout=sweep.Layout(workers=1))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    print(f"{_gigabytes():.3f}")
