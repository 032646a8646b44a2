"""At which steps something is observed: densely early, log-spaced after."""

from __future__ import annotations

from pydantic import Field

from undergrowth.values import Value


class Schedule(Value):
    """Every `every` steps up to `until`, then `per_decade` steps a decade, and always the last step.

    The spacing is the resolution of every event time that is read from it, so events carry it.

    >>> Schedule(every=5, until=10, per_decade=2).steps(100)
    (0, 5, 10, 32, 100)
    """

    every: int = Field(default=10, ge=1)
    until: int = Field(default=200, ge=1)
    per_decade: int = Field(default=60, ge=1)

    def steps(self, last: int) -> tuple[int, ...]:
        """All steps in [0, last], ascending; 0 is the untrained model."""
        dense = set(range(0, min(self.until, last) + 1, self.every))
        spaced, k = set(), 0
        while (step := round(self.until * 10 ** (k / self.per_decade))) < last:
            spaced.add(step)
            k += 1
        return tuple(sorted(dense | spaced | {last}))
