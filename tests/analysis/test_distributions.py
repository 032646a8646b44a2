from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

from undergrowth.analysis.distributions import (
    effective_number,
    gini,
    histogram,
    hoyer,
    number_holding,
    skewness,
)

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "skewness": skewness,
    "gini": gini,
    "hoyer": hoyer,
    "effective_number": effective_number,
    "number_holding": number_holding,
}
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
    assert float(number_holding(equal)) == math.ceil(0.9 * n - 1e-9)
    assert float(number_holding(one)) == 1
    if n > 1:
        assert float(hoyer(equal)) == pytest.approx(0, abs=1e-7)
        assert float(hoyer(one)) == pytest.approx(1)
    if n > 2:  # one of n: a Bernoulli variable with p = 1/n
        q = 1 / n
        assert float(skewness(one)) == pytest.approx((1 - 2 * q) / np.sqrt(q * (1 - q)))


@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.parametrize("q", [0.3, 0.8, 0.99])
def test_a_geometric_distribution_has_closed_forms(q: float, n: int) -> None:
    """1, q, q^2, ... q^(n-1), in some order."""
    x = np.random.default_rng(0).permutation(q ** np.arange(n))
    total, squares = (1 - q**n) / (1 - q), (1 - q ** (2 * n)) / (1 - q**2)
    ranked = (1 - (n + 1) * q**n + n * q ** (n + 1)) / (1 - q) ** 2  # sum of (k + 1) q^k
    number = total**2 / squares
    assert float(effective_number(x)) == pytest.approx(number)
    assert float(hoyer(x)) == pytest.approx((n**0.5 - number**0.5) / (n**0.5 - 1), abs=1e-9)
    assert float(gini(x)) == pytest.approx((n + 1 - 2 * ranked / total) / n)
    held = math.log(1 - 0.9 * (1 - q**n)) / math.log(q)
    assert abs(held - round(held)) > 1e-6
    assert float(number_holding(x)) == math.ceil(held)


@given(x=MAGNITUDES, share=st.floats(0.05, 1))
def test_fewer_components_do_not_hold_the_share(x: np.ndarray, share: float) -> None:
    largest, k = np.sort(x)[::-1], int(number_holding(x, share))
    assert largest[:k].sum() >= share * x.sum() * (1 - 1e-9)
    assert largest[: k - 1].sum() < share * x.sum()


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


@given(x=MAGNITUDES, data=st.data())
def test_gini_falls_when_the_rich_give_to_the_poor(x: np.ndarray, data: st.DataObject) -> None:
    """Robin Hood (Hurley & Rickard 2009, D1)."""
    rich, poor = int(x.argmax()), int(x.argmin())
    assume(x[rich] - x[poor] > 0.01)
    given_away = data.draw(st.floats(0.01, 0.99)) * (x[rich] - x[poor]) / 2
    after = x.copy()
    after[rich] -= given_away
    after[poor] += given_away
    assert gini(after) < gini(x)


@given(x=MAGNITUDES, more=st.floats(0.01, 100))
def test_gini_falls_when_all_get_the_same_and_skewness_does_not_see_it(
    x: np.ndarray, more: float
) -> None:
    """Rising tide (D3): why skewness is no measure of sparsity."""
    assume(np.ptp(x) > 0.1)
    assert gini(x + more) < gini(x)
    assert float(skewness(x + more)) == pytest.approx(float(skewness(x)), abs=1e-6)


@given(x=MAGNITUDES, copies=st.integers(2, 4))
def test_gini_is_the_same_of_copies_together_and_hoyer_is_less(x: np.ndarray, copies: int) -> None:
    """Cloning (D4)."""
    assume(np.ptp(x) > 0.1)
    assert float(gini(np.tile(x, copies))) == pytest.approx(float(gini(x)))
    assert hoyer(np.tile(x, copies)) < hoyer(x)


@given(x=MAGNITUDES, more=st.floats(0.1, 100))
def test_gini_rises_when_the_richest_gets_richer(x: np.ndarray, more: float) -> None:
    """Bill Gates (P1)."""
    richer = x.copy()
    richer[x.argmax()] += more
    assert gini(richer) > gini(x)


@given(x=MAGNITUDES)
def test_gini_rises_with_a_component_that_has_nothing(x: np.ndarray) -> None:
    """Babies (P2)."""
    assert gini(np.append(x, 0.0)) > gini(x)


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
    assert hoyer(x) == hoyer(np.abs(x))
    assert number_holding(x) == number_holding(np.abs(x))


@every_statistic
def test_a_stored_reading_is_taken_as_it_is(name: str) -> None:
    x = np.random.default_rng(1).exponential(size=(3, 2, 9)).astype(np.float32)
    reading = xr.DataArray(x, dims=("step", "side", "neuron"))
    assert (STATISTICS[name](reading) == STATISTICS[name](x)).all()  # pyright: ignore[reportArgumentType]
    kept = xr.apply_ufunc(STATISTICS[name], reading, input_core_dims=[["neuron"]])
    assert kept.dims == ("step", "side")


@given(x=hnp.arrays(np.float64, (2, 3, 9), elements=st.floats(-2, 5)))
def test_the_histogram_counts_each_row_bin_by_bin(x: np.ndarray) -> None:
    counts = histogram(x, [-1.0, 0.0, 0.5, 4.0])
    assert counts.shape == (2, 3, 3)
    for index in np.ndindex(2, 3):
        row = x[index]
        expected = [
            sum(-1 <= a < 0 for a in row),
            sum(0 <= a < 0.5 for a in row),
            sum(0.5 <= a <= 4 for a in row),
        ]
        assert counts[index].tolist() == expected


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
