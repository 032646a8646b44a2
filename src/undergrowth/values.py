"""The base of everything that a spec is made of: a frozen value that checks itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from undergrowth.notebook_html import html_table
from undergrowth.own_parts import use_entry_points
from undergrowth.spec_errors import SpecError, refusal, shown, unknown_kind

V = TypeVar("V", bound="Value")

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)
MOST = 2**31 - 1


class _OneLineErrors(type(BaseModel)):
    """Makes a kind of value say in one line what is wrong with the fields that it is called with.

    As a metaclass, since an __init__ of its own would make pydantic call it for values inside values,
    whose errors the outermost one tells with the whole place.
    """

    def __call__(cls, *given: Any, **fields: Any) -> Any:
        if given:
            raise SpecError(
                f"{cls.__name__}({shown(given[0])}): fields are given by name, such as "
                f"{cls.__name__}({next(iter(cast(type[BaseModel], cls).model_fields), '')}=...)"
            )
        make = super().__call__
        return _made(cast(type[BaseModel], cls), lambda: make(**fields))


def _made(kind: type[BaseModel], make: Callable[[], V]) -> V:
    """What is made; raises SpecError, in one line, where it cannot be. Packages with parts are imported
    only where a name is unknown without them.
    """
    try:
        return make()
    except ValidationError as error:
        if unknown_kind(error) is not None and use_entry_points():
            return _made(kind, make)
        raise refusal(error, kind) from None


class Value(BaseModel, metaclass=_OneLineErrors):
    """A frozen, validated value; unknown fields are errors, and equal values are one value.

    Types are strict: neither true nor "12" is a number; an integer where a float is wanted is one.
    Numbers are those that the device can hold: whole ones of int32; others 0, or between 1.18e-38 and
    3.4e38 in size, for a smaller one is 0 in float32 and a larger one infinite.
    Raises SpecError, in one line, for anything that is not a possible value.
    """

    names_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what something is called, and so decide no run's id."""
    source_digest: ClassVar[str] = ""
    """Of a kind that is not the package's, the digest of the text that defines it (`own_parts`)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, strict=True
    )

    def __repr__(self) -> str:
        """The expression that makes it, of what is not at its default."""
        told = {name: item for name, item in _told(self).items() if name not in _kinds_name(self)}
        return f"{type(self).__name__}({', '.join(f'{name}={item!r}' for name, item in told.items())})"

    def __str__(self) -> str:
        return repr(self)

    def __setattr__(self, name: str, value: Any) -> None:
        raise SpecError(f"{type(self).__name__}.{name} = {shown(value)}: {_instead(self, name)}")

    def __delattr__(self, name: str) -> None:
        raise SpecError(f"{type(self).__name__}.{name}: {_instead(self, name)}")

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """The value that plain data mean; raises SpecError, in one line."""
        read = super().model_validate
        return _made(cls, lambda: read(obj, **how))

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """The value that JSON means; raises SpecError, in one line."""
        read = super().model_validate_json
        return _made(cls, lambda: read(json_data, **how))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """This value with some fields replaced, validated anew; raises SpecError, in one line."""
        return type(self)(**{**dict(self), **update}) if update else super().model_copy(deep=deep)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, settings(self, defaults=False))

    def diff(self, other: Value) -> dict[str, tuple[Any, Any]]:
        """By dotted field, as in spec files, where the two differ: (of this, of that).

        A field that only one of them has is there where it is not at its default, with None for the
        other: two optimisers of different kinds differ in `optimiser.name` and in what was chosen of
        each. Empty where they are equal.

        >>> from undergrowth.schedules import Schedule
        >>> Schedule(every=10).diff(Schedule(every=20))
        {'every': (10, 20)}
        """
        mine, its = settings(self), settings(other)
        chosen = {*settings(self, defaults=False), *settings(other, defaults=False)}
        return {
            name: (mine.get(name), its.get(name))
            for name in {**mine, **its}
            if mine.get(name) != its.get(name) and (name in chosen or (name in mine and name in its))
        }

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


def unchecked(value: V, **fields: Any) -> V:
    """A value with fields replaced that are known to be possible, or are traced arrays.

    What was worked out of the value and lies beside its fields is not the other's, so it has none.
    """
    copied = BaseModel.model_copy(value, update=fields)
    for name in vars(copied).keys() - type(copied).model_fields.keys():
        del vars(copied)[name]
    return cast(V, copied)


def _instead(value: Value, field: str) -> str:
    copied = (
        f"replace({field}=...)"
        if hasattr(value, "replace")
        else f"model_copy(update={{{field!r}: ...}})"
    )
    return f"a value cannot be changed: {copied} makes another"


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
    for what is a name only; of a kind of one's own the text that defines it, too.

    A field that a later version adds thus leaves all earlier values what they were.
    """
    if isinstance(value, Value):
        told = _told(value)
        its = {name: essence(item) for name, item in told.items() if name not in value.names_only}
        return {**its, **_defined_by(type(value))}
    if isinstance(value, tuple):
        return [essence(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value  # -0.0 equals 0.0, so it is 0.0


def _defined_by(kind: type[Value]) -> dict[str, list[str]]:
    """The digests of what defines a kind, and those that it is made from; nothing for the package's."""
    if not kind.source_digest:
        return {}
    digests = dict.fromkeys(x for each in kind.__mro__ if (x := vars(each).get("source_digest")))
    return {"defined by": [*digests]}


def settings(value: Value, *, defaults: bool = True) -> dict[str, Any]:
    """The fields of a value by their dotted names, as in spec files; what is None or empty is not there.

    defaults: whether those at their defaults are there too.

    >>> from undergrowth.tasks import LeakyRandom
    >>> settings(LeakyRandom(frac_train=0.25))
    {'name': 'leaky_random', 'frac_train': 0.25}
    """
    fields = dict(value) if defaults else _told(value)
    return {
        ".".join(filter(None, (name, inner))): leaf
        for name, item in fields.items()
        for inner, leaf in _leaves(item, defaults)
    }


def settings_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The `settings` of a value from the plain data that it was dumped to, without making it.

    >>> from undergrowth.tasks import LeakyRandom
    >>> settings_in(LeakyRandom().model_dump(mode="json")) == settings(LeakyRandom())
    True
    """
    found: dict[str, Any] = {}
    _flatten(fields.items(), "", found)
    return found


def _flatten(items: Iterable[tuple[str, Any]], before: str, found: dict[str, Any]) -> None:
    for name, item in items:
        if isinstance(item, dict):
            _flatten(item.items(), f"{before}{name}.", found)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for position, each in enumerate(item):
                _flatten(each.items(), f"{before}{name}.{position}.", found)
        elif isinstance(item, list):
            if item:
                found[before + name] = _as_python_has_it(item)
        elif item is not None:
            found[before + name] = item


def _leaves(item: Any, defaults: bool) -> Iterator[tuple[str, Any]]:
    """What is in a field: its parts with their names within it, or itself with none."""
    if isinstance(item, Value):
        yield from settings(item, defaults=defaults).items()
    elif isinstance(item, tuple) and any(isinstance(each, Value) for each in item):
        for position, each in enumerate(item):
            for inner, leaf in _leaves(each, defaults):
                yield ".".join(filter(None, (str(position), inner))), leaf
    elif item is not None and item != ():
        yield "", item


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


def _kinds_name(value: Value) -> tuple[str, ...]:
    """The field that only says of which kind it is, as its class does."""
    field = type(value).model_fields.get("name")
    return ("name",) if field is not None and not field.is_required() else ()


def _told(value: Value) -> dict[str, Any]:
    """The name of a value, and the fields that are not at their defaults."""
    defaults = defaults_of(type(value))  # pyright: ignore[reportArgumentType] (a class, so it hashes)
    its = {name: getattr(value, name) for name in type(value).model_fields}
    return {
        name: item
        for name, item in its.items()
        if name == "name" or name not in defaults or item != defaults[name]
    }


@cache
def defaults_of(kind: type[Value]) -> dict[str, Any]:
    """The default of each field that has one: asked for once, for pydantic copies it each time."""
    return {
        name: field.get_default() for name, field in kind.model_fields.items() if not field.is_required()
    }
