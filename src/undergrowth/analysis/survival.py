"""Times to something that some runs never come to: survival curves, and whether two groups differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

Times = Sequence[float] | Sequence[int]


@dataclass(frozen=True, eq=False)
class Survival:
    """The share of runs to which it has not happened yet (Kaplan & Meier 1958), as a staircase.

    steps: 0, then each time at which something happened or a run left unseen, ascending; share: from
    each of them on; censored: the times at which runs left unseen.
    """

    steps: np.ndarray
    share: np.ndarray
    censored: np.ndarray

    @property
    def median(self) -> float:
        """The time by which it had happened to half of the runs; inf where it had not.

        >>> survival([1, 2, 3, 5], [True, True, False, False]).median
        2.0
        """
        reached = self.steps[self.share <= 0.5 + 1e-12]
        return float(reached[0]) if len(reached) else float("inf")


def staircase(times: Times, happened: Sequence[bool]) -> pd.DataFrame:
    """The survival curve as a table: steps, share from there on, and how many left unseen there.

    >>> staircase([1, 2], [True, False]).to_dict("list")
    {'steps': [0.0, 1.0, 2.0], 'share': [1.0, 0.5, 0.5], 'censored': [0, 0, 1]}
    """
    found = survival(times, happened)
    left = [int((found.censored == step).sum()) for step in found.steps]
    return pd.DataFrame({"steps": found.steps, "share": found.share, "censored": left})


def survival(times: Times, happened: Sequence[bool]) -> Survival:
    """The survival curve of some runs; times: when it happened, or until when it had not.

    Raises ValueError where there is no run.
    """
    if not len(times):
        raise ValueError("a survival curve needs at least one time")
    sf = scipy.stats.ecdf(_sample(times, happened)).sf
    censored = [t for t, seen in zip(times, happened, strict=True) if not seen]
    return Survival(
        np.concatenate([[0.0], sf.quantiles]),
        np.concatenate([[1.0], sf.probabilities]),
        np.sort(np.array(censored, float)),
    )


def log_rank(
    times: Times,
    happened: Sequence[bool],
    other_times: Times,
    other_happened: Sequence[bool],
) -> float:
    """The two-sided p of equal survival (Mantel 1966); NaN where it cannot be had.

    That is where a group has no run, and where it happened to none of either.
    """
    if not (len(times) and len(other_times)) or not (any(happened) or any(other_happened)):
        return float("nan")
    with np.errstate(all="ignore"):
        found = scipy.stats.logrank(_sample(times, happened), _sample(other_times, other_happened))
    return float(found.pvalue)


def _sample(times: Times, happened: Sequence[bool]) -> scipy.stats.CensoredData:
    at, seen = np.asarray(times, np.float64), np.asarray(happened, bool)
    return scipy.stats.CensoredData(uncensored=at[seen], right=at[~seen])
