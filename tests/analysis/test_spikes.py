"""Planted spikes are found where they were planted, and nothing where nothing was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from undergrowth.analysis import (
    across,
    against_matched,
    coincidence,
    matched_windows,
    separated,
    spikes,
    who_flips,
)

N = 6_000
PLANTED = (700, 1_500, 2_900, 4_400, 5_600)


def curve(values: np.ndarray, spacing: int = 1) -> xr.DataArray:
    steps = spacing * np.arange(len(values))
    return xr.DataArray(values, dims="step", coords={"step": steps}, name="update_loss")


def decay(n: int = N) -> np.ndarray:
    """A loss in nats on a log scale that falls steeply, then slowly."""
    at = np.arange(n)
    return np.log(3 * np.exp(-at / 60) + 1e-5 / (1 + at / 500))


def tent(height: float, half_width: int, n: int = N, at: tuple[int, ...] = PLANTED) -> np.ndarray:
    """Triangles of that many nats, down to 0 at `half_width` steps from their peaks."""
    distance = np.abs(np.arange(n)[:, None] - np.array(at)).min(axis=1)
    return height * np.clip(1 - distance / half_width, 0, None)


@pytest.mark.parametrize("height", [0.8, 2.0, 9.0])
@pytest.mark.parametrize("half_width", [1, 10, 60])
def test_a_planted_spike_has_the_place_height_and_width_it_was_given(
    height: float, half_width: int
) -> None:
    found = spikes(curve(np.exp(-5 + tent(height, half_width))))
    assert found["peak"].tolist() == list(PLANTED)
    np.testing.assert_allclose(found["height"], height, rtol=1e-9)
    np.testing.assert_allclose(found["prominence"], height, rtol=1e-9)
    np.testing.assert_allclose(found["width"], half_width, rtol=1e-9)  # a triangle's at half its height
    np.testing.assert_allclose(found["base"], np.exp(-5), rtol=1e-9)
    np.testing.assert_allclose(found["value"], np.exp(-5 + height), rtol=1e-9)
    foot = np.ceil(0.9 * half_width)
    assert set(found["peak"] - found["left"]) == {foot}
    assert set(found["right"] - found["peak"]) == {foot}


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_spikes_on_a_falling_noisy_loss_are_found_within_a_step(noise: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = spikes(curve(np.exp(decay() + tent(4.0, 8) + noise * rng.standard_normal(N))))
        assert found["peak"].tolist() == pytest.approx(list(PLANTED), abs=1)
        np.testing.assert_allclose(found["height"], 4.0, atol=0.25 + 4 * noise)
        np.testing.assert_allclose(found["width"], 8, atol=0.5 + 10 * noise)


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1, 0.3, 1.0])
def test_noise_on_a_falling_loss_is_no_spike(noise: float) -> None:
    """Not one in 120,000 steps of each size: the rate is below 1 in 40,000 with 95 % confidence."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        assert spikes(curve(np.exp(decay() + noise * rng.standard_normal(N)))).empty


def test_what_is_lower_than_asked_is_no_spike() -> None:
    values = curve(np.exp(tent(1.0, 10)))
    assert len(spikes(values, height=0.99)) == len(PLANTED)
    assert spikes(values, height=1.01).empty


def test_neither_a_step_nor_a_hump_is_a_spike() -> None:
    at = np.arange(N)
    assert spikes(curve(np.exp(5.0 * (at > 3_000)))).empty
    assert spikes(curve(np.exp(-5.0 * (at > 3_000)))).empty
    assert spikes(curve(np.exp(5 * np.exp(-(((at - 3_000) / 400) ** 2))))).empty


def test_a_leap_that_does_not_come_down_to_where_it_was_is_one_spike() -> None:
    """As under weight decay: it rings, then falls for a thousand steps."""
    at = np.arange(N) - 3_000.0
    after = np.where(at >= 0, 8 - at / 1_000 + 5 * np.exp(-at / 5) * np.cos(at), 0)
    found = spikes(curve(np.exp(-16 + after)))
    assert found["peak"].tolist() == [3_000]
    assert found["left"].tolist() == [2_999]
    assert found["height"].tolist() == pytest.approx([13], abs=0.01)
    assert 3_005 < found["right"].tolist()[0] < 3_050


