"""Runs that a rule ends early: beginnings of the others, whatever interrupts or accompanies them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_loop import as_bits, assert_same_up_to_rounding, facts, facts_of_each, snapshots
from undergrowth.analysis import events
from undergrowth.engine.facts import Advanced, Saved, Stopped
from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import Store
from undergrowth.store.outcomes import in_words
from undergrowth.store.verify import verify
from undergrowth.studies.lr_boost.statistics import switched
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AtStep

RULE = {"reading": "train_loss", "direction": "below", "level": 100.0, "evaluations": 3}
"""Fires at the third evaluation that it looks at."""
WHOLE = tiny.spec(steps=60)
STOPPED = WHOLE.replace(stop=[RULE])  # at step 20
MINI = {"name": "mini", "batch_size": 4, "remainder": "kept"}


@pytest.mark.parametrize("batch", [{"name": "full"}, MINI], ids=["full", "mini"])
def test_a_stopped_run_is_bit_for_bit_the_beginning_of_the_whole_one(batch: dict[str, Any]) -> None:
    whole, stopped = (facts(spec.replace(batch=batch)) for spec in (WHOLE, STOPPED))
    assert [fact for fact in stopped if isinstance(fact, Stopped)] == [Stopped(20, 0)]
    assert not any(isinstance(fact, Stopped) for fact in whole)
    mine = [as_bits(fact) for fact in stopped if not isinstance(fact, Stopped)]
    assert mine == [as_bits(fact) for fact in whole][: len(mine)]
    assert max(snapshots(stopped)) == 20 < max(snapshots(whole))


def test_a_run_is_kept_where_it_stops_though_its_schedule_does_not_ask_for_it() -> None:
    rarely = {"every": 1000, "until": 1000, "per_decade": 1}
    found = facts(STOPPED.replace(checkpoints=rarely))
    assert [fact.snapshot.step for fact in found if isinstance(fact, Saved)] == [0, 20]
    assert isinstance(found[-1], Advanced)


def test_a_run_taken_up_before_its_stop_comes_to_it_and_one_taken_up_there_does_nothing() -> None:
    whole = facts(STOPPED)
    kept = snapshots(whole)
    after_10 = [as_bits(fact) for fact in facts(STOPPED, kept[10])]
    assert after_10 == [as_bits(fact) for fact in whole][-len(after_10) :]
    assert facts(STOPPED, kept[20]) == []


def test_the_last_step_is_no_stop() -> None:
    spec = tiny.spec(steps=20, stop=[RULE])
    assert not any(isinstance(fact, Stopped) for fact in facts(spec))


def test_runs_packed_together_stop_each_where_it_stops_alone() -> None:
    specs = [STOPPED.seeded(1), WHOLE.seeded(2), WHOLE.replace(stop=[{**RULE, "after": 15}]).seeded(3)]
    packed = facts_of_each(specs)
    stops = [[fact.step for fact in found if isinstance(fact, Stopped)] for found in packed]
    assert stops == [[20], [], [40]]
    for spec, together in zip(specs, packed, strict=True):
        assert_same_up_to_rounding(together, facts(spec))


def stored(folder: Path, *specs: RunSpec) -> Store:
    return train(list(specs), folder, layout=Layout(workers=1))


def test_a_store_keeps_why_a_run_stopped_and_is_whole_without_what_never_came(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", STOPPED)
    (run,) = store.runs
    assert run.status == "done"
    assert run.stopped == (20, "train_loss ≤ 100 3 times running")
    assert run.last_step == 20
    assert in_words(run) == ("stopped at step 20: train_loss ≤ 100 3 times running",)
    assert run.curves["step"].values.tolist() == [0, 10, 20]
    assert len(run["update_loss"]) == 20
    assert verify(store.root).damage == ()
    assert events(run.curves)["grokked"].last == 20
    assert not switched(run).reaches_threshold
    assert switched(run).remaining == 20  # and not 60: it was watched no longer
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.safetensors")}
    stored(store.root, STOPPED)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.safetensors")} == before


def test_a_fork_of_a_stopped_run_stops_where_it_does_unless_told_otherwise(tmp_path: Path) -> None:
    bare = STOPPED.forked(AtStep(step=10))
    goes_on = STOPPED.forked(AtStep(step=20), stop=())
    later = STOPPED.forked(AtStep(step=10), stop=[{**RULE, "after": 25}])
    store = stored(tmp_path / "store", STOPPED, WHOLE, bare, goes_on, later)
    parent, whole, *forks = store.select([STOPPED, WHOLE, bare, goes_on, later])
    assert [run.status for run in (parent, whole, *forks)] == ["done"] * 5
    assert [run.last_step for run in (parent, *forks)] == [20, 20, 60, 50]
    for fork in forks:
        steps = fork.curves["step"].values
        expected = whole.curves["train_loss"].sel(step=steps).values
        np.testing.assert_array_equal(fork.curves["train_loss"].values, expected)
    assert verify(store.root).damage == ()


def test_a_fork_after_its_parents_stop_is_refused_in_one_line(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", STOPPED)
    with pytest.raises(SpecError, match=r"it is stopped at step 20: fork at 20 or earlier"):
        stored(store.root, STOPPED.forked(AtStep(step=30)))
    beside = stored(tmp_path / "other", STOPPED, STOPPED.forked(AtStep(step=30)))
    _, fork = beside.select([STOPPED, STOPPED.forked(AtStep(step=30))])
    assert fork.status == "failed"
    assert "never got there" in fork.message
