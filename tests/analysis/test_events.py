from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

from undergrowth.analysis import Event, Rules, events
from undergrowth.store.events import onset_by_loss

STEPS = (0, 10, 20, 40, 80, 160)


def curves(train: Sequence[float], val: Sequence[float], steps: Sequence[int] = STEPS) -> xr.Dataset:
    return xr.Dataset(
        {"train_accuracy": ("step", list(train)), "val_accuracy": ("step", list(val))},
        coords={"step": list(steps)},
    )


def test_a_run_that_memorises_and_then_groks() -> None:
    found = events(curves([0.1, 0.6, 1, 1, 1, 1], [0.1, 0.1, 0.1, 0.1, 0.5, 1]))
    assert found["memorised"] == Event("memorised", first=20, stable=20, before=10, last=160)
    assert found["onset"] == Event("onset", first=80, stable=80, before=40, last=160)
    assert found["grokked"] == Event("grokked", first=160, stable=160, before=80, last=160)
    assert not any(event.censored or event.collapsed for event in found.values())


def test_a_run_that_never_memorises_is_censored_at_its_last_step() -> None:
    found = events(curves([0.1] * 6, [0.1] * 6))
    for name, event in found.items():
        assert event == Event(name, None, None, None, last=160)
        assert event.censored
        assert not event.collapsed


def test_a_run_that_memorises_only_has_no_onset_and_no_grokking() -> None:
    found = events(curves([0, 1, 1, 1, 1, 1], [0.1, 0.12, 0.1, 0.14, 0.1, 0.12]))
    assert not found["memorised"].censored
    assert found["onset"].censored
    assert found["grokked"].censored


def test_first_crossing_and_stable_time_are_told_apart() -> None:
    found = events(curves([1] * 6, [0.1, 0.2, 0.995, 0.6, 0.99, 1]))["grokked"]
    assert (found.first, found.before, found.stable) == (20, 10, 80)
    assert not found.collapsed


def test_a_collapse_leaves_a_first_time_and_no_stable_one() -> None:
    found = events(curves([0, 1, 1, 1, 1, 1], [0.1, 0.1, 0.1, 1, 1, 0.3]))
    assert found["grokked"] == Event("grokked", first=40, stable=None, before=20, last=160)
    assert found["grokked"].collapsed
    assert not found["grokked"].censored


def test_what_holds_from_the_start_has_nothing_before_it() -> None:
    found = events(curves([1] * 6, [1] * 6))
    for name in ("memorised", "grokked"):
        assert found[name] == Event(name, first=0, stable=0, before=None, last=160)
    assert found["onset"].censored  # it cannot rise above the level it starts at


def test_the_onset_is_measured_from_the_level_when_memorised() -> None:
    leak = [0.1, 0.3, 0.5, 0.52, 0.54, 0.56]  # half of validation leaks before memorising is over
    found = events(curves([0.2, 0.6, 1, 1, 1, 1], leak))
    assert found["onset"].first == 160
    assert found["onset"].before == 80


def test_the_onset_is_for_good() -> None:
    found = events(curves([0, 1, 1, 1, 1, 1], [0.1, 0.1, 0.9, 0.1, 0.3, 0.9]))
    assert found["onset"] == Event("onset", first=80, stable=80, before=40, last=160)
    relapse = events(curves([0, 1, 1, 1, 1, 1], [0.1, 0.1, 0.9, 0.9, 0.3, 0.1]))
    assert relapse["onset"].censored


def test_what_is_lost_after_grokking_moves_no_onset() -> None:
    val = [0.1, 0.1, 0.5, 0.99, 0.1, 0.3]
    for train in ([0, 1, 1, 1, 1, 1], [0, 1, 1, 0.2, 0.2, 0.2]):
        found = events(curves(train, val))
        assert found["onset"] == Event("onset", first=20, stable=20, before=10, last=160)
        assert found["grokked"].collapsed
    data = curves([0, 1, 1, 1, 1, 1], val)
    data["val_loss"] = ("step", [4.0, 9.0, 4.0, 1.0, 9.0, 9.0])
    assert onset_by_loss(data, 0.05) == Event("onset", first=20, stable=20, before=10, last=160)


def test_of_a_run_that_groks_before_it_memorises_all_evaluations_count() -> None:
    found = events(curves([0, 0.5, 0.5, 1, 1, 1], [0.1, 0.99, 0.5, 0.5, 0.5, 0.9]))
    assert found["onset"].first == 160


def test_the_onset_needs_more_than_its_margin() -> None:
    train = [0, 1, 1, 1, 1, 1]
    just = events(curves(train, [0, 0, 0.05, 0.05, 0.05, 0.05]))
    more = events(curves(train, [0, 0, 0.051, 0.051, 0.051, 0.051]))
    assert just["onset"].censored
    assert more["onset"].first == 20


def test_levels_are_rules() -> None:
    data = curves([0, 0.9, 0.9, 1, 1, 1], [0, 0, 0, 0.5, 0.9, 0.9])
    strict, lax = events(data), events(data, Rules(memorised=0.9, grokked=0.8))
    assert (strict["memorised"].first, lax["memorised"].first) == (40, 10)
    assert strict["grokked"].censored
    assert lax["grokked"].first == 80
    assert "0.8" in Rules(grokked=0.8).describe("grokked")
    assert "0.9" in Rules(memorised=0.9).describe("memorised")
    assert "0.07" in Rules(onset=0.07).describe("onset")


def test_evaluations_that_are_missing_in_one_curve_are_passed_over() -> None:
    nan = float("nan")
    found = events(curves([0, nan, 1, nan, 1, 1], [nan, 0.1, nan, 0.1, nan, 1]))
    assert found["memorised"] == Event("memorised", first=20, stable=20, before=0, last=160)
    assert found["grokked"] == Event("grokked", first=160, stable=160, before=40, last=160)


ACCURACIES = st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.98, 0.99, 1.0]), min_size=6, max_size=6)


@given(train=ACCURACIES, val=ACCURACIES)
def test_times_are_in_order_and_on_the_schedule(train: list[float], val: list[float]) -> None:
    for event in events(curves(train, val)).values():
        assert event.last == 160
        for time in (event.first, event.stable, event.before):
            assert time is None or time in STEPS
        if event.first is None:
            assert event.stable is None
            assert event.before is None
        else:
            assert event.stable is None or event.stable >= event.first
            assert event.before is None or event.before < event.first


@given(train=ACCURACIES, val=ACCURACIES)
def test_grokked_is_when_a_plain_loop_says(train: list[float], val: list[float]) -> None:
    event = events(curves(train, val))["grokked"]
    first = next((s for s, a in zip(STEPS, val, strict=True) if a >= 0.99), None)
    stable = next((s for i, s in enumerate(STEPS) if all(a >= 0.99 for a in val[i:])), None)
    assert (event.first, event.stable) == (first, stable)


def test_events_of_a_run_of_one_evaluation() -> None:
    found = events(curves([0.2], [0.1], steps=[0]))
    assert all(event.censored and event.last == 0 for event in found.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rule_is_met_at_its_level_exactly(dtype: type[np.floating]) -> None:
    data = curves([0, 1, 1, 1, 1, 1], [0] * 6).astype(dtype)
    assert events(data, Rules(memorised=1.0))["memorised"].first == 10
