"""A run after a switch, on curves whose answers are read off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from undergrowth.analysis import Switched, narrowing, speed_up
from undergrowth.analysis.switches import log_ratio

STEPS = np.arange(0, 1001, 100)


def switched(val: Sequence[float], train: Sequence[float] | None = None, at: int = 200) -> Switched:
    train = [1.0] * len(STEPS) if train is None else train
    curves = xr.Dataset(
        {"train_accuracy": ("step", list(train)), "val_accuracy": ("step", list(val))}, {"step": STEPS}
    )
    return Switched(curves, at, 1000)


def rising(grokked: int) -> list[float]:
    return [1.0 if step >= grokked else 0.1 for step in STEPS]


def test_remaining_steps_count_from_the_switch_to_getting_there() -> None:
    run = switched(rising(700))
    assert (run.reaches_threshold, run.remaining, run.is_too_late) == (True, 500, False)
    assert switched(rising(200)).is_too_late
    never = switched([0.1] * 11)
    assert (never.reaches_threshold, never.remaining) == (False, 800)


@pytest.mark.parametrize(("grokked", "stays"), [(900, True), (1000, False), (2000, False)])
def test_to_stay_is_to_be_there_over_all_of_the_last_tenth(grokked: int, stays: bool) -> None:
    assert switched(rising(grokked)).retains is stays


def test_a_dip_within_the_last_tenth_is_not_staying() -> None:
    values = rising(500)
    values[-1] = 0.8
    assert not switched(values).retains


def test_the_fall_of_train_accuracy_and_how_long_it_lasts() -> None:
    run = switched(rising(700), [1, 1, 1, 0.3, 0.6, 1, 1, 1, 1, 1, 1])
    assert run.fall == pytest.approx(0.7)
    assert run.steps_below == 200


def test_the_climb_made_before_train_accuracy_is_back() -> None:
    val = [0.1, 0.1, 0.1, 0.3, 0.545, 0.99, 1, 1, 1, 1, 1]
    run = switched(val, [1, 1, 1, 0.3, 0.6, 1, 1, 1, 1, 1, 1])
    assert run.climbed_while_below == pytest.approx(0.5)
    assert switched(val).climbed_while_below == 0
    dips_later = switched(val, [1, 1, 1, 0.3, 0.6, 1, 1, 1, 1, 0.9, 1])
    assert dips_later.climbed_while_below == run.climbed_while_below


def test_a_ratio_of_steps_with_a_side_that_never_came_is_open_there() -> None:
    fast, slow, never = switched(rising(300)), switched(rising(1000)), switched([0.1] * 11)
    assert speed_up(fast, slow) == pytest.approx((np.log10(8), np.log10(8)))
    assert speed_up(never, slow) == pytest.approx((-np.inf, 0))
    assert speed_up(fast, never) == pytest.approx((np.log10(8), np.inf))
    assert log_ratio((800, False), (800, False)) == (-np.inf, np.inf)


def test_the_gap_is_compared_up_to_when_the_first_gets_there() -> None:
    wide = switched([0.0] * 11)
    half = switched([0.5 if step >= 200 else 0.0 for step in STEPS])
    assert narrowing(half, wide) == pytest.approx(0.5)
    assert narrowing(wide, half) == pytest.approx(-0.5)
