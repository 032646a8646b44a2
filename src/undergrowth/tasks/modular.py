"""Arithmetic modulo p: x+y, x-y, x*y and x/y (Power et al. 2022, arXiv:2201.02177, appendix A.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.tasks.task import UNDEFINED, Operation


def is_prime(n: int) -> bool:
    """Whether n is a prime number.

    >>> [n for n in range(20) if is_prime(n)]
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


class Modular(Operation):
    """x (operation) y mod p for all x, y in [0, p).

    Division is by the modular inverse, so p must be prime there and y = 0 is undefined.
    """

    name: Literal["modular"] = "modular"
    operation: Literal["x+y", "x-y", "x*y", "x/y"] = "x+y"
    p: int = Field(default=53, ge=2, le=1024)

    @model_validator(mode="after")
    def _divides_only_by_units(self) -> Modular:
        if self.operation == "x/y" and not is_prime(self.p):
            raise ValueError(
                f"p = {self.p} is not prime, and x/y mod p needs every y > 0 to have an inverse: "
                f"take a prime p, such as {next(q for q in range(self.p, 2 * self.p) if is_prime(q))}"
            )
        return self

    @property
    def n_operands(self) -> int:
        return self.p

    @property
    def n_labels(self) -> int:
        return self.p

    def describe(self) -> str:
        return f"{self.operation} mod {self.p}"

    def table(self) -> np.ndarray:
        x, y = np.indices((self.p, self.p))
        if self.operation == "x+y":
            return ((x + y) % self.p).astype(np.int32)
        if self.operation == "x-y":
            return ((x - y) % self.p).astype(np.int32)
        product = (x * y) % self.p
        if self.operation == "x*y":
            return product.astype(np.int32)
        # x/y = q where q*y = x: read the multiplication table backwards.
        quotient = np.full((self.p, self.p), UNDEFINED, np.int32)
        quotient[product[:, 1:], y[:, 1:]] = x[:, 1:]
        return quotient
