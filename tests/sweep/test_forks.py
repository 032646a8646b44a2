"""Forks end to end: the trunk is computed once, and an arm is what the whole run would have been."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_laws import ONE_MEASURE
from tests.sweep.in_process import killed_at, work
from undergrowth.measures import Norms
from undergrowth.spec import Fork, RunSpec, SpecError
from undergrowth.store import Run, Store, verify
from undergrowth.store.database import seal_of
from undergrowth.store.layout import databases
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import (
    AfterFork,
    AtStep,
    Intervention,
    NoOp,
    OnOnset,
    ScaleLearningRate,
    WhenCrosses,
)

TRUNK = tiny.spec(measures=ONE_MEASURE)
AT_17 = AtStep(step=17)
FALLEN = WhenCrosses(reading="train_loss", direction="below", level=1e9, evaluations=3)  # at 20
NEVER = WhenCrosses(reading="train_loss", direction="below", level=-1.0)
FASTER = Intervention(trigger=AfterFork(), action=ScaleLearningRate(factor=3))
LATER = Intervention(trigger=AfterFork(steps=6), action=ScaleLearningRate(factor=0.5))
BARE = TRUNK.forked(AT_17)
ARM = TRUNK.forked(AT_17, FASTER, LATER)
AT_EVENT = TRUNK.forked(FALLEN, FASTER)
OF_ARM = ARM.forked(AtStep(step=20), Intervention(trigger=AtStep(step=25), action=NoOp()))
FAMILY = (OF_ARM, AT_EVENT, ARM, BARE, TRUNK)  # the trunk last: order means nothing
ONE = Layout(workers=1)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Trunk, arms and an arm of an arm, trained in one call; not to be written to."""
    return train(FAMILY, tmp_path_factory.mktemp("family") / "store", layout=ONE)


def the(store: Store, spec: RunSpec) -> Run:
    return store.select([spec])[0]


def bits(run: Run, since: int = 0) -> dict[object, bytes]:
    """All readings from a step on, its trunk's too, and the weights of all scheduled checkpoints."""
    found: dict[object, bytes] = {}
    for name in run.names:
        array = run[name]
        for step in array["step"].values:
            if step >= since:
                found[name, int(step)] = array.sel(step=step).values.tobytes()
    scheduled = set(run.spec.checkpoints.steps(run.spec.steps))
    for step in run.checkpoints:
        if step in scheduled and step >= since:
            found["weights", step] = run.checkpoint_path(step).read_bytes()
    return found


def own_steps(store: Store, spec: RunSpec) -> list[int]:
    return sorted(store.readings_of(spec.id, "train_loss"))


def test_the_trunk_is_computed_once(family: Store) -> None:
    assert {run.status for run in family.runs} == {"done"}
    assert own_steps(family, TRUNK) == [0, 10, 20, 30]
    for spec in (BARE, ARM):
        assert own_steps(family, spec) == [20, 30]
        assert the(family, spec).checkpoints == (17, 20, 30)
    assert own_steps(family, AT_EVENT) == own_steps(family, OF_ARM) == [20, 30]
    assert the(family, TRUNK).checkpoints == (0, 10, 17, 20, 30)  # 17 for those who fork there
    assert verify(family.root).damage == ()


def test_a_bare_arm_is_its_parent_to_the_bit(family: Store) -> None:
    trunk, bare = the(family, TRUNK), the(family, BARE)
    assert bits(bare, since=20) == bits(trunk, since=20)
    for name in trunk.names:
        assert bare[name].identical(trunk[name])
    assert bare.forked_at == 17
    assert bare.events["kind"].tolist() == ["forked"]


def test_an_arm_shows_its_trunk_and_differs_after_the_fork_alone(family: Store) -> None:
    trunk, arm = (the(family, spec)["train_loss"] for spec in (TRUNK, ARM))
    assert arm["step"].values.tolist() == [0, 10, 20, 30]
    assert (arm[:2] == trunk[:2]).all()
    assert (arm[2:] != trunk[2:]).all()


