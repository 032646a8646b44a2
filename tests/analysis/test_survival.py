"""Survival curves against counting by hand, and the log-rank test against published remissions."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis import log_rank, survival

SIX_MP = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
RELAPSED = [True] * 9 + [False] * 12
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
"""Weeks of remission in acute leukaemia (Freireich et al. 1963), as textbooks of survival give them."""


def test_the_curve_of_published_remissions_is_the_published_one() -> None:
    found = survival(SIX_MP, RELAPSED)
    at = dict(zip(found.steps.astype(int), found.share, strict=True))
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {week: round(at[week], 3) for week in published} == published
    assert found.median == 23
    assert len(found.censored) == 12


def test_the_log_rank_test_gives_the_published_statistic() -> None:
    p = log_rank(SIX_MP, RELAPSED, PLACEBO, [True] * 21)
    assert p == pytest.approx(4.17e-5, rel=0.01)  # chi squared 16.79 on one degree of freedom


def test_without_censoring_the_curve_is_the_share_still_to_come() -> None:
    times = [3, 1, 2, 2]
    found = survival(times, [True] * 4)
    assert found.share == pytest.approx([np.mean(np.array(times) > t) for t in found.steps])


def test_what_never_happened_leaves_the_median_open_and_no_test() -> None:
    assert survival([5, 5], [False, False]).median == np.inf
    assert np.isnan(log_rank([5], [False], [5], [False]))
    assert np.isnan(log_rank([], [], [5], [True]))


def test_no_run_has_no_curve() -> None:
    with pytest.raises(ValueError, match="needs at least one time"):
        survival([], [])
