"""Grids: the runs that a spec file or a few lines of Python describe by what is varied, one by one.

A grid is nodes times points. A point chooses a seed and one value of everything varied; the nodes are
the runs of one point: the file's entries, each with what it varies itself, and forks of those above.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeGuard, TypeVar

from undergrowth.spec.grid_ids import ids_by_point
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError, shown
from undergrowth.values import Value, in_brief

T = TypeVar("T")

SEEDS = "seeds"
"""What stands for all three seeds of a run at once, where it is varied."""

Point = tuple[int, ...]
"""Which seed, and of each axis which value."""


@dataclass(frozen=True)
class Axis:
    """Fields that are varied together.

    fields: by their dotted names, as in spec files; values: one row for each step along the axis, with a
    value for each field.
    """

    fields: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        told = " and ".join(self.fields)
        if not self.values:
            raise SpecError(f"{told} = []: no value to vary over: give at least one")
        seen: set[Any] = set()
        for row in self.values:
            key = tuple((type(value), _hashable(value)) for value in row)
            if key in seen:
                raise SpecError(f"{told}: {shown(row[0])} is there twice: give each value once")
            seen.add(key)


@dataclass(frozen=True)
class Node:
    """A run of every point.

    own: the fields in which it differs from what all share; parent: the position of the node that it
    forks from, None where it forks from none of them; name: what it is called; place: where it stands.
    """

    own: Mapping[str, Any]
    parent: int | None = None
    name: str | None = None
    place: str = ""


class Grid(Sequence[RunSpec]):
    """Runs in a fixed order, each made when it is asked for: seed by seed, what was named last varied
    fastest, the forks of a point after their trunks.

    shared: plain fields of all runs; seeds: each sets all three seeds of a run; None leaves them as they
    are. A run that cannot be raises SpecError when it is made; each value by itself was tried before.
    """

    def __init__(
        self,
        shared: Mapping[str, Any],
        nodes: Sequence[Node],
        axes: Sequence[Axis],
        seeds: Sequence[int] | None,
    ) -> None:
        self.above: Sequence[int | None] = [node.parent for node in nodes]
        self.shared, self.nodes, self.axes, self.seeds = shared, nodes, axes, seeds
        self.lengths: Point = (1 if seeds is None else len(seeds), *(len(axis.values) for axis in axes))
        self._labels = labels(axes)

    def __len__(self) -> int:
        return prod(self.lengths) * len(self.nodes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self.at(range(*index.indices(len(self)))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"run {index} of a grid of {len(self)}")
        return next(self.at([index % len(self)]))

    def __iter__(self) -> Iterator[RunSpec]:
        for point in self.points():
            yield from self.made(point)

    def __repr__(self) -> str:
        varied = [f"{' and '.join(axis.fields)} ({len(axis.values)})" for axis in self.axes]
        seeds = [] if self.seeds is None else [f"seeds ({len(self.seeds)})"]
        return f"Grid({len(self)} runs: {', '.join([*varied, *seeds]) or 'nothing varied'})"

    def at(self, indices: Sequence[int]) -> Iterator[RunSpec]:
        """The runs at some positions; those of one point that follow each other are made together."""
        made: tuple[int, list[RunSpec]] = (-1, [])
        for index in indices:
            number, node = divmod(index, len(self.nodes))
            if made[0] != number:
                made = number, self.made(_point(number, self.lengths))
            yield made[1][node]

    def name(self, index: int) -> str | None:
        """What the run at a position is called: its name in the file and what was varied, but seeds."""
        number, node = divmod(index, len(self.nodes))
        return self._name(_point(number, self.lengths), self.nodes[node])

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """By run id the names that it has; runs without one are left out."""
        found: dict[str, dict[str, None]] = {}
        for index, run_id in enumerate(self.ids()):
            if (name := self.name(index)) is not None:
                found.setdefault(run_id, {})[name] = None
        return {run_id: tuple(names) for run_id, names in found.items()}

    def ids(self) -> Iterator[str]:
        """The id of each run, in some microseconds each: no run is made for it."""
        for ids in ids_by_point(self):
            yield from ids

    def parents(self) -> Iterator[tuple[str, str | None]]:
        """The id of each run, and of the run of this grid that it forks from; as fast as `ids`."""
        for ids in ids_by_point(self):
            for run_id, up in zip(ids, self.above, strict=True):
                yield run_id, None if up is None else ids[up]

    def tabulated(self, of: Callable[[RunSpec], T], fields: Collection[str]) -> Iterator[T]:
        """A function of each run that looks at some fields only (and those of its fork), computed once
        for each way to choose these.
        """
        positions = [i for i, touched in enumerate(self.touched()) if touched.intersection(fields)]
        found: dict[Point, list[T]] = {}
        for point in self.points():
            key = tuple(point[i] for i in positions)
            if key not in found:
                found[key] = [of(spec) for spec in self.made(point)]
            yield from found[key]

    def points(self) -> Iterator[Point]:
        """All points in their order."""
        return product(*map(range, self.lengths))

    def touched(self) -> list[set[str]]:
        """By position in a point, the top fields of a run that it decides."""
        return [{SEEDS}, *({field.split(".")[0] for field in axis.fields} for axis in self.axes)]

    def _name(self, point: Point, node: Node) -> str | None:
        varied = [its[at] for its, at in zip(self._labels, point[1:], strict=True) if its[at]]
        return ", ".join(filter(None, [node.name, *varied])) or None

    def made(self, point: Point) -> list[RunSpec]:
        """The runs of a point."""
        rows = [axis.values[at] for axis, at in zip(self.axes, point[1:], strict=True)]
        pairs = zip(self.axes, rows, strict=True)
        chosen = [put for axis, row in pairs for put in zip(axis.fields, row, strict=True)]
        shared = with_values(self.shared, chosen)
        seed = None if self.seeds is None else self.seeds[point[0]]
        made: list[RunSpec] = []
        for node in self.nodes:
            try:
                made.append(
                    _root(shared, node.own, chosen, seed)
                    if node.parent is None
                    else _fork(made[node.parent], node.own)
                )
            except SpecError as error:
                varied = self._name(point, Node({}))
                raise SpecError(f"{node.place}{f'at {varied}: ' if varied else ''}{error}") from None
        return made


def _hashable(value: Any) -> Any:
    """What is equal where values of a spec file are, and can be in a set."""
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value


def _point(number: int, lengths: Sequence[int]) -> Point:
    """The point of that number, the last position counting fastest."""
    found: list[int] = []
    for length in reversed(lengths):
        number, at = divmod(number, length)
        found.append(at)
    return tuple(reversed(found))


def grid(
    spec: RunSpec,
    varied: Mapping[str | tuple[str, ...], Sequence[Any]] | None = None,
    *,
    seeds: Sequence[int] | None = None,
) -> Grid:
    """The runs that differ from `spec` in all ways to choose from `varied`, for each seed.

    varied: by dotted field, as in spec files, its values; or by several fields a row of values for each
    step, which are varied together (zipped). seeds: each sets all three seeds. What is named first is
    varied slowest, but for seeds, which are slower still.

    Nothing is trained, and no run is made before it is asked for: the grid is a sequence of RunSpecs
    that `train` takes, with the ids (`.ids()`) and names (`.names`) of all. Raises SpecError, in one
    line, where a field or a value is not possible.

    >>> runs = grid(RunSpec(), {"optimiser.lr": [1e-3, 3e-3]}, seeds=range(100, 103))
    >>> len(runs), runs[1].optimiser.lr, runs.name(1)
    (6, 0.003, 'lr=0.003')
    """
    axes = [axis_of(fields, values) for fields, values in (varied or {}).items()]
    shared = spec.model_dump(mode="json", exclude_none=True)
    found = Grid(shared, [Node({})], axes, None if seeds is None else checked_seeds(seeds))
    check_each_value(found)
    return found


def axis_of(fields: str | Sequence[str], values: Any) -> Axis:
    """An axis from a field and its values, or from several and rows of values.

    Raises SpecError where the values are no list, or a row has too few or too many.
    """
    one = isinstance(fields, str)
    named = (fields,) if isinstance(fields, str) else tuple(fields)
    if isinstance(values, str | bytes | Mapping | Value) or not hasattr(values, "__iter__"):
        raise SpecError(
            f"{' and '.join(named)} = {shown(values)}: not a list of values to vary over: write "
            "several, in brackets"
        )
    rows = [(value,) if one else tuple(value) for value in values]
    if uneven := [row for row in rows if len(row) != len(named)]:
        raise SpecError(
            f"{' and '.join(named)}: {shown(uneven[0])} has {len(uneven[0])} values for {len(named)} "
            "fields: give each row one for each field"
        )
    return Axis(named, tuple(rows))


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds; raises SpecError where one is none, or there twice."""
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise SpecError(f"seeds: {shown(seed)} is no seed: give whole numbers from 0 to 2147483647")
    if not seeds:
        raise SpecError("seeds = []: no seed to train with: give at least one")
    if len(set(seeds)) != len(seeds):
        raise SpecError("seeds: one of them is there twice: give each once")
    return tuple(seeds)


