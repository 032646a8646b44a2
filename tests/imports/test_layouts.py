"""Each layout that is known: a small network of ours, written as others do, comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import undergrowth as ug
from tests import tiny
from tests.imports import layouts
from undergrowth.imports import ForeignFileError, import_run, import_runs, split_search
from undergrowth.imports.element_order import numbering
from undergrowth.imports.foreign import Claim
from undergrowth.models import Model, state_dict

P = 5
TRANSFORMER = tiny.TRANSFORMER
NORMED = TRANSFORMER.model_copy(update={"layer_norm": "pre", "act_fn": "gelu"})
BIASED = TRANSFORMER.model_copy(update={"attn_bias": True, "unembed_bias": True})
ONE_HOT = ug.MLPSpec(d_mlp=6, n_hidden=1, bias=False, combine="summed")


def assert_same(run: ug.Run, model: Model, step: int | None = None) -> None:
    """That a run's network answers as another does."""
    pairs = tiny.pairs(P)
    np.testing.assert_allclose(
        np.asarray(run.model(step)(pairs)), np.asarray(model(pairs)), rtol=1e-5, atol=1e-6
    )


def sides(run: ug.Run) -> set[tuple[int, int]]:
    """The pairs that a run is trained on."""
    data = run.spec.data()
    return {(int(x), int(y)) for x, y in data.inputs[data.is_train]}


def losses(model: Model, train: set[tuple[int, int]]) -> dict[str, float]:
    """Both sides' losses in float64, x+y mod P."""
    pairs = np.asarray(tiny.pairs(P))
    logits = np.asarray(model(jnp.asarray(pairs)), np.float64)
    label = pairs.sum(axis=1) % P
    each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(pairs)), label]
    is_train = np.array([tuple(pair) in train for pair in pairs.tolist()])
    return {"train_loss": each[is_train].mean(), "test_loss": each[~is_train].mean()}


def shuffled(by: Any, seed: int, share: float) -> set[tuple[int, int]]:
    """The pairs that a library's shuffle takes."""
    mask = ug.Shuffled(by=by, seed=seed, frac_train=share).train_mask(
        ug.Modular(p=P), np.random.default_rng(0)
    )
    return {divmod(int(i), P) for i in np.flatnonzero(mask)}


def nanda_file(path: Path, model: Model, **more: Any) -> Path:
    return layouts.write(path, {"model": layouts.nanda(state_dict(model)), **more})


def vocabulary_model(seed: int = 12) -> Model:
    spec = TRANSFORMER.model_copy(update={"logits": "vocabulary"})
    return tiny.made(spec, seed=seed)


def test_nanda(tmp_path: Path) -> None:
    model = vocabulary_model()
    told = losses(model, shuffled("python", 3, 0.6))
    curves = {
        "train_losses": [2.0, 1.5, told["train_loss"]],
        "test_losses": [2.0, 1.5, told["test_loss"]],
    }
    run = import_run(nanda_file(tmp_path / "net.pth", model, **curves), tmp_path / "store")
    assert_same(run, model)
    assert run.checkpoints == (3,)
    assert run.given_names == ("net",)
    assert run.spec.task == ug.Modular(p=P)
    np.testing.assert_allclose(run["update_loss"], curves["train_losses"], rtol=1e-6)
    np.testing.assert_allclose(run["recorded_val_loss"], curves["test_losses"], rtol=1e-6)
    assert list(run["recorded_val_loss"]["step"].values) == [0, 1, 2]
    assert not ug.verify(tmp_path / "store").damage


