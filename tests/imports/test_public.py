"""Published networks, against what their own files say of them and what others have computed.

The numbers are those of the files' README: recomputed there in PyTorch, by other code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import undergrowth as ug
from tests.imports.public import FOLDER, needs_public
from undergrowth.imports import ForeignFileError, Imported, import_runs
from undergrowth.imports.files import read

pytestmark = needs_public


def imported(name: str, out: Path) -> Imported:
    found = import_runs(FOLDER / name, out / "store")
    assert not ug.verify(out / "store").damage
    return found


def one(name: str, out: Path) -> ug.Run:
    (run,) = imported(name, out).runs
    return run


def last(run: ug.Run, reading: str) -> float:
    return float(run[reading].values[-1])


def recomputed(run: ug.Run, step: int | None = None) -> dict[str, float]:
    """The curves and the norm of the weights at a checkpoint."""
    at = None if step is None else [step]
    readings = {**ug.measure(run, ug.Curves(), at), **ug.measure(run, ug.Norms(), at)}
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "weight_norm")
    return {name: float(readings[name].values[-1]) for name in names}


def test_nandas_network_without_decay(tmp_path: Path) -> None:
    run = one("nanda/mod_addition_no_wd.pth", tmp_path)
    assert run.checkpoints == (5000,)
    assert run.spec.split == ug.Shuffled(by="python", seed=0, frac_train=0.9)
    assert last(run, "train_loss") == pytest.approx(1.68089e-10, rel=1e-4)
    assert last(run, "val_loss") == pytest.approx(1.10963e-6, rel=1e-4)
    assert run["update_loss"].sizes["step"] == 5000
    assert run.spec.origin is not None
    assert run.spec.origin.moments == (5000,)


def test_nandas_network_in_low_precision(tmp_path: Path) -> None:
    run = one("nanda/low_precision_mod_addition.pth", tmp_path)
    assert run.spec.split == ug.Shuffled(by="python", seed=1, frac_train=0.3)
    assert last(run, "train_loss") == pytest.approx(3.05e-4, abs=5e-7)
    assert float(run["update_loss"].values[-1]) == pytest.approx(2.97e-4, abs=5e-7)
    assert run.spec.origin is not None
    assert run.spec.origin.moments == ()


@pytest.mark.parametrize(
    ("name", "group", "squares", "train", "val"),
    [
        ("A5_MLP_seed1", "A5", 3546.116, 1.0625062651705018e-06, 6.269058792403393e-05),
        ("S5_MLP_seed2", "S5", 5014.40, 1.545226327067696e-06, 2.942889598058673e-06),
        ("S5_T_seed1", "S5", None, 1.1472835010621029e-07, 1.42498921751153e-07),
    ],
)
def test_rep_theorys_networks_on_groups(
    name: str, group: str, squares: float | None, train: float, val: float, tmp_path: Path
) -> None:
    run = one(f"rep_theory/{name}__model.pt", tmp_path)
    assert run.spec.task == ug.Group(group=group)
    found = recomputed(run)
    assert found["train_loss"] == pytest.approx(train, rel=2e-4)
    assert found["val_loss"] == pytest.approx(val, rel=2e-4)
    assert (found["train_accuracy"], found["val_accuracy"]) == (1, 1)
    if squares is not None:
        assert found["weight_norm"] ** 2 == pytest.approx(squares, abs=0.005)


def test_rep_theorys_curves_are_read_by_epoch(tmp_path: Path) -> None:
    run = one("rep_theory/A5_MLP_seed1__model.pt", tmp_path)
    assert last(run, "recorded_sum_of_squared_weights") == pytest.approx(3546.116, abs=0.005)
    assert run["val_loss"]["step"].values[-1] == 250_000
    assert (np.diff(run["val_loss"]["step"].values) > 0).all()
    assert ug.events(run.curves)["grokked"].first is not None


def test_a_whole_run_of_a_one_hot_mlp(tmp_path: Path) -> None:
    (run,) = imported("yagent_p23", tmp_path).runs
    assert len(run.checkpoints) == 20
    assert run.spec.data().n_train == 396
    told = {int(p.stem): p for p in (FOLDER / "yagent_p23").glob("*.pth") if p.stem.isdigit()}
    for step, path in told.items():
        held = read(path).held
        for theirs, ours, near in (
            ("train_loss", "train_loss", 0.00145),
            ("test_loss", "val_loss", 0.00145),
            ("train_accuracy", "train_accuracy", 2 / 396 + 1e-6),
            ("test_accuracy", "val_accuracy", 2 / 133 + 1e-6),
        ):
            assert float(run[ours].sel(step=step)) == pytest.approx(held[theirs], abs=near)
    assert run.spec.origin is not None
    assert run.spec.origin.moments == (50_000,)


def test_fused_transformers_with_their_curves(tmp_path: Path) -> None:
    found = imported("porth_bot", tmp_path)
    runs = {run.given_names[0]: run for run in found.runs}
    assert found.left_out == ()
    p97 = runs["p97_frac0.30_wd1_seed0"]
    norms = p97["recorded_weight_norm"]
    assert float(norms.sel(step=100)) == pytest.approx(24.06640, abs=6e-6)
    assert float(norms.sel(step=11_100)) == pytest.approx(25.76728, abs=6e-6)
    assert last(p97, "weight_norm") == pytest.approx(25.76728, abs=1e-5)
    mine, theirs = recomputed(p97), {name: last(p97, name) for name in ("train_loss", "val_loss")}
    assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
    assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)
    assert ug.events(p97.curves)["grokked"].first == 1900
    p13 = runs["p13_frac0.50_wd0_seed0"]
    memorised = recomputed(p13, 100)
    assert memorised["weight_norm"] == pytest.approx(15.588113964147409, abs=1e-5)
    assert memorised["train_loss"] == pytest.approx(0.04105190560221672, rel=1e-5)
    assert memorised["val_accuracy"] == pytest.approx(0.1764705926179886, abs=1e-6)


def test_curves_alone_and_what_must_be_refused(tmp_path: Path) -> None:
    found = imported("curves", tmp_path)
    assert {run.given_names[0] for run in found.runs} == {
        "adamw_sc1.0_wd0.01_s0",
        "seedstudy_adamw_stable_first_rows",
    }
    assert [name for name, _ in found.left_out] == [
        "generalization_dynamics_results.pt",
        "pca_sweep_summary.json",
    ]
    for name, _ in found.left_out:
        with pytest.raises(ForeignFileError) as caught:
            import_runs(FOLDER / "curves" / name, tmp_path / "store")
        assert "\n" not in str(caught.value)


def test_pizza(tmp_path: Path) -> None:
    run = one("pizza/model_18c9ev5v5p.pt", tmp_path)
    found = recomputed(run)
    assert found["weight_norm"] == pytest.approx(23.96804, abs=6e-6)
    assert (found["train_accuracy"], found["val_accuracy"]) == (1, 1)
    told = ug.measure(run, ug.ClockPizza(n_triples=20_000))
    assert float(told["gradient_symmetricity"][-1]) == pytest.approx(0.9974, abs=5e-4)
    assert float(told["distance_irrelevance"][-1]) == pytest.approx(0.17393, abs=1e-5)  # of the labels
    assert float(told["distance_irrelevance_of_wrong"][-1]) == pytest.approx(0.1808, abs=5e-5)
    model = run.spec.model
    assert isinstance(model, ug.TransformerSpec)
    assert model.operand_embeddings == "separate"
    assert model.attention_rate == 0.004066910851478034


def test_pizza_at_its_beginning_and_without_attention(tmp_path: Path) -> None:
    run = one("pizza/model_f5dh675z97.pt", tmp_path)  # its weights are all but those that it began with
    assert recomputed(run)["val_loss"] == pytest.approx(np.log(59), abs=0.1)
    with pytest.raises(ForeignFileError, match=r"Zhong et al\. 2023 without attention"):
        import_runs(FOLDER / "pizza" / "model_7r4zst7evs.pt", tmp_path / "store")
