from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from undergrowth.analysis import effective_number, gini, skewness

STATISTICS = {"skewness": skewness, "gini": gini, "effective_number": effective_number}
MAGNITUDES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(0.01, 100))

every_statistic = pytest.mark.parametrize("name", STATISTICS)


@given(x=MAGNITUDES)
def test_gini_is_half_the_relative_mean_difference_of_all_pairs(x: np.ndarray) -> None:
    pairs = sum(abs(a - b) for a in x for b in x) / len(x) ** 2
    assert float(gini(x)) == pytest.approx(pairs / (2 * x.mean()), abs=1e-9)


@given(x=MAGNITUDES)
def test_the_effective_number_is_the_participation_ratio(x: np.ndarray) -> None:
    expected = sum(x) ** 2 / sum(a * a for a in x)
    assert float(effective_number(x)) == pytest.approx(expected)
    assert 1 - 1e-9 <= expected <= len(x) + 1e-9


@given(x=MAGNITUDES)
def test_skewness_is_the_third_standardised_moment(x: np.ndarray) -> None:
    assume(np.ptp(x) > 0.1)
    mean = sum(x) / len(x)
    moments = [sum((a - mean) ** k for a in x) / len(x) for k in (2, 3)]
    assert float(skewness(x)) == pytest.approx(moments[1] / moments[0] ** 1.5, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_the_extremes_have_closed_forms(n: int) -> None:
    equal, one = np.full(n, 0.37), np.zeros(n)
    one[n // 2] = 4.0
    assert float(gini(equal)) == pytest.approx(0, abs=1e-12)
    assert float(gini(one)) == pytest.approx(1 - 1 / n)
    assert float(effective_number(equal)) == pytest.approx(n)
    assert float(effective_number(one)) == pytest.approx(1)
    if n > 2:  # one of n: a Bernoulli variable with p = 1/n
        q = 1 / n
        assert float(skewness(one)) == pytest.approx((1 - 2 * q) / np.sqrt(q * (1 - q)))


def test_k_equal_of_n_count_as_k() -> None:
    x = np.array([2.0] * 3 + [0.0] * 7)
    assert float(effective_number(x)) == pytest.approx(3)
    assert float(gini(x)) == pytest.approx(1 - 3 / 10)


def test_the_sign_of_skewness_is_the_side_of_the_long_tail() -> None:
    x = np.array([1.0, 1.0, 1.0, 9.0])
    assert float(skewness(x)) == pytest.approx(-float(skewness(-x)))
    assert float(skewness(x)) > 1
    assert float(skewness(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))) == pytest.approx(0, abs=1e-12)


def test_skewness_may_fall_while_the_distribution_becomes_sparser() -> None:
    """Why it is not a measure of sparsity: more small ones in the tail's stead, less skew."""
    before, after = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 3.0]), np.array([0, 0, 0, 1.0, 1.0, 1.0])
    assert gini(after) > gini(before)
    assert skewness(after) < skewness(before)


@every_statistic
@given(x=MAGNITUDES, scale=st.floats(1e-3, 1e3))
def test_no_statistic_has_a_unit_or_an_order(name: str, x: np.ndarray, scale: float) -> None:
    assume(np.ptp(x) > 0.1)
    of = STATISTICS[name]
    assert float(of(scale * x)) == pytest.approx(float(of(x)), rel=1e-6, abs=1e-6)
    assert float(of(x[::-1])) == pytest.approx(float(of(x)), rel=1e-9, abs=1e-9)


@every_statistic
def test_the_last_axis_is_that_of_the_components(name: str) -> None:
    of = STATISTICS[name]
    x = np.random.default_rng(0).exponential(size=(2, 3, 8))
    found = of(x)
    assert found.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert found[index] == pytest.approx(float(of(x[index])))


def test_magnitudes_are_taken_without_their_sign() -> None:
    x = np.array([1.0, -2.0, 3.0])
    assert gini(x) == gini(np.abs(x))
    assert effective_number(x) == effective_number(np.abs(x))


def test_nothing_at_all_is_nan_and_not_a_warning() -> None:
    zeros = np.zeros((2, 4))
    for of in STATISTICS.values():
        assert np.isnan(of(zeros)).all()
    assert np.isnan(skewness(np.full(5, 0.1)))


def test_a_nan_stays_with_its_row() -> None:
    x = np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 4.0]])
    for of in STATISTICS.values():
        assert np.isnan(of(x)).tolist() == [True, False]


def test_float32_readings_are_summed_in_float64() -> None:
    x = np.full(100_000, 0.1, np.float32)
    x[0] = 1000
    exact = (99_999 * np.float64(x[1]) + 1000) ** 2 / (99_999 * np.float64(x[1]) ** 2 + 1e6)
    assert float(effective_number(x)) == pytest.approx(exact, rel=1e-12)
