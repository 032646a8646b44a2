from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undergrowth.models.lookup import rows

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(5, 4)).astype(np.float32)
INDEX = np.array([3, 0, 3, 4, 3, 1, 1], np.int32)
WEIGHTS = RNG.normal(size=(7, 4)).astype(np.float32)
TANGENT = RNG.normal(size=(5, 4)).astype(np.float32)


def plainly(table: jax.Array) -> jax.Array:
    return table[jnp.asarray(INDEX)]


def looked_up(table: jax.Array) -> jax.Array:
    return rows(table, jnp.asarray(INDEX))


def added_up(coming_back: np.ndarray) -> np.ndarray:
    """What a look-up's gradient is: each row of the table gets the sum of what comes back to it."""
    gradient = np.zeros((5, 4))
    for i, row in enumerate(INDEX):
        gradient[row] += coming_back[i]
    return gradient


def test_rows_are_looked_up_to_the_bit() -> None:
    assert (np.asarray(looked_up(jnp.asarray(TABLE))) == TABLE[INDEX]).all()


def test_reverse_mode_adds_up_what_comes_back_to_each_row() -> None:
    @jax.jit
    def pulled_back(table: jax.Array) -> list[jax.Array]:
        return [jax.vjp(f, table)[1](jnp.asarray(WEIGHTS))[0] for f in (looked_up, plainly)]

    mine, plain = (np.asarray(gradient) for gradient in pulled_back(TABLE))
    np.testing.assert_allclose(mine, plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(mine, added_up(WEIGHTS), rtol=1e-6, atol=1e-6)
    assert (mine[2] == 0).all()  # a row that is never looked up
    assert INDEX.tolist().count(2) == 0


def test_the_gradient_outside_of_jit_is_the_same() -> None:
    gradient = jax.grad(lambda table: jnp.vdot(looked_up(table), WEIGHTS))(jnp.asarray(TABLE))
    np.testing.assert_allclose(gradient, added_up(WEIGHTS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("f", [looked_up, plainly])
def test_forward_mode_looks_the_tangents_up(f: Callable[[jax.Array], jax.Array]) -> None:
    pushed = jax.jit(lambda table, tangent: jax.jvp(f, (table,), (tangent,))[1])(TABLE, TANGENT)
    np.testing.assert_allclose(pushed, TANGENT[INDEX], rtol=1e-6)


def test_second_derivatives_are_there() -> None:
    def energy(table: jax.Array) -> jax.Array:
        return jnp.sum(looked_up(table) ** 3 * WEIGHTS)

    @jax.jit
    def curvature(table: jax.Array, tangent: jax.Array) -> jax.Array:
        return jax.jvp(jax.grad(energy), (table,), (tangent,))[1]

    expected = added_up(6 * (TABLE * TANGENT)[INDEX] * WEIGHTS)
    np.testing.assert_allclose(curvature(TABLE, TANGENT), expected, rtol=1e-5, atol=1e-5)


def test_it_maps_over_tables_and_indices() -> None:
    tables, indices = np.stack([TABLE, -TABLE]), np.stack([INDEX, INDEX[::-1]])
    mapped = jax.jit(jax.vmap(rows))(tables, indices)
    assert (np.asarray(mapped) == np.stack([TABLE[INDEX], -TABLE[INDEX[::-1]]])).all()


@pytest.mark.parametrize("shape", [(5,), (5, 2, 3)])
def test_rows_may_have_any_number_of_axes(shape: tuple[int, ...]) -> None:
    table = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    @jax.jit
    def gradients(table: jax.Array) -> tuple[jax.Array, jax.Array]:
        mine = jax.grad(lambda t: jnp.sum(looked_up(t) ** 2))(table)
        return mine, jax.grad(lambda t: jnp.sum(plainly(t) ** 2))(table)

    mine, plain = gradients(table)
    np.testing.assert_allclose(mine, plain, rtol=1e-6)
    assert (np.asarray(looked_up(jnp.asarray(table))) == table[INDEX]).all()
