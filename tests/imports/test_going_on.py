"""An imported run is a run: it is measured, verified, forked, and goes on as if it had never left."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import undergrowth as ug
from tests import tiny
from tests.imports import layouts
from tests.measures.test_laws import MEASURES
from tests.sweep.in_process import work
from undergrowth.cli.entry import exit_code
from undergrowth.imports import ForeignFileError, import_run, import_runs
from undergrowth.measures import Measure
from undergrowth.spec.file import read_file
from undergrowth.store import verify
from undergrowth.store.database import seal_of
from undergrowth.store.layout import databases
from undergrowth.sweep.replaying import replay

P = tiny.P
SPLIT: Any = {"name": "shuffled", "by": "python", "seed": 3, "frac_train": 0.6}
OURS = tiny.spec(
    model=tiny.TRANSFORMER.model_copy(update={"logits": "vocabulary"}).model_dump(),
    split=SPLIT,
    optimiser={"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "warmup_steps": 0},
    steps=20,
)
"""A run of ours of 20 steps, which goes on in two stores."""
SEEN: Any = {"measures": [{"name": "curves", "schedule": tiny.EVERY_10}, {"name": "norms"}]}
FASTER = ug.Intervention(trigger=ug.AfterFork(steps=3), action=ug.ScaleLearningRate(factor=3))


def moments(run: ug.Run, step: int, kind: str) -> dict[str, np.ndarray]:
    arrays = load_file(run.checkpoint_path(step).with_name("training.safetensors"))
    marked = {name: array for name, array in arrays.items() if f".{kind}." in name}
    return {name.split(f".{kind}.")[1]: array for name, array in marked.items()}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> ug.Store:
    """The store of our run; not to be written to."""
    root = tmp_path_factory.mktemp("ours") / "store"
    work(root, [OURS])
    return ug.open(root)


@pytest.fixture(scope="module")
def file(ours: ug.Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our run at step 20 as a file of Nanda et al., with the moments."""
    run = ours.runs[0]
    weights, *both = (
        layouts.nanda(arrays)
        for arrays in (
            load_file(run.checkpoint_path(20)),
            moments(run, 20, "mu"),
            moments(run, 20, "nu"),
        )
    )
    means, squares = ([a for name, a in kind.items() if not name.endswith("mask")] for kind in both)
    losses = run["update_loss"].values.tolist()
    held = {
        "model": weights,
        "optimizer": layouts.adamw(means, squares, 20),
        "train_losses": losses,
        "test_losses": losses,
    }
    return layouts.write(tmp_path_factory.mktemp("file") / "net.pth", held)


@pytest.fixture(scope="module")
def measured(file: Path, tmp_path_factory: pytest.TempPathFactory) -> ug.Run:
    """The imported run, for tests that change nothing."""
    return import_run(file, tmp_path_factory.mktemp("measured") / "store", split=SPLIT, **SEEN)


@pytest.fixture
def imported(file: Path, tmp_path: Path) -> ug.Run:
    return import_run(file, tmp_path / "store", split=SPLIT, **SEEN)


def test_weights_and_moments_come_back_bit_for_bit(ours: ug.Store, imported: ug.Run) -> None:
    for name in ("model.safetensors", "training.safetensors"):
        mine, its = (
            load_file(run.checkpoint_path(20).with_name(name)) for run in (ours.runs[0], imported)
        )
        assert mine.keys() == its.keys()
        for key, array in mine.items():
            assert array.tobytes() == its[key].tobytes(), key
    assert imported.spec.optimiser == OURS.optimiser
    assert imported.spec.origin is not None
    assert imported.spec.origin.moments == (20,)
    for name in ("train_loss", "val_accuracy", "weight_norm"):
        assert float(imported[name][-1]) == float(ours.runs[0][name][-1])
    assert (imported["update_loss"].values == ours.runs[0]["update_loss"].values).all()


