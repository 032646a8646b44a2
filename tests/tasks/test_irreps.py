"""Irreps against the theorems of representation theory, and characters against other rules for them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from undergrowth.tasks.groups import products
from undergrowth.tasks.irreps import irreps, isotypic

GROUPS = ["C1", "C2", "C5", "C8", "D1", "D2", "D5", "D6", "S1", "S2", "S3", "S4", "S5", "C2xC4"]
GROUPS += ["C3xC3", "D3xC3", "S3xD4", "A1xC2", "A2", "A3", "A4", "A5", "C2xA4"]
every_group = pytest.mark.parametrize("group", GROUPS)


@every_group
def test_matrices_multiply_as_the_elements_do_and_are_unitary(group: str) -> None:
    table = products(group)
    rng = np.random.default_rng(0)
    x, y = rng.integers(len(table), size=(2, 500))
    for irrep in irreps(group):
        rho = irrep.matrices
        np.testing.assert_allclose(rho[x] @ rho[y], rho[table[x, y]], atol=1e-12)
        identity = np.broadcast_to(np.eye(rho.shape[1]), rho.shape)
        np.testing.assert_allclose(rho @ rho.conj().transpose(0, 2, 1), identity, atol=1e-12)


@every_group
def test_squared_dimensions_sum_to_the_order_and_the_trivial_one_comes_first(group: str) -> None:
    found = irreps(group)
    assert sum(irrep.matrices.shape[1] ** 2 for irrep in found) == len(products(group))
    assert (found[0].matrices == 1).all()
    assert len({irrep.name for irrep in found}) == len(found)


@every_group
def test_characters_are_orthogonal_by_rows_and_by_columns(group: str) -> None:
    n = len(products(group))
    characters = np.stack([irrep.character for irrep in irreps(group)])
    np.testing.assert_allclose(characters @ characters.conj().T / n, np.eye(len(characters)), atol=1e-9)
    classes = conjugacy_classes(group)
    assert len(classes) == len(characters)
    of_class = characters[:, [members[0] for members in classes]]
    centralisers = [n / len(members) for members in classes]
    np.testing.assert_allclose(of_class.T @ of_class.conj(), np.diag(centralisers), atol=1e-9)
    for members in classes:
        alike = np.broadcast_to(characters[:, members[:1]], (len(characters), len(members)))
        np.testing.assert_allclose(characters[:, members], alike, atol=1e-9)


@every_group
def test_the_parts_are_complete_orthogonal_and_invariant(group: str) -> None:
    table, parts = products(group), isotypic(group)
    n = len(table)
    np.testing.assert_allclose(parts.basis.T @ parts.basis, np.eye(n), atol=1e-9)
    np.testing.assert_allclose(parts.basis[:, parts.part == 0], n**-0.5)
    inverse = table.argmin(axis=1)
    projections = []
    for p in range(len(parts.names)):
        columns = parts.basis[:, parts.part == p]
        projections.append(columns @ columns.T)
    for irrep in irreps(group):  # (Pf)(x) = sum over g of d / n chi(g^-1) f(g^-1 x); h is g^-1 x
        d = irrep.matrices.shape[1]
        by_character = d / n * irrep.character[table[:, inverse]].conj()  # of x h^-1
        covered = [np.allclose(by_character @ p, by_character) for p in projections]
        assert sum(covered) == 1
        whole = projections[covered.index(True)]
        if np.allclose(np.imag(irrep.character), 0):
            np.testing.assert_allclose(whole, by_character, atol=1e-9)
        else:
            np.testing.assert_allclose(whole, 2 * np.real(by_character), atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_characters_of_symmetric_groups_obey_the_rule_of_murnaghan_and_nakayama(n: int) -> None:
    elements = list(permutations(range(n)))
    for irrep in irreps(f"S{n}"):
        shape = tuple(int(part) for part in irrep.name.strip("()").split(","))
        expected = [murnaghan_nakayama(shape, cycle_type(element)) for element in elements]
        np.testing.assert_allclose(irrep.character, expected, atol=1e-9)


def test_s6_is_complete() -> None:
    parts = isotypic("S6")
    np.testing.assert_allclose(parts.basis.T @ parts.basis, np.eye(720), atol=1e-9)
    assert sorted(np.bincount(parts.part).tolist()) == [1, 1, 25, 25, 25, 25, 81, 81, 100, 100, 256]


def test_the_standard_irrep_of_s4_counts_fixed_points_less_one() -> None:
    standard = next(irrep for irrep in irreps("S4") if irrep.name == "(3,1)")
    fixed = [sum(i == image for i, image in enumerate(g)) for g in permutations(range(4))]
    np.testing.assert_allclose(standard.character, np.array(fixed) - 1, atol=1e-12)


def test_a_dihedral_irrep_turns_and_mirrors() -> None:
    by_name = {irrep.name: irrep for irrep in irreps("D5")}
    assert list(by_name) == ["A1", "A2", "E1", "E2"]
    turns = 2 * np.cos(2 * np.pi * 2 * np.arange(5) / 5)
    np.testing.assert_allclose(by_name["E2"].character, [*turns, *np.zeros(5)], atol=1e-12)
    np.testing.assert_allclose(by_name["A2"].character, [1] * 5 + [-1] * 5)


def test_the_parts_of_a_cyclic_group_are_its_frequencies() -> None:
    parts = isotypic("C7")
    assert parts.names == ("0", "1", "2", "3")
    angle = 2 * np.pi * 2 * np.arange(7) / 7
    expected = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (2 / 7) ** 0.5
    np.testing.assert_allclose(parts.basis[:, parts.part == 2], expected, atol=1e-12)


@pytest.mark.parametrize("group", ["Q8", "C2xQ8"])
def test_other_groups_are_refused(group: str) -> None:
    with pytest.raises(ValueError, match="use a group of kind C, D, S or A, or a product of such"):
        irreps(group)


@pytest.mark.parametrize("group", ["A3", "A4", "A5", "A6"])
def test_irreps_of_alternating_groups_are_homomorphisms_on_the_whole_table(group: str) -> None:
    table = products(group)
    for irrep in irreps(group):
        rho = irrep.matrices
        for x in range(len(table)):
            np.testing.assert_allclose(rho[x] @ rho, rho[table[x]], atol=1e-10)


@pytest.mark.parametrize(
    ("group", "degrees"),
    [("A3", [1, 1, 1]), ("A4", [1, 1, 1, 3]), ("A5", [1, 3, 3, 4, 5]), ("A6", [1, 5, 5, 8, 8, 9, 10])],
)
def test_irreps_of_alternating_groups_are_orthogonal_and_complete(
    group: str, degrees: list[int]
) -> None:
    found, order = irreps(group), len(products(group))
    assert sorted(irrep.matrices.shape[1] for irrep in found) == degrees
    assert sum(d**2 for d in degrees) == order
    characters = np.stack([irrep.character for irrep in found])
    np.testing.assert_allclose(characters @ characters.conj().T / order, np.eye(len(found)), atol=1e-9)


def test_the_two_halves_of_a5_have_the_golden_ratio() -> None:
    by_name = {irrep.name: irrep for irrep in irreps("A5")}
    assert list(by_name) == ["(5)", "(4,1)", "(3,2)", "(3,1,1)+", "(3,1,1)-"]
    of_five = [sorted(p) == list(range(5)) and cycle_type(p) == (5,) for p in even(5)]
    for name in ("(3,1,1)+", "(3,1,1)-"):
        values = {round(v, 9) for v in np.real(by_name[name].character[of_five]).tolist()}
        assert values == {round((1 + 5**0.5) / 2, 9), round((1 - 5**0.5) / 2, 9)}
        assert np.isreal(by_name[name].matrices).all()
    first = np.flatnonzero(of_five)[0]
    larger, smaller = (np.real(by_name[f"(3,1,1){sign}"].character)[first] for sign in "+-")
    assert larger > smaller


def test_other_irreps_of_alternating_groups_are_those_of_the_symmetric_one() -> None:
    for irrep in irreps("A6"):
        if irrep.name[-1] not in "+-":
            shape = tuple(int(part) for part in irrep.name.strip("()").split(","))
            expected = [murnaghan_nakayama(shape, cycle_type(element)) for element in even(6)]
            np.testing.assert_allclose(irrep.character, expected, atol=1e-9)


def even(n: int) -> list[tuple[int, ...]]:
    """The even permutations in lexicographic order: those with an even number of even cycles."""
    return [p for p in permutations(range(n)) if sum(c % 2 == 0 for c in cycle_type(p)) % 2 == 0]


def conjugacy_classes(group: str) -> list[list[int]]:
    table = products(group)
    inverse = table.argmin(axis=1)
    classes = {
        tuple(sorted({int(table[table[g, x], inverse[g]]) for g in range(len(table))}))
        for x in range(len(table))
    }
    return [list(members) for members in sorted(classes)]


def cycle_type(permutation: tuple[int, ...]) -> tuple[int, ...]:
    left, lengths = set(range(len(permutation))), []
    while left:
        start = at = min(left)
        length = 0
        while at in left:
            left.remove(at)
            at = permutation[at]
            length += 1
        assert at == start
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


def murnaghan_nakayama(shape: tuple[int, ...], cycles: tuple[int, ...]) -> int:
    """The sum over rim hooks of the first cycle's length of +- the character of what is left.

    By beta numbers: a rim hook of length k goes where b becomes b - k, not yet among them, with the sign
    of how many lie in between.
    """
    if not cycles:
        return 1
    k, rest = cycles[0], cycles[1:]
    beta = [part + len(shape) - 1 - i for i, part in enumerate(shape)]
    total = 0
    for b in beta:
        if b >= k and b - k not in beta:
            legs = sum(b - k < other < b for other in beta)
            after = sorted([*(other for other in beta if other != b), b - k], reverse=True)
            smaller = tuple(value - (len(after) - 1 - i) for i, value in enumerate(after))
            total += (-1) ** legs * murnaghan_nakayama(smaller, rest)
    return total