def test_the_split_is_found_by_the_losses() -> None:
    run, rng = ug.RunSpec(task=ug.Modular(p=11)), np.random.default_rng(0)
    candidates = split_search.by_shuffle("python")
    wanted = ug.Shuffled(by="python", seed=7, frac_train=0.6)
    is_train = wanted.train_mask(run.task, rng)
    each = rng.exponential(size=121) * np.where(is_train, 1e-3, 1.0)
    claims = [
        Claim("train_loss", 1, each[is_train].mean() * 1.02),
        Claim("val_loss", 1, each[~is_train].mean() * 0.99),
    ]
    assert split_search.fitting(run, each, claims, candidates) == wanted
    assert split_search.fitting(run, each, claims[:1], candidates) is None  # one side is not enough
    others = [split for split in candidates if split != wanted]
    assert split_search.fitting(run, each, claims, others) is None
    flat = [Claim("train_loss", 1, 1.0), Claim("val_loss", 1, 1.0)]
    assert split_search.fitting(run, np.ones(121), flat, candidates) is None  # all of them fit


def test_a_split_that_no_loss_tells_of_is_assumed_and_said(tmp_path: Path) -> None:
    run = import_run(nanda_file(tmp_path / "net.pth", vocabulary_model()), tmp_path / "store")
    assert run.spec.origin is not None
    assert any("split: not in the files" in line for line in run.spec.origin.assumed)
    told = import_run(
        tmp_path / "net.pth",
        tmp_path / "store",
        split={"name": "shuffled", "seed": 3, "frac_train": 0.6},
    )
    assert sides(told) == shuffled("python", 3, 0.6)
    assert told.spec.origin is not None
    assert not any(line.startswith("split:") for line in told.spec.origin.assumed)
    assert told.id != run.id


def test_transformer_lens(tmp_path: Path) -> None:
    model = tiny.made(BIASED, seed=3)
    path = layouts.write(tmp_path / "net.pt", layouts.transformer_lens(state_dict(model)))
    run = import_run(path, tmp_path / "store")
    assert_same(run, model)
    assert run.spec.model == BIASED.model_copy(update={"final_layer_norm": False})


@pytest.mark.parametrize("layer_norm", ["none", "pre"])
def test_transformer_lens_from_version_4_on(layer_norm: str, tmp_path: Path) -> None:
    model = tiny.made(BIASED.model_copy(update={"layer_norm": layer_norm}), seed=3)
    path = layouts.write(tmp_path / "net.pt", layouts.bridge(state_dict(model)))
    with pytest.raises(ForeignFileError, match=r"give model\.n_heads with --spec"):
        import_run(path, tmp_path / "store")
    run = import_run(path, tmp_path / "store", model={"n_heads": 2})
    assert_same(run, model)
    held = {"model": layouts.bridge(state_dict(model)), "config": {"n_heads": 2}}
    assert_same(import_run(layouts.write(tmp_path / "told.pt", held), tmp_path / "store"), model)


def test_the_demo_of_transformer_lens_with_checkpoints_and_pairs(tmp_path: Path) -> None:
    models = [tiny.made(BIASED, seed=seed) for seed in range(3)]
    dicts = [layouts.transformer_lens(state_dict(model)) for model in models]
    train = sorted(x * P + y for x, y in shuffled("torch", 1, 0.5))
    path = layouts.write(
        tmp_path / "demo.pth",
        {
            "model": dicts[2],
            "checkpoints": dicts[:2],
            "checkpoint_epochs": [0, 10],
            "train_losses": [1.0] * 20,
            "test_losses": [2.0] * 20,
            "train_indices": np.array(train),
        },
    )
    found = import_runs(path, tmp_path / "store")
    (run,) = found.runs
    assert run.checkpoints == (0, 10, 20)
    for step, model in zip((0, 10, 20), models, strict=True):
        assert_same(run, model, step)
    assert sides(run) == shuffled("torch", 1, 0.5)
    # random weights do not have those losses, and that is said
    assert [line.split(":")[0] for line in found.disagreements[run.id]] == ["train_loss", "val_loss"]


def test_transformer_lens_as_safetensors(tmp_path: Path) -> None:
    model = tiny.made(TRANSFORMER, seed=3)
    (tmp_path / "net.safetensors").write_bytes(
        save({n: np.asarray(a) for n, a in state_dict(model).items()})
    )
    run = import_run(tmp_path / "net.safetensors", tmp_path / "store")
    assert_same(run, model)


