"""Runs as rows: who each is, its settings, the steps of its events and its last readings."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from undergrowth.plain_text import in_one_line
from undergrowth.store.errors import StoreError
from undergrowth.store.events import DEFAULT_RULES, Rules, events
from undergrowth.store.outcomes import in_words
from undergrowth.store.parts import Part
from undergrowth.store.stored import Stored
from undergrowth.store.summaries import Summary
from undergrowth.values import settings, settings_in

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SEEDS = ("seeds.model", "seeds.data", "seeds.noise")


@dataclass(frozen=True)
class Listed:
    """A run as a row.

    names: those that it was given; studies, arms: those that it plays a part in; seed: that of its
    model; settings: its spec's fields by dotted name; last_step: the last at which it was evaluated;
    events: by name the first step, `_stable` the one from which it held to the end, None where there is
    none, and `_censored`, whether the run ended (at last_step) before it; readings: the last value of
    every scalar reading; damage: why it cannot be read, or empty; note: what there is to say of how it
    ended; described: the run in a few words.
    """

    id: str
    names: tuple[str, ...]
    studies: tuple[str, ...]
    arms: tuple[str, ...]
    seed: int
    status: str
    settings: Mapping[str, Any]
    last_step: int | None = None
    events: Mapping[str, int | bool | None] = field(default_factory=dict)
    readings: Mapping[str, float] = field(default_factory=dict)
    damage: str = ""
    note: str = ""
    described: str = ""

    @property
    def called(self) -> tuple[str, ...]:
        """What to call it: its given names or, without any, its arms."""
        return self.names or self.arms


def damage(run: Stored, *, thoroughly: bool = False) -> str:
    """Why the run's curves cannot be read, in one line; empty where they can.

    thoroughly: all its readings are tried, not only the curves.
    """
    try:
        if run.status == "done" and "train_accuracy" not in run.curves:
            return "its curves are missing: restore its database from a copy"
        _ = run.happened
        for name in run.names if thoroughly else ():
            _ = run[name]
    except (StoreError, sqlite3.Error, LookupError, ValueError, TypeError, OSError) as error:
        return in_one_line(str(error.args[0] if isinstance(error, KeyError) else error))
    return ""


def listed(run: Stored, rules: Rules = DEFAULT_RULES) -> Listed:
    """A run as a row; one that is damaged has no events and no readings, and says why."""
    why = damage(run)
    found = {} if why or "train_accuracy" not in run.curves else _of_curves(run.curves, rules)
    note = why or "; ".join(in_words(run))
    return Listed(
        id=run.spec.id,
        names=run.given_names,
        studies=tuple(dict.fromkeys(part.study for part in run.parts)),
        arms=tuple(dict.fromkeys(part.arm for part in run.parts)),
        seed=run.spec.seeds.model,
        status="damaged" if why else run.status,
        settings=settings(run.spec),
        damage=why,
        note=note,
        described=run.spec.describe(),
        **found,
    )


def of_summary(
    run_id: str,
    status: str,
    fields: Mapping[str, Any],
    summary: Summary,
    names: Sequence[str],
    parts: Sequence[Part],
) -> Listed:
    """A run that has ended as a row, from its summary and its spec as plain data."""
    times: dict[str, int | bool | None] = {}
    for name, (first, stable) in summary.events.items():
        times |= {name: first, f"{name}_stable": stable, f"{name}_censored": first is None}
    return Listed(
        id=run_id,
        names=tuple(names),
        studies=tuple(dict.fromkeys(part.study for part in parts)),
        arms=tuple(dict.fromkeys(part.arm for part in parts)),
        seed=fields["seeds"]["model"],
        status=status,
        settings=_Settings(fields),
        last_step=summary.last_step,
        events=times,
        readings={name: value for name, (_, value) in summary.ends.items()},
        note=summary.note,
        described=summary.described,
    )


class _Settings(Mapping[str, Any]):
    """The settings in a spec's plain data, made out when one is asked for: of a long list few are."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    @cached_property
    def _told(self) -> dict[str, Any]:
        return settings_in(self._fields)

    def __getitem__(self, name: str) -> Any:
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)


