"""Laws of every kind of model: what tools ask of it beside its two passes, which agree elsewhere."""

from __future__ import annotations

from typing import Any, get_args

import jax
import numpy as np
import pytest

from tests import tiny
from undergrowth.measures.harmonics.group_tables import element_weights, group_table
from undergrowth.models import Ablated, AnyModel, MLPSpec, Model
from undergrowth.tasks import Modular

SPECS: dict[str, Any] = {
    "transformer": tiny.TRANSFORMER,
    "deep": tiny.TRANSFORMER.model_copy(
        update={"n_layers": 2, "layer_norm": "pre", "prompt": "x o y =", "logits": "vocabulary"}
    ),
    "two_token_mlp": tiny.MLP,
    "summed": tiny.MLP.model_copy(update={"combine": "summed"}),
    "mlp": MLPSpec(d_mlp=6, n_hidden=1),
    "deep_mlp": MLPSpec(d_mlp=6),
}
MODELS: dict[str, Model] = {name: tiny.made(spec, seed=4) for name, spec in SPECS.items()}
X, Y = 1, 3
every_model = pytest.mark.parametrize("name", MODELS)


def test_the_laws_are_held_by_every_kind_of_model() -> None:
    assert {type(spec) for spec in SPECS.values()} == set(get_args(get_args(AnyModel)[0]))


def test_a_model_that_does_not_say_what_its_weights_are_of_is_none() -> None:
    assert {"unembedding", "element_weights", "neurons_read"} <= Model.__abstractmethods__


@every_model
def test_a_logit_depends_on_the_element_weights_of_its_operands_alone(name: str) -> None:
    model = MODELS[name]
    example = tiny.pairs()[tiny.P * X + Y][None]
    slope: Model = jax.grad(lambda model: model(example)[0, 0])(model)
    found = slope.element_weights()
    assert {of for of, _ in found.values()} in ({"x"}, {"x", "y"})
    for of, weights in found.values():
        its_own = {X, Y} if len(found) == 1 else {X if of == "x" else Y}
        assert set(np.flatnonzero(np.abs(weights).sum(axis=1)).tolist()) == its_own


@every_model
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

    model.plain(tiny.pairs(), write_hook=keep)
    read = model.neurons_read()
    assert bool(read) == (name in ("two_token_mlp", "summed", "mlp"))
    if read:
        rest = handed[before] - read["x"][inputs[:, 0]] - read["y"][inputs[:, 1]]
        np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-5)


@every_model
def test_logits_are_as_many_as_the_unembedding_has_columns(name: str) -> None:
    model = MODELS[name]
    n = model(tiny.pairs()).shape[1]
    assert model.n_logits == model.unembedding.shape[1] == n
    assert jax.eval_shape(lambda: model).n_logits == n


@every_model
def test_behind_gates_a_model_is_what_it_was(name: str) -> None:
    model = MODELS[name]
    ablated = Ablated(Ablated(model, {}, {}), {}, {})
    assert ablated.network is model.network is model
    assert ablated.unembedding is model.unembedding
    assert ablated.element_weights().keys() == model.element_weights().keys()
    assert ablated.neurons_read().keys() == model.neurons_read().keys()
    other = jax.tree.map(lambda weight: 2 * weight, model)
    assert model.with_network(other) is other
    assert ablated.with_network(other).network is other
    assert isinstance(ablated.with_network(other), Ablated)


def test_of_numbers_no_weight_is_an_operand_s() -> None:
    model = tiny.made(MLPSpec(d_mlp=6, n_hidden=1), n_features=4)
    assert model.element_weights() == model.neurons_read() == {}
