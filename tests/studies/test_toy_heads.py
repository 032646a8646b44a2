"""The study of toy heads on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.studies.made_up import STEPS, MadeUpRun
from tests.studies.planted import table_of
from undergrowth.models import Model, ToyHeadsSpec
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.predicted import Predicted
from undergrowth.studies.toy_heads import (
    ADAM_FULL,
    ADAM_ONE,
    DOSES,
    DRAWN,
    FREE,
    REVERSE,
    SGD_ONE_NUMBER,
    STUDY,
    dose_arm,
    predicted,
    ratio,
)

SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
DOSED = {dose_arm(n, c): 1 + (n - 1) * c for n, c in DOSES["quick"]}
SAID = predicted("quick")


class WithHeads(MadeUpRun):
    """A run whose heads had these strengths before training and after: general, shallow."""

    def __init__(self, spec: RunSpec, before: tuple[float, float], after: tuple[float, float]) -> None:
        ones = [1.0] * len(STEPS)
        super().__init__(spec, {"train_accuracy": ones, "val_accuracy": ones})
        strengths = {0: before, STEPS[-1]: after}
        self.__dict__.update(strengths=strengths, checkpoints=(0, STEPS[-1]), began=100.0)

    def model(self, step: int | None = None) -> Model:
        general, shallow = self.__dict__["strengths"][step]
        heads, task = self.spec.model, self.spec.task
        assert isinstance(heads, ToyHeadsSpec)
        fields = {"general_strength": general, "shallow_strength": shallow, "spread": 0.0}
        made = heads.model_copy(update=fields)
        return made.init(task.input_space, task.n_labels, np.random.default_rng(0))  # pyright: ignore[reportArgumentType]


def gained(seed: int, arm: str, r: float) -> Run:
    """The general head gained r times what each shallow one did."""
    return WithHeads(SPECS[arm].seeded(seed), (0.1, 0.1), (0.1 + 0.2 * r, 0.3))


def six(arm: str, r: float | Callable[[int], float]) -> Sequence[Run]:
    return [gained(s, arm, (r(s) if callable(r) else r) * (1 + s / 1000)) for s in range(6)]


def verdict(endpoint: str, runs: Mapping[str, Sequence[Run]], numbers: Any = SAID) -> Any:
    table = replace(table_of(STUDY, runs), predicted=Predicted(50.0, numbers) if numbers else None)
    found = next(each for each in STUDY.endpoints("quick") if each.name == endpoint)
    return found.verdict(table)


def dosed(times: float | Callable[[int], float] = 1.0, **other: float) -> dict[str, Sequence[Run]]:
    """All doses with the ratio that theory says, times a number; `other`: of one arm."""
    by = times if callable(times) else lambda seed: times
    return {
        arm: six(arm, lambda s, arm=arm, r=r: r * by(s) * other.get(arm, 1.0))
        for arm, r in DOSED.items()
    }


MIXED = lambda seed: (0.7, 1.4)[seed % 2]  # noqa: E731


def test_a_ratio_is_that_of_the_gains() -> None:
    assert ratio(gained(0, DRAWN, 3.0)) == pytest.approx(3.0, rel=1e-4)
    still = WithHeads(SPECS[DRAWN].seeded(0), (0.1, 0.1), (0.3, 0.1))
    assert getattr(ratio(still), "why", "") == "one of both gained nothing"


@pytest.mark.parametrize(
    ("times", "said"),
    [(1.05, "supported"), (1.3, "contradicted"), (0.7, "contradicted"), (MIXED, "inconclusive")],
)
def test_the_doses_beside_what_sharing_says(times: Any, said: str) -> None:
    found = verdict("as-sharing-says", dosed(times))
    assert found.ruling == said
    assert "before its first run" in found.note


def test_one_dose_that_is_off_decides_and_one_that_is_missing_leaves_the_seed_out() -> None:
    assert verdict("as-sharing-says", dosed(**{dose_arm(8, 0.5): 1.5})).ruling == "contradicted"
    some = dosed()
    some[dose_arm(8, 0.5)] = some[dose_arm(8, 0.5)][:4]
    assert verdict("as-sharing-says", some).estimate.n == 4


@pytest.mark.parametrize(
    ("r", "said"),
    [(8.0, "supported"), (1.0, "no effect"), (0.5, "contradicted"), (MIXED, "inconclusive")],
)
def test_the_picture_as_drawn(r: Any, said: str) -> None:
    assert verdict("as-drawn", {DRAWN: six(DRAWN, r)}).ruling == said


def test_the_answer_says_what_the_picture_itself_shows() -> None:
    found = verdict("as-sharing-says", {**dosed(), DRAWN: six(DRAWN, 1.0)})
    assert "the ratio is 1.00, not 8: the general head grows no faster" in found.note


def test_shares_of_the_margin() -> None:
    back = [WithHeads(SPECS[REVERSE].seeded(s), (0.1, 0.0), (0.3, 0.1 + s / 1e4)) for s in range(6)]
    found = verdict("shallow-come-back", {REVERSE: back})
    assert found.estimate.effect == pytest.approx(0.25, abs=0.03)
    assert found.ruling == "supported"
    falls = [WithHeads(SPECS[FREE].seeded(s), (0.1, 0.1), (0.1, 0.3 + s / 1e4)) for s in range(6)]
    assert verdict("share-as-drawn", {FREE: falls}).ruling == "contradicted"
    rises = [WithHeads(SPECS[FREE].seeded(s), (0.1, 0.1), (0.3 + s / 1e4, 0.1)) for s in range(6)]
    assert verdict("share-as-drawn", {FREE: rises}).ruling == "supported"
    stays = [WithHeads(SPECS[FREE].seeded(s), (0.1, 0.1), (0.3 + s / 1e4, 0.3)) for s in range(6)]
    assert verdict("share-as-drawn", {FREE: stays}).ruling == "no effect"


def test_without_numbers_stated_before_there_is_nothing_to_compare_with() -> None:
    found = verdict("as-sharing-says", dosed(), None)
    assert found.estimate.n == 0
    assert set(found.missing) == {"no number was predicted before the runs"}


def test_the_numbers_predicted() -> None:
    assert set(SAID) == set(SPECS)
    for arm, r in DOSED.items():
        assert SAID[arm]["ratio"] == pytest.approx(r)
    assert SAID[SGD_ONE_NUMBER]["ratio"] == 8
    assert SAID[ADAM_FULL]["ratio"] == pytest.approx(1, abs=0.1)
    assert SAID[ADAM_ONE]["ratio"] == pytest.approx(8**0.5, rel=0.1)


@pytest.mark.parametrize("budget", ["quick", "standard"])
def test_the_study_fits_together(budget: Any) -> None:
    STUDY.check(budget)
    assert [e.name for e in STUDY.endpoints(budget) if e.is_primary] == ["as-sharing-says"]


def test_the_figure_has_a_panel_for_each_number_of_points() -> None:
    table = replace(table_of(STUDY, dosed()), predicted=Predicted(50.0, SAID))
    (figure,) = STUDY.answer(table).figures
    assert set(figure.table["panel"]) == {"2 points", "8 points", "16 points"}
    assert set(figure.table["layer"]) == {"seed", "theory"}
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
