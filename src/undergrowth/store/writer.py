"""Writing: the facts of runs, as they happen, into one SQLite file and into checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import checkpoint_files, data_file, rolling_file, rolling_path
from undergrowth.store.layout import run_folder, seal_of, sha256, write_whole
from undergrowth.store.lineage import branch_point, resume_point
from undergrowth.store.updates import GATHERED, stretch_row
from undergrowth.training.facts import Diverged, Fact, Fired, Forked, Measured, Saved, Stepped
from undergrowth.training.state import Snapshot

RECORDED = ("jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


class Writer:
    """One writing process's hold on a store.

    Every fact is committed before the next is asked for, so a killed process loses nothing that it
    was told; a file is in its place complete or not at all, and its row follows it. Only the losses of
    updates are gathered, and committed before anything that a run could be taken up from.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.path = root / "readings" / f"{name}.sqlite"
        seal_of(self.path).unlink(missing_ok=True)
        self.connection = rows.open_for_writing(self.path)
        self.gathered: dict[str, list[Stepped]] = {}

    def close(self) -> None:
        """Fold the write-ahead log into the one file and let go of it."""
        rows.close_whole(self.connection)
        write_whole(seal_of(self.path), sha256(self.path).encode())

    def begin(self, spec: RunSpec) -> Snapshot | None:
        """Start or take up a run; the snapshot to go on from, None for the beginning.

        Raises ValueError for a fork whose parent never came to where it leaves it.
        """
        snapshot = resume_point(self.root, spec)
        if snapshot is None and spec.fork is not None:
            snapshot = branch_point(self.root, spec, self.write)
        on = json.dumps(environment(spec.threads))
        self._write_run(spec, "running", "", time.time(), None, on)
        spec_file = run_folder(spec.id) / "spec.toml", spec.to_toml().encode()
        self._write_files(spec, None, [spec_file, data_file(spec, spec.data())])
        return snapshot

    def write(self, spec: RunSpec, fact: Fact) -> None:
        """Store one fact of a run."""
        if isinstance(fact, Measured):
            self._write_readings(
                rows.reading_row(spec.id, name, fact.step, reading)
                for name, reading in fact.readings.items()
            )
        elif isinstance(fact, Stepped):
            self._gather(spec, fact)
        elif isinstance(fact, Saved):
            self._write_gathered(spec)
            snapshot = fact.snapshot
            self._write_files(spec, snapshot.step, checkpoint_files(spec, snapshot))
        elif isinstance(fact, Fired):
            action = spec.interventions[fact.intervention].model_dump(mode="json")
            detail = {"intervention": fact.intervention, **action, "changed": _json(fact.changed)}
            self._write_event(spec, fact.step, "fired", detail)
        elif isinstance(fact, Forked):
            assert spec.fork is not None
            self._write_event(spec, fact.step, "forked", spec.fork.model_dump(mode="json"))
        elif isinstance(fact, Diverged):
            self._write_event(spec, fact.step, "diverged", {})

    def keep(self, spec: RunSpec, snapshot: Snapshot) -> None:
        """Put how a run stands in the place of how it stood: a killed run is taken up from there.

        The readings up to there are on the disk before, so that it is never newer than they are.
        """
        self._write_gathered(spec)
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        path, content = rolling_file(spec, snapshot)
        write_whole(self.root / path, content)

    def end(self, spec: RunSpec, status: str, message: str = "") -> None:
        """Say how a run ended: 'done' or 'failed' (which a run can that could not even begin)."""
        self._write_gathered(spec)
        begun = "SELECT began, environment FROM runs WHERE run_id = ?"
        row = self.connection.execute(begun, (spec.id,)).fetchone()
        began, on = row or (time.time(), json.dumps(environment(spec.threads)))
        self._write_run(spec, status, message, began, time.time(), on)
        (self.root / rolling_path(spec)).unlink(missing_ok=True)

    def _gather(self, spec: RunSpec, fact: Stepped) -> None:
        gathered = self.gathered.setdefault(spec.id, [])
        gathered.append(fact)
        if sum(len(each.losses) for each in gathered) >= GATHERED:
            self._write_gathered(spec)

    def _write_gathered(self, spec: RunSpec) -> None:
        """Store the losses of all updates that the run has made so far."""
        if facts := self.gathered.pop(spec.id, None):
            self._write_readings([stretch_row(spec.id, facts)])

    def _write_readings(self, readings: Iterable[tuple[object, ...]]) -> None:
        with self.connection:
            self.connection.executemany(
                "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", readings
            )

    def _write_run(
        self,
        spec: RunSpec,
        status: str,
        message: str,
        began: float,
        ended: float | None,
        on: str,
    ) -> None:
        row = rows.run_row(spec.id, spec.model_dump_json(), status, message, began, ended, on)
        with self.connection:
            self.connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _write_event(self, spec: RunSpec, step: int, kind: str, detail: dict) -> None:
        with self.connection:
            self.connection.execute(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)",
                rows.event_row(spec.id, step, kind, detail),
            )

    def _write_files(self, spec: RunSpec, step: int | None, files: Iterable[tuple[Path, bytes]]) -> None:
        written = [
            (spec.id, str(path), step, len(content), write_whole(self.root / path, content))
            for path, content in files
        ]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", written)


def _json(changed: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """What changed as JSON has it: null for what was not set."""
    return {name: [None if v != v else v for v in pair] for name, pair in changed.items()}


def environment(threads: int) -> dict[str, str]:
    """What a run ran on and with: kept beside its results."""
    versions = {name: importlib.metadata.version(name) for name in ("undergrowth", *RECORDED)}
    machine = f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"
    return {
        **versions,
        "python": platform.python_version(),
        "machine": machine,
        "xla_threads": str(threads),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, "unknown processor")