def _of_curves(curves: xr.Dataset, rules: Rules) -> dict[str, Any]:
    times: dict[str, int | bool | None] = {}
    for name, event in events(curves, rules).items():
        times |= {
            name: event.first,
            f"{name}_stable": event.stable,
            f"{name}_censored": event.censored,
        }
    ends = {str(name): curve.values[curve.notnull().values][-1:] for name, curve in curves.items()}
    return {
        "last_step": int(curves["step"].values[-1]),
        "events": times,
        "readings": {name: float(end[0]) for name, end in ends.items() if end.size},
    }


def that_differ(rows: Sequence[Listed]) -> tuple[str, ...]:
    """The settings in which some runs differ from others, by dotted name in the order of a spec; their
    seeds only where one of them has not one seed for all; and not where imported ones came from.
    """
    told = (name for row in rows for name in row.settings if not name.startswith("origin."))
    names = dict.fromkeys(told)
    one_seed = all(row.settings[name] == row.seed for row in rows for name in SEEDS)
    return tuple(
        name
        for name in names
        if not (one_seed and name in SEEDS) and len({repr(row.settings.get(name)) for row in rows}) > 1
    )


def that_tell(rows: Sequence[Listed]) -> list[str]:
    """Of the settings in which runs differ those that tell more than that some have an intervention,
    say, and others not: of such a part the first alone, and what differs among the runs that have it.
    """
    found: dict[object, str] = {}
    for name in that_differ(rows):
        values = [row.settings.get(name) for row in rows]
        has = tuple(value is not None for value in values)
        is_constant = len({repr(value) for value in values if value is not None}) == 1
        part = tuple(name.split(".")[:2] if name.startswith("interventions") else name.split(".")[:1])
        found.setdefault((part, has) if is_constant else name, name)
    return list(found.values())


def field_ending_in(ending: str, fields: Iterable[str]) -> list[str]:
    """The dotted fields of that ending that are nearest to the top of a spec file.

    >>> field_ending_in("lr", ["optimiser.lr", "interventions.0.action.lr"])
    ['optimiser.lr']
    """
    found = [field for field in fields if field.endswith(f".{ending}")]
    least = min((field.count(".") for field in found), default=0)
    return [field for field in found if field.count(".") == least]


def table(rows: Sequence[Listed]) -> pd.DataFrame:
    """A row for each run, index `run` its id; see `Store.table`."""
    import pandas as pd

    columns = {name: _column(list(map(of, rows))) for name, of in OWN.items()}
    for name in that_differ(rows):
        columns.setdefault(name, _column([row.settings.get(name) for row in rows]))
    for name in dict.fromkeys(name for row in rows for name in row.events):
        kind = "boolean" if name.endswith("_censored") else "Int64"
        columns[name] = pd.array([row.events.get(name) for row in rows], dtype=kind)
    for name in dict.fromkeys(name for row in rows for name in row.readings):
        ends = [row.readings.get(name) for row in rows]
        columns.setdefault(name, pd.Series(ends, dtype=float).array)
    return pd.DataFrame(columns, index=pd.Index([row.id for row in rows], name="run"))


OWN: Mapping[str, Callable[[Listed], Any]] = {
    "name": lambda row: ", ".join(row.called),
    "study": lambda row: ", ".join(row.studies),
    "arm": lambda row: ", ".join(row.arms),
    "seed": lambda row: row.seed,
    "status": lambda row: row.status,
    "steps": lambda row: row.settings["steps"],
    "last_step": lambda row: row.last_step,
}
"""The first columns of a table of runs."""


def _column(values: list[Any]) -> Any:
    """Values as they are; whole numbers stay whole where some are missing."""
    import pandas as pd

    found = pd.Series(values, dtype=object)
    return (found.convert_dtypes() if None in values else found.infer_objects()).array
