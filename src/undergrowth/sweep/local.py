"""This machine: one worker process per core, each taking runs in turn, from specs to a store."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undergrowth.own_parts import refuse_while_importing
from undergrowth.precision import refuse_what_is_not_there
from undergrowth.spec import Fork, RunSpec, SpecError, check_parent
from undergrowth.store import Run, Store
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.parts import Parts
from undergrowth.store.start_points import reached
from undergrowth.store.verify import unfinished_files
from undergrowth.store.writer import keep_names
from undergrowth.sweep.forecast import refuse_what_does_not_fit
from undergrowth.sweep.pool import Died, Pool, SweepError, Worker
from undergrowth.sweep.waiting import Handed, Trunks, Waiting
from undergrowth.training.interventions import AtStep


@dataclass(frozen=True)
class Layout:
    """How a machine is used.

    workers: number of processes; pack: runs side by side in one process (1: no vmap), each by its own
    steps; where one is over, the next of its shape takes its place. On a CPU a run has the same bits in
    any layout with pack = 1. Raises ValueError if either is less than 1.
    """

    workers: int
    pack: int = 1

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("pack", self.pack)):
            if value < 1:
                raise ValueError(
                    f"Layout({name}={value}): {name} must be at least 1: "
                    "raise it, or omit the layout to use the whole machine"
                )


@dataclass(frozen=True)
class Progress:
    """What a sweep has come to: emitted whenever a run has.

    latest: the latest values of the curves; ended: '', 'done', 'failed', or 'stored' where the run
    was finished before.
    """

    spec: RunSpec
    step: int
    latest: dict[str, float]
    ended: str = ""
    message: str = ""

    @classmethod
    def of(cls, spec: RunSpec, answer: Mapping[str, Any]) -> Progress:
        """As a worker tells of it."""
        latest = {name: value for name, value in answer.items() if name not in NO_READING}
        ended, message = answer.get("ended", ""), answer.get("message", "")
        return cls(spec, answer["step"], latest, ended=ended, message=message)


TRIES = 2
"""How often a run is begun whose worker dies of it."""

MOST_EARLY_DEATHS = 3
"""Workers that may be killed while they start, before the sweep gives up."""

NO_READING = {"run", "step", "ended", "message"}
"""What an answer about a run says besides its latest readings."""

CLOSING: list[RunSpec] = []
"""What a worker is at that closes its database: nothing that would have to be done again."""


def this_machine(threads: int = 1) -> Layout:
    """One worker per `threads` cores on a CPU; one worker with 32 runs side by side on a GPU.

    A GPU is expected where a jax plugin for one is installed; `train` goes back to the CPU's layout
    where the first worker finds none.
    """
    return Layout(workers=1, pack=32) if _has_plugin() else _of_cores(threads)


def _of_cores(threads: int) -> Layout:
    return Layout(workers=max(1, _cores() // threads))


def _cores() -> int:
    """Cores that this process may use; all of them where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train(
    specs: RunSpec | Sequence[RunSpec],
    out: str | Path,
    *,
    layout: Layout | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    names: Mapping[str, Sequence[str]] | None = None,
    parts: Parts | None = None,
) -> Store:
    """Train one or more runs into the store at `out` and return it; finished runs are not trained
    again.

    names: by run id, names to store with the runs (`Run.given_names`); not part of a run's identity.
    parts: by run id, the roles of runs in studies (`Run.parts`), likewise.

    A finished run with a missing or truncated file is resumed, and so repaired. A run that fails does
    not stop the others: its status and message say so.

    Raises SpecError for a spec that cannot be run, StoreError for a directory that cannot be used,
    SweepError where training could not go on.
    """
    with prepared(specs, out, progress, names, parts) as (todo, right_to_write):
        root = Path(out)
        _check_memory(todo, layout)
        for threads in sorted({spec.threads for spec in todo}):
            some = [spec for spec in todo if spec.threads == threads]
            _Sweep(root, some, threads, layout, progress).run(right_to_write)
    return Store(root)


