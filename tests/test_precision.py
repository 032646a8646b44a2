"""Products are of float32 in full, in training and in every measure, unless a run asks for less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core.primitives import dot_general_p

from tests import tiny
from undergrowth.engine import train

FULL = jax.lax.Precision.HIGHEST


@pytest.fixture
def precisions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The precision of each product that is traced."""
    seen: list[Any] = []
    bind = dot_general_p.bind

    def watched(*args: Any, **fields: Any) -> Any:
        seen.append(fields["precision"])
        return bind(*args, **fields)

    jax.clear_caches()
    monkeypatch.setattr(dot_general_p, "bind", watched)
    with jax.default_matmul_precision("bfloat16"):  # as if the user had set it, or the machine
        yield seen
    jax.clear_caches()


def is_full(precision: Any) -> bool:
    return precision in (FULL, (FULL, FULL))


def test_a_model_multiplies_in_full_where_nobody_has_asked_for_less() -> None:
    traced = str(jax.make_jaxpr(lambda a: a @ a)(jnp.ones((2, 2))))
    assert "HIGHEST" in traced


def test_training_and_its_measures_multiply_in_full(precisions: list[Any]) -> None:
    list(train([tiny.spec(steps=10)], [None]))
    assert precisions
    assert all(map(is_full, precisions))


def test_a_run_may_train_in_less_and_is_another_run_but_is_measured_in_full(
    precisions: list[Any],
) -> None:
    rough = tiny.spec(steps=10, precision="tensorfloat32")
    assert rough.id != tiny.spec(steps=10).id
    list(train([rough], [None]))
    kinds = {is_full(precision) for precision in precisions}
    assert kinds == {True, False}


def test_full_precision_is_no_part_of_an_id() -> None:
    assert tiny.spec(precision="float32").id == tiny.spec().id
