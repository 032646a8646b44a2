"""Reading: runs, readings, events and checkpoints of a store as labelled arrays and tables.

pandas, xarray and JAX are imported when they are first used: a worker, which only writes, starts without
the first two, and a list of runs without any.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from undergrowth.notebook_html import html_list, html_table
from undergrowth.store import lineage, listing, measured, rows, run_list, series
from undergrowth.store.database import kept_open
from undergrowth.store.errors import StoreError
from undergrowth.store.events import DEFAULT_RULES, EventName, Rules
from undergrowth.store.layout import MODEL, check, checkpoint_folder
from undergrowth.store.lock import is_being_written
from undergrowth.store.outcomes import of_kind
from undergrowth.store.parts import Part, names_of, parts_of
from undergrowth.store.series import Series
from undergrowth.store.stored import Happened
from undergrowth.store.updates import UPDATE_LOSS
from undergrowth.values import settings

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from undergrowth.measures import Reading
    from undergrowth.models import Model
    from undergrowth.spec import RunSpec

SMALL = 65_536
"""Bytes of a reading up to which it is kept once it was read."""
SHOWN = 12
"""Most ids that an error lists."""
MOST_ROWS = 20
"""Most runs of a store that a notebook shows."""
MOST_SETTINGS = 8
"""Most settings that a notebook shows of several runs."""
EVENTS = get_args(EventName)
ENDS = ("train_accuracy", "val_accuracy")
"""The readings whose last values are shown of a run."""


def _run_in_a_line(self: Run) -> str:
    return f"Run({self.id}: {self.spec.describe()}, {self.status})"


def _run_as_html(run: Run) -> str:
    """What a notebook shows of a run: who it is, how it stands, its events and what differs from the
    defaults.
    """
    row = listing.listed(run)
    events = {
        name: step
        for name, step in row.events.items()
        if name in EVENTS or (name.endswith("_stable") and step != row.events[name[: -len("_stable")]])
    }
    ends = {name: row.readings[name] for name in ENDS if name in row.readings}
    who = {"name": ", ".join(row.called), "run": run.spec.describe(), "status": row.status}
    steps = {"last step": f"{row.last_step or 0:,} of {run.spec.steps:,}"}
    told = {**who, **steps, **events, **ends, "failed": run.message, "damaged": row.damage}
    chosen = settings(run.spec, defaults=False)
    return html_table(f"Run {run.id}", {**{k: v for k, v in told.items() if v != ""}, **chosen})


@dataclass(frozen=True, eq=False)
class Run:
    """One stored run.

    status: 'done', 'failed', 'running', or 'interrupted' if nobody is writing to the store and the run
    has not ended: the command that trained it resumes it. message: why it failed; environment: versions
    and machine; given_names: its names in spec files, parts: its roles in studies, both sorted
    alphabetically.
    """

    store: Store
    spec: RunSpec
    status: str
    message: str
    environment: dict[str, str]
    began: float
    ended: float | None
    given_names: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    # What was read of a run that has ended: a study asks for it again at each endpoint.
    _small: dict[str, Series] = field(default_factory=dict, init=False, repr=False)

    __repr__, _repr_html_ = _run_in_a_line, _run_as_html

    @property
    def id(self) -> str:
        """The hash of the spec."""
        return self.spec.id

    @property
    def has_ended(self) -> bool:
        """Whether it is done, or failed."""
        return self.status in ("done", "failed")

    @property
    def called(self) -> tuple[str, ...]:
        """What to call it: its given names or, without any, those of the arms that it belongs to."""
        return self.given_names or tuple(dict.fromkeys(part.arm for part in self.parts))

    def __getitem__(self, name: str) -> xr.DataArray:
        """A reading over steps, dims (step, ...); raises KeyError with the names there are.

        A fork has its parent's readings before the step at which it left it, where they have the axes
        that its own have. What `undergrowth measure` has read of it afterwards is there too.
        `update_loss` has each step from which an update was made; of a run under way, the stored ones.

        Raises StoreError where a run that has ended lacks the loss of an update amid others.
        """
        found = self._small.get(name) or _read(self, name)
        if self.has_ended and found.values.nbytes <= SMALL:
            self._small[name] = found
            found = found.copied()
        return found.labelled(name)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all its readings."""
        sql = "SELECT DISTINCT name FROM readings WHERE run_id = ? AND step < ?"
        found = [row for source in _sources(self) for row in self.store.query(sql, source)]
        afterwards = measured.names_of(self.store.root, self.id)
        return tuple(sorted({row["name"] for row in found} | afterwards))

    @cached_property
    def trunks(self) -> tuple[tuple[str, int], ...]:
        """Of a fork: the ids of its parent, its parent's parent and so on, each with the step below
        which its readings are this run's too.
        """
        return tuple(lineage.trunks(self.store.root, self.spec))

    @property
    def forked_at(self) -> int | None:
        """The step at which it forked from its parent; None for a run without one."""
        return self.trunks[0][1] if self.trunks else None

    @property
    def stopped(self) -> tuple[int, str] | None:
        """The step at which a rule of its spec stopped it early, and why; None if none did."""
        if not self.spec.stop:
            return None
        found = of_kind(self.happened, "stopped")
        return (found[-1][0], found[-1][1]["reason"]) if found else None

    @property
    def last_step(self) -> int:
        """The step up to which it was to be trained: less than the spec's if a rule stopped it."""
        stopped = self.stopped
        return stopped[0] if stopped else self.spec.steps

    @cached_property
    def curves(self) -> xr.Dataset:
        """All scalar readings of training, dim (step), with what was measured of these since."""
        found = series.read_scalars(self.store.root, _sources(self))
        if self.has_ended:
            self._small.update({name: x for name, x in found.items() if x.values.nbytes <= SMALL})
        return series.together(found)

    @cached_property
    def events(self) -> pd.DataFrame:
        """Interventions that fired, the fork, divergence and a stop: columns step, kind, detail.

        A fork has those that fired in its parent before it left it.
        """
        import pandas as pd

        return pd.DataFrame(list(self.happened), columns=["step", "kind", "detail"])

    @cached_property
    def happened(self) -> tuple[Happened, ...]:
        """The same as plain data, (step, kind, detail)."""
        return lineage.events_of(self.store.root, self.id, self.trunks)

    @cached_property
    def checkpoints(self) -> tuple[int, ...]:
        """Steps at which the model is kept."""
        found = self.store.query(
            "SELECT DISTINCT step FROM files WHERE run_id = ? AND step IS NOT NULL", (self.id,)
        )
        return tuple(sorted({row["step"] for row in found}))

    def model(self, step: int | None = None) -> Model:
        """The model at a checkpoint (the last one by default)."""
        from undergrowth.store.checkpoints import load_model

        if not self.checkpoints:
            raise KeyError(f"run {self.id} has no checkpoint yet")
        step = self.checkpoints[-1] if step is None else step
        if step not in self.checkpoints:
            there = ", ".join(map(str, self.checkpoints))
            raise KeyError(f"run {self.id} has no checkpoint at step {step}: it has {there}")
        return load_model(self.store.root, self.spec, step)

    def checkpoint_path(self, step: int) -> Path:
        """The model.safetensors of a checkpoint."""
        return self.store.root / checkpoint_folder(self.id, step) / MODEL


