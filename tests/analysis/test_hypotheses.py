"""Rival explanations held against planted verdicts."""

from __future__ import annotations

import pytest

from undergrowth.analysis import Estimate, Exceeds, Verdict
from undergrowth.analysis.hypotheses import (
    EFFICIENCY,
    FREQUENCY,
    LAZY,
    RIVALS,
    Expectation,
    duels,
    held_against_each_other,
    in_words,
)
from undergrowth.analysis.predictions import Expected, Prediction, Scored
from undergrowth.studies import STUDIES

UP, DOWN, NOTHING, UNCLEAR = (0.3, 0.5), (-0.5, -0.3), (-0.05, 0.05), (-0.5, 0.5)


def verdict(endpoint: str, interval: tuple[float, float], claim: str = "P18", n: int = 16) -> Verdict:
    low, high = interval
    estimate = Estimate((low + high) / 2, low, high, 0.95, n, method="planted")
    return Verdict(claim, "study", endpoint, "statistic", estimate, Exceeds(0.1))


def expected(name: str, of: Verdict, expects: Expected) -> Expectation:
    return Expectation.of(Scored(Prediction(name, of.endpoint, expects), of))


WON, TIED, OPEN = verdict("won", UP), verdict("tied", NOTHING), verdict("unclear", UNCLEAR, "P4")
SCORES = [
    expected(FREQUENCY, OPEN, ">"),
    expected(FREQUENCY, WON, ">"),
    expected(EFFICIENCY, WON, "none"),
    expected(FREQUENCY, TIED, ">"),
    expected(EFFICIENCY, TIED, "none"),
    expected(LAZY, TIED, "none"),
    expected("exploration", WON, "<"),
]


def test_a_row_has_what_each_rival_expected_and_answers_come_first() -> None:
    rows = held_against_each_other(SCORES)
    assert [row.outcome.endpoint for row in rows] == ["won", "tied", "unclear"]
    assert rows[0].expected == {FREQUENCY: (">", "right"), EFFICIENCY: ("none", "wrong")}
    assert [row.parts for row in rows] == [True, True, False]
    assert not rows[2].is_answered


def test_duels_count_only_where_two_expect_different_outcomes_and_there_is_an_answer() -> None:
    found = {(duel.one, duel.other): duel for duel in duels(held_against_each_other(SCORES))}
    assert {pair: (d.n, d.one_right, d.other_right) for pair, d in found.items()} == {
        (FREQUENCY, EFFICIENCY): (2, 1, 1),
        (FREQUENCY, LAZY): (1, 0, 1),
    }


@pytest.mark.parametrize(("interval", "first", "second"), [(UP, 1, 0), (NOTHING, 0, 1), (DOWN, 0, 0)])
def test_the_paragraph_comes_out_as_the_runs_do(
    interval: tuple[float, float], first: int, second: int
) -> None:
    of = verdict("only", interval)
    said = in_words([expected(FREQUENCY, of, ">"), expected(EFFICIENCY, of, "none")])
    counts = f"{FREQUENCY} {first} of 1; {EFFICIENCY} {second} of 1"
    assert said == (
        "2 explanations of grokking made 2 predictions at 1 endpoint; 1 of these have an answer. Right "
        f"so far: {counts}. Where {FREQUENCY} and {EFFICIENCY} expect different outcomes (1 endpoint), "
        f"the first was right at {first}, the second at {second}."
    )


def test_it_says_where_seeds_are_few_and_where_there_is_no_answer() -> None:
    few = verdict("only", UP, n=4)
    assert in_words([expected(FREQUENCY, few, ">")]).endswith(
        "Of these answers 1 rest on fewer seeds than a claim needs."
    )
    assert in_words([expected(FREQUENCY, OPEN, ">")]) == (
        "1 explanation of grokking made 1 prediction at 1 endpoint; 0 of these have an answer."
    )
    assert in_words([expected("exploration", WON, ">")]) == ""


def test_every_study_calls_the_rivals_by_their_names() -> None:
    """A hypothesis that reads like a rival's under another name would be missing from the table."""
    words = {name: set(name.split()) - {"of", "to", "and"} for name in RIVALS}
    for study in STUDIES.values():
        for name in set(study.hypotheses) - set(RIVALS):
            mine = set(name.split())
            alike = [rival for rival, its in words.items() if its <= mine or mine <= its]
            assert not alike, (study.name, name, alike)


def test_every_rival_is_held_against_something() -> None:
    named = {name for study in STUDIES.values() for name in study.hypotheses}
    assert set(RIVALS) <= named
