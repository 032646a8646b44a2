"""Runs by two fields of their specs: a cell for each pair of values, and what its runs came to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from undergrowth.analysis.intervals import median_rank
from undergrowth.analysis.phases import LATE, PHASES, Phase, delay, phase_of
from undergrowth.plain_text import command
from undergrowth.spec_errors import near
from undergrowth.store.events import DEFAULT_RULES, Rules
from undergrowth.store.listing import SEEDS, Listed, field_ending_in
from undergrowth.values import in_brief

MOST_CELLS = 10_000
"""Cells of a map; more cannot be looked at."""
MOST_SLOTS = 3
"""Places along an axis, empty ones included, for each of its values."""
EVEN, ROUNDED = 0.12, 0.35
"""Of a place: by how much steps between values may differ from whole ones where they are even (as 1, 3,
10 on a log scale), and where they are nearly so (as 1, 2, 5)."""
MOST_NAMED = 6
"""Fields or values that a message names."""
VAGUE = ("name", "of", "n", "p", "step", "every", "until", "by", "model", "data", "noise")
"""Ends of fields' names that say too little alone."""
PHASE, DELAY = "phase", "delay"
CHANCE = (*SEEDS, "fork.of")
"""Fields in which runs of one cell may differ: their seeds, and which run a fork left."""

Bounds = tuple[float, float]


class MapError(ValueError):
    """A map that cannot be drawn; the message is one line with the value, the rule and the remedy."""


@dataclass(frozen=True)
class Axis:
    """A field and the values that runs have of it.

    short: as much of its name as says enough; values: ascending, first None where some runs have no such
    field; places: where each stands, in cells; n: how many places there are, empty ones included;
    spacing: of the places.
    """

    field: str
    short: str
    values: tuple[Any, ...]
    places: tuple[int, ...]
    spacing: Literal["log", "linear", "in order", "names"]

    @property
    def n(self) -> int:
        """Places from the first to the last."""
        return self.places[-1] + 1

    def written(self, place: int) -> str:
        """The value at a place as spec files write it; '' where there is none."""
        return self._written.get(place, "")

    @cached_property
    def _written(self) -> dict[int, str]:
        return {at: written(value) for at, value in zip(self.places, self.values, strict=True)}


@dataclass(frozen=True)
class Median:
    """The median over the runs of a cell of a number of which some runs have only a lower bound.

    at_least, at_most: its bounds, equal where it is known, at_most infinite where it is later than the
    runs; low, high: the 95 % interval, from the exact sign test, NaN below 6 runs; lowest, highest: of
    the runs; n: runs that have a number or a bound; n_censored: those that have a bound.
    """

    at_least: float
    at_most: float
    low: float
    high: float
    lowest: float
    highest: float
    n: int
    n_censored: int

    @property
    def is_censored(self) -> bool:
        """Whether it is only known to lie above a bound."""
        return math.isinf(self.at_most)


@dataclass(frozen=True, eq=False)
class Cell:
    """The runs that have one pair of values; x, y: its place along each axis."""

    x: int
    y: int
    runs: tuple[Listed, ...]
    phases: Mapping[Phase, int]

    @property
    def phase(self) -> str:
        """That of more than half of its runs; 'mixed' where there is none."""
        most, n = Counter(self.phases).most_common(1)[0]
        return most if 2 * n > len(self.runs) else "mixed"


