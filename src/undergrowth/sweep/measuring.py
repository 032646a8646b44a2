"""Measuring runs after they were trained, at their checkpoints: the same numbers as in training."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from undergrowth.measures import Measure, Reading
from undergrowth.measures.named import measure_named
from undergrowth.measures.reading import OF_THE_ENGINE, clash
from undergrowth.spec import SpecError
from undergrowth.store import Run, Store, measured
from undergrowth.store.checkpoints import load_snapshot
from undergrowth.store.layout import StoreError, is_whole
from undergrowth.store.reader import over_steps
from undergrowth.sweep.local import cache
from undergrowth.training.engine import readings_at

if TYPE_CHECKING:
    import xarray as xr


def measure(run: Run, by: Measure, steps: Sequence[int] | None = None) -> xr.Dataset:
    """What a measure reads of a run at its checkpoints (by default all), dims (step, ...).

    The numbers are those that the measure would have read in training: bit for bit in a process that
    was started with as many XLA threads (NPROC=1), up to rounding in another. Nothing is stored:
    `undergrowth measure` does that. `by` may be a measure of one's own.

    Raises SpecError where the measure does not fit the run, or the run has no such checkpoint;
    StoreError where a checkpoint is damaged.
    """
    import xarray as xr

    check(run, by, steps)
    by_step = {step: read(run, by, step) for step in sorted(steps or run.checkpoints)}
    names = {name: None for readings in by_step.values() for name in readings}
    return xr.Dataset(
        {
            name: over_steps(name, {step: r[name] for step, r in by_step.items() if name in r})
            for name in names
        }
    )


def read(run: Run, by: Measure, step: int) -> Mapping[str, Reading]:
    """What a measure reads of a run at one checkpoint."""
    _check_it_is_whole(run, step)
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
    runs: Sequence[Run], text: str, steps: Sequence[int] | None = None, workers: int | None = None
) -> Iterator[Taken]:
    """Measure runs by what `text` names (see `measure_named`) and store it, each step once.

    One process a core, with the XLA threads that training has, so the bits are those of training.
    The caller must hold the right to write to the store. Raises SpecError where the measure does not
    fit a run, and where its readings' names are taken: by the same measure with other fields, or by
    another measure.
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
    n_workers = min(workers or len(os.sched_getaffinity(0)), len(todo))
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            n_workers, multiprocessing.get_context("spawn"), initializer=_keep_compiled
        ) as pool,
    ):
        waiting = {
            pool.submit(_read, run.store.root, run.id, text, step): (run, step) for run, step in todo
        }
        for future in as_completed(waiting):
            run, step = waiting[future]
            readings = future.result()
            _check_names_are_free(run, by, readings)
            measured.add(run.store.root, run.id, step, by, readings)
            yield Taken(run.id, step, readings, is_new=True)


def _read(root: Path, run_id: str, text: str, step: int) -> dict[str, Reading]:
    """What a worker process does."""
    return dict(read(Store(root).run(run_id), measure_named(text), step))


def _keep_compiled() -> None:
    from undergrowth.sweep.worker import configure

    configure(cache())


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """The environment in which processes that are started have one XLA thread, as training has."""
    before = os.environ.get("NPROC")
    os.environ["NPROC"] = "1"
    try:
        yield
    finally:
        del os.environ["NPROC"]
        if before is not None:
            os.environ["NPROC"] = before


def _check_its_names_are_free(run: Run, by: Measure) -> None:
    """Raise SpecError where the readings' names are those of the same measure with other fields."""
    mine = measured.how(by)
    others = [measured.how(other) for other in run.spec.measures if other.key == by.key]
    others += measured.steps_measured(run.store.root, run.id).get(by.key, {}).values()
    if any(other != mine for other in others):
        raise SpecError(
            f"run {run.id} has readings of {by.key!r} by a measure with other fields: "
            "give this one a prefix of its own"
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


def _check_it_is_whole(run: Run, step: int) -> None:
    sql = "SELECT path, sha256 FROM files WHERE run_id = ? AND step = ?"
    digests: dict[str, set[str]] = {}
    for row in run.store.query(sql, (run.id, step)):
        digests.setdefault(row["path"], set()).add(row["sha256"])
    for path, written in digests.items():
        if not is_whole(run.store.root / path, written):
            raise StoreError(
                f"{run.store.root / path} is missing or damaged: train the run again into this store"
            )
