"""How long runs take: by like runs that are stored, and by what is measured while a sweep goes on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from undergrowth.spec import RunSpec
from undergrowth.sweep.expecting import Rate, kind, updates
from undergrowth.sweep.shards import cost

RECENT = 3
"""Measurements of a kind of which the median counts: the first has what is compiled in it."""


class Pace:
    """What is known of the kinds of some runs; rates: of those of which something is known before.

    A kind of which nothing is known takes as long as another, in the ratio of what they cost.
    """

    def __init__(self, specs: Sequence[RunSpec], rates: Mapping[tuple[Any, ...], Rate]) -> None:
        numbers: dict[tuple[Any, ...], int] = {}
        self.kind_of = {spec.id: numbers.setdefault(kind(spec), len(numbers)) for spec in specs}
        self.one: dict[int, RunSpec] = {}
        for spec in specs:
            self.one.setdefault(self.kind_of[spec.id], spec)
        self.left: Counter[int] = Counter()
        self.measured: dict[int, deque[float]] = {
            numbers[of]: deque([rate.seconds], maxlen=RECENT)
            for of, rate in rates.items()
            if of in numbers
        }
        self.costs: dict[int, float] = {}

    @property
    def is_known(self) -> bool:
        """Whether there is anything to tell by."""
        return bool(self.measured)

    def wait(self, specs: Iterable[RunSpec], sign: int = 1) -> None:
        """Count runs among those that are left; sign = -1: no longer."""
        for spec in specs:
            self.left[self.kind_of[spec.id]] += sign * updates(spec)

    def seconds(self, specs: Iterable[RunSpec]) -> float:
        """What some runs take one after the other; 0 where nothing is known."""
        return sum(self._rate(self.kind_of[spec.id]) * updates(spec) for spec in specs)

    def seconds_left(self) -> float:
        """The same of all that are left, whatever their number."""
        return sum(self._rate(of) * n for of, n in self.left.items())

    def learn(self, specs: Sequence[RunSpec], seconds: float) -> None:
        """Some runs, one after the other, took so long."""
        said = self.seconds(specs)
        of_each: Counter[int] = Counter()
        for spec in specs:
            of_each[self.kind_of[spec.id]] += updates(spec)
        for of, n in of_each.items():
            share = n / of_each.total() if not said else self._rate(of) * n / said
            self.measured.setdefault(of, deque(maxlen=RECENT)).append(seconds * share / n)

    def _rate(self, of: int) -> float:
        """Seconds of an update."""
        if of in self.measured:
            return median(self.measured[of])
        if not self.measured:
            return 0.0
        other = next(iter(self.measured))
        return self._rate(other) * self._cost(of) / self._cost(other)

    def _cost(self, of: int) -> float:
        """Of an update of a kind, beside others."""
        if of not in self.costs:
            self.costs[of] = cost(self.one[of]) / updates(self.one[of])
        return self.costs[of]
