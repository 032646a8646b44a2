"""The loss of every update is stored, whatever cuts training into stretches, and read as one curve."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests import tiny
from tests.store.test_verify import change
from tests.sweep.in_process import killed_at, work
from undergrowth.engine.facts import Stepped
from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store, StoreError, together, verify
from undergrowth.store.database import reading
from undergrowth.store.layout import create, databases
from undergrowth.store.start_points import resume_point
from undergrowth.store.updates import GATHERED, joined, known_until, stored_until
from undergrowth.store.writer import Writer
from undergrowth.training.interventions import AtStep

EVERY_STEP = {"every": 1, "until": 1000, "per_decade": 1}
RARELY = {"every": 1000, "until": 1000, "per_decade": 1}
SPEC = tiny.spec(checkpoints=RARELY)
ALWAYS = -1.0
"""Seconds between two snapshots: at every step that the engine comes to."""


def the(root: Path, spec: RunSpec = SPEC) -> Run:
    return Store(root).select([spec])[0]


def stretches(root: Path, spec: RunSpec = SPEC) -> list[tuple[int, int]]:
    stored = Store(root).readings_of(spec.id, "update_loss")
    return [(step, len(reading.values)) for step, reading in stored.items()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 updates, uninterrupted; not to be written to."""
    root = tmp_path_factory.mktemp("whole")
    work(root, [SPEC])
    return root


def test_it_is_the_training_loss_at_every_step_that_an_update_was_made_from(tmp_path: Path) -> None:
    """On a full batch: the same loss over the same examples, by another pass over them."""
    spec = SPEC.replace(measures=[{"name": "curves", "schedule": EVERY_STEP}])
    work(tmp_path, [spec])
    run = the(tmp_path, spec)
    loss = run["update_loss"]
    assert loss.dims == ("step",)
    assert loss.dtype == np.float32
    assert loss["step"].values.tolist() == list(range(30))
    np.testing.assert_allclose(loss, run["train_loss"].sel(step=loss["step"]), rtol=2e-6)


def test_it_is_a_reading_beside_the_others_but_no_curve(whole: Path) -> None:
    run = the(whole)
    assert "update_loss" in run.names
    assert "update_loss" not in run.curves
    assert together([run, run], "update_loss").dims == ("run", "step")
    assert stretches(whole) == [(0, 30)]  # one row, though the engine stopped at 10 and 20


def test_many_updates_are_stored_before_the_end(tmp_path: Path) -> None:
    create(tmp_path)
    writer = Writer(tmp_path, "worker-0")
    writer.begin(SPEC)
    for step in range(0, GATHERED + 30, 10):
        writer.write(SPEC, Stepped(step, np.full(10, step, np.float32)))
    assert stretches(tmp_path) == [(0, GATHERED)]
    writer.end(SPEC, "done")
    writer.close()
    assert stretches(tmp_path) == [(0, GATHERED), (GATHERED, 30)]


@pytest.mark.parametrize("measurement", range(4))
def test_a_run_that_was_killed_has_the_losses_of_an_uninterrupted_one(
    whole: Path, tmp_path: Path, measurement: int
) -> None:
    """Killed again and again, each time one evaluation later, with what was kept at every step."""
    for left in range(measurement + 1):
        with killed_at(left):
            work(tmp_path, [SPEC], keep_every=ALWAYS)
    work(tmp_path, [SPEC], keep_every=ALWAYS)
    assert the(tmp_path)["update_loss"].identical(the(whole)["update_loss"])
    assert verify(tmp_path).damage == ()


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_run_is_taken_up_from_is_never_newer_than_its_losses(tmp_path: Path, kept: bool) -> None:
    spec = SPEC.replace(checkpoints=tiny.EVERY_10)
    with killed_at(3):
        work(tmp_path, [spec], keep_every=ALWAYS if kept else 1e9)
    snapshot = resume_point(tmp_path, spec)
    assert snapshot is not None
    assert 0 < snapshot.step <= stored_until(tmp_path, spec.id, since=0)


def test_losses_that_are_lost_or_damaged_are_made_again(whole: Path, tmp_path: Path) -> None:
    spec = SPEC.replace(checkpoints=tiny.EVERY_10)
    with killed_at(3):
        work(tmp_path, [spec])
    assert stretches(tmp_path, spec) == [(0, 10), (10, 10)]
    change(tmp_path, "UPDATE readings SET digest = x'00' WHERE name = 'update_loss' AND step = 10")
    snapshot = resume_point(tmp_path, spec)
    assert snapshot is not None
    assert snapshot.step == 10
    work(tmp_path, [spec])
    assert the(tmp_path, spec)["update_loss"].identical(the(whole)["update_loss"])
    assert verify(tmp_path).damage == ()