@contextmanager
def prepared(
    specs: RunSpec | Sequence[RunSpec],
    out: str | Path,
    progress: Callable[[Progress], None],
    names: Mapping[str, Sequence[str]] | None,
    parts: Parts | None,
) -> Iterator[tuple[list[RunSpec], int]]:
    """Hold the right to write to a store that is about to get some runs; those that it has not finished.

    What is impossible is refused before anything is trained, as `train` says; names and parts are kept.
    """
    refuse_while_importing()
    root = Path(out)
    unique = {spec.id: spec for spec in ([specs] if isinstance(specs, RunSpec) else specs)}
    for spec in unique.values():
        spec.data()  # impossible runs fail before any is trained
    create(root)
    with writing(root) as right_to_write:
        store = Store(root)
        stored = {run.id: run for run in store.runs}
        _check_parents(unique, stored)
        keep_names(root, names or {}, parts or {})
        done = {run.id for run in stored.values() if run.status == "done"} - unfinished_files(root)
        for spec in unique.values():
            if spec.id in done:
                progress(Progress(spec, spec.steps, {}, "stored"))
        yield [spec for spec in unique.values() if spec.id not in done], right_to_write


def _check_memory(specs: Sequence[RunSpec], layout: Layout | None) -> None:
    """Raise SpecError where the runs that are trained at once do not fit this machine."""
    by_size = {(s.task, s.model, s.optimiser, s.batch, s.measures, s.threads): s for s in specs}
    for spec in by_size.values():
        used = layout or this_machine(spec.threads)
        at_once = min(
            used.workers, len(specs)
        )  # those of a pack share an accelerator's memory, not this
        refuse_what_does_not_fit([spec], at_once)


def _check_parents(specs: Mapping[str, RunSpec], stored: Mapping[str, Run]) -> None:
    """Raise SpecError where a fork has no parent, or one that it cannot be a fork of."""
    for spec in specs.values():
        if spec.fork is None:
            continue
        if spec.fork.of in specs:
            check_parent(spec, specs[spec.fork.of])
        elif spec.fork.of in stored:
            check_parent(spec, stored[spec.fork.of].spec)
            _check_it_was_reached(spec.fork, stored[spec.fork.of])
        else:
            raise SpecError(
                f"fork.of = {spec.fork.of!r}: no such run in the store or among those to be trained: "
                "train the parent into the same store too, or first"
            )


def _check_it_was_reached(fork: Fork, parent: Run) -> None:
    """Raise SpecError where a stored parent that is not trained on did not come to the fork."""
    if (parent.status == "done" and parent.stopped is None) or not isinstance(fork.at, AtStep):
        return
    last = reached(parent.store.root, parent.spec)
    if fork.at.step > last:
        raise SpecError(
            f"fork.at.step = {fork.at.step} was not reached by the parent {parent.id}: it is "
            f"{'stopped' if parent.stopped else parent.status} at step {last}: "
            f"{'' if parent.stopped else 'train it too, or '}fork at {max(last, 0)} or earlier"
        )


