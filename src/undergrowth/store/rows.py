"""The rows of a store's SQLite files: how a reading, event or run becomes one and comes back.

What is read is held against the digest that was written with it, and against what it must be, for a
store may be damaged or come from anybody.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import prod
from pathlib import Path
from sqlite3 import Row
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from undergrowth.kinds import when_kinds_change
from undergrowth.own_parts import sources, sources_of
from undergrowth.plain_text import in_one_line
from undergrowth.spec_errors import SpecError, UnknownKindError
from undergrowth.store.database import damaged, kept_or_opened
from undergrowth.store.errors import StoreError, UnknownPartError
from undergrowth.store.layout import databases

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.measures import Reading
    from undergrowth.measures.reading import Coordinate
    from undergrowth.spec import RunSpec

IS_RUN_ID = re.compile(r"[0-9a-f]{16}")
STATUSES = ("running", "done", "failed")
VERIFY = "`undergrowth verify`"


BEGINNING = "WHERE run_id >= ? AND run_id < ?"
"""Rows of runs whose ids begin with something, by the index; `beginning` gives the two bounds."""


def beginning(begins: str) -> tuple[str, str]:
    """The bounds of ids that begin so.

    >>> beginning("a1")[0]
    'a1'
    """
    return begins, f"{begins}\U0010ffff"


def query(root: Path, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
    """Rows of all the SQLite files of a store, one file after the other.

    Raises StoreError where SQLite finds a file damaged.
    """
    for path in databases(root):
        yield from query_one(path, sql, parameters)


def query_one(path: Path, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
    """Rows of one SQLite file; raises StoreError where SQLite finds it damaged."""
    with kept_or_opened(path) as connection:
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):  # made by a version before
                return []
            raise damaged(path, error) from None


def of_run(root: Path, table: str, run_id: str, name: str | None = None) -> list[Row]:
    """What a run has in `readings` or `events`, in the order of the attempts at it, then of writing.

    A reading or event that several attempts wrote thus comes last as the latest attempt wrote it.
    """
    condition, parameters = ("", ()) if name is None else (" AND name = ?2", (name,))
    return attempts(root, f"{table} WHERE run_id = ?1{condition} ORDER BY rowid", (run_id, *parameters))


def scalars_of(root: Path, run_id: str) -> list[Row]:
    """The scalar readings of a run, in the order of `of_run`."""
    return attempts(root, "readings WHERE run_id = ?1 AND shape = '[]' ORDER BY rowid", (run_id,))


def attempts(root: Path, of: str, parameters: Sequence[object]) -> list[Row]:
    """Whole rows of a run, those of its earlier attempts first; each attempt is in a file of its own.

    of: the table, the condition and the order, in SQL; ?1 is the run's id.
    """
    sql = f"SELECT *, (SELECT began FROM runs WHERE run_id = ?1) AS began FROM {of}"
    by_file = [found for path in databases(root) if (found := query_one(path, sql, parameters))]
    by_file.sort(key=lambda found: found[0]["began"] or 0.0)
    return [row for found in by_file for row in found]


def digest(*parts: object) -> bytes:
    """8 bytes that differ when any of the parts does."""
    told = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return blake2b(b"\0".join([*told, b""]), digest_size=8).digest()


def is_intact(row: Row) -> bool:
    """Whether a row with a digest still is what was written."""
    return row["digest"] == digest(*tuple(row)[: row.keys().index("digest")])


def run_row(
    run_id: str,
    spec: str,
    status: str,
    message: str,
    began: float,
    ended: float | None,
    environment: str,
) -> tuple[object, ...]:
    """A row of `runs`."""
    columns = (run_id, spec, status, message, began, ended, environment)
    return (*columns, digest(*columns))


def precedence(row: Row) -> tuple[bool, float]:
    """Orders rows of `runs` of one run: a finished account counts over an unfinished one, a later over
    an earlier.
    """
    began = row["began"]
    return row["status"] == "done", began if isinstance(began, float) else 0.0


def reading_row(run_id: str, name: str, step: int, reading: Reading) -> tuple[object, ...]:
    """A row of `readings`."""
    values = reading.values
    axes = json.dumps([[dim, reading.coords.get(dim)] for dim in reading.dims])
    columns = (
        run_id,
        name,
        step,
        axes,
        values.dtype.str,
        json.dumps(values.shape),
        values.tobytes(),
    )
    return (*columns, digest(*columns))


def event_row(run_id: str, step: int, kind: str, detail: dict) -> tuple[object, ...]:
    """A row of `events`."""
    columns = (run_id, step, kind, json.dumps(detail, sort_keys=True))
    return (*columns, digest(*columns))


def complete_row(run_id: str, names: Sequence[str]) -> tuple[object, ...]:
    """A row of `complete`: the names of all that a run had read when it ended."""
    columns = (run_id, json.dumps(sorted(names)))
    return (*columns, digest(*columns))


def name_row(run_id: str, name: str) -> tuple[object, ...]:
    """A row of `names`: one that was given to a run, beside what makes it the run that it is."""
    columns = (run_id, name)
    return (*columns, digest(*columns))


@dataclass(frozen=True)
class Axes:
    """The axes of a reading: their names and lengths, and the labels of those that have some."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    labels: tuple[tuple[str, Coordinate], ...]

    @property
    def coords(self) -> dict[str, Coordinate]:
        """The labels by the name of the axis."""
        return dict(self.labels)


