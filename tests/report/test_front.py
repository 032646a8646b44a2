"""The opening of a page on hand-made verdicts."""

from __future__ import annotations

import pytest

from tests.studies.made_up import made_up
from undergrowth.analysis import Estimate, Verdict
from undergrowth.report.front import Section, in_one_paragraph, lines
from undergrowth.report.numbers import told
from undergrowth.report.summary import in_one_sentence
from undergrowth.tasks import Modular

RULING = {"supported": (1.0, 2.0), "contradicted": (-2.0, -1.0), "inconclusive": (-1.0, 1.0)}


def verdict(claim: str, ruling: str) -> Verdict:
    low, high = RULING[ruling]
    of = Estimate((low + high) / 2, low, high, 0.95, 10, "bootstrap (BCa)")
    return Verdict(claim, "study", f"{claim}, {ruling}", of, 0.0, "rule")


def section(*verdicts: Verdict, claims: tuple[str, ...]) -> Section:
    return Section("study", "So?", tuple((c, f"Claim {c}.") for c in claims), {}, verdicts, ())


def test_a_claim_with_verdicts_that_differ_is_mixed_and_counts_them() -> None:
    found = section(
        verdict("A", "contradicted"),
        verdict("B", "supported"),
        verdict("A", "supported"),
        verdict("A", "contradicted"),
        claims=("A", "B", "C"),
    )
    a, b, c = lines(found)
    in_part = section(verdict("A", "inconclusive"), verdict("A", "contradicted"), claims=("A",))
    (line,) = lines(in_part)
    assert (line.ruling, line.says) == ("contradicted", "1 inconclusive, 1 contradicted")
    assert (a.ruling, a.says) == ("mixed", "1 supported, 2 contradicted")
    assert [place for place, _ in a.verdicts] == [1, 3, 4]
    assert (b.ruling, b.says) == ("supported", "supported")
    assert (c.ruling, c.says, c.verdicts) == ("none", "no answer", ())


def test_runs_of_several_kinds_are_told_by_how_the_claims_stand() -> None:
    runs = [made_up(0), made_up(0, base=made_up(0).spec.replace(task=Modular(p=7)))]
    found = section(
        verdict("A", "contradicted"),
        verdict("B", "supported"),
        verdict("C", "supported"),
        verdict("C", "inconclusive"),
        claims=("A", "B", "C", "D"),
    )
    assert in_one_paragraph([found, found], runs) == (
        "Of 8 claims in 2 studies, tested on 2 runs: 4 supported by all verdicts that decide, "
        "2 contradicted by all that decide, 2 without an answer."
    )


def test_runs_of_one_kind_are_told_by_when_they_grokked() -> None:
    runs = [made_up(seed) for seed in range(3)]
    found = section(verdict("A", "supported"), claims=("A",))
    assert in_one_paragraph([found], runs) == in_one_sentence(runs)


@pytest.mark.parametrize(
    ("value", "said"),
    [(3.26e-4, "3.26 × 10⁻⁴"), (-1.5e12, "−1.50 × 10¹²"), (0.5, "0.5"), (1234.0, "1,234")],
)
def test_numbers_are_written_as_people_write_them(value: float, said: str) -> None:
    assert told(value) == said