def fused_files(folder: Path, model: Model, step: int = 40, name: str = "net") -> None:
    config = {
        "p": P,
        "train_frac": 0.6,
        "weight_decay": 1.0,
        "lr": 0.001,
        "betas": [0.9, 0.98],
        "seed": 4,
        "model": {"n_heads": 2},
    }
    layouts.write(folder / f"{name}.json", {"config": config, "memorize_step": 20, "steps_run": step})
    layouts.write(folder / f"{name}.pt", layouts.fused(state_dict(model)))


def test_fused_queries_keys_and_values(tmp_path: Path) -> None:
    model, earlier = tiny.made(NORMED, seed=3), tiny.made(NORMED, seed=4)
    fused_files(tmp_path, model)
    layouts.write(tmp_path / "net_memorize.pt", layouts.fused(state_dict(earlier)))
    told = losses(model, shuffled("torch", 4, 0.6))
    columns = {
        "step": [0, 20, 40],
        "train_loss": [2.0, 0.1, float(told["train_loss"])],
        "test_loss": [2.0, 3.0, float(told["test_loss"])],
        "train_acc": [0.2, 1.0, 1.0],
        "test_acc": [0.2, 0.3, 1.0],
        "weight_norm": [1.0, 2.0, 3.0],
    }
    layouts.write_csv(tmp_path / "net.csv", columns)
    found = import_runs(tmp_path, tmp_path / "store")
    (run,) = found.runs
    assert run.checkpoints == (20, 40)
    assert_same(run, model, 40)
    assert_same(run, earlier, 20)
    assert sides(run) == shuffled("torch", 4, 0.6)
    assert (run.spec.seeds.model, run.spec.seeds.data) == (4, 4)
    np.testing.assert_allclose(run["val_accuracy"], columns["test_acc"], rtol=1e-6)
    np.testing.assert_allclose(run["recorded_weight_norm"], columns["weight_norm"], rtol=1e-6)
    assert list(run["weight_norm"]["step"].values) == [20, 40]  # ours, of the weights
    assert ug.events(run.curves)["grokked"].first == 40
    assert found.left_out == ()


