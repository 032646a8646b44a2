"""Two runs compared: settings that differ, the trunk that they share, the first reading that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from undergrowth.store.reader import Run

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Trunk:
    """Steps that two runs have in common: run: the id of the run that made them; until: the step below
    which their readings are the same; how: in words, which run left which.
    """

    run: str
    until: int
    how: str


@dataclass(frozen=True)
class FirstDifference:
    """The first reading that differs: the step, its name, and the value of each; of an array that which
    differs most, with `at` its place (empty for a scalar).
    """

    step: int
    name: str
    this: float
    that: float
    at: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two runs beside one another.

    settings: as of `RunSpec.diff`; trunk: None where they share no steps; first: None where no reading
    that both have differs at a step that both have; n_compared: how many readings, by name and step,
    were compared up to there; only_this, only_that: names of readings that only one has.
    """

    this: str
    that: str
    settings: dict[str, tuple[Any, Any]]
    trunk: Trunk | None
    first: FirstDifference | None
    n_compared: int
    only_this: tuple[str, ...]
    only_that: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether no setting and no reading that both have differs."""
        return not self.settings and self.first is None


def compare(this: Run, that: Run) -> Comparison:
    """Two runs, of one store or of two: every bit of each reading that both have, at steps both have.

    A fork has its trunk's readings too, so two arms of one trunk differ at the earliest where the later
    one left it. NaN equals NaN.
    """
    mine, its = set(this.names), set(that.names)
    first: FirstDifference | None = None
    n_compared = 0
    for name in sorted(mine & its):
        found, n_steps = _first_in(name, this[name], that[name])
        n_compared += n_steps
        if found is not None and (first is None or found.step < first.step):
            first = found
    return Comparison(
        this=this.id,
        that=that.id,
        settings=this.spec.diff(that.spec),
        trunk=_shared(this, that),
        first=first,
        n_compared=n_compared,
        only_this=tuple(sorted(mine - its)),
        only_that=tuple(sorted(its - mine)),
    )


def _first_in(name: str, this: xr.DataArray, that: xr.DataArray) -> tuple[FirstDifference | None, int]:
    """The first step at which two accounts of a reading differ; and at how many they were compared."""
    steps = np.intersect1d(this["step"].values, that["step"].values)
    mine, its = (np.asarray(x.sel(step=steps).values) for x in (this, that))
    if not len(steps):
        return None, 0
    if mine.shape != its.shape:
        return FirstDifference(int(steps[0]), name, float("nan"), float("nan")), len(steps)
    is_same = (mine == its) | ((mine != mine) & (its != its))
    differs = ~is_same.reshape(len(steps), -1).all(axis=1)
    if not differs.any():
        return None, len(steps)
    step = int(differs.argmax())
    return _at(int(steps[step]), name, mine[step], its[step]), step + 1


def _at(step: int, name: str, mine: np.ndarray, its: np.ndarray) -> FirstDifference:
    with np.errstate(invalid="ignore"):  # infinity from infinity
        apart = np.abs(mine.astype(np.float64) - its.astype(np.float64))
    apart = np.where(mine == its, 0.0, np.nan_to_num(apart, nan=np.inf))
    apart = np.where((mine != mine) & (its != its), 0.0, apart)
    at = np.unravel_index(int(apart.argmax()), apart.shape)
    return FirstDifference(step, name, float(mine[at]), float(its[at]), tuple(map(int, at)))


def _chain(run: Run) -> Iterator[tuple[str, int]]:
    """A run and those that it came from, each with the step below which its readings are the run's."""
    yield run.id, run.spec.steps + 1
    yield from run.trunks


def _shared(this: Run, that: Run) -> Trunk | None:
    """The steps that they share: of the nearest run that both come from, or are."""
    if this.id == that.id:
        return None
    its = dict(_chain(that))
    for run_id, until in _chain(this):
        if run_id in its:
            how = (
                f"{that.id} is a fork of {this.id}"
                if run_id == this.id
                else f"{this.id} is a fork of {that.id}"
                if run_id == that.id
                else f"both are forks of {run_id}"
            )
            return Trunk(run_id, min(until, its[run_id]), how)
    return None
