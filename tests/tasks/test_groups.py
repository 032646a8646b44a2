"""Groups obey the axioms, are the groups of their names, and number their elements as documented."""

from __future__ import annotations

from itertools import permutations, product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, strategies as st

from undergrowth.spec import SpecError
from undergrowth.tasks import Group, Modular

# name: order, commutes, number of conjugacy classes, number of elements whose square is 1
KNOWN = {
    "C2": (2, True, 2, 2),
    "C113": (113, True, 113, 1),
    "D1": (2, True, 2, 2),
    "D2": (4, True, 4, 4),
    "D4": (8, False, 5, 6),
    "D5": (10, False, 4, 6),
    "D59": (118, False, 31, 60),
    "S2": (2, True, 2, 2),
    "S3": (6, False, 3, 4),
    "S4": (24, False, 5, 10),
    "S5": (120, False, 7, 26),
    "A3": (3, True, 3, 1),
    "A4": (12, False, 4, 4),
    "A5": (60, False, 5, 16),
    "A6": (360, False, 7, 46),
    "Q8": (8, False, 5, 2),
    "Q12": (12, False, 6, 2),
    "C2xC4": (8, True, 8, 4),
    "C2xC3": (6, True, 6, 2),
    "D4xS3": (48, False, 15, 24),
    "C2xC2xC2": (8, True, 8, 8),
}
every_group = pytest.mark.parametrize("name", KNOWN)


def of(name: str, operation: str = "xy") -> np.ndarray:
    return Group.model_validate({"group": name, "operation": operation}).table()


@every_group
def test_zero_is_the_identity(name: str) -> None:
    table = of(name)
    everything = np.arange(len(table))
    assert (table[0] == everything).all()
    assert (table[:, 0] == everything).all()


@every_group
def test_each_row_and_column_holds_every_element_once(name: str) -> None:
    table = of(name)
    everything = np.arange(len(table))
    assert (np.sort(table, axis=0) == everything[:, None]).all()
    assert (np.sort(table, axis=1) == everything).all()


@every_group
def test_the_product_is_associative(name: str) -> None:
    table = of(name)
    for z in range(len(table)):
        right = table[:, z]
        assert (right[table] == table[:, right]).all()  # (xy)z, x(yz)


@every_group
def test_it_is_the_group_of_its_name(name: str) -> None:
    table = of(name)
    order, commutes, n_classes, n_square_roots = KNOWN[name]
    assert len(table) == order == Group(group=name).n_operands == Group(group=name).n_labels
    assert (table == table.T).all() == commutes
    assert (np.diagonal(table) == 0).sum() == n_square_roots
    conjugates = of(name, "xyx^-1")
    assert len({frozenset(column.tolist()) for column in conjugates.T}) == n_classes


@every_group
def test_a_conjugate_times_x_is_xy(name: str) -> None:
    table, conjugates = of(name), of(name, "xyx^-1")
    x = np.arange(len(table))[:, None]
    assert (table[conjugates, x] == table).all()
    if KNOWN[name][1]:
        assert (conjugates == np.arange(len(table))).all()


@every_group
def test_xyx_is_the_product_of_xy_and_x(name: str) -> None:
    table, sandwich = of(name), of(name, "xyx")
    for x in range(len(table)):
        assert (sandwich[x] == table[table[x], x]).all()


@given(n=st.integers(2, 60))
def test_a_cyclic_group_is_addition(n: int) -> None:
    assert (of(f"C{n}") == Modular(p=n).table()).all()


@pytest.mark.parametrize("n", [2, 3, 4])
def test_symmetric_groups_compose_permutations_in_lexicographic_order(n: int) -> None:
    elements = sorted(permutations(range(n)))
    table = of(f"S{n}")
    assert len(elements) == factorial(n)
    for (i, x), (j, y) in product(enumerate(elements), repeat=2):
        assert elements[table[i, j]] == tuple(x[y[k]] for k in range(n))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_alternating_groups_are_the_even_permutations_in_the_same_order(n: int) -> None:
    elements = [row for row in sorted(permutations(range(n))) if np.linalg.det(np.eye(n)[list(row)]) > 0]
    table = of(f"A{n}")
    assert len(elements) == len(table)
    for (i, x), (j, y) in product(enumerate(elements), repeat=2):
        assert elements[table[i, j]] == tuple(x[y[k]] for k in range(n))


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_dihedral_elements_are_rotations_and_then_reflections(n: int) -> None:
    angle = 2 * np.pi * np.arange(n) / n
    rotations = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angle])
    matrices = np.concatenate([rotations, rotations @ np.diag([1, -1])])
    assert np.allclose(matrices[of(f"D{n}")], np.einsum("xij,yjk->xyik", matrices, matrices))


def test_the_quaternions_are_those_of_hamilton() -> None:
    i, j = np.array([[1j, 0], [0, -1j]]), np.array([[0, 1], [-1, 0]])
    powers = [np.linalg.matrix_power(i, k) for k in range(4)]
    matrices = np.array([*powers, *(power @ j for power in powers)])
    assert np.allclose(matrices[of("Q8")], np.einsum("xij,yjk->xyik", matrices, matrices))


@given(
    first=st.sampled_from(["C3", "D3", "Q8"]),
    second=st.sampled_from(["C2", "S3"]),
    seed=st.integers(0, 99),
)
def test_a_direct_product_acts_on_each_factor_by_itself(first: str, second: str, seed: int) -> None:
    one, other, both = of(first), of(second), of(f"{first}x{second}")
    x, y = np.random.default_rng(seed).integers(len(both), size=(2, 50))
    n = len(other)
    assert (both[x, y] == one[x // n, y // n] * n + other[x % n, y % n]).all()


def test_the_largest_groups_are_taken() -> None:
    for name in ("C1024", "D512", "S6", "C32xC32"):
        assert Group(group=name).n_operands <= 1024


@pytest.mark.parametrize("name", ["C1025", "D513", "S7", "A7", "S999999", "C2xC1024", "A7xC999999"])
def test_a_huge_group_names_the_value_the_rule_and_the_remedy(name: str) -> None:
    with pytest.raises(SpecError, match=rf"group = '{name}' has more than 1024 .*use one such"):
        Group(group=name)


@pytest.mark.parametrize("name", ["C1", "S1", "A2", "C1xA1"])
def test_a_group_of_one_element_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match=rf"group = '{name}' has 1 element, .* needs 2 to 1024"):
        Group(group=name)


@pytest.mark.parametrize(
    "name", ["", "E8", "S", "s5", "C0", "C-3", "C2x", "xC2", "C2*C3", "Q7", "Q4", "Q10"]
)
def test_an_unknown_group_is_told_what_is_known(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        Group(group=name)
    assert f"group = {name!r} is not known: use C, D, S or A and a number" in str(caught.value)


def test_the_table_cannot_be_spoilt_for_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        of("C3")[0, 0] = 1
