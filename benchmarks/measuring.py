"""What the demo's measures cost, as a share of the time that its training takes."""

from __future__ import annotations

import time
from typing import Any

import jax

from benchmarks.children import Answer, Child, one_thread, serve
from benchmarks.rows import Bar, Row, Spread
from undergrowth.studies.one_layer_addition import SMALL
from undergrowth.training import engine

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
    for _ in engine.train([spec.replace(steps=200)], [None]):
        pass

    def obey(order: str) -> Answer:
        """Train; what passes until a run has advanced goes into steps, what follows into measures."""
        spent = {"steps": 0.0, "measures": 0.0}
        began = time.perf_counter()
        for _, fact in engine.train([spec], [None]):
            advanced = isinstance(fact, engine.Advanced)
            if advanced:
                jax.block_until_ready(fact.snapshot.state)
            spent["steps" if advanced else "measures"] += time.perf_counter() - began
            began = time.perf_counter()
        return {"percent": 100 * spent["measures"] / spent["steps"]}

    return obey


if __name__ == "__main__":
    serve(prepare)
