"""Runs, their events and their readings as tidy tables, in pieces of one run and one reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from undergrowth.exports.account import happened, one_by_one, readings_of
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.store.listing import OWN, Listed
from undergrowth.values import settings

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["text", "whole", "number", "truth"]


class Column(NamedTuple):
    """Values of one kind; None where there is none."""

    kind: Kind
    values: Sequence[Any] | np.ndarray


Columns = Mapping[str, Column]
Write = Callable[[str, Columns], None]
"""write(table, columns) adds rows to a table, whose columns and their kinds are the same each time."""

EVENTS: Mapping[str, Kind] = {
    f"{event}{ending}": "truth" if ending == "_censored" else "whole"
    for event in get_args(EventName)
    for ending in ("", "_stable", "_censored")
}
MOST_ROWS = 2**17
"""Rows of a reading that are written at once: they take much more memory than its numbers."""
WHOLE = ("seed", "steps", "last_step")


def write_tables(runs: Sequence[Run], readings: Sequence[str], write: Write) -> None:
    """Write the tables `runs` (a row a run: its settings, the steps of its events), `events` (a row for
    each that happened) and `readings` (a row for each run, step and reading).

    Readings with axes are in a table for each set of axes, `readings_by_neuron`, which has a column for
    each axis; an axis without labels is counted from 0.
    """
    kinds = _kinds_of_settings(runs)
    axes: dict[str, tuple[Kind, ...]] = {}
    for run, row in one_by_one(runs, readings):
        write("runs", _of_run(row, kinds))
        write("events", _of_events(run, row))
        for array in readings_of(run, readings):
            for piece in _pieces(array):
                columns = _of_reading(run.id, piece)
                write(_table_of(piece, columns, axes), columns)


def _kinds_of_settings(runs: Iterable[Run]) -> dict[str, Kind]:
    """By name what kind each setting is of in all runs."""
    found: dict[str, set[type]] = {}
    for run in runs:
        for name, value in settings(run.spec).items():
            found.setdefault(name, set()).add(type(value))
    return {name: _kind_of(types) for name, types in found.items()}


def _kind_of(types: set[type]) -> Kind:
    if types == {bool}:
        return "truth"
    if types == {int}:
        return "whole"
    return "number" if types <= {int, float} else "text"


def _of_run(row: Listed, kinds: Mapping[str, Kind]) -> Columns:
    own = {name: Column("whole" if name in WHOLE else "text", [of(row)]) for name, of in OWN.items()}
    chosen = {
        name: Column(kind, [_in_kind(kind, row.settings.get(name))])
        for name, kind in kinds.items()
        if name not in own
    }
    events = {name: Column(kind, [row.events.get(name)]) for name, kind in EVENTS.items()}
    return {"run": Column("text", [row.id]), **own, **chosen, **events}


def _in_kind(kind: Kind, value: Any) -> Any:
    """A setting as its column has it: in a column of several kinds as JSON, text as it is."""
    if value is None or (kind != "text" and kind != "number"):
        return value
    if kind == "number":
        return float(value)
    return value if isinstance(value, str) else json.dumps(value)


def _of_events(run: Run, row: Listed) -> Columns:
    found = happened(run, row)
    return {
        "run": Column("text", [run.id] * len(found)),
        "step": Column("whole", [each.step for each in found]),
        "event": Column("text", [each.kind for each in found]),
        "detail": Column("text", [json.dumps(each.detail) if each.detail else None for each in found]),
    }


def _pieces(array: xr.DataArray) -> Iterator[xr.DataArray]:
    """The array by steps, so many at a time as make few enough rows, one at least."""
    at_a_time = max(1, MOST_ROWS // max(1, array[0].size)) if len(array) else 1
    for first in range(0, len(array), at_a_time):
        yield array[first : first + at_a_time]


def _of_reading(run_id: str, array: xr.DataArray) -> Columns:
    places = [place.reshape(-1) for place in np.indices(array.shape)]
    labels = {str(dim): _labels(array, str(dim))[at] for dim, at in zip(array.dims, places, strict=True)}
    step = labels.pop("step")
    return {
        "run": Column("text", [run_id] * array.size),
        "step": Column("whole", step),
        "reading": Column("text", [str(array.name)] * array.size),
        **{dim: Column(_kind_of_array(its), its) for dim, its in labels.items()},
        "value": Column("number", array.values.reshape(-1)),
    }


def _labels(array: xr.DataArray, dim: str) -> np.ndarray:
    return array[dim].values  # xarray counts an axis that has no labels from 0


def _kind_of_array(labels: np.ndarray) -> Kind:
    if labels.dtype.kind in "iu":
        return "whole"
    return "number" if labels.dtype.kind == "f" else "text"


def _table_of(array: xr.DataArray, columns: Columns, axes: dict[str, tuple[Kind, ...]]) -> str:
    """The table of a reading: those with the same axes share one, where their labels are of one kind."""
    dims = [str(dim) for dim in array.dims[1:]]
    kinds: tuple[Kind, ...] = tuple(columns[dim].kind for dim in dims)
    table = "_".join(["readings", *(("by", *dims) if dims else ())])
    for name in (table, *(f"{table}_{n}" for n in range(2, 2 + len(axes)))):
        if axes.setdefault(name, kinds) == kinds:
            return name
    raise AssertionError("there are no more kinds of labels than tables")
