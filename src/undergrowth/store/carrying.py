"""Taking an imported run from one store into another: what nothing can train has to be copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from undergrowth.engine.facts import Fact, Measured, Saved, Stepped
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import load_snapshot
from undergrowth.store.layout import create
from undergrowth.store.lock import writing
from undergrowth.store.updates import UPDATE_LOSS, stretches_of
from undergrowth.store.writer import Writer


def carry(root: Path, spec: RunSpec, into: Path) -> None:
    """Copy an imported run of the store at `root` into the one at `into`, which is made if missing.

    Raises StoreError where something of it is not as it was written.
    """
    create(into)
    with writing(into):
        writer = Writer(into, "imports")
        writer.adopt(spec, _facts(root, spec))
        writer.close()


def _facts(root: Path, spec: RunSpec) -> Iterator[Fact]:
    assert spec.origin is not None
    for row in rows.attempts(root, "readings WHERE run_id = ?1 AND name != ?2", (spec.id, UPDATE_LOSS)):
        yield Measured(row["step"], {row["name"]: rows.reading_of(row)})
    for step, losses in sorted(stretches_of(root, spec.id), key=lambda stretch: stretch[0]):
        yield Stepped(step, losses)
    for step in spec.origin.checkpoints:
        yield Saved(load_snapshot(root, spec, step, {}))
