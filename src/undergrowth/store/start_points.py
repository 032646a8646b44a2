"""Where training goes on: of a run that was interrupted, and of a fork where it leaves its parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from undergrowth.engine import train
from undergrowth.engine.facts import Branched, Fact, Saved, Stepped
from undergrowth.measures import Curves
from undergrowth.spec import RunSpec
from undergrowth.store import rows
from undergrowth.store.checkpoints import load_rolling, load_snapshot
from undergrowth.store.files import inside, is_intact
from undergrowth.store.lineage import curves_of, forked_at, spec_of
from undergrowth.store.updates import stored_until
from undergrowth.training.interventions import AnyForkPoint, AtStep, first_step
from undergrowth.training.state import Curve, Snapshot


def reached(root: Path, spec: RunSpec) -> int:
    """The last step up to which a run's readings are stored; -1 where it has none."""
    return _last(curves_of(root, spec))


def _last(curves: Mapping[str, Curve]) -> int:
    return max((curve[-1][0] for curve in curves.values()), default=-1)


def resume_point(root: Path, spec: RunSpec) -> Snapshot | None:
    """The latest whole snapshot of a run with the readings up to it.

    It is the last before the first damaged one, so that a run taken up again mends all that follows.
    """
    whole, is_sound = _intact_checkpoints(root, spec)
    until = stored_until(root, spec.id, since=forked_at(root, spec.id) or 0)
    whole = [step for step in whole if step <= until]
    curves = curves_of(root, spec)
    rolling = load_rolling(root, spec, curves) if is_sound else None
    if (
        rolling is not None
        and max(whole, default=-1) < rolling.step <= until
        and _is_read_up_to(root, spec, rolling.step, curves)
    ):
        return rolling
    return load_snapshot(root, spec, whole[-1], curves) if whole else None


def _is_read_up_to(root: Path, spec: RunSpec, step: int, curves: Mapping[str, Curve]) -> bool:
    """Whether a run's curves are stored up to a step: a database may have been lost, a file not."""
    since = forked_at(root, spec.id) or 0
    read = {at for at, _ in curves.get("train_loss", ())}
    schedules = [m.schedule.steps(spec.steps) for m in spec.measures if isinstance(m, Curves)]
    return all(at in read for schedule in schedules for at in schedule if since <= at <= step)


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
    since = forked_at(root, parent.id) or 0
    step = first_step(spec.fork.at, curves, since)
    kept = _intact_checkpoints(root, parent)[0]
    if parent.origin is not None and parent.fork is None and step is not None:
        try:
            parent.origin.check_goes_on(step)
        except ValueError as error:
            raise ValueError(f"fork.at: {error}") from None
    last = max([_last(curves), *kept])
    if step is None or step > last:
        raise ValueError(
            f"fork.at: the parent {parent.id} never got there ({spec.fork.at.describe()}); it has "
            f"steps {since} to {last}: train it for longer, or fork elsewhere"
        )
    earlier = [at for at in kept if at <= step]
    if earlier and earlier[-1] == step:
        found = load_snapshot(root, parent, step, curves)
    elif earlier:
        begins = load_snapshot(root, parent, earlier[-1], curves)
        found = _computed(root, parent, begins, spec.fork.at, keep)
    else:
        begins = None if parent.fork is None else branch_point(root, parent, keep)
        found = _computed(root, parent, begins, spec.fork.at, keep)
    return found.as_trunk(len(parent.interventions))


def _computed(
    root: Path,
    parent: RunSpec,
    start: Snapshot | None,
    at: AnyForkPoint,
    keep: Callable[[RunSpec, Fact], None],
) -> Snapshot:
    saved: Saved | None = None
    until = _stored_of_killed(root, parent)
    for _, fact in train([parent], [start], {0: [at]}):
        if isinstance(fact, Stepped) and until is not None and fact.step + len(fact.losses) > until:
            first = max(fact.step, until)
            keep(parent, Stepped(first, fact.losses[first - fact.step :]))
        saved = fact if isinstance(fact, Saved) else saved
        if isinstance(fact, Branched) and saved is not None:
            keep(parent, saved)
            return saved.snapshot
    raise ValueError(f"fork.at: the parent {parent.id} does not get there again: fork elsewhere")


def _stored_of_killed(root: Path, spec: RunSpec) -> int | None:
    """The step up to which a run that was killed has its updates' losses; None where it has ended."""
    ended = "SELECT 1 FROM runs WHERE run_id = ? AND status != 'running'"
    if any(rows.query(root, ended, (spec.id,))):
        return None
    return stored_until(root, spec.id, forked_at(root, spec.id) or 0)


def unscheduled(root: Path, spec: RunSpec) -> list[AtStep]:
    """Where others have forked from a stored run, or it was last sound: steps at which it has a
    checkpoint that its schedule does not ask for.
    """
    sql = "SELECT DISTINCT step FROM files WHERE run_id = ? AND step IS NOT NULL"
    steps = {row["step"] for row in rows.query(root, sql, (spec.id,))}
    return [AtStep(step=step) for step in sorted(steps - set(spec.checkpoints.steps(spec.steps)))]


def _intact_checkpoints(root: Path, spec: RunSpec) -> tuple[list[int], bool]:
    """Steps of the checkpoints before the first damaged one, and whether none is damaged."""
    checkpoints: dict[int, dict[str, set[str]]] = {}
    sql = "SELECT * FROM files WHERE run_id = ? AND step IS NOT NULL"
    for row in rows.query(root, sql, (spec.id,)):
        digests = checkpoints.setdefault(row["step"], {}).setdefault(row["path"], set())
        digests.add(row["sha256"])
    whole: list[int] = []
    for step, files in sorted(checkpoints.items()):
        if not all(is_intact(inside(root, path), digests) for path, digests in files.items()):
            return whole, False
        whole.append(step)
    return whole, True
