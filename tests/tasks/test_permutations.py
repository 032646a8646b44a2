from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from undergrowth.tasks import SymmetricGroup


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_cell_is_the_composition_of_two_permutations(n: int) -> None:
    group = SymmetricGroup(n=n)
    elements = [tuple(row) for row in group.elements().tolist()]
    table = group.table()
    assert len(set(elements)) == factorial(n)
    for i, x in enumerate(elements):
        for j, y in enumerate(elements):
            assert elements[table[i, j]] == tuple(x[y[k]] for k in range(n))


@pytest.mark.parametrize("n", [3, 5])
def test_the_table_is_that_of_a_group(n: int) -> None:
    group = SymmetricGroup(n=n)
    table, order = group.table(), factorial(n)
    everything = np.arange(order)
    assert (table[0] == everything).all()  # the identity, left
    assert (table[:, 0] == everything).all()  # and right
    for axis in (0, 1):  # each row and column holds every element once: inverses exist
        assert (np.sort(table, axis=axis) == np.expand_dims(everything, 1 - axis)).all()
    rng = np.random.default_rng(0)
    x, y, z = rng.integers(order, size=(3, 500))
    assert (table[table[x, y], z] == table[x, table[y, z]]).all()  # associative


def test_elements_come_in_lexicographic_order() -> None:
    rows = SymmetricGroup(n=4).elements().tolist()
    assert rows == sorted(rows)
    assert rows[0] == [0, 1, 2, 3]


def test_it_does_not_commute_from_three_things_on() -> None:
    table = SymmetricGroup(n=3).table()
    assert (table != table.T).any()
    assert (SymmetricGroup(n=2).table() == SymmetricGroup(n=2).table().T).all()


def test_operands_and_labels_are_counted_by_n_factorial() -> None:
    group = SymmetricGroup(n=5)
    assert (group.n_operands, group.n_labels) == (120, 120)
    assert group.describe() == "composition in S5"
    assert len(group.examples()) == 120 * 120
