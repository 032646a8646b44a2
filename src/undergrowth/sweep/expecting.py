"""How long runs will take and how much disk, told before they start, and what that rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.errors import StoreError
from undergrowth.store.temporary import temporary_folder
from undergrowth.sweep.local import Layout, train
from undergrowth.sweep.shards import cost

TRIAL_STEPS = 300
WORTH_A_TRIAL = 40
"""A kind of run is timed where there is so many times as much to do as the trial does."""
MOST_TRIALS = 3
MOST_LOOKED_AT = 50
"""Stored runs of a kind that are looked at."""


@dataclass(frozen=True)
class Rate:
    """What a kind of run takes: seconds for each update, measuring included; bytes of a checkpoint, and
    of what is read at an evaluation; n: runs that this rests on, 0 for a trial.
    """

    seconds: float
    checkpoint: float
    evaluation: float
    n: int


@dataclass(frozen=True)
class Expected:
    """seconds: that so many workers take, None where nothing is known; bytes: on the disk; says: what it
    rests on, in words.
    """

    seconds: float | None
    bytes: float
    workers: int
    says: str


def kind(spec: RunSpec) -> tuple[Any, ...]:
    """What runs share that take alike for each update."""
    rule = spec.optimiser.name
    return spec.task, spec.model, rule, spec.batch, spec.precision, spec.measures, spec.threads


def expected(
    specs: Sequence[RunSpec], roots: Iterable[Path], workers: int = 1, times: float = 1.0
) -> Expected:
    """What some runs will take, each of which stands for `times` such, by like runs in some stores.

    Where there are none, those kinds that cost most are timed for some hundred updates each, if there is
    much to do.
    """
    by_kind: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec in specs:
        by_kind.setdefault(kind(spec), []).append(spec)
    stored = stored_rates(by_kind, roots)
    without = sorted(by_kind.keys() - stored.keys(), key=lambda k: -sum(map(cost, by_kind[k])))
    least = WORTH_A_TRIAL * TRIAL_STEPS * workers
    worth = [k for k in without if times * sum(spec.steps for spec in by_kind[k]) >= least]
    timed = {k: rate for k in worth[:MOST_TRIALS] if (rate := _timed(by_kind[k][0])) is not None}
    rates = stored | timed
    if not rates:
        return Expected(None, 0.0, workers, "no like run is stored, and few are to be trained")
    seconds = n_bytes = 0.0
    for of, its in by_kind.items():
        for spec in its:
            rate, factor = _rate_for(spec, of, rates, by_kind)
            seconds += rate.seconds * factor * updates(spec)
            n_bytes += rate.checkpoint * len(spec.checkpoints.steps(spec.steps))
            n_bytes += rate.evaluation * _evaluations(spec)
    n = sum(rate.n for rate in stored.values())
    told = [f"by {n} stored run{'' if n == 1 else 's'} like these"] if stored else []
    told += [f"{len(timed)} kind{'' if len(timed) == 1 else 's'} of run timed"] if timed else []
    others = len(by_kind) - len(rates)
    told += [f"{others} more kinds by their size"] if others else []
    return Expected(times * seconds / workers, times * n_bytes, workers, ", ".join(told))


def _rate_for(
    spec: RunSpec,
    of: tuple[Any, ...],
    rates: dict[tuple[Any, ...], Rate],
    by_kind: dict[tuple[Any, ...], list[RunSpec]],
) -> tuple[Rate, float]:
    """The rate of its kind; without one, that of another, and how much more an update costs."""
    if of in rates:
        return rates[of], 1.0
    other = next(iter(rates))
    one = by_kind[other][0]
    return rates[other], (cost(spec) / updates(spec)) / (cost(one) / updates(one))


def updates(spec: RunSpec) -> int:
    """How many a run makes; where its fork leaves at an event, as if it made all."""
    first = getattr(spec.fork.at, "step", 0) if spec.fork else 0
    return max(1, spec.steps - first)


def _evaluations(spec: RunSpec) -> int:
    return sum(len(measure.schedule.steps(spec.steps)) for measure in spec.measures)


def stored_rates(kinds: Iterable[tuple[Any, ...]], roots: Iterable[Path]) -> dict[tuple[Any, ...], Rate]:
    """Rates of finished runs in some stores."""
    found: dict[tuple[Any, ...], list[Rate]] = {of: [] for of in kinds}
    for root in roots:
        sql = f"SELECT * FROM runs WHERE status = 'done' LIMIT {MOST_LOOKED_AT * len(found)}"
        for row in rows.query(root, sql):
            try:
                spec = rows.spec_of_row(row)
            except StoreError:
                continue
            its = found.get(kind(spec))
            if its is not None and len(its) < MOST_LOOKED_AT:
                its.append(_rate(root, spec, row["ended"] - row["began"], updates(spec)))
    return {
        of: Rate(
            median(rate.seconds for rate in its),
            median(rate.checkpoint for rate in its),
            median(rate.evaluation for rate in its),
            len(its),
        )
        for of, its in found.items()
        if its
    }


def _rate(root: Path, spec: RunSpec, seconds: float, updates: int) -> Rate:
    """What a stored run took."""
    sql = "SELECT step, bytes FROM files WHERE run_id = ?"
    files = [(row["step"], row["bytes"]) for row in rows.query(root, sql, (spec.id,))]
    checkpoints = {step for step, _ in files if step is not None}
    sql = "SELECT count(*) AS n, total(length(content)) AS size FROM readings WHERE run_id = ?"
    read = list(rows.query(root, sql, (spec.id,)))
    size = sum(row["size"] + PER_ROW * row["n"] for row in read)
    return Rate(
        seconds / updates,
        sum(n for _, n in files) / max(1, len(checkpoints)),
        size / max(1, _evaluations(spec)),
        1,
    )


PER_ROW = 180
"""Bytes of a reading's row beside its numbers."""


def _timed(spec: RunSpec) -> Rate | None:
    """A kind of run timed: trained twice for some updates, of which the second compiles nothing."""
    steps = min(spec.steps, TRIAL_STEPS)
    try:
        short = spec.replace(steps=steps, fork=None, interventions=(), stop=())
    except ValueError:
        return None
    two = [short.seeded(seed) for seed in range(2)]
    with temporary_folder("undergrowth-trial-") as folder:
        root = folder / "store"
        store = train(two, root, layout=Layout(workers=1))
        runs = [run for run in store.runs if run.status == "done" and run.ended is not None]
        if len(runs) < 2:
            return None
        took = min(run.ended - run.began for run in runs if run.ended is not None)
        return replace(_rate(root, runs[0].spec, took, steps), n=0)


def in_words(seconds: float) -> str:
    """A time in a unit that has it in few figures.

    >>> in_words(100), in_words(5000)
    ('1.7 min', '1.4 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
