from __future__ import annotations

import re
from functools import cache
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, strategies as st

from undergrowth.spec_errors import SpecError
from undergrowth.tasks import Modular
from undergrowth.tasks.modular import POLYNOMIALS, is_prime
from undergrowth.tasks.task import UNDEFINED

PRIMES_BELOW_100 = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73}
PRIMES_BELOW_100 |= {79, 83, 89, 97}


def test_is_prime_agrees_with_the_list_of_primes_below_100() -> None:
    assert {n for n in range(-3, 100) if is_prime(n)} == PRIMES_BELOW_100


def as_python(operation: str) -> str:
    """The operation's name as an expression: the name is the formula."""
    return re.sub(r"xy", "x*y", operation).replace("^", "**")


@pytest.mark.parametrize("p", [2, 6, 7])
@pytest.mark.parametrize("operation", sorted(POLYNOMIALS))
def test_every_cell_is_the_operation_modulo_p(operation: str, p: int) -> None:
    table = of(operation, p).table()
    for x in range(p):
        for y in range(p):
            assert table[x, y] == eval(as_python(operation), {"x": x, "y": y}) % p


@pytest.mark.parametrize("operation", sorted(POLYNOMIALS))
@given(cells=st.lists(st.tuples(*2 * [st.integers(900, 1023)]), min_size=1))
def test_no_cell_overflows_at_the_largest_p(operation: str, cells: list[tuple[int, int]]) -> None:
    table = largest(operation)
    for x, y in [*cells, (1023, 1023)]:
        assert table[x, y] == eval(as_python(operation), {"x": x, "y": y}) % 1024


@cache
def largest(operation: str) -> np.ndarray:
    return of(operation, 1024).table()


def of(operation: str, p: int) -> Modular:
    return Modular.model_validate({"operation": operation, "p": p})


def test_every_operation_is_tested() -> None:
    operations = set(get_args(Modular.model_fields["operation"].annotation))
    assert operations == {*POLYNOMIALS, "x/y", "x/y if y odd else x-y"}


@pytest.mark.parametrize("p", [2, 7, 13])
def test_odd_numbers_divide_and_even_ones_are_subtracted(p: int) -> None:
    task = Modular(operation="x/y if y odd else x-y", p=p)
    table = task.table()
    for x in range(p):
        for y in range(p):
            assert x == ((table[x, y] * y) % p if y % 2 else (table[x, y] + y) % p)
            assert 0 <= table[x, y] < p
    assert len(task.examples()) == p * p
    assert task.describe() == f"(x/y if y odd else x-y) mod {p}"


@pytest.mark.parametrize("p", [2, 7, 13])
def test_a_quotient_times_its_divisor_is_the_dividend(p: int) -> None:
    table = Modular(operation="x/y", p=p).table()
    for x in range(p):
        assert table[x, 0] == UNDEFINED
        for y in range(1, p):
            assert (table[x, y] * y) % p == x
            assert 0 <= table[x, y] < p


def test_examples_are_the_defined_cells_in_row_order() -> None:
    task = Modular(operation="x/y", p=5)
    examples = task.examples()
    cells = [(x, y) for x in range(5) for y in range(1, 5)]
    assert [tuple(pair) for pair in examples.inputs.tolist()] == cells
    assert examples.labels.tolist() == [task.table()[cell] for cell in cells]
    assert len(examples) == 20


def test_operands_and_labels_are_counted_by_p() -> None:
    task = Modular(operation="x*y", p=11)
    assert (task.n_operands, task.n_labels, task.describe()) == (11, 11, "x*y mod 11")


@pytest.mark.parametrize("operation", ["x/y", "x/y if y odd else x-y"])
def test_division_by_a_composite_names_the_value_the_rule_and_a_prime(operation: str) -> None:
    with pytest.raises(SpecError, match=r"p = 12 is not prime.*such as 13"):
        of(operation, 12)


def test_the_other_operations_take_a_composite() -> None:
    assert Modular(operation="x*y", p=12).table()[5, 5] == 1


@pytest.mark.parametrize("p", [1, 0, -3])
def test_fewer_than_two_numbers_are_refused(p: int) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        Modular(p=p)