def test_a_loss_of_zero_is_the_floor() -> None:
    values = np.zeros(N)
    values[list(PLANTED)] = 1e-3
    values[10] = 1.9e-8  # rounding
    found = spikes(curve(values))
    assert found["peak"].tolist() == list(PLANTED)
    np.testing.assert_allclose(found["height"], np.log(1e-3 / 1e-8))
    assert len(spikes(curve(values), floor=1e-9)) == len(PLANTED) + 1


def test_heights_are_in_the_unit_of_the_curve_without_the_logarithm() -> None:
    found = spikes(curve(tent(3.0, 10) - 7), log=False, height=1.0)
    assert found["peak"].tolist() == list(PLANTED)
    np.testing.assert_allclose(found["height"], 3.0)
    np.testing.assert_allclose(found["base"], -7.0)


def test_a_curve_measured_every_ten_steps_has_its_widths_in_steps() -> None:
    found = spikes(curve(np.exp(tent(2.0, 4, n=600, at=(70, 290))), spacing=10))
    assert found["peak"].tolist() == [700, 2_900]
    np.testing.assert_allclose(found["width"], 40)
    assert set(found["right"] - found["left"]) == {80}


def test_a_curve_without_spikes_has_a_table_of_the_same_columns() -> None:
    none, some = spikes(curve(np.exp(decay()))), spikes(curve(np.exp(tent(2.0, 10))))
    assert none.columns.tolist() == some.columns.tolist()
    assert none["peak"].dtype == some["peak"].dtype


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (curve(np.ones(50)).isel(step=[0, 1, 2, 3, 4, 6, 8]), "steps 4 and 6 are not 1 apart"),
        (curve(np.ones(3)), "a curve of 3 steps is too short"),
        (curve(np.array([*np.ones(30), np.nan])), "the curve is nan at step 30"),
        (curve(np.array([*np.ones(30), np.inf])), "the curve is inf at step 30"),
        (curve(np.array([*np.ones(30), -1.0])), "the curve is -1 at step 30"),
        (curve(np.ones(50), spacing=300), "window = 500: less than 5 steps"),
        (xr.DataArray(np.ones((50, 2)), dims=("step", "side")), "only the axis 'step'"),
    ],
)
def test_what_has_no_spikes_by_its_form_is_refused_in_one_line(broken: xr.DataArray, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        spikes(broken)
    assert "\n" not in str(error.value)


def scattered(rng: np.random.Generator, n: int, last: int) -> np.ndarray:
    return np.sort(rng.choice(last + 1, n, replace=False))


def test_coincidence_is_the_share_over_all_shifts_by_hand() -> None:
    found = coincidence([1, 5], [2], within=1, steps=(0, 9))
    # beside 2 are 1, 2, 3; of the ten shifts, those by 0, 1, 2 bring 1 there, those by 6, 7, 8 bring 5
    assert (found.rate, found.n, found.n_others, found.n_shifts) == (0.5, 2, 1, 10)
    assert found.expected == pytest.approx(6 / 20)
    assert found.p == pytest.approx(6 / 10)


def test_planted_coincidence_is_found_and_independent_events_are_not() -> None:
    rng = np.random.default_rng(2)
    events = scattered(rng, 20, 9_999)
    beside = np.clip(events + rng.integers(-3, 4, 20), 0, 9_999)
    planted = coincidence(events, beside, within=3, steps=(0, 9_999))
    assert planted.rate == 1
    assert planted.p == 1 / 10_000
    assert coincidence(events, scattered(rng, 20, 9_999), within=3, steps=(0, 9_999)).p > 0.05


@pytest.mark.parametrize("shifts", ["all", "drawn"])
def test_under_the_null_p_is_uniform(shifts: str) -> None:
    """Kolmogorov-Smirnov over 300 pairs of independent lists, one of them in clusters."""
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        centres = rng.integers(0, 4_000, 8)
        events = np.unique((centres[:, None] + rng.integers(0, 200, (8, 20))) % 4_000)
        others = scattered(rng, 30, 3_999)
        drawn = {} if shifts == "all" else {"n_shifts": 499, "rng": rng}
        p.append(coincidence(events, others, within=30, steps=(0, 3_999), **drawn).p)
    assert stats.kstest(p, "uniform").pvalue > 0.05


def test_the_rate_expected_of_drawn_shifts_is_that_of_all() -> None:
    rng = np.random.default_rng(3)
    events, others = scattered(rng, 30, 4_999), scattered(rng, 30, 4_999)
    every = coincidence(events, others, within=20, steps=(0, 4_999))
    drawn = coincidence(events, others, within=20, steps=(0, 4_999), n_shifts=2_000, rng=rng)
    assert drawn.expected == pytest.approx(every.expected, abs=0.01)
    assert drawn.p == pytest.approx(every.p, abs=0.05)
    assert drawn.n_shifts == 2_001


def test_coincidence_of_nothing_is_not_known_and_of_what_is_outside_an_error() -> None:
    none = coincidence([], [3], within=1, steps=(0, 9))
    assert np.isnan(none.rate)
    assert np.isnan(none.p)
    with pytest.raises(ValueError, match="step 12 is not from 0 to 9"):
        coincidence([12], [3], within=1, steps=(0, 9))
    with pytest.raises(ValueError, match="n_shifts and rng go together"):
        coincidence([1], [3], within=1, steps=(0, 9), n_shifts=10)


def windows(*pairs: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["left", "right"])


def test_across_takes_the_nearest_steps_strictly_outside() -> None:
    reading = curve(np.arange(11.0) ** 2, spacing=10)  # steps 0, 10, ..., 100
    found = across(reading, windows((20, 30), (21, 29), (0, 5), (95, 100), (45, 46)), within=10)
    nan = np.nan
    np.testing.assert_array_equal(found["before_step"], [10, 20, nan, 90, 40])
    np.testing.assert_array_equal(found["after_step"], [40, 30, 10, nan, 50])
    np.testing.assert_array_equal(found["change"], [16 - 1, 9 - 4, nan, nan, 25 - 16])


def test_across_keeps_the_axes_of_a_reading_and_reaches_no_further_than_asked() -> None:
    reading = xr.DataArray(
        np.arange(12.0).reshape(4, 3), dims=("step", "neuron"), coords={"step": [0, 10, 30, 60]}
    )
    found = across(reading, windows((12, 28), (35, 50)), within=3)
    assert found["change"].dims == ("window", "neuron")
    np.testing.assert_array_equal(found["change"][0], [3.0, 3.0, 3.0])
    assert found["change"][1].isnull().all()


def test_matched_windows_are_as_long_of_like_phase_and_touch_no_spike() -> None:
    found = spikes(curve(np.exp(tent(5.0, 20))))
    matched = matched_windows(
        found, steps=(0, N), rng=np.random.default_rng(4), within=0, n=25, ratio=1.25
    )
    assert matched.groupby("spike").size().tolist() == [25] * len(PLANTED)
    assert not matched.duplicated().any()
    for spike, left, right in matched.itertuples(index=False):
        own = found.loc[spike]
        assert right - left == own["right"] - own["left"]
        assert 1 / 1.25 <= left / own["left"] <= 1.25
        assert right <= N
        assert all(right < taken[0] or left > taken[1] for taken in found[["left", "right"]].values)
    again = matched_windows(found, steps=(0, N), rng=np.random.default_rng(4), within=0, n=25)
    pd.testing.assert_frame_equal(again, matched)


def test_matched_windows_fill_what_room_there_is() -> None:
    """From 80 to 125 a window of 10 begins; the spike itself takes those from 90 to 110."""
    rng, steps = np.random.default_rng(5), (0, 130)
    matched = matched_windows(windows((100, 110)), steps=steps, rng=rng, within=0, n=99)
    assert matched["left"].tolist() == [*range(80, 90), *range(111, 121)]
    farther = matched_windows(windows((100, 110)), steps=steps, rng=rng, within=4, n=99)
    assert farther["left"].tolist() == [*range(80, 86), *range(115, 121)]
    assert matched_windows(windows((100, 200)), steps=(100, 200), rng=rng, within=0).empty


def test_windows_that_no_reading_separates_are_one() -> None:
    some = windows((10, 14), (16, 22), (26, 30), (31, 90), (40, 50), (95, 99))
    found = separated(some, np.array([0, 15, 24, 60, 98]))
    assert found.values.tolist() == [[10, 14], [16, 22], [26, 99]]
    at_their_edges = separated(windows((10, 15), (15, 20), (24, 30)), np.array([15, 24]))
    assert at_their_edges.values.tolist() == [[10, 30]], "a reading within a window is not between two"
    assert separated(windows(), np.array([3])).empty


@pytest.mark.parametrize(("every", "apart"), [(40, 1_200), (200, 1_200), (200, 600)])
def test_what_happens_at_spikes_alone_is_no_change_of_their_matches(every: int, apart: int) -> None:
    """However rarely a reading is taken: it rises by 1 across each spike, and nowhere else."""
    peaks = np.arange(5_000, 50_000, apart)
    found = windows(*((int(peak), int(peak) + 40) for peak in peaks))
    at = np.arange(0, 60_001, every)
    reading = xr.DataArray(
        (at[:, None] > peaks + 20).sum(axis=1).astype(float), dims="step", coords={"step": at}
    )
    matched = matched_windows(found, steps=(0, 60_000), rng=np.random.default_rng(9), within=every)
    held = against_matched(reading, found, matched, within=every)
    assert held["n_matched"].values.min() > 0
    np.testing.assert_array_equal(held["matched"], 0.0)


def test_the_excess_is_what_was_planted_at_the_spikes() -> None:
    """A reading that rises by 0.01 a step everywhere, and by 2 across each spike."""
    found = spikes(curve(np.exp(tent(5.0, 20))))
    at = np.arange(0, N, 5)
    leaps = (at[:, None] > np.array(PLANTED)).sum(axis=1)
    reading = xr.DataArray(0.01 * at + 2.0 * leaps, dims="step", coords={"step": at})
    matched = matched_windows(found, steps=(0, N - 10), rng=np.random.default_rng(6), within=5)
    held = against_matched(reading, found, matched, within=5)
    np.testing.assert_allclose(held["excess"], 2.0, atol=0.06)  # windows are cut to multiples of 5
    np.testing.assert_allclose(held["change"] - held["matched"], held["excess"])
    assert held["n_matched"].values.tolist() == [10] * len(PLANTED)
    far = against_matched(reading.isel(step=slice(0, 400)), found, matched, within=5)
    assert far["excess"].isnull().values.tolist() == [False, False, True, True, True]
    assert far["n_matched"].values.tolist()[-1] == 0


def test_the_excess_of_an_array_has_its_axes() -> None:
    found = windows((100, 110))
    reading = xr.DataArray(np.random.default_rng(7).random((300, 4)), dims=("step", "neuron"))
    reading = reading.assign_coords(step=np.arange(300))
    matched = matched_windows(found, steps=(0, 280), rng=np.random.default_rng(8), within=1, n=3)
    held = against_matched(reading, found, matched, within=1)
    by_hand = [
        reading[right + 1] - reading[left - 1] for left, right in matched[["left", "right"]].values
    ]
    np.testing.assert_allclose(held["matched"][0], np.mean(by_hand, axis=0))


def test_who_flips_names_the_examples_that_were_learnt_and_forgotten() -> None:
    correct = np.zeros((10, 4), bool)
    correct[:, 0] = True
    correct[5:, 1] = True  # learnt across (4, 6)
    correct[:5, 2] = True  # forgotten
    reading = xr.DataArray(correct, dims=("step", "example"), coords={"step": np.arange(10)})
    found = who_flips(reading, windows((4, 6), (7, 8), (0, 1)), within=1)
    assert found.values.tolist() == [[0, 1, 1], [0, 2, -1]]
