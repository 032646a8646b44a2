"""Where a curve bends: piecewise-linear fits by least squares, and when a curve starts to fall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MOST_SEGMENTS = 6
LEAST_POINTS = 3
"""Of a segment: two would fit any line."""
ROUNDING = 1e-9
"""Of the variance of y: residuals below it are rounding, and no reason to cut further."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Straight pieces, one after the other, ascending in x.

    starts, ends: the first and last x of each piece; slopes, intercepts: y = slope * x + intercept
    within it; rss: the residual sum of squares of all.
    """

    starts: np.ndarray
    ends: np.ndarray
    slopes: np.ndarray
    intercepts: np.ndarray
    rss: float

    def __len__(self) -> int:
        return len(self.slopes)

    @property
    def drops(self) -> np.ndarray:
        """By how much each piece's line falls from its first x to its last; negative where it rises."""
        return -self.slopes * (self.ends - self.starts)

    def value(self, piece: int, x: float) -> float:
        """The height of a piece's line at x."""
        return float(self.slopes[piece] * x + self.intercepts[piece])

    def corner(self, piece: int) -> float:
        """Where a piece meets the one before, in the gap between the two; the first one's start."""
        if piece == 0:
            return float(self.starts[0])
        gap = float(self.ends[piece - 1]), float(self.starts[piece])
        bend = self.slopes[piece] - self.slopes[piece - 1]
        if bend == 0:
            return gap[1]
        crossing = (self.intercepts[piece - 1] - self.intercepts[piece]) / bend
        return float(np.clip(crossing, *gap))


