"""Is a store what was written? Every row and every file against the digest kept with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import rows
from undergrowth.store.layout import check, databases, is_whole, seal_of, sha256


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written: where, and what is wrong with it."""

    place: str
    wrong: str


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong (nothing, in a whole store)."""

    runs: int
    readings: int
    files: int
    damage: tuple[Damage, ...]


def verify(root: Path) -> Verified:
    """Check a store completely; it may be in use.

    A database that was closed in order is checked byte by byte, any other one row by row; every
    checkpoint and data file byte by byte; every spec against its run's id.
    """
    check(root)
    counts = {"runs": 0, "readings": 0}
    digests: dict[str, set[str]] = {}
    damage: list[Damage] = []
    for path in databases(root):
        try:
            damage.extend(_verify_database(root, path, counts, digests))
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:  # not even readable
            damage.append(Damage(str(path.relative_to(root)), str(error)))
    damage.extend(_verify_files(root, digests))
    return Verified(**counts, files=len(digests), damage=tuple(dict.fromkeys(damage)))


def _verify_database(
    root: Path, path: Path, counts: dict[str, int], digests: dict[str, set[str]]
) -> Iterator[Damage]:
    place = str(path.relative_to(root))
    seal = seal_of(path)
    if seal.exists() and seal.read_text().strip() != sha256(path):
        yield Damage(place, "the file has changed since it was closed")
    with closing(rows.open_for_reading(path)) as connection:
        for row in connection.execute("PRAGMA integrity_check"):
            if row[0] != "ok":
                yield Damage(place, row[0])
        for row in connection.execute("SELECT * FROM runs"):
            counts["runs"] += 1
            if _id_of(row["spec"]) != row["run_id"]:
                yield Damage(f"run {row['run_id']}", "its spec does not hash to its id")
        for row in connection.execute("SELECT * FROM readings"):
            counts["readings"] += 1
            if not rows.reading_is_whole(row):
                yield Damage(
                    f"run {row['run_id']}, {row['name']} at step {row['step']}",
                    "the reading differs from its digest",
                )
        for row in connection.execute("SELECT * FROM events"):
            if not rows.event_is_whole(row):
                yield Damage(
                    f"run {row['run_id']}, event at step {row['step']}",
                    "the event differs from its digest",
                )
        for row in connection.execute("SELECT * FROM files"):
            digests.setdefault(row["path"], set()).add(row["sha256"])


def _verify_files(root: Path, digests: dict[str, set[str]]) -> Iterator[Damage]:
    for place, written in digests.items():
        if not (root / place).exists():
            yield Damage(place, "the file is missing")
        elif not is_whole(root / place, written):
            yield Damage(place, "the file differs from its digest")


def _id_of(spec: str) -> str | None:
    try:
        return RunSpec.from_dict(json.loads(spec)).id
    except (SpecError, ValueError):
        return None