@dataclass(frozen=True, eq=False)
class RunMap:
    """Cells by two fields. x, y: across and upwards; also: other fields in which cells differ."""

    x: Axis
    y: Axis
    cells: tuple[Cell, ...]
    also: tuple[str, ...]
    rules: Rules = DEFAULT_RULES
    late: float = LATE

    @property
    def runs(self) -> list[Listed]:
        """All of them."""
        return [run for cell in self.cells for run in cell.runs]

    def medians(self, quantity: str) -> list[Median | None]:
        """Of each cell that of an event, `delay` or a reading; None where no run has one."""
        bounds_of = partial(_bounds, quantity)
        return [_median(cell.runs, bounds_of) for cell in self.cells]

    def table(self, quantities: Sequence[str]) -> pd.DataFrame:
        """A row a cell: the two fields, `runs`, and what there is of each quantity.

        Of `phase`: that of most runs, and how many are in each. Of a number: its median, `_most` if
        that is between two bounds (infinite where it is censored), `_censored`, the interval `_low`,
        `_high` (95 %, NaN below 6 runs), `_lowest`, `_highest` of the runs, `_n` runs that have it and
        `_n_censored` of these that ended before it.
        """
        columns: dict[str, Any] = {
            axis.field: [
                dict(zip(axis.places, axis.values, strict=True))[getattr(cell, of)]
                for cell in self.cells
            ]
            for axis, of in ((self.x, "x"), (self.y, "y"))
        }
        columns["runs"] = [len(cell.runs) for cell in self.cells]
        for quantity in quantities:
            if quantity == PHASE:
                columns[PHASE] = [cell.phase for cell in self.cells]
                columns |= {name: [cell.phases.get(name, 0) for cell in self.cells] for name in PHASES}
                continue
            columns |= _columns(quantity, self.medians(quantity))
        return pd.DataFrame(columns)


def _columns(quantity: str, medians: Sequence[Median | None]) -> dict[str, list[Any]]:
    of: dict[str, Callable[[Median], Any]] = {
        quantity: lambda it: it.at_least,
        f"{quantity}_most": lambda it: it.at_most,
        f"{quantity}_censored": lambda it: it.is_censored,
        f"{quantity}_low": lambda it: it.low,
        f"{quantity}_high": lambda it: it.high,
        f"{quantity}_lowest": lambda it: it.lowest,
        f"{quantity}_highest": lambda it: it.highest,
        f"{quantity}_n": lambda it: it.n,
        f"{quantity}_n_censored": lambda it: it.n_censored,
    }
    none = {f"{quantity}_censored": False, f"{quantity}_n": 0, f"{quantity}_n_censored": 0}
    return {
        name: [none.get(name, math.nan) if it is None else has(it) for it in medians]
        for name, has in of.items()
    }


def run_map(
    runs: Sequence[Listed], x: str, y: str, rules: Rules = DEFAULT_RULES, late: float = LATE
) -> RunMap:
    """The map of some runs by two fields, by dotted name as in spec files, or by the end of it.

    rules: those by which the runs were listed. Raises MapError where a field is unknown or has but one
    value, where runs of a cell differ in more than their seeds, or where there are too many cells.
    """
    if not runs:
        raise MapError("there are no runs to map: train some first, or choose others with --where")
    if late < 1:
        raise MapError(f"delay {late:g}: give 1 or more, the times later from which a run groks")
    fields = [_field(name, runs) for name in (x, y)]
    if fields[0] == fields[1]:
        raise MapError(f"{x} and {y} are one field: a map needs two; {_that_vary(runs)}")
    axes = [_axis(field, runs, short) for field, short in zip(fields, _shortened(fields), strict=True)]
    if (n := axes[0].n * axes[1].n) > MOST_CELLS:
        raise MapError(
            f"{len(axes[0].values):,} values of {fields[0]} and {len(axes[1].values):,} of {fields[1]} "
            f"make a map of {n:,} cells, more than the {MOST_CELLS:,} that can be looked at: choose "
            f"runs with --where, such as --where '{fields[0]}<{written(axes[0].values[1])}'"
        )
    place = [{_key(v): at for v, at in zip(axis.values, axis.places, strict=True)} for axis in axes]
    found: dict[tuple[int, int], list[Listed]] = {}
    for run in runs:
        at = [its[_key(run.settings.get(field))] for its, field in zip(place, fields, strict=True)]
        found.setdefault((at[0], at[1]), []).append(run)
    _refuse_mixtures(found, axes)
    cells = (
        Cell(*at, tuple(its), Counter(phase_of(run, late) for run in its))
        for at, its in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    )
    also = [name for name in _varying(runs) if name not in fields]
    return RunMap(axes[0], axes[1], tuple(cells), tuple(also), rules, late)


