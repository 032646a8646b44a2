"""A task's table, read in the order of the group, is the group's."""

from __future__ import annotations

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import Observed
from undergrowth.measures.harmonics.group_tables import (
    Cells,
    element_weights,
    group_table,
    neuron_weights,
    quotients,
)
from undergrowth.models import Ablated, MLPSpec, TransformerSpec, state_dict
from undergrowth.tasks import Digits, Group, LeakyRandom, Modular, Operation, Task, make_data
from undergrowth.tasks.groups import products

COMPOSE = [
    *(Modular(operation=operation, p=7) for operation in ("x+y", "x-y", "x*y", "x/y")),
    Modular(p=6),
    Modular(operation="x*y", p=3),
    Group(group="S3"),
]


@pytest.mark.parametrize("task", COMPOSE, ids=lambda task: task.describe())
def test_the_table_in_the_group_s_order_is_the_group_s_table(task: Operation) -> None:
    table = group_table(task)
    assert table is not None
    expected = table.label[products(table.group)]
    assert (task.table()[np.ix_(table.x, table.y)] == expected).all()
    assert len(set(table.x.tolist())) == len(set(table.y.tolist())) == len(table.x)


@pytest.mark.parametrize(
    "task",
    [
        Modular(operation="x^2+y^2", p=7),
        Modular(operation="x*y", p=6),
        Modular(operation="x/y", p=2),
        Group(group="S3", operation="xyx"),
        Digits(),
    ],
)
def test_what_composes_no_group_has_no_table(task: Task) -> None:
    assert group_table(task) is None


def test_cells_are_the_examples_of_all_pairs_of_elements() -> None:
    task = Modular(operation="x/y", p=7)
    data = make_data(task, LeakyRandom(), "true", seed=3)
    table = group_table(task)
    assert table is not None
    cells = Cells.of(table, Observed.of(data))
    of_pair = {tuple(pair): i for i, pair in enumerate(data.inputs.tolist())}
    for a in range(6):
        for b in range(6):
            pair = (table.x[a], table.y[b])
            assert tuple(cells.inputs[a, b]) == pair
            assert cells.labels[a, b] == data.labels[of_pair[pair]]
            assert cells.sides[0, a, b] == data.is_train[of_pair[pair]]


def test_quotients_undo_the_product() -> None:
    table = products("D3")
    right, left = quotients("D3")
    for a in range(6):
        for g in range(6):
            assert table[a, right[a, g]] == g
            assert table[g, left[a, g]] == a  # a b^-1 = g


def test_weights_are_found_in_every_kind_of_model() -> None:
    table = group_table(Modular(operation="x-y", p=5))
    assert table is not None
    reversed_y = -np.arange(5) % 5
    inputs = np.asarray(tiny.pairs())

    mlp = tiny.mlp()
    w = brute_force.in_float64(state_dict(mlp))
    found = element_weights(Ablated(mlp, {}, {}), table)
    assert list(found) == ["W_x", "W_y", "W_L"]
    np.testing.assert_array_equal(found["W_y"], w["embed.W_y"][reversed_y])
    np.testing.assert_array_equal(found["W_L"], w["unembed.W_U"].T)
    _, of_x, of_y = neuron_weights(mlp, table)
    post = {}
    brute_force.mlp(w, inputs, keep=post)
    pre = (of_x[:, None] + of_y[None, reversed_y]).reshape(25, -1) + w["mlp.b_in"]
    np.testing.assert_allclose(np.maximum(pre, 0), post["post"], atol=1e-6)

    transformer = tiny.transformer()
    w = brute_force.in_float64(state_dict(transformer))
    found = element_weights(transformer, table)
    assert list(found) == ["W_E", "W_L"]
    np.testing.assert_array_equal(found["W_E"], w["embed.W_E"][:5])
    expected = (w["blocks.0.mlp.W_out"] @ w["unembed.W_U"]).T
    np.testing.assert_allclose(found["W_L"], expected, atol=1e-5)
    assert len(neuron_weights(transformer, table)) == 1

    normed = tiny.made(TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=6, layer_norm="pre"))
    assert list(element_weights(normed, table)) == ["W_E", "W_U"]
    assert neuron_weights(normed, table) == []

    plain = tiny.made(MLPSpec(d_mlp=6, n_hidden=1))
    assert list(element_weights(plain, table)) == ["W_in[x]", "W_in[y]", "W_L"]
    w = brute_force.in_float64(state_dict(plain))
    np.testing.assert_array_equal(neuron_weights(plain, table)[2], w["mlp.0.W_in"][5:][reversed_y])
