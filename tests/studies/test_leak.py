"""The leak study on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, MadeUpRun, made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies import confidence, leak
from undergrowth.studies.leak import (
    DIFFERENCE,
    LEAKY,
    LEAKY_HALF,
    PRODUCT_LEAKY,
    PRODUCT_SAFE,
    SAFE,
    STUDY,
)

SPECS = {arm.name: arm.spec for arm in STUDY.arms("standard")}


def run(seed: int, arm: str, level: float, *, unseen: float = 0.02) -> Run:
    """A run that validates at about `level` when memorised, and grows a little with the seed."""
    readings = {}
    if "leaky" in arm:
        for name, value in (("unseen_accuracy", unseen), ("swap_in_train_accuracy", 1.0)):
            values = np.full(len(STEPS), value + seed / 1000)
            readings[name] = xr.DataArray(values, dims="step", coords={"step": list(STEPS)})
    made = made_up(seed, base=SPECS[arm], level=level + seed / 1000, **readings)
    made.curves["val_accuracy"][2] = level + seed / 1000  # a plateau up to step 200
    return made


def six(arm: str, level: float | Callable[[int], float], **fields: float) -> Sequence[Run]:
    return [run(s, arm, level(s) if callable(level) else level, **fields) for s in range(6)]


LEAKS = {
    SAFE: six(SAFE, 0.02),
    LEAKY: six(LEAKY, 0.7),
    LEAKY_HALF: six(LEAKY_HALF, 0.49),
    PRODUCT_SAFE: six(PRODUCT_SAFE, 0.02),
    PRODUCT_LEAKY: six(PRODUCT_LEAKY, 0.7),
    DIFFERENCE: six(DIFFERENCE, 0.02),
}


def ruling(endpoint: str, runs, **changed) -> str:
    return ruling_of(STUDY, endpoint, {**runs, **changed}, "standard")


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (0.49, "supported"),
        (0.6, "contradicted"),
        (0.02, "contradicted"),
        (lambda seed: (0.3, 0.7)[seed % 2], "inconclusive"),
    ],
)
def test_a_plateau_beside_what_commuting_gives(level, said: str) -> None:
    assert ruling("as-commuting", {LEAKY_HALF: six(LEAKY_HALF, level)}) == said


def test_commuting_gives_the_share_of_pairs_whose_swap_is_in_training() -> None:
    found = verdict_of(STUDY, "as-commuting", LEAKS, "standard")
    shares = [leak.share_with_swap(run) for run in LEAKS[LEAKY_HALF]]
    assert np.mean(shares) == pytest.approx(0.5 * 52 / 53, abs=0.02)
    assert found.estimate.effect == pytest.approx(0.4925 - np.mean(shares))
    assert f"would give {np.mean(shares):.3f}" in found.note
    assert leak.share_with_swap(LEAKS[SAFE][0]) == pytest.approx(0, abs=0.02)  # the diagonal alone


def test_the_plateau_is_where_validation_dwells_after_it_was_memorised() -> None:
    steps = np.arange(0, 1000, 10)
    train = np.where(steps < 200, 0.1, 1.0)
    climbs = np.interp(steps, [0, 150, 300, 500, 600], [0.0, 0.2, 0.45, 0.46, 1.0])
    falls_back = np.where(steps == 900, 0.3, climbs)
    for val in (climbs, falls_back):
        curves = {"train_accuracy": train, "val_accuracy": val, "val_loss": 1 - val}
        listed = {name: values.tolist() for name, values in curves.items()}
        run = MadeUpRun(SPECS[LEAKY_HALF], listed, steps.tolist())
        assert leak.on_the_plateau(run) == pytest.approx(0.45, abs=0.01)
        assert leak.when_memorised(run) == pytest.approx(climbs[20])
        before = leak.until_onset(run)
        assert isinstance(before, float)
        assert climbs[20] <= before <= climbs[20] + 0.05  # of what it climbs through until the onset


def test_what_rises_at_once_has_the_value_when_memorised() -> None:
    at_once = made_up(0, base=SPECS[LEAKY_HALF], grokked=2, level=0.4)
    at_once.curves["val_accuracy"][2:] = 1.0
    assert leak.on_the_plateau(at_once) == pytest.approx(float(at_once.curves["val_accuracy"][1]))


def test_what_decided_before_is_from_memorised_to_onset() -> None:
    late = made_up(0, base=SPECS[LEAKY_HALF], grokked=5, level=0.4)
    late.curves["val_accuracy"][1:4] = [0.4, 0.43, 0.44]
    assert leak.until_onset(late) == pytest.approx(0.43)
    assert leak.when_memorised(late) == pytest.approx(0.4)


def test_a_leak_that_commuting_explains_supports_every_other_endpoint_but_a_half_at_70_percent() -> None:
    others = [each.name for each in STUDY.endpoints("standard")]
    said = {name: ruling(name, LEAKS) for name in others}
    assert said.pop("near-a-half-base") == "contradicted"
    assert set(said.values()) == {"supported"}
    more = verdict_of(STUDY, "more-than-safe", LEAKS, "standard")
    assert more.estimate.effect == pytest.approx(0.68)
    assert more.says == "+68.0 points of accuracy"


def test_the_other_endpoints_can_come_out_the_other_way() -> None:
    wrong = {SAFE: six(SAFE, 0.6), LEAKY: six(LEAKY, 0.3), DIFFERENCE: six(DIFFERENCE, 0.6)}
    for name in ("more-than-safe", "more-than-difference", "as-commuting-base", "nothing-else"):
        assert ruling(name, LEAKS, **wrong) == "contradicted"
    assert ruling("more-than-safe", LEAKS, **{LEAKY: six(LEAKY, 0.02)}) == "no effect"
    assert ruling("unseen-no-better", LEAKS, **{LEAKY: six(LEAKY, 0.9, unseen=0.6)}) == "contradicted"
    mixed = {arm: six(arm, lambda seed: (0.1, 0.6)[seed % 2]) for arm in (SAFE, LEAKY)}
    for name in ("more-than-safe", "near-a-half-base", "nothing-else"):
        assert ruling(name, LEAKS, **mixed) == "inconclusive"
    spread = {LEAKY: [run(s, LEAKY, 0.7, unseen=(0.0, 0.3)[s % 2]) for s in range(6)]}
    assert ruling("unseen-no-better", LEAKS, **spread) == "inconclusive"


def test_an_arm_without_runs_leaves_its_endpoints_open() -> None:
    verdicts = STUDY.answer(table_of(STUDY, {SAFE: LEAKS[SAFE]}, "quick")).verdicts
    assert {v.endpoint for v in verdicts if v.ruling != "open"} == {"nothing-else"}


def test_runs_that_never_memorise_are_missing_for_that_reason() -> None:
    never = run(6, LEAKY, 0.7)
    never.curves["train_accuracy"][:] = 0.5
    found = verdict_of(STUDY, "more-than-safe", {**LEAKS, LEAKY: [*LEAKS[LEAKY], never]}, "standard")
    assert found.estimate.n == 6
    assert found.missing == {"never memorised": 1}


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_the_study_fits_together(budget) -> None:
    STUDY.check(budget)
    arms = {arm.name for arm in STUDY.arms(budget)}
    assert (PRODUCT_LEAKY in arms) == (budget != "quick")
    endpoints = STUDY.endpoints(budget)
    assert {arm for each in endpoints for arm in (each.arm, each.control) if arm} == arms
    assert [each.name for each in endpoints if each.is_primary] == ["as-commuting"]
    assert {bool(each.waits_for) for each in endpoints if each.is_primary} == {budget != "full"}


def test_the_safe_runs_are_those_of_the_confidence_study() -> None:
    for budget in ("quick", "standard"):
        its = {arm.spec.id for arm in confidence.STUDY.arms(budget)}
        assert STUDY.arms(budget)[0].spec.id in its


def test_the_plateau_at_its_own_scale_is_that_of_the_comments_runs() -> None:
    own, specs = preset("lieberum2021"), {arm.name: arm.spec for arm in STUDY.arms("full")}
    measured = {"measures": own.measures, "checkpoints": own.checkpoints}
    assert specs[LEAKY_HALF].replace(**measured) == own
    assert {spec.steps for spec in specs.values()} == {own.steps}
    assert specs[SAFE].split.name == "commutation_safe"
    full = {LEAKY_HALF: [made_up(s, base=specs[LEAKY_HALF], level=0.49 + s / 1e3) for s in range(6)]}
    assert verdict_of(STUDY, "as-commuting", full, "full").ruling == "supported"


def test_subtraction_is_split_alike_by_both_rules() -> None:
    leaky = SPECS[DIFFERENCE]
    safe = leaky.replace(split={"name": "commutation_safe", "frac_train": leaky.split.frac_train})
    assert np.array_equal(leaky.data().is_train, safe.data().is_train)


def test_the_figure_has_a_panel_for_each_arm_and_a_line_for_each_class_of_pair() -> None:
    (figure,) = STUDY.answer(table_of(STUDY, LEAKS, "standard")).figures
    assert set(figure.table["panel"]) == set(SPECS)
    of_leaky = figure.table[figure.table["panel"] == LEAKY]
    assert set(pd.Series(of_leaky["line"]).dropna()) == {name for name, _ in leak.CLASSES.values()}
    of_safe = figure.table[figure.table["panel"] == SAFE]
    assert set(pd.Series(of_safe["line"]).dropna()) == {"training", "validation, all"}
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
