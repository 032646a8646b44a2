"""Writing: the facts of runs, as they happen, into one SQLite file and into checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import checkpoint_files, data_file, load_snapshot
from undergrowth.store.layout import is_whole, run_folder, seal_of, sha256, write_whole
from undergrowth.training.engine import Diverged, Fact, Fired, Measured, Saved, Snapshot

RECORDED = ("jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


class Writer:
    """One writing process's hold on a store.

    Every fact is committed before the next is asked for, so a killed process loses nothing that it
    was told; a file is in its place complete or not at all, and its row follows it.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.path = root / "readings" / f"{name}.sqlite"
        seal_of(self.path).unlink(missing_ok=True)
        self.connection = rows.open_for_writing(self.path)

    def close(self) -> None:
        """Fold the write-ahead log into the one file and let go of it."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.execute("PRAGMA journal_mode = DELETE")
        self.connection.close()
        write_whole(seal_of(self.path), sha256(self.path).encode())

    def begin(self, spec: RunSpec) -> Snapshot | None:
        """Start or take up a run; the snapshot to go on from, None for the beginning."""
        snapshot = resume_point(self.root, spec)
        on = json.dumps(environment(spec.threads))
        self._write_run(spec, "running", "", time.time(), None, on)
        spec_file = run_folder(spec.id) / "spec.toml", spec.to_toml().encode()
        self._write_files(spec, None, [spec_file, data_file(spec, spec.data())])
        return snapshot

    def write(self, spec: RunSpec, fact: Fact) -> None:
        """Store one fact of a run."""
        if isinstance(fact, Measured):
            with self.connection:
                self.connection.executemany(
                    "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        rows.reading_row(spec.id, name, fact.step, reading)
                        for name, reading in fact.readings.items()
                    ],
                )
        elif isinstance(fact, Saved):
            snapshot = fact.snapshot
            self._write_files(spec, snapshot.step, checkpoint_files(spec, snapshot))
        elif isinstance(fact, Fired):
            action = spec.interventions[fact.intervention].model_dump(mode="json")
            detail = {"intervention": fact.intervention, **action, "changed": dict(fact.changed)}
            self._write_event(spec, fact.step, "fired", detail)
        elif isinstance(fact, Diverged):
            self._write_event(spec, fact.step, "diverged", {})

    def end(self, spec: RunSpec, status: str, message: str = "") -> None:
        """Say how a run ended: 'done' or 'failed' (which a run can that could not even begin)."""
        begun = "SELECT began, environment FROM runs WHERE run_id = ?"
        row = self.connection.execute(begun, (spec.id,)).fetchone()
        began, on = row or (time.time(), json.dumps(environment(spec.threads)))
        self._write_run(spec, status, message, began, time.time(), on)

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


def resume_point(root: Path, spec: RunSpec) -> Snapshot | None:
    """The latest checkpoint of a run with the readings up to it.

    It is the last before the first damaged one, so that a run taken up again mends all that follows.
    """
    checkpoints: dict[int, dict[str, set[str]]] = {}
    curves: dict[str, dict[int, float]] = {}
    for row in rows.query(root, "SELECT * FROM files WHERE run_id = ? AND step IS NOT NULL", (spec.id,)):
        digests = checkpoints.setdefault(row["step"], {}).setdefault(row["path"], set())
        digests.add(row["sha256"])
    for row in rows.of_run(root, "readings", spec.id):
        if row["shape"] == "[]" and rows.is_whole(row):
            value = float(rows.reading_of(row).values)
            curves.setdefault(row["name"], {})[row["step"]] = value
    whole: list[int] = []
    for step, files in sorted(checkpoints.items()):
        if not all(is_whole(root / path, digests) for path, digests in files.items()):
            break
        whole.append(step)
    if not whole:
        return None
    until = {
        name: [point for point in sorted(curve.items()) if point[0] <= whole[-1]]
        for name, curve in curves.items()
    }
    return load_snapshot(root, spec, whole[-1], until)


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
