"""What every format tells of a run: who it is, what happened in it, and its readings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from undergrowth.exports.format import ExportError
from undergrowth.store import Run, StoreError
from undergrowth.store.events import EventName
from undergrowth.store.listing import Listed, listed
from undergrowth.store.stored import Happened
from undergrowth.store.updates import UPDATE_LOSS

if TYPE_CHECKING:
    import xarray as xr


def one_by_one(runs: Sequence[Run], readings: Sequence[str]) -> Iterator[tuple[Run, Listed]]:
    """Each run with its row, of which nothing is kept once the next is asked for.

    Raises StoreError for a damaged run, and in the end ExportError where a reading was named that none
    of the runs has.
    """
    missing = set(readings)
    for run in map(replace, runs):  # copies, for a run keeps what was read of it
        row = listed(run)
        if row.damage:
            raise StoreError(f"run {run.id}: {row.damage}")
        missing -= {*run.names}
        yield run, row
    if missing:
        there = ", ".join(replace(runs[-1]).names)
        raise ExportError(f"no run has a reading {sorted(missing)[0]!r}: run {runs[-1].id} has {there}")


def happened(run: Run, row: Listed) -> list[Happened]:
    """By step what happened in a run: its events by the usual rules, and those that are stored."""
    steps = {name: row.events.get(name) for name in get_args(EventName)}
    found = [Happened(step, name, {}) for name, step in steps.items() if step is not None]
    return sorted([*found, *run.happened], key=lambda each: each[:2])


def in_words(each: Happened) -> str:
    """An event in one line."""
    return f"{each.kind} {json.dumps(each.detail)}" if each.detail else each.kind


def readings_of(run: Run, readings: Sequence[str]) -> Iterator[xr.DataArray]:
    """The readings that were named, or all but the loss of every update; dims (step, ...)."""
    _ = run.curves  # reads all that have no axes in few queries
    for name in run.names:
        if name in readings or (not readings and name != UPDATE_LOSS):
            yield run[name]
