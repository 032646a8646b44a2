"""What is compared, what is left out, and that it is said."""

from __future__ import annotations

import math

import pytest
from undergrowth.studies.against_control import against_control

from tests.studies.made_up import made_up
from undergrowth.analysis import Verdict, difference
from undergrowth.analysis.moments import change_since_memorised


def test_seeds_with_nothing_to_compare_are_left_out_and_said_to_be() -> None:
    runs = [made_up(s) for s in range(3)] + [made_up(s, "shuffled") for s in range(3)]
    numbers = {run.id: float(i) for i, run in enumerate(runs)} | {runs[0].id: math.nan}
    compared = against_control(runs, lambda run: numbers[run.id])
    assert (compared.estimate.n, compared.estimate.n_control) == (2, 3)
    assert compared.estimate.effect == pytest.approx((1 + 2) / 2 - (3 + 4 + 5) / 3)
    assert "+1.5 (2 seeds) with true labels, +4 (3 seeds) in the control" in compared.note
    assert "1 of 6 runs failed" in compared.note


def test_without_a_control_nothing_is_decided() -> None:
    compared = against_control([made_up(s) for s in range(3)], lambda run: float(run.spec.seeds.model))
    assert math.isnan(compared.estimate.effect)
    assert "unknown in the control" in compared.note


def test_a_claim_needs_seeds_enough_of_the_control_too() -> None:
    def of(n: int) -> Verdict:
        compared = difference([float(x) for x in range(10)], [float(x) for x in range(n)])
        return Verdict("P1", "s", "x", compared, 0.0, "rule")

    few, enough = of(9), of(10)
    assert not few.is_claim
    assert enough.is_claim


def test_a_run_that_failed_or_never_memorised_has_no_change() -> None:
    run = made_up(0)
    loss = run.curves["val_loss"]
    assert change_since_memorised(run, loss, float) == pytest.approx(0.01 - 16)
    run.__dict__["status"] = "failed"
    assert math.isnan(change_since_memorised(run, loss, float))
    never = made_up(1)
    never.__dict__["curves"] = never.curves.assign(train_accuracy=never.curves["val_accuracy"] * 0)
    assert math.isnan(change_since_memorised(never, loss, float))
