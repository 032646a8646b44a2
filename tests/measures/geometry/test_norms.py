from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from undergrowth.measures import ComponentNorms, Norms, Observed
from undergrowth.models import Ablated, Transformer, TwoTokenMLP, state_dict
from undergrowth.spec import SpecError


def by_hand(array: np.ndarray) -> float:
    return math.sqrt(math.fsum(float(w) ** 2 for w in array.ravel()))


def test_norms_are_the_roots_of_summed_squares(mlp: TwoTokenMLP, observed: Observed) -> None:
    readings = Norms().observe(mlp, observed, tiny.context(mlp))
    expected = {name: by_hand(array) for name, array in state_dict(mlp).items()}
    parameter = readings["parameter_norm"]
    assert parameter.dims == ("parameter",)
    assert parameter.coords["parameter"] == tuple(expected)
    np.testing.assert_allclose(parameter.values, list(expected.values()), rtol=1e-6)
    total = math.sqrt(sum(norm**2 for norm in expected.values()))
    np.testing.assert_allclose(readings["weight_norm"].values, total, rtol=1e-6)


def test_gates_of_ablated_components_are_no_weights(mlp: TwoTokenMLP, observed: Observed) -> None:
    site = mlp.sites[0].name
    ablated = Ablated(mlp, {site: jnp.zeros(6)}, {site: jnp.ones(6)})
    whole, behind_gates = (Norms().observe(m, observed, tiny.context(mlp)) for m in (mlp, ablated))
    assert whole["parameter_norm"].coords == behind_gates["parameter_norm"].coords
    np.testing.assert_array_equal(whole["weight_norm"].values, behind_gates["weight_norm"].values)


def test_a_neurons_norms_are_those_of_its_column_bias_and_row(
    transformer: Transformer, observed: Observed
) -> None:
    reading = ComponentNorms().observe(transformer, observed, tiny.context(transformer))[
        "component_norm"
    ]
    assert reading.dims == ("parameter", "neuron")
    names = [f"blocks.0.mlp.{name}" for name in ("W_in", "b_in", "W_out")]
    assert reading.coords["parameter"] == tuple(names)
    W_in, b_in, W_out = (state_dict(transformer)[name] for name in names)
    for neuron, found in enumerate(reading.values.T):
        slices = W_in[:, neuron], b_in[neuron], W_out[neuron]
        np.testing.assert_allclose(found, [by_hand(np.atleast_1d(s)) for s in slices], rtol=1e-6)


def test_a_heads_norms_are_those_of_its_four_matrices(
    transformer: Transformer, observed: Observed
) -> None:
    measure = ComponentNorms(prefix="heads", component="head", layer=0)
    reading = measure.observe(transformer, observed, tiny.context(transformer))["heads"]
    weights = state_dict(transformer)
    for name, found in zip(reading.coords["parameter"], reading.values, strict=True):
        np.testing.assert_allclose(found, [by_hand(head) for head in weights[str(name)]], rtol=1e-6)
    assert [str(name).rpartition(".")[2] for name in reading.coords["parameter"]] == [
        "W_Q",
        "W_K",
        "W_V",
        "W_O",
    ]


@pytest.mark.parametrize("fields", [{"component": "head"}, {"layer": 1}])
def test_components_that_the_model_has_not_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(
        SpecError, match=r"measure 'component_norm': (component|layer) = .* this model has"
    ):
        tiny.spec(measures=[{"name": "curves"}, {"name": "component_norms", **fields}])
