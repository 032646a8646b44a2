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


def test_no_two_presets_are_the_same_run() -> None:
    assert len({preset(name).id for name in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_an_untrained_preset_has_finite_weights_of_the_shapes_it_says(name: str) -> None:
    drawn = jax.tree.leaves(initial(preset(name)).state.model)
    assert [leaf.shape for leaf in drawn] == [
        leaf.shape for leaf in jax.tree.leaves(preset(name).blank_model())
    ]
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in drawn)


@pytest.mark.parametrize("name", PRESETS)
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
    ("name", "hint"), [("nanda2032", "did you mean 'nanda2023'?"), (3, "there are power2022, ")]
)
def test_an_unknown_preset_is_an_error_with_the_names_there_are(name: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        preset(name)
    told = str(caught.value)
    assert f"preset = {name!r}: no such preset" in told
    assert hint in told
    assert "\n" not in told
