from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis.forgetting import along, matched_difference, share_lost


def test_between_readings_values_are_on_a_straight_line_and_beyond_them_unknown() -> None:
    found = along(np.array([0.0, 0.2, 1.0]), np.array([[1.0], [0.0], [4.0]]), np.array([0.1, 0.6, 1.2]))
    np.testing.assert_allclose(found[:, 0], [0.5, 2.0, np.nan])


def test_a_prediction_is_lost_for_the_share_of_the_way_on_which_it_does_not_hold() -> None:
    distance = np.linspace(0, 1, 11)
    lost_at = np.array([2.0, 0.55, 0.25, 0.05])
    holds = distance[:, None] < lost_at
    np.testing.assert_allclose(share_lost(distance, holds, 1.0), np.clip(1 - lost_at, 0, 1), atol=1e-9)
    np.testing.assert_allclose(share_lost(distance, holds, 0.5), [0, 0, 0.5, 0.9], atol=1e-9)


def test_one_that_comes_back_is_lost_only_while_it_was_away() -> None:
    holds = np.array([[True], [False], [True], [True]])
    assert share_lost(np.arange(4.0), holds, 3.0).tolist() == pytest.approx([1 / 3])


def test_a_way_that_was_not_gone_to_its_end_is_not_judged() -> None:
    assert np.isnan(share_lost(np.array([0.0, 0.3]), np.ones((2, 3), bool), 0.5)).all()


def test_matching_takes_away_a_difference_that_the_mark_explains() -> None:
    rng = np.random.default_rng(0)
    marks, other = rng.uniform(1, 3, 200), rng.uniform(2, 6, 200)
    values, others = 1 / marks, 1 / other
    assert values.mean() - others.mean() > 0.2
    found, n = matched_difference(values, marks, others, other)
    assert abs(found) < 0.01
    assert 50 < n < 150


def test_matching_keeps_a_difference_that_the_mark_does_not_explain() -> None:
    marks = np.linspace(1, 2, 50)
    assert matched_difference(1 + marks, marks, marks, marks) == (pytest.approx(1.0), 50)


def test_each_of_the_fewer_is_matched_and_the_sign_stays() -> None:
    few, many = np.linspace(1, 2, 10), np.linspace(1, 2, 400)
    found, n = matched_difference(many, many, 3 + few, few)
    assert (round(found, 2), n) == (-3.0, 10)
    assert matched_difference(3 + few, few, many, many) == (pytest.approx(-found), 10)


def test_few_matches_or_none_tell_nothing() -> None:
    some = np.array([1.0, 2.0])
    found, n = matched_difference(some, some, some, some)
    assert np.isnan(found)
    assert n == 2
    assert matched_difference(some, some, some[:0], some[:0])[1] == 0
    assert matched_difference(some, some, some, 10 * some)[1] == 0