def test_an_event_is_where_it_first_happens(family: Store) -> None:
    assert the(family, AT_EVENT).forked_at == 20
    fired = the(family, AT_EVENT).events
    assert fired[["step", "kind"]].values.tolist() == [[20, "fired"], [20, "forked"]]


def test_an_arm_of_an_arm_has_the_trunks_of_both(family: Store) -> None:
    arm, of_arm = the(family, ARM), the(family, OF_ARM)
    assert of_arm.trunks == ((ARM.id, 20), (TRUNK.id, 17))
    assert bits(of_arm, since=20) == bits(arm, since=20)
    assert of_arm["train_loss"].identical(arm["train_loss"])
    # LATER fires 6 steps after the fork of the arm, whose it is, in both
    assert of_arm.events[["step", "kind"]].values.tolist() == [
        [17, "fired"],
        [20, "forked"],
        [23, "fired"],
        [25, "fired"],
    ]
    assert arm.events["step"].tolist() == [17, 17, 23]


@pytest.mark.parametrize("layout", [Layout(workers=2)], ids=["two workers"])
def test_any_number_of_workers_gives_the_same_bits(
    family: Store, tmp_path: Path, layout: Layout
) -> None:
    store = train(FAMILY[::-1], tmp_path / "store", layout=layout)
    for spec in FAMILY:
        assert bits(the(store, spec)) == bits(the(family, spec))


