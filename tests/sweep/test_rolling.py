"""How a run stands is kept between its checkpoints, and a killed run goes on from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.sweep.in_process import killed_at, work
from tests.sweep.test_forks import bits, the
from tests.sweep.test_replaying import DIVERGING
from undergrowth.measures import Curves
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.checkpoints import load_rolling, rolling_path
from undergrowth.store.layout import databases
from undergrowth.store.lineage import curves_of
from undergrowth.store.start_points import resume_point
from undergrowth.training.interventions import AtStep

RARELY = {"every": 1000, "until": 1000, "per_decade": 1}
CURVES = [{"name": "curves", "schedule": tiny.EVERY_10}]
SPEC = tiny.spec(
    measures=CURVES,
    checkpoints=RARELY,
    batch={"name": "mini", "batch_size": 4},
    interventions=[
        {"trigger": AtStep(step=14), "action": {"name": "anneal", "factor": 0.5, "steps": 9}},
        {"trigger": AtStep(step=27), "action": {"name": "no_op"}},
    ],
)
ALWAYS = -1.0
"""Seconds between two snapshots: at every step that the engine comes to."""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store whose run was killed at step 30: it has a checkpoint of step 0, and was kept at 27."""
    with killed_at(3):
        work(tmp_path, [SPEC], keep_every=ALWAYS)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same run, uninterrupted; not to be written to."""
    root = tmp_path_factory.mktemp("whole")
    work(root, [SPEC])
    return Store(root)


def measured(root: Path, spec: RunSpec) -> list[int]:
    """The steps at which a worker that goes on with a run reads its curves."""
    observe, steps = Curves.observe, []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Curves, "observe", lambda *a: steps.append(len(steps)) or observe(*a))
        work(root, [spec])
    return steps


def test_a_run_killed_long_after_its_checkpoint_goes_on_from_where_it_stood(
    killed: Path, whole: Store
) -> None:
    snapshot = resume_point(killed, SPEC)
    assert snapshot is not None
    assert (snapshot.step, snapshot.fired) == (27, {0: 14})
    assert Store(killed).runs[0].checkpoints == (0,)
    assert len(measured(killed, SPEC)) == 1
    assert bits(the(Store(killed), SPEC)) == bits(the(whole, SPEC))
    assert the(Store(killed), SPEC).events.equals(the(whole, SPEC).events)


def test_without_it_a_run_goes_on_from_its_checkpoint(killed: Path, whole: Store) -> None:
    (killed / rolling_path(SPEC)).unlink()
    assert len(measured(killed, SPEC)) == 3
    assert bits(the(Store(killed), SPEC)) == bits(the(whole, SPEC))


@pytest.mark.parametrize("how", ["torn", "emptied", "a flipped bit", "another step"])
def test_one_that_is_not_as_it_was_written_is_passed_over(killed: Path, whole: Store, how: str) -> None:
    path = killed / rolling_path(SPEC)
    content = bytearray(path.read_bytes())
    if how == "a flipped bit":
        content[-5] ^= 0x10
    altered = {
        "torn": content[: len(content) // 2],
        "emptied": b"",
        "a flipped bit": content,
        "another step": bytes(content).replace(rb"\"step\": 27", rb"\"step\": 28"),
    }[how]
    assert altered != path.read_bytes()
    path.write_bytes(altered)
    curves = curves_of(killed, SPEC)
    assert load_rolling(killed, SPEC, curves) is None
    assert len(measured(killed, SPEC)) == 3
    assert bits(the(Store(killed), SPEC)) == bits(the(whole, SPEC))


def test_it_is_no_part_of_what_is_verified_and_is_gone_at_the_end(killed: Path) -> None:
    assert (killed / rolling_path(SPEC)).exists()
    assert verify(killed).damage == ()
    (killed / rolling_path(SPEC)).write_bytes(b"torn")
    assert verify(killed).damage == ()
    work(killed, [SPEC])
    assert not (killed / rolling_path(SPEC)).exists()


def test_one_whose_readings_are_lost_is_passed_over(killed: Path, whole: Store) -> None:
    for database in databases(killed):
        database.unlink()
        for log in database.parent.glob(f"{database.name}-*"):
            log.unlink()
    assert (killed / rolling_path(SPEC)).exists()
    assert resume_point(killed, SPEC) is None
    work(killed, [SPEC])
    assert bits(the(Store(killed), SPEC)) == bits(the(whole, SPEC))
    assert verify(killed).damage == ()


def test_it_is_never_newer_than_its_readings(killed: Path) -> None:
    curves = curves_of(killed, SPEC)
    snapshot = load_rolling(killed, SPEC, curves)
    assert snapshot is not None
    due = SPEC.measures[0].schedule.steps(SPEC.steps)
    assert [step for step, _ in curves["train_loss"]] == [s for s in due if s <= snapshot.step]


def test_a_fork_goes_on_from_where_it_stood_too(killed: Path) -> None:
    work(killed, [SPEC])
    arm = SPEC.forked(AtStep(step=17))
    with killed_at(2):  # the trunk is measured once on the way to the fork
        work(killed, [arm], keep_every=ALWAYS)
    snapshot = resume_point(killed, arm)
    assert snapshot is not None
    assert (snapshot.step, snapshot.forked_at) == (27, 17)
    work(killed, [arm])
    store = Store(killed)
    assert the(store, arm)["train_loss"].identical(the(store, SPEC)["train_loss"])


def test_a_run_that_diverges_keeps_the_same_last_good_checkpoint_whenever_it_is_killed(
    tmp_path: Path,
) -> None:
    """Kept at step 15, between two readings of the loss, after which all is lost."""
    spec = DIVERGING.replace(checkpoints=RARELY)
    work(tmp_path / "whole", [spec])
    with killed_at(2):
        work(tmp_path / "killed", [spec], keep_every=ALWAYS)
    snapshot = resume_point(tmp_path / "killed", spec)
    assert snapshot is not None
    assert snapshot.good is not None
    assert (snapshot.step, snapshot.good.step) == (15, 10)
    work(tmp_path / "killed", [spec])
    once, again = (the(Store(tmp_path / name), spec) for name in ("whole", "killed"))
    assert once.status == again.status == "failed"
    assert once.message == again.message
    assert once.checkpoints == again.checkpoints == (0, 10)
    assert once.checkpoint_path(10).read_bytes() == again.checkpoint_path(10).read_bytes()
    assert np.isfinite(again["train_loss"].values[:2]).all()
