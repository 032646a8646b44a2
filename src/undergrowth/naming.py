"""What runs are called beside one another: the name that was given, or in what they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from undergrowth.spec import RunSpec
from undergrowth.values import Value, in_brief

Names = Mapping[str, Sequence[str]]
"""The names that were given to runs, by run id."""

LONGEST = 60
"""Characters of a difference; what is longer is cut."""


def runs_told_apart(specs: Sequence[RunSpec], names: Names | None = None) -> dict[str, str]:
    """By run id: a line that says which run it is among these, its seed included.

    A given name comes first. Where two would read the same, what differs between them follows.

    >>> found = runs_told_apart([RunSpec(), RunSpec(optimiser={"lr": 0.01})])
    >>> list(found.values())
    ['x+y mod 53, seed 0, lr=0.002', 'x+y mod 53, seed 0, lr=0.01']
    """
    arms = _apart(specs, lambda spec: _head(spec, names), RunSpec.without_seeds)
    lines = {spec.id: ", ".join([_line(spec, names), *arms[spec.id][1:]]) for spec in specs}
    return _joined(_apart(specs, lambda spec: lines[spec.id], lambda spec: spec))


def arms_told_apart(specs: Sequence[RunSpec], names: Names | None = None) -> dict[str, str]:
    """By run id: what its arm is called among these; all seeds of an arm have one name.

    >>> found = arms_told_apart([RunSpec(), RunSpec(steps=9)], {RunSpec().id: ["long"]})
    >>> list(found.values())
    ['long', 'x+y mod 53']
    """
    return _joined(_apart(specs, lambda spec: _head(spec, names), RunSpec.without_seeds))


def _given(spec: RunSpec, names: Names | None) -> str:
    return ", ".join((names or {}).get(spec.id, ()))


def _head(spec: RunSpec, names: Names | None) -> str:
    labels = "" if spec.labels == "true" else f", {spec.labels} labels"
    return _given(spec, names) or spec.describe_arm() + labels


def _line(spec: RunSpec, names: Names | None) -> str:
    given = _given(spec, names)
    return f"{given}: {spec.describe()}" if given else spec.describe()


def _joined(parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {run_id: ", ".join(told) for run_id, told in parts.items()}


def _apart(
    specs: Sequence[RunSpec], head: Callable[[RunSpec], str], kind: Callable[[RunSpec], RunSpec]
) -> dict[str, list[str]]:
    """By run id: its head, and where kinds of runs share a head in what each differs from the others."""
    kinds = {spec.id: kind(spec) for spec in specs}
    by_head: dict[str, dict[str, RunSpec]] = {}
    for spec in specs:
        by_head.setdefault(head(spec), {})[kinds[spec.id].id] = kinds[spec.id]
    own: dict[tuple[str, str], list[str]] = {}
    for said, sharing in by_head.items():
        for each, told in zip(sharing, _told_apart(list(sharing.values())), strict=True):
            own[said, each] = told
    return {spec.id: [head(spec), *own[head(spec), kinds[spec.id].id]] for spec in specs}


def _told_apart(kinds: Sequence[RunSpec]) -> list[list[str]]:
    if len(kinds) == 1:
        return [[]]
    told = [[_cut(each) for each in found] for found in differences(kinds)]
    alike = [told.count(each) > 1 for each in told]
    return [
        [*each, f"id {kind.id[:8]}"] if same else each
        for kind, each, same in zip(kinds, told, alike, strict=True)
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def differences(values: Sequence[Value]) -> list[list[str]]:
    """In which fields values of one type differ: for each value its own, as name=value.

    >>> differences([RunSpec(), RunSpec(optimiser={"lr": 0.01})])
    [['lr=0.002'], ['lr=0.01']]
    """
    found: list[list[str]] = [[] for _ in values]
    for name in type(values[0]).model_fields:
        for told, more in zip(found, _of_field(name, [getattr(v, name) for v in values]), strict=True):
            told.extend(more)
    return found


def _of_field(name: str, items: Sequence[object]) -> list[list[str]]:
    if all(item == items[0] for item in items):
        return [[] for _ in items]
    inside = [item for item in items if isinstance(item, Value)]
    if len(inside) == len(items) and len({type(item) for item in inside}) == 1:
        return differences(inside)
    lists = [item for item in items if isinstance(item, tuple)]
    if len(lists) == len(items):
        shared = [each for each in chain.from_iterable(lists) if all(each in some for some in lists)]
        items = [tuple(each for each in some if each not in shared) for some in lists]
    return [[f"{name}={in_brief(item)}"] for item in items]
