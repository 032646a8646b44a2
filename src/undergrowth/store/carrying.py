"""Runs that were trained elsewhere: put into a store whole, and taken from one store into another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from undergrowth.engine.facts import Fact, Measured, Saved, Stepped
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import load_snapshot
from undergrowth.store.layout import IMPORTED, create
from undergrowth.store.lock import writing
from undergrowth.store.updates import UPDATE_LOSS, stretches_of
from undergrowth.store.writer import Writer


def adopt(writer: Writer, spec: RunSpec, facts: Iterable[Fact]) -> None:
    """Store a run that was trained elsewhere, whole: its readings and the snapshots that it has.

    What it has read is counted in an event, for it follows no schedule.
    """
    writer.announce(spec)
    steps: dict[str, int] = {}
    for fact in facts:
        writer.write(spec, fact)
        for name in fact.readings if isinstance(fact, Measured) else ():
            steps[name] = steps.get(name, 0) + 1
        if isinstance(fact, Stepped):
            steps[UPDATE_LOSS] = steps.get(UPDATE_LOSS, 0) + len(fact.losses)
    account = rows.event_row(spec.id, spec.steps, IMPORTED, {"readings": steps})
    writer.kept.insert("events", [account])
    writer.end(spec, "done")


def carry(root: Path, spec: RunSpec, into: Path) -> None:
    """Copy an imported run of the store at `root` into the one at `into`, which is made if missing.

    Raises StoreError where something of it is not as it was written.
    """
    create(into)
    with writing(into):
        writer = Writer(into, "imports")
        adopt(writer, spec, _facts(root, spec))
        writer.close()


def _facts(root: Path, spec: RunSpec) -> Iterator[Fact]:
    assert spec.origin is not None
    for row in rows.attempts(root, "readings WHERE run_id = ?1 AND name != ?2", (spec.id, UPDATE_LOSS)):
        yield Measured(row["step"], {row["name"]: rows.reading_of(row)})
    for step, losses in sorted(stretches_of(root, spec.id), key=lambda stretch: stretch[0]):
        yield Stepped(step, losses)
    for step in spec.origin.checkpoints:
        yield Saved(load_snapshot(root, spec, step, {}))