@pytest.mark.parametrize("actions", [(), (FASTER,)], ids=["continued", "with_a_larger_rate"])
def test_it_goes_on_bit_for_bit_as_the_run_that_it_was(
    ours: ug.Store, imported: ug.Run, tmp_path: Path, actions: Any
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(ours.root, whole)
    its_own = OURS.forked(ug.AtStep(step=20), *actions, steps=40)
    work(whole, [its_own])
    arm = imported.spec.forked(ug.AtStep(step=20), *actions, steps=40)
    work(imported.store.root, [arm])
    mine, theirs = ug.open(whole).run(its_own.id), imported.store.run(arm.id)
    assert theirs.status == "done"
    for name in ("train_loss", "val_loss", "weight_norm"):
        here, there = (run[name].sel(step=slice(20, None)) for run in (mine, theirs))
        assert here.values.tobytes() == there.values.tobytes()
        assert list(here["step"].values) == [20, 30, 40]
    losses = [run["update_loss"].values for run in (mine, theirs)]
    assert len(losses[1]) == 40
    assert losses[0].tobytes() == losses[1].tobytes()
    assert not verify(imported.store.root).damage
    assert "imported from net.pth" in theirs.spec.describe()


SOME = MEASURES[::4]
"""Each is compiled anew for the shape of this network; measures do not know where a run is from."""


@pytest.mark.parametrize("by", SOME, ids=[measure.key for measure in SOME])
def test_measures_read_it(by: Measure, measured: ug.Run) -> None:
    found = ug.measure(measured, by)
    assert list(found["step"].values) == [20]
    assert all(np.isfinite(found[name].values).any() for name in found)


def test_it_goes_on_where_nothing_is_read_for_long(imported: ug.Run) -> None:
    rarely = {"every": 1000, "until": 1000, "per_decade": 1}
    seen = {"measures": [{"name": "curves", "schedule": rarely}], "checkpoints": rarely}
    arm = imported.spec.forked(ug.AtStep(step=20), steps=600, **seen)
    work(imported.store.root, [arm])
    run = imported.store.run(arm.id)
    assert run.status == "done"
    assert run["update_loss"].sizes["step"] == 600
    assert list(run["train_loss"]["step"].values) == [600]
    assert not verify(imported.store.root).damage


def test_a_step_without_moments_says_so_and_fresh_ones_are_asked_for(
    file: Path, ours: ug.Store, tmp_path: Path
) -> None:
    weights = layouts.nanda(load_file(ours.runs[0].checkpoint_path(20)))
    path = layouts.write(tmp_path / "bare.pth", {"model": weights, "train_losses": [1.0] * 20})
    run = import_run(path, tmp_path / "store", split=SPLIT, **SEEN)
    arm = run.spec.forked(ug.AtStep(step=20), steps=40)
    work(run.store.root, [arm])
    failed = run.store.run(arm.id)
    assert failed.status == "failed"
    assert "without the optimiser's moments there: import it with --fresh-optimiser" in failed.message
    with pytest.raises(ValueError, match="fresh-optimiser"):
        ug.measure(run, ug.Ledger())
    assert float(ug.measure(run, ug.Curves())["train_loss"][0]) > 0

    fresh = import_run(path, tmp_path / "fresh", split=SPLIT, fresh_optimiser=True, **SEEN)
    assert fresh.id != run.id
    arm = fresh.spec.forked(ug.AtStep(step=20), steps=40)
    work(fresh.store.root, [arm])
    assert fresh.store.run(arm.id).status == "done"
    assert ug.measure(fresh, ug.Ledger()).sizes["step"] == 1
    assert not verify(fresh.store.root).damage


def test_it_cannot_be_trained_or_forked_where_it_has_no_weights(
    imported: ug.Run, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    work(elsewhere, [imported.spec])
    (run,) = ug.open(elsewhere).runs
    assert run.status == "failed"
    assert "was imported from net.pth, not trained here" in run.message
    arm = imported.spec.forked(ug.AtStep(step=10), steps=40)
    work(imported.store.root, [arm])
    assert "with weights at 20: take one of these steps" in imported.store.run(arm.id).message


def test_its_fork_is_replayed_and_itself_is_not(imported: ug.Run) -> None:
    arm = imported.spec.forked(ug.AtStep(step=20), steps=30)
    work(imported.store.root, [arm])
    found = replay(imported.store.run(arm.id))
    assert found.first is None
    with pytest.raises(ug.StoreError, match="was imported, not trained here"):
        replay(imported)


def test_what_goes_missing_is_missed(imported: ug.Run) -> None:
    root = imported.store.root
    (path,) = databases(root)
    seal_of(path).unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM readings WHERE name = 'train_loss'")
        connection.execute("DELETE FROM readings WHERE name = 'update_loss'")
    damage = {found.place: found.wrong for found in verify(root).damage}
    assert damage.keys() == {f"run {imported.id}, {name}" for name in ("train_loss", "update_loss")}
    assert all("import its files into this store again" in wrong for wrong in damage.values())


def test_importing_again_changes_nothing_and_mends_what_is_missing(imported: ug.Run, file: Path) -> None:
    root = imported.store.root
    before = {path: path.read_bytes() for path in root.rglob("*.safetensors")}
    again = import_run(file, root, split=SPLIT, **SEEN)
    assert again.id == imported.id
    assert {path: path.read_bytes() for path in root.rglob("*.safetensors")} == before
    gone = imported.checkpoint_path(20)
    gone.unlink()
    assert verify(root).damage
    import_run(file, root, split=SPLIT, **SEEN)
    assert not verify(root).damage
    assert gone.read_bytes() == before[gone]


def test_the_spec_of_an_imported_run_survives_toml_and_its_origin_decides_the_id(
    imported: ug.Run,
) -> None:
    spec = imported.spec
    assert ug.RunSpec.from_toml(spec.to_toml()) == spec
    (read,) = read_file(spec.to_toml()).runs
    assert read.id == spec.id
    assert spec.origin is not None
    told = {"files": (), "assumed": (), "checked": (), "dialect": "another"}
    assert spec.replace(origin=spec.origin.model_copy(update=told)).id == spec.id
    assert spec.replace(origin=spec.origin.model_copy(update={"digest": "0" * 64})).id != spec.id
    assert spec.replace(origin=None).id != spec.id


def test_the_command_imports_and_lists_and_says_what_it_assumed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, spec = tmp_path / "store", tmp_path / "more.toml"
    spec.write_text('[split]\nname = "shuffled"\nseed = 3\nfrac_train = 0.6\n')
    assert exit_code(["import", str(file), "--as", str(store), "--spec", str(spec)]) == 1
    told = capsys.readouterr().out
    for part in (
        "net",
        "layout     nanda2022",
        "goes on at 20",
        "assumed    task: x+y mod 5",
        "they differ",
    ):
        assert part in told
    assert exit_code(["import", str(file), "--as", str(store), "--spec", str(spec), "--json"]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["origin"]["files"][0]["name"] == "net.pth"
    assert len(run["disagreements"]) == 1  # the losses of validation that the file has are not ones
    assert exit_code(["runs", str(store)]) == 0
    assert "net" in capsys.readouterr().out
    assert exit_code(["verify", str(store)]) == 0
    capsys.readouterr()
    assert exit_code(["import", str(tmp_path / "none.pt")]) == 2
    assert "no such file" in capsys.readouterr().err


MAPPING = """
name = "mine"
step = "epoch"
optimiser = "opt"

[spec.task]
p = 5
[spec.split]
name = "shuffled"
seed = 3
frac_train = 0.6
[spec.model]
name = "two_token_mlp"
d_embed = 4
d_mlp = 6
[weights]
"embed.W_x" = { name = "x", axes = "d operand -> operand d" }
"embed.W_y" = { name = "y" }
"mlp.W_in" = { name = "hidden", axes = "d_mlp side d -> (side d) d_mlp" }
"unembed.W_U" = { name = "out", axes = "part d_mlp label -> part d_mlp label", part = 1 }
"""


def test_a_mapping_teaches_a_new_layout(tmp_path: Path) -> None:
    spec = tiny.MLP.model_copy(update={"bias": False})
    model = tiny.made(spec, seed=4)
    W_x, W_y, W_in, W_U = (
        np.asarray(a) for a in (model.embed.W_x, model.embed.W_y, model.mlp.W_in, model.unembed.W_U)
    )
    arrays = {
        "x": W_x.T,
        "y": W_y,
        "hidden": W_in.reshape(2, 4, 6).transpose(2, 0, 1),
        "out": np.stack([np.zeros_like(W_U), W_U]),
    }
    optimiser = layouts.adamw([a + 1 for a in arrays.values()], [a * 0 for a in arrays.values()], 30)
    path = layouts.write(tmp_path / "net.pt", {"model": arrays, "epoch": 30, "opt": optimiser})
    with pytest.raises(ForeignFileError, match="teach this one with --mapping"):
        import_run(path, tmp_path / "store")
    mapping = tmp_path / "mine.toml"
    mapping.write_text(MAPPING)
    run = import_run(path, tmp_path / "store", mapping=mapping)
    pairs = tiny.pairs(P)
    np.testing.assert_allclose(np.asarray(run.model()(pairs)), np.asarray(model(pairs)), rtol=1e-6)
    assert run.checkpoints == (30,)
    assert run.spec.origin is not None
    assert (run.spec.origin.moments, run.spec.origin.dialect) == ((30,), "mine")
    np.testing.assert_array_equal(moments(run, 30, "mu")["embed.W_x"], W_x + 1)
    assert run.spec.optimiser.weight_decay == 0.1


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('name = "mine"', "name = 3", "name"),
        ('"x", axes', '"z", axes', "no array 'z'"),
        ("d operand -> operand d", "d operand", "write theirs -> ours"),
        ("d operand -> operand d", "d operand -> operand e", "each axis stands once"),
        ("d operand -> operand d", "d o p -> o d p", "has 3 axes"),
        ("d operand -> operand d", "operand d -> operand d", "embed.W_x has shape"),
        ("part = 1", "part = 7", "no part 7"),
        ('step = "epoch"', 'step = "steps"', "no 'steps' in it"),
        ('optimiser = "opt"', 'optimiser = "model"', "only that of Adam"),
        ("[weights]", "[weight]", "weight"),
        ("p = 5", 'p = "five"', "spec|p"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, wrong: str
) -> None:
    a = {name: np.ones(shape, np.float32) for name, shape in {"x": (4, 5), "y": (5, 4)}.items()}
    a |= {"hidden": np.ones((6, 2, 4), np.float32), "out": np.ones((2, 6, 5), np.float32)}
    held = {"model": a, "epoch": 30, "opt": layouts.adamw([*a.values()], [*a.values()], 30)}
    path = layouts.write(tmp_path / "net.pt", held)
    mapping = tmp_path / "mine.toml"
    assert old in MAPPING
    mapping.write_text(MAPPING.replace(old, new))
    with pytest.raises(ForeignFileError, match=wrong) as caught:
        import_run(path, tmp_path / "store", mapping=mapping)
    assert "\n" not in str(caught.value)


def test_a_folder_of_several_runs(file: Path, ours: ug.Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(file, folder / "a.pth")
    layouts.write(folder / "b.pth", {"model": layouts.nanda(load_file(ours.runs[0].checkpoint_path(0)))})
    layouts.write(folder / "odd.pt", {"W": np.ones(3, np.float32)})
    found = import_runs(folder, tmp_path / "store", split=SPLIT)
    assert {run.given_names for run in found.runs} == {("a",), ("b",)}
    assert [name for name, _ in found.left_out] == ["odd.pt"]
    with pytest.raises(ForeignFileError, match=r"holds 2 runs \(a, b\)"):
        import_run(folder, tmp_path / "one", split=SPLIT)
