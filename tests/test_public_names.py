"""The public names: each can be had, each value that a spec takes is among them, and what is written is
taken.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import undergrowth as ug
from undergrowth.studies import STUDIES, Study
from undergrowth.values import Value


def kinds(union: object) -> set[type]:
    """The classes of a union, annotated or not."""
    if isinstance(union, type):
        return {union}
    return {kind for part in get_args(union) for kind in kinds(part)}


@cache
def modules() -> tuple[ModuleType, ...]:
    """All of the package, by its files: some folders are packages without an `__init__.py`."""
    root = Path(ug.__file__).parents[1]
    paths = [file.relative_to(root).with_suffix("") for file in Path(ug.__file__).parent.rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in sorted(paths)]
    return tuple(import_module(name) for name in names if not name.endswith("__main__"))


def unions() -> dict[str, set[type]]:
    """By name, the kinds of every `Any...` union of the package."""
    found = {
        name: kinds(union)
        for module in modules()
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


def test_every_kind_that_is_written_is_one_that_a_spec_takes() -> None:
    """A kind is a value with a name of its own, as `name: Literal["modular"] = "modular"`."""
    written = {
        each
        for module in modules()
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Value) and each.__module__ == module.__name__
        if "name" in each.model_fields and not each.model_fields["name"].is_required()
    }
    assert written - {kind for union in unions().values() for kind in union} == set()
    assert len(written) >= 60


def test_every_study_that_is_written_is_one_that_can_be_run() -> None:
    written = {
        each.name for module in modules() for each in vars(module).values() if type(each) is Study
    }
    assert written == set(STUDIES)


def test_the_unions_are_found() -> None:
    assert {"AnyTask", "AnyModel", "AnyOptimiser", "AnyMeasure", "AnyAction", "AnyTrigger"} <= set(
        unions()
    )
