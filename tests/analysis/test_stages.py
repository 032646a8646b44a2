"""Readings at events: made-up runs memorise at step 100, set off at 200 and grok at 400."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tests.studies.made_up import STEPS, made_up
from undergrowth.analysis.stages import at_event, between_events

STEP = xr.DataArray(np.array(STEPS), dims="step", coords={"step": list(STEPS)})


def test_a_reading_is_taken_at_its_first_step_from_the_event_on() -> None:
    assert at_event(made_up(0), STEP, "memorised") == 100
    assert at_event(made_up(0), STEP.sel(step=[0, 200, 400]), "memorised") == 200
    assert at_event(made_up(0), STEP, "grokked") == 400


def test_a_reading_that_ends_before_the_event_has_no_value_there() -> None:
    assert at_event(made_up(0), STEP.sel(step=[0, 200]), "grokked") is None


def test_a_stage_ends_before_the_event_that_ends_it() -> None:
    found = between_events(made_up(0), STEP, "memorised", "grokked")
    assert found is not None
    assert found.values.tolist() == [100, 200]


def test_a_stage_whose_end_never_comes_lasts_as_long_as_the_run() -> None:
    never = between_events(made_up(0, grokked=None), STEP, "memorised", "grokked")
    whole = between_events(made_up(0), STEP, "memorised", None)
    for found in (never, whole):
        assert found is not None
        assert found["step"].values.tolist() == list(STEPS[1:])


def test_where_nothing_lies_between_there_is_nothing() -> None:
    assert between_events(made_up(0), STEP, "memorised", "onset") is None
    never = made_up(0, grokked=None)
    assert at_event(never, STEP, "grokked") is None
    assert between_events(never, STEP, "grokked", None) is None


def test_a_failed_run_has_none() -> None:
    failed = made_up(0)
    failed.__dict__["status"] = "failed"
    assert at_event(failed, STEP, "memorised") is None
    assert between_events(failed, STEP, "memorised", None) is None
