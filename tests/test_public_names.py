"""The public names: each can be had, and each value that a spec takes is among them."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import get_args

import pytest

import undergrowth as ug


def kinds(union: object) -> set[type]:
    """The classes of a union, annotated or not."""
    if isinstance(union, type):
        return {union}
    return {kind for part in get_args(union) for kind in kinds(part)}


def unions() -> dict[str, set[type]]:
    """By name, the kinds of every `Any...` union of the package."""
    modules = [import_module(found.name) for found in pkgutil.walk_packages(ug.__path__, "undergrowth.")]
    found = {
        name: kinds(union)
        for module in modules
        for name, union in vars(module).items()
        if name.startswith("Any") and len(name) > len("Any") and get_args(union)
    }
    return {
        name: {each for each in of if each.__module__.startswith("undergrowth.")}
        for name, of in found.items()
    }


def test_every_public_name_can_be_had() -> None:
    for name in ug.__all__:
        assert getattr(ug, name) is not None
    assert set(ug.__all__) <= set(dir(ug))
    name = "runspec"
    with pytest.raises(AttributeError, match="No undergrowth attribute runspec"):
        getattr(ug, name)


@pytest.mark.parametrize("union", sorted(unions()))
def test_every_value_that_a_spec_takes_is_public(union: str) -> None:
    assert {kind.__name__ for kind in unions()[union]} <= set(ug.__all__)


def test_the_unions_are_found() -> None:
    assert {"AnyTask", "AnyModel", "AnyOptimiser", "AnyMeasure", "AnyAction", "AnyTrigger"} <= set(
        unions()
    )
