"""The saliency study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import pytest

from tests.studies.made_up import STEPS, made_up, over_neurons
from undergrowth.studies import saliency

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
