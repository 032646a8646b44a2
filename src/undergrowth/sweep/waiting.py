"""Runs that wait to be trained: which of them a worker is handed, and which take the place of those that
have ended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from undergrowth.spec import RunSpec
from undergrowth.training.interventions import AnyForkPoint


class Trunks:
    """Which of some runs can begin: a fork when its trunk is where it leaves it.

    points: by run, where others of these fork from it; grown: which of those it has come to; ended: runs
    that have ended.
    """

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        self.known = {spec.id for spec in specs}
        self.points: dict[str, list[AnyForkPoint]] = {}
        for spec in specs:
            if spec.fork is not None and spec.fork.of in self.known:
                points = self.points.setdefault(spec.fork.of, [])
                if spec.fork.at not in points:
                    points.append(spec.fork.at)
        self.grown: set[tuple[str, int]] = set()
        self.ended: set[str] = set()

    def has_trunk(self, spec: RunSpec) -> bool:
        """Whether a run can begin: it is no fork, or its parent is where it leaves it, or has ended."""
        if spec.fork is None or spec.fork.of not in self.known or spec.fork.of in self.ended:
            return True
        return (spec.fork.of, self.points[spec.fork.of].index(spec.fork.at)) in self.grown

    def as_order(self, runs: Sequence[RunSpec]) -> dict[str, Any]:
        """Runs as an order to a worker has them, with where others will fork from them."""
        points = [self.points.get(spec.id, ()) for spec in runs]
        return {
            "runs": [spec.model_dump(mode="json") for spec in runs],
            "branches": [[point.model_dump(mode="json") for point in its] for its in points],
        }


@dataclass(frozen=True, eq=False)
class Handed:
    """Runs for a worker to begin with.

    pack: how many it may train at a time; shape: that of the runs which may join them, None where none
    may.
    """

    runs: list[RunSpec]
    pack: int
    shape: object | None = None


class Waiting:
    """Runs by shape, in the order in which they were given; those that a worker died of go first.

    pack: how many runs are trained side by side. Where it is 1, shapes do not matter. To take the first
    run costs the same however many there are: an `OrderedDict` has no gaps where others were.
    """

    def __init__(self, specs: Sequence[RunSpec], pack: int) -> None:
        self.pack = pack
        self.again: list[list[RunSpec]] = []
        self.of_shape: OrderedDict[object, OrderedDict[str, RunSpec]] = OrderedDict()
        for spec in specs:
            self.of_shape.setdefault(_shape(spec, pack), OrderedDict())[spec.id] = spec

    def __len__(self) -> int:
        """How many workers could be busy with them."""
        return len(self.again) + sum(-(-len(runs) // self.pack) for runs in self.of_shape.values())

    def take(self, can_begin: Callable[[RunSpec], bool]) -> Handed | None:
        """Runs of one shape for a free worker; None where none can begin now."""
        for position, runs in enumerate(self.again):
            if all(map(can_begin, runs)):
                return Handed(self.again.pop(position), len(runs))
        for shape, runs in self.of_shape.items():
            pack = min(self.pack, len(runs))
            taken = self.more(shape, pack, can_begin)
            if taken:
                return Handed(taken, pack, shape if pack > 1 else None)
        return None

    def more(self, shape: object | None, n: int, can_begin: Callable[[RunSpec], bool]) -> list[RunSpec]:
        """At most n runs of a shape that can begin now."""
        runs = self.of_shape.get(shape, OrderedDict())
        taken: list[RunSpec] = []
        for spec in runs.values():
            if len(taken) == n:
                break
            if can_begin(spec):
                taken.append(spec)
        for spec in taken:
            del runs[spec.id]
        if not runs:
            self.of_shape.pop(shape, None)
        return taken

    def put_back(self, runs: Sequence[RunSpec]) -> None:
        """What a worker was at when it died: in two halves, so that the run it died of is soon alone."""
        half = -(-len(runs) // 2)
        self.again[:0] = [list(part) for part in (runs[:half], runs[half:]) if part]


def _shape(spec: RunSpec, pack: int) -> object:
    if pack == 1:
        return ()
    from undergrowth.engine import shape_key

    return shape_key(spec, spec.data().n_train)
