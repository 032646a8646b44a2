"""What is said of a run that is damaged, that diverged, or whose interventions never fired."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import tiny
from undergrowth.store import Run, Store
from undergrowth.store.listing import damage
from undergrowth.store.outcomes import diverged_at, in_words, never_fired
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import (
    AfterFork,
    AtStep,
    Intervention,
    NoOp,
    ResetMoments,
    WhenCrosses,
)

NEVER = Intervention(trigger=WhenCrosses(reading="val_accuracy", level=2.0), action=ResetMoments())
FIRED = Intervention(trigger=AtStep(step=10), action=NoOp())
TRUNK = tiny.spec(interventions=[FIRED, NEVER])
FORK = TRUNK.forked(AtStep(step=20), Intervention(trigger=AfterFork(), action=NoOp()))
ABSURD = tiny.spec(optimiser={"name": "sgd", "lr": 1e30})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(
        [TRUNK, FORK, ABSURD], tmp_path_factory.mktemp("outcomes") / "store", layout=Layout(1)
    ).root


@pytest.fixture
def runs(root: Path) -> dict[str, Run]:
    return {run.id: run for run in Store(root).runs}


def test_what_never_fired_is_told_and_what_did_is_not(runs: dict[str, Run]) -> None:
    for spec in (TRUNK, FORK):
        assert never_fired(runs[spec.id]) == ("reset_moments at val_accuracy ≥ 2",)
        assert in_words(runs[spec.id]) == ("never fired: reset_moments at val_accuracy ≥ 2",)
        assert diverged_at(runs[spec.id]) is None


def test_a_diverged_run_says_where(runs: dict[str, Run]) -> None:
    run = runs[ABSURD.id]
    step = diverged_at(run)
    assert step is not None
    assert step == int(run["train_loss"]["step"][-1])
    assert in_words(run) == (f"diverged at step {step}",)


CLASHES = {
    "damaged": "UPDATE readings SET content = x'00' WHERE name = 'weight_norm' AND run_id = ?",
    "of another shape": (
        "UPDATE readings SET shape = '[2]', content = zeroblob(8) "
        "WHERE name = 'val_loss' AND step = 10 AND run_id = ?"
    ),
    "no JSON": "UPDATE readings SET axes = '[' WHERE name = 'val_loss' AND run_id = ?",
    "of no type": "UPDATE readings SET dtype = 'x' WHERE name = 'val_loss' AND run_id = ?",
}


def test_a_done_run_without_readings_is_damaged(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("DELETE FROM readings WHERE run_id = ?", (TRUNK.id,))
    found = {run.id: damage(run) for run in Store(copy).runs}
    assert found[TRUNK.id].startswith("its curves are missing")
    assert not found[ABSURD.id]


@pytest.mark.parametrize("change", CLASHES.values(), ids=CLASHES)
def test_readings_that_cannot_be_read_are_told_in_one_line(
    change: str, root: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(change, (ABSURD.id,))
    found = {run.id: damage(run, thoroughly=True) for run in Store(copy).runs}
    assert found[ABSURD.id]
    assert "\n" not in found[ABSURD.id]
    assert not found[TRUNK.id]
