"""Spec files: TOML for one run, or for many that share fields, for forks among them, and for grids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import tomli_w

from undergrowth.spec.grid import (
    SEEDS,
    Axis,
    Grid,
    Node,
    axis_of,
    check_each_value,
    checked_seeds,
    labels,
    merged,
    with_values,
)
from undergrowth.spec.presets import preset
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError, near, shown
from undergrowth.toml_text import parsed

IS_ID = re.compile(r"[0-9a-f]{16}")
IS_RANGE = re.compile(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*")
MOST_SEEDS = 10**6


@dataclass(frozen=True)
class SpecFile:
    """The runs of a spec file in its order, and the name that each has there, None without one."""

    runs: tuple[RunSpec, ...]
    names_in_order: tuple[str | None, ...]

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """By run id the names that it has; runs without one are left out."""
        found: dict[str, dict[str, None]] = {}
        for spec, name in zip(self.runs, self.names_in_order, strict=True):
            if name is not None:
                found.setdefault(spec.id, {})[name] = None
        return {run_id: tuple(names) for run_id, names in found.items()}

    def to_toml(self) -> str:
        """The file with every default in it; `read_file` gives an equal one back.

        A fork names its parent by id, which is what the parent's entry above it comes to.
        """
        if len(self.runs) == 1 and self.names_in_order == (None,):
            return self.runs[0].to_toml()
        entries = zip(self.names_in_order, self.runs, strict=True)
        return "\n".join(tomli_w.dumps({"runs": [_entry(name, spec)]}) for name, spec in entries)


def _entry(name: str | None, spec: RunSpec) -> dict[str, Any]:
    fields = spec.model_dump(mode="json", exclude_none=True)
    return fields if name is None else {"name": name, **fields}


def read_runs(text: str, seeds: int | Sequence[int] | None = None) -> tuple[RunSpec, ...]:
    """All runs of a spec file, as `read_file` has them."""
    return read_file(text, seeds).runs


def read_file(text: str, seeds: int | Sequence[int] | None = None) -> SpecFile:
    """A spec file, every run of it made; with `seeds` each run for each of them, n of them from 0 on.

    A file gives the fields of one run; or `[[runs]]`, each with the fields in which it differs from
    those at the top; `preset = "..."` at the top gives all others. A run may have a `name`, and a later
    one `fork.of = "that name"`: it then starts from that run's fields, and its interventions come after
    that run's. The order of independent runs means nothing.

    `[sweep]` has lists of values by field: each of the runs is there for every way to choose from them.
    What stands in a `[[sweep.zip]]` is varied together. `seeds = "100-115"` varies all three seeds. A
    `[runs.sweep]` varies fields of that run, and forks of it are forks of each.

    Raises SpecError, in one line, for anything that is not a complete and possible file.
    """
    grid = read_grid(text, seeds)
    return SpecFile(tuple(grid), tuple(grid.name(index) for index in range(len(grid))))


def read_grid(text: str, seeds: int | Sequence[int] | None = None) -> Grid:
    """The runs of a spec file as `read_file` has them, each made when it is asked for.

    Raises SpecError as it does, for each value beside the first of all others.
    """
    try:
        fields = parsed(text)
    except ValueError as error:
        raise SpecError(str(error)) from None
    entries, base = fields.pop("runs", None), fields.pop("preset", None)
    axes, its_seeds = _varied(fields.pop("sweep", {}), "sweep")
    if seeds is not None:
        its_seeds = range(seeds) if isinstance(seeds, int) else seeds
    if base is not None:
        fields = merged(preset(base).model_dump(mode="json", exclude_none=True), fields)
    if entries is None:
        nodes = _nodes([{}], fields, is_list=False)
    elif not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SpecError("runs: not a list of tables: write each run under its own [[runs]] line")
    elif not entries:
        raise SpecError("runs = []: no run in it: write each run under its own [[runs]] line")
    else:
        nodes = _nodes(entries, fields)
    found = Grid(fields, nodes, axes, None if its_seeds is None else checked_seeds(its_seeds))
    check_each_value(found)
    _check_names(found)
    return found


def seed_range(text: str) -> range | None:
    """The seeds that '100-115' means, the last among them; None where it is no such range."""
    found = IS_RANGE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return range(first, last + 1) if first <= last < 2**31 and last - first < MOST_SEEDS else None


def _varied(table: Any, place: str) -> tuple[list[Axis], Sequence[int] | None]:
    """The axes of a `[sweep]`, and the seeds where it has some."""
    if not isinstance(table, dict):
        raise SpecError(f"{place} = {shown(table)}: not a table: write [{place}] above the fields")
    table = dict(table)
    groups, seeds = table.pop("zip", []), None
    axes: list[Axis] = []
    for field, values in _leaves(table, ""):
        if field == SEEDS:
            seeds = _seeds(values, place)
        else:
            axes.append(_axis(field, values, place))
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise SpecError(f"{place}.zip: not a list of tables: write [[{place}.zip]] above the fields")
    for position, group in enumerate(groups):
        axes.append(_zipped(dict(_leaves(group, "")), f"{place}.zip.{position}"))
    named = [field for axis in axes for field in axis.fields]
    if twice := [field for field in named if named.count(field) > 1]:
        raise SpecError(f"{place}: {twice[0]} is varied twice: leave it out of one of them")
    return axes, seeds


def _leaves(table: Mapping[str, Any], within: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def _axis(field: str, values: Any, place: str) -> Axis:
    try:
        return axis_of(field, values)
    except SpecError as error:
        raise SpecError(f"{place}.{error}") from None


def _seeds(given: Any, place: str) -> Sequence[int]:
    found = seed_range(given) if isinstance(given, str) else given
    if not isinstance(found, list | range):
        raise SpecError(
            f'{place}.seeds = {shown(given)}: neither a range nor a list of seeds: write "100-115", the '
            "last among them, or [0, 1, 2]"
        )
    return found


def _zipped(group: Mapping[str, Any], place: str) -> Axis:
    """Fields varied together: as many values of each."""
    if not group:
        raise SpecError(f"{place}: no field in it: write fields with lists of values below it")
    if SEEDS in group:
        group = dict(group)
        seeds = list(_seeds(group.pop(SEEDS), place))
        group |= {f"{SEEDS}.{one}": seeds for one in ("model", "data", "noise")}
    for field, values in group.items():
        _axis(field, values, place)
    lengths = {field: len(values) for field, values in group.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{field} has {n}" for field, n in lengths.items())
        raise SpecError(f"{place}: fields are varied together, but {told}: give as many values of each")
    return axis_of(tuple(group), list(zip(*group.values(), strict=True)))


def _nodes(
    entries: Sequence[dict[str, Any]], shared: Mapping[str, Any], is_list: bool = True
) -> list[Node]:
    """The runs of a point: entries, each for all that it varies itself and each run it forks from.

    is_list: whether they are the `[[runs]]` of the file, and an error says which.
    """
    names = _names(entries)
    found: list[Node] = []
    named: dict[str, list[int]] = {}
    for position, entry in enumerate(entries):
        place = f"runs.{position}: " if is_list else ""
        try:
            own = {key: value for key, value in entry.items() if key not in ("name", "sweep")}
            parents = _parents(own, shared, named, names)
            variants = list(_variants(own, entry.get("sweep", {})))
        except SpecError as error:
            raise SpecError(f"{place}{error}") from None
        for parent in parents:
            for fields, varied in variants:
                above = None if parent is None else found[parent].name
                name = ", ".join(filter(None, (names[position], _its_own(above, names), varied)))
                found.append(Node(fields, parent, name or None, place))
                if names[position] is not None:
                    named.setdefault(names[position], []).append(len(found) - 1)
    return found


def _its_own(name: str | None, names: Sequence[Any]) -> str:
    """What the name of a run has beside the one that its entry gives."""
    if name is None or name in names:
        return ""
    given = next((each for each in names if each is not None and name.startswith(f"{each}, ")), None)
    return name if given is None else name.removeprefix(f"{given}, ")


def _variants(own: dict[str, Any], table: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """An entry for every way to choose from what it varies itself, and what was chosen in words."""
    axes, seeds = _varied(table, "sweep")
    if seeds is not None:
        raise SpecError(
            "sweep.seeds: seeds are varied for all runs of a file, so that forks have their trunk's: "
            "write it in the [sweep] at the top, or vary sweep.seeds.noise of a fork"
        )
    told = labels(axes)
    for point in product(*(range(len(axis.values)) for axis in axes)):
        chosen = [
            pair
            for axis, at in zip(axes, point, strict=True)
            for pair in zip(axis.fields, axis.values[at], strict=True)
        ]
        varied = ", ".join(its[at] for its, at in zip(told, point, strict=True))
        yield dict(with_values(own, chosen)), varied


def _names(entries: Sequence[dict[str, Any]]) -> list[Any]:
    """The name of each entry, None where it has none."""
    names = [entry.get("name") for entry in entries]
    for position, name in enumerate(names):
        if name is not None and (not isinstance(name, str) or not name):
            raise SpecError(f"runs.{position}: name = {shown(name)}: not a name: write it in quotes")
    return names


def _check_names(grid: Grid) -> None:
    """Raise SpecError where runs of one point have one name and differ in more than their seeds."""
    first: dict[str, RunSpec] = {}
    for node, spec in zip(grid.nodes, grid.at(range(len(grid.nodes))), strict=True):
        if node.name is None:
            continue
        other = first.setdefault(node.name, spec)
        if other is not spec and (other == spec or other.without_seeds() != spec.without_seeds()):
            raise SpecError(
                f"{node.place}name = {shown(node.name)}: an earlier run has that name: choose another"
            )


def _parents(
    own: dict[str, Any],
    shared: Mapping[str, Any],
    named: Mapping[str, list[int]],
    names: Sequence[Any],
) -> Sequence[int | None]:
    """The nodes that an entry forks from; a node of none where it names none above it."""
    fork = own.get("fork", shared.get("fork"))
    of = fork.get("of") if isinstance(fork, dict) else None
    if not isinstance(of, str) or (of not in named and IS_ID.fullmatch(of)):
        return [None]
    if of in named and list(names).count(of) > 1:
        raise SpecError(
            f"fork.of = {shown(of)}: several runs have that name: give them names of their own"
        )
    if of in named:
        own["fork"] = fork
        return named[of]
    if of in names:
        raise SpecError(f"fork.of = {shown(of)}: that run is not above this one: move it up")
    known = f"; runs above: {', '.join(list(named)[:9])}" if named else "; no run above it has a name"
    hint = near(of, named) or known[:200]
    raise SpecError(
        f"fork.of = {shown(of)}: neither the name of a run above nor the id of a stored run{hint}"
    )
