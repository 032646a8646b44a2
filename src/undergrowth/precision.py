"""How exact a product of float32 matrices is.

JAX's default on accelerators is TensorFloat-32, whose factors have 10 bits in the place of 23: margins,
gradients of memorised examples and attributions would be rounding noise. Here it is float32 in full,
wherever nothing else is asked for. On a CPU every product is in full whatever is asked for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import jax

Precision = Literal["float32", "tensorfloat32", "bfloat16"]
"""What the factors of a product are rounded to; sums are in float32."""


def products_in(precision: Precision = "float32") -> AbstractContextManager[None]:
    """Within it what is compiled multiplies at this precision."""
    return jax.default_matmul_precision(precision)


def multiply_in_full() -> None:
    """Make float32 the default of this process, unless its user has set another."""
    if jax.config.jax_default_matmul_precision is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_default_matmul_precision", "float32")
