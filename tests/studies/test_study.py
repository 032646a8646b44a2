"""Laws of every study: stated before it runs, with a control, one primary endpoint for each claim; and
a store is answered by the parts that its runs play.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from tests import tiny
from tests.studies.made_up import MadeUpRun
from undergrowth.analysis import Exceeds, estimate
from undergrowth.store import Run, Store
from undergrowth.studies import STUDIES, Arm, Claim, Endpoint, Prediction, Statistic, Study
from undergrowth.studies.arm import BUDGETS, of_arms
from undergrowth.studies.conducting import Report, parts_in, places, write_report
from undergrowth.studies.grokking import FIGURE_1A
from undergrowth.studies.table import Table
from undergrowth.sweep import Layout, train


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
@pytest.mark.parametrize("budget", BUDGETS)
class TestEveryStudy:
    def test_its_parts_fit_one_another(self, study: Study, budget) -> None:
        study.check(budget)
        assert len(study.hypotheses) >= 2
        assert study.question.endswith("?")

    def test_brings_a_control_and_enough_seeds_for_a_claim(self, study: Study, budget) -> None:
        arms = study.arms(budget)
        assert len(arms) >= 2
        seeds = Counter(each.part.arm for each in study.planned(budget))
        treated = [  # a run of figure 1a may take a million steps
            seeds[arm.name] for arm in arms if arm.role == "treatment" and arm.name != FIGURE_1A
        ]
        assert min(treated, default=16) >= (4 if budget == "quick" else 16)
        assert min(seeds.values()) >= 2

    def test_gives_as_many_seeds_as_it_is_asked_for(self, study: Study, budget) -> None:
        if budget == "quick":
            assert max(Counter(e.part.arm for e in study.planned(budget, 6)).values()) == 6
        one = {each.part.arm for each in study.planned(budget, 1)}
        assert one == {arm.name for arm in study.arms(budget)}


@pytest.mark.parametrize("budget", BUDGETS)
def test_no_claim_has_two_primaries_and_each_is_decided_by_a_study(budget) -> None:
    primaries = [e.claim for s in STUDIES.values() for e in s.endpoints(budget) if e.is_primary]
    assert max(Counter(primaries).values()) == 1
    claims = {claim.id for study in STUDIES.values() for claim in study.claims}
    assert claims <= set(primaries)


def test_a_claim_is_worded_alike_in_every_study_that_asks_it() -> None:
    worded = {(claim.id, claim.says) for study in STUDIES.values() for claim in study.claims}
    assert not [claim for claim, n in Counter(claim for claim, _ in worded).items() if n > 1]


MEASURED = [{"name": "curves", "schedule": tiny.EVERY_10}]
BASE = tiny.spec(measures=MEASURED)
ENDS = Statistic("last train loss", "At the last step.", lambda run: float(run["train_loss"][-1]))


def small(name: str = "small", **fields) -> Study:
    """A study of two arms that trains in a second."""
    arms = (Arm("true", BASE), Arm("shuffled", BASE.replace(labels="shuffled"), "control", seeds=2))
    given: dict[str, Any] = {
        "claims": (Claim("P1", "Losses differ."), Claim("P2", "Losses are small.")),
        "hypotheses": {"A": "They do.", "B": "They do not."},
        "arms": lambda budget: arms,
        "endpoints": lambda budget: (
            Endpoint(
                "differ",
                "P1",
                ENDS,
                "true",
                Exceeds(),
                control="shuffled",
                paired=False,
                is_primary=True,
            ),
            Endpoint("small", "P2", ENDS, "true", Exceeds(1e6), is_primary=True),
        ),
        "predictions": (Prediction("A", "differ", ">"), Prediction("B", "differ", "none")),
    }
    return Study(name, "Do they?", **{**given, **fields})


def stored(study: Study, root: Path, *more) -> Store:
    planned = study.planned("quick", 3)
    specs = [*{each.spec.id: each.spec for each in planned}.values(), *more]
    return train(specs, root, layout=Layout(workers=1), parts=parts_in(planned))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(small(), tmp_path_factory.mktemp("studies") / "store", tiny.spec(steps=20)).root


def report(root: Path, out: Path, *studies: Study) -> Report:
    out.mkdir(exist_ok=True)
    return write_report(Store(root), studies, "again", places(Store(root), out))


def test_a_store_keeps_what_its_runs_were_trained_as(root: Path) -> None:
    runs = {run.id: run for run in Store(root).runs}
    for each in small().planned("quick", 3):
        assert runs[each.spec.id].parts == (each.part,)
        assert runs[each.spec.id].called == (each.part.arm,)
        assert Store(root).run(each.spec.id).parts == (each.part,)
    assert runs[tiny.spec(steps=20).id].parts == ()


def test_a_store_is_answered_by_the_studies_that_its_runs_belong_to(root: Path, tmp_path: Path) -> None:
    written = report(root, tmp_path, small(), small("another"))
    assert {verdict.study for verdict in written.verdicts} == {"small"}
    told = json.loads(written.places.verdicts.read_text())
    assert told["schema"] == 2
    by_name = {verdict["endpoint"]: verdict for verdict in told["verdicts"]}
    assert by_name["differ"]["n_seeds"] == 3
    assert by_name["differ"]["n_control"] == 2
    assert by_name["differ"]["primary"]
    assert by_name["small"]["ruling"] == "no effect"
    assert by_name["small"]["p_adjusted"] >= by_name["small"]["p"]
    assert [score["hypothesis"] for score in told["predictions"]] == ["A", "B"]
    claims = json.loads(written.places.claims.read_text())["claims"]
    assert [claim["claim"] for claim in claims] == ["P1", "P2"]
    page = written.places.page.read_text()
    assert tiny.spec(steps=20).id in page
    assert 'id="arms"' in page
    assert 'id="curves"' in page


def test_equal_runs_that_were_trained_as_something_else_answer_no_study(tmp_path: Path) -> None:
    specs = [each.spec for each in small().planned("quick", 1)]
    train(specs, tmp_path / "store", layout=Layout(workers=1))
    written = report(tmp_path / "store", tmp_path, small())
    assert written.verdicts == ()
    assert "Do they?" not in written.places.page.read_text()


def test_the_page_of_a_study_and_that_of_the_store_say_the_same(root: Path, tmp_path: Path) -> None:
    one = report(root, tmp_path / "one", small())
    other = report(root, tmp_path / "other", small("ghost"), small(), small("spectre"))
    assert one.places.page.read_text() == other.places.page.read_text()
    assert one.of(["small"]).claims == one.claims
    assert one.of(["ghost"]).claims == ()


def test_a_study_is_answered_from_a_store_as_on_its_page(root: Path, tmp_path: Path) -> None:
    answer = small().answer(Store(root))
    written = report(root, tmp_path, small())
    assert answer.verdicts == written.verdicts
    assert repr(answer.verdicts) == "Verdicts(2: P1 inconclusive, P2 no effect)"
    assert "P1 small, differ: inconclusive" in repr(answer.verdicts[0])
    assert "differ" in answer._repr_html_()
    assert "<td" in answer.verdicts[0]._repr_html_()


def test_a_store_without_its_runs_or_a_reading_gives_one_line_with_the_remedy(root: Path) -> None:
    with pytest.raises(LookupError, match=r"no run of the study 'ghost'.*study run ghost --out"):
        small("ghost").answer(Store(root))
    with pytest.raises(LookupError, match=r"lack norms_W_Q.*undergrowth measure"):
        small(needs={"norms_W_Q": "norms"}).answer(Store(root))


def test_an_endpoint_whose_arm_has_no_run_is_open(root: Path, tmp_path: Path) -> None:
    absent = Endpoint("absent", "P2", ENDS, "third", Exceeds(), is_primary=True)
    study = small(
        arms=lambda budget: (*small().arms(budget), Arm("third", BASE.replace(steps=31))),
        endpoints=lambda budget: (absent, small().endpoints(budget)[0]),
    )
    written = report(root, tmp_path, study)
    by_name = {verdict.endpoint: verdict for verdict in written.verdicts}
    assert by_name["absent"].ruling == "open"
    assert "third" in by_name["absent"].waits_for
    assert by_name["differ"].ruling != "open"


def test_a_check_of_an_arm_that_the_store_was_not_trained_for_is_not_told(
    root: Path, tmp_path: Path
) -> None:
    check = Endpoint("check", "P2", ENDS, "third", Exceeds())
    study = small(
        arms=lambda budget: (*small().arms(budget), Arm("third", BASE.replace(steps=31))),
        endpoints=lambda budget: (check, *small().endpoints(budget)),
    )
    written = report(root, tmp_path, study)
    assert {verdict.endpoint for verdict in written.verdicts} == {"differ", "small"}


def test_what_does_not_fit_is_a_fault_of_the_study() -> None:
    of_no_arm = replace(small().endpoints("quick")[0], name="other", arm="nowhere")
    pools = replace(of_no_arm, arm="true", pooled=lambda given: (estimate([]), given))
    wrongs: tuple[dict[str, Any], ...] = (
        {"endpoints": lambda budget: (*small().endpoints(budget), pools)},
        {"endpoints": lambda budget: (*small().endpoints(budget), of_no_arm)},
        {"predictions": (Prediction("A", "nowhere", ">"), Prediction("B", "differ", ">"))},
        {"predictions": (Prediction("A", "differ", ">"),)},
        {"predictions": (*small().predictions, Prediction("C", "differ", ">"))},
        {"claims": (Claim("P1", "Losses differ."),)},
        {"endpoints": lambda budget: (*small().endpoints(budget), small().endpoints(budget)[0])},
        {"arms": lambda budget: (small().arms(budget)[0],) * 2},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match="study 'small', quick"):
            small(**wrong).check("quick")


def test_a_study_that_lacks_a_reading_names_the_command_that_adds_it(root: Path, tmp_path: Path) -> None:
    written = report(root, tmp_path, small(needs={"norms_W_Q": "norms"}))
    assert written.verdicts == ()
    assert "undergrowth measure" in written.places.page.read_text()


def test_an_arm_that_goes_without_a_reading_that_others_have_lacks_nothing() -> None:
    study = small(needs={"norms_W_Q": "norms"})

    def lacks(true: Sequence[bool], shuffled: Sequence[bool]) -> bool:
        runs = {
            arm: {
                seed: MadeUpRun(BASE, {}, **({"norms_W_Q": xr.DataArray(0.0)} if has else {}))
                for seed, has in enumerate(its)
            }
            for arm, its in (("true", true), ("shuffled", shuffled))
        }
        table = Table("small", "quick", {arm.name: arm for arm in study.arms("quick")}, runs)
        return study.lacks(table) == {"norms_W_Q": "norms"}

    assert not lacks([True, True], [True])
    assert not lacks([True, True], [False, False])
    assert lacks([True, False], [True])
    assert lacks([False], [False])


CHANGE = "UPDATE readings SET content = x'00' WHERE name = ? AND run_id = ?"


@pytest.mark.parametrize("reading", ["val_loss", "train_loss"])
@pytest.mark.parametrize("n_bad", [1, 5])
def test_damaged_runs_are_left_out_of_a_study_and_named(
    root: Path, tmp_path: Path, reading: str, n_bad: int
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    bad = [each.spec.id for each in small().planned("quick", 3)][:n_bad]
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.executemany(CHANGE, [(reading, run_id) for run_id in bad])
    written = report(copy, tmp_path / "out", small())
    page = written.places.page.read_text()
    if n_bad == 1:
        assert f"Left out: run {bad[0]}" in page
        by_name = {verdict.endpoint: verdict for verdict in written.verdicts}
        assert by_name["differ"].estimate.n == 2
        assert sum(by_name["differ"].missing.values()) == 1
    else:
        assert written.verdicts == ()


def test_a_fault_of_a_study_is_not_taken_for_damage(root: Path, tmp_path: Path) -> None:
    def reads(run: Run) -> float:
        raise ValueError(f"a fault of the study at {run.id}")

    broken = Endpoint("differ", "P1", replace(ENDS, of=reads), "true", Exceeds())
    with pytest.raises(ValueError, match="a fault of the study"):
        report(root, tmp_path, small(endpoints=lambda budget: (broken,)))


def test_some_arms_come_with_the_trunks_that_they_leave() -> None:
    study = STUDIES["lr-boost"]
    planned = study.planned("quick", 1)
    some = of_arms(planned, ["group: lr × 5 at onset"])
    assert {each.part.arm for each in some} == {"group: lr × 5 at onset", "group: trunk"}
    with pytest.raises(ValueError, match="'nothing' is in no arm's name"):
        of_arms(planned, ["nothing"])
