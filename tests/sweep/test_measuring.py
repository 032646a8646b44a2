"""Measuring stored checkpoints gives what was read in training, is kept apart, and is done once."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from undergrowth.measures import Curves, Norms, Saliency
from undergrowth.spec import RunSpec, SpecError
from undergrowth.store import Store, StoreError, measured, verify
from undergrowth.store.database import seal_of
from undergrowth.store.layout import measured_database
from undergrowth.store.lineage import curves_of
from undergrowth.store.lock import writing
from undergrowth.sweep import Layout, train
from undergrowth.sweep.measuring import Taken, measure, measure_into
from undergrowth.sweep.replaying import replay
from undergrowth.training.interventions import Ablate, AtStep, Components, Intervention

STEPS = (0, 10, 20, 30)
WATCHED = tiny.spec(
    measures=[
        {"name": "curves", "schedule": tiny.EVERY_10},
        {"name": "norms", "schedule": tiny.EVERY_10},
        {"name": "deletion", "schedule": tiny.EVERY_10, "ks": [0, 1, 3]},
    ],
    batch={"name": "mini", "batch_size": 4},
)
BLIND = WATCHED.replace(measures=[{"name": "curves", "schedule": tiny.EVERY_10}])
ABLATION = Ablate(components=Components(indices=(2,)))
ARM = BLIND.forked(AtStep(step=10), Intervention(trigger=AtStep(step=15), action=ABLATION))
DELETION = '{ name = "deletion", ks = [0, 1, 3] }'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("measured") / "store"
    train((WATCHED, BLIND, ARM), root, layout=Layout(workers=1))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def of(root: Path, spec: RunSpec):
    return Store(root).run(spec.id)


def taken(root: Path, text: str, spec: RunSpec = BLIND, **fields) -> list[Taken]:
    with writing(root) as lock:
        return list(measure_into([of(root, spec)], text, workers=1, right_to_write=lock, **fields))


@pytest.mark.parametrize("by", [Curves(), Norms(), WATCHED.measures[2]], ids=lambda m: m.key)
def test_a_checkpoint_measured_is_what_training_read_there(trained: Path, by) -> None:
    run = of(trained, WATCHED)
    found = measure(run, by)
    assert set(found.data_vars) <= set(run.names)
    for name, array in found.data_vars.items():
        assert array["step"].values.tolist() == list(STEPS)
        in_training = run[str(name)]
        assert array.dims == in_training.dims
        np.testing.assert_allclose(array, in_training, rtol=1e-5, atol=1e-6)


def test_workers_read_the_bits_that_training_read(root: Path) -> None:
    assert {one.step for one in taken(root, DELETION)} == set(STEPS)
    run, watched = of(root, BLIND), of(root, WATCHED)
    for name in ("deletion_accuracy", "deletion_log_prob", "deletion_norm_share"):
        assert name in run.names
        assert run[name].identical(watched[name].rename(name))


def test_a_fork_is_measured_as_it_stands_behind_its_gates(root: Path) -> None:
    run = of(root, ARM)
    val_loss = measure(run, Curves(), (20, 30))["val_loss"]
    np.testing.assert_allclose(val_loss, run["val_loss"].sel(step=[20, 30]), rtol=1e-5)
    closed = measure(run, Saliency(), (30,))["saliency_median"]
    assert (closed.sel(step=30)[:, 2] == 0).all()


def test_nothing_is_measured_twice(root: Path) -> None:
    first = taken(root, "saliency", steps=(10,))
    again = taken(root, "saliency")
    assert [one.is_new for one in first] == [True]
    assert {one.step: one.is_new for one in again} == {0: True, 10: False, 20: True, 30: True}
    assert of(root, BLIND)["saliency_median"]["step"].values.tolist() == list(STEPS)


def test_what_is_measured_afterwards_disturbs_no_run(root: Path) -> None:
    before = curves_of(root, BLIND)
    taken(root, "norms")
    assert "weight_norm" in of(root, BLIND).names
    assert curves_of(root, BLIND) == before
    assert not verify(root).damage
    assert replay(of(root, BLIND)).first is None


def test_a_changed_reading_is_found(root: Path) -> None:
    taken(root, "norms", steps=(10,))
    seal_of(measured_database(root)).unlink()  # which would say so of the whole file
    with sqlite3.connect(measured_database(root)) as connection:
        connection.execute("UPDATE readings SET step = 20 WHERE name = 'weight_norm'")
    (damage,) = verify(root).damage
    assert "weight_norm at step 20" in damage.place


def test_other_fields_want_another_prefix(root: Path) -> None:
    with pytest.raises(SpecError, match="'deletion' by a measure with other fields: give this"):
        taken(root, "deletion", WATCHED)
    taken(root, "deletion", steps=(10,))
    with pytest.raises(SpecError, match="give this one its own prefix"):
        taken(root, DELETION)
    taken(root, '{ name = "deletion", prefix = "few", ks = [0, 1] }', steps=(10,))
    assert "few_accuracy" in of(root, BLIND).names


def test_a_step_that_is_not_kept_is_told_in_one_line(trained: Path) -> None:
    with pytest.raises(SpecError, match=r"has no checkpoint at step 11: it has 0, 10, 20, 30"):
        measure(of(trained, BLIND), Curves(), (10, 11))


def test_a_measure_that_does_not_fit_the_run_is_told_in_one_line(trained: Path) -> None:
    with pytest.raises(SpecError, match=f"run {BLIND.id}: measures look at component = 'head'"):
        measure(of(trained, BLIND), Saliency(component="head"))


def test_a_damaged_checkpoint_is_not_measured(root: Path) -> None:
    path = of(root, BLIND).checkpoint_path(20)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"step-00000020/model\.safetensors is missing"):
        measure(of(root, BLIND), Curves(), (20,))


MINE = """
import numpy as np
from typing import Literal
from undergrowth.measures import Measure, scalar

class Mine(Measure):
    name: Literal["mine"] = "mine"
    reads: str = "train_loss"

    def observe(self, model, data, at):
        return {self.reads: scalar(7.0)}

class Yours(Mine):
    name: Literal["yours"] = "yours"
    reads: str = "score"

class Theirs(Yours):
    name: Literal["theirs"] = "theirs"
"""


def test_a_measure_of_ones_own_takes_no_name_of_another(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    before = of(root, BLIND)["train_loss"]
    with pytest.raises(SpecError, match="'mine' reads 'train_loss', a name that measure 'curves' has"):
        taken(root, f"{tmp_path}/mine.py:Mine")
    assert of(root, BLIND)["train_loss"].identical(before)
    assert not measured.names_of(root, BLIND.id)


def test_nor_one_of_a_measure_that_was_taken_afterwards(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert taken(root, f"{tmp_path}/mine.py:Yours", steps=(10,))[0].is_new
    assert not taken(root, f"{tmp_path}/mine.py:Yours", steps=(10,))[0].is_new
    with pytest.raises(SpecError, match="'theirs' reads 'score', a name that measure 'yours' has: give"):
        taken(root, f"{tmp_path}/mine.py:Theirs", steps=(10,))
    with pytest.raises(SpecError, match="'val' reads 'val_accuracy', a name that measure 'curves' has"):
        taken(root, '{ name = "areas", prefix = "val" }')
