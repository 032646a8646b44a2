"""Is a store what was written? Every row and every file against the digest kept with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from undergrowth.store import measured, rows
from undergrowth.store.database import reading, sealed_with
from undergrowth.store.errors import StoreError, UnknownPartError
from undergrowth.store.files import entries, inside, is_folder, is_intact, is_regular, sha256
from undergrowth.store.layout import IMPORTED, check, databases, measured_database
from undergrowth.store.lock import is_being_written
from undergrowth.store.staged import is_ready
from undergrowth.store.updates import UPDATE_LOSS, known_until, span

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.spec import RunSpec

MISSING = "readings are missing: restore them from a copy"
MEND = "train its run again into this store to mend it"
IMPORT_AGAIN = "import its files into this store again"
ALWAYS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""What every finished run has read, also one of a version that did not say what it had read."""


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written: where, and what is wrong with it (and what to do)."""

    place: str
    wrong: str


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong (nothing, in a whole store).

    readings: one a name and step, and one for the losses of all updates of a run; interrupted: runs that
    nobody is training and that have not ended, as a kill leaves them: nothing is wrong with them.
    """

    runs: int
    readings: int
    files: int
    damage: tuple[Damage, ...]
    interrupted: int = 0


@dataclass
class _Seen:
    """What the databases hold, gathered over all of them."""

    status: dict[str, set[str]] = field(default_factory=dict)
    specs: dict[str, RunSpec] = field(default_factory=dict)
    done: dict[str, RunSpec] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    steps: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    updates: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    forked_at: dict[str, int] = field(default_factory=dict)
    stopped_at: dict[str, int] = field(default_factory=dict)
    imported: dict[str, dict[str, int]] = field(default_factory=dict)
    digests: dict[str, set[str]] = field(default_factory=dict)

    def end_of(self, spec: RunSpec) -> int:
        """The last step of a run that has ended."""
        return self.stopped_at.get(spec.id, spec.steps) if spec.stop else spec.steps

    @property
    def n_readings(self) -> int:
        by_name = (steps for names in self.steps.values() for steps in names.values())
        return sum(map(len, by_name)) + len(self.updates)


def verify(root: str | Path) -> Verified:
    """Check a store completely; it may be in use.

    A properly closed database is checked byte by byte, any other row by row; every checkpoint, spec and
    data file byte by byte; every spec against its run's id; every finished run for a reading at each
    step of its schedules, and for the loss of every update if it has that of any (an earlier version
    stored none).
    """
    root = Path(root)
    check(root)
    folders = [path.name for path in entries(root / "runs") if is_folder(path)]
    seen = _Seen()
    damage: list[Damage] = []
    for path in databases(root):
        damage.extend(_of_database(root, path, seen))
    damage.extend(_verify_whole(root, folders, seen))
    damage.extend(_verify_files(root, seen.digests))
    damage.extend(_verify_measured(root))
    waiting = sum(statuses == {"running"} for statuses in seen.status.values())
    return Verified(
        runs=len(seen.status),
        readings=seen.n_readings,
        files=len(seen.digests),
        damage=tuple(dict.fromkeys(damage)),
        interrupted=0 if waiting and is_being_written(root) else waiting,
    )


def unfinished_files(root: Path) -> set[str]:
    """Ids of the runs with a file that is missing or of another size: a quick look, no digests."""
    sizes: dict[tuple[str, str], set[int]] = {}
    for row in rows.query(root, "SELECT run_id, path, bytes FROM files"):
        sizes.setdefault((row["run_id"], row["path"]), set()).add(row["bytes"])
    return {
        run_id
        for (run_id, place), written in sizes.items()
        for path in [inside(root, place)]
        if not is_regular(path) or path.lstat().st_size not in written
    }


def _of_database(root: Path, path: Path, seen: _Seen) -> Iterator[Damage]:
    """What is wrong with a database, and if it is one that cannot be read, that."""
    place = str(path.relative_to(root))
    yield from _of_seal(place, path)
    try:
        with reading(path) as connection:
            for row in connection.execute("PRAGMA integrity_check"):
                if row[0] != "ok":
                    yield Damage(place, row[0])
            for table, verified in TABLES.items():
                for row in _rows(connection, table):
                    try:
                        yield from verified(row, seen)
                    except (LookupError, TypeError, ValueError) as error:
                        yield Damage(
                            f"{place}, {table}", f"a row that undergrowth did not write: {error}"
                        )
    except (sqlite3.DatabaseError, StoreError) as error:
        yield Damage(place, str(error))


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[rows.Row]:
    try:
        yield from connection.execute(f"SELECT * FROM {table}")
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):  # made by a version before
            raise


def _of_seal(place: str, path: Path) -> Iterator[Damage]:
    """Whether a closed database is what was closed. One that is opened meanwhile loses its seal."""
    try:
        if (seal := sealed_with(path)) and seal != sha256(path) and sealed_with(path) == seal:
            yield Damage(place, "the file has changed since it was closed: restore it from a copy")
    except StoreError as error:
        yield Damage(place, str(error))


