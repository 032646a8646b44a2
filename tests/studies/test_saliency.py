"""The saliency study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, made_up, over_neurons
from undergrowth.studies import saliency, small_arms

EVEN, UNEVEN = [1.0, 1.1, 0.9, 1.0], [0.1, 0.1, 0.1, 9.0]


def run(seed: int, labels: str, ends: list[float]):
    by_step = over_neurons([EVEN] * (len(STEPS) - 1) + [ends])
    return made_up(seed, labels, saliency_median=by_step, saliency_breadth=by_step / 10)


def by_claim(claim: str, ends: list[float], control_ends: list[float]):
    true = [run(seed, "true", [*ends[:3], ends[3] * (1 + seed / 100)]) for seed in range(3)]
    control = [
        run(s, "shuffled", [*control_ends[:3], control_ends[3] * (1 + s / 100)]) for s in range(3)
    ]
    return [v for v in saliency._verdicts([*true, *control]) if v.claim == claim]


def test_saliency_that_concentrates_supports_p16() -> None:
    found = by_claim("P16", UNEVEN, EVEN)
    assert {verdict.verdict for verdict in found} == {"supported"}
    assert found[0].estimate.effect == pytest.approx(1.1547, abs=0.15)  # of one in four, minus about 0


def test_saliency_that_concentrates_as_much_in_the_control_supports_nothing() -> None:
    assert {verdict.verdict for verdict in by_claim("P16", UNEVEN, UNEVEN)} == {"inconclusive"}


def test_saliency_that_evens_out_against_the_control_contradicts_p16() -> None:
    assert {verdict.verdict for verdict in by_claim("P16", EVEN, UNEVEN)} == {"contradicted"}


def test_breadth_that_rises_supports_p15() -> None:
    breadth, *_ = by_claim("P15", [3.0, 3.0, 3.0, 3.0], EVEN)
    assert breadth.verdict == "supported"
    assert breadth.estimate.effect == pytest.approx(0.2, abs=0.01)


def test_the_note_says_when_it_was_highest_and_that_it_may_have_fallen_again() -> None:
    by_step = over_neurons([EVEN, EVEN, UNEVEN, EVEN, EVEN, EVEN])
    runs = [made_up(s, saliency_median=by_step, saliency_breadth=by_step / 10) for s in range(2)]
    skew = next(v for v in saliency._verdicts(runs) if "skewness" in v.statistic)
    assert "Highest near step 200" in skew.note


ARM = small_arms.ARMS[small_arms.CHEAP]
PREFIXES = tuple(small_arms.ATTRIBUTIONS)


def shares(values: list[float]) -> xr.DataArray:
    """Shapley values of two equal neurons of which validation gets a share of the training margin."""
    train = np.ones((len(STEPS), 2))
    both = np.stack([train, train * np.asarray(values)[:, None]], axis=1)
    coords = {"step": list(STEPS), "side": ["train", "val"]}
    return xr.DataArray(both, coords, ("step", "side", "neuron"))


def in_arm(seed: int, labels: str, ends: list[float], general: list[float] | None = None, arm=ARM):
    by_step = over_neurons([EVEN] * (len(STEPS) - 1) + [[*ends[:3], ends[3] * (1 + seed / 100)]])
    readings: dict[str, Any] = {
        f"{p}_{name}": by_step for p in PREFIXES for name in ("median", "breadth")
    }
    given = [share ** (1 + seed / 20) for share in general or [0.0] * len(STEPS)]
    readings["shapley_margin_mean"] = shares(given)
    return made_up(seed, labels, base=arm, **readings)


def arms_say(claim: str, *runs):
    return [v for v in saliency.answer(runs).verdicts if v.claim == claim]


def test_each_arm_has_verdicts_by_attribution_and_side_against_its_own_control() -> None:
    arms = {"two-token MLP": (UNEVEN, EVEN), "no decay": (EVEN, UNEVEN), "Muon": (UNEVEN, UNEVEN)}
    runs = [
        in_arm(seed, labels, ends, arm=small_arms.ARMS[arm])
        for arm, pair in arms.items()
        for labels, ends in zip(("true", "shuffled"), pair, strict=True)
        for seed in range(3)
    ]
    found = arms_say("P16", *runs)
    assert len(found) == len(arms) * len(PREFIXES) * 2
    expected = {"two-token MLP": "supported", "no decay": "contradicted", "Muon": "inconclusive"}
    for arm, verdict in expected.items():
        assert {v.verdict for v in found if v.statistic.startswith(arm)} == {verdict}


def p10(general: list[float], grokked: int | None = 3):
    runs = [in_arm(seed, "true", EVEN, general) for seed in range(3)]
    if grokked is None:
        runs = [
            made_up(seed, base=ARM, grokked=None, shapley_margin_mean=shares(general))
            for seed in range(3)
        ]
    return arms_say("P10", *runs)


def test_both_parts_midway_and_a_wide_rise_support_p10() -> None:
    coexist, gradual = p10([0, 0.05, 0.4, 0.5, 0.7, 0.9])
    assert (coexist.verdict, gradual.verdict) == ("supported", "supported")
    assert coexist.estimate.effect == pytest.approx(0.4, abs=0.03)


def test_a_sudden_switch_with_one_part_at_a_time_contradicts_p10() -> None:
    coexist, gradual = p10([0, 0.01, 0.94, 0.97, 0.98, 0.99])
    assert (coexist.verdict, gradual.verdict) == ("contradicted", "contradicted")


def test_a_share_that_rises_as_accuracy_does_decides_nothing() -> None:
    like_accuracy = [0.02, 0.02, 0.5, 1.0, 1.0, 1.0]
    assert p10(like_accuracy)[1].verdict == "inconclusive"


def test_seeds_that_never_grok_are_open_both_ways_in_p10() -> None:
    coexist, gradual = p10([0, 0.1, 0.3, 0.5, 0.7, 0.9], grokked=None)
    assert (coexist.verdict, gradual.verdict) == ("inconclusive", "inconclusive")
    assert "3 of 3 seeds had no midway" in coexist.note
    assert "3 of 3 seeds censored" in gradual.note


def test_chance_is_not_midway_of_parity() -> None:
    arm = small_arms.ARMS["sparse parity"]
    run = made_up(0, base=arm, level=0.5, shapley_margin_mean=shares([0.5] * len(STEPS)))
    (coexist, _) = arms_say("P10", run)
    assert "1 of 1 seed had no midway" in coexist.note  # 0.5, then 1: never between


def test_without_the_reading_there_is_no_verdict_on_p10() -> None:
    assert arms_say("P10", run(0, "true", EVEN)) == []
    assert arms_say("P10", in_arm(0, "shuffled", EVEN, [0, 0.1, 0.4, 0.5, 0.7, 0.9])) == []


def test_any_subset_in_any_order_is_answered() -> None:
    runs = [in_arm(s, lab, UNEVEN, [0, 0.1, 0.4, 0.5, 0.7, 0.9]) for s in (0, 1) for lab in LABELS]
    assert saliency.answer(()).figures == ()
    for some in ([run(0, "shuffled", EVEN)], runs[:1], runs[1:2], [made_up(0)], [made_up(0, base=ARM)]):
        assert {v.verdict for v in saliency.answer(some).verdicts} <= {"inconclusive"}
    said = [[v.to_dict() for v in saliency.answer(order).verdicts] for order in (runs, runs[::-1])]
    assert said[0] == said[1]
    drawn = saliency.answer(runs).figures
    assert [figure.name for figure in drawn] == ["saliency_by_arm", "general_share"]
    assert len(drawn[0].table) == len(PREFIXES) * 4


LABELS = ("true", "shuffled")
