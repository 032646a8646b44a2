"""Shards: the runs of a sweep dealt out, the same way wherever it is asked, forks with their trunks."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from math import prod
from typing import Any

import jax

from undergrowth.spec import RunSpec
from undergrowth.tasks import Tokens

COSTLY = ("task", "model", "optimiser", "batch", "steps", "fork", "measures")
"""Fields of a spec that `cost` looks at."""

PER_UPDATE = 10**6
"""What an update costs beside its products, in multiplications: for tiny networks most of it."""


def cost(spec: RunSpec) -> float:
    """What a run costs beside others, in multiplications of its updates: examples times parameters.

    Good enough to deal out runs; measures are not counted.
    """
    first = getattr(spec.fork.at, "step", 0) if spec.fork else 0
    space = spec.task.input_space
    every = space.n_operands**2 if isinstance(space, Tokens) else 10**3
    examples = spec.batch.batch_size or every
    parameters = _parameters(spec)
    return (spec.steps - first) * (examples * parameters + PER_UPDATE)


def _parameters(spec: RunSpec) -> int:
    leaves: list[Any] = jax.tree.leaves(spec.blank_model())
    return sum(prod(leaf.shape) for leaf in leaves)


def dealt(runs: Iterable[tuple[str, str | None, float]], which: int, of: int) -> list[int]:
    """The positions of the runs of shard `which` (from 1 to `of`), in their order.

    runs: each with its id, that of the run of these that it forks from, and its cost. A fork is where
    its trunk is. The costliest family goes first, each to the shard that has the least: no shard exceeds
    the mean by more than the costliest family.
    """
    root: dict[str, int] = {}
    families: list[tuple[float, list[int]]] = []
    later: list[tuple[int, str, str, float]] = []
    for position, (run_id, parent, weight) in enumerate(runs):
        if run_id in root:
            families[root[run_id]][1].append(position)
        elif parent is None or parent in root:
            _join(run_id, parent, position, weight, root, families)
        else:
            later.append((position, run_id, parent, weight))
    while later:  # forks that stand before their trunks
        known = [each for each in later if each[2] in root]
        if not known:
            known = [(position, run_id, "", weight) for position, run_id, _, weight in later[:1]]
        taken = {position for position, *_ in known}
        for position, run_id, parent, weight in known:
            _join(run_id, parent or None, position, weight, root, families)
        later = [each for each in later if each[0] not in taken]
    loads = [(0.0, shard) for shard in range(1, of + 1)]
    mine: list[int] = []
    for weight, members in sorted(families, key=lambda family: (-family[0], family[1][0])):
        load, shard = heapq.heappop(loads)
        heapq.heappush(loads, (load + weight, shard))
        if shard == which:
            mine += members
    return sorted(mine)


def _join(
    run_id: str,
    parent: str | None,
    position: int,
    weight: float,
    root: dict[str, int],
    families: list[tuple[float, list[int]]],
) -> None:
    if parent is None:
        root[run_id] = len(families)
        families.append((weight, [position]))
        return
    family = root[run_id] = root[parent]
    families[family] = families[family][0] + weight, families[family][1]
    families[family][1].append(position)