def _of_run(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if not isinstance(row["run_id"], str) or not rows.IS_RUN_ID.fullmatch(row["run_id"]):
        raise ValueError("its id is none")
    seen.status.setdefault(row["run_id"], set()).add(str(row["status"]))
    try:
        spec = rows.spec_of_row(row)
    except UnknownPartError as error:
        yield Damage(f"run {row['run_id']}", f"it cannot be checked: {error}")
        return
    except StoreError:
        yield Damage(f"run {row['run_id']}", "its spec does not hash to its id")
        return
    seen.specs[spec.id] = spec
    if not rows.is_intact(row):
        yield Damage(f"run {row['run_id']}", "its status, message, times or environment were changed")
        return
    try:
        rows.environment_of(row)
    except StoreError as error:
        yield Damage(f"run {row['run_id']}", str(error))
    if row["status"] == "done":
        seen.done[spec.id] = spec


def _of_reading(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    place = f"run {row['run_id']}, {row['name']} at step {row['step']}"
    is_update = row["name"] == UPDATE_LOSS
    if not is_update:
        seen.steps.setdefault(row["run_id"], {}).setdefault(row["name"], set()).add(row["step"])
    if not rows.is_intact(row):
        yield Damage(place, "the reading differs from its digest")
        return
    try:
        if is_update:
            seen.updates.setdefault(row["run_id"], []).append(span(row))
        else:
            rows.reading_of(row)
    except StoreError as error:
        yield Damage(place, str(error))


def _of_event(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if row["kind"] == "forked":
        seen.forked_at[row["run_id"]] = int(row["step"])
    if row["kind"] == "stopped":
        seen.stopped_at[row["run_id"]] = int(row["step"])
    if row["kind"] == IMPORTED and rows.is_intact(row):
        seen.imported[row["run_id"]] = {n: int(k) for n, k in rows.event_of(row)["readings"].items()}
    if not rows.is_intact(row):
        place = f"run {row['run_id']}, event at step {row['step']}"
        yield Damage(place, "the event differs from its digest")


def _of_file(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if not str(row["path"]).startswith(f"runs/{row['run_id']}/"):
        raise ValueError(f"{str(row['path'])[:60]!r} is no file of run {row['run_id']}")
    seen.digests.setdefault(row["path"], set()).add(row["sha256"])
    return iter(())


def _of_complete(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if rows.is_intact(row):
        names = rows.parsed(row["names"])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("names that are none")
        seen.names.setdefault(row["run_id"], set()).update(names)
    else:
        place = f"run {row['run_id']}, the names of its readings"
        yield Damage(place, "they differ from their digest")


def _of_name(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if not rows.is_intact(row):
        yield Damage(f"run {row['run_id']}, its given name", "it differs from its digest")


def _of_part(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if not rows.is_intact(row):
        yield Damage(f"run {row['run_id']}, its part in a study", "it differs from its digest")


def _of_summary(row: rows.Row, seen: _Seen) -> Iterator[Damage]:
    if not rows.is_intact(row):
        yield Damage(f"run {row['run_id']}, its summary", "it differs from its digest")


TABLES = {
    "runs": _of_run,
    "readings": _of_reading,
    "events": _of_event,
    "files": _of_file,
    "complete": _of_complete,
    "names": _of_name,
    "parts": _of_part,
    "summaries": _of_summary,
}


def _verify_whole(root: Path, folders: list[str], seen: _Seen) -> Iterator[Damage]:
    """What is not there at all."""
    for seal in (path for path in entries(root / "readings") if path.suffix == ".sha256"):
        database = seal.with_suffix(".sqlite")
        if not database.exists():
            place = str(database.relative_to(root))
            yield Damage(place, "the file is missing: restore it from a copy")
    for run_id in folders:
        if run_id not in seen.status and not is_ready(root):
            yield Damage(f"runs/{run_id}", f"no database knows this run: {MEND}")
    for spec in seen.done.values():
        yield from _verify_readings(spec, seen, seen.end_of(spec) + 1)
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
    if spec.origin is not None and spec.fork is None:
        yield from _verify_imported(spec, seen)
        return
    first = seen.forked_at.get(spec.id, 0)  # what comes before is its parent's
    schedules = {
        tuple(step for step in measure.schedule.steps(spec.steps) if first <= step < below)
        for measure in spec.measures
    }
    expected = {*ALWAYS, *seen.names.get(spec.id, ())} - {UPDATE_LOSS}
    there = {name: set[int]() for name in sorted(expected)} | seen.steps.get(spec.id, {})
    for name, steps in there.items():
        if tuple(sorted(step for step in steps if step < below)) not in schedules:
            yield Damage(f"run {spec.id}, {name}", MISSING)
    updates = seen.updates.get(spec.id, [])
    if not updates and UPDATE_LOSS not in seen.names.get(spec.id, ()):
        return  # by a version that kept none
    if known_until(updates, first) < min(below, seen.end_of(spec)):
        yield Damage(f"run {spec.id}, {UPDATE_LOSS}", MISSING)


def _verify_imported(spec: RunSpec, seen: _Seen) -> Iterator[Damage]:
    """Whether a run that follows no schedule has as many readings as were imported."""
    if spec.id not in seen.imported:
        yield Damage(f"run {spec.id}", f"the account of what was imported is missing: {IMPORT_AGAIN}")
        return
    there = {name: len(steps) for name, steps in seen.steps.get(spec.id, {}).items()}
    there |= {UPDATE_LOSS: known_until(seen.updates.get(spec.id, []), 0)}
    for name, n in seen.imported[spec.id].items():
        if there.get(name, 0) != n:
            yield Damage(f"run {spec.id}, {name}", f"readings are missing: {IMPORT_AGAIN}")


def _verify_files(root: Path, digests: dict[str, set[str]]) -> Iterator[Damage]:
    for place, written in digests.items():
        try:
            path = inside(root, place)
            if not is_regular(path) and not path.is_symlink():
                yield Damage(place, f"the file is missing: {MEND}")
            elif not is_intact(path, written):
                yield Damage(place, f"the file differs from its digest: delete it and {MEND}")
        except StoreError as error:
            yield Damage(place, str(error))


def _verify_measured(root: Path) -> Iterator[Damage]:
    """What was measured after training."""
    path = measured_database(root)
    place = str(path.relative_to(root))
    yield from _of_seal(place, path)
    try:
        for found in measured.damaged(root):
            yield Damage(*found)
    except StoreError as error:
        yield Damage(place, str(error))
