"""Writing: the facts of runs, as they happen, into one SQLite file and into checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import jax

from undergrowth.engine.facts import (
    Diverged,
    Fact,
    Fired,
    Forked,
    Measured,
    Saved,
    Stepped,
    Stopped,
)
from undergrowth.own_parts import copies_of
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import checkpoint_files, data_file, rolling_file, rolling_path
from undergrowth.store.errors import StoreError
from undergrowth.store.kept import Kept
from undergrowth.store.layout import run_folder
from undergrowth.store.parts import Part, Parts, part_row, parts_of
from undergrowth.store.start_points import branch_point, resume_point
from undergrowth.store.summaries import summary_of, summary_row
from undergrowth.store.updates import Gathered
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
        self.kept = Kept(root, name)
        self.gathered = Gathered()

    def close(self) -> None:
        """Fold the write-ahead log into the one file and let go of it."""
        self.kept.close()

    def begin(self, spec: RunSpec) -> Snapshot | None:
        """Start or take up a run; the snapshot to go on from, None for the beginning.

        Raises ValueError for a fork whose parent never came to where it leaves it, and for an imported
        run, which nothing here can train.
        """
        if spec.origin is not None and spec.fork is None:
            raise ValueError(
                f"the run was imported from {spec.origin.file_names}, not trained here: import that "
                "into this store again"
            )
        snapshot = resume_point(self.root, spec)
        if snapshot is None and spec.fork is not None:
            snapshot = branch_point(self.root, spec, self.write)
        self.announce(spec)
        return snapshot

    def announce(self, spec: RunSpec) -> None:
        """Say that a run is under way."""
        on = json.dumps(environment(spec.threads))
        self._write_run(spec, "running", "", time.time(), None, on)
        folder = run_folder(spec.id)
        spec_file = folder / "spec.toml", spec.to_toml().encode()
        own = [(folder / "own" / place, text.encode()) for place, text in copies_of(spec).items()]
        self._write_files(spec, None, [spec_file, data_file(spec, spec.data()), *own])

    def write(self, spec: RunSpec, fact: Fact) -> None:
        """Store one fact of a run."""
        if isinstance(fact, Measured):
            readings = fact.readings.items()
            new = [rows.reading_row(spec.id, name, fact.step, read) for name, read in readings]
            self.kept.insert("readings", new)
        elif isinstance(fact, Stepped):
            if self.gathered.add(spec.id, fact):
                self._write_gathered(spec)
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
        elif isinstance(fact, Stopped):
            rule = spec.stop[fact.rule]
            detail = {"rule": fact.rule, "reason": rule.describe(), **rule.model_dump(mode="json")}
            self._write_event(spec, fact.step, "stopped", detail)

    def keep(self, spec: RunSpec, snapshot: Snapshot) -> None:
        """Put how a run stands in the place of how it stood: a killed run is taken up from there.

        The readings up to there are on the disk before, so that it is never newer than they are.
        """
        self._write_gathered(spec)
        self.kept.fold()
        path, content = rolling_file(spec, snapshot)
        self.kept.put(path, content)

    def end(self, spec: RunSpec, status: str, message: str = "") -> None:
        """Say how a run ended: 'done' or 'failed' (which a run can that could not even begin)."""
        self._write_gathered(spec)
        self._write_names_read(spec)
        begun = "SELECT began, environment FROM runs WHERE run_id = ?"
        row = self.kept.connection.execute(begun, (spec.id,)).fetchone()
        began, on = row or (time.time(), json.dumps(environment(spec.threads)))
        self._write_run(spec, status, message, began, time.time(), on)
        self._write_summary(spec, status, message)
        (self.root / rolling_path(spec)).unlink(missing_ok=True)

    def name(self, given: Iterable[tuple[str, str]]) -> None:
        """Keep names that runs were given, as (run id, name): they are no part of what makes a run."""
        self.kept.insert("names", [rows.name_row(run_id, name) for run_id, name in given])

    def cast(self, parts: Iterable[tuple[str, Part]]) -> None:
        """Keep the parts that runs play in studies, as (run id, part)."""
        self.kept.insert("parts", [part_row(run_id, part) for run_id, part in parts])

    def _write_names_read(self, spec: RunSpec) -> None:
        """Say what the run has read, in all attempts at it, so that what goes missing is missed."""
        sql = "SELECT DISTINCT name FROM readings WHERE run_id = ?"
        names = {row["name"] for row in rows.query(self.root, sql, (spec.id,))}
        self.kept.insert("complete", [rows.complete_row(spec.id, sorted(names))])

    def _write_summary(self, spec: RunSpec, status: str, message: str) -> None:
        with suppress(StoreError):  # what it had before was damaged meanwhile: a list says so itself
            summary = summary_of(self.root, spec, status, message)
            self.kept.insert("summaries", [summary_row(spec.id, summary)])

    def _write_gathered(self, spec: RunSpec) -> None:
        """Store the losses of all updates that the run has made so far."""
        self.kept.insert("readings", self.gathered.taken(spec.id))

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
        self.kept.insert("runs", [row])

    def _write_event(self, spec: RunSpec, step: int, kind: str, detail: dict) -> None:
        self.kept.insert("events", [rows.event_row(spec.id, step, kind, detail)])

    def _write_files(self, spec: RunSpec, step: int | None, files: Iterable[tuple[Path, bytes]]) -> None:
        written = [
            (spec.id, str(path), step, len(content), self.kept.put(path, content))
            for path, content in files
        ]
        self.kept.insert("files", written)


def keep_names(root: Path, names: Mapping[str, Sequence[str]], parts: Parts) -> None:
    """Keep names that runs were given and parts that they play, by run id; the caller holds the right to
    write.
    """
    known = {(row["run_id"], row["name"]) for row in rows.query(root, "SELECT run_id, name FROM names")}
    new = {(run_id, name) for run_id, given in names.items() for name in given} - known
    cast = parts_of(root)
    new_parts = {(run_id, part) for run_id, its in parts.items() for part in its} - {
        (run_id, part) for run_id, its in cast.items() for part in its
    }
    if new or new_parts:
        writer = Writer(root, "names")
        writer.name(sorted(new))
        writer.cast(sorted(new_parts))
        writer.close()


def _json(changed: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """What changed as JSON has it: null for what was not set."""
    return {name: [None if v != v else v for v in pair] for name, pair in changed.items()}


def environment(threads: int) -> dict[str, str]:
    """What a run ran on and with: kept beside its results."""
    return {
        **_software_and_machine(),
        "xla_threads": str(threads),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "device": jax.devices()[0].device_kind,
    }


@cache
def _software_and_machine() -> dict[str, str]:
    """What stays the same in a process: looked up once, for it takes some milliseconds."""
    versions = {name: importlib.metadata.version(name) for name in ("undergrowth", *RECORDED)}
    machine = f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"
    return {**versions, "python": platform.python_version(), "machine": machine}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, "unknown processor")
