"""The points of a run at which others will fork from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undergrowth.training.interventions import AnyForkPoint, History, first_step


class ForkPoints:
    """Those that are still ahead, by number."""

    def __init__(self, points: Iterable[AnyForkPoint]) -> None:
        self.points = dict(enumerate(points))

    def due(self, history: History) -> list[int | None]:
        """The steps at which the run comes to them, where that is known beforehand."""
        return [point.due(history) for point in self.points.values()]

    def here(self, history: History) -> list[int]:
        """Those that the run has come to at this very step."""
        return [branch for branch, point in self.points.items() if point.fires(history)]

    def passed(self, history: History) -> list[int]:
        """Those that the run has come to by now."""
        since = history.forked_at or 0
        came = {b: first_step(point, history.curves, since) for b, point in self.points.items()}
        return [branch for branch, step in came.items() if step is not None and step <= history.step]

    def leave(self, branches: Sequence[int]) -> Sequence[int]:
        """The same branches, which are not come to again."""
        self.points = {b: point for b, point in self.points.items() if b not in branches}
        return branches
