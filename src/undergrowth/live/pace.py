"""How fast a run goes: from when its steps were seen."""

from __future__ import annotations

from collections import deque

RECENT = 60.0
"""Seconds over which the rate is taken."""


class Pace:
    """Steps of a run by the time at which they were seen, the recent ones."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()

    def see(self, step: int, now: float) -> None:
        """Take in that a run has come to a step; now: seconds, of a clock that never goes back."""
        if self.seen and step <= self.seen[-1][1]:
            if step < self.seen[-1][1]:  # it was taken up again from an earlier step
                self.seen.clear()
                self.seen.append((now, step))
            return
        self.seen.append((now, step))
        while len(self.seen) > 2 and now - self.seen[1][0] > RECENT:
            self.seen.popleft()

    @property
    def rate(self) -> float | None:
        """Steps a second; None before two steps were seen at different times."""
        if len(self.seen) < 2:
            return None
        (since, first), (now, last) = self.seen[0], self.seen[-1]
        return (last - first) / (now - since) if now > since else None