def piecewise_linear(
    x: np.ndarray, y: np.ndarray, *, most: int = MOST_SEGMENTS, least_points: int = LEAST_POINTS
) -> Segments:
    """The straight pieces, at most `most`, that fit best; their number has the least BIC.

    For each number the cuts are the very best ones, by dynamic programming over all (Bai & Perron 2003,
    J. Appl. Econometrics 18(1), section 3); a piece has at least `least_points` points. A number m of
    pieces costs (3 m - 1) log n against n log(RSS / n): two parameters a piece, and its cut. x ascends
    strictly. Raises ValueError with fewer points than one piece needs.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n = len(x)
    if n < least_points:
        raise ValueError(f"{n} points have no straight piece of {least_points}: give at least as many")
    costs = _costs(x, y, least_points)
    floor = max(ROUNDING * float(((y - y.mean()) ** 2).sum()), np.finfo(np.float64).tiny)
    found = [
        (n * np.log(max(rss, floor) / n) + (3 * m - 1) * np.log(n), m, cuts)
        for m, rss, cuts in _best_cuts(costs, most)
    ]
    _, _, cuts = min(found)
    return _fitted(x, y, cuts)


def _costs(x: np.ndarray, y: np.ndarray, least_points: int) -> np.ndarray:
    """The residual sum of squares of a line through the points [i, j), inf where they are too few."""
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in _moments(x - x.mean(), y - y.mean())]
    count, sx, sy, sxx, sxy, syy = (s[None, :] - s[:, None] for s in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        along, across = sxx - sx**2 / count, sxy - sx * sy / count
        rss = syy - sy**2 / count - across**2 / along
    return np.where(count >= least_points, np.maximum(rss, 0), np.inf)


def _moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.ones_like(x), x, y, x * x, x * y, y * y


def _best_cuts(costs: np.ndarray, most: int) -> Iterator[tuple[int, float, tuple[int, ...]]]:
    """For each number of pieces the least sum of costs, and the first point of each piece."""
    best, starts = costs[0], [np.zeros(len(costs), int)]
    for m in range(1, most + 1):
        if m > 1:
            sums = best[:, None] + costs
            starts.append(sums.argmin(axis=0))
            best = sums.min(axis=0)
        if not np.isfinite(best[-1]):
            return
        cuts, end = [], len(costs) - 1
        for of_piece in reversed(starts):
            end = int(of_piece[end])
            cuts.append(end)
        yield m, float(best[-1]), tuple(reversed(cuts))


def _fitted(x: np.ndarray, y: np.ndarray, cuts: tuple[int, ...]) -> Segments:
    edges = [*cuts, len(x)]
    pieces = [(x[i:j], y[i:j]) for i, j in pairwise(edges)]
    lines = [np.polyfit(*piece, 1) for piece in pieces]
    rss = sum(
        float(((np.polyval(line, of_x) - of_y) ** 2).sum())
        for line, (of_x, of_y) in zip(lines, pieces, strict=True)
    )
    slopes, intercepts = np.transpose(lines)
    return Segments(x[list(cuts)], x[[j - 1 for j in edges[1:]]], slopes, intercepts, rss)


@dataclass(frozen=True)
class Fall:
    """When a curve started to fall, as bounds in x: equal where it is known.

    before it was watched: (-inf, first x]; after: [last x, inf).
    """

    earliest: float
    latest: float

    @property
    def is_known(self) -> bool:
        return self.earliest == self.latest


def start_of_fall(
    fit: Segments, *, share: float, least_drop: float, comes_falling: bool = False
) -> Fall:
    """When a curve leaves its floor, or its plateau, and starts to fall.

    The floor is the flattest piece (of the greatest slope) after which the curve still falls by
    `least_drop`. The steepest piece after it falls at some rate; the fall starts at the corner where
    pieces begin that fall at no less than a `share` of that rate, without a break up to the steepest.
    Where the flattest piece itself falls so fast there is no floor: the fall started before the first x
    or there. Where no piece leaves such a drop behind it, the fall had not started by the last x; a drop
    in the first piece is then the fall too, unless the curve `comes_falling` from one that is not meant.

    >>> x = np.arange(20.0)
    >>> fit = piecewise_linear(x, np.where(x < 8, 3.0, 11 - x))
    >>> round(start_of_fall(fit, share=0.1, least_drop=1.0).latest, 6)
    8.0
    """
    n = len(fit)
    ends = [fit.value(piece, fit.ends[piece]) for piece in range(n)]
    lowest_after = [min(ends[piece + 1 :], default=np.inf) for piece in range(n)]
    floors = [piece for piece in range(n) if ends[piece] - lowest_after[piece] >= least_drop]
    from_the_first = Fall(-np.inf, float(fit.starts[0]))
    if not floors:
        has_fallen = fit.value(0, fit.starts[0]) - min(ends) >= least_drop
        is_one_fall = has_fallen and (n == 1 or not comes_falling)
        return from_the_first if is_one_fall else Fall(float(fit.ends[-1]), np.inf)
    floor = max(floors, key=lambda piece: fit.slopes[piece])
    steepest = floor + 1 + int(np.argmin(fit.slopes[floor + 1 :]))
    falls = fit.slopes <= share * fit.slopes[steepest]
    if falls[floor]:
        return from_the_first
    start = steepest
    while falls[start - 1]:
        start -= 1
    at = fit.corner(start)
    return Fall(at, at)


def rise(
    x: np.ndarray, y: np.ndarray, *, least: float, share: float = 0.1
) -> tuple[float, float] | None:
    """Where a curve has made a share of its way up, and where all but that share, between its points.

    The way is from its first value to its last; each place is the first crossing, on a straight line
    from point to point. None where the way is shorter than `least`.

    >>> rise(np.array([0.0, 10.0, 20.0]), np.array([0.0, 0.0, 1.0]), least=0.2)
    (11.0, 19.0)
    """
    if not len(x) or not y[-1] - y[0] >= least:
        return None
    start, end = (_first_crossing(x, y, y[0] + part * (y[-1] - y[0])) for part in (share, 1 - share))
    return start, end


def _first_crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    at = int(np.argmax(y >= level))
    if at == 0:
        return float(x[0])
    return float(np.interp(level, y[at - 1 : at + 1], x[at - 1 : at + 1]))