def check_each_value(of: Grid) -> None:
    """Raise SpecError, in one line, where a value is not possible beside the first of all others."""
    first = (0,) * len(of.lengths)
    of.made(first)
    for position, length in list(enumerate(of.lengths))[1:]:
        for at in range(1, length):
            of.made((*first[:position], at, *first[position + 1 :]))


def labels(axes: Sequence[Axis]) -> list[list[str]]:
    """Of each axis, what each of its values adds to the name of a run.

    A field is called by the last part of its name where no other that is varied ends so.
    """
    ends = [field.split(".")[-1] for axis in axes for field in axis.fields]
    found: list[list[str]] = []
    for axis in axes:
        called = [
            field if ends.count(field.split(".")[-1]) > 1 else field.split(".")[-1]
            for field in axis.fields
        ]
        told = [tuple(_brief(value) for value in row) for row in axis.values]
        if len(set(told)) < len(told):
            told = [tuple(str(value) for value in row) for row in axis.values]
        found.append([", ".join(f"{n}={t}" for n, t in zip(called, row, strict=True)) for row in told])
    return found


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        rest = [f"{key}={_brief(item)}" for key, item in value.items() if key != "name"]
        return " ".join([*([str(value["name"])] if "name" in value else []), *rest])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_brief, value))}]"
    return in_brief(value)