def test_a_run_of_checkpoints_of_a_one_hot_mlp(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    models = {step: tiny.made(ONE_HOT, seed=step) for step in (0, 10, 20)}
    train = sorted(shuffled("torch", 9, 0.7))
    layouts.write(folder / "train_data.pth", train)
    layouts.write(folder / "test_data.pth", sorted({divmod(i, P) for i in range(P * P)} - set(train)))
    for step, model in models.items():
        moments = [np.full_like(a, 0.5) for a in list(layouts.one_hot(state_dict(model)).values())[:2]]
        last = {"optimizer": layouts.adamw(moments, moments, np.array(20.0, np.float32))}
        held = {
            "model": layouts.one_hot(state_dict(model)),
            "epoch": step,
            **(last if step == 20 else {}),
        }
        told = losses(model, set(train))
        layouts.write(folder / f"{step}.pth", {**held, **told})
    found = import_runs(folder, tmp_path / "store")
    (run,) = found.runs
    assert run.checkpoints == (0, 10, 20)
    for step, model in models.items():
        assert_same(run, model, step)
    assert sides(run) == set(train)
    assert run.given_names == ("run",)
    assert run.spec.origin is not None
    assert run.spec.origin.moments == (20,)
    assert found.disagreements == {}
    assert found.left_out == ()


def relabelled(table: np.ndarray, order: np.ndarray) -> np.ndarray:
    """A table [x, y] in which element i is what was order[i]."""
    place = np.argsort(order)
    return place[table[np.ix_(order, order)]]


@pytest.mark.parametrize("group", ["S3", "D5", "C2xC4", "Q8", "A4", "S4"])
def test_another_numbering_of_a_group_is_found(group: str) -> None:
    ours = ug.Group(group=group).table()
    order = np.random.default_rng(1).permutation(len(ours))
    theirs = relabelled(ours, order)
    number = numbering(theirs, ours)
    assert sorted(number) == list(range(len(ours)))
    assert (ours[np.ix_(number, number)] == number[theirs]).all()


def test_tables_of_two_groups_are_told_apart() -> None:
    with pytest.raises(ForeignFileError, match="not the table of that group"):
        numbering(ug.Group(group="Q8").table(), ug.Group(group="D4").table())
    with pytest.raises(ForeignFileError, match="not the table of that group"):
        numbering(np.zeros((8, 8), int), ug.Group(group="D4").table())


def test_a_group_in_their_order_of_elements(tmp_path: Path) -> None:
    n = 6
    ours = ug.Group(group="S3").table()
    theirs = relabelled(ours, np.array([3, 0, 5, 1, 4, 2]))
    # a network that knows their table: each hidden neuron fires for one pair alone
    W_x, W_y = np.eye(n, dtype=np.float32), np.eye(n, dtype=np.float32)
    W = np.full((2 * n, n * n), -3, np.float32)
    W_U = np.zeros((n * n, n), np.float32)
    for pair in range(n * n):
        x, y = divmod(pair, n)
        W[x, pair] = W[n + y, pair] = 1
        W_U[pair, theirs[x, y]] = 1 + pair / 20  # unequal, so that losses tell pairs apart
    layouts.write(tmp_path / "net__model.pt", {"W_x": W_x, "W_y": W_y, "W": W, "W_U": W_U})
    config = {"group": "SymmetricGroup", "group_parameter": 3, "frac_train": 0.5, "seed": 2}
    layouts.write(tmp_path / "net__cfg.json", {**config, "num_epochs": 70, "weight_decay": 1})
    pre = np.maximum(np.concatenate([np.repeat(W_x, n, 0), np.tile(W_y, (n, 1))], axis=1) @ W, 0)
    logits = (pre @ W_U).astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    each = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(n * n), theirs.reshape(-1)]
    mask = ug.Shuffled(by="torch", seed=2, frac_train=0.5).train_mask(
        ug.Group(group="S3"), np.random.default_rng(0)
    )
    summary = {
        "train_loss": each[mask].mean(),
        "test_loss": each[~mask].mean(),
        "train_acc": 1.0,
        "test_acc": 1.0,
        "sum_of_squared_weights": float(sum((a**2).sum() for a in (W_x, W_y, W, W_U))),
    }
    layouts.write(tmp_path / "net__summary_metrics.json", summary)
    found = import_runs(tmp_path / "net__model.pt", tmp_path / "store")
    (run,) = found.runs
    assert found.disagreements == {}
    assert run.spec.task == ug.Group(group="S3")
    assert run.checkpoints == (70,)
    np.testing.assert_allclose(run["train_loss"], [summary["train_loss"]], rtol=1e-4)
    np.testing.assert_allclose(run["val_loss"], [summary["test_loss"]], rtol=1e-4)
    np.testing.assert_allclose(run["val_accuracy"], [1.0])


def curves_file(path: Path, **columns: Any) -> Path:
    steps = {
        "step": [0, 50, 100],
        "train_loss": [2.0, 0.1, 0.01],
        "test_loss": [2.0, 3.0, 0.02],
        "train_acc": [0.2, 1.0, 1.0],
        "test_acc": [0.2, 0.3, 1.0],
    }
    return layouts.write_csv(path, {**steps, **columns})


def test_curves_alone_are_a_run_without_weights(tmp_path: Path) -> None:
    path = curves_file(tmp_path / "curves.csv", modulus=[7] * 3, train_fraction=[0.4] * 3)
    run = import_run(path, tmp_path / "store")
    assert run.checkpoints == ()
    assert run.spec.steps == 100
    assert run.spec.task == ug.Modular(p=7)
    assert run.spec.split == ug.LeakyRandom(frac_train=0.4)
    assert ug.events(run.curves)["grokked"].first == 100
    assert not ug.verify(tmp_path / "store").damage
    with pytest.raises(KeyError, match="no checkpoint"):
        run.model()


