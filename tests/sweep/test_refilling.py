"""Packs whose slots are filled again: the store is that of runs trained one by one, up to rounding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_laws import ONE_MEASURE
from tests.engine.test_loop import at
from tests.sweep.in_process import KilledError, killed_at
from tests.sweep.test_pool import workers_of
from undergrowth.models import state_dict
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.layout import create
from undergrowth.store.writer import Writer
from undergrowth.sweep import Layout, Progress, train
from undergrowth.sweep.waiting import Waiting
from undergrowth.sweep.worker import train_handed
from undergrowth.training.interventions import AtStep

PLAIN = tiny.spec(measures=ONE_MEASURE, batch={"name": "mini", "batch_size": 4})
FORKED = PLAIN.seeded(3).replace(steps=40)
ABSURD = {"name": "adamw", "lr": 1e32}
RULE = {"reading": "train_loss", "direction": "below", "level": 100.0, "evaluations": 3}
SPECS = (
    PLAIN.seeded(0),
    FORKED.forked(AtStep(step=17), steps=30),
    PLAIN.seeded(1).replace(steps=10),
    PLAIN.seeded(2).replace(interventions=[at(13, {"name": "scale_learning_rate", "factor": 2.0})]),
    FORKED,
    PLAIN.seeded(4).replace(optimiser=ABSURD),
    PLAIN.seeded(5).replace(stop=[RULE], steps=50),
    PLAIN.seeded(6).replace(interventions=[at(7, {"name": "anneal", "factor": 0.1, "steps": 9})]),
)


def work(
    root: Path, specs: Sequence[RunSpec], pack: int, keep_every: float = 1e9
) -> list[dict[str, Any]]:
    """What a worker answers in this process, which is handed runs as a sweep would."""
    create(root)
    writer, waiting, answers = Writer(root, "worker-0"), Waiting(specs, pack), []
    come: set[str] = set()

    def answer(**fields: Any) -> None:
        answers.append(fields)
        if "branched" in fields or "ended" in fields:
            come.add(fields["run"])

    def can_begin(spec: RunSpec) -> bool:
        return spec.fork is None or spec.fork.of in come

    def order(runs: Sequence[RunSpec]) -> dict[str, Any]:
        points = [[FORKS[spec.id].model_dump(mode="json")] if spec.id in FORKS else [] for spec in runs]
        return {"runs": [spec.model_dump(mode="json") for spec in runs], "branches": points}

    try:
        while handed := waiting.take(can_begin):

            def more(n: int, shape: object = handed.shape) -> dict[str, Any]:
                answers.append({"wants": n})
                return order(waiting.more(shape, n, can_begin))

            branches = {spec.id: [FORKS[spec.id]] for spec in handed.runs if spec.id in FORKS}
            train_handed(writer, handed.runs, branches, answer, keep_every, handed.pack, more)
    except KilledError:
        pass
    finally:
        writer.kept.connection.close()
    return answers


FORKS = {FORKED.id: AtStep(step=17)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Each run by itself."""
    root = tmp_path_factory.mktemp("alone")
    work(root, SPECS, 1)
    return Store(root)