def quantity_named(name: str, runs: Sequence[Listed]) -> str:
    """What cells are coloured by: `phase`, `delay`, an event, its stable time, or a scalar reading.

    Raises MapError where no run has such.
    """
    plain = name.strip().replace(" ", "_")
    events = dict.fromkeys(each for run in runs for each in run.events if not each.endswith("_censored"))
    readings = dict.fromkeys(each for run in runs for each in run.readings)
    known = [PHASE, DELAY, *events, *readings]
    if plain in known:
        return plain
    hint = near(plain, known) or f"; there are {_some(known)}"
    raise MapError(f"no run has {name!r} to colour cells by{hint}")


def _bounds(quantity: str, run: Listed) -> Bounds | None:
    """Between what a number of a run lies; None where it has none."""
    if quantity == DELAY or quantity in run.events:
        if run.last_step is None or not run.events:
            return None
        if quantity == DELAY:
            memorised, grokked = (run.events[name] for name in ("memorised", "grokked"))
            return delay(memorised, grokked, run.last_step)
        step = run.events[quantity]
        return (float(run.last_step), math.inf) if step is None else (float(step), float(step))
    value = run.readings.get(quantity)
    return None if value is None or not math.isfinite(value) else (value, value)


def _median(runs: Iterable[Listed], bounds_of: Callable[[Listed], Bounds | None]) -> Median | None:
    bounds = [its for run in runs if (its := bounds_of(run)) is not None]
    if not bounds:
        return None
    lows, highs = (sorted(side) for side in zip(*bounds, strict=True))
    n, rank = len(bounds), median_rank(len(bounds))
    low, high = (lows[rank - 1], highs[-rank]) if rank else (math.nan, math.nan)
    n_censored = sum(math.isinf(most) and least < most for least, most in bounds)
    middle = _middle(lows), _middle(highs)
    return Median(*middle, low, high, lows[0], highs[-1], n, n_censored)


