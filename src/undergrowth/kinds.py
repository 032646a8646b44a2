"""Kinds: the named alternatives of which a spec takes one, and those that are added to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from undergrowth.spec_errors import OPEN, SpecError, schema_of, shown

Kind = type[BaseModel]


class OneOf:
    """Marks a union of kinds, told apart by their `name`, as one to which others may be added.

    `AnyTask = Annotated[Modular | Group, OneOf(Task)]` takes any kind of task that is added, too.

    base: what all of them are; what: what to call one of them; added: by name, those that were added.
    """

    all: list[OneOf] = []  # noqa: RUF012 (of the class)

    def __init__(self, base: Kind, what: str) -> None:
        self.base, self.what = base, what
        self.added: dict[str, Kind] = {}
        OneOf.all.append(self)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = Union[(source, *self.added.values())]
        return handler.generate_schema(Annotated[kinds, Field(discriminator="name")])

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core_schema), OPEN: True}


def added_to(union: Any) -> dict[str, Any]:
    """By name the kinds that were added to a union that is marked with `OneOf`."""
    return dict(get_args(union)[1].added)


_on_change: list[Callable[[], object]] = [schema_of.cache_clear]


def when_kinds_change(forget: Callable[[], object]) -> None:
    """Have a function called whenever kinds were added or taken away: one that forgets what was
    derived from them.
    """
    _on_change.append(forget)


def change(taken_away: Iterable[Kind], added: Iterable[Kind]) -> None:
    """Add kinds to the unions that they belong to, and take others away that were added before.

    Raises SpecError, in one line, and changes nothing, where one has no name of its own, lacks what all
    kinds of its union have, or has a name that is taken.
    """
    before = {mark: dict(mark.added) for mark in OneOf.all}
    for mark in OneOf.all:
        gone = [name for name, kind in mark.added.items() if kind in taken_away]
        for name in gone:
            del mark.added[name]
    try:
        for kind in added:
            mark = union_of(kind)
            assert mark is not None
            name = _named(kind, mark)
            _check_it_is_free(kind, name, mark)
            mark.added[name] = kind
    except SpecError:
        for mark, kinds in before.items():
            mark.added.clear()
            mark.added.update(kinds)
        raise
    changed = {mark for mark in OneOf.all if mark.added != before[mark]}
    if changed:
        _rebuild(changed)
        for forget in _on_change:
            forget()


def union_of(kind: object) -> OneOf | None:
    """The union that a class is a kind of; None for one that is of none, or is not complete and has no
    name: others are to be made of it.
    """
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        return None
    mark = next((mark for mark in OneOf.all if issubclass(kind, mark.base)), None)
    is_for_others = inspect.isabstract(kind) and "name" not in kind.model_fields
    return None if mark is None or kind is mark.base or is_for_others else mark


def where_written(kind: Kind) -> str:
    """The file and the line of a class, for a message."""
    try:
        file, (_, line) = inspect.getsourcefile(kind), inspect.getsourcelines(kind)
    except (OSError, TypeError):
        return kind.__module__
    return f"{file}, line {line}"


def _named(kind: Kind, mark: OneOf) -> str:
    """The name of a kind; raises SpecError where it has none or is not complete."""
    field = kind.model_fields.get("name")
    names = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    if len(names) != 1 or field is None or field.default != names[0] or not isinstance(names[0], str):
        own = kind.__name__.lower()
        raise SpecError(
            f"{where_written(kind)}: the {mark.what} {kind.__name__} has no name: write "
            f'name: Literal["{own}"] = "{own}" into it'
        )
    if not kind.__pydantic_complete__ and not kind.model_rebuild(raise_errors=False):
        raise SpecError(
            f"{where_written(kind)}: the {mark.what} {names[0]!r} has fields of types that it lacks: "
            "define or import them in that file"
        )
    if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
        raise SpecError(
            f"{where_written(kind)}: the {mark.what} {names[0]!r} lacks {', '.join(lacking)}, as every "
            f"{mark.what} has: write {'it' if len(lacking) == 1 else 'them'}"
        )
    return names[0]


def _check_it_is_free(kind: Kind, name: str, mark: OneOf) -> None:
    other = mark.added.get(name) or _packages_own(mark).get(name)
    if other not in (None, kind):
        whose = where_written(other) if name in mark.added else "the package"
        raise SpecError(
            f"{where_written(kind)}: name = {shown(name)}: {whose} has a {mark.what} of that name: give "
            "this one another"
        )


def _packages_own(mark: OneOf) -> dict[str, Kind]:
    """The kinds of a union that were not added."""
    return {
        kind.model_fields["name"].default: kind
        for kind in _all_models(mark.base)
        if kind.__module__.startswith("undergrowth.") and "name" in kind.model_fields
    }


def _all_models(base: Kind) -> Iterator[Kind]:
    for kind in base.__subclasses__():
        yield kind
        yield from _all_models(kind)


def _rebuild(changed: set[OneOf]) -> None:
    """Have every model read anew what its fields may be that takes a kind of a changed union, those
    within others first.
    """
    done: dict[Kind, bool] = {}

    def is_concerned(kind: Kind) -> bool:
        if kind not in done:
            done[kind] = False  # while it is looked at: it may contain itself
            parts = [
                part
                for field in kind.model_fields.values()
                for part in (*_parts(field.annotation), *field.metadata)
            ]
            within = [x for part in parts for x in _models_in(part)]
            concerned = [is_concerned(each) for each in within]
            done[kind] = any(concerned) or any(
                isinstance(part, OneOf) and part in changed for part in parts
            )
            if done[kind]:
                kind.model_rebuild(force=True)
        return done[kind]

    for kind in list(_all_models(BaseModel)):
        is_concerned(kind)


def _parts(annotation: object) -> Iterator[object]:
    """A type, and those that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _models_in(part: object) -> Iterable[Kind]:
    if isinstance(part, OneOf):
        return tuple(part.added.values())
    return (part,) if isinstance(part, type) and issubclass(part, BaseModel) else ()
