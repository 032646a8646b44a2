"""Forks: which runs a run has its trunk from, and what of theirs is its own too."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from undergrowth.store import rows
from undergrowth.store.errors import StoreError
from undergrowth.store.stored import Happened

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.spec import RunSpec


def spec_of(root: Path, run_id: str) -> RunSpec | None:
    """The spec of a stored run; None where there is none that this version can read."""
    for row in rows.query(root, "SELECT run_id, spec FROM runs WHERE run_id = ?", (run_id,)):
        with suppress(StoreError):
            return rows.spec_of_row(row)
    return None


def forked_at(root: Path, run_id: str) -> int | None:
    """The step at which a stored run left its parent; None where it has none, or has not begun."""
    sql = "SELECT * FROM events WHERE run_id = ? AND kind = 'forked'"
    steps = (row["step"] for row in rows.query(root, sql, (run_id,)) if rows.is_intact(row))
    return next((step for step in steps if isinstance(step, int)), None)


def trunks(root: Path, spec: RunSpec) -> list[tuple[str, int]]:
    """The ids of a run's parent, its parent's parent and so on, each with the step below which its
    readings are the run's own too.
    """
    found: list[tuple[str, int]] = []
    child: RunSpec | None = spec
    while child is not None and child.fork is not None:
        at = forked_at(root, child.id)
        if at is None:
            break
        found.append((child.fork.of, at))
        child = spec_of(root, child.fork.of)
    return found


def curves_of(root: Path, spec: RunSpec) -> dict[str, list[tuple[int, float]]]:
    """The scalar readings of a run, those of its trunk included."""
    found: dict[str, dict[int, float]] = {}
    for run_id, below in (*reversed(trunks(root, spec)), (spec.id, None)):
        for row in rows.scalars_of(root, run_id):
            if rows.is_intact(row) and (below is None or row["step"] < below):
                value = float(rows.reading_of(row).values)
                found.setdefault(row["name"], {})[row["step"]] = value
    return {name: sorted(curve.items()) for name, curve in found.items()}


def events_of(root: Path, run_id: str, trunks: Sequence[tuple[str, int]]) -> tuple[Happened, ...]:
    """What happened in a run, in order: what fired in its trunks before it left them too.

    An intervention fires once: the latest account of it counts.
    """
    found: dict[object, Happened] = {}
    for source, below in (*reversed(trunks), (run_id, 0)):
        for row in rows.of_run(root, "events", source):
            detail = rows.event_of(row)
            if source == run_id or (row["kind"] == "fired" and row["step"] < below):
                event = Happened(row["step"], row["kind"], detail)
                found[event.kind, detail.get("intervention")] = event
    return tuple(sorted(found.values(), key=lambda event: event[:2]))
