"""A child that trains runs with the engine, stretch by stretch, and knows the machine's peak."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.children import Answer, serve
from undergrowth.engine import train
from undergrowth.engine.facts import Saved
from undergrowth.spec import RunSpec

SQUARE, MULTIPLICATIONS = 1024, 30
SQUARE_ON_AN_ACCELERATOR = 8192


def prepare(setup: dict[str, Any]) -> Any:
    """Compile all that will be timed. setup: spec, stretch (steps), first (seed), pack (runs)."""
    spec = stopping(RunSpec.from_dict(setup["spec"]), setup["stretch"])
    stretches = trained(spec, setup.get("first", 0), setup.get("pack", 1))
    next(stretches)
    side = SQUARE if jax.default_backend() == "cpu" else SQUARE_ON_AN_ACCELERATOR
    square = jnp.ones((side, side))
    multiply = jax.jit(jnp.matmul)
    multiply(square, square).block_until_ready()

    def obey(order: str) -> Answer:
        if order == "platform":
            device = jax.devices()[0].device_kind
            return {"platform": jax.default_backend(), "device": device}
        if order == "sgemm":
            return {"gflops": _gflops(multiply, square)}
        began = time.perf_counter()
        next(stretches)
        return {"ms": (time.perf_counter() - began) * 1e3 / setup["stretch"]}

    return obey


def stopping(spec: RunSpec, stretch: int) -> RunSpec:
    """The run as it is timed: it stops every `stretch` steps, and measures at its ends only."""
    every = {"every": stretch, "until": spec.steps}
    ends = {"every": spec.steps, "until": spec.steps}
    measures = [{"name": "curves", "schedule": ends}]
    return RunSpec.from_dict({**dict(spec), "checkpoints": every, "measures": measures})


def trained(spec: RunSpec, first: int, pack: int) -> Iterator[None]:
    """Trains run after run (or pack after pack), returning after each stretch of steps."""
    for seed in count(first, pack):
        specs = [spec.seeded(seed + position) for position in range(pack)]
        for position, fact in train(specs, [None] * pack):
            if isinstance(fact, Saved) and fact.snapshot.step and position == pack - 1:
                jax.block_until_ready(fact.snapshot.state)
                yield


def _gflops(multiply: Any, square: jax.Array) -> float:
    rates = []
    for _ in range(MULTIPLICATIONS):
        began = time.perf_counter()
        multiply(square, square).block_until_ready()
        rates.append(2e-9 * len(square) ** 3 / (time.perf_counter() - began))
    return statistics.median(rates)


if __name__ == "__main__":
    serve(prepare)
