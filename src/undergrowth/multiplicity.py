"""Many tests at once. A module of its own, so that published results are read without the analysis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """The p of each of many tests, adjusted so that the chance of any false one keeps its level (Holm
    1979); NaN, a test that has no answer, stays and does not count.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")})
    {'a': 0.03, 'b': 0.06, 'c': 0.06, 'd': nan}
    """
    known = sorted((p, name) for name, p in ps.items() if not np.isnan(p))
    factors = np.arange(len(known), 0, -1)
    adjusted = np.maximum.accumulate(factors * [p for p, _ in known]) if known else []
    by_name = {name: min(1.0, float(p)) for (_, name), p in zip(known, adjusted, strict=True)}
    return {name: by_name.get(name, float("nan")) for name in ps}