def test_a_gap_in_a_run_that_has_ended_is_an_error_and_damage(tmp_path: Path) -> None:
    spec = SPEC.replace(checkpoints=tiny.EVERY_10)
    work(tmp_path, [spec])
    change(tmp_path, "DELETE FROM readings WHERE name = 'update_loss' AND step = 10")
    with pytest.raises(StoreError, match=r"update_loss has a gap at step 10: restore") as error:
        the(tmp_path, spec)["update_loss"]
    assert "\n" not in str(error.value)
    assert [entry.place for entry in verify(tmp_path).damage] == [f"run {spec.id}, update_loss"]


def test_a_run_under_way_has_what_is_stored_up_to_a_gap(tmp_path: Path) -> None:
    spec = SPEC.replace(checkpoints=tiny.EVERY_10)
    with killed_at(3):
        work(tmp_path, [spec])
    assert the(tmp_path, spec)["update_loss"]["step"].values.tolist() == list(range(20))
    work(tmp_path, [spec])
    writer = Writer(tmp_path, "worker-0")
    writer.begin(spec)
    writer.close()
    change(tmp_path, "DELETE FROM readings WHERE name = 'update_loss' AND step = 10")
    assert the(tmp_path, spec)["update_loss"]["step"].values.tolist() == list(range(10))


def test_a_run_of_a_version_that_kept_none_is_whole_and_lacks_the_reading(tmp_path: Path) -> None:
    work(tmp_path, [SPEC])
    change(tmp_path, "DELETE FROM readings WHERE name = 'update_loss'")
    change(tmp_path, "DROP TABLE complete")
    assert verify(tmp_path).damage == ()
    with pytest.raises(KeyError, match="no reading 'update_loss'"):
        the(tmp_path)["update_loss"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_fork_shows_its_trunk_before_it_though_that_was_killed(
    whole: Path, tmp_path: Path, killed: bool
) -> None:
    """The trunk had come to step 20 and had stored no loss since step 0 as it was killed."""
    with killed_at(3 if killed else 10**6):
        work(tmp_path, [SPEC])
    assert stretches(tmp_path) == ([] if killed else [(0, 30)])
    arm = SPEC.forked(AtStep(step=17))
    work(tmp_path, [arm])
    assert stretches(tmp_path, arm) == [(17, 13)]
    assert the(tmp_path, arm)["update_loss"].identical(the(whole)["update_loss"])
    assert verify(tmp_path).damage == ()
    work(tmp_path, [SPEC])
    assert the(tmp_path)["update_loss"].identical(the(whole)["update_loss"])


def test_a_database_is_closed_when_others_have_read_it(tmp_path: Path) -> None:
    """Leaving its log, SQLite itself waits for no reader."""
    create(tmp_path)
    writer = Writer(tmp_path, "worker-0")
    writer.begin(SPEC)
    (database,) = databases(tmp_path)
    is_reading = threading.Event()

    def read() -> None:
        with reading(database) as connection:
            connection.execute("SELECT * FROM runs").fetchall()
            is_reading.set()
            time.sleep(0.2)

    reader = threading.Thread(target=read)
    reader.start()
    is_reading.wait()
    writer.close()
    reader.join()
    with pytest.raises(sqlite3.ProgrammingError):
        writer.kept.connection.execute("SELECT 1")


STRETCHES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), min_size=1, max_size=8)


@given(found=STRETCHES)
def test_stretches_are_joined_step_by_step_up_to_the_first_gap(found: list[tuple[int, int]]) -> None:
    by_step: dict[int, float] = {}
    drawn = []
    for k, (step, n) in enumerate(found):
        losses = (100 * k + np.arange(n)).astype(np.float32)
        drawn.append((step, losses))
        by_step |= dict(zip(range(step, step + n), losses.tolist(), strict=True))
    first = min(by_step)
    last = first
    while last in by_step:
        last += 1
    start, losses, gap = joined(drawn)
    assert start == first
    assert losses.tolist() == [by_step[step] for step in range(first, last)]
    assert gap == (last if last <= max(by_step) else None)
    assert known_until([(step, step + n) for step, n in found], first) == last