def _middle(ascending: Sequence[float]) -> float:
    n = len(ascending)
    low, high = ascending[(n - 1) // 2], ascending[n // 2]
    return low if low == high else low + (high - low) / 2


def _field(name: str, runs: Sequence[Listed]) -> str:
    """The field of the spec that is meant."""
    fields = dict.fromkeys(field for run in runs for field in run.settings)
    for field in (name, f"{name}.name"):
        if field in fields:
            return field
    nearest = field_ending_in(name, fields)
    if len(nearest) == 1:
        return nearest[0]
    if nearest:
        raise MapError(f"{name!r} is {' and '.join(nearest)}: give one of them")
    by_end = {field.rpartition(".")[2]: field for field in fields}
    hint = near(name, fields) or near(name, by_end) or f"; {_that_vary(runs)}"
    raise MapError(f"no run has a field {name!r}{hint}")


def _shortened(fields: Sequence[str]) -> list[str]:
    """The ends of the fields' names, whole where these say too little or are the same.

    >>> _shortened(["optimiser.lr", "task.name"])
    ['lr', 'task.name']
    """
    ends = [field.rpartition(".")[2] for field in fields]
    if len({*ends}) < len(ends):
        return list(fields)
    return [f if end in VAGUE else end for f, end in zip(fields, ends, strict=True)]


def _axis(field: str, runs: Sequence[Listed], short: str) -> Axis:
    by_key = {_key(value): value for run in runs for value in [run.settings.get(field)]}
    given = [value for value in by_key.values() if value is not None]
    if len(by_key) < 2:
        raise MapError(
            f"{field} is {written(given[0] if given else None)} in all {len(runs):,} runs: a map needs "
            f"fields of two or more values; {_that_vary(runs)}"
        )
    is_numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
    ordered = sorted(given) if is_numeric else sorted(given, key=written)
    spacing, places = _spaced(ordered) if is_numeric else ("names", list(range(len(ordered))))
    if None in by_key.values():
        ordered, places = [None, *ordered], [0, *(place + 1 for place in places)]
    return Axis(field, short, tuple(ordered), tuple(places), spacing)


def _spaced(values: Sequence[int | float]) -> tuple[Literal["log", "linear", "in order"], list[int]]:
    """Where ascending numbers stand, in cells: on the scale, log or linear, that they are evenly spaced
    on with no more than a place left empty for each; else on that on which they are nearly so.

    Zero stands apart before a log scale.

    >>> _spaced([0.0, 0.001, 0.003, 0.01, 0.1])
    ('log', [0, 1, 2, 3, 5])
    >>> _spaced([0.2, 0.3, 0.5]), _spaced([1, 2, 5, 10])
    (('linear', [0, 1, 3]), ('log', [0, 1, 2, 3]))
    """
    positive = [value for value in values if value > 0]
    zeros = len(values) - len(positive)
    found: list[tuple[float, bool, list[int]]] = []
    if values[0] >= 0 and len(positive) > 2:
        apart, places = _on_grid(np.log(positive))
        found.append((apart, False, [*range(zeros), *(zeros + at for at in places)]))
    if len(values) > 2:
        apart, places = _on_grid(np.asarray(values, float))
        found.append((apart, True, places))
    near = [its for its in found if its[0] <= ROUNDED and its[2][-1] < MOST_SLOTS * len(values)]
    if not near:
        return "in order", list(range(len(values)))
    even = [its for its in near if its[0] <= EVEN and its[2][-1] < 2 * len(values)]
    _, is_linear, places = min(even or near, key=lambda its: (its[2][-1], its[0]))
    return "linear" if is_linear else "log", places


def _on_grid(values: np.ndarray) -> tuple[float, list[int]]:
    """Ascending numbers in units of their least distance, as whole ones from 0; and by how much of a
    unit a distance is changed at most.
    """
    steps = np.diff(values) / np.diff(values).min()
    whole = np.round(steps)
    return float(np.abs(steps - whole).max()), [0, *np.cumsum(whole).astype(int).tolist()]


def _refuse_mixtures(found: Mapping[tuple[int, int], Sequence[Listed]], axes: Sequence[Axis]) -> None:
    """Raise MapError where runs of a cell differ in more than their seeds."""
    mixed = {at: fields for at, runs in found.items() if (fields := _varying(runs))}
    if not mixed:
        return
    at = next(iter(mixed))
    fields = dict.fromkeys(field for each in mixed.values() for field in each)
    where = ", ".join(f"{axis.short}={axis.written(p)}" for axis, p in zip(axes, at, strict=True))
    field = mixed[at][0]
    values = _some(sorted({written(run.settings.get(field)) for run in found[at]}))
    choice = command("--where", f"{field}={exact(found[at][0].settings.get(field))}")
    cells = f"{len(mixed):,} of {len(found):,} cells mix" if len(found) > 1 else "the cell mixes"
    raise MapError(
        f"{cells} runs that differ in {_some(list(fields))} beside their seeds (at {where}, {field} is "
        f"{values}): choose one with {choice}, or map by that field"
    )


def _varying(runs: Sequence[Listed]) -> list[str]:
    """The fields in which runs differ, but for their seeds and where imported ones came from."""
    first = runs[0].settings
    others = [run.settings for run in runs[1:] if run.settings != first]
    fields = dict.fromkeys(name for its in (first, *others) for name in its)
    told = (name for name in fields if name not in CHANCE and not name.startswith("origin."))
    return [name for name in told if any(its.get(name) != first.get(name) for its in others)]


def _that_vary(runs: Sequence[Listed]) -> str:
    fields = _varying(runs)
    if len(fields) == 1:
        return f"these runs differ in {fields[0]} alone"
    return (
        f"these runs differ in {_some(fields)}" if fields else "these runs differ in their seeds alone"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown


def _key(value: Any) -> Any:
    """What tells values apart: true is not 1, 1 is 1.0."""
    return (type(value), value) if isinstance(value, bool) else value


def exact(value: Any) -> str:
    """A value as a condition (`--where`) has it, with all its digits."""
    return repr(value) if isinstance(value, float) else written(value)


def written(value: Any) -> str:
    """A value as spec files write it; 'none' of a run without the field."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else in_brief(value)
