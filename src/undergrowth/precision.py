"""How exact a product of float32 matrices is.

JAX's default on accelerators is TensorFloat-32, whose factors have 10 bits in the place of 23: margins,
gradients of memorised examples and attributions would be rounding noise. Here it is float32 in full,
wherever nothing else is asked for, and what is asked for is what the device does, or an error.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Annotated, Any, Literal

import jax
from jax.extend.core.primitives import dot_general_p
from jax.interpreters import mlir
from pydantic import AfterValidator

IN_FULL = {"tf32": "tensorfloat32", "bf16": "bfloat16"}
"""Short names, which mean the same run."""

Precision = Annotated[
    Literal["float32", "3xtf32", "tensorfloat32", "bfloat16", "tf32", "bf16"],
    AfterValidator(lambda told: IN_FULL.get(told, told)),
]
"""What the factors of a product are rounded to before they are multiplied; sums are in float32.

float32: 23 bits, all that there are; tensorfloat32 (tf32): 10; bfloat16 (bf16): 7; 3xtf32: each factor
is the sum of two in tf32, of whose four products the three largest are added: some 21 bits.
"""

ALGORITHMS = {
    "float32": "float32",
    "3xtf32": "TF32_TF32_F32_X3",
    "tensorfloat32": "TF32_TF32_F32",
    "bfloat16": "BF16_BF16_F32",
}
"""JAX's names (`jax.lax.DotAlgorithmPreset`, but for the first: `jax.lax.Precision.HIGHEST`)."""

WITHOUT_TF32 = {"cpu", "tpu"}


def products_in(precision: Precision = "float32") -> AbstractContextManager[None]:
    """Within it what is compiled multiplies at this precision.

    Raises ValueError, in one line, where the device cannot.
    """
    precision = IN_FULL.get(precision, precision)  # pyright: ignore[reportAssignmentType]
    if precision != "float32":
        refuse_what_is_not_there(precision, jax.default_backend())
        _round_on_a_cpu()
    return jax.default_matmul_precision(ALGORITHMS[precision])


def refuse_what_is_not_there(precision: Precision, platform: str) -> None:
    """Raise ValueError, in one line, where a platform has no such product."""
    if platform in WITHOUT_TF32 and IN_FULL.get(precision, precision) in ("3xtf32", "tensorfloat32"):
        raise ValueError(
            f'precision = "{precision}": a {platform.upper()} has no such product, and float32 in '
            'its place would be another run: use "float32" or "bf16", or a GPU'
        )


def multiply_in_full() -> None:
    """Make float32 the default of this process, unless its user has set another."""
    if jax.config.jax_default_matmul_precision is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_default_matmul_precision", "float32")


@cache
def _round_on_a_cpu() -> None:
    """Have factors rounded on a CPU where bfloat16 is asked for.

    XLA's CPU backend takes the algorithm and multiplies in float32. Rounded to bfloat16 beforehand, two
    factors have a product that float32 holds in full, so this is what tensor cores compute, but for the
    order in which they add up.
    """
    as_jax_does = mlir._platform_specific_lowerings["cpu"][dot_general_p].rule
    rounded = mlir.lower_fun(_rounded_product, multiple_results=False)

    def lowered(context: Any, left: Any, right: Any, **how: Any) -> Any:
        asked = how["precision"] == jax.lax.DotAlgorithmPreset.BF16_BF16_F32
        return (rounded if asked else as_jax_does)(context, left, right, **how)

    mlir.register_lowering(dot_general_p, lowered, platform="cpu")


def _rounded_product(left: jax.Array, right: jax.Array, **how: Any) -> jax.Array:
    factors = (jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7) for x in (left, right))
    return dot_general_p.bind(*factors, **{**how, "precision": (jax.lax.Precision.HIGHEST,) * 2})
