"""Complexities of tasks against closed forms and against irreps that are made, not counted."""

from __future__ import annotations

import typing
import zlib

import numpy as np
import pytest

from undergrowth.tasks import Modular
from undergrowth.tasks.complexity import (
    conjugacy_classes,
    irrep_degrees,
    lempel_ziv,
    n_symbols,
    n_words,
    table_bytes,
)
from undergrowth.tasks.groups import order_of, products
from undergrowth.tasks.irreps import irreps


@pytest.mark.parametrize("group", ["C1", "C7", "D5", "D6", "S4", "S5", "C2xC4", "C2xS3"])
def test_degrees_are_those_of_the_irreps_that_are_made(group: str) -> None:
    made = sorted(irrep.matrices.shape[1] for irrep in irreps(group))
    assert list(irrep_degrees(products(group))) == made


DEGREES = {
    "A4": [1, 1, 1, 3],
    "A5": [1, 3, 3, 4, 5],
    "Q8": [1, 1, 1, 1, 2],
    "Q12": [1, 1, 1, 1, 2, 2],
    "C2xA4": [1] * 6 + [3] * 2,
    "C3xD4": [1] * 12 + [2] * 3,
}


@pytest.mark.parametrize("group", DEGREES)
def test_degrees_of_groups_whose_irreps_are_known_from_books(group: str) -> None:
    assert list(irrep_degrees(products(group))) == DEGREES[group]


@pytest.mark.parametrize("group", ["C12", "D9", "S5", "A5", "Q24", "C3xQ8"])
def test_squares_of_degrees_sum_to_the_order_and_there_are_as_many_as_classes(group: str) -> None:
    table = products(group)
    degrees = irrep_degrees(table)
    assert sum(d**2 for d in degrees) == order_of(group)
    assert len(degrees) == conjugacy_classes(table).max() + 1


def test_classes_are_those_that_conjugation_gives_one_by_one() -> None:
    table = products("D6")
    inverse = {x: int(np.flatnonzero(table[x] == 0)[0]) for x in range(12)}
    of = conjugacy_classes(table)
    for x in range(12):
        conjugates = {int(table[table[g, x], inverse[g]]) for g in range(12)}
        assert conjugates == set(np.flatnonzero(of == of[x]).tolist())


SYMBOLS = {"x+y": 3, "x*y": 3, "xy": 3, "x^2+y^2": 7, "x^3+xy": 7, "x^3+xy^2+y": 11}


@pytest.mark.parametrize("formula", SYMBOLS)
def test_symbols_are_counted_as_by_hand(formula: str) -> None:
    assert n_symbols(formula) == SYMBOLS[formula]


def test_every_operation_has_a_count_of_symbols() -> None:
    for operation in typing.get_args(Modular.model_fields["operation"].annotation):
        assert n_symbols(operation) >= 3


def test_a_formula_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="'z'"):
        n_symbols("x+z")


def test_a_table_is_as_complex_as_what_it_takes_to_write_it() -> None:
    constant = np.zeros((30, 30), np.int32)
    at_random = np.random.default_rng(0).integers(0, 30, (30, 30))
    assert table_bytes(constant) < 30 < table_bytes(Modular(p=30).table()) < table_bytes(at_random)
    assert table_bytes(at_random) > 900 * np.log2(30) / 8


def test_bytes_are_of_the_labels_whatever_their_type() -> None:
    table = Modular(p=17).table()
    assert table_bytes(table) == table_bytes(table.astype(np.int64))
    rows = [int(label).to_bytes(2, "little") for row in table for label in row]
    assert table_bytes(table) == len(zlib.compress(b"".join(rows), 9))


def words_by_hand(row: str) -> int:
    """Letter by letter: a word ends where no earlier place, overlaps allowed, has the same letters."""
    count, start = 0, 0
    while start < len(row):
        length = 1
        while start + length < len(row) and any(
            all(row[at + k] == row[start + k] for k in range(length)) for at in range(start)
        ):
            length += 1
        count, start = count + 1, start + length
    return count


def test_words_are_those_found_letter_by_letter() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 16, 32, 128):
        for share in (0.1, 0.5):
            row = "".join("01"[int(label)] for label in rng.random(n) < share)
            assert n_words(row) == words_by_hand(row)


def test_the_words_of_lempel_and_ziv_s_own_example() -> None:
    """0 001 10 100 1000 101: Lempel & Ziv 1976, section II."""
    assert n_words("0001101001000101") == 6


def test_what_lempel_and_ziv_call_complex_takes_more_bytes_to_compress_too() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.random(128) < share for share in np.linspace(0.01, 0.5, 200)]
    rows += [np.tile(rng.random(size) < 0.5, 128 // size) for size in (2, 4, 8, 16, 32, 64)]
    complexities = np.array([(lempel_ziv(row), table_bytes(row[None])) for row in rows])
    ranks = complexities.argsort(axis=0).argsort(axis=0)
    assert np.asarray(np.corrcoef(ranks.T))[0, 1] > 0.9


def test_a_constant_row_is_the_simplest_and_a_random_one_beyond_a_periodic_one() -> None:
    random = np.random.default_rng(2).random(128) < 0.5
    periodic = np.tile([0, 1, 1, 0], 32)
    assert lempel_ziv(np.ones(128)) == 7.0 < lempel_ziv(periodic) < lempel_ziv(random)
    assert lempel_ziv(random) == lempel_ziv(random[::-1])
