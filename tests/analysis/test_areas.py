"""Shares of variance between areas against their definition and their closed form under chance."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis.areas import share_between


def test_the_share_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    values, area = rng.standard_normal((3, 40)), rng.integers(0, 5, 40)
    within = np.zeros(3)
    for a in range(5):
        of_area = values[:, area == a]
        within += ((of_area - of_area.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    total = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    np.testing.assert_allclose(share_between(values, area[None])[0], 1 - within / total)


def test_areas_dealt_out_at_random_have_the_share_that_is_known() -> None:
    """(areas - 1) / (examples - 1), in 4,000 draws within five standard errors."""
    rng = np.random.default_rng(1)
    areas = rng.permuted(np.tile(np.arange(60) % 6, (4000, 1)), axis=1)
    drawn = share_between(rng.standard_normal((1, 60)), areas)[:, 0]
    assert drawn.mean() == pytest.approx(5 / 59, abs=5 * drawn.std() / 4000**0.5)


def test_where_all_are_right_there_is_no_share() -> None:
    assert np.isnan(share_between(np.ones((1, 4)), np.array([[0, 0, 1, 1]]))).all()