def test_curves_as_json_lines_with_their_settings(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    rows = [
        '{"_meta": {"op": "s5", "lr": 0.002, "weight_decay": 0.5, "train_frac": 0.4}}',
        '{"step": 0, "train_loss": 2, "train_acc": 0.1, "test_loss": 2, "test_acc": 0.1, "x": null}',
        '{"step": 9, "train_loss": 1, "train_acc": 0.5, "test_loss": 2, "test_acc": 0.2, "x": 1.5}',
    ]
    path.write_text("\n".join(rows))
    run = import_run(path, tmp_path / "store")
    assert run.spec.task == ug.Group(group="S5")
    assert run.spec.optimiser.lr == 0.002
    assert list(run["recorded_x"]["step"].values) == [9]


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({"step": ["x", "y", "z"]}, "needs the curves"),
        ({"step": [0, 1, 1]}, "step 1 twice"),
        ({"test_acc": [float("nan")] * 3}, "needs the curves"),
    ],
)
def test_files_without_whole_curves_are_refused(tmp_path: Path, columns: Any, wrong: str) -> None:
    with pytest.raises(ForeignFileError, match=wrong):
        import_run(curves_file(tmp_path / "curves.csv", **columns), tmp_path / "store")


PIZZA = {"name": f"modadd_{P}", "C": P, "attn_coeff": 0.3, "act_fn": "ReLU", "frac": 0.6, "epoch": 70}


def pizza_file(path: Path, embeddings: str, **config: Any) -> tuple[Path, Model]:
    """A network of two tokens as Zhong et al. have it, with its configuration beside it."""
    told = {"attention_rate": 0.3, "prompt": "x y", "operand_embeddings": embeddings}
    model = tiny.made(TRANSFORMER.model_copy(update={**told, "logits": "vocabulary"}), seed=12)
    arrays = layouts.nanda(state_dict(model))
    (path / "config_abc.json").write_text(json.dumps({**PIZZA, **config}))
    return layouts.write(path / "model_abc.pt", arrays), model


@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_zhongs_transformers(tmp_path: Path, embeddings: str) -> None:
    path, model = pizza_file(tmp_path, embeddings, lr=0.01, weight_decay=2.0)
    run = import_run(path, tmp_path / "store")
    assert_same(run, model)
    assert (run.given_names, run.checkpoints) == (("abc",), (70,))
    assert run.spec.optimiser.weight_decay == 2.0
    assert run.spec.origin is not None
    assert any("split: not in the files" in line for line in run.spec.origin.assumed)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"name": "modsub_5"}, "known is the addition modadd_C"),
        ({"attn_coeff": 1.5}, "attn_coeff = 1.5"),
        ({"C": 7, "name": "modadd_7"}, "it embeds 5 tokens, and the operands of its task are 7"),
    ],
)
def test_what_of_zhongs_is_not_known_is_refused(
    tmp_path: Path, config: dict[str, Any], wrong: str
) -> None:
    path, _ = pizza_file(tmp_path, "shared", **config)
    with pytest.raises(ForeignFileError, match=wrong):
        import_run(path, tmp_path / "store")


def test_zhongs_transformer_needs_its_configuration(tmp_path: Path) -> None:
    path, _ = pizza_file(tmp_path, "shared")
    (tmp_path / "config_abc.json").unlink()
    with pytest.raises(ForeignFileError, match=r"has no config_abc\.json beside it"):
        import_run(path, tmp_path / "store")


def test_an_unknown_layout_is_refused_with_what_it_has_and_what_is_known(tmp_path: Path) -> None:
    path = layouts.write(
        tmp_path / "odd.pt", {"encoder.weight": np.ones((3, 4), np.float32), "epoch": 7}
    )
    with pytest.raises(ForeignFileError) as caught:
        import_run(path, tmp_path / "store")
    told = str(caught.value)
    for part in ("odd.pt", "encoder.weight (3, 4)", "epoch (a number)", "nanda2022", "--mapping"):
        assert part in told
    assert "\n" not in told
