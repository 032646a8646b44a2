"""What the demo's measures cost, as a share of the time that its training takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import jax

from benchmarks.children import Answer, Child, one_thread, serve
from benchmarks.rows import Bar, Row, Spread
from undergrowth.engine import loop, stacks
from undergrowth.studies.one_layer_addition import SMALL

SEEDS = (0, 1)


def measures_share() -> Row:
    """Seconds in measures over seconds in steps, of one run of the demo in one process on one thread."""
    found = Spread.of([_percent(seed) for seed in SEEDS])
    return Row(
        "all measures of the demo",
        figure=found.median,
        unit="% of its training",
        bars=(Bar("figure", at_most=25, unit=" %"),),
        note="one whole run for each of two seeds, compilation left out",
    )


def _percent(seed: int) -> float:
    with Child("benchmarks.measuring", {"seed": seed}, one_thread()) as child:
        child.answer()
        return child.ask("run")["percent"]


def prepare(setup: dict[str, Any]) -> Any:
    """Compile all that the whole run needs. setup: seed."""
    spec = SMALL.seeded(setup["seed"])
    for _ in loop.train([spec.replace(steps=200)], [None]):
        pass

    def obey(order: str) -> Answer:
        began = time.perf_counter()
        with _clocked() as steps:
            for _ in loop.train([spec], [None]):
                pass
        whole = time.perf_counter() - began
        return {"percent": 100 * (whole - sum(steps)) / sum(steps)}

    return obey


@contextmanager
def _clocked() -> Iterator[list[float]]:
    """Notes the seconds of each stretch of steps that the engine takes."""
    seconds: list[float] = []
    advance = stacks.advance

    def clocked(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        state = jax.block_until_ready(advance(*args, **kwargs))
        seconds.append(time.perf_counter() - began)
        return state

    with patch.object(stacks, "advance", clocked):
        yield seconds


if __name__ == "__main__":
    serve(prepare)
