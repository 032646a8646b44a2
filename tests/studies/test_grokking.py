"""The grokking study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import numpy as np
import pytest

from tests.studies.made_up import made_up
from undergrowth.studies import grokking


def verdicts(*runs):
    return {verdict.claim: verdict for verdict in grokking._verdicts(runs)}


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
