"""Laws of every study: stated before it runs, with a control, and the same runs in any order."""

from __future__ import annotations

import dataclasses
import html
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests import tiny
from undergrowth.spec import RunSpec
from undergrowth.store import Store
from undergrowth.studies import STUDIES, Study
from undergrowth.studies.conducting import BUDGETS, runs_of, write_report
from undergrowth.sweep import Layout, train


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
class TestEveryStudy:
    def test_states_rival_predictions(self, study: Study) -> None:
        assert len(study.predictions) >= 2
        assert study.claims
        assert study.question.endswith("?")

    def test_brings_its_control_and_enough_seeds_for_a_claim(self, study: Study) -> None:
        for budget in BUDGETS:
            seeds = seeds_by_arm(study.runs(budget, None))
            assert len(seeds) >= 2
            assert min(seeds.values()) >= 2
            of_true = [n for arm, n in seeds.items() if arm.labels == "true"]
            assert min(of_true) >= (4 if budget == "quick" else 10)

    def test_gives_as_many_seeds_as_it_is_asked_for(self, study: Study) -> None:
        specs = study.runs("quick", 6)
        of_true = {n for arm, n in seeds_by_arm(specs).items() if arm.labels == "true"}
        assert of_true == {6}
        assert len({spec.id for spec in specs}) == len(specs)


def seeds_by_arm(specs: Sequence[RunSpec]) -> Counter[RunSpec]:
    """How many runs each arm has, an arm being all that differ in their seeds alone."""
    return Counter(spec.without_seeds() for spec in specs)


def test_a_larger_budget_trains_nothing_again() -> None:
    study = STUDIES["grokking"]
    quick, standard = ({spec.id for spec in study.runs(b, None)} for b in ("quick", "standard"))
    assert quick < standard


MEASURED = [
    {"name": "curves", "schedule": tiny.EVERY_10},
    {"name": "saliency", "n_nodes": 2, "schedule": tiny.EVERY_10},
    {"name": "deletion", "ks": [0, 1, 2], "n_nodes": 2, "schedule": tiny.EVERY_10},
]


def test_a_store_is_answered_by_the_studies_its_runs_belong_to(tmp_path: Path) -> None:
    base = tiny.spec(measures=MEASURED)
    specs = [
        base.seeded(0),
        base.seeded(1),
        *(base.replace(labels="shuffled").seeded(seed) for seed in (0, 1)),
    ]
    store = train([*specs, tiny.spec(steps=20)], tmp_path / "store", layout=Layout(workers=1))
    of_these = [STUDIES[name] for name in ("grokking", "saliency", "ablation")]
    small = [dataclasses.replace(s, runs=lambda budget, seeds: tuple(specs)) for s in of_these]
    other = dataclasses.replace(STUDIES["grokking"], name="other", runs=lambda budget, seeds: ())
    assert {run.id for run in runs_of(small[0], store.runs)} == {spec.id for spec in specs}
    written = write_report(Store(tmp_path / "store"), [*small, other], "undergrowth report store")
    verdicts = json.loads(written.verdicts_file.read_text())
    assert {v["claim"] for v in verdicts} == {"P1", "P2", "P3", "P14", "P15", "P16", "P17"}
    for verdict in verdicts:
        assert verdict["verdict"] in ("supported", "contradicted", "inconclusive")
        assert {"study", "statistic", "effect", "interval", "level", "n_seeds", "rule"} <= set(verdict)
        assert verdict["n_seeds"] <= 2
    page = written.page.read_text()
    assert "undergrowth report store" in page
    assert tiny.spec(steps=20).id in page


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_one_seed_has_all_arms_of_a_budget(study: Study) -> None:
    for budget in BUDGETS:
        assert set(seeds_by_arm(study.runs(budget, 1))) == set(seeds_by_arm(study.runs(budget, None)))


BASE = tiny.spec(measures=MEASURED)
CONTROL = BASE.replace(labels="shuffled")
ARMS = (BASE, BASE.seeded(1), CONTROL, CONTROL.seeded(1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(ARMS, tmp_path_factory.mktemp("studies") / "store", layout=Layout(workers=1)).root


def asking_for(*specs: RunSpec, name: str = "ablation", part: tuple[RunSpec, ...] = ()) -> Study:
    return dataclasses.replace(STUDIES[name], runs=lambda budget, seeds: specs, part=part)


def test_a_study_is_answered_only_where_all_its_arms_are(root: Path, tmp_path: Path) -> None:
    runs = Store(root).runs
    assert len(runs_of(asking_for(*ARMS), runs)) == 4
    assert len(runs_of(asking_for(BASE, CONTROL.seeded(7)), runs)) == 4  # other seeds will do
    shared = asking_for(BASE, CONTROL, BASE.replace(steps=31))
    assert runs_of(shared, runs) == ()
    assert runs_of(asking_for(BASE), [run for run in runs if run.spec.labels != "true"]) == ()
    in_part = dataclasses.replace(shared, part=(BASE, CONTROL))
    assert len(runs_of(in_part, runs)) == 4
    written = write_report(Store(root), [shared], "again", tmp_path / "page.html", tmp_path / "v.json")
    assert written.verdicts == ()
    assert STUDIES["ablation"].question not in written.page.read_text()


def test_a_claim_that_a_part_does_not_bear_on_names_the_command(root: Path, tmp_path: Path) -> None:
    saliency = asking_for(BASE.replace(steps=31), name="saliency", part=(BASE, CONTROL))
    written = write_report(Store(root), [saliency], "again", tmp_path / "page.html", tmp_path / "v.json")
    assert {verdict.claim for verdict in written.verdicts} == {"P15", "P16"}
    page = html.unescape(written.page.read_text())
    assert f"These runs do not bear on P10: `undergrowth study run saliency --out {root}`" in page
    for cell in ("unknown", "0 seeds"):
        assert f">{cell}" not in page
        assert f"{cell}<" not in page


CHANGES = {
    "a curve": "UPDATE readings SET content = x'00' WHERE name = 'val_loss' AND run_id = ?",
    "what only this study reads": (
        "UPDATE readings SET content = x'00' WHERE name = 'deletion_accuracy' AND run_id = ?"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("n_bad", [1, 4])
def test_damaged_runs_are_left_out_of_a_study_and_named(
    root: Path, tmp_path: Path, change: str, n_bad: int
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    bad = [spec.id for spec in ARMS[:n_bad]]
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.executemany(change, [(run_id,) for run_id in bad])
    written = write_report(Store(copy), [asking_for(*ARMS)], "again")
    page = written.page.read_text()
    assert all(f"Left out: run {run_id}" in page for run_id in bad)
    if n_bad == 1:
        assert {verdict.estimate.n for verdict in written.verdicts} <= {0, 1}
        assert len(written.verdicts) > 0
