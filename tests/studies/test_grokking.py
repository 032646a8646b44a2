"""The grokking study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import made_up
from undergrowth.studies import grokking


def verdicts(*runs):
    """The first verdict on each claim."""
    return {verdict.claim: verdict for verdict in reversed(grokking._verdicts(runs))}


def test_late_grokking_supports_p1_with_the_ratio_of_first_times() -> None:
    found = verdicts(made_up(0), made_up(1), made_up(2), made_up(3, grokked=4))["P1"]
    assert found.verdict == "supported"
    assert found.estimate.effect == pytest.approx(np.mean(np.log10([4, 4, 4, 8])))
    assert found.estimate.n == 4


def test_grokking_at_once_contradicts_p1() -> None:
    seeds = (made_up(seed, grokked=2 if seed > 9 else 1) for seed in range(12))
    assert verdicts(*seeds)["P1"].verdict == "contradicted"


def test_seeds_that_are_all_alike_say_nothing_of_their_spread() -> None:
    found = verdicts(*(made_up(seed, grokked=1) for seed in range(12)))["P1"]
    assert (found.estimate.effect, found.verdict) == (0.0, "inconclusive")


def test_seeds_that_have_not_grokked_yet_contradict_nothing() -> None:
    seeds = (made_up(seed, grokked=3 if seed == 0 else None) for seed in range(12))
    found = verdicts(*seeds)["P1"]
    assert found.verdict == "inconclusive"
    assert found.estimate.high > np.log10(1600 / 100) * 0.8  # as if they grokked at the last step


def test_a_seed_that_never_groks_is_counted_against_p1_not_dropped() -> None:
    found = verdicts(made_up(0), made_up(1, grokked=None), made_up(2))["P1"]
    assert found.estimate.n == 3
    assert found.estimate.effect == pytest.approx(np.log10(4) * 2 / 3)
    assert "1 of 3 seeds censored" in found.note


def test_overfitting_then_falling_supports_p2_by_its_smallest_margin() -> None:
    found = verdicts(made_up(0), made_up(1))["P2"]
    assert found.verdict == "supported"
    assert found.estimate.effect == pytest.approx(np.log10([16, 16.16]).mean() - np.log10(np.log(53)))


def test_validation_loss_that_never_falls_contradicts_p2() -> None:
    found = verdicts(*(made_up(seed, grokked=None) for seed in range(3)))["P2"]
    assert found.verdict == "contradicted"


def test_the_share_of_the_way_is_from_onset_to_grokked() -> None:
    found = verdicts(made_up(0), made_up(1))["P14"]
    assert found.estimate.effect == pytest.approx((400 - 200) / 400)
    long = verdicts(made_up(0, grokked=5), made_up(1, grokked=5))["P14"]
    assert long.estimate.effect == pytest.approx((1600 - 800) / 1600)


def test_a_run_with_no_onset_is_said_in_p14() -> None:
    found = verdicts(made_up(0), made_up(1), made_up(2, grokked=None))["P14"]
    assert "1 of 3 seeds had no onset" in found.note


def test_the_control_is_told_beside_p1() -> None:
    found = verdicts(made_up(0), made_up(1), made_up(0, "shuffled", grokked=None))["P1"]
    assert found.estimate.n == 2
    assert "Control: 1 with shuffled labels end at 0.020" in found.note


LOG_STEPS = tuple(range(0, 2000, 20))


def losses(seed: int, val_falls: int, train_falls: int, labels: str = "true"):
    """A run whose losses stand still from step 100 on and fall by a decade in 200 steps from then on."""
    run = made_up(seed, labels)
    steps = np.array(LOG_STEPS)
    wiggle = 0.01 * np.sin(steps * (1 + seed))

    def falling(level: float, at: int) -> np.ndarray:
        return 10 ** (level + wiggle - np.maximum(steps - at - 10 * seed, 0) / 200)

    columns = {
        "train_loss": np.where(steps < 100, 1.0, falling(-3, train_falls)),
        "val_loss": falling(1, val_falls),
        "train_accuracy": (steps >= 100).astype(float),
        "val_accuracy": np.where(steps >= 1800, 1.0, 0.02),
    }
    curves = xr.Dataset({n: ("step", v) for n, v in columns.items()}, {"step": steps})
    run.__dict__["curves"] = curves
    return run


def p3(*runs):
    return [verdict for verdict in grokking._verdicts(runs) if verdict.claim == "P3"]


def test_validation_that_falls_before_the_train_floor_supports_p3_by_every_rule() -> None:
    found = p3(*(losses(seed, 400, 1200) for seed in range(3)))
    assert {v.verdict for v in found} == {"supported"}
    assert found[0].estimate.effect == pytest.approx(np.log10(3), abs=0.05)
    assert "Train minus validation: 7" in found[0].note or "8" in found[0].note
    assert "0 of 3 seeds have a bound" in found[0].note


def test_a_train_floor_that_falls_first_contradicts_p3() -> None:
    assert {v.verdict for v in p3(*(losses(s, 1200, 400) for s in range(3)))} == {"contradicted"}


def test_losses_that_fall_together_decide_nothing() -> None:
    starts = [(400, 420), (440, 400), (420, 420), (420, 410)]
    found = p3(*(losses(seed, *pair) for seed, pair in enumerate(starts)))
    assert {v.verdict for v in found} == {"inconclusive"}


def test_a_train_floor_that_never_falls_counts_as_a_bound_for_p3() -> None:
    found = p3(*(losses(seed, 400, 5000) for seed in range(3)))
    assert {v.verdict for v in found} == {"supported"}
    assert "3 of 3 seeds have a bound" in found[0].note


def test_no_floor_at_all_is_a_bound_against_p3() -> None:
    rule = grokking.FALL_RULES[0]
    low, high = grokking.lead(losses(0, 1000, 0), rule)
    assert low < high < 0


def test_a_run_that_never_memorised_says_nothing_of_p3_but_counts() -> None:
    run = losses(0, 400, 1200)
    run.__dict__["curves"] = run.curves.assign(train_accuracy=run.curves["val_accuracy"] * 0)
    assert grokking.lead(run, grokking.FALL_RULES[0]) == (-1.0, 1.0)


def test_p14_has_a_verdict_for_each_onset_rule_and_they_may_differ() -> None:
    runs = [losses(seed, 500, 1200) for seed in range(3)]
    found = [v for v in grokking._verdicts(runs) if v.claim == "P14"]
    assert len(found) == len(grokking.ONSETS)
    by_rule = dict(zip(grokking.ONSETS, found, strict=True))
    assert by_rule["loss - 50 %"].verdict == "supported"  # (1800 - 580) / 1800
    assert by_rule["bend of the loss"].estimate.effect == pytest.approx(1290 / 1800, abs=0.03)
    assert np.nan_to_num(by_rule[grokking.MAIN_ONSET].estimate.effect) < 0.5


@pytest.mark.parametrize("runs", [(), (losses(0, 400, 900),), (made_up(0, "shuffled", grokked=None),)])
def test_any_subset_of_the_runs_is_answered(runs) -> None:
    found = grokking.answer(runs)
    assert {v.verdict for v in found.verdicts} == {"inconclusive"}


def test_the_order_of_the_runs_changes_nothing() -> None:
    runs = [losses(seed, 400, 1200) for seed in range(3)]
    forwards, backwards = (grokking._verdicts(order) for order in (runs, runs[::-1]))
    assert [v.to_dict() for v in forwards] == [v.to_dict() for v in backwards]
