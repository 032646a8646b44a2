from __future__ import annotations

import pytest
from pydantic import ValidationError

from undergrowth.tasks import Modular
from undergrowth.tasks.modular import is_prime
from undergrowth.tasks.task import UNDEFINED

PRIMES_BELOW_100 = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73}
PRIMES_BELOW_100 |= {79, 83, 89, 97}


def test_is_prime_agrees_with_the_list_of_primes_below_100() -> None:
    assert {n for n in range(-3, 100) if is_prime(n)} == PRIMES_BELOW_100


@pytest.mark.parametrize("p", [2, 6, 7])
@pytest.mark.parametrize("operation", ["x+y", "x-y", "x*y"])
def test_every_cell_is_the_operation_modulo_p(operation: str, p: int) -> None:
    table = Modular.model_validate({"operation": operation, "p": p}).table()
    for x in range(p):
        for y in range(p):
            assert table[x, y] == eval(operation, {"x": x, "y": y}) % p  # the name is the formula


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


def test_division_by_a_composite_names_the_value_the_rule_and_a_prime() -> None:
    with pytest.raises(ValidationError, match=r"p = 12 is not prime.*such as 13"):
        Modular(operation="x/y", p=12)


def test_the_other_operations_take_a_composite() -> None:
    assert Modular(operation="x*y", p=12).table()[5, 5] == 1


@pytest.mark.parametrize("p", [1, 0, -3])
def test_fewer_than_two_numbers_are_refused(p: int) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        Modular(p=p)
