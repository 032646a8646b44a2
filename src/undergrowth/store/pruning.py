"""Pruning: what of a store may go without losing a result, and its removal, rows before files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from undergrowth.store import rows
from undergrowth.store.files import entries, is_folder
from undergrowth.store.layout import check, checkpoint_folder, run_folder
from undergrowth.store.lock import writing
from undergrowth.store.staged import change_rows, remove_rows

PRUNED = ".pruned"
"""Where the folders of runs lie whose rows are about to go; nobody needs what is left there."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that may go: the run, the step, and the bytes of its files."""

    run_id: str
    step: int
    bytes: int


@dataclass(frozen=True)
class Prunable:
    """What may go.

    checkpoints: of finished runs, all but the first, the last and those that others fork from; failed:
    ids of failed runs that nobody forks from, and the bytes of their files.
    """

    checkpoints: tuple[Checkpoint, ...]
    failed: tuple[tuple[str, int], ...]

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of all the checkpoints."""
        return sum(each.bytes for each in self.checkpoints)

    @property
    def failed_bytes(self) -> int:
        """Bytes of all the failed runs' files."""
        return sum(n_bytes for _, n_bytes in self.failed)


def prunable(root: str | Path) -> Prunable:
    """What of a store may go: nothing is changed. Raises StoreError where it is no store."""
    root = Path(root)
    check(root)
    status: dict[str, set[str]] = {}
    forks: dict[str, str] = {}
    for row in rows.query(root, "SELECT * FROM runs"):
        status.setdefault(row["run_id"], set()).add(row["status"])
        if fork := rows.parsed(row["spec"]).get("fork"):
            forks[row["run_id"]] = fork["of"]
    left_at = _left_at(root, forks)
    sizes: dict[str, dict[int | None, dict[str, int]]] = {}
    for row in rows.query(root, "SELECT run_id, path, step, bytes FROM files"):
        of_step = sizes.setdefault(row["run_id"], {}).setdefault(row["step"], {})
        of_step[row["path"]] = row["bytes"]
    checkpoints = [
        Checkpoint(run_id, step, sum(files[step].values()))
        for run_id, files in sorted(sizes.items())
        if "done" in status.get(run_id, ())
        for step in sorted(step for step in files if step is not None)[1:-1]
        if step not in left_at.get(run_id, ())
    ]
    failed = [
        (run_id, sum(n for files in sizes.get(run_id, {}).values() for n in files.values()))
        for run_id, its in sorted(status.items())
        if its == {"failed"} and run_id not in forks.values()
    ]
    return Prunable(tuple(checkpoints), tuple(failed))


def _left_at(root: Path, forks: dict[str, str]) -> dict[str, set[int]]:
    """Of each run the steps at which others forked from it."""
    found: dict[str, set[int]] = {}
    for row in rows.query(root, "SELECT run_id, step FROM events WHERE kind = 'forked'"):
        if row["run_id"] in forks:
            found.setdefault(forks[row["run_id"]], set()).add(row["step"])
    return found


def prune(root: str | Path, *, checkpoints: bool = False, failed: bool = False) -> Prunable:
    """Remove what may go of either kind; what went. No reading of a finished run is touched.

    Rows go before files, so that a store over which a prune is killed misses nothing that it knows of.
    Raises StoreError where the store is being written.
    """
    root = Path(root)
    check(root)
    with writing(root):
        shutil.rmtree(root / PRUNED, ignore_errors=True)
        may = prunable(root)
        gone = Prunable(may.checkpoints if checkpoints else (), may.failed if failed else ())
        _remove_checkpoints(root, gone.checkpoints)
        if checkpoints:
            _remove_leftovers(root)
        _remove_runs(root, [run_id for run_id, _ in gone.failed])
    return gone


def _remove_checkpoints(root: Path, gone: Sequence[Checkpoint]) -> None:
    if not gone:
        return
    keys = [(each.run_id, each.step) for each in gone]
    change_rows(root, {"DELETE FROM files WHERE run_id = ? AND step = ?": keys})
    for run_id, step in keys:
        shutil.rmtree(root / checkpoint_folder(run_id, step), ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Checkpoints that no row knows any more, for a prune was killed before it removed them."""
    known: set[Path] = set()
    for row in rows.query(root, "SELECT DISTINCT run_id, step FROM files WHERE step IS NOT NULL"):
        known.add(root / checkpoint_folder(row["run_id"], row["step"]))
    ended = {row["run_id"] for row in rows.query(root, "SELECT run_id FROM runs WHERE status = 'done'")}
    for run_id in ended:
        for folder in entries(root / run_folder(run_id) / "checkpoints"):
            if is_folder(folder) and folder not in known:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_runs(root: Path, run_ids: Sequence[str]) -> None:
    """Runs with all that is theirs, but for what they are called and which parts they play: studies
    count them as missing.
    """
    if not run_ids:
        return
    for run_id in run_ids:
        folder = root / run_folder(run_id)
        if is_folder(folder):
            (root / PRUNED).mkdir(exist_ok=True)
            folder.rename(root / PRUNED / run_id)
    remove_rows(root, run_ids)
    shutil.rmtree(root / PRUNED, ignore_errors=True)