class _Sweep:
    """Hands runs to workers, a fork not before its trunk is there, and passes on what they say.

    A worker that dies is replaced. What it was at is tried once more, in halves down to single runs; a
    run of which, alone, a worker dies again has failed.
    """

    def __init__(
        self,
        root: Path,
        specs: Sequence[RunSpec],
        threads: int,
        layout: Layout | None,
        progress: Callable[[Progress], None],
    ) -> None:
        self.root, self.threads, self.progress = root, threads, progress
        self.layout = layout or this_machine(threads)
        self.is_guess = layout is None
        self.specs = {spec.id: spec for spec in specs}
        self.trunks = Trunks(specs)
        self.died_with: dict[str, list[str]] = {}
        self.died_early = 0
        self.waiting = Waiting(specs, self.layout.pack)
        self.joined_by: dict[Worker, object] = {}

    def run(self, right_to_write: int) -> None:
        """Train all runs; returns when the last has ended and every worker has closed its file."""
        with Pool(self.root, self.threads, right_to_write) as pool:
            self._start_workers(pool)
            for worker, answer in pool.answers():
                if isinstance(answer, Died):
                    self._replace(pool, worker, answer)
                elif "broken" in answer:
                    raise SweepError(answer["broken"])
                elif "branched" in answer:
                    self.trunks.grown.add((answer["run"], answer["branched"]))
                elif "wants" in answer:
                    self._fill_up(worker, answer["wants"])
                    continue
                elif "run" in answer:
                    self._hear(answer)
                    if "ended" not in answer:
                        continue
                else:
                    self._welcome(pool, worker, answer)
                self._employ_idle(pool)

    def _hear(self, answer: dict[str, Any]) -> None:
        spec = self.specs[answer["run"]]
        if answer.get("ended"):
            self.trunks.ended.add(spec.id)
        self.progress(Progress.of(spec, answer))

    def _welcome(self, pool: Pool, worker: Worker, answer: dict[str, Any]) -> None:
        """A worker has come up, or is free again."""
        if "ready" in answer:
            self._refuse_on(answer["ready"])
        if answer.get("ready") == "cpu" and self.is_guess and self.layout.pack > 1:
            self.layout = _of_cores(self.threads)  # the plugin found no accelerator
            self.waiting = Waiting(list(self.specs.values()), self.layout.pack)
            self._start_workers(pool)
        worker.is_ready, worker.task = True, None
        if answer.get("is_large") and self.waiting:
            self._close(worker)

    def _refuse_on(self, platform: str) -> None:
        """Raise SpecError where a worker's platform multiplies as a run asks for in no way."""
        for spec in {spec.precision: spec for spec in self.specs.values()}.values():
            try:
                refuse_what_is_not_there(spec.precision, platform)
            except ValueError as error:
                raise SpecError(str(error)) from None

    def _close(self, worker: Worker) -> None:
        worker.task = CLOSING
        worker.tell(close=True)

    def _replace(self, pool: Pool, worker: Worker, died: Died) -> None:
        """See to what a worker was at when it ended, and put another in its place."""
        if not worker.is_ready:
            self.died_early += 1
            if died.code >= 0 or self.died_early > MOST_EARLY_DEATHS:
                raise SweepError(
                    f"worker {worker.name} ended before its work began ({died.describe()}): "
                    "fix this and run the same command again"
                )
        unfinished = [spec for spec in worker.task or () if spec.id not in self.trunks.ended]
        for spec in unfinished:
            if len(unfinished) == 1 or spec.id not in self.died_with:
                self.died_with.setdefault(spec.id, []).append(died.describe())
        self.waiting.put_back(unfinished)
        if len(pool.workers) < min(self.layout.workers, len(self.waiting)):
            pool.start(worker.name)

    def _employ_idle(self, pool: Pool) -> None:
        """Hand what can be trained to those who wait; let them go when there is nothing left."""
        for worker in (w for w in pool.workers if w.is_ready and w.task is None):
            handed = self.waiting.take(self.trunks.has_trunk)
            if handed is not None:
                worker.task, self.joined_by[worker] = handed.runs, handed.shape
                self._hand(worker, handed)
            elif not self.waiting:
                self._close(worker)

    def _hand(self, worker: Worker, handed: Handed) -> None:
        first = handed.runs[0]
        deaths = self.died_with.get(first.id, [])
        if len(handed.runs) == 1 and len(deaths) >= TRIES:
            why = f"a worker died of it {len(deaths)} times (the last: {deaths[-1]})"
            worker.tell(fail=first.model_dump(mode="json"), why=why)
        else:
            worker.tell(**self.trunks.as_order(handed.runs), pack=handed.pack)

    def _fill_up(self, worker: Worker, n: int) -> None:
        """Hand runs to a worker in the place of those that have ended there."""
        shape = self.joined_by[worker]
        runs = [] if shape is None else self.waiting.more(shape, n, self.trunks.has_trunk)
        worker.task = [*(spec for spec in worker.task if spec.id not in self.trunks.ended), *runs]
        worker.tell(**self.trunks.as_order(runs))

    def _start_workers(self, pool: Pool) -> None:
        """As many workers as the layout asks for and there is work for, with those there are."""
        for i in range(len(pool.workers), min(self.layout.workers, len(self.waiting))):
            pool.start(f"worker-{i}")


def _has_plugin() -> bool:
    """Whether a jax plugin for an accelerator is installed, found without starting jax."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return False
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")
    return any(importlib.util.find_spec(plugin) for plugin in plugins)
