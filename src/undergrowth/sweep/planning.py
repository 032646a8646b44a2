"""A plan: which runs of a sweep are still to be trained, and which of these are one shard's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from undergrowth.spec import RunSpec
from undergrowth.spec.grid import Grid
from undergrowth.store import Store, rows
from undergrowth.store.files import is_folder
from undergrowth.store.gathering import opened
from undergrowth.store.layout import MARKER
from undergrowth.store.merging import gather, stores_in
from undergrowth.store.verify import unfinished_files
from undergrowth.sweep.shards import COSTLY, cost, dealt

SHARDS = "shards"
"""Where in the directory of a sweep the stores lie that its shards have published."""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    specs: all runs of the sweep, of which some may be the same; n_runs: how many they are; n_stored:
    those that are done, of all shards; left: of this shard those that are not, by position; done: by id
    of a finished run, the store that has it.
    """

    specs: Sequence[RunSpec]
    n_runs: int
    n_stored: int
    left: Sequence[int]
    done: Mapping[str, Path]

    @cached_property
    def todo(self) -> tuple[RunSpec, ...]:
        """The runs that are left, made."""
        return self._made(self.left)

    def sample(self, most: int) -> tuple[RunSpec, ...]:
        """At most so many of the runs that are left, from all over the sweep."""
        n = len(self.left)
        if n <= most:
            return self.todo
        return self._made([self.left[i * n // most] for i in range(most)])

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """By id of a run that is left, what a grid calls it."""
        if not isinstance(self.specs, Grid):
            return {}
        called = zip(self.todo, map(self.specs.name, self.left), strict=True)
        return {spec.id: (name,) for spec, name in called if name is not None}

    def _made(self, positions: Sequence[int]) -> tuple[RunSpec, ...]:
        if isinstance(self.specs, Grid):
            return tuple(self.specs.at(positions))
        return tuple(self.specs[position] for position in positions)


def plan(specs: Sequence[RunSpec], out: Path, which: int = 1, of: int = 1) -> Plan:
    """What of some specs is still to be trained: those that no store at or in `out` has finished.

    which, of: the shard. No run of a grid is made.
    """
    done = finished(out)
    ids = list(specs.ids()) if isinstance(specs, Grid) else [spec.id for spec in specs]
    left: dict[str, int] = {}
    for position in range(len(ids)) if of == 1 else _of_shard(specs, ids, which, of):
        if ids[position] not in done:
            left.setdefault(ids[position], position)
    every = set(ids)
    n_stored = sum(run_id in done for run_id in every)
    return Plan(specs, len(every), n_stored, list(left.values()), done)


def _of_shard(specs: Sequence[RunSpec], ids: Sequence[str], which: int, of: int) -> list[int]:
    if isinstance(specs, Grid):
        costs = specs.tabulated(cost, COSTLY)
        parents = (parent for _, parent in specs.parents())
    else:
        known = set(ids)
        costs = map(cost, specs)
        parents = (spec.fork.of if spec.fork and spec.fork.of in known else None for spec in specs)
    return dealt(zip(ids, parents, costs, strict=True), which, of)


def finished(directory: Path) -> dict[str, Path]:
    """By id of a finished run a store that has it, of those at and in a directory."""
    found: dict[str, Path] = {}
    for root in stores_of(directory):
        ids = ended(root, "done")
        lacking = unfinished_files(root) if ids and root == directory else set()
        for run_id in ids - lacking:  # what is published is whole
            found.setdefault(run_id, root)
    return found


def ended(root: Path, how: Literal["done", "failed"]) -> set[str]:
    """Ids of the runs of a store that ended so."""
    return {
        row["run_id"] for row in rows.query(root, "SELECT run_id FROM runs WHERE status = ?", (how,))
    }


def stores_of(directory: Path) -> list[Path]:
    """The store at a directory, where it is one, and those that shards have published in it."""
    found = [directory] if (directory / MARKER).exists() else []
    shards = directory / SHARDS
    if is_folder(shards) and any(not each.name.startswith(".") for each in shards.iterdir()):
        found += stores_in(shards)
    return found


def fetch_trunks(plan: Plan, into: Path) -> None:
    """Have in a store the trunks of a plan's forks that another store has."""
    here = {spec.id for spec in plan.todo} | ended(into, "done")
    wanted: dict[Path, set[str]] = {}
    for spec in plan.todo:
        child = spec
        while child.fork is not None and child.fork.of in plan.done and child.fork.of not in here:
            here.add(child.fork.of)
            root = plan.done[child.fork.of]
            wanted.setdefault(root, set()).add(child.fork.of)
            child = Store(root).run(child.fork.of).spec
    for root, ids in wanted.items():
        gather(into, [opened(root, ids)], ids)
