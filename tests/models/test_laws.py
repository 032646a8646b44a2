"""Laws of every kind of model: its two passes agree, and what tools ask of it beside them.

Those of its gates, slices and write hooks are held of the same `MODELS` in `test_sites`, `test_slices`
and `test_watching`: a new kind's place is in `SPECS` alone.
"""

from __future__ import annotations

from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from undergrowth.measures.harmonics.group_tables import element_weights, group_table
from undergrowth.models import (
    HOOK_EMBED,
    Ablated,
    AnyModel,
    MLPSpec,
    Model,
    PlantedSpec,
    Site,
    ToyHeadsSpec,
    gated,
    recording,
    state_dict,
)
from undergrowth.tasks import Features, Modular, Tokens

SPECS: dict[str, Any] = {
    "transformer": tiny.TRANSFORMER,
    "deep": tiny.TRANSFORMER.model_copy(
        update={
            "n_layers": 2,
            "act_fn": "gelu",
            "layer_norm": "pre",
            "residual_from_layer_norm": True,
            "attn_bias": True,
            "prompt": "x o y =",
            "logits": "vocabulary",
        }
    ),
    "mixed": tiny.TRANSFORMER.model_copy(
        update={
            "act_fn": "gelu",
            "attention_rate": 0.3,
            "prompt": "x y",
            "operand_embeddings": "separate",
            "logits": "vocabulary",
        }
    ),
    "two_token_mlp": tiny.MLP,
    "summed": tiny.MLP.model_copy(update={"combine": "summed"}),
    "leaky": tiny.MLP.model_copy(update={"leak": 0.2}),
    "mlp": MLPSpec(d_mlp=6, n_hidden=1),
    "deep_mlp": MLPSpec(d_mlp=6),
    "summed_mlp": MLPSpec(d_mlp=6, n_hidden=1, combine="summed"),
    "toy_heads": ToyHeadsSpec(sharing=0.3, routed=True, spread=0.1),
    "toy_strengths": ToyHeadsSpec(trains="strengths", spread=0.1),
    "planted_weights": PlantedSpec(group=f"C{tiny.P}", strips=(3,), spread=0.1, trains="weights"),
    "planted": PlantedSpec(group=f"C{tiny.P}", strips=(tiny.P,), spread=0.1),
    "planted_deep": PlantedSpec(group=f"C{tiny.P}", strips=(tiny.P,), spread=0.1, general_factors=3),
}
MODELS: dict[str, Model] = {name: tiny.made(spec, seed=4) for name, spec in SPECS.items()}
SITES = [(name, site) for name, model in MODELS.items() for site in model.sites]
X, Y = 1, 3
every_model = pytest.mark.parametrize("name", MODELS)
FIXED = "planted", "planted_deep", "toy_heads", "toy_strengths"
"""Models that write a number a label by each component, from tokens that are fixed."""
every_model_of_operands = pytest.mark.parametrize("name", [each for each in MODELS if each not in FIXED])
"""All but those whose weights of operands are fixed, so no parameters."""
every_site = pytest.mark.parametrize(
    ("name", "site"), SITES, ids=[f"{name}-{site.name}" for name, site in SITES]
)


def test_the_laws_are_held_by_every_kind_of_model() -> None:
    assert {type(spec) for spec in SPECS.values()} == set(get_args(get_args(AnyModel)[0]))


def test_a_model_that_does_not_say_what_its_weights_are_of_is_none() -> None:
    assert {
        "unembedding",
        "element_weights",
        "element_rows",
        "neurons_read",
    } <= Model.__abstractmethods__


def assert_close(mine: Any, other: Any, relative: float) -> None:
    """Equal up to `relative` of the largest number."""
    mine, other = np.asarray(mine), np.asarray(other)
    np.testing.assert_allclose(mine, other, rtol=0, atol=relative * np.abs(other).max())


