"""The study of regularisers on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.regularisers import PLAIN, Kind

from tests.studies.made_up import MadeUpRun
from undergrowth.analysis import Verdict
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import regularisers

STEPS = np.arange(0, 4001, 200)
FRACTIONS = regularisers.FRACTIONS["quick"]
NEVER, ALWAYS = 1.0, 0.0
DATA, ACCURACY, SPEED = "data needed", "accuracy", "speed"
VERDICTS = {
    DATA: regularisers._data_needed,
    ACCURACY: regularisers._accuracy,
    SPEED: regularisers._speed,
}


@lru_cache
def specs() -> Mapping[Kind, RunSpec]:
    return {kind: spec for spec, kind in regularisers._kinds("standard").items()}


def stored(kind: Kind, seed: int, needs: float, at: int = 1600, status: str = "done") -> Run:
    """A run that memorises at 400, and gets to 99 % at a step where its fraction is what it needs."""
    gets_there = kind.fraction >= needs
    end = 1.0 if gets_there else 0.1 + 0.5 * kind.fraction * (1 - needs) + 0.001 * seed
    val = np.where(at + 20 * seed <= STEPS, end, 0.03)
    train = np.where(STEPS >= 400, 1.0, 0.2)
    curves = {"train_accuracy": train, "val_accuracy": val}
    run = MadeUpRun(specs()[kind].seeded(seed), {})
    arrays = xr.Dataset({name: ("step", v) for name, v in curves.items()}, {"step": STEPS})
    run.__dict__.update(curves=arrays, names=tuple(curves), status=status)
    return run


def of_arm(arm: str, needs: float, n: int = 6, at: int = 1600) -> list[Run]:
    """An arm's runs at all fractions; of two seeds, one reaches it a little sooner."""
    return [
        stored(Kind(arm, fraction), seed, needs, at + 200 * (seed % 2))
        for fraction in FRACTIONS
        for seed in range(n)
    ]


def shuffled(level: float, n: int = 5) -> list[Run]:
    runs = []
    for arm in regularisers.CONTROLS:
        for seed in range(n):
            run = stored(Kind(arm, FRACTIONS[-1], True), seed, NEVER)
            run.curves["val_accuracy"][:] = level
            runs.append(run)
    return runs


def of(claim: str, runs: list[Run], about: str, how: str = DATA) -> Verdict:
    found, verdict = regularisers.found_in(runs), VERDICTS[how]
    told = (verdict(found, c) for c in regularisers.COMPARISONS if c.claim == claim)
    return next(v for v in told if about in v.statistic)


SAID = [(0.7, 0.9, "supported"), (0.9, 0.7, "contradicted"), (0.9, 0.9, "inconclusive")]


@pytest.mark.parametrize(("mine", "plain", "said"), SAID)
def test_p7_goes_with_the_best_accuracy_under_decay_and_plain_adam(
    mine: float, plain: float, said: str
) -> None:
    runs = of_arm("decay 1", mine) + of_arm(PLAIN, plain)
    assert of("P7", runs, "decay against", ACCURACY).verdict == said


@pytest.mark.parametrize("family", list(regularisers.FAMILIES))
def test_p7_goes_either_way_for_each_family(family: str) -> None:
    control = "full batch" if family == "mini-batches" else PLAIN
    arm = regularisers.FAMILIES[family][-1]
    for mine, its, said in SAID:
        runs = of_arm(arm, mine) + of_arm(control, its)
        assert of("P7", runs, f"{family} against").verdict == said


@pytest.mark.parametrize(
    ("mine", "plain", "said"),
    [(800, 2400, "supported"), (2400, 800, "contradicted")],
)
def test_p7s_speed_goes_with_the_steps(mine: int, plain: int, said: str) -> None:
    runs = of_arm("decay 1", ALWAYS, at=mine) + of_arm(PLAIN, ALWAYS, at=plain)
    assert of("P7", runs, "decay against", SPEED).verdict == said


def test_a_plain_arm_that_never_gets_there_is_slower_by_what_it_was_watched_for() -> None:
    found = of("P7", of_arm("decay 1", ALWAYS, at=800) + of_arm(PLAIN, NEVER), "decay against", SPEED)
    assert found.verdict == "supported"
    assert found.estimate.effect > 0.5
    assert "6 of 6 get there, 6 stay against 0 of 6 get there, 0 stay" in found.note


@pytest.mark.parametrize(("decay", "noise", "said"), SAID)
def test_p8_goes_with_the_best_of_the_others(decay: float, noise: float, said: str) -> None:
    runs = of_arm("decay 1", decay) + of_arm("weight noise 0.1", noise) + of_arm("dropout 0.1", NEVER)
    found = of("P8", runs, "best of the others")
    assert found.verdict == said
    assert "against weight noise 0.1." in found.note


@pytest.mark.parametrize(("zero", "init", "said"), SAID)
def test_p8_sets_decay_to_zero_against_decay_to_init(zero: float, init: float, said: str) -> None:
    runs = of_arm("decay 1", zero) + of_arm("decay 1 to init", init)
    assert of("P8", runs, "decay 1 to init").verdict == said


