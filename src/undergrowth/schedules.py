"""At which steps something is observed: densely early, log-spaced after, densely again in windows."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from undergrowth.values import Value

MOST_STEPS = 200_000
"""At which a schedule may observe: each costs a row of the store, and a pass over the examples."""


class Window(Value):
    """Every `every` steps from `start` up to `stop`."""

    start: int = Field(ge=0)
    stop: int
    every: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _runs_forward(self) -> Window:
        if self.stop <= self.start:
            raise ValueError(f"a window from {self.start} to {self.stop} is empty: set start < stop")
        return self


class Schedule(Value):
    """Every `every` steps up to `until`, then `per_decade` steps per decade, plus the windows' steps and
    always the last step.

    The spacing is the resolution of every event time derived from it, so events record it.

    >>> Schedule(every=5, until=10, per_decade=2).steps(100)
    (0, 5, 10, 32, 100)
    >>> Schedule(every=5, until=10, per_decade=2, windows=[Window(start=50, stop=52)]).steps(100)
    (0, 5, 10, 32, 50, 51, 52, 100)
    """

    every: int = Field(default=10, ge=1)
    until: int = Field(default=200, ge=1)
    per_decade: int = Field(default=60, ge=1)
    windows: tuple[Window, ...] = ()

    def check(self, last: int) -> None:
        """Raise ValueError, in one line, where it names more than 200,000 steps in [0, last]."""
        decades = math.log10(max(last / self.until, 1))
        rules = {
            "every": min(self.until, last) // self.every,
            "per_decade": math.ceil(self.per_decade * decades),
            "windows": sum(max(0, min(w.stop, last) - w.start) // w.every for w in self.windows),
        }
        for rule, n in rules.items():
            if n > MOST_STEPS:
                less = "a smaller per_decade" if rule == "per_decade" else "a larger every"
                raise ValueError(
                    f"{rule} gives {n} of the run's {last} steps, but a schedule has at most "
                    f"{MOST_STEPS}: use {less}"
                )

    def steps(self, last: int) -> tuple[int, ...]:
        """All steps in [0, last], ascending; 0 is the untrained model."""
        dense = set(range(0, min(self.until, last) + 1, self.every))
        spaced, k = set(), 0
        while (step := round(self.until * 10 ** (k / self.per_decade))) < last:
            spaced.add(step)
            k += 1
        within = (range(w.start, min(w.stop, last) + 1, w.every) for w in self.windows)
        return tuple(sorted(dense.union(spaced, *within, {last})))
