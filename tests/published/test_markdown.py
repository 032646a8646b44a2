"""FINDINGS.md says of each claim what the published results say: no number there is typed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from undergrowth.published.hypotheses import expectations, rivals_in_words
from undergrowth.published.markdown import BEGINS, ENDS, RULINGS, answer, claims_table, within
from undergrowth.published.reading import claims, published, results, shipped
from undergrowth.studies import STUDIES

ROOT = Path(__file__).parents[2]
FINDINGS, README = ROOT / "FINDINGS.md", ROOT / "README.md"


def test_findings_has_the_table_of_the_published_results() -> None:
    text = FINDINGS.read_text(encoding="utf-8")
    assert text == within(text, claims_table()), (
        "put what `undergrowth results --markdown` prints between its first and last line in FINDINGS.md"
    )


def test_the_readme_has_what_the_published_results_say_of_the_rivals() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == within(text, answer()), "put what `published.markdown.answer()` gives there"
    assert rivals_in_words() in text


def test_each_decided_claim_has_a_line_and_the_others_are_counted() -> None:
    lines = answer().splitlines()
    decided = {row["claim"] for row in claims() if row["ruling"] in RULINGS}
    told = {line[4:].split()[0] for line in lines if line.startswith("* **")}
    assert told == decided
    few = {row["claim"] for row in claims() if row["claim"] in decided and row["n_seeds"] < 16}
    assert {line[4:].split()[0] for line in lines if "a demonstration" in line} == few
    inconclusive = sum(row["ruling"] == "inconclusive" for row in claims())
    asked = {claim.id for study in STUDIES.values() for claim in study.claims}
    waiting = len(asked) - len(decided) - inconclusive
    assert (
        f"* Inconclusive: {inconclusive} of the {len(asked)} claims; waiting for runs: {waiting}."
        in lines
    )


def test_published_expectations_are_those_of_the_studies_and_their_verdicts() -> None:
    found = expectations()
    assert found
    for each in found:
        study = STUDIES[each.outcome.study]
        assert (each.hypothesis, each.outcome.endpoint, each.expects) in {
            (p.hypothesis, p.endpoint, p.expects) for p in study.predictions
        }
        verdict = next(v for v in results(study.name).verdicts if v["endpoint"] == each.outcome.endpoint)
        assert each.outcome.ruling == verdict["ruling"]


def test_nothing_is_said_of_no_results(tmp_path: Path) -> None:
    assert rivals_in_words(tmp_path) == ""


def test_every_claim_of_every_study_has_one_line() -> None:
    lines = [line.split(" | ")[0].strip("| ") for line in claims_table().splitlines()[4:-2]]
    assert sorted(lines) == sorted({claim.id for study in STUDIES.values() for claim in study.claims})


def test_what_is_not_published_is_open(tmp_path: Path) -> None:
    rows = claims_table(tmp_path).splitlines()[4:-2]
    assert rows
    assert all("| open: not run at its own scale yet |" in row for row in rows)


def test_a_text_without_a_place_for_the_table_is_told() -> None:
    with pytest.raises(ValueError, match="no lines"):
        within("nothing", claims_table())
    assert within(f"a {BEGINS} old {ENDS} b", "new") == "a new b"


@pytest.mark.parametrize("study", published(shipped()))
def test_what_ships_is_whole_small_and_gives_its_answer_again(study: str) -> None:
    its = results(study)
    assert sum(path.stat().st_size for path in its.where.iterdir()) <= 1_000_000
    told = {verdict["endpoint"] for verdict in its.verdicts if verdict["n_seeds"]}
    assert set(its.values["endpoint"]) == told, "each effect has the numbers that it is computed from"
    assert len(its.curves)
    if its.has_all_steps:
        answer = STUDIES[study].answer(its.table())
        rulings = {verdict.endpoint: verdict.ruling for verdict in answer.verdicts}
        assert rulings == {verdict["endpoint"]: verdict["ruling"] for verdict in its.verdicts}


def test_all_that_ships_is_small() -> None:
    files = [path for path in shipped().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 15_000_000
    assert {row["claim"] for row in claims()} <= {c.id for s in STUDIES.values() for c in s.claims}
