"""The study of regularisers on runs whose answers are known; every endpoint can come out either way."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies import regularisers
from undergrowth.studies.arm import Budget
from undergrowth.studies.regularisers import (
    COMPARISONS,
    FIGURE_2A,
    FRACTIONS,
    FULL_BATCH,
    PLAIN,
    PRIMARY,
    QUICK,
    STUDY,
    arm_of,
    shuffled_arm,
)
from undergrowth.studies.table import Table
from undergrowth.tasks import LeakyRandom

BUDGETS: tuple[Budget, ...] = ("quick", "standard", "full")
STEPS = np.arange(0, 4001, 200)
NEVER, ALWAYS = 1.0, 0.0
Runs = Mapping[str, Sequence[Run]]


@cache
def spec_of(arm: str, seed: int) -> RunSpec:
    return next(each.seeded(seed) for each in STUDY.arms("quick") if each.name == arm)


def stored(arm: str, seed: int, best: float, at: int = 1600) -> Run:
    """A run that memorises at 400, and whose validation accuracy rises to its best at a step."""
    return of_spec(spec_of(arm, seed), best, at)


def of_spec(spec: RunSpec, best: float, at: int) -> Run:
    """The same of any spec."""
    val, train = np.where(at <= STEPS, best, 0.03), np.where(STEPS >= 400, 1.0, 0.2)
    arrays = xr.Dataset(
        {"train_accuracy": ("step", train), "val_accuracy": ("step", val)}, {"step": STEPS}
    )
    run = MadeUpRun(spec, {})
    run.__dict__.update(curves=arrays, names=("train_accuracy", "val_accuracy"), trunks=())
    return run


def by_level(best: Sequence[float], *tried: str, spread: float = 0.01, n: int = 6) -> Runs:
    """Interventions whose mean best accuracy is near a number that cycles over seeds."""
    return {
        arm_of(each, fraction): [
            stored(arm_of(each, fraction), seed, best[seed % len(best)] + spread * (seed % 3 - 1))
            for seed in range(n)
        ]
        for each in tried
        for fraction in FRACTIONS["quick"]
    }


def by_need(needs: float, *tried: str, n: int = 6, at: int = 1600, last: float = 1.0) -> Runs:
    """Interventions that get there from a fraction on; every other seed 200 steps later."""
    return {
        arm_of(each, fraction): [
            stored(
                arm_of(each, fraction), seed, last if fraction >= needs else 0.3, at + 200 * (seed % 2)
            )
            for seed in range(n)
        ]
        for each in tried
        for fraction in FRACTIONS["quick"]
    }


SIDES = {
    "better-noise": (("weight noise 0.1", "dropout 0.1"), (FULL_BATCH,)),
    "better-decay-over-rivals": (("decay 1",), ("weight noise 0.1", "dropout 0.1")),
}
"""The interventions of each primary that the quick budget has."""


@pytest.mark.parametrize("budget", BUDGETS)
def test_its_parts_fit_one_another(budget: Budget) -> None:
    STUDY.check(budget)
    primary = {e.claim: e.name for e in STUDY.endpoints(budget) if e.is_primary}
    assert primary == {"P7": "better-noise", "P8": "better-decay-over-rivals"}
    waiting = {bool(e.waits_for) for e in STUDY.endpoints(budget) if e.is_primary}
    assert waiting == {budget != "full"}


@pytest.mark.parametrize("endpoint", SIDES)
@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        ([0.7], [0.5], "supported"),
        ([0.5], [0.7], "contradicted"),
        ([0.50, 0.52], [0.51], "no effect"),
        ([0.2, 0.9], [0.5], "inconclusive"),
    ],
)
def test_each_primary_can_come_out_in_every_way(
    endpoint: str, mine: list[float], its: list[float], said: str
) -> None:
    sides = SIDES[endpoint]
    runs = {**by_level(mine, *sides[0]), **by_level(its, *sides[1], spread=0.0)}
    assert ruling_of(STUDY, endpoint, runs) == said
    verdict = verdict_of(STUDY, endpoint, runs)
    assert (verdict.estimate.n, verdict.ruling) == (6, "open")
    assert verdict.estimate.effect == pytest.approx(np.mean(mine) - np.mean(its))


@pytest.mark.parametrize(
    "comparison", [c for c in COMPARISONS if set(c.within("quick").all) <= {*QUICK}]
)
@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [(0.7, 0.9, "supported"), (0.9, 0.7, "contradicted"), (0.9, 0.9, "inconclusive")],
)
def test_data_needed_and_accuracy_go_either_way(comparison, mine: float, its: float, said: str) -> None:
    sides = comparison.within("quick")
    runs = {**by_need(mine, *sides.mine), **by_need(its, *sides.control)}
    assert ruling_of(STUDY, f"less-data-{comparison.name}", runs) == said
    accuracy = "no effect" if said == "inconclusive" else said
    assert ruling_of(STUDY, f"better-{comparison.name}", runs) == accuracy


@pytest.mark.parametrize(
    ("mine", "plain", "said"), [(800, 2400, "supported"), (2400, 800, "contradicted")]
)
def test_steps_go_either_way(mine: int, plain: int, said: str) -> None:
    runs = {**by_need(ALWAYS, "decay 1", at=mine), **by_need(ALWAYS, PLAIN, at=plain)}
    assert ruling_of(STUDY, "sooner-decay", runs) == said


def test_a_plain_arm_that_never_gets_there_is_slower_by_at_least_what_it_was_watched_for() -> None:
    runs = {**by_need(ALWAYS, "decay 1", at=800), **by_need(NEVER, PLAIN)}
    found = verdict_of(STUDY, "sooner-decay", runs)
    assert found.ruling == "supported"
    assert found.estimate.low > np.log10(4000 / 1400)
    assert found.estimate.high == np.inf


def test_where_neither_gets_there_steps_say_nothing_and_the_seeds_are_counted() -> None:
    found = verdict_of(STUDY, "sooner-decay", by_need(NEVER, "decay 1", PLAIN))
    assert (found.ruling, found.estimate.n) == ("inconclusive", 0)
    assert found.missing == {"neither reaches 99 %": 6}


@pytest.mark.parametrize("needs", [NEVER, ALWAYS])
def test_where_all_or_none_get_there_nothing_is_said_of_the_data(needs: float) -> None:
    found = verdict_of(STUDY, "less-data-decay", by_need(needs, "decay 1", PLAIN))
    assert found.ruling == "inconclusive"
    assert (found.estimate.low, found.estimate.high) == (0, 1)


def test_seeds_that_all_need_less_decide_from_six_on() -> None:
    for n, said in ((4, "inconclusive"), (6, "supported")):
        runs = {**by_need(0.7, "decay 1", n=n), **by_need(NEVER, PLAIN, n=n)}
        assert ruling_of(STUDY, "less-data-decay", runs) == said


def test_the_best_rival_is_chosen_on_the_other_seeds() -> None:
    """Each rival is lucky in one seed: by hindsight the best of them would be ahead in both."""
    lucky = {"dropout 0.1": 0, "weight noise 0.1": 1}
    runs = {**by_level([0.7], "decay 1", spread=0.0)}
    for each, seed in lucky.items():
        level = {"dropout 0.1": 0.4, "weight noise 0.1": 0.5}[each]
        runs |= by_level([0.95 if s == seed else level for s in range(6)], each, spread=0.0)
    found = verdict_of(STUDY, "better-decay-over-rivals", runs)
    chosen = {seed: 0.7 - value for seed, value in found.values.items()}  # pyright: ignore[reportOperatorIssue]
    assert chosen == pytest.approx({0: 0.5, 1: 0.95, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5})
    assert "decay 1 (6) against weight noise 0.1 (6)." in found.note


def test_one_seed_has_nothing_to_choose_the_best_rival_by() -> None:
    found = verdict_of(
        STUDY, "better-noise", by_level([0.5], "weight noise 0.1", "dropout 0.1", FULL_BATCH, n=1)
    )
    assert (found.estimate.n, found.missing) == (0, {"no other seed from which to choose the best": 1})


def test_a_seed_that_lacks_a_fraction_is_left_out_and_counted() -> None:
    runs = dict(by_level([0.7], "decay 1", PLAIN))
    runs[arm_of(PLAIN, 0.85)] = runs[arm_of(PLAIN, 0.85)][1:]
    found = verdict_of(STUDY, "better-decay", runs)
    assert (set(found.values), found.missing) == ({1, 2, 3, 4, 5}, {"not trained": 1})


def test_what_the_quick_budget_does_not_train_waits() -> None:
    answer = STUDY.answer(table_of(STUDY, by_level([0.7], *QUICK)))
    waiting = {v.endpoint for v in answer.verdicts if v.ruling == "open" and not v.is_primary}
    assert waiting == {
        f"{kind}-{name}"
        for kind in ("better", "less-data", "sooner")
        for name in ("gradient-noise", "orthogonal-gradient")
    }


def test_decay_to_init_as_good_as_to_zero_is_right_for_frequency_and_wrong_for_efficiency() -> None:
    runs = {**by_level([0.8], "decay 1", "decay 1 to init"), **by_level([0.5], *QUICK[:4])}
    scores = {
        (each.prediction.hypothesis, each.prediction.endpoint): each.score
        for each in STUDY.answer(table_of(STUDY, runs)).scores
    }
    assert scores[FREQUENCY, "better-decay-over-init"] == "right"
    assert scores[EFFICIENCY, "better-decay-over-init"] == "wrong"
    assert scores[regularisers.COLLAPSE, "better-decay"] == "wrong"
    assert scores[EFFICIENCY, "better-noise"] == "open"


@pytest.mark.parametrize(("level", "leaks"), [(0.04, 0), (0.6, 2)])
def test_shuffled_labels_are_told_and_leaks_are_counted(level: float, leaks: int) -> None:
    arm = shuffled_arm("decay 1", FRACTIONS["quick"][-1])
    runs = {**by_level([0.7], "decay 1", PLAIN), arm: [stored(arm, seed, level) for seed in range(2)]}
    note = verdict_of(STUDY, "better-decay", runs).note
    assert f"{leaks} of 2 above the level that guessing exceeds" in note
    assert "shuffled" not in verdict_of(STUDY, "better-decay", by_level([0.7], "decay 1", PLAIN)).note


def test_the_same_runs_in_another_order_give_the_same_answer() -> None:
    runs = dict(by_level([0.5, 0.7], *QUICK))
    mixed = {
        arm: random.Random(0).sample(list(runs[arm]), len(runs[arm])) for arm in reversed(list(runs))
    }
    one, other = (STUDY.answer(table_of(STUDY, some)) for some in (runs, mixed))
    assert [v.to_dict() for v in one.verdicts] == [v.to_dict() for v in other.verdicts]
    assert [f.plot.to_json() for f in one.figures] == [f.plot.to_json() for f in other.figures]


def test_figures_hold_every_arm_and_fraction_and_mark_the_censored() -> None:
    runs = {**by_need(ALWAYS, "decay 1"), **by_need(NEVER, PLAIN)}
    accuracy, steps, table = STUDY.answer(table_of(STUDY, runs)).figures
    assert set(accuracy.table["arm"]) == {PLAIN, "decay 1"}
    assert sorted(set(table.table["fraction"])) == list(FRACTIONS["quick"])
    seeds: Any = steps.table[steps.table["layer"] == "seed"]
    assert {row["arm"] for row in seeds.to_dict("records") if row["is_censored"]} == {PLAIN}
    assert len(seeds) == sum(map(len, runs.values()))
    assert set(seeds["run"]) == {run.id for its in runs.values() for run in its}
    medians = steps.table[steps.table["layer"] == "median"]
    assert set(medians["arm"]) == {"decay 1"}
    for arm, its in medians.groupby("trained_on"):
        each = seeds[(seeds["arm"] == "decay 1") & (seeds["trained_on"] == arm)]["steps"]
        assert its["steps"].tolist() == [sorted(each)[(len(each) - 1) // 2]]
    assert STUDY.answer(table_of(STUDY, {})).figures == ()


def test_a_larger_budget_trains_the_quick_ones_arms_at_their_fractions_again_on_other_seeds() -> None:
    quick, standard = ({arm.name: arm.spec for arm in STUDY.arms(b)} for b in ("quick", "standard"))
    assert quick.items() <= standard.items()


def test_every_spec_is_possible_whatever_its_fraction() -> None:
    for budget in ("standard", "full"):
        for arm in STUDY.arms(budget):
            assert arm.spec.data().n_train > 1


def test_shuffled_labels_take_half_of_the_seeds() -> None:
    sizes: dict[Budget, int] = {"quick": 2, "full": 8}
    for budget, n in sizes.items():
        planned = Counter(each.part.arm for each in STUDY.planned(budget) if "shuffled" in each.part.arm)
        assert set(planned.values()) == {n}


def test_the_full_budget_has_the_nine_interventions_of_the_figure_as_they_were() -> None:
    by_arm = {arm.name: arm.spec for arm in STUDY.arms("full")}
    assert len(FIGURE_2A) == 9
    for each, ending in FIGURE_2A.items():
        own = preset(f"power2022_figure2a{ending}")
        spec = by_arm[arm_of(each, 0.5)]
        said = ("measures", "checkpoints", "steps", "stop")
        assert spec.replace(**{field: getattr(own, field) for field in said}) == own
        assert (spec.steps, spec.stop[0].level) == (20_000, 0.99)
        assert by_arm[arm_of(each, 0.7)] == spec.replace(split=LeakyRandom(frac_train=0.7))


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [(0.7, 0.5, "supported"), (0.5, 0.7, "contradicted"), (0.6, 0.6, "no effect")],
)
@pytest.mark.parametrize("endpoint", PRIMARY)
def test_at_its_own_scale_each_primary_rules(endpoint: str, mine: float, its: float, said: str) -> None:
    comparison = next(c for c in COMPARISONS if f"better-{c.name}" == endpoint).within("full")
    assert set(comparison.all) <= set(FIGURE_2A)
    planned = {each.part: each.spec for each in STUDY.planned("full", 6)}
    runs = {
        arm_of(each, fraction): [
            of_spec(spec, best + 0.01 * (part.seed % 3 - 1), 1600)
            for part, spec in planned.items()
            if part.arm == arm_of(each, fraction)
        ]
        for side, best in ((comparison.mine, mine), (comparison.control, its))
        for each in side
        for fraction in FRACTIONS["full"]
    }
    assert verdict_of(STUDY, endpoint, runs, "full").ruling == said


def test_a_fraction_that_no_run_was_trained_at_is_left_out() -> None:
    planned = {each.part: each.spec for each in STUDY.planned("full", 6)}
    runs = {
        name: [of_spec(spec, best, 1600) for part, spec in planned.items() if part.arm == name]
        for each, best in (("decay 1", 0.9), (PLAIN, 0.5))
        for name in (arm_of(each, 0.5),)
    }
    arms = {arm.name: arm for arm in STUDY.arms("full")}
    by_seed = {name: {run.spec.seeds.model: run for run in its} for name, its in runs.items()}
    endpoint = next(each for each in STUDY.endpoints("full") if each.name == "better-decay")
    some = Table(STUDY.name, "full", {name: arms[name] for name in runs}, by_seed)
    assert endpoint.verdict(some).estimate.effect == pytest.approx(0.4)
    every = Table(STUDY.name, "full", arms, by_seed)
    assert endpoint.verdict(every).missing == {"not trained": 6}
