"""One answer for each claim, and all of them adjusted together."""

from __future__ import annotations

import math

import pytest

from undergrowth.analysis import Estimate, Exceeds, Verdict, estimate
from undergrowth.analysis.claims import adjusted, answered
from undergrowth.analysis.predictions import Prediction, Scored, tallied

HIGH, LOW, NEAR = [1.0, 1.2, 0.9, 1.1] * 4, [-1.0, -1.2, -0.9, -1.1] * 4, [0.01, -0.02, 0.01, 0.0] * 4
WIDE = [2.0, -2.0, 1.0, -1.0]


def verdict(claim: str, values: list[float], *, primary: bool = False, waits_for: str = "") -> Verdict:
    return Verdict(
        claim,
        "study",
        f"{claim}-{primary}-{sum(values):.2f}",
        "number",
        estimate(values),
        Exceeds(0.5),
        is_primary=primary,
        waits_for=waits_for,
    )


@pytest.mark.parametrize(
    ("values", "ruling"),
    [(HIGH, "supported"), (LOW, "contradicted"), (NEAR, "no effect"), (WIDE, "inconclusive")],
)
def test_the_primary_alone_rules_and_checks_only_agree_or_not(values: list[float], ruling: str) -> None:
    checks = [verdict("A", HIGH), verdict("A", LOW), verdict("A", LOW)]
    (found,) = answered({"A": "says"}, [*checks, verdict("A", values, primary=True)])
    assert found.ruling == ruling
    assert (found.n_agreeing, len(found.known)) == (1, 3)
    assert found.robustness == "1 of 3 checks agree in sign"


def test_a_claim_whose_primary_waits_or_is_not_there_is_open_whatever_its_checks_say() -> None:
    waiting = verdict("A", HIGH, primary=True, waits_for="longer runs")
    a, b = answered({"A": "says", "B": "says"}, [waiting, verdict("A", HIGH), verdict("B", HIGH)])
    assert (a.ruling, a.waits_for) == ("open", "longer runs")
    assert b.ruling == "open"
    assert b.waits_for
    assert a.to_dict()["effect"] == pytest.approx(1.05)
    assert "effect" not in b.to_dict()


def test_only_primaries_with_an_answer_count_when_p_is_adjusted() -> None:
    primaries = [verdict(claim, HIGH, primary=True) for claim in "AB"]
    waiting = verdict("C", HIGH, primary=True, waits_for="longer runs")
    alone = adjusted([primaries[0], waiting, verdict("A", HIGH)])
    assert alone[0].p_adjusted == pytest.approx(alone[0].p)
    assert math.isnan(alone[1].p_adjusted)
    assert math.isnan(alone[2].p_adjusted)
    both = adjusted([*primaries, waiting])
    assert [v.p_adjusted for v in both[:2]] == pytest.approx([2 * v.p for v in primaries])


@pytest.mark.parametrize(
    ("values", "expects", "score"),
    [
        (HIGH, ">", "right"),
        (HIGH, "<", "wrong"),
        (HIGH, "none", "wrong"),
        (LOW, "<", "right"),
        (LOW, ">", "wrong"),
        (NEAR, "none", "right"),
        (NEAR, ">", "wrong"),
        (NEAR, "<", "wrong"),
        (WIDE, ">", "open"),
    ],
)
def test_a_prediction_is_held_against_the_ruling(values: list[float], expects, score: str) -> None:
    prediction = Prediction("a hypothesis", "endpoint", expects)
    assert prediction.score(verdict("A", values)) == score
    waiting = verdict("A", values, waits_for="longer runs")
    (tally,) = tallied([Scored(prediction, verdict("A", values)), Scored(prediction, waiting)])
    counts = {"right": tally.right, "wrong": tally.wrong, "open": tally.open}
    assert counts == {"right": 0, "wrong": 0, "open": 1} | {score: 2 if score == "open" else 1}


def test_an_estimate_without_an_interval_rules_nothing() -> None:
    unknown = Estimate(3.0, math.nan, math.nan, 0.95, 1, "none")
    found = Verdict("A", "study", "endpoint", "number", unknown, Exceeds(0.5), is_primary=True)
    assert found.ruling == "inconclusive"
    assert math.isnan(found.p)
    assert found.to_dict()["interval"] == [None, None]
