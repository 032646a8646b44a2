"""What the instruments cost at the scale of Nanda et al. 2023: seconds, and the most memory taken.

The weights are those after 200 steps. Each instrument is used in a process of its own, which has all
cores, has compiled before, and says the most memory that it ever took.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from benchmarks.children import Answer, Child, all_cores, one_thread, serve
from benchmarks.rows import Bar, Row, Spread
from undergrowth.engine import readings_at, train
from undergrowth.engine.facts import Saved
from undergrowth.gating import Sampling, attribute, baselines, site_of
from undergrowth.gating.scores import ScoreName
from undergrowth.gating.shapley_values import sampled
from undergrowth.measures import Coherence, Deletion, Ledger, Measure, Observed
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.studies.one_layer_addition import SMALL
from undergrowth.training.state import Snapshot

STEPS = 200
REPEATS = 3
SNAPSHOTS = 60
TWELVE = (0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384)
MEMORY = 2.0
"""Gigabytes that an instrument may take."""

BARS: dict[str, tuple[str, float]] = {
    "attribution": ("integrated gradients, 32 nodes, all neurons, 3,830 training examples", 10),
    "ledger": ("ledger with effective examples, and coherence; all 12,769 examples", 1),
    "shapley_centred_logit": ("Shapley of the centred logit, 200 orders, all neurons, 512 examples", 60),
    "shapley_log_prob": ("Shapley of the log-probability, 200 orders, 512 examples", 60),
    "deletion": ("deletion, 12 values of k, 5 strategies, 20 draws, all examples", 5),
}


def instrument_times() -> Iterator[Row]:
    """A row for each instrument's seconds and one for its memory; then what all default measures add."""
    for name, (work, seconds) in BARS.items():
        with Child("benchmarks.instruments", {"name": name}, all_cores()) as child:
            child.answer()
            timings = [child.ask("use")["seconds"] for _ in range(REPEATS)]
            memory = child.ask("memory")["gigabytes"]
        median = Spread.of(timings).median
        yield Row(work, figure=median, unit="s", bars=(Bar("figure", at_most=seconds, unit=" s"),))
        yield Row(
            f"its memory ({name})",
            figure=memory,
            unit="GB",
            bars=(Bar("figure", at_most=MEMORY, unit=" GB"),),
            note="peak resident set of its process",
        )
    yield _added_by_measures()


def _added_by_measures() -> Row:
    """The default measures of a study at 60 snapshots, against the steps of its run, on one thread."""
    with Child("benchmarks.instruments", {"name": "added"}, one_thread()) as child:
        child.answer()
        share = Spread.of([child.ask("use")["percent"] for _ in range(REPEATS)]).median
    return Row(
        f"the measures of a study at {SNAPSHOTS} snapshots of nanda2023",
        figure=share,
        unit="% of its training",
        bars=(Bar("figure", at_most=25, unit=" %"),),
        note=f"curves, norms, saliency, deletion; {_spec().steps:,} steps",
    )


@cache
def _spec() -> RunSpec:
    return preset("nanda2023")


def _snapshot() -> Snapshot:
    """The run after `STEPS` steps."""
    spec = _spec().replace(steps=STEPS, checkpoints=Schedule(every=STEPS, until=STEPS, per_decade=1))
    saved = [fact.snapshot for _, fact in train([spec], [None]) if isinstance(fact, Saved)]
    return saved[-1]


def prepare(setup: dict[str, Any]) -> Callable[[str], Answer]:
    """Train, and use the instrument once. setup: name, a key of `BARS` or `added`."""
    snapshot = _snapshot()
    used = partial(_added, snapshot) if setup["name"] == "added" else _uses(snapshot)[setup["name"]]
    used()

    def obey(order: str) -> Answer:
        if order == "memory":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return {"gigabytes": peak * (1 if sys.platform == "darwin" else 1024) / 1e9}
        began = time.perf_counter()
        answer = used()
        return {"seconds": time.perf_counter() - began, **(answer or {})}

    return obey


def _uses(snapshot: Snapshot) -> dict[str, Callable[[], None]]:
    model, data = snapshot.state.model, Observed.of(_spec().data())
    site, is_train = site_of(model, "neuron"), np.asarray(data.is_train)
    inputs, labels = data.inputs[is_train], data.labels[is_train]
    mean = baselines(model, inputs, "mean")

    def read(*measures: Measure) -> None:
        for _ in readings_at(_spec(), snapshot, measures):
            pass

    def attributed() -> None:
        attribute(model, inputs, labels, site=site, score="log_prob", baseline=mean, n_nodes=32)

    def shapley(score: ScoreName) -> None:
        rng, sampling = np.random.default_rng(0), Sampling(n_permutations=200)
        few = inputs[:512], labels[:512]
        sampled(model, *few, site=site, score=score, baseline=mean, rng=rng, sampling=sampling)

    return {
        "attribution": attributed,
        "ledger": partial(read, Ledger(), Coherence()),
        "shapley_centred_logit": partial(shapley, "centred_logit"),
        "shapley_log_prob": partial(shapley, "log_prob"),
        "deletion": partial(read, Deletion(ks=TWELVE)),
    }


def _added(snapshot: Snapshot) -> Answer:
    """What 60 observations take, against what the steps of the run take."""
    began = time.perf_counter()
    for _ in readings_at(_spec(), snapshot, SMALL.measures):
        pass
    observation = time.perf_counter() - began
    steps = _spec().replace(steps=snapshot.step + 100, measures=_spec().measures[:1])
    began = time.perf_counter()
    for _ in train([steps], [snapshot]):
        pass
    step = (time.perf_counter() - began) / 100
    return {"percent": 100 * SNAPSHOTS * observation / (_spec().steps * step)}


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    serve(prepare)