def _sources(run: Run) -> tuple[tuple[str, int], ...]:
    """Whose readings are a run's, the oldest first, each with the step below which they are."""
    return *reversed(run.trunks), (run.id, run.spec.steps + 1)


def _read(run: Run, name: str) -> Series:
    root, sources = run.store.root, _sources(run)
    if name == UPDATE_LOSS and name in run.names:
        losses, gap = series.read_updates(root, sources)
        if gap is not None and run.has_ended:
            raise StoreError(
                f"run {run.id}: {UPDATE_LOSS} has a gap at step {gap}: restore its database from a copy"
            )
        return losses
    found = series.read(root, sources, name)
    if found is None:
        raise KeyError(f"run {run.id} has no reading {name!r}; it has {', '.join(run.names)}")
    return found


class Store:
    """A directory of runs, read only. It may be read while it is being written.

    Everything read is checked against the stored digests: StoreError where it differs.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        check(self.root)

    def __repr__(self) -> str:
        try:
            accounts = self._accounts().values()
        except (StoreError, OSError):
            return f"Store({str(self.root)!r}: damaged)"
        each = [run.status if isinstance(run, Run) else "unreadable" for run in accounts]
        said = [f"{each.count(status)} {status}" for status in sorted(set(each))]
        runs = f"{len(each)} run{'' if len(each) == 1 else 's'}"
        return f"Store({str(self.root)!r}: {', '.join([runs, *said])})"

    def _repr_html_(self) -> str:
        found = self.runs
        rows = [listing.listed(run) for run in found[:MOST_ROWS]]
        chosen = listing.that_tell(rows)[:MOST_SETTINGS]
        heads = ("run", "name", "seed", "status", *chosen, "memorised", "grokked", "val_accuracy")
        more = f"and {len(found) - MOST_ROWS} more: .table() has all" if found[MOST_ROWS:] else ""
        return html_list(
            repr(self),
            heads,
            [(run.id, *_in_a_notebook(run, chosen)) for run in rows],
            more,
        )

    @property
    def is_being_written(self) -> bool:
        """Whether a process is writing to it now."""
        return is_being_written(self.root)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[sqlite3.Row]:
        """Rows of all SQLite files of the store, one file after the other."""
        return rows.query(self.root, sql, parameters)

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, in the order of their specs' descriptions and ids."""
        runs = [run for run in self._accounts().values() if isinstance(run, Run)]
        return tuple(sorted(runs, key=lambda r: (r.spec.labels != "true", r.spec.describe(), r.id)))

    @property
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """Runs that `runs` leaves out, as (id, reason): of another version, or damaged."""
        return tuple((id_, why) for id_, why in self._accounts().items() if isinstance(why, str))

    def select(self, specs: Iterable[RunSpec]) -> tuple[Run, ...]:
        """The stored runs among `specs`, in that order."""
        return self.of_ids([spec.id for spec in specs])

    def of_ids(self, ids: Sequence[str]) -> tuple[Run, ...]:
        """The stored runs of these ids, in that order; those that cannot be read are left out."""
        some = "WHERE run_id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
        found = self._accounts(*some)
        runs = [found.get(run_id) for run_id in ids]
        return tuple(run for run in runs if isinstance(run, Run))

    def run(self, run_id: str) -> Run:
        """The run whose id begins with `run_id`; raises KeyError unless there is exactly one."""
        accounts = self._accounts(rows.BEGINNING, rows.beginning(run_id))
        matching = [run for run in accounts.values() if isinstance(run, Run)]
        if len(matching) == 1:
            return matching[0]
        if len(accounts) == 1:
            ((id_, why),) = accounts.items()
            raise KeyError(f"run {id_} cannot be read: {why}")
        known = [run.id for run in (matching or self.runs)]
        shown = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if known[SHOWN:] else "")
        which = f"the store has {shown}" if known else "the store has none"
        raise KeyError(f"{len(matching)} runs have an id that starts with {run_id!r}: {which}")

    def table(self, rules: Rules = DEFAULT_RULES) -> pd.DataFrame:
        """A row for each run, index `run` its id.

        Columns: name, study, arm, seed, status, steps (to be made) and last_step (evaluated last); the
        settings in which runs differ, by dotted name as in spec files (optimiser.lr), NA where a run has
        no such; memorised, onset and grokked by `rules`: the first step, `_stable` the one from which it
        held to the end, both NA where it never did, and `_censored`, whether the run ended (at
        last_step) before it; then the last value of every scalar reading. A damaged run has NA for all
        that was read of it, and the status 'damaged'.
        """
        return listing.table(self.listed(rules)[0])

    def listed(
        self, rules: Rules = DEFAULT_RULES
    ) -> tuple[list[listing.Listed], tuple[tuple[str, str], ...]]:
        """All runs as rows, in the order of `runs`; and those that `unreadable` has.

        Of a run that has ended, from the summary that was kept when it did, if that is by these rules:
        so a row takes a tenth of a millisecond. Databases of more than a gigabyte together are not
        compared with their seals for that: a damaged curve in them is found by whoever reads it, and by
        `verify`.
        """
        names, parts, in_use = names_of(self.root), parts_of(self.root), self.is_being_written

        def run_of(row: sqlite3.Row) -> Run | str:
            its = names.get(row["run_id"], ()), parts.get(row["run_id"], ())
            return self._run(row, in_use, *its)

        with kept_open():
            return run_list.read(self.root, run_of, names, parts, rules)

    def readings_of(self, run_id: str, name: str) -> dict[int, Reading]:
        """One reading of one run by step; `update_loss` as it is stored, in stretches."""
        latest = {row["step"]: row for row in rows.of_run(self.root, "readings", run_id, name)}
        return {step: rows.reading_of(row) for step, row in sorted(latest.items())}

    def _accounts(self, which: str = "", parameters: Sequence[object] = ()) -> dict[str, Run | str]:
        """By id, every run whose id meets a condition in SQL, or why it cannot be read."""
        found = sorted(self.query(f"SELECT * FROM runs {which}", parameters), key=rows.precedence)
        latest = {row["run_id"]: row for row in found}
        in_use = any(row["status"] == "running" for row in latest.values()) and self.is_being_written
        names = names_of(self.root, which, parameters)
        parts = parts_of(self.root, which, parameters)
        return {
            run_id: self._run(row, in_use, names.get(run_id, ()), parts.get(run_id, ()))
            for run_id, row in latest.items()
        }

    def _run(
        self, row: sqlite3.Row, in_use: bool, names: tuple[str, ...], parts: tuple[Part, ...]
    ) -> Run | str:
        try:
            spec = rows.spec_of_row(row)
            if not rows.is_intact(row):
                return f"its status, message, times or environment were changed: see {rows.VERIFY}"
            environment = rows.environment_of(row)
        except StoreError as error:
            return str(error)
        status, message = row["status"], row["message"]
        if status not in rows.STATUSES:
            return f"its status is {str(status)[:20]!r}: see {rows.VERIFY}"
        status = "interrupted" if status == "running" and not in_use else status
        return Run(self, spec, status, message, environment, row["began"], row["ended"], names, parts)


def _in_a_notebook(row: listing.Listed, chosen: Sequence[str]) -> list[object]:
    events = [row.events.get(name) for name in ("memorised", "grokked")]
    who = [", ".join(row.called), row.seed, row.status]
    return [*who, *map(row.settings.get, chosen), *events, row.readings.get("val_accuracy")]


def together(runs: Sequence[Run], name: str) -> xr.DataArray:
    """One reading of several runs, dims (run, step, ...); steps that a run lacks are NaN.

    The `run` axis is labelled with run ids.
    """
    import pandas as pd
    import xarray as xr

    arrays = [run[name] for run in runs]
    ids = pd.Index([run.id for run in runs], name="run")
    return xr.concat(arrays, dim=ids, join="outer", coords="minimal", compat="override")
