"""What the demo's measures cost, as a share of the time that its training takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from benchmarks.stepping import Row


def measures_share() -> Row:
    """Seconds in measures over seconds in steps, of one run of the demo in one process on one thread."""
    shares = [float(_one_run(seed)) for seed in (0, 1)]
    return Row(
        "all measures of the demo",
        statistics.median(shares),
        min(shares),
        max(shares),
        "% of its training time",
        "<= 25",
        "one whole run each, compilation left out",
    )


def _one_run(seed: int) -> str:
    environment = {**os.environ, "NPROC": "1"}
    command = [sys.executable, "-m", "benchmarks.measuring", str(seed)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def _child(seed: int) -> None:
    """Train one run twice; the second, when all is compiled, with a clock on measures and on steps."""
    import time

    import jax

    from undergrowth.studies.one_layer_addition import SMALL
    from undergrowth.training import engine

    spec = SMALL.seeded(seed)
    short = spec.replace(steps=200)  # compiles all that the whole run needs
    for _ in engine.train([short], [None]):
        pass
    spent = {"steps": 0.0, "measures": 0.0}
    inner = engine._advance

    def timed(*args, **kwargs):
        began = time.perf_counter()
        state = jax.block_until_ready(inner(*args, **kwargs))
        spent["steps"] += time.perf_counter() - began
        return state

    engine._advance = timed
    began = time.perf_counter()
    for _ in engine.train([spec], [None]):
        pass
    spent["measures"] = time.perf_counter() - began - spent["steps"]
    print(100 * spent["measures"] / spent["steps"])


if __name__ == "__main__":
    _child(int(sys.argv[1]))
