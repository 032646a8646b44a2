"""Forks: which runs a run has its trunk from, and the snapshot at which it left its parent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import load_rolling, load_snapshot
from undergrowth.store.layout import is_whole
from undergrowth.training.engine import train
from undergrowth.training.facts import Branched, Fact, Saved
from undergrowth.training.interventions import AnyForkPoint, AtStep, History
from undergrowth.training.state import Curve, Snapshot


def spec_of(root: Path, run_id: str) -> RunSpec | None:
    """The spec of a stored run."""
    for row in rows.query(root, "SELECT spec FROM runs WHERE run_id = ?", (run_id,)):
        return RunSpec.from_dict(json.loads(row["spec"]))
    return None


def forked_at(root: Path, run_id: str) -> int | None:
    """The step at which a stored run left its parent; None where it has none, or has not begun."""
    sql = "SELECT step FROM events WHERE run_id = ? AND kind = 'forked'"
    return next((row["step"] for row in rows.query(root, sql, (run_id,))), None)


def trunks(root: Path, spec: RunSpec) -> list[tuple[str, int]]:
    """The ids of a run's parent, its parent's parent and so on, each with the step below which its
    readings are the run's own too.
    """
    found: list[tuple[str, int]] = []
    below: int | None = None
    child: RunSpec | None = spec
    while child is not None and child.fork is not None:
        at = forked_at(root, child.id)
        if at is None:
            break
        below = at if below is None else min(at, below)
        found.append((child.fork.of, below))
        child = spec_of(root, child.fork.of)
    return found


def curves_of(root: Path, spec: RunSpec) -> dict[str, list[tuple[int, float]]]:
    """The scalar readings of a run, those of its trunk included."""
    found: dict[str, dict[int, float]] = {}
    limits = [*reversed(trunks(root, spec)), (spec.id, None)]
    for run_id, below in limits:
        for row in rows.of_run(root, "readings", run_id):
            if row["shape"] == "[]" and rows.is_whole(row) and (below is None or row["step"] < below):
                value = float(rows.reading_of(row).values)
                found.setdefault(row["name"], {})[row["step"]] = value
    return {name: sorted(curve.items()) for name, curve in found.items()}


def resume_point(root: Path, spec: RunSpec) -> Snapshot | None:
    """The latest whole snapshot of a run with the readings up to it.

    It is the last before the first damaged one, so that a run taken up again mends all that follows.
    """
    whole, is_sound = _whole_checkpoints(root, spec)
    curves = curves_of(root, spec)
    rolling = load_rolling(root, spec, curves) if is_sound else None
    if rolling is not None and rolling.step > max(whole, default=-1):
        return rolling
    return _at_checkpoint(root, spec, whole[-1], curves) if whole else None


def branch_point(root: Path, spec: RunSpec, keep: Callable[[RunSpec, Fact], None]) -> Snapshot:
    """The snapshot of its parent at which a fork begins.

    Where the parent has not kept it, it is computed from the last one before and handed to `keep`, so
    that the other arms find it. Raises ValueError where the parent never came there.
    """
    assert spec.fork is not None
    parent = spec_of(root, spec.fork.of)
    if parent is None:
        raise ValueError(f"fork.of = {spec.fork.of!r}: the parent is not in this store: train it first")
    curves = curves_of(root, parent)
    step = _step_of(spec.fork.at, curves)
    if step is None:
        raise ValueError(
            f"fork.at: the parent {parent.id} never came to that event ({spec.fork.at.name}): "
            "give it more steps, or fork elsewhere"
        )
    earlier = [kept for kept in _whole_checkpoints(root, parent)[0] if kept <= step]
    start = _at_checkpoint(root, parent, earlier[-1], curves) if earlier else None
    if start is not None and start.step == step:
        return replace(start, forked_at=None)
    return replace(_computed(parent, start, spec.fork.at, keep), forked_at=None)


def _computed(
    parent: RunSpec, start: Snapshot | None, at: AnyForkPoint, keep: Callable[[RunSpec, Fact], None]
) -> Snapshot:
    saved: Saved | None = None
    for _, fact in train([parent], [start], {0: [at]}):
        saved = fact if isinstance(fact, Saved) else saved
        if isinstance(fact, Branched) and saved is not None:
            keep(parent, saved)
            return saved.snapshot
    raise ValueError(f"fork.at: the parent {parent.id} never came there: fork elsewhere")


def _step_of(at: AnyForkPoint, curves: Mapping[str, Curve]) -> int | None:
    """The first step at which a trigger fires on a run's whole curves."""
    if isinstance(at, AtStep):
        return at.step
    points = sorted({step for curve in curves.values() for step, _ in curve})
    so_far: dict[str, list[tuple[int, float]]] = {name: [] for name in curves}
    left = {name: list(reversed(curve)) for name, curve in curves.items()}
    for step in points:
        for name, rest in left.items():
            while rest and rest[-1][0] <= step:
                so_far[name].append(rest.pop())
        if at.fires(History(step, so_far)):
            return step
    return None


def _whole_checkpoints(root: Path, spec: RunSpec) -> tuple[list[int], bool]:
    """Steps of the checkpoints before the first damaged one, and whether none is damaged."""
    checkpoints: dict[int, dict[str, set[str]]] = {}
    sql = "SELECT * FROM files WHERE run_id = ? AND step IS NOT NULL"
    for row in rows.query(root, sql, (spec.id,)):
        digests = checkpoints.setdefault(row["step"], {}).setdefault(row["path"], set())
        digests.add(row["sha256"])
    whole: list[int] = []
    for step, files in sorted(checkpoints.items()):
        if not all(is_whole(root / path, digests) for path, digests in files.items()):
            return whole, False
        whole.append(step)
    return whole, True


def _at_checkpoint(root: Path, spec: RunSpec, step: int, curves: Mapping[str, Curve]) -> Snapshot:
    until = {name: [point for point in curve if point[0] <= step] for name, curve in curves.items()}
    return load_snapshot(root, spec, step, until)