def assert_same_store(store: Store, alone: Store) -> None:
    """Ends, events and checkpoints are equal; curves and weights up to rounding."""
    assert verify(store.root).damage == ()
    for spec in SPECS:
        mine, its = (s.select([spec])[0] for s in (store, alone))
        assert (mine.status, mine.message) == (its.status, its.message)
        assert (mine.stopped, mine.forked_at) == (its.stopped, its.forked_at)
        assert mine.checkpoints == its.checkpoints
        kinds = [run.events[["step", "kind"]].values.tolist() for run in (mine, its)]
        assert kinds[0] == kinds[1]
        assert mine.names == its.names
        for name in mine.names:
            assert mine[name]["step"].values.tolist() == its[name]["step"].values.tolist()
            np.testing.assert_allclose(mine[name].values, its[name].values, rtol=1e-5, atol=1e-7)
        for step in mine.checkpoints:
            found, expected = (state_dict(run.model(step)) for run in (mine, its))
            for parameter, array in expected.items():
                np.testing.assert_allclose(found[parameter], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pack", [3, 8])
def test_a_pack_leaves_the_store_that_its_runs_alone_leave(
    alone: Store, tmp_path: Path, pack: int
) -> None:
    assert {alone.select([spec])[0].status for spec in SPECS} == {"done", "failed"}
    answers = work(tmp_path, SPECS, pack)
    assert sum("ended" in answer for answer in answers) == len(SPECS)
    assert_same_store(Store(tmp_path), alone)


def test_the_order_of_the_runs_does_not_matter(alone: Store, tmp_path: Path) -> None:
    work(tmp_path, SPECS[::-1], 3)
    assert_same_store(Store(tmp_path), alone)


@pytest.mark.parametrize("measurement", [3, 17])
def test_a_pack_that_is_killed_anywhere_and_taken_up_goes_on_from_where_each_run_stood(
    alone: Store, tmp_path: Path, measurement: int
) -> None:
    with killed_at(measurement):
        work(tmp_path, SPECS, 3, keep_every=-1.0)
    statuses = [run.status for run in Store(tmp_path).runs]
    assert "interrupted" in statuses
    left = [spec for spec in SPECS if spec.id not in {r.id for r in Store(tmp_path).runs if r.has_ended}]
    work(tmp_path, left, 3)
    assert_same_store(Store(tmp_path), alone)


def test_a_worker_asks_for_no_more_than_it_has_slots_and_not_again_before_something_has_happened(
    tmp_path: Path,
) -> None:
    specs = [PLAIN.seeded(seed).replace(steps=10 * (1 + seed % 3)) for seed in range(5)]
    answers = work(tmp_path, specs, 2)
    happened = [answer for answer in answers if "wants" in answer or "ended" in answer]
    asked = [answer["wants"] for answer in happened if "wants" in answer]
    assert asked[:3] == [1, 1, 1]
    for before, after in pairwise(happened):
        assert not ("wants" in before and "wants" in after)


def test_a_sweep_in_packs_is_filled_up_and_survives_a_kill(alone: Store, tmp_path: Path) -> None:
    killed: list[int] = []
    most: list[int] = []
    under_way: set[str] = set()

    def watch(progress: Progress) -> None:
        under_way.add(progress.spec.id)
        if progress.ended:
            under_way.discard(progress.spec.id)
        most.append(len(under_way))
        if not killed and progress.spec.id == SPECS[3].id and progress.step == 13:
            (worker,) = workers_of(os.getpid())
            killed.append(worker.pid)
            worker.kill()

    store = train(SPECS, tmp_path, layout=Layout(workers=1, pack=3), progress=watch)
    assert killed
    assert max(most) <= 4  # 3, and one of which the sweep has not heard yet that it has ended
    assert_same_store(store, alone)


def test_workers_share_what_waits_and_forks_begin_wherever_a_slot_is_free(
    alone: Store, tmp_path: Path
) -> None:
    assert_same_store(train(SPECS, tmp_path, layout=Layout(workers=2, pack=2)), alone)


def test_a_run_of_which_workers_die_is_found_by_halves_and_its_companions_end(tmp_path: Path) -> None:
    seldom = {"every": 5_000, "until": 200_000, "per_decade": 1}
    plain = tiny.spec(measures=[{"name": "curves", "schedule": seldom}], checkpoints=seldom)
    deadly = plain.replace(steps=200_000)
    others = [plain.replace(steps=20_000).seeded(seed) for seed in (1, 2)]
    deaths: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.spec.id == deadly.id and progress.step > 0 and not progress.ended:
            for worker in workers_of(os.getpid()):
                if worker.pid not in deaths:
                    deaths.append(worker.pid)
                    worker.kill()

    store = train([deadly, *others], tmp_path, layout=Layout(workers=1, pack=3), progress=kill)
    first, *rest = store.select([deadly, *others])
    assert first.status == "failed"
    assert "a worker died of it 2 times (the last: killed by signal 9" in first.message
    assert [run.status for run in rest] == ["done"] * 2
    assert len(deaths) == 3  # of the pack, of its half, of the run alone
    assert verify(tmp_path).damage == ()
