"""Milliseconds of one training step, with one run in a one-thread process on every core."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

STRETCH, STRETCHES = 20, 8
PAPER: dict[str, object] = {
    "task": {"name": "modular", "operation": "x+y", "p": 113},
    "split": {"name": "commutation_safe", "frac_train": 0.3},
    "optimiser": {"name": "adamw", "lr": 1e-3, "weight_decay": 1.0},
}
DEMO: dict[str, object] = {}
S5_MLP: dict[str, object] = {
    "task": {"name": "group", "group": "S5"},
    "split": {"name": "commutation_safe", "frac_train": 0.4},
    "model": {"name": "two_token_mlp"},
    "optimiser": {"name": "adamw", "lr": 1e-3, "weight_decay": 1.0},
}


@dataclass(frozen=True)
class Row:
    work: str
    median: float
    min: float
    max: float
    unit: str
    bar: str
    note: str = ""


def step_times() -> Iterator[Row]:
    """A row for each kind of work: per run-step, so divided by the number of runs under way at once."""
    for work, spec, bar in (
        ("1 layer, d 128, p 113, 30 %, full batch", PAPER, "<= 35"),
        ("1 layer, d 128, p 53, 70 % (the demo)", DEMO, ""),
        ("S5 two-token MLP, h 128, 40 %", S5_MLP, ""),
    ):
        yield _all_cores_busy(work, spec, bar)


def _all_cores_busy(work: str, spec: dict[str, object], bar: str) -> Row:
    cores = len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.stepping", json.dumps(spec)]
    environment = {**os.environ, "NPROC": "1", "OPENBLAS_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(cores)
    ]
    for child in children:  # all have compiled before any is timed
        assert child.stdout is not None
        child.stdout.readline()
    answers = [json.loads(child.communicate("go\n")[0]) for child in _told(children)]
    times = [t / cores for answer in answers for t in answer["step_ms"]]
    peak = statistics.median(answer["gflops"] for answer in answers)
    return Row(
        work,
        statistics.median(times),
        min(times),
        max(times),
        "ms per run-step",
        bar,
        f"{cores} runs at once, {cores * STRETCHES} stretches of {STRETCH} steps; "
        f"sgemm {peak:.0f} GFLOP/s a core",
    )


def _told(children: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return children


def _child(spec: dict[str, object]) -> None:
    """Compile, say so, wait to be told, time stretches of steps and the machine's own peak."""
    import jax
    import jax.numpy as jnp

    from undergrowth.measures import Observed
    from undergrowth.spec import RunSpec
    from undergrowth.training.engine import _advance, initial

    run = RunSpec.from_dict(spec)
    data = Observed.of(run.data())
    train_set = data.inputs[data.is_train], data.labels[data.is_train]
    state = initial(run).state

    def stretch(state):
        skeleton = run.optimiser.skeleton()
        return jax.block_until_ready(
            _advance(state, train_set, None, STRETCH, optimiser=skeleton, loss=run.loss, stacked=False)
        )

    square = jnp.ones((1024, 1024))
    multiply = jax.jit(lambda a: a @ a)
    state = stretch(state)
    multiply(square).block_until_ready()
    print("ready", flush=True)
    sys.stdin.readline()
    step_ms, gflops = [], []
    for _ in range(STRETCHES):
        began = time.perf_counter()
        state = stretch(state)
        step_ms.append((time.perf_counter() - began) * 1e3 / STRETCH)
        began = time.perf_counter()
        for _ in range(10):
            multiply(square).block_until_ready()
        gflops.append(10 * 2 * 1024**3 / (time.perf_counter() - began) / 1e9)
    print(json.dumps({"step_ms": step_ms, "gflops": statistics.median(gflops)}))


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
