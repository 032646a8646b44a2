"""The jump of a learning curve, against curves whose jump is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from undergrowth.analysis.jumps import LEARNED, WIDTH, StepAxis, jump, noise_floor

STEPS: np.ndarray = np.arange(2001)
AXES: tuple[StepAxis, ...] = ("linear", "log")


def curve(values: np.ndarray | list[int], steps: np.ndarray = STEPS) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, float), {"step": steps}, ("step",))


def size(values: np.ndarray, axis: StepAxis = "linear", steps: np.ndarray = STEPS) -> float:
    found = jump(curve(values, steps), axis)
    assert found is not None
    return found.size


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("at", [300, 1000, 1900])
def test_a_step_is_all_jump_wherever_it_stands(axis: StepAxis, at: int) -> None:
    found = jump(curve(at <= STEPS), axis)
    assert found is not None
    assert found.size == pytest.approx(1)
    assert found.is_resolved
    assert found.start <= at <= found.stop + 1
    assert found.learned == pytest.approx(at, abs=1)


@pytest.mark.parametrize("end", [500, 2000])
def test_a_straight_line_has_no_jump_on_the_axis_on_which_it_is_straight(end: int) -> None:
    assert size(np.minimum(STEPS / end, 1)) == pytest.approx(0, abs=1e-9)
    assert size(np.minimum(np.log1p(STEPS) / np.log1p(end), 1), "log") == pytest.approx(0, abs=1e-9)


def test_a_saturating_exponential_has_the_jump_of_its_closed_form() -> None:
    """F = 1 - exp(-t / tau) reaches 0.99 at tau ln 100, and is steepest at its start."""
    fine = np.linspace(0, 2000, 20001)
    share = (1 - 100**-WIDTH) / LEARNED
    expected = (share - WIDTH) / (1 - WIDTH)
    assert size(1 - np.exp(-fine / 100), steps=fine) == pytest.approx(expected, rel=1e-3)


def test_the_wait_is_that_of_its_closed_form_and_does_not_care_for_the_axis() -> None:
    """log(10 / 9) / log(10) of an exponential, 1/9 of a line, 1 of a step."""
    fine = np.linspace(0, 2000, 20001)
    for values, expected in (
        (1 - np.exp(-fine / 100), np.log(10 / 9) / np.log(10)),
        (fine / 2000, 1 / 9),
        (fine >= 700, 1.0),
    ):
        found = [jump(curve(values, fine), axis) for axis in AXES]
        assert [one.wait for one in found if one] == pytest.approx([expected] * 2, rel=1e-3)


def test_two_equal_steps_far_apart_are_half_a_jump() -> None:
    halves = 0.5 * (STEPS >= 400) + 0.5 * (STEPS >= 1600)
    share = 0.5 / LEARNED
    assert size(halves) == pytest.approx((share - WIDTH) / (1 - WIDTH))


def test_level_scale_and_unit_of_steps_do_not_matter() -> None:
    rising = np.minimum(STEPS / 1500, 1) ** 3
    assert size(0.3 + 0.5 * rising) == pytest.approx(size(rising))
    assert size(rising, steps=7 * STEPS) == pytest.approx(size(rising))


def test_what_is_straight_in_steps_jumps_on_their_logarithm_and_the_other_way_round() -> None:
    straight = STEPS / STEPS[-1]
    in_logs = np.log1p(STEPS) / np.log1p(STEPS[-1])
    assert size(straight, "log") > 0.25
    assert size(in_logs) > 0.5
    assert size(in_logs, "log") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sd", [0.01, 0.05])
def test_a_noisy_line_hardly_jumps_and_a_noisy_step_still_does(sd: float) -> None:
    noise = np.random.default_rng(0).normal(0, sd, 200)
    steps = np.arange(200)
    assert size(steps / 199 + noise, steps=steps) < 0.12
    assert size((steps >= 90) + noise, steps=steps) > 0.85


@pytest.mark.parametrize("sd", [0.0, 0.02, 0.3])
def test_noise_alone_has_learned_nothing_and_has_no_jump(sd: float) -> None:
    noise = np.random.default_rng(1).normal(0.5, sd, 200) if sd else np.full(200, 0.5)
    assert jump(curve(noise, np.arange(200))) is None
    assert np.isnan(noise_floor(curve(noise, np.arange(200)), "linear", np.random.default_rng(0)))


def test_a_curve_that_falls_or_has_two_points_has_no_jump() -> None:
    assert jump(curve(1 - STEPS / 2000)) is None
    assert jump(curve([0, 1], np.arange(2))) is None


def test_what_falls_again_counts_up_to_the_level_of_the_fit() -> None:
    overfitted = np.where(STEPS < 500, 0.0, np.where(STEPS < 600, 1.0, 0.9))
    found = jump(curve(overfitted))
    assert found is not None
    assert found.size == pytest.approx(1)
    assert found.rise == pytest.approx(0.9, abs=0.01)


def test_evaluations_further_apart_than_the_stretch_are_said_to_be() -> None:
    coarse = np.arange(0, 2001, 200)
    found = jump(curve(coarse >= 1000, coarse))
    assert found is not None
    assert not found.is_resolved
    assert found.size < 0.5  # a lower bound


@pytest.mark.parametrize("axis", AXES)
def test_the_noise_floor_is_that_of_a_straight_line_with_the_curves_noise(axis: StepAxis) -> None:
    rng = np.random.default_rng(2)
    steps = np.arange(300)
    silent = curve(steps >= 100, steps)
    assert noise_floor(silent, axis, rng) == pytest.approx(0, abs=0.01)
    noisy = curve((steps >= 100) + rng.normal(0, 0.05, 300), steps)
    assert 0 < noise_floor(noisy, axis, rng) < 0.25
