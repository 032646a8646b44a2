"""Is a store what was written? Every row and every file against the digest kept with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import measured, rows
from undergrowth.store.layout import check, databases, is_whole, seal_of, sha256
from undergrowth.store.updates import UPDATE_LOSS, known_until, span

MISSING = "readings are missing: restore them from a copy"
MEND = "train its run again into this store to mend it"


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written: where, and what is wrong with it (and what to do)."""

    place: str
    wrong: str


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong (nothing, in a whole store).

    readings: one a name and step, and one for the losses of all updates of a run.
    """

    runs: int
    readings: int
    files: int
    damage: tuple[Damage, ...]


@dataclass
class _Seen:
    """What the databases hold, gathered over all of them."""

    n_runs: int = 0
    n_readings: int = 0
    runs: set[str] = field(default_factory=set)
    specs: dict[str, RunSpec] = field(default_factory=dict)
    done: dict[str, RunSpec] = field(default_factory=dict)
    steps: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    updates: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    forked_at: dict[str, int] = field(default_factory=dict)
    digests: dict[str, set[str]] = field(default_factory=dict)


def verify(root: Path) -> Verified:
    """Check a store completely; it may be in use.

    A database that was closed in order is checked byte by byte, any other one row by row; every
    checkpoint, spec and data file byte by byte; every spec against its run's id; every finished run
    for a reading at each step of its schedules, and for the loss of every update if it has that of any
    (an earlier version kept none).
    """
    check(root)
    folders = sorted(path.name for path in (root / "runs").glob("*") if path.is_dir())
    seen = _Seen()
    damage: list[Damage] = []
    for path in databases(root):
        try:
            damage.extend(_verify_database(root, path, seen))
        except (sqlite3.DatabaseError, LookupError, TypeError, ValueError) as error:  # not readable
            damage.append(Damage(str(path.relative_to(root)), str(error)))
    damage.extend(_verify_whole(root, folders, seen))
    damage.extend(_verify_files(root, seen.digests))
    damage.extend(Damage(*found) for found in measured.damaged(root))
    found = tuple(dict.fromkeys(damage))
    n_readings = seen.n_readings + len(seen.updates)
    return Verified(seen.n_runs, n_readings, len(seen.digests), found)


def unfinished_files(root: Path) -> set[str]:
    """Ids of the runs with a file that is missing or of another size: a quick look, no digests."""
    sizes: dict[tuple[str, str], set[int]] = {}
    for row in rows.query(root, "SELECT run_id, path, bytes FROM files"):
        sizes.setdefault((row["run_id"], row["path"]), set()).add(row["bytes"])
    return {
        run_id
        for (run_id, path), written in sizes.items()
        if not (root / path).is_file() or (root / path).stat().st_size not in written
    }


def _verify_database(root: Path, path: Path, seen: _Seen) -> Iterator[Damage]:
    place = str(path.relative_to(root))
    seal = seal_of(path)
    if seal.exists() and seal.read_text().strip() != sha256(path):
        yield Damage(place, "the file has changed since it was closed: restore it from a copy")
    with closing(rows.open_for_reading(path)) as connection:
        for row in connection.execute("PRAGMA integrity_check"):
            if row[0] != "ok":
                yield Damage(place, row[0])
        for row in connection.execute("SELECT * FROM runs"):
            yield from _verify_run(row, seen)
        for row in connection.execute("SELECT * FROM readings"):
            if row["name"] == UPDATE_LOSS:
                seen.updates.setdefault(row["run_id"], []).append(span(row))
            else:
                seen.n_readings += 1
                by_name = seen.steps.setdefault(row["run_id"], {})
                by_name.setdefault(row["name"], set()).add(row["step"])
            if not rows.is_whole(row):
                yield Damage(
                    f"run {row['run_id']}, {row['name']} at step {row['step']}",
                    "the reading differs from its digest",
                )
        for row in connection.execute("SELECT * FROM events"):
            if row["kind"] == "forked":
                seen.forked_at[row["run_id"]] = row["step"]
            if not rows.is_whole(row):
                yield Damage(
                    f"run {row['run_id']}, event at step {row['step']}",
                    "the event differs from its digest",
                )
        for row in connection.execute("SELECT * FROM files"):
            seen.digests.setdefault(row["path"], set()).add(row["sha256"])


def _verify_run(row: sqlite3.Row, seen: _Seen) -> Iterator[Damage]:
    seen.n_runs += 1
    seen.runs.add(row["run_id"])
    spec = _spec_of(row)
    if spec is not None:
        seen.specs[spec.id] = spec
    if spec is None:
        yield Damage(f"run {row['run_id']}", "its spec does not hash to its id")
    elif not rows.is_whole(row):
        yield Damage(f"run {row['run_id']}", "its status, message, times or environment were changed")
    elif row["status"] == "done":
        seen.done[spec.id] = spec


def _verify_whole(root: Path, folders: list[str], seen: _Seen) -> Iterator[Damage]:
    """What is not there at all."""
    for seal in sorted((root / "readings").glob("*.sha256")):
        database = seal.with_suffix(".sqlite")
        if not database.exists():
            yield Damage(str(database.relative_to(root)), "the file is missing: restore it from a copy")
    for run_id in folders:
        if run_id not in seen.runs:
            yield Damage(f"runs/{run_id}", f"no database knows this run: {MEND}")
    for spec in seen.done.values():
        yield from _verify_readings(spec, seen, spec.steps + 1)
        yield from _verify_trunk(spec, seen)


def _verify_trunk(spec: RunSpec, seen: _Seen) -> Iterator[Damage]:
    """What a finished fork has from its parent, which need not be finished, and that from its own."""
    while spec.fork is not None:
        parent = seen.specs.get(spec.fork.of)
        if parent is None:
            yield Damage(
                f"run {spec.id}", f"its parent {spec.fork.of} is not in the store: train it too"
            )
            return
        yield from _verify_readings(parent, seen, seen.forked_at.get(spec.id, 0))
        spec = parent


def _verify_readings(spec: RunSpec, seen: _Seen, below: int) -> Iterator[Damage]:
    """Whether a run has a reading at each step of its schedules below one, and each update's loss."""
    first = seen.forked_at.get(spec.id, 0)  # what comes before is its parent's
    schedules = {
        tuple(step for step in measure.schedule.steps(spec.steps) if first <= step < below)
        for measure in spec.measures
    }
    for name, steps in ({"train_loss": set[int]()} | seen.steps.get(spec.id, {})).items():
        if tuple(sorted(step for step in steps if step < below)) not in schedules:
            yield Damage(f"run {spec.id}, {name}", MISSING)
    updates = seen.updates.get(spec.id)
    if updates and known_until(updates, first) < min(below, spec.steps):
        yield Damage(f"run {spec.id}, {UPDATE_LOSS}", MISSING)


def _verify_files(root: Path, digests: dict[str, set[str]]) -> Iterator[Damage]:
    for place, written in digests.items():
        if not (root / place).exists():
            yield Damage(place, f"the file is missing: {MEND}")
        elif not is_whole(root / place, written):
            yield Damage(place, f"the file differs from its digest: delete it and {MEND}")


def _spec_of(row: sqlite3.Row) -> RunSpec | None:
    """The spec in a row of `runs`; None where it does not hash to the run's id."""
    try:
        spec = RunSpec.from_dict(json.loads(row["spec"]))
    except (SpecError, ValueError):
        return None
    return spec if spec.id == row["run_id"] else None
