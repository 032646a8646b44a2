"""Arithmetic modulo p: the nine operations of Power et al. 2022 (arXiv:2201.02177, A.1), and x*y."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.tasks.task import UNDEFINED, Operation

POLYNOMIALS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "x+y": lambda x, y: x + y,
    "x-y": lambda x, y: x - y,
    "x*y": lambda x, y: x * y,
    "x^2+y^2": lambda x, y: x**2 + y**2,
    "x^2+xy+y^2": lambda x, y: x**2 + x * y + y**2,
    "x^2+xy+y^2+x": lambda x, y: x**2 + x * y + y**2 + x,
    "x^3+xy": lambda x, y: x**3 + x * y,
    "x^3+xy^2+y": lambda x, y: x**3 + x * y**2 + y,
}
DIVIDE_OR_SUBTRACT = "x/y if y odd else x-y"


def is_prime(n: int) -> bool:
    """Whether n is a prime number.

    >>> [n for n in range(20) if is_prime(n)]
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


class Modular(Operation):
    """x (operation) y mod p for all x, y in [0, p).

    Division is by the modular inverse, so p must be prime there and x/0 is undefined. Where only odd
    y divide, every cell is defined, since 0 is even.
    """

    name: Literal["modular"] = "modular"
    operation: Literal[
        "x+y",
        "x-y",
        "x*y",
        "x/y",
        "x/y if y odd else x-y",
        "x^2+y^2",
        "x^2+xy+y^2",
        "x^2+xy+y^2+x",
        "x^3+xy",
        "x^3+xy^2+y",
    ] = "x+y"
    p: int = Field(default=53, ge=2, le=1024)

    @model_validator(mode="after")
    def _divides_only_by_units(self) -> Modular:
        if "/" in self.operation and not is_prime(self.p):
            raise ValueError(
                f"p = {self.p} is not prime, and x/y mod p needs every y > 0 to have an inverse: "
                f"use a prime p, such as {next(q for q in range(self.p, 2 * self.p) if is_prime(q))}"
            )
        return self

    @property
    def n_operands(self) -> int:
        return self.p

    @property
    def n_labels(self) -> int:
        return self.p

    def describe(self) -> str:
        formula = f"({self.operation})" if self.operation == DIVIDE_OR_SUBTRACT else self.operation
        return f"{formula} mod {self.p}"

    def table(self) -> np.ndarray:
        x, y = np.indices((self.p, self.p), np.int64)  # cubes come near 2**31 at p = 1024
        if self.operation in POLYNOMIALS:
            return (POLYNOMIALS[self.operation](x, y) % self.p).astype(np.int32)
        # x/y = q where q*y = x: read the multiplication table backwards.
        quotient = np.full((self.p, self.p), UNDEFINED, np.int32)
        quotient[(x * y)[:, 1:] % self.p, y[:, 1:]] = x[:, 1:]
        if self.operation == "x/y":
            return quotient
        return np.where(y % 2 == 1, quotient, (x - y) % self.p).astype(np.int32)