def test_the_best_of_the_others_is_chosen_on_other_seeds() -> None:
    lucky = [run for run in of_arm("dropout 0.1", NEVER) if run.spec.seeds.model]
    lucky += [stored(Kind("dropout 0.1", fraction), 0, ALWAYS) for fraction in FRACTIONS]
    runs = lucky + of_arm("weight noise 0.1", 0.9)
    found = regularisers.found_in(runs + of_arm("decay 1", 0.7))
    chosen = {pair.names[1] for pair in regularisers.pairs(found, ("decay 1",), regularisers.OTHERS)}
    assert chosen == {"weight noise 0.1"}


def test_seeds_that_all_agree_decide_from_six_on() -> None:
    for n, said in ((4, "inconclusive"), (6, "supported")):
        runs = of_arm("decay 1", 0.7, n) + of_arm(PLAIN, NEVER, n)
        assert of("P7", runs, "decay against").verdict == said


def test_where_all_or_none_get_there_nothing_is_said_of_the_data() -> None:
    for needs in (NEVER, ALWAYS):
        runs = of_arm("decay 1", needs) + of_arm(PLAIN, needs)
        assert of("P7", runs, "decay against").verdict == "inconclusive"
    runs = of_arm("decay 1", NEVER) + of_arm(PLAIN, NEVER)
    assert of("P7", runs, "decay against", SPEED).verdict == "inconclusive"


def test_a_larger_fraction_that_failed_after_a_smaller_sufficed_is_counted() -> None:
    runs = of_arm("decay 1", 0.7) + of_arm(PLAIN, 0.9)
    odd = [r for r in runs if (r.spec.seeds.model, r.spec.split.frac_train) != (3, 0.85)]
    odd += [stored(Kind(arm, 0.85), 3, NEVER) for arm in ("decay 1", PLAIN)]
    assert "In 1 of 12 cases a larger fraction failed" in of("P7", odd, "decay against").note


def test_shuffled_labels_are_told_and_leaks_are_counted() -> None:
    runs = of_arm("decay 1", 0.7) + of_arm(PLAIN, 0.9)
    at_chance = of("P7", runs + shuffled(0.04), "decay against").note
    assert "5 with shuffled labels (decay 1)" in at_chance
    assert ", 0 above the" in at_chance
    assert ", 5 above the" in of("P7", runs + shuffled(0.6), "decay against").note
    assert "No control runs." in of("P7", runs, "decay against").note


def test_any_subset_of_the_runs_is_answered() -> None:
    runs = of_arm("decay 1", 0.7, 2) + of_arm(PLAIN, 0.9, 2) + shuffled(0.04, 2)
    failed = [stored(Kind("decay 1", 0.95), seed, NEVER, status="failed") for seed in range(3)]
    for some in ([], runs[:1], runs[-1:], runs[::7], failed, failed + of_arm(PLAIN, 0.9, 2)):
        for verdict in regularisers.answer(some).verdicts:
            assert verdict.verdict in ("supported", "contradicted", "inconclusive")
            assert verdict.verdict == "inconclusive" or verdict.estimate.n > 1
    missing = of("P7", of_arm(PLAIN, 0.9), "dropout against")
    assert missing.note.startswith("No runs of dropout 0.1, dropout 0.3.")


def test_the_same_runs_in_another_order_give_the_same_answer() -> None:
    runs = of_arm("decay 1", 0.7, 3) + of_arm(PLAIN, 0.9, 3) + of_arm("dropout 0.1", 0.8, 3)
    mixed = random.Random(0).sample(runs, len(runs))
    answers = [regularisers.answer(some) for some in (runs, mixed)]
    told = [[str(v.to_dict()) for v in answer.verdicts] for answer in answers]
    assert told[0] == told[1]
    drawn = [[figure.plot.to_json() for figure in answer.figures] for answer in answers]
    assert drawn[0] == drawn[1]


def test_figures_hold_every_arm_and_fraction_and_mark_the_censored() -> None:
    runs = of_arm("decay 1", ALWAYS) + of_arm(PLAIN, NEVER)
    accuracy, steps, table = regularisers.answer(runs).figures
    assert set(accuracy.table["arm"]) == {PLAIN, "decay 1"}
    assert sorted(set(table.table["fraction"])) == list(FRACTIONS)
    censored = {row["arm"] for row in steps.table.to_dict("records") if row["is_censored"]}
    assert censored == {PLAIN}
    assert len(steps.table) == len(runs)


def test_a_larger_budget_trains_nothing_again() -> None:
    quick, standard = ({spec.id for spec in regularisers.runs(b, None)} for b in ("quick", "standard"))
    assert quick < standard


def test_every_spec_is_possible_whatever_its_fraction() -> None:
    for budget in ("standard", "full"):
        for spec in regularisers._kinds(budget):
            assert spec.data().n_train > 1
