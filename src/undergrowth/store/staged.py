"""What is about to be added to a store: made whole in a folder of its own, then moved into its place.

The folder is renamed when all of it is there: from then on whoever may write to the store next, after
whatever kill, goes on with the moving.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from undergrowth.store.database import TABLES, close_whole, mend, open_for_writing, seal_of
from undergrowth.store.files import (
    content,
    entries,
    is_folder,
    is_regular,
    names_in,
    sha256,
    write_whole,
)
from undergrowth.store.layout import databases

STAGE = ".merging"
"""While it is made: of no use to anybody after a kill."""
READY = ".merged"
"""When it is whole."""
INSTEAD = "instead.json"
"""In it: the ids of runs of which the store has another account, whose place is taken."""
BESIDE_RUNS = ("names", "parts")
"""Tables of what is said of runs, also of such as are not trained yet."""
OF_RUNS = tuple(table for table in TABLES if table not in BESIDE_RUNS)
"""Tables whose rows are a run's own."""


def empty_stage(root: Path) -> Path:
    """A new folder to make things in; what a killed process left there goes."""
    stage = root / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    for part in ("runs", "readings"):
        (stage / part).mkdir(parents=True)
    return stage


def put_in_place(root: Path, instead: Collection[str]) -> None:
    """Move what was made into the store. instead: runs of which the store has another account, which
    goes.
    """
    write_whole(root / STAGE / INSTEAD, json.dumps(sorted(instead)).encode())
    (root / STAGE).rename(root / READY)
    finish(root)


def is_ready(root: Path) -> bool:
    """Whether something is whole and not yet in its place, for a process was killed in between."""
    return is_folder(root / READY)


def finish(root: Path) -> None:
    """Move what is whole into its place; the caller holds the right to write. Done again, it goes on
    where it was interrupted.
    """
    ready = root / READY
    if not is_folder(ready):
        return
    instead = json.loads(content(ready / INSTEAD)) if is_regular(ready / INSTEAD) else []
    if instead:
        remove_rows(root, instead)
    for run_id in names_in(ready / "runs"):  # of a hundred thousand: paths are text
        place = f"{root}/runs/{run_id}"
        if is_folder(place):
            (ready / "replaced").mkdir(exist_ok=True)
            os.rename(place, ready / "replaced" / run_id)
        os.rename(f"{ready}/runs/{run_id}", place)
    for database in (*databases(ready), *_measured(ready)):
        place = root / database.parent.name / database.name
        place.parent.mkdir(exist_ok=True)
        seal_of(place).unlink(missing_ok=True)
        digest = sha256(database)
        database.rename(place)
        write_whole(seal_of(place), digest.encode())
    for stated in entries(ready / "predicted"):
        (root / "predicted").mkdir(exist_ok=True)
        stated.rename(root / "predicted" / stated.name)
    shutil.rmtree(ready)


def _measured(ready: Path) -> Iterator[Path]:
    yield from (path for path in entries(ready / "measured") if path.suffix == ".sqlite")


def remove_rows(root: Path, run_ids: Collection[str], tables: Collection[str] = OF_RUNS) -> None:
    """Take the rows of some runs out of a store's databases; the caller holds the right to write."""
    ids = [(run_id,) for run_id in run_ids]
    change_rows(root, {f"DELETE FROM {table} WHERE run_id = ?": ids for table in tables})


def change_rows(root: Path, changes: Mapping[str, Sequence[tuple[object, ...]]]) -> None:
    """Carry out statements in SQL, each for all its parameters, in every database of a store, which is
    closed and sealed again; the caller holds the right to write.
    """
    for path in databases(root):
        seal_of(path).unlink(missing_ok=True)
        connection = open_for_writing(path)
        with connection:
            for sql, parameters in changes.items():
                connection.executemany(sql, parameters)
        if not close_whole(path, connection):
            mend(path)
