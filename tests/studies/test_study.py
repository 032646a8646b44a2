"""Laws of every study: stated before it runs, with a control, and the same runs in any order."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
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
