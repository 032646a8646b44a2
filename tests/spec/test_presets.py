"""Published set-ups: possible, complete, of the published size, with the published settings."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from undergrowth.engine import initial
from undergrowth.engine.facts import Diverged
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.spec import RunSpec, SpecError
from undergrowth.spec.file import read_runs
from undergrowth.spec.presets import PRESETS, preset
from undergrowth.tasks import LeakyRandom
from undergrowth.training.batches import MiniBatch
from undergrowth.training.optimisers import SGD, Adam, AdamW

NOT_COUNTED = ("W_E", "W_pos", "W_U")
"""What Power et al. leave out of their count: embeddings and unembedding."""


def sizes(spec: RunSpec) -> dict[str, int]:
    leaves = jax.tree_util.tree_leaves_with_path(spec.blank_model())
    return {jax.tree_util.keystr(path): int(np.prod(leaf.shape)) for path, leaf in leaves}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_complete_and_has_data(name: str) -> None:
    spec = preset(name)
    assert RunSpec.from_toml(spec.to_toml()) == spec
    assert read_runs(f'preset = "{name}"') == (spec,)
    data = spec.data()
    assert 0 < data.n_train < len(data.labels)
    assert PRESETS[name].source


def test_earlier_presets_are_the_runs_that_they_were() -> None:
    """Their ids as of November 2026: a field that is added later must not move them."""
    was = {
        "power2022": "27bcf59f89c99dc6",
        "nanda2023": "ddef527fd65be8cf",
        "chughtai2023_mlp": "e8c0b46412360b13",
        "chughtai2023_transformer": "b285a65d09624271",
        "gromov2023": "e29e980be5e44d7e",
        "teddykoker2021": "476cf7fc5aa4b54e",
        "teddykoker2021_as_run": "81458d21a6a15eb7",
        "post": "6f822d12fbed1273",
    }
    assert {name: preset(name).id for name in was} == was


def test_no_two_presets_are_the_same_run() -> None:
    assert len({preset(name).id for name in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_an_untrained_preset_has_finite_weights_of_the_shapes_it_says(name: str) -> None:
    drawn = jax.tree.leaves(initial(preset(name)).state.model)
    assert [leaf.shape for leaf in drawn] == [
        leaf.shape for leaf in jax.tree.leaves(preset(name).blank_model())
    ]
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in drawn)


def step(name: str) -> tuple[str, ...]:
    """What a training step is compiled of, sizes apart."""
    spec = preset(name)
    norm = spec.model.layer_norm if isinstance(spec.model, TransformerSpec) else ""
    noise = [kind for kind, size in spec.noise if size]
    return spec.model.name, norm, spec.optimiser.name, spec.loss, *noise


ONE_OF_EACH_STEP = {step(name): name for name in PRESETS}


@pytest.mark.parametrize("name", ONE_OF_EACH_STEP.values())
def test_a_shrunk_preset_trains_without_a_number_that_is_none(name: str) -> None:
    """Two steps of its kind of model, loss and optimiser on fewer numbers."""
    from undergrowth.engine import train

    found = [fact for _, fact in train([shrunk(preset(name))], [None])]
    assert not any(isinstance(fact, Diverged) for fact in found)


def shrunk(spec: RunSpec) -> RunSpec:
    small = {
        "transformer": {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 6},
        "two_token_mlp": {"d_embed": 4, "d_mlp": 6},
        "mlp": {"d_mlp": 6},
    }[spec.model.name]
    task = {"p": 7} if spec.task.name == "modular" else {"group": "S3"}
    batch = {"batch_size": 8} if spec.batch.name == "mini" else {}
    fields = {"task": task, "model": small, "batch": batch}
    over = {field: {**getattr(spec, field).model_dump(), **given} for field, given in fields.items()}
    return spec.replace(**over, steps=2, measures=[{"name": "curves"}])


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("nanda2023", 226_816),
        ("chughtai2023_mlp", 142_336),
        ("teddykoker2021", 422_784 - 128),  # one row of positions is never read
        ("teddykoker2021_as_run", 422_784 - 128),
    ],
)
def test_a_model_has_as_many_parameters_as_the_published_one(name: str, n_parameters: int) -> None:
    assert sum(sizes(preset(name)).values()) == n_parameters


def test_power_et_al_have_394_240_parameters_beside_the_embeddings() -> None:
    counted = {n: k for n, k in sizes(preset("power2022")).items() if not n.endswith(NOT_COUNTED)}
    assert sum(counted.values()) == 394_240


def test_settings_are_those_of_the_papers() -> None:
    """Written down again, from the papers and their code."""
    nanda, power, s5 = (preset(n) for n in ("nanda2023", "power2022", "chughtai2023_mlp"))
    for spec, warmup in ((nanda, 10), (power, 10), (s5, 0)):
        assert spec.optimiser == AdamW(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, warmup_steps=warmup)
    assert (nanda.task.describe(), nanda.split.frac_train) == ("x+y mod 113", 0.3)
    assert (power.task.describe(), power.split.frac_train) == ("x/y mod 97", 0.5)
    assert (nanda.batch.batch_size, power.batch.batch_size) == (None, 512)
    assert s5.split.frac_train == 0.4
    assert s5.task.n_labels == 120
    assert s5.data().n_train == 5760
    assert isinstance(nanda.model, TransformerSpec)
    assert (nanda.model.d_model, nanda.model.n_heads, nanda.model.d_mlp) == (128, 4, 512)
    assert (nanda.model.n_layers, nanda.model.layer_norm, nanda.model.act_fn) == (1, "none", "relu")
    assert isinstance(power.model, TransformerSpec)
    assert (power.model.n_layers, power.model.layer_norm) == (2, "post")
    assert (power.model.pos_embed, power.model.mlp_bias) == ("sinusoidal", False)
    assert isinstance(s5.model, TwoTokenMLPSpec)
    assert (s5.model.d_embed, s5.model.d_mlp, s5.model.bias) == (256, 128, False)
    transformer = preset("chughtai2023_transformer")
    assert (transformer.steps, transformer.split.frac_train) == (50_000, 0.6)


@pytest.mark.parametrize(
    ("name", "task", "n_train", "n_parameters"),
    [
        # a block: norms 512, W_Q, W_K, W_V and W_O 131,072, b_O 128, MLP 131,712; the last norm 256
        ("lieberum2021", "x+y mod 97", 4705, 2 * 263_424 + 256 + 4 * 128 + 99 * (128 + 128 + 1)),
        ("lieberum2021_division", "x/y mod 97", 4656, 2 * 263_424 + 256 + 4 * 128 + 99 * 257),
        ("lieberum2021_s5", "xy in S5", 7200, 2 * 263_424 + 256 + 4 * 128 + 122 * 257),
    ],
)
def test_lieberums_are_his_librarys_decoder_trained_as_he_did(
    name: str, task: str, n_train: int, n_parameters: int
) -> None:
    spec = preset(name)
    assert spec.task.describe() == task
    assert spec.data().n_train == n_train
    assert sum(sizes(spec).values()) == n_parameters
    assert spec.optimiser == AdamW(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, warmup_steps=10)
    assert spec.batch == MiniBatch(batch_size=512, remainder="kept")
    assert (spec.loss, spec.split) == ("cross_entropy_float32", LeakyRandom(frac_train=0.5))


def test_what_the_post_shows_of_others_differs_from_their_presets_as_told() -> None:
    def differing(one: RunSpec, other: RunSpec) -> set[str]:
        return {name for name in RunSpec.model_fields if getattr(one, name) != getattr(other, name)}

    power, plain = preset("power2022"), preset("power2022_figure2a")
    figure1a, pope = preset("power2022_figure1a"), preset("pope2022")
    assert differing(figure1a, power) == {"optimiser", "batch", "steps"}
    assert isinstance(figure1a.optimiser, Adam)
    assert (figure1a.optimiser.weight_decay, figure1a.steps) == (0, 10**6)
    assert differing(pope, preset("teddykoker2021_as_run")) == {"batch", "steps"}
    assert differing(plain, figure1a) == {"task", "steps"}
    arms = {name: spec for name in PRESETS if (spec := preset(name)).task == plain.task and "2a" in name}
    assert len(arms) == 9
    moved = {
        name.removeprefix("power2022_figure2a"): differing(arm, plain) for name, arm in arms.items()
    }
    assert moved.pop("") == set()
    assert {name: fields for name, fields in moved.items() if len(fields) != 1} == {}
    assert sorted(field for (field,) in moved.values()) == ["batch", *["noise"] * 3, *["optimiser"] * 4]


def test_gromov_has_squares_in_the_middle_and_plain_gradient_descent_on_the_squared_error() -> None:
    spec = preset("gromov2023")
    assert isinstance(spec.model, MLPSpec)
    assert (spec.model.act_fn, spec.model.d_mlp, spec.model.n_hidden) == ("square", 500, 1)
    assert isinstance(spec.optimiser, SGD)
    assert (spec.optimiser.momentum, spec.optimiser.weight_decay) == (0, 0)
    assert (spec.loss, spec.batch.batch_size) == ("mse", None)


def test_the_replication_differs_from_its_code_in_operation_and_residual_stream_alone() -> None:
    titled, as_run = preset("teddykoker2021"), preset("teddykoker2021_as_run")
    assert isinstance(titled.optimiser, Adam)
    assert titled.batch.batch_size == 512
    differing = [name for name in RunSpec.model_fields if getattr(titled, name) != getattr(as_run, name)]
    assert differing == ["task", "model"]
    assert (titled.task.describe(), as_run.task.describe()) == ("x/y mod 97", "x*y mod 97")


@pytest.mark.parametrize(
    ("name", "hint"), [("nanda2032", "did you mean 'nanda2023'?"), (3, "presets: power2022, ")]
)
def test_an_unknown_preset_is_an_error_with_the_names_there_are(name: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        preset(name)
    told = str(caught.value)
    assert f"preset = {name!r}: no such preset" in told
    assert hint in told
    assert "\n" not in told
