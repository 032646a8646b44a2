"""Chunks: runs that wait, cut into pieces that take about a minute each, forks with their trunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from undergrowth.spec import RunSpec
from undergrowth.sweep.pace import Pace

GOAL = 60.0
"""Seconds that a chunk takes: long beside what it costs to hand over, and not much to lose."""
LEAST = 2.0
"""The same of the last ones, which grow shorter so that all slots end together."""
UNKNOWN = 4
"""Families in a chunk while nothing is known of how long they take."""
MOST_RUNS = 1000
"""Runs of a chunk, however short they are: its results come in one piece."""


class Chunks:
    """Runs that wait for a machine, in families: a trunk and its forks, the trunk first.

    A family is in one chunk. Where its trunk has other threads, or was lost with a machine of which only
    the forks came through, a family waits until that has ended and its results are here.
    """

    def __init__(self, specs: Sequence[RunSpec], pace: Pace) -> None:
        self.pace = pace
        self.waited_for = {spec.id for spec in specs}
        self.again: list[list[RunSpec]] = []
        self.families: deque[list[RunSpec]] = deque()
        self.blocked: dict[str, list[list[RunSpec]]] = {}
        for family in families(specs):
            self._put(family)
        pace.wait(specs)

    def __bool__(self) -> bool:
        return bool(self.again or self.families or self.blocked)

    @property
    def threads(self) -> int:
        """How many the next chunk has, as far as that is known."""
        for waiting in (self.again, self.families):
            if waiting:
                return waiting[0][0].threads
        return 1

    def take(self, slots: int) -> list[RunSpec]:
        """The next chunk, all of one number of threads; empty where none can begin now.

        slots: how many chunks are trained at a time.
        """
        chunk = self._lost_before() or self._next(slots)
        self.pace.wait(chunk, -1)
        return chunk

    def put_back(self, specs: Sequence[RunSpec]) -> None:
        """What was lost: in two halves, so that a run that is to blame is soon alone."""
        half = -(-len(specs) // 2)
        self.again += [list(part) for part in (specs[:half], specs[half:]) if part]
        self.pace.wait(specs)

    def end(self, run_id: str) -> None:
        """A run has ended and its results are here: what waited for it can begin."""
        self.waited_for.discard(run_id)
        self.families.extendleft(reversed(self.blocked.pop(run_id, [])))

    def _put(self, family: list[RunSpec]) -> None:
        fork = family[0].fork
        if fork is not None and fork.of in self.waited_for:
            self.blocked.setdefault(fork.of, []).append(family)
        else:
            self.families.append(family)

    def _lost_before(self) -> list[RunSpec]:
        for position, chunk in enumerate(self.again):
            inside = {spec.id for spec in chunk}
            if all(self._can_begin(spec, inside) for spec in chunk):
                return self.again.pop(position)
        return []

    def _can_begin(self, spec: RunSpec, inside: Collection[str]) -> bool:
        fork = spec.fork
        return fork is None or fork.of in inside or fork.of not in self.waited_for

    def _next(self, slots: int) -> list[RunSpec]:
        left = self.pace.seconds_left() / (2 * slots)
        goal, seconds, chunk, n = min(GOAL, max(LEAST, left)), 0.0, [], 0
        while self.families:
            family = self.families[0]
            takes = self.pace.seconds(family)
            is_full = n >= UNKNOWN if not self.pace.is_known else seconds + takes / 2 > goal
            is_full |= len(chunk) + len(family) > MOST_RUNS
            if chunk and (is_full or family[0].threads != chunk[0].threads):
                break
            chunk += self.families.popleft()
            seconds, n = seconds + takes, n + 1
        return chunk


def families(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Runs with those of their forks that have as many threads, each after the run that it forks from;
    in the order of what they begin with.
    """
    known = {spec.id: spec for spec in specs}

    def trunk(spec: RunSpec) -> RunSpec | None:
        of = known.get(spec.fork.of) if spec.fork else None
        return of if of is not None and of.threads == spec.threads else None

    begin: dict[str, tuple[str, int]] = {}
    for spec in specs:
        line = [spec]
        while line[-1].id not in begin and (of := trunk(line[-1])) is not None:
            line.append(of)
        first, depth = begin.get(line[-1].id, (line[-1].id, 0))
        for above, each in enumerate(reversed(line)):
            begin[each.id] = first, depth + above
    found: dict[str, list[RunSpec]] = {}
    for spec in known.values():
        found.setdefault(begin[spec.id][0], []).append(spec)
    return [sorted(family, key=lambda spec: begin[spec.id][1]) for family in found.values()]