class Stored(NamedTuple):
    """A reading as it is stored: its axes, the type of its numbers, their bytes."""

    axes: Axes
    dtype: np.dtype
    content: bytes

    @property
    def values(self) -> np.ndarray:
        """Its numbers, which cannot be written to."""
        return np.frombuffer(self.content, self.dtype).reshape(self.axes.shape)


def stored_in(row: Row) -> Stored:
    """What a row of `readings` holds; raises StoreError where it is not what was written."""
    run_id, name, step, axes, dtype, shape, content, kept, *_ = row
    # what `digest` gives, in fewer calls
    told = f"{run_id}\0{name}\0{step}\0{axes}\0{dtype}\0{shape}\0".encode()
    if kept != blake2b(b"%b%b\0" % (told, content), digest_size=8).digest():
        raise StoreError(
            f"run {run_id}: {name} at step {step} differs from its digest: restore its database from a "
            "copy, or move that away and train the run again"
        )
    try:
        found = Stored(_axes(axes, shape), _number(dtype), content)
        if len(content) != prod(found.axes.shape) * found.dtype.itemsize:
            raise ValueError(f"{len(content)} bytes for axes of lengths {found.axes.shape}")
        return found
    except (ValueError, TypeError, LookupError) as error:
        reason = in_one_line(str(error))[:80]
        raise StoreError(
            f"run {run_id}: {name} at step {step} is not a reading ({reason}): do not trust this store"
        ) from None


LABELS = (str, int, float)
"""Types of the labels of an axis."""


@lru_cache(maxsize=1024)
def _axes(axes: str, shape: str) -> Axes:
    """The axes that two stored texts tell of: most rows have the same few."""
    dims, labels = [], []
    lengths = tuple(parsed(shape))
    for length, (dim, its) in zip(lengths, parsed(axes), strict=True):
        if not isinstance(dim, str) or type(length) is not int or length < 0:
            raise ValueError(f"an axis {dim!r} of length {length!r}")
        if its is not None and (len(its) != length or not all(type(x) in LABELS for x in its)):
            raise ValueError(f"labels that do not fit axis {dim}")
        dims.append(dim)
        labels += [] if its is None else [(dim, tuple(its))]
    return Axes(tuple(dims), lengths, tuple(labels))


@lru_cache(maxsize=64)
def _number(dtype: str) -> np.dtype:
    found = np.dtype(dtype)
    if found.kind not in "biuf":
        raise ValueError(f"type {found}")
    return found


def reading_of(row: Row) -> Reading:
    """The reading in a row of `readings`; raises StoreError where it is not what was written."""
    from undergrowth.measures import Reading

    found = stored_in(row)
    return Reading(found.axes.dims, found.values, found.axes.coords)


def event_of(row: Row) -> dict[str, Any]:
    """The detail in a row of `events`; raises StoreError where it is not what was written."""
    what = f"run {row['run_id']}: the event at step {row['step']}"
    if not is_intact(row):
        raise StoreError(f"{what} differs from its digest: restore its database from a copy")
    try:
        return dict(parsed(row["detail"]))
    except (ValueError, TypeError):
        raise StoreError(f"{what} is not an event: do not trust this store") from None


def environment_of(row: Row) -> dict[str, Any]:
    """The versions and the machine in a row of `runs`; raises StoreError where they are not there."""
    try:
        return dict(parsed(row["environment"]))
    except (ValueError, TypeError):
        raise StoreError(f"its environment is invalid: see {VERIFY}") from None


def spec_of_row(row: Row) -> RunSpec:
    """The spec in a row of `runs`.

    Raises StoreError where this version cannot read it, it reads a file, or it is another run's.
    """
    try:
        spec = _spec(row["spec"])
    except UnknownKindError as error:
        raise UnknownPartError(f"{error.named} is not known here: {GIVE}") from None
    except (ValueError, TypeError, SpecError) as error:
        reason = in_one_line(str(error))[:200]
        what = "the version that wrote it"
        if any(source.adds for source in sources()):  # which may have had other fields
            what += f", and {GIVE}"
        raise StoreError(f"this version cannot read it ({reason}): use {what}") from None
    if spec.id != row["run_id"]:
        if whose := ", ".join(str(source.path) for source in sources_of(spec)):
            raise UnknownPartError(f"{whose} is not what it was trained with: {GIVE}")
        raise StoreError(f"its spec hashes to {spec.id}: see {VERIFY}")
    return spec


GIVE = (
    "give the file that it was trained with, --with FILE (the run's folder own/ has a copy), or install "
    "the package that has it"
)
"""What to do about a run with a part of somebody's own."""


@lru_cache(maxsize=512)
def _spec(text: str) -> RunSpec:
    from undergrowth.spec import RunSpec

    fields = parsed(text)
    if _names_a_path(fields):
        raise ValueError("it would read a file of this machine")
    return RunSpec.from_dict(fields)


when_kinds_change(_spec.cache_clear)


def _names_a_path(fields: Any) -> bool:
    """Whether any part of a spec asks for a file: what is stored has the content itself."""
    if isinstance(fields, dict):
        return "path" in fields or any(map(_names_a_path, fields.values()))
    return isinstance(fields, list) and any(map(_names_a_path, fields))


def parsed(text: object) -> Any:
    """What stands in a stored text of JSON; raises ValueError where it is none that we wrote."""
    if not isinstance(text, str | bytes):
        raise ValueError(f"{type(text).__name__} instead of JSON")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
