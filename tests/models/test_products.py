"""Products with weights against plain ones, in both modes of differentiation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.models.products import product

rng = np.random.default_rng(0)
WIDE, TALL = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((3, 7), (7, 3)))


@pytest.mark.parametrize("W", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("rows", [(11,), (4, 5)], ids=["rows", "rows and positions"])
def test_product_and_its_derivatives_are_those_of_matmul(W: jax.Array, rows: tuple[int, ...]) -> None:
    x, dx = (jnp.asarray(rng.standard_normal((*rows, len(W))), jnp.float32) for _ in range(2))
    dW = jnp.asarray(rng.standard_normal(W.shape), jnp.float32)
    for mine, plain in (
        (product(x, W), x @ W),
        (jax.jvp(product, (x, W), (dx, dW))[1], dx @ W + x @ dW),
        *zip(
            jax.grad(lambda *a: jnp.sum(jnp.sin(product(*a))), (0, 1))(x, W),
            jax.grad(lambda *a: jnp.sum(jnp.sin(a[0] @ a[1])), (0, 1))(x, W),
            strict=True,
        ),
        (
            jax.vmap(jax.grad(lambda w: jnp.sum(jnp.sin(product(x, w)))))(jnp.stack([W, dW])),
            jax.vmap(jax.grad(lambda w: jnp.sum(jnp.sin(x @ w))))(jnp.stack([W, dW])),
        ),
    ):
        np.testing.assert_allclose(mine, plain, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_tall_weights_is_computed_the_other_way_round() -> None:
    """In what XLA runs, the product that sums over the rows has the shape of the transpose."""
    x = jnp.zeros((11, 7))
    compiled = jax.jit(jax.grad(lambda W: jnp.sum(jnp.sin(product(x, W))))).lower(TALL).compile()
    dots = [line for line in str(compiled.as_text()).splitlines() if " dot(" in line]
    assert any("f32[3,7]" in line.split("=")[1].split("dot(")[0] for line in dots)
