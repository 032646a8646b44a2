"""Whatever public value is made of wrong fields, one line says so; in a spec with its whole place."""

from __future__ import annotations

from typing import Any

import pytest

import undergrowth as ug
from undergrowth.spec import RunSpec, SpecError
from undergrowth.values import Value

KINDS: list[Any] = [
    kind
    for kind in (getattr(ug, name) for name in ug.__all__)
    if isinstance(kind, type) and issubclass(kind, Value)
]


def test_there_are_many_kinds() -> None:
    assert len(KINDS) > 60


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_field_is_one_line(kind: Any) -> None:
    with pytest.raises(SpecError) as wrong:
        kind(colour="red")
    assert str(wrong.value)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ug.Modular(p=24, operation="x/y"), "p = 24 is not prime"),
        (lambda: ug.AdamW(lr=-1), "lr = -1: input should be greater than 0"),
        (lambda: ug.Schedule(every=0, until=1, per_decade=1), "every = 0"),
        (lambda: ug.AtStep(), "'step' is missing"),
        (lambda: ug.RunSpec(task={"operation": "x/y", "p": 12}), "task: "),
        (lambda: ug.RunSpec(optimiser={"lr": -1}), "optimiser.lr = -1"),
    ],
)
def test_a_wrong_value_is_told_where_it_stands(make: Any, says: str) -> None:
    with pytest.raises(SpecError) as wrong:
        make()
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_value_of_ones_own_inside_a_spec_is_still_that_value() -> None:
    modular = ug.Modular(p=7)
    assert RunSpec(task=modular).task == modular
    assert RunSpec.from_dict({"task": {"name": "modular", "p": 7}}).task == modular
