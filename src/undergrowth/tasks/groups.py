"""Finite groups by name, and three operations in them (Power et al. 2022; Chughtai et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, reduce
from itertools import permutations
from math import factorial, prod
from typing import Literal

import numpy as np
from pydantic import model_validator

from undergrowth.tasks.task import Operation

MOST_ELEMENTS = 1024


class Group(Operation):
    """xy, its conjugate xyx^-1 or xyx, for all elements x, y of a finite group; 0 is the identity.

    `group` is one of these, or a direct product such as "C2xC4", of 2 to 1024 elements in all:

    * C{n}, cyclic: element i is r^i, so xy is addition mod n;
    * D{n}, dihedral, 2n elements: r^0 .. r^(n-1), then r^0 s .. r^(n-1) s, with s r s = r^-1;
    * S{n}, symmetric, n! elements: the permutations in lexicographic order, (xy)(i) = x(y(i));
    * A{n}, alternating: the even permutations among them, in the same order;
    * Q{n}, dicyclic (Q8 the quaternions): n = 8, 12, 16 ..; as D{n/2}, but with s^2 = r^(n/4).

    Element (i, j) of a product is i times the order of the second factor, plus j. Sources: Power et
    al. 2022 (arXiv:2201.02177, A.1) for the three operations in S5; Chughtai et al. 2023
    (arXiv:2302.03025) for the other groups.
    """

    name: Literal["group"] = "group"
    group: str = "S5"
    operation: Literal["xy", "xyx^-1", "xyx"] = "xy"

    @model_validator(mode="after")
    def _is_known_and_neither_trivial_nor_huge(self) -> Group:
        order = order_of(self.group)
        if not 2 <= order <= MOST_ELEMENTS:
            size = "1 element" if order < 2 else f"more than {MOST_ELEMENTS} elements"
            raise ValueError(
                f"group = {self.group!r} has {size}, but a table needs 2 to {MOST_ELEMENTS}: "
                "use one such as S5, A6, D59 or C113"
            )
        return self

    @property
    def n_operands(self) -> int:
        return order_of(self.group)

    @property
    def n_labels(self) -> int:
        return order_of(self.group)

    def describe(self) -> str:
        return f"{self.operation} in {self.group}"

    def table(self) -> np.ndarray:
        product = products(self.group)
        if self.operation == "xy":
            return product
        x = np.arange(len(product))[:, None]
        inverse = product.argmin(axis=1)[:, None]  # 0, the identity, stands once in each row
        return product[product, x if self.operation == "xyx" else inverse]


def order_of(group: str) -> int:
    """Number of elements; of symmetric and alternating factors past n = 9 a lower bound.

    Raises ValueError where `group` names no group.
    """
    return prod(_ORDERS[kind](n) for kind, n in factors(group))


@lru_cache(maxsize=8)
def products(group: str) -> np.ndarray:
    """The Cayley table xy, int32 [order, order], read-only; its elements are numbered as in `Group`."""
    table = reduce(_direct, (_TABLES[kind](n) for kind, n in factors(group))).astype(np.int32)
    table.setflags(write=False)
    return table


def even_and_odd(n: int) -> tuple[np.ndarray, np.ndarray]:
    """All permutations of n things, int [n!, n], in lexicographic order; and bool [n!]: the odd ones."""
    rows = np.array(list(permutations(range(n))))
    first, second = np.triu_indices(n, 1)
    inversions = (rows[:, first] > rows[:, second]).sum(axis=1)
    return rows, inversions % 2 == 1


def factors(group: str) -> Iterator[tuple[str, int]]:
    """Kind and number of each factor, as in ("C", 2), ("D", 4)."""
    for part in group.split("x"):
        match = re.fullmatch("([CDSAQ])([1-9][0-9]{0,5})", part)
        kind, n = (match[1], int(match[2])) if match else ("", 0)
        if not match or (kind == "Q" and (n < 8 or n % 4)):
            raise ValueError(
                f"group = {group[:40]!r} is not known: use C, D, S or A and a number, as in D59; or "
                "Q8, Q12, Q16 and so on; or a product of these, as in C2xC4"
            )
        yield kind, n


def _cyclic(n: int) -> np.ndarray:
    i = np.arange(n)
    return (i[:, None] + i) % n


def _with_inverting_element(n: int, square: int) -> np.ndarray:
    """The 2n products of r^i and r^i s, where r^n = 1, s r = r^-1 s and s^2 = r^square."""
    x, y = np.indices((2 * n, 2 * n))
    i, j, has_s, and_s = x % n, y % n, x // n, y // n
    turned = i + np.where(has_s, -j, j) + square * (has_s & and_s)
    return turned % n + n * (has_s ^ and_s)


def _composed(rows: np.ndarray) -> np.ndarray:
    """The number of x(y(.)) for any two of some permutations in lexicographic order."""
    n = rows.shape[1]
    place = n ** np.arange(n - 1, -1, -1)  # a row read as digits is its key, and keys ascend
    return np.searchsorted(rows @ place, rows[:, rows] @ place)


def _symmetric(n: int) -> np.ndarray:
    return _composed(even_and_odd(n)[0])


def _alternating(n: int) -> np.ndarray:
    rows, is_odd = even_and_odd(n)
    return _composed(rows[~is_odd])


def _direct(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    order = len(first) * len(second)
    pairs = first[:, None, :, None] * len(second) + second[None, :, None, :]
    return pairs.reshape(order, order)


_ORDERS: dict[str, Callable[[int], int]] = {
    "C": lambda n: n,
    "D": lambda n: 2 * n,
    "S": lambda n: factorial(min(n, 9)),
    "A": lambda n: (factorial(min(n, 9)) + 1) // 2,
    "Q": lambda n: n,
}
_TABLES: dict[str, Callable[[int], np.ndarray]] = {
    "C": _cyclic,
    "D": lambda n: _with_inverting_element(n, 0),
    "S": _symmetric,
    "A": _alternating,
    "Q": lambda n: _with_inverting_element(n // 2, n // 4),
}
