"""Measuring runs after they were trained, at their checkpoints: the same numbers as in training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from undergrowth.engine import readings_at
from undergrowth.measures import Measure, Reading
from undergrowth.measures.named import measure_named
from undergrowth.measures.reading import OF_THE_ENGINE, clash
from undergrowth.spec import SpecError
from undergrowth.store import Run, measured
from undergrowth.store.checkpoints import load_snapshot
from undergrowth.store.series import over_steps
from undergrowth.sweep.local import this_machine
from undergrowth.sweep.pool import Died, Pool, SweepError, Worker

if TYPE_CHECKING:
    import xarray as xr

TRIES = 2
"""How often a measurement is begun whose worker dies of it."""


def measure(run: Run, by: Measure | type[Measure], steps: Sequence[int] | None = None) -> xr.Dataset:
    """What a measure reads of a run at its checkpoints (by default all), dims (step, ...).

    The numbers are those that the measure would have given in training: bit for bit in a process
    started with as many XLA threads (NPROC=1), up to rounding in any other. Nothing is stored:
    `undergrowth measure` does that. `by` may be a custom measure, or a class of measure, used with its
    defaults.

    Raises SpecError where the measure does not fit the run, or the run has no such checkpoint;
    StoreError where a checkpoint is damaged.
    """
    import xarray as xr

    taken = by() if isinstance(by, type) else by
    check(run, taken, steps)
    by_step = {step: read(run, taken, step) for step in sorted(steps or run.checkpoints)}
    names = {name: None for readings in by_step.values() for name in readings}
    return xr.Dataset(
        {
            name: over_steps(name, {step: r[name] for step, r in by_step.items() if name in r})
            for name in names
        }
    )


def read(run: Run, by: Measure, step: int) -> Mapping[str, Reading]:
    """What a measure reads of a run at one checkpoint."""
    snapshot = load_snapshot(run.store.root, run.spec, step, curves={})
    return next(iter(readings_at(run.spec, snapshot, [by])))


def check(run: Run, by: Measure, steps: Sequence[int] | None) -> None:
    """Raise SpecError, in one line, where a measure cannot be taken of a run at these steps."""
    try:
        by.check(run.spec)
    except ValueError as error:
        raise SpecError(f"run {run.id}: {error}") from None
    if not run.checkpoints:
        raise SpecError(f"run {run.id} has no checkpoint yet: train it first")
    missing = [step for step in steps or () if step not in run.checkpoints]
    if missing:
        there = ", ".join(map(str, run.checkpoints))
        raise SpecError(f"run {run.id} has no checkpoint at step {missing[0]}: it has {there}")


@dataclass(frozen=True)
class Taken:
    """A run measured at a step; `is_new`: just now, and not before."""

    run_id: str
    step: int
    readings: Mapping[str, Reading]
    is_new: bool


def measure_into(
    runs: Sequence[Run],
    text: str,
    steps: Sequence[int] | None = None,
    workers: int | None = None,
    *,
    right_to_write: int,
) -> Iterator[Taken]:
    """Measure runs by what `text` names (see `measure_named`) and store it, each step once.

    One process a core, with the XLA threads that training had, so the bits are those of training. What
    is measured is stored as it comes: an interrupted call goes on from there. right_to_write: the lock
    of the runs' one store. Raises SpecError where the measure does not fit a run, and where the names of
    its readings are taken, by the same measure with other fields or by another; SweepError where it
    fails.
    """
    by = measure_named(text)
    for run in runs:
        check(run, by, steps)
        _check_its_names_are_free(run, by)
    todo: list[tuple[Run, int]] = []
    for run in runs:
        known = measured.steps_measured(run.store.root, run.id).get(by.key, {})
        for step in sorted(steps or run.checkpoints):
            if step in known:
                yield Taken(run.id, step, {}, is_new=False)
            else:
                todo.append((run, step))
    if not todo:
        return
    root = todo[0][0].store.root
    with measured.adding(root) as add:
        for threads in sorted({run.spec.threads for run, _ in todo}):
            some = [(run, step) for run, step in todo if run.spec.threads == threads]
            n_workers = min(workers or this_machine(threads).workers, len(some))
            with Pool(root, threads, right_to_write) as pool:
                for run, step, readings in _read_by(pool, n_workers, some, text):
                    _check_names_are_free(run, by, readings)
                    add(run.id, step, by, readings)
                    yield Taken(run.id, step, readings, is_new=True)


def _read_by(
    pool: Pool, n_workers: int, todo: Sequence[tuple[Run, int]], text: str
) -> Iterator[tuple[Run, int, Mapping[str, Reading]]]:
    """What workers read of each run at each step, as it comes."""
    waiting, deaths = list(todo), dict[tuple[str, int], int]()
    for i in range(n_workers):
        pool.start(f"measurer-{i}", writes=False)
    for worker, answer in pool.answers():
        if isinstance(answer, Died):
            _see_to(pool, worker, answer, waiting, deaths)
            continue
        if "broken" in answer:
            raise SweepError(answer["broken"])
        if "wrong" in answer:
            run, step = worker.task
            raise SweepError(f"run {run.id} at step {step} cannot be measured: {answer['wrong']}")
        if "readings" in answer:
            yield *worker.task, answer["readings"]
        worker.is_ready, worker.task = True, waiting.pop(0) if waiting else None
        _hand(worker, text)


def _hand(worker: Worker, text: str) -> None:
    if worker.task is None:
        worker.tell(close=True)
    else:
        run, step = worker.task
        worker.tell(measure=text, run=run.id, step=step)


def _see_to(
    pool: Pool, worker: Worker, died: Died, waiting: list[Any], deaths: dict[tuple[str, int], int]
) -> None:
    """Try once more what a worker died of; raise SweepError where that was tried, or it never began."""
    if worker.task is None and worker.is_ready:
        return
    place = (worker.task[0].id, worker.task[1]) if worker.task is not None else ("", -1)
    deaths[place] = deaths.get(place, 0) + 1
    if deaths[place] >= TRIES or (not worker.is_ready and died.code >= 0):
        what = f"run {place[0]} at step {place[1]} cannot be measured" if place[0] else worker.name
        raise SweepError(f"{what}: its worker died ({died.describe()}): fix this and run it again")
    if worker.task is not None:
        waiting.insert(0, worker.task)
    pool.start(worker.name, writes=False)


def _check_its_names_are_free(run: Run, by: Measure) -> None:
    """Raise SpecError where the readings' names are those of the same measure with other fields."""
    mine = measured.how(by)
    others = [measured.how(other) for other in run.spec.measures if other.key == by.key]
    others += measured.steps_measured(run.store.root, run.id).get(by.key, {}).values()
    if any(other != mine for other in others):
        raise SpecError(
            f"run {run.id} has readings of {by.key!r} by a measure with other fields: "
            "give this one its own prefix"
        )
    _check_names_are_free(run, by, by.names)


def _check_names_are_free(run: Run, by: Measure, names: Iterable[str]) -> None:
    """Raise SpecError where another measure of the run, or the laboratory, has one of these names."""
    taken = {
        name: f"measure {key!r}"
        for name, key in measured.owners(run.store.root, run.id).items()
        if key != by.key
    }
    taken |= dict.fromkeys(OF_THE_ENGINE, "the laboratory itself")
    for other in run.spec.measures:
        if other.key != by.key:
            taken |= dict.fromkeys(other.names, f"measure {other.key!r}")
    for name in names:
        if name in taken:
            raise SpecError(f"run {run.id}: {clash(by, name, taken[name])}")