@every_model
def test_both_passes_have_the_same_logits_and_gradients(name: str) -> None:
    model, pull = MODELS[name], np.random.default_rng(0).standard_normal((tiny.P**2, 1))

    @eqx.filter_jit
    def found(model: Model, *, plain: bool) -> tuple[jax.Array, Model]:
        def pulled(model: Model) -> tuple[jax.Array, jax.Array]:
            logits = (model.plain if plain else model)(tiny.pairs())
            return jnp.sum(jnp.sin(logits) * pull), logits

        gradient, logits = eqx.filter_grad(pulled, has_aux=True)(model)
        return logits, gradient

    (mine, its), (plain, textbook) = found(model, plain=False), found(model, plain=True)
    assert np.ptp(np.asarray(mine), axis=0).max() > 0.1
    assert_close(mine, plain, 1e-5)
    truth = state_dict(textbook)
    largest = max(np.abs(array).max() for array in truth.values())
    for parameter, array in state_dict(its).items():
        np.testing.assert_allclose(array, truth[parameter], rtol=1e-4, atol=2e-5 * largest)


@every_site
def test_gates_of_each_example_act_alike_in_both_passes(name: str, site: Site) -> None:
    model, rng = MODELS[name], np.random.default_rng(2)
    gates = {site.name: jnp.asarray(rng.uniform(0, 2, (tiny.P**2, site.n_components)), jnp.float32)}
    shared = tiny.forward(model, tiny.pairs(), gates)
    assert_close(shared, tiny.forward(model, tiny.pairs(), gates, plain=True), 2e-5)
    assert np.abs(np.asarray(shared) - np.asarray(tiny.forward(model, tiny.pairs()))).max() > 0.05


@every_model
def test_hooks_are_handed_every_site_in_its_order_and_by_the_plain_pass_the_input_before(
    name: str,
) -> None:
    model = MODELS[name]
    sites = [site.name for site in model.sites]
    for run, expected in ((model, sites), (model.plain, [HOOK_EMBED, *sites])):
        found: dict[str, jax.Array] = {}
        jax.eval_shape(lambda run=run, found=found: run(tiny.pairs(), recording(found)))
        assert [each for each in found if each in (HOOK_EMBED, *sites)] == expected


@every_model
def test_the_rows_of_the_operands_are_the_weights_of_its_elements(name: str) -> None:
    model, arrays = MODELS[name], state_dict(MODELS[name])
    rows = [
        (operand, arrays[parameter][at])
        for parameter, of_operand in Ablated(model, {}, {}).element_rows().items()
        for operand, at in of_operand.items()
    ]
    if name == "planted_weights":  # which has a matrix for each block
        assert not rows
        return
    for (operand, array), (of, weights) in zip(rows, model.element_weights().values(), strict=True):
        assert operand == of
        np.testing.assert_array_equal(array, weights)


