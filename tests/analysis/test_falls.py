"""Falls are found where they are planted, and none where a loss has settled."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from undergrowth.analysis.falls import DROP, Falls, falls

STEPS = np.arange(0, 20_001, 50)
MEMORISED, HEIGHT = 400, 1000


def curves(train: np.ndarray, val: np.ndarray, steps: np.ndarray = STEPS) -> xr.Dataset:
    """Memorised at step 400."""
    columns = {
        "train_loss": train,
        "val_loss": val,
        "train_accuracy": (steps >= MEMORISED).astype(float),
        "val_accuracy": np.full(len(steps), 0.02),
    }
    return xr.Dataset({name: ("step", v) for name, v in columns.items()}, {"step": steps})


def floor_then_fall(at: float, steps: np.ndarray = STEPS) -> np.ndarray:
    """Train loss: to 1e-4 by step 800, there to stay until it falls by a decade in 1,000 steps."""
    descent = 4 * np.minimum(steps, 800) / 800
    return 10 ** -(descent + np.maximum(steps - at, 0) / 1000)


def rise_then_fall(at: float, steps: np.ndarray = STEPS) -> np.ndarray:
    """Validation loss: up to step 1,000, then slowly up or level until it falls by a decade in 1,000."""
    rise = np.minimum(steps, HEIGHT) / HEIGHT + 1e-6 * np.minimum(steps, at)
    return 4 * 10 ** (rise - np.maximum(steps - at, 0) / 1000)


def rising() -> np.ndarray:
    return 4.0 + STEPS / 1000


def found(*of) -> Falls:
    result = falls(curves(*of))
    assert result is not None
    return result


@pytest.mark.parametrize(("val_at", "train_at"), [(3000, 9000), (3000, 4500), (6000, 6000)])
def test_planted_falls_lie_within_their_bounds(val_at: int, train_at: int) -> None:
    result = found(floor_then_fall(train_at), rise_then_fall(val_at))
    assert result.val[0] <= val_at + 1000 * DROP <= result.val[1]
    assert result.train[0] <= train_at + 1000 * DROP <= result.train[1]
    assert result.val[1] - result.val[0] == 50
    low, high = result.lead
    assert low <= train_at - val_at <= high
    assert result.lead_in_decades == pytest.approx(np.log10(np.divide(result.train, result.val[::-1])))


def test_a_train_loss_that_falls_while_validation_is_high_falls_first() -> None:
    steadily = 10.0 ** -(4 * np.minimum(STEPS, 800) / 800 + np.maximum(STEPS - 800, 0) / 4000)
    val = 4 * 10 ** (np.minimum(STEPS, HEIGHT) / HEIGHT - np.maximum(STEPS - HEIGHT, 0) / 20_000)
    result = found(steadily, val)
    assert result.lead[1] < -5000  # 2,000 steps after the height beside 10,000


@pytest.mark.parametrize("tau", [50, 150, 400])
def test_an_exponential_that_settles_and_never_falls_again_has_no_fall(tau: float) -> None:
    result = found(1e-3 + np.exp(-STEPS / tau), rise_then_fall(3000))
    assert result.train == (20_000, np.inf)
    assert result.lead == (20_000 - result.val[1], np.inf)


@pytest.mark.parametrize("tau", [1500, 3000])
def test_one_that_has_not_settled_falls_where_its_closed_form_says(tau: float) -> None:
    a, b = 1e-3, 1.0
    result = found(a + b * np.exp(-STEPS / tau), rise_then_fall(3000))
    level = 10**-DROP * (a + b * np.exp(-result.since / tau))
    assert result.train[0] <= -tau * np.log((level - a) / b) <= result.train[1]


def test_validation_that_only_rises_has_no_fall() -> None:
    result = found(floor_then_fall(5000), rising())
    assert result.val == (20_000, np.inf)
    assert result.since >= 19_950


def test_spikes_upwards_are_neither_floor_nor_height() -> None:
    train, val = floor_then_fall(9000), rise_then_fall(3000)
    spiked = train.copy(), val.copy()
    for curve in spiked:
        curve[STEPS % 2000 == 1500] *= 50
    assert found(*spiked) == found(train, val)


def test_a_floor_that_rises_first_has_to_fall_below_what_it_was() -> None:
    train = floor_then_fall(9000)
    rises = np.where((STEPS > 2000) & (STEPS < 9000), 3 * train, train)
    assert found(rises, rise_then_fall(3000)) == found(train, rise_then_fall(3000))


def test_the_unit_of_a_loss_does_not_matter_and_the_drop_does() -> None:
    train, val = floor_then_fall(9010), rise_then_fall(3010)  # never at its level at an evaluation
    assert found(train * 1e-3, val * 7) == found(train, val)
    further = falls(curves(train, val), drop=1.0)
    assert further is not None
    assert further.train[0] - found(train, val).train[0] == 500


def test_coarser_evaluations_give_wider_bounds_around_the_same_steps() -> None:
    steps = np.unique(np.round(np.geomspace(1, 20_000, 80)))
    result = falls(curves(floor_then_fall(9000, steps), rise_then_fall(3000, steps), steps))
    assert result is not None
    assert result.lead[0] <= 6000 <= result.lead[1]


def test_a_train_loss_of_exactly_nothing_cannot_fall_further() -> None:
    train = np.where(STEPS < 800, 1.0, 0.0)
    assert found(train, rise_then_fall(3000)).train == (20_000, np.inf)


def test_what_never_memorised_has_no_falls() -> None:
    never = curves(floor_then_fall(9000), rise_then_fall(3000))
    assert falls(never.assign(train_accuracy=never["train_accuracy"] * 0)) is None
