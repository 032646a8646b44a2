"""Replaying: training a stored run again, elsewhere, and comparing every bit of what was stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from undergrowth.spec import RunSpec
from undergrowth.store import Run, StoreError
from undergrowth.store.carrying import carry
from undergrowth.store.lineage import spec_of
from undergrowth.store.temporary import temporary_folder
from undergrowth.store.updates import UPDATE_LOSS
from undergrowth.sweep.local import Progress, train


@dataclass(frozen=True)
class Difference:
    """Where a replayed run first differs: at which step, in what, by how much, and what stands there.

    largest: the largest absolute difference of its numbers; NaN where one of the two is missing.
    """

    step: int
    name: str
    stored: str
    replayed: str
    largest: float


@dataclass(frozen=True)
class Replay:
    """What came of it: how much was compared, the first difference (None where every bit is equal), and
    in which the machines and versions differ.
    """

    n_readings: int
    n_checkpoints: int
    first: Difference | None
    environment: dict[str, tuple[str, str]]

    def lines(self) -> list[str]:
        """What came of it in words."""
        told = [f"{name}: then {then}, now {now}" for name, (then, now) in self.environment.items()]
        compared = f"{self.n_readings} readings and {self.n_checkpoints} checkpoints"
        if self.first is None:
            return [*told, f"equal: every bit of {compared}"]
        first = self.first
        return [
            *told,
            f"differs: of {compared} the first is {first.name} at step {first.step}: "
            f"stored {first.stored}, replayed {first.replayed} (by at most {first.largest:.3g})",
        ]


def replay(run: Run, *, progress: Callable[[Progress], None] = lambda _: None) -> Replay:
    """Train a stored run again from its spec, its trunk included, and compare it with what is stored.

    Nothing is written to its store. On the machine that trained it, with the same versions, on a CPU and
    with pack = 1 every bit is equal; elsewhere the first difference shows where they diverge.
    Checkpoints that exist only because others forked from the run are left out.

    An imported run that it forked from is copied, not trained.

    Raises StoreError where the run has not ended or was imported itself, or one that it forked from is
    not in the store.
    """
    specs = replayed_with(run)
    with temporary_folder("undergrowth-replay-") as folder:
        for imported in (spec for spec in specs if _is_imported(spec)):
            carry(run.store.root, imported, folder / "store")
        trained = [spec for spec in specs if not _is_imported(spec)]
        again = train(trained, folder / "store", progress=progress).run(run.id)
        checkpoints = _compared(run, again)
        differences = sorted(
            (*_readings(run, again), *_checkpoints(run, again, checkpoints)),
            key=lambda d: (d.step, d.name),
        )
        here = {
            key: (value, again.environment.get(key, ""))
            for key, value in run.environment.items()
            if value != again.environment.get(key)
        }
    return Replay(
        n_readings=sum(len(_own(run, name)) for name in run.names),
        n_checkpoints=len(checkpoints),
        first=differences[0] if differences else None,
        environment=here,
    )


def replayed_with(run: Run) -> tuple[RunSpec, ...]:
    """What a replay trains: the run, its parent, its parent's parent and so on.

    Raises StoreError as `replay` does.
    """
    if not run.has_ended:
        raise StoreError(f"run {run.id} has not ended: train it to its end before it is replayed")
    if _is_imported(run.spec):
        raise StoreError(
            f"run {run.id} was imported, not trained here, so it cannot be replayed: import its files "
            "again and compare, or replay what was forked from it"
        )
    specs = [run.spec]
    while (fork := specs[-1].fork) is not None:
        parent = spec_of(run.store.root, fork.of)
        if parent is None:
            raise StoreError(
                f"run {specs[-1].id} forks from {fork.of}, which is not in {run.store.root}: "
                "train that one into this store too"
            )
        specs.append(parent)
    return tuple(specs)


def _is_imported(spec: RunSpec) -> bool:
    return spec.origin is not None and spec.fork is None


def _compared(run: Run, again: Run) -> list[int]:
    """Steps of the checkpoints that both should have: a branch for others may have made more."""
    scheduled = run.spec.checkpoints.steps(run.spec.steps)
    stored, replayed = set(run.checkpoints), set(again.checkpoints)
    return sorted(replayed | (stored & set(scheduled)))


def _readings(run: Run, again: Run) -> Iterator[Difference]:
    """The first difference of every reading."""
    unkept = {UPDATE_LOSS}.difference(run.names)  # by an earlier version
    for name in sorted({*run.names, *again.names} - unkept):
        stored, replayed = _own(run, name), _own(again, name)
        for step in sorted({*stored, *replayed}):
            mine, other = stored.get(step), replayed.get(step)
            if not _equal(mine, other):
                yield _first(step, name, mine, other)
                break


def _own(run: Run, name: str) -> dict[int, np.ndarray]:
    """What training stored of a reading after the fork, by step; all losses of updates at the first."""
    if name == UPDATE_LOSS:
        since = run.forked_at or 0
        return {since: run[name].sel(step=slice(since, None)).values}
    return {step: found.values for step, found in run.store.readings_of(run.id, name).items()}


def _first(step: int, name: str, mine: np.ndarray | None, other: np.ndarray | None) -> Difference:
    """The difference of two readings, of the losses of updates that of the first which differ."""
    if name != UPDATE_LOSS or mine is None or other is None:
        return _difference(step, name, mine, other)
    n = min(len(mine), len(other))
    differ = np.flatnonzero(mine[:n].view(np.uint32) != other[:n].view(np.uint32))
    at = int(differ[0]) if len(differ) else n
    return _difference(step + at, name, mine[at : at + 1], other[at : at + 1])


def _checkpoints(run: Run, again: Run, steps: Sequence[int]) -> Iterator[Difference]:
    """The first difference of every parameter."""
    seen: set[str] = set()
    for step in steps:
        stored, replayed = (_weights(r, step) for r in (run, again))
        for name in sorted({*stored, *replayed} - seen):
            if not _equal(stored.get(name), replayed.get(name)):
                seen.add(name)
                yield _difference(step, name, stored.get(name), replayed.get(name))


def _weights(run: Run, step: int) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint; none where it is missing or damaged."""
    with suppress(FileNotFoundError, SafetensorError):
        return load_file(run.checkpoint_path(step))
    return {}


def _equal(mine: np.ndarray | None, other: np.ndarray | None) -> bool:
    if mine is None or other is None:
        return mine is other
    return mine.dtype == other.dtype and mine.shape == other.shape and mine.tobytes() == other.tobytes()


def _difference(step: int, name: str, mine: np.ndarray | None, other: np.ndarray | None) -> Difference:
    if mine is None or other is None or mine.shape != other.shape:
        return Difference(step, name, _shown(mine), _shown(other), float("nan"))
    with np.errstate(invalid="ignore"):  # infinity from infinity
        apart = np.abs(mine.astype(np.float64) - other.astype(np.float64))
    at = np.unravel_index(int(np.nan_to_num(apart, nan=np.inf).argmax()), apart.shape)
    return Difference(step, name, f"{mine[at]:.9g}", f"{other[at]:.9g}", float(apart.max()))


def _shown(values: np.ndarray | None) -> str:
    return "nothing" if values is None else f"an array of shape {values.shape}"
