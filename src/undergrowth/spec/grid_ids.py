"""The ids of a grid's runs, some microseconds each, without making the runs.

An id is the hash of a run's essence as JSON. Of this a top field's text depends only on what is varied
within that field: so all texts are made once, and put together for every point.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from undergrowth.rng import Seeds
from undergrowth.spec.run import FORMAT, RunSpec
from undergrowth.values import defaults_of, essence

_DEFAULTS = defaults_of(RunSpec)  # pyright: ignore[reportArgumentType] (a class, so it hashes)
PARENT = "\0"
"""Stands for the parent's id in a text: no JSON has it."""


class Points(Protocol):
    """What of a grid its ids follow from; a `Grid` is one.

    lengths: how many choices each position of a point has; seeds: None where the first has none; above:
    of each run of a point, the position of the one that it forks from.
    """

    lengths: tuple[int, ...]
    seeds: Sequence[int] | None
    above: Sequence[int | None]

    def points(self) -> Iterator[tuple[int, ...]]: ...
    def touched(self) -> list[set[str]]: ...
    def made(self, point: tuple[int, ...]) -> list[RunSpec]: ...


@dataclass(frozen=True)
class _Cluster:
    """positions: of a point, those that decide the same fields; fields: these."""

    positions: tuple[int, ...]
    fields: tuple[str, ...]


Slot = str | tuple[int, int]
"""A text that is always the same; or where it is found: the cluster, and the field's place in it."""


def ids_by_point(grid: Points) -> Iterator[list[str]]:
    """The ids of the runs of each point, in the order of points and nodes."""
    clusters = _clusters(grid)
    texts = [_texts_of(grid, cluster) for cluster in clusters]
    slots = _slots(grid, clusters)
    for point in grid.points():
        chosen = [
            of[tuple([point[i] for i in cluster.positions])]
            for cluster, of in zip(clusters, texts, strict=True)
        ]
        ids: list[str] = []
        for j, up in enumerate(grid.above):
            parts = [slot if isinstance(slot, str) else chosen[slot[0]][j][slot[1]] for slot in slots[j]]
            text = ", ".join([part for part in parts if part])
            if up is not None:
                text = text.replace(PARENT, ids[up], 1)
            ids.append(hashlib.sha256(f"[{FORMAT}, {{{text}}}]".encode()).hexdigest()[:16])
        yield ids


def _clusters(grid: Points) -> list[_Cluster]:
    found: list[tuple[set[int], set[str]]] = []
    for position, touched in enumerate(grid.touched()):
        if position == 0 and grid.seeds is None:
            continue
        positions, fields = {position}, set(touched)
        for cluster in [each for each in found if each[1] & touched]:
            found.remove(cluster)
            positions |= cluster[0]
            fields |= cluster[1]
        found.append((positions, fields))
    return [
        _Cluster(tuple(sorted(positions)), tuple(sorted(fields & set(RunSpec.model_fields))))
        for positions, fields in found
    ]


def _texts_of(grid: Points, cluster: _Cluster) -> dict[tuple[int, ...], list[list[str]]]:
    """By what is chosen in a cluster: of each node, the texts of its fields."""
    if cluster == _Cluster((0,), ("seeds",)) and _seeds_alone_decide(grid):
        plain = (_text("seeds", Seeds.of(seed)) for seed in grid.seeds or ())
        return {(at,): [[text]] * len(grid.above) for at, text in enumerate(plain)}
    found: dict[tuple[int, ...], list[list[str]]] = {}
    for choice in product(*(range(grid.lengths[i]) for i in cluster.positions)):
        at = dict(zip(cluster.positions, choice, strict=True))
        made = grid.made(tuple(at.get(i, 0) for i in range(len(grid.lengths))))
        found[choice] = _texts(grid, made, cluster.fields)
    return found


def _seeds_alone_decide(grid: Points) -> bool:
    """Whether every run has the seed of its point for all three; a fork may have been given one of its
    own, which equals that of one point, but not of two.
    """
    return all(
        spec.seeds == Seeds.of(seed)
        for at, seed in enumerate((grid.seeds or ())[:2])
        for spec in grid.made((at, *(0 for _ in grid.lengths[1:])))
    )


def _texts(grid: Points, made: Sequence[RunSpec], fields: Sequence[str]) -> list[list[str]]:
    return [
        [_text(field, getattr(spec, field), forks=up is not None) for field in fields]
        for up, spec in zip(grid.above, made, strict=True)
    ]


def _slots(grid: Points, clusters: Sequence[_Cluster]) -> list[list[Slot]]:
    """Of each node, what its JSON is made of, in the order of fields."""
    fields = sorted(RunSpec.model_fields)
    always = _texts(grid, grid.made((0,) * len(grid.lengths)), fields)
    varied: dict[str, Slot] = {
        field: (c, i) for c, cluster in enumerate(clusters) for i, field in enumerate(cluster.fields)
    }
    found = [
        [varied.get(field, text) for field, text in zip(fields, texts, strict=True)] for texts in always
    ]
    return [[slot for slot in slots if slot] for slots in found]


def _text(field: str, value: Any, *, forks: bool = False) -> str:
    """What a field adds to the JSON of a run's essence; nothing where it is at its default.

    forks: whether the run forks from one of the same point, whose id is filled in later.
    """
    if value == _DEFAULTS.get(field):
        return ""
    told = json.dumps(essence(value), sort_keys=True)
    if forks and field == "fork":
        told = told.replace(f'"{value.of}"', f'"{PARENT}"')
    return f'"{field}": {told}'
