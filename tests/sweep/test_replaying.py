"""A replay trains a stored run again and says where the first bit differs, if one does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.sweep.in_process import killed_at, work
from tests.sweep.test_forks import ARM, BARE, TRUNK
from undergrowth.cli import main
from undergrowth.measures import scalar
from undergrowth.store import Run, Store, StoreError
from undergrowth.store.database import open_for_writing
from undergrowth.store.layout import databases
from undergrowth.store.rows import reading_row
from undergrowth.sweep import Layout, train
from undergrowth.sweep.replaying import Replay, replay

SCALED = {"trigger": {"name": "at_step", "step": 15}}
DIVERGING = TRUNK.replace(
    interventions=[{**SCALED, "action": {"name": "scale_learning_rate", "factor": 1e30}}]
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk with two arms, and a run that diverges; not to be written to."""
    root = tmp_path_factory.mktemp("replayed") / "store"
    train([TRUNK, ARM, BARE, DIVERGING], root, layout=Layout(workers=1))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of the store, to do anything to."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def again(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replay trains is had from the store as it was: training it anew would be the same."""
    monkeypatch.setattr("undergrowth.sweep.replaying.train", lambda specs, out, **_: Store(trained))


def the(root: Path, run_id: str = TRUNK.id) -> Run:
    return Store(root).run(run_id)


def put(root: Path, run_id: str, name: str, step: int, value: float) -> None:
    """Another reading in place of the stored one, with the digest that it then has."""
    for database in databases(root):
        connection = open_for_writing(database)
        with connection:
            row = reading_row(run_id, name, step, scalar(value))
            connection.execute("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.close()


def nudge(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> str:
    arrays = load_file(path)
    name = sorted(arrays)[0]
    save_file({**arrays, name: change(arrays[name])}, path)
    return name


@pytest.mark.parametrize("spec", [TRUNK, ARM, DIVERGING], ids=["trunk", "arm", "diverging"])
def test_a_replay_on_the_same_machine_is_equal_to_the_bit(trained: Path, spec) -> None:
    """Also of a run that others fork from, of a fork, and of one that failed."""
    found = replay(the(trained, spec.id))
    assert found.first is None
    assert found.environment == {}
    kept = {TRUNK.id: 4, ARM.id: 3, DIVERGING.id: 2}[spec.id]
    assert found.n_checkpoints == kept  # not that at 17, which the trunk keeps for its arms
    assert found.n_readings == 4 * (4 if spec is TRUNK else 2 if spec is ARM else 3) + 1
    assert found.lines() == [f"equal: every bit of {found.n_readings} readings and {kept} checkpoints"]


@pytest.mark.usefixtures("again")
def test_a_changed_reading_is_where_it_first_differs(root: Path) -> None:
    put(root, TRUNK.id, "val_loss", 20, 2.5)
    put(root, TRUNK.id, "train_loss", 30, 3.5)
    first = replay(the(root)).first
    assert first is not None
    assert (first.step, first.name, first.stored) == (20, "val_loss", "2.5")
    assert float(first.replayed) == pytest.approx(float(the(root)["val_loss"][2]), abs=3)
    assert first.largest == pytest.approx(abs(2.5 - float(first.replayed)), rel=1e-5)


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_is_a_difference_without_a_warning(root: Path, value: float) -> None:
    put(root, TRUNK.id, "val_loss", 20, value)
    first = replay(the(root)).first
    assert first is not None
    assert first.stored == str(value)


@pytest.mark.usefixtures("again")
def test_a_changed_checkpoint_is_where_it_first_differs(root: Path) -> None:
    name = nudge(the(root).checkpoint_path(20), lambda a: np.nextafter(a, np.float32(9)))
    first = replay(the(root)).first
    assert first is not None
    assert (first.step, first.name) == (20, name)
    assert 0 < first.largest < 1e-6
    assert first.stored != first.replayed


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize("how", ["missing", "torn"])
def test_a_checkpoint_that_cannot_be_read_is_nothing(root: Path, how: str) -> None:
    path = the(root).checkpoint_path(20)
    if how == "torn":
        path.write_bytes(b"torn")
    else:
        path.unlink()
    first = replay(the(root)).first
    assert first is not None
    assert (first.step, first.stored) == (20, "nothing")
    assert first.replayed.startswith("an array of shape")


def test_what_differs_is_told_in_words_with_the_machines() -> None:
    from undergrowth.sweep.replaying import Difference

    first = Difference(20, "val_loss", "2.5", "1.25", 1.25)
    found = Replay(8, 2, first, {"jax": ("0.1", "0.2")})
    assert found.lines() == [
        "jax: then 0.1, now 0.2",
        "differs: of 8 readings and 2 checkpoints the first is val_loss at step 20: "
        "stored 2.5, replayed 1.25 (by at most 1.25)",
    ]


def test_a_run_that_has_not_ended_is_not_replayed(tmp_path: Path) -> None:
    with killed_at(2):
        work(tmp_path, [TRUNK])
    with pytest.raises(StoreError, match="has not ended: train it to its end"):
        replay(the(tmp_path))


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, printed.out, printed.err


@pytest.mark.usefixtures("again")
def test_the_command_line_says_equal_or_differs_or_wrong_use(
    trained: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "replay", trained, TRUNK.id[:8])
    assert (code, out) == (0, "equal: every bit of 17 readings and 5 checkpoints\n")
    put(root, TRUNK.id, "val_loss", 20, 2.5)
    code, out, _ = said(capsys, "replay", root, TRUNK.id)
    assert code == 1
    assert "the first is val_loss at step 20: stored 2.5" in out
    code, out, _ = said(capsys, "replay", root, TRUNK.id, "--json")
    assert (code, json.loads(out)["first"]["step"]) == (1, 20)


def test_a_replay_that_cannot_be_is_one_line_and_exit_code_2(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for database in databases(root):
        connection = open_for_writing(database)
        with connection:
            connection.execute("DELETE FROM runs WHERE run_id = ?", (TRUNK.id,))
        connection.close()
    for arguments, message in (
        ((root, ARM.id), f"run {ARM.id} forks from {TRUNK.id}, which is not in {root}"),
        ((root, "x"), "has an id that starts so"),
        ((root / "nowhere", "x"), "is not an undergrowth store"),
    ):
        code, out, wrong = said(capsys, "replay", *arguments)
        assert (code, out, wrong.count("\n")) == (2, "", 1)
        assert message in wrong
