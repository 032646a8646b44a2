"""The base of everything that a spec is made of: a frozen value that checks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class _OneLineErrors(type(BaseModel)):
    """Makes a kind of value say in one line what is wrong with the fields that it is called with.

    As a metaclass, since an __init__ of its own would make pydantic call it for values inside values,
    whose errors the outermost one tells with the whole place.
    """

    def __call__(cls, *given: Any, **fields: Any) -> Any:
        try:
            return super().__call__(*given, **fields)
        except ValidationError as error:
            from undergrowth.spec import SpecError, explain  # which is made of values

            raise SpecError(explain(error, cast("type[Value]", cls))) from None


class Value(BaseModel, metaclass=_OneLineErrors):
    """A frozen, validated value; unknown fields are errors, and equal values are one value.

    Types are strict: neither true nor "12" is a number; an integer where a float is wanted is one.
    Raises SpecError, in one line, for anything that is not a possible value.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, strict=True
    )

    @model_validator(mode="before")
    @classmethod
    def _from_plain_data(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        return {key: _as_python_has_it(value) for key, value in fields.items()}


def _as_python_has_it(value: Any) -> Any:
    """Tuples for the lists of TOML and JSON, Python's numbers for numpy's: strict types want both."""
    if isinstance(value, list | tuple):
        return tuple(_as_python_has_it(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def essence(value: Any) -> Any:
    """What makes a value what it is, as plain data: its name, and the fields not at their defaults.

    A field that a later version adds thus leaves all earlier values what they were.
    """
    if isinstance(value, Value):
        return {name: essence(item) for name, item in _told(value).items()}
    if isinstance(value, tuple):
        return [essence(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value  # -0.0 equals 0.0, so it is 0.0


def in_brief(value: Any) -> str:
    """A value in a few words: its name and what of it is not at its default.

    >>> from undergrowth.tasks import LeakyRandom
    >>> in_brief(LeakyRandom(frac_train=0.25))
    'leaky_random frac_train=0.25'
    """
    if isinstance(value, Value):
        told = _told(value)
        name = [str(told.pop("name"))] if "name" in told else []
        return " ".join([*name, *(f"{key}={_nested(item)}" for key, item in told.items())])
    if isinstance(value, tuple):
        return f"[{', '.join(map(_nested, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _nested(value: Any) -> str:
    return f"({in_brief(value)})" if isinstance(value, Value) else in_brief(value)


def _told(value: Value) -> dict[str, Any]:
    """The name of a value, and the fields that are not at their defaults."""
    fields = type(value).model_fields
    told = {name: getattr(value, name) for name in fields}
    return {
        name: told[name]
        for name, field in fields.items()
        if name == "name" or field.is_required() or told[name] != field.get_default()
    }
