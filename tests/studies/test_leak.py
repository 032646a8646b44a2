"""The leak study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.confidence import BASE
from undergrowth.studies.leak import (
    DIFFERENCE,
    LEAKY,
    LEAKY_HALF,
    PRODUCT_LEAKY,
    PRODUCT_SAFE,
    SAFE,
    STUDY,
)

from tests.studies.made_up import STEPS, made_up
from undergrowth.store import Run
from undergrowth.studies import leak

SPECS = leak._arms("quick")


def run(seed: int, arm: str, level: float, *, unseen: float = 0.02) -> Run:
    """A run that validates at about `level` when memorised, and grows a little with the seed."""
    readings = {}
    if "leaky" in arm:
        for name, value in (("unseen_accuracy", unseen), ("swap_in_train_accuracy", 1.0)):
            values = np.full(len(STEPS), value + seed / 1000)
            readings[name] = xr.DataArray(values, dims="step", coords={"step": list(STEPS)})
    return made_up(seed, base=SPECS[arm], level=level + seed / 1000, **readings)


def four(arm: str, level: float, **fields: float) -> list[Run]:
    return [run(seed, arm, level, **fields) for seed in range(4)]


LEAKS = [
    *four(SAFE, 0.02),
    *four(LEAKY, 0.7),
    *four(LEAKY_HALF, 0.5),
    *four(PRODUCT_SAFE, 0.02),
    *four(PRODUCT_LEAKY, 0.7),
    *four(DIFFERENCE, 0.02),
]


def rulings(runs: list[Run]) -> list[str]:
    return [verdict.verdict for verdict in leak._verdicts(runs)]


def test_a_leak_that_commuting_explains() -> None:
    more, product, control, near, near_half, explained, _ = leak._verdicts(LEAKS)
    assert [v.verdict for v in (more, product, control)] == ["supported"] * 3
    assert more.estimate.effect == pytest.approx(0.68)
    assert (near.verdict, near_half.verdict) == ("contradicted", "supported")
    assert "Commuting alone would give 0.69" in near.note
    assert "Commuting alone would give 0.48" in near_half.note
    assert explained.verdict == "supported"
    assert "swap in training: 1" in explained.note


def test_splits_that_validate_in_the_wrong_order_contradict_it() -> None:
    runs = [*four(SAFE, 0.6), *four(LEAKY, 0.3), *four(DIFFERENCE, 0.6)]
    assert rulings(runs)[0] == rulings(runs)[2] == "contradicted"


def test_unseen_pairs_that_do_well_are_not_explained_by_the_leak() -> None:
    runs = [*four(SAFE, 0.02), *four(LEAKY, 0.9, unseen=0.6)]
    assert rulings(runs)[5] == "contradicted"


def test_splits_that_differ_no_more_than_seeds_are_inconclusive() -> None:
    levels = (0.1, 0.6, 0.5, 0.2)
    runs = [run(s, arm, level) for arm in (SAFE, LEAKY) for s, level in enumerate(levels)]
    found = rulings(runs)
    assert found[0] == found[3] == "inconclusive"
    spread = [run(s, LEAKY, 0.02, unseen=u) for s, u in enumerate((0, 0.3, 0.1, 0.2))]
    assert rulings([*four(SAFE, 0.02), *spread])[5] == "inconclusive"


def test_a_missing_arm_is_said_and_nothing_invented() -> None:
    found = leak._verdicts(four(SAFE, 0.02))
    assert {verdict.verdict for verdict in found} == {"inconclusive"}
    assert f"{LEAKY}: no runs." in found[0].note


def test_one_seed_of_each_arm_has_no_interval() -> None:
    assert set(rulings([each for each in LEAKS if each.spec.seeds.model == 0])) == {"inconclusive"}


def test_runs_that_never_memorise_are_left_out_and_said_to_be() -> None:
    never = run(4, LEAKY, 0.7)
    never.curves["train_accuracy"][:] = 0.5
    found = leak._verdicts([*LEAKS, never])[0]
    assert found.estimate.n == 4
    assert "1 of 9 runs failed or never memorised" in found.note


def test_the_order_of_the_runs_does_not_matter() -> None:
    assert leak._verdicts(LEAKS) == leak._verdicts(LEAKS[::-1])


def test_every_run_is_of_the_arm_that_it_was_made_for() -> None:
    for arm, spec in SPECS.items():
        assert leak.arm_of(made_up(0, base=spec)) == arm


def test_the_safe_runs_are_those_of_the_confidence_study() -> None:
    assert SPECS[SAFE] == BASE


def test_subtraction_is_split_alike_by_both_rules() -> None:
    leaky = SPECS[DIFFERENCE]
    safe = leaky.replace(split={"name": "commutation_safe", "frac_train": leaky.split.frac_train})
    assert np.array_equal(leaky.data().is_train, safe.data().is_train)


def test_the_figure_has_a_panel_for_each_arm_and_a_line_for_each_class_of_pair() -> None:
    (figure,) = STUDY.answer(LEAKS).figures
    assert set(figure.table["panel"]) == set(SPECS)
    of_leaky = figure.table[figure.table["panel"] == LEAKY]
    assert set(of_leaky["line"]) == {name for name, _, _ in leak.CLASSES.values()}
    of_safe = figure.table[figure.table["panel"] == SAFE]
    assert set(of_safe["line"]) == {"training", "validation, all"}
