"""What is pruned is what nobody needs: readings stay, forks keep their trunks, a kill costs nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import tiny
from tests.store.test_merging import KillError, changes_before_dying, tree
from undergrowth.spec import RunSpec
from undergrowth.store import Store, verify
from undergrowth.store.pruning import prunable, prune
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AfterFork, AtStep, Intervention, ScaleLearningRate

FASTER = Intervention(trigger=AfterFork(), action=ScaleLearningRate(factor=3.0))
TRUNK = tiny.spec()
ARM = TRUNK.forked(AtStep(step=17), FASTER)
WILD = tiny.spec(optimiser={"name": "sgd", "lr": 1e30}).seeded(1)
SPECS: tuple[RunSpec, ...] = (TRUNK, ARM, WILD)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pruned") / "store"
    train(SPECS, root, layout=Layout(workers=1))
    assert Store(root).run(WILD.id).status == "failed"
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def readings(root: Path, spec: RunSpec) -> dict[str, bytes]:
    run = Store(root).run(spec.id)
    return {name: run[name].values.tobytes() for name in run.names}


def test_what_may_go_is_said_and_nothing_is_changed(root: Path) -> None:
    before = tree(root)
    may = prunable(root)
    # of the trunk's 0, 10, 17, 20, 30 the fork left at 17; the arm's are 17, 20, 30
    expected = {(TRUNK.id, 10), (TRUNK.id, 20), (ARM.id, 20)}
    assert {(each.run_id, each.step) for each in may.checkpoints} == expected
    store = Store(root)
    folders = [store.run(run_id).checkpoint_path(step).parent for run_id, step in expected]
    files = [path for folder in folders for path in folder.iterdir()]
    assert may.checkpoint_bytes == sum(path.stat().st_size for path in files)
    assert [run_id for run_id, _ in may.failed] == [WILD.id]
    assert tree(root) == before


def test_checkpoints_go_and_nothing_else(root: Path) -> None:
    before = {spec: readings(root, spec) for spec in (TRUNK, ARM)}
    gone = prune(root, checkpoints=True)
    assert (len(gone.checkpoints), gone.failed) == (3, ())
    store = Store(root)
    assert store.run(TRUNK.id).checkpoints == (0, 17, 30)
    assert verify(root).damage == ()
    assert {spec: readings(root, spec) for spec in (TRUNK, ARM)} == before
    assert prunable(root).checkpoints == ()
    ended: list[str] = []
    again = TRUNK.forked(AtStep(step=17))
    train([TRUNK, ARM, again], root, layout=Layout(workers=1), progress=lambda p: ended.append(p.ended))
    assert ended.count("stored") == 2  # nothing is trained again for want of what was pruned
    assert Store(root).run(again.id).status == "done"


def test_failed_runs_go_and_are_tried_again(root: Path) -> None:
    gone = prune(root, failed=True)
    assert [run_id for run_id, _ in gone.failed] == [WILD.id]
    assert {run.id for run in Store(root).runs} == {TRUNK.id, ARM.id}
    assert not (root / "runs" / WILD.id).exists()
    assert verify(root).damage == ()
    assert Store(root).run(TRUNK.id).checkpoints == (0, 10, 17, 20, 30)
    train([WILD], root, layout=Layout(workers=1))
    assert Store(root).run(WILD.id).status == "failed"


def test_a_failed_run_that_others_fork_from_stays(tmp_path: Path) -> None:
    arm = WILD.forked(AtStep(step=0))
    train([WILD, arm], tmp_path / "store", layout=Layout(workers=1))
    assert [run_id for run_id, _ in prunable(tmp_path / "store").failed] == [arm.id]


def test_a_kill_at_any_change_leaves_a_whole_store_and_pruning_again_completes_it(
    root: Path, tmp_path: Path
) -> None:
    finished = {spec: readings(root, spec) for spec in (TRUNK, ARM)}
    shutil.copytree(root, tmp_path / "counted")
    with pytest.MonkeyPatch.context() as patched:
        n_changes = changes_before_dying(float("inf"), patched)
        prune(tmp_path / "counted", checkpoints=True, failed=True)
    for number in range(1, n_changes[0] + 1):
        killed = Path(shutil.copytree(root, tmp_path / f"killed-{number}"))
        with pytest.MonkeyPatch.context() as patched:
            changes_before_dying(number, patched)
            with pytest.raises(KillError):
                prune(killed, checkpoints=True, failed=True)
        assert {spec: readings(killed, spec) for spec in (TRUNK, ARM)} == finished
        places = [damage.place for damage in verify(killed).damage]
        assert all(WILD.id in place for place in places)
        prune(killed, checkpoints=True, failed=True)
        assert verify(killed).damage == ()
        left = {name for name in tree(killed) if "runs/" in name}
        assert left == {name for name in tree(tmp_path / "counted") if "runs/" in name}
    assert n_changes[0] > 5
