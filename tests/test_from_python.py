"""What a newcomer types first in Python just works, or one line says what would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from undergrowth.report.figure import Figure

MEASURED = [
    {"name": "curves", "schedule": tiny.EVERY_10},
    {"name": "saliency", "n_nodes": 2, "schedule": tiny.EVERY_10},
    {"name": "deletion", "ks": [0, 1, 2], "n_nodes": 2, "schedule": tiny.EVERY_10},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ug.Store:
    return ug.train(tiny.spec(measures=MEASURED), tmp_path_factory.mktemp("python") / "store")


FIGURES: list[Callable[[Any], Figure]] = [
    getattr(ug, name) for name in ug.__all__ if name.endswith(("_figure", "_histogram"))
]
OF_A_READING = {ug.reading_figure: "val_loss", ug.heat_map_figure: "saliency_median"}
"""Figures that are told which reading to draw."""


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_takes_one_run_or_several_or_a_store(draw: Any, store: ug.Store) -> None:
    (run,) = store.runs
    reading = [OF_A_READING[draw]] if draw in OF_A_READING else []
    drawn = [draw(what, *reading).plot.to_json() for what in (run, store.runs, store)]
    assert drawn[0] == drawn[1] == drawn[2]


def test_a_figure_of_one_run_says_so_where_it_is_given_two(store: ug.Store) -> None:
    with pytest.raises(ValueError, match=r"draws 1 run, but got 2: pass one, such as runs\[0\]"):
        ug.spikes_figure([*store.runs, *store.runs])


def test_a_measure_may_be_given_by_its_kind(store: ug.Store) -> None:
    (run,) = store.runs
    assert ug.measure(run, ug.Norms, [10]).equals(ug.measure(run, ug.Norms(), [10]))


def test_runs_and_stores_print_short(store: ug.Store) -> None:
    (run,) = store.runs
    assert repr(run) == f"Run({run.id}: x+y mod 5, seed 0, done)"
    assert repr(store) == f"Store({str(store.root)!r}: 1 run, 1 done)"
    assert repr(run.spec).startswith("RunSpec(task=Modular(p=5), ")
    assert repr(ug.study("leak")).startswith("Study('leak': Does a random split leak")
    assert repr(run.spec.data()) == "Data(25 examples: 15 train, 10 validation)"
    assert repr(store.readings_of(run.id, "train_accuracy")[30]) == "Reading(0.466667)"
    reading = ug.measures.Reading(("example", "neuron"), np.zeros((25, 6), np.float32))
    assert repr(reading) == "Reading(example: 25, neuron: 6, float32)"
    figure = ug.accuracy_figure(run)
    assert repr(figure) == f"Figure('accuracy': {figure.title})"


def test_a_study_is_had_by_its_name_or_the_nearest_is_told() -> None:
    assert ug.study("lr-boost") is ug.STUDIES["lr-boost"]
    with pytest.raises(
        ValueError, match=r"^no study 'lr_boots'; did you mean 'lr-boost'\? \(one of your own"
    ):
        ug.study("lr_boots")
    with pytest.raises(ValueError, match=r"^no study 'zzz'; studies: grokking, "):
        ug.study("zzz")


def test_a_study_shows_its_claims_and_what_hypotheses_expect() -> None:
    study = ug.study("leak")
    assert all(claim.says in study._repr_html_() for claim in study.claims)


def test_runs_of_a_store_can_be_trained_on_from_python_one_or_many(store: ug.Store) -> None:
    (run,) = store.runs
    assert ug.train(run.spec, store.root).runs[0].id == run.id
    assert ug.train([run.spec, run.spec], store.root).runs[0].id == run.id