def with_values(fields: Mapping[str, Any], chosen: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    """Plain fields with some values laid upon them, a whole table before what is within it."""
    for dotted, value in sorted(chosen, key=lambda each: each[0].count(".")):
        try:
            fields = _put(fields, dotted.split("."), value)
        except LookupError as error:
            raise SpecError(f"{dotted}: {error.args[0]}") from None
    return fields


def _put(below: Any, path: Sequence[str], value: Any) -> Any:
    """What was there with a value at a path within it; raises LookupError where no path leads there."""
    if not path:
        return merged(below, value) if _is_of_kind(value, below, "") else value
    head, *rest = path
    if isinstance(below, list | tuple):
        if not head.isdecimal() or int(head) >= len(below):
            raise LookupError(f"there are {len(below)} of these, and no {shown(head)}: count from 0")
        return [_put(item, rest, value) if i == int(head) else item for i, item in enumerate(below)]
    fields = dict(below) if isinstance(below, Mapping | Value) else {} if below is None else None
    if fields is None:
        raise LookupError(f"{shown(below)} has no {head!r} within it: vary the whole of it")
    if not rest:
        return merged(fields, {head: value})
    return {**fields, head: _put(fields.get(head), rest, value)}


def _root(
    shared: Mapping[str, Any],
    own: Mapping[str, Any],
    chosen: Sequence[tuple[str, Any]],
    seed: int | None,
) -> RunSpec:
    """A run that forks from none of the grid."""
    fields = merged(shared, own)
    for dotted, value in chosen:
        if not isinstance(value, Mapping) and not _same(_found(fields, dotted.split(".")), value):
            raise SpecError(
                f"{dotted} is varied for all runs, and this one sets it too, or another kind in its "
                "place: leave it out here, or vary it in the runs that have it ([runs.sweep])"
            )
    spec = RunSpec.from_dict(fields)
    return spec if seed is None else spec.seeded(seed)


def _found(fields: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(fields, list | tuple):
            fields = fields[int(part)] if part.isdecimal() and int(part) < len(fields) else None
        else:
            fields = dict(fields).get(part) if isinstance(fields, Mapping | Value) else None
    return fields


def _same(this: Any, that: Any) -> bool:
    return type(this) is type(that) and this == that


def _fork(parent: RunSpec, entry: Mapping[str, Any]) -> RunSpec:
    """A run that forks from another of the grid."""
    own = entry.get("interventions", [])
    inherited = parent.model_dump(mode="json", exclude_none=True)
    return RunSpec.from_dict(
        {
            **merged(inherited, entry),
            "fork": {**entry["fork"], "of": parent.id},
            "interventions": [*inherited["interventions"], *own] if isinstance(own, list) else own,
        }
    )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, table by table; a table of another kind takes the place of the whole."""
    found = dict(base)
    for key, value in over.items():
        below: Any = found.get(key)
        found[key] = merged(below, value) if _is_of_kind(value, below, key) else value
    return found


def _is_of_kind(value: Any, below: Any, key: str) -> TypeGuard[Mapping[str, Any]]:
    """Whether a table says more of what another describes, rather than naming another kind."""
    if not (isinstance(below, Mapping) and isinstance(value, Mapping)):
        return False
    field = RunSpec.model_fields.get(key)
    kind = below.get("name", getattr(field and field.default, "name", None))
    return value.get("name", kind) == kind
