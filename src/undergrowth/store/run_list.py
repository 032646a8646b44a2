"""All runs of a store as rows: those that have ended from their summaries, others from their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic_core import from_json

from undergrowth.garbage import collected_seldom
from undergrowth.store import measured, rows
from undergrowth.store.database import sealed_with
from undergrowth.store.errors import StoreError
from undergrowth.store.events import Rules
from undergrowth.store.files import sha256
from undergrowth.store.layout import databases
from undergrowth.store.listing import Listed, listed, of_summary
from undergrowth.store.parts import Part
from undergrowth.store.stored import Stored
from undergrowth.store.summaries import Summary, summary_in

MOST_BYTES = 2**30
"""Of databases that are compared with their seals before their summaries are believed."""

ENDED = ("done", "failed")
JOINED = """SELECT runs.*, summaries.content AS summary, summaries.digest AS summary_digest
FROM runs LEFT JOIN summaries USING (run_id)"""

Unreadable = tuple[tuple[str, str], ...]


@collected_seldom()
def read(
    root: Path,
    run_of: Callable[[rows.Row], Stored | str],
    names: Mapping[str, Sequence[str]],
    parts: Mapping[str, Sequence[Part]],
    rules: Rules,
) -> tuple[list[Listed], Unreadable]:
    """The rows in the order of `Store.runs`, and (id, reason) of the runs that cannot be read.

    run_of: makes the run of a row of `runs`, or says why it cannot; names, parts: by run id.
    """
    found: list[tuple[bool, Listed]] = []  # whether its labels are not the true ones, and the run
    unreadable: list[tuple[str, str]] = []
    afterwards = _measured(root)
    for run_id, (row, summary) in _latest(root, rules).items():
        if summary is not None and not any(each is None for each in afterwards.get(run_id, ())):
            summary = _with_measured(summary, afterwards.get(run_id, ()))
            fields = from_json(row["spec"])
            its = names.get(run_id, ()), parts.get(run_id, ())
            each = of_summary(run_id, row["status"], fields, summary, *its)
            found.append((fields["labels"] != "true", each))
            continue
        run = run_of(row)
        if isinstance(run, str):
            unreadable.append((run_id, run))
        else:
            found.append((run.spec.labels != "true", listed(run, rules)))
    found.sort(key=lambda each: (each[0], each[1].described, each[1].id))
    return [each for _, each in found], tuple(unreadable)


def _latest(root: Path, rules: Rules) -> dict[str, tuple[rows.Row, Summary | None]]:
    """By run id, the account that counts, with its summary where that can be believed."""
    paths = databases(root)
    is_small = sum(path.stat().st_size for path in paths) <= MOST_BYTES
    accounts: list[tuple[rows.Row, Summary | None]] = []
    for path in paths:
        has_summaries = rows.query_one(path, "SELECT 1 FROM sqlite_master WHERE name = 'summaries'")
        is_believed = bool(has_summaries) and not (is_small and _has_changed(path))
        for row in rows.query_one(path, JOINED if has_summaries else "SELECT * FROM runs"):
            is_summed_up = is_believed and row["status"] in ENDED and rows.is_intact(row)
            told = (row["summary"], row["summary_digest"]) if is_summed_up else (None, None)
            accounts.append((row, summary_in(row["run_id"], *told, rules)))
    accounts.sort(key=lambda account: rows.precedence(account[0]))
    return {row["run_id"]: (row, summary) for row, summary in accounts}


def _has_changed(path: Path) -> bool:
    """Whether a database that was closed in order is no longer what was closed."""
    try:
        seal = sealed_with(path)
        return seal is not None and seal != sha256(path)
    except StoreError:
        return True


Afterwards = tuple[str, int, float]
"""Of what was measured after training: the name of a scalar reading, a step, its value there."""


def _measured(root: Path) -> dict[str, list[Afterwards | None]]:
    """By run id, the scalars that were measured after training; None for one that is damaged."""
    found: dict[str, list[Afterwards | None]] = {}
    for row in measured.all_scalar_rows(root):
        try:
            value = float(rows.stored_in(row).values)
            told = (row["name"], row["step"], value) if value == value else None
        except StoreError:
            found.setdefault(row["run_id"], []).append(None)
            continue
        if told is not None:
            found.setdefault(row["run_id"], []).append(told)
    return found


def _with_measured(summary: Summary, afterwards: Sequence[Afterwards | None]) -> Summary:
    """A summary to which what was measured after training is added, of what training had read too."""
    ends, last = dict(summary.ends), summary.last_step
    for name, step, value in filter(None, afterwards):
        if name in ends and last is not None:
            last = max(last, step)
            if step > ends[name][0]:
                ends[name] = (step, value)
    return replace(summary, ends=ends, last_step=last)