@every_site
def test_a_readout_is_by_what_the_logits_change_for_one_unit_of_a_component(
    name: str, site: Site
) -> None:
    model = MODELS[name]
    readout = model.readout(site)
    if readout is None:
        assert site != model.sites[-1] or name in (
            "deep",
            "planted_weights",
            *FIXED,
        )  # a norm, several numbers
        return

    @eqx.filter_jit
    def found(model: Model) -> tuple[jax.Array, jax.Array, jax.Array]:
        seen: dict[str, jax.Array] = {}
        whole = model(tiny.pairs(), recording(seen))
        closed = model(tiny.pairs(), gated((site,), {site.name: jnp.zeros(site.n_components)}))
        return whole, closed, seen[site.name]

    whole, closed, component = found(model)
    assert_close(whole - closed, component.reshape(len(whole), -1) @ readout, 1e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_equal_generators_give_equal_models_and_others_others(spec: Any) -> None:
    one, again, other = (
        state_dict(spec.init(Tokens(tiny.P), tiny.P, np.random.default_rng(k))) for k in (0, 0, 1)
    )
    for parameter, weights in one.items():
        assert (weights == again[parameter]).all()
        is_constant = parameter.rsplit(".", 1)[-1].startswith("b_") or parameter.endswith((".w", ".b"))
        assert (weights != other[parameter]).any() or is_constant, parameter


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("reads", [Tokens(5), Features(64)], ids=["tokens", "numbers"])
def test_a_model_is_made_of_what_it_takes_and_refuses_all_else_in_one_line(
    spec: Any, reads: Any
) -> None:
    if spec.takes(reads):
        assert spec.init(reads, 3, np.random.default_rng(0)).n_logits >= 3
        return
    refusal = rf"^a {spec.name} reads .*: take model.name = 'mlp'$|^combine = 'summed' adds "
    with pytest.raises(ValueError, match=refusal):
        spec.init(reads, 3, np.random.default_rng(0))


@every_model_of_operands
def test_a_logit_depends_on_the_element_weights_of_its_operands_alone(name: str) -> None:
    model = MODELS[name]
    example = tiny.pairs()[tiny.P * X + Y][None]
    slope: Model = eqx.filter_jit(jax.grad(lambda model: model(example)[0, 0]))(model)
    found = slope.element_weights()
    assert {of for of, _ in found.values()} in ({"x"}, {"x", "y"})
    for of, weights in found.values():
        its_own = {X, Y} if len(found) == 1 else {X if of == "x" else Y}
        assert set(np.flatnonzero(np.abs(weights).sum(axis=1)).tolist()) == its_own


@every_model_of_operands
def test_every_kind_of_model_has_weights_of_elements_and_of_labels_in_a_group(name: str) -> None:
    table = group_table(Modular(p=tiny.P))
    assert table is not None
    found = element_weights(MODELS[name], table)
    assert {weights.shape[0] for weights in found.values()} == {tiny.P}
    assert {"W_L", "W_U"} & set(found)
    assert len(found) > 1


@every_model
def test_what_neurons_read_of_both_operands_adds_up_to_what_they_are_handed(name: str) -> None:
    model, inputs = MODELS[name], np.asarray(tiny.pairs())
    before = next(iter(model.slices(model.sites[-1])))
    handed: dict[str, Any] = {}

    def keep(written: jax.Array, of: Any) -> jax.Array:
        handed.update({each: np.asarray(written) for each in of})
        return written

    read = model.neurons_read()
    assert bool(read) == (name in ("two_token_mlp", "summed", "leaky", "mlp", "summed_mlp"))
    if read:
        model.plain(tiny.pairs(), write_hook=keep)
        rest = handed[before] - read["x"][inputs[:, 0]] - read["y"][inputs[:, 1]]
        np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-5)


@every_model
def test_logits_are_as_many_as_the_unembedding_has_columns(name: str) -> None:
    model = MODELS[name]
    n = jax.eval_shape(model, tiny.pairs()).shape[1]
    assert model.n_logits == model.unembedding.shape[1] == n
    assert jax.eval_shape(lambda: model).n_logits == n


@every_model
def test_behind_gates_a_model_is_what_it_was(name: str) -> None:
    model = MODELS[name]
    ablated = Ablated(Ablated(model, {}, {}), {}, {})
    assert ablated.network is model.network is model
    assert (np.asarray(ablated.unembedding) == np.asarray(model.unembedding)).all()
    assert ablated.element_weights().keys() == model.element_weights().keys()
    assert ablated.neurons_read().keys() == model.neurons_read().keys()
    other = jax.tree.map(lambda weight: 2 * weight, model)
    assert model.with_network(other) is other
    assert ablated.with_network(other).network is other
    assert isinstance(ablated.with_network(other), Ablated)


def test_of_numbers_no_weight_is_an_operand_s() -> None:
    model = tiny.made(MLPSpec(d_mlp=6, n_hidden=1), n_features=4)
    assert model.element_weights() == model.neurons_read() == {}
