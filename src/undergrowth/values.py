"""The base of everything that a spec is made of: a frozen value that checks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from undergrowth.spec_errors import SpecError, explain

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)
MOST = 2**31 - 1


class _OneLineErrors(type(BaseModel)):
    """Makes a kind of value say in one line what is wrong with the fields that it is called with.

    As a metaclass, since an __init__ of its own would make pydantic call it for values inside values,
    whose errors the outermost one tells with the whole place.
    """

    def __call__(cls, *given: Any, **fields: Any) -> Any:
        try:
            return super().__call__(*given, **fields)
        except ValidationError as error:
            raise SpecError(explain(error, cast(type[BaseModel], cls))) from None


class Value(BaseModel, metaclass=_OneLineErrors):
    """A frozen, validated value; unknown fields are errors, and equal values are one value.

    Types are strict: neither true nor "12" is a number; an integer where a float is wanted is one.
    Numbers are those that the device can hold: whole ones of int32; others 0, or between 1.18e-38 and
    3.4e38 in size, for a smaller one is 0 in float32 and a larger one infinite.
    Raises SpecError, in one line, for anything that is not a possible value.
    """

    names_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what something is called, and so decide no run's id."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, strict=True
    )

    @model_validator(mode="before")
    @classmethod
    def _from_plain_data(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        return {key: _as_python_has_it(value) for key, value in fields.items()}

    @model_validator(mode="after")
    def _is_held_by_the_device(self) -> Self:
        for name in type(self).model_fields:
            _refuse_what_no_device_holds(name, getattr(self, name))
        return self


def _refuse_what_no_device_holds(name: str, value: Any) -> None:
    """Raise ValueError for a number, or one of several, that float32 or int32 does not hold."""
    if isinstance(value, tuple):
        for position, item in enumerate(value):
            _refuse_what_no_device_holds(f"{name}.{position}", item)
    elif isinstance(value, float) and value and not SMALLEST <= abs(value) <= LARGEST:
        raise ValueError(
            f"{name} = {value} does not fit into float32: use 0 if allowed, or a magnitude from "
            "1.18e-38 to 3.4e38"
        )
    elif isinstance(value, int) and abs(value) > MOST:
        digits = round(abs(value).bit_length() * 0.30103)
        told = str(value) if digits <= 20 else f"an integer of about {digits} digits"
        raise ValueError(f"{name} = {told} does not fit into int32: use at most {MOST}")


def _as_python_has_it(value: Any) -> Any:
    """Tuples for the lists of TOML and JSON, Python's numbers for numpy's: strict types want both."""
    if isinstance(value, list | tuple):
        return tuple(_as_python_has_it(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def essence(value: Any) -> Any:
    """What makes a value what it is, as plain data: its kind, and the fields not at their defaults, but
    for what is a name only.

    A field that a later version adds thus leaves all earlier values what they were.
    """
    if isinstance(value, Value):
        told = _told(value)
        return {name: essence(item) for name, item in told.items() if name not in value.names_only}
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
