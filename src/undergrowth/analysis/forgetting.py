"""What is lost of predictions as weights move away from where they were, example by example."""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Bool, Float

ALIKE_WITHIN = 0.1
"""Largest relative difference at which two examples count as matched."""
LEAST_MATCHED = 5
"""Fewest matched examples from which a difference is told."""


def along(
    distance: Float[np.ndarray, " reading"], values: np.ndarray, grid: Float[np.ndarray, " place"]
) -> np.ndarray:
    """Values [reading, ...] at each place of a grid of distances, linear in between; NaN beyond."""
    between = scipy.interpolate.interp1d(distance, values, axis=0, bounds_error=False)
    return between(grid)


def share_lost(
    distance: Float[np.ndarray, " reading"], holds: Bool[np.ndarray, "reading example"], upto: float
) -> Float[np.ndarray, " example"]:
    """The share of the way up to a distance on which each example does not hold; NaN where the readings
    end before it.

    distance: ascending from 0. 0 where it holds all along, 1 where it is lost at once.

    >>> holds = np.array([[True, True], [True, False], [True, False]])
    >>> share_lost(np.array([0.0, 0.5, 1.0]), holds, 1.0).tolist()
    [0.0, 0.75]
    """
    grid = np.unique(np.append(distance[distance < upto], upto))
    lost = along(distance, ~np.asarray(holds, bool) * 1.0, grid)
    return np.trapezoid(lost, grid, axis=0) / upto


def matched_difference(
    values: np.ndarray, marks: np.ndarray, others: np.ndarray, other_marks: np.ndarray
) -> tuple[float, int]:
    """The mean of values minus that of others with equal marks > 0, and how many pairs there are.

    Each of the fewer is set beside the one of the more whose mark is nearest (which may serve several),
    and left out where that differs by more than `ALIKE_WITHIN` of its own. NaN below `LEAST_MATCHED`
    pairs.
    """
    if len(values) > len(others):
        found, n = matched_difference(others, other_marks, values, marks)
        return -found, n
    if not len(values) or not len(others):
        return float("nan"), 0
    nearest = np.abs(marks[:, None] - other_marks[None, :]).argmin(axis=1)
    alike = np.abs(other_marks[nearest] - marks) <= ALIKE_WITHIN * marks
    n = int(alike.sum())
    if n < LEAST_MATCHED:
        return float("nan"), n
    return float(np.mean(values[alike] - others[nearest][alike])), n
