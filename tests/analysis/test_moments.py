"""What is compared between two moments of a run, and when there is nothing to compare."""

from __future__ import annotations

import math

import pytest

from tests.studies.made_up import made_up
from undergrowth.analysis.moments import change_since_memorised, ends


def test_a_change_is_from_memorised_to_the_end_or_to_an_event() -> None:
    run = made_up(0)  # memorised at 100, grokked at 400
    loss = run.curves["val_loss"]
    assert change_since_memorised(run, loss, float) == pytest.approx(0.01 - 16)
    steps = [
        [int(at["step"]) for at in found]
        for found in (ends(run, loss), ends(run, loss, until="grokked"), ends(run, loss, "grokked"))
        if found
    ]
    assert steps == [[100, 1600], [100, 400], [400, 1600]]


def test_a_run_that_failed_or_never_memorised_has_no_change() -> None:
    run = made_up(0)
    loss = run.curves["val_loss"]
    run.__dict__["status"] = "failed"
    assert math.isnan(change_since_memorised(run, loss, float))
    never = made_up(1)
    never.__dict__["curves"] = never.curves.assign(train_accuracy=never.curves["val_accuracy"] * 0)
    assert math.isnan(change_since_memorised(never, loss, float))


def test_what_never_groks_or_does_so_at_the_end_has_nothing_beyond() -> None:
    never, last = made_up(0, grokked=None), made_up(0, grokked=5)
    assert ends(never, never.curves["val_loss"], until="grokked") is None
    assert ends(last, last.curves["val_loss"], "grokked") is None
