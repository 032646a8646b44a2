"""Doses: at which of them half of something is lost."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np


def half_lost(kept: Mapping[float, float]) -> tuple[float, float]:
    """Between which decimal logarithms of the dose, from the largest one down, less than half is kept.

    kept: a share by dose, of doses above 0. Both bounds are the same place on the straight line, in the
    logarithm, between the two doses about it; where half is kept at every dose it lies below the
    smallest, and where it is not at the largest, above that: then a side is open.

    >>> [round(bound, 3) for bound in half_lost({1.0: 1.0, 0.1: 0.0})]
    [-0.5, -0.5]
    >>> half_lost({1.0: 1.0, 0.1: 0.9}), half_lost({1.0: 0.2, 0.1: 0.1})
    ((-inf, -1.0), (0.0, inf))
    """
    doses = sorted(kept, reverse=True)
    if kept[doses[0]] < 0.5:
        return float(np.log10(doses[0])), np.inf
    for more, less in pairwise(doses):
        above, below = kept[more], kept[less]
        if below < 0.5:
            part = (above - 0.5) / (above - below)
            place = float((1 - part) * np.log10(more) + part * np.log10(less))
            return place, place
    return -np.inf, float(np.log10(doses[-1]))