def test_arms_trained_later_are_those_trained_together_with_their_parent(
    family: Store, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    train([TRUNK], root, layout=ONE)
    assert Store(root).runs[0].checkpoints == (0, 10, 20, 30)
    store = train([BARE, ARM, AT_EVENT, OF_ARM], root, layout=ONE)
    for spec in FAMILY:
        assert bits(the(store, spec)) == bits(the(family, spec))
    assert verify(root).damage == ()


def test_packed_forks_agree_with_those_alone(family: Store, tmp_path: Path) -> None:
    store = train(FAMILY, tmp_path / "store", layout=Layout(workers=1, pack=3))
    assert {run.status for run in store.runs} == {"done"}
    for spec in FAMILY:
        loss, alone = (the(s, spec)["train_loss"].values for s in (store, family))
        np.testing.assert_allclose(loss, alone, rtol=1e-3)
    assert verify(store.root).damage == ()


def test_a_fork_at_what_never_comes_fails_alone_in_one_line(tmp_path: Path) -> None:
    never = TRUNK.forked(NEVER)
    on_onset = TRUNK.forked(OnOnset(margin=0.9))
    store = train([never, on_onset, BARE, TRUNK], tmp_path / "store", layout=ONE)
    assert {the(store, spec).status for spec in (TRUNK, BARE)} == {"done"}
    for spec, when in ((never, "at train_loss ≤ -1"), (on_onset, "at onset by accuracy")):
        run = the(store, spec)
        assert run.status == "failed"
        assert f"fork.at: the parent {TRUNK.id} never got there ({when})" in run.message
        assert "train it for longer, or fork elsewhere" in run.message
        assert "\n" not in run.message
    assert verify(store.root).damage == ()


def test_a_fork_of_a_fork_whose_trunk_never_came_there_fails_in_one_line_too(tmp_path: Path) -> None:
    never = TRUNK.forked(NEVER)
    of_never = never.forked(AtStep(step=20))
    store = train([of_never, never, TRUNK], tmp_path / "store", layout=ONE)
    run = the(store, of_never)
    assert run.status == "failed"
    assert f"the parent {never.id} never got there" in run.message
    assert the(store, TRUNK).status == "done"


def forked_with(**fields: Any) -> RunSpec:
    return BARE.replace(**fields)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (TRUNK.seeded(9).forked(AT_17), "no such run in the store or among those to be trained"),
        (
            forked_with(fork=Fork(of=TRUNK.id, at=AtStep(step=31)), steps=40),
            f"fork.at.step = 31 is never reached by the parent {TRUNK.id}: fork at 30 or",
        ),
        (forked_with(labels="shuffled"), f"labels differs from that of the parent {TRUNK.id}"),
        (forked_with(temperature=2.0), "temperature differs from that of the parent"),
        (forked_with(seeds={"model": 3}), "seeds differs from that of the parent"),
        (
            forked_with(
                fork=Fork(of=TRUNK.id, at=WhenCrosses(reading="weight_norm", level=1.0)),
                measures=[*ONE_MEASURE, {"name": "norms"}],
            ),
            "fork.at.reading = 'weight_norm': no measure of this run gives such a number",
        ),
        (
            forked_with(interventions=[{"trigger": AtStep(step=16), "action": NoOp()}]),
            "interventions.0.trigger.step = 16 is before the fork at step 17",
        ),
        (
            forked_with(interventions=[{"trigger": AfterFork(steps=13), "action": NoOp()}]),
            "interventions.0.trigger.steps = 13 after the fork at step 17 is past the run's last update "
            "(30)",
        ),
    ],
)
def test_a_fork_that_cannot_be_is_an_error_before_any_training(
    tmp_path: Path, arm: RunSpec, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        train([TRUNK, arm], tmp_path / "store", layout=ONE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Store(tmp_path / "store").runs == ()


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (
            ARM.forked(AtStep(step=16)),
            f"fork.at.step = 16 is before the parent {ARM.id} forks from its own",
        ),
        (
            ARM.forked(AtStep(step=20)).replace(interventions=ARM.interventions[1:]),
            f"interventions do not start with those of the parent {ARM.id}",
        ),
    ],
)
def test_a_fork_of_a_fork_that_cannot_be_is_an_error_too(
    tmp_path: Path, arm: RunSpec, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        train([TRUNK, ARM, arm], tmp_path / "store", layout=ONE)


def test_an_arm_may_read_other_things_than_its_parent(tmp_path: Path) -> None:
    """Less than it, at step 0 too, and at other steps."""
    whole = TRUNK.replace(measures=(*TRUNK.measures, Norms(schedule=TRUNK.measures[0].schedule)))
    at_0, at_20 = (
        whole.forked(AtStep(step=step), measures=TRUNK.measures, steps=40) for step in (0, 20)
    )
    rarely = whole.forked(AtStep(step=20), measures=[{"name": "curves", "schedule": {"every": 25}}])
    store = train([whole, at_0, at_20, rarely], tmp_path / "store", layout=ONE)
    assert {run.status for run in store.runs} == {"done"}
    assert "weight_norm" not in the(store, at_0).curves
    assert the(store, at_20).curves["weight_norm"].dropna("step")["step"].values.tolist() == [0, 10]
    assert the(store, rarely)["train_loss"]["step"].values.tolist() == [0, 10, 25, 30]
    assert verify(store.root).damage == ()


def test_noise_and_batches_of_its_own_differ_after_the_fork_alone(tmp_path: Path) -> None:
    trunk = tiny.spec(
        measures=ONE_MEASURE,
        batch={"name": "mini", "batch_size": 4},
        noise={"gradient": 0.1},
    )
    own = trunk.forked(AT_17, seeds={**dict(trunk.seeds), "noise": 7})
    store = train([own, trunk.forked(AT_17), trunk], tmp_path / "store", layout=ONE)
    parent, bare, other = (
        the(store, spec)["train_loss"].values for spec in (trunk, trunk.forked(AT_17), own)
    )
    assert (bare == parent).all()
    assert (other[:2] == parent[:2]).all()
    assert (other[2:] != parent[2:]).all()


@pytest.mark.parametrize("measurement", [1, 3, 5])
def test_a_sweep_of_forks_killed_anywhere_and_resumed_is_the_uninterrupted_one(
    family: Store, tmp_path: Path, measurement: int
) -> None:
    """Killed in the trunk before the fork, after it, and in an arm; then trained as usual."""
    with killed_at(measurement):
        work(tmp_path, [TRUNK], {TRUNK.id: [AT_17, FALLEN]})
        if Store(tmp_path).runs[0].status == "done":
            work(tmp_path, [ARM])
    assert {run.status for run in Store(tmp_path).runs} >= {"interrupted"}
    store = train(FAMILY, tmp_path, layout=ONE)
    for spec in FAMILY:
        assert bits(the(store, spec)) == bits(the(family, spec))
        assert the(store, spec).checkpoints == the(family, spec).checkpoints
    assert verify(tmp_path).damage == ()


def test_a_parent_that_is_taken_up_says_at_once_where_it_has_been(tmp_path: Path) -> None:
    with killed_at(3):  # at step 30: the last checkpoint is that of step 20
        work(tmp_path, [TRUNK], {TRUNK.id: [AT_17, FALLEN]})
    said: list[Any] = []
    work(
        tmp_path,
        [TRUNK],
        {TRUNK.id: [AT_17, FALLEN, NEVER]},
        answer=lambda **fields: said.append(fields.get("branched")),
    )
    assert said == [0, 1, None, None]  # then step 30, and the end
    assert Store(tmp_path).runs[0].checkpoints == (0, 10, 17, 20, 30)


def test_an_unfinished_parent_can_be_forked_from_where_it_has_been_alone(tmp_path: Path) -> None:
    with killed_at(2):
        work(tmp_path, [TRUNK])
    with pytest.raises(SpecError) as caught:
        train([BARE], tmp_path, layout=ONE)
    assert f"fork.at.step = 17 was not reached by the parent {TRUNK.id}: it is running" in str(
        caught.value
    )
    early = TRUNK.forked(AtStep(step=10))
    assert the(train([early], tmp_path, layout=ONE), early).status == "done"


def delete(root: Path, sql: str) -> None:
    for database in databases(root):
        seal_of(database).unlink(missing_ok=True)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(sql)


def copied(store: Store, to: Path) -> Path:
    return Path(shutil.copytree(store.root, to))


def test_a_trunk_reading_that_is_gone_is_found(family: Store, tmp_path: Path) -> None:
    root = copied(family, tmp_path / "copy")
    delete(root, f"DELETE FROM readings WHERE run_id = '{TRUNK.id}' AND step = 10")
    damage = verify(root).damage
    assert {entry.wrong for entry in damage} == {"readings are missing: restore them from a copy"}
    assert all(TRUNK.id in entry.place for entry in damage)


def test_a_trunk_reading_that_is_gone_is_found_where_the_parent_is_not_done(
    family: Store, tmp_path: Path
) -> None:
    root = copied(family, tmp_path / "copy")
    delete(root, f"DELETE FROM readings WHERE run_id = '{TRUNK.id}' AND step IN (10, 30)")
    delete(root, f"UPDATE runs SET status = 'failed' WHERE run_id = '{TRUNK.id}'")
    wrong = [entry for entry in verify(root).damage if "missing" in entry.wrong]
    assert wrong
    assert all(TRUNK.id in entry.place for entry in wrong)


def test_a_parent_that_is_gone_is_found(family: Store, tmp_path: Path) -> None:
    root = copied(family, tmp_path / "copy")
    delete(root, f"DELETE FROM runs WHERE run_id = '{TRUNK.id}'")
    wrong = [entry.wrong for entry in verify(root).damage]
    assert sum(w == f"its parent {TRUNK.id} is not in the store: train it too" for w in wrong) == 3


def test_a_branchs_checkpoint_that_is_gone_is_mended(family: Store, tmp_path: Path) -> None:
    """Though the schedule does not ask for it, and its arms are done."""
    root = copied(family, tmp_path / "copy")
    path = the(Store(root), TRUNK).checkpoint_path(17)
    whole = path.read_bytes()
    path.unlink()
    train([TRUNK], root, layout=ONE)
    assert path.read_bytes() == whole
    assert verify(root).damage == ()
