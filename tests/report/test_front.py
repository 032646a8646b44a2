"""The opening of a page on hand-made verdicts."""

from __future__ import annotations

import pytest

from tests.studies.made_up import made_up
from undergrowth.analysis import Above, Estimate, Verdict, estimate
from undergrowth.report.answer import in_one_paragraph
from undergrowth.report.forest import forest
from undergrowth.report.front import Section, lines
from undergrowth.report.numbers import format_number
from undergrowth.report.summary import in_one_sentence
from undergrowth.tasks import Modular

VALUES = {"supported": [1.0, 1.1, 1.2], "contradicted": [-1.0, -1.1, -1.2], "inconclusive": [-1.0, 1.0]}


def verdict(claim: str, ruling: str, *, primary: bool = True, study: str = "study") -> Verdict:
    found = Verdict(claim, study, claim, "number", estimate(VALUES[ruling]), Above(0.0), primary)
    assert found.ruling == ruling
    return found


def section(*verdicts: Verdict, claims: str, name: str = "study") -> Section:
    return Section(name, "So?", {c: f"Claim {c}." for c in claims.split()}, {}, verdicts, ())


def test_a_claim_has_one_line_from_all_sections_and_leads_to_the_one_that_decides_it() -> None:
    checks = section(verdict("P8", "contradicted", primary=False), claims="P8", name="decay")
    decides = section(verdict("P8", "supported"), claims="C1 P10 P8", name="regularisers")
    found = lines([checks, decides])
    assert [line.answer.claim for line in found] == ["P8", "P10", "C1"]
    assert [line.answer.ruling for line in found] == ["supported", "open", "open"]
    assert found[0].section == "regularisers"
    assert found[0].answer.robustness == "0 of 1 checks agree in sign"


def test_runs_of_several_kinds_are_told_by_how_the_claims_stand() -> None:
    runs = [made_up(0), made_up(0, base=made_up(0).spec.replace(task=Modular(p=7)))]
    found = section(
        verdict("P1", "contradicted"),
        verdict("P2", "supported"),
        verdict("P3", "supported"),
        verdict("P3", "inconclusive", primary=False),
        claims="P1 P2 P3 P4",
    )
    assert in_one_paragraph([found], runs) == (
        "Of the post’s claims, 3 have a ruling: 2 are supported (P2, P3) and 1 is contradicted (P1). "
        "The clearest: “Claim P1” is contradicted (−1.1)."
    )


def test_runs_of_one_kind_are_told_by_when_they_grokked() -> None:
    runs = [made_up(seed) for seed in range(3)]
    found = section(verdict("P1", "supported"), claims="P1")
    assert in_one_paragraph([found], runs) == (
        f"{in_one_sentence(runs)} The post’s claim that “Claim P1” is supported (1.1)."
    )


def test_the_drawing_of_a_verdict_runs_to_the_edge_where_its_interval_is_open() -> None:
    inf = float("inf")
    open_below = Estimate(0.0, -inf, 1.0, 0.95, 6, "exact sign test")
    drawn = forest(Verdict("P1", "s", "e", "number", open_below, Above(0.5)))
    assert 'class="whisker" d="M0.0 11H226.0M226.0 7v8"' in drawn
    assert "inf" not in drawn
    assert "nan" not in drawn


@pytest.mark.parametrize(
    ("value", "said"),
    [(3.26e-4, "3.26 × 10⁻⁴"), (-1.5e12, "−1.50 × 10¹²"), (0.5, "0.5"), (1234.0, "1,234")],
)
def test_numbers_are_written_as_people_write_them(value: float, said: str) -> None:
    assert format_number(value) == said
