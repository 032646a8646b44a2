"""The ablation study on runs whose answers are known; every endpoint can come out either way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from tests.studies.made_up import KS, STEPS, deletion, made_up, norm_share
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies.ablation import GROWTHS, MEASURED, STUDY, damage
from undergrowth.studies.changes import Change
from undergrowth.studies.small_arms import CHEAP, MAIN, control_of

GROWING = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
FLAT = [0.0] * len(STEPS)
OTHERS = ("random", "least", "norm_matched")


def run(
    seed: int, arm: str, by_top: Sequence[float], by_others: Sequence[float] = FLAT, matched: int = 3
) -> Run:
    """A run whose readings drop so much at each step, a little more each seed."""
    spec = next(each.spec for each in STUDY.arms("standard") if each.name == arm)
    reading = deletion([drop * (1 + seed / 100) for drop in by_top])
    for name in OTHERS:
        for at, drop in enumerate(by_others):
            reading.loc[{"strategy": name, "step": STEPS[at], "k": list(KS[1:])}] = 1 - drop
    readings: dict[str, Any] = {f"deletion_{of}": reading for of in MEASURED}
    readings["deletion_norm_share"] = norm_share(matched_until=matched)
    return made_up(seed, spec.labels, base=spec, **readings)


def runs(mine, its, arm: str = MAIN, others: Sequence[float] = FLAT) -> dict[str, list[Run]]:
    return {
        arm: [run(seed, arm, mine, others) for seed in range(4)],
        control_of(arm): [run(seed, control_of(arm), its) for seed in range(4)],
    }


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_one_another(budget) -> None:
    STUDY.check(budget)
    (primary,) = [e for e in STUDY.endpoints(budget) if e.is_primary]
    waits = budget != "full"
    assert (primary.claim, primary.arm, bool(primary.waits_for)) == ("P17", MAIN, waits)


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        (GROWING, FLAT, "supported"),
        (FLAT, GROWING, "contradicted"),
        (GROWING, GROWING, "no effect"),
    ],
)
@pytest.mark.parametrize("of", ["accuracy", "log-prob"])
def test_p17_is_the_growth_of_the_drop_by_the_top_k(mine, its, said: str, of: str) -> None:
    assert ruling_of(STUDY, f"drop-{of}", runs(mine, its)) == said


def test_seeds_that_disagree_leave_p17_open() -> None:
    mixed = runs(GROWING, FLAT)
    mixed[MAIN] = [run(seed, MAIN, GROWING if seed % 2 else FLAT) for seed in range(4)]
    assert ruling_of(STUDY, "drop-accuracy", mixed) == "inconclusive"


def test_the_primary_endpoint_is_the_raw_drop_whatever_other_deletions_do() -> None:
    found = verdict_of(STUDY, "drop-accuracy", runs(GROWING, FLAT, others=GROWING))
    assert found.estimate.effect == pytest.approx(0.4 * 1.015)
    assert found.rule.ruling(found.estimate) == "supported"
    assert found.ruling == "open"


@pytest.mark.parametrize("beyond", ["random", "least", "norm-matched"])
@pytest.mark.parametrize("of", ["accuracy", "log-prob"])
def test_damage_that_any_deletion_does_as_well_is_none_beyond_it(of: str, beyond: str) -> None:
    name = f"drop-{of}-beyond-{beyond}"
    assert ruling_of(STUDY, name, runs(GROWING, FLAT)) == "supported"
    assert ruling_of(STUDY, name, runs(GROWING, FLAT, others=GROWING)) == "no effect"
    assert ruling_of(STUDY, name, runs(FLAT, FLAT, others=GROWING)) == "contradicted"


def test_damage_that_shrinks_contradicts_p17_and_says_when_it_was_largest() -> None:
    found = verdict_of(STUDY, "drop-accuracy", runs([0, 0.3, 0.5, 0.2, 0.1, 0.1], FLAT))
    assert found.rule.ruling(found.estimate) == "contradicted"
    assert "Highest near step 200" in found.note


@pytest.mark.parametrize(
    ("late", "said"), [(0.1, "contradicted"), (0.51, "no effect"), (0.9, "supported")]
)
def test_damage_may_fall_again_once_it_has_grokked(late: float, said: str) -> None:
    found = runs([0, 0.1, 0.3, 0.5, late, late], FLAT)
    assert ruling_of(STUDY, "drop-accuracy-after-grokked", found) == said


def test_a_k_that_cannot_be_matched_in_norm_does_not_count() -> None:
    one = run(0, MAIN, GROWING, matched=2)
    reading = one["deletion_accuracy"]
    reading.loc[{"strategy": "norm_matched", "k": 4}] = -9.0  # all the others deleted: no control
    readings = ("deletion_accuracy", "deletion_norm_share")
    change = Change(readings, partial(damage, "deletion_accuracy", "norm_matched"))
    assert change(one) == pytest.approx(0.4)
    found = damage("deletion_accuracy", "norm_matched", one)
    assert found.isnull().sum() == len(STEPS)
    nothing = run(1, MAIN, GROWING, matched=1)
    name = "drop-accuracy-beyond-norm-matched"
    missing = verdict_of(STUDY, name, {MAIN: [one, nothing]}).missing
    assert missing == {"nothing comparable at both ends": 1}


def test_each_arm_is_held_against_its_own_control() -> None:
    arms = {CHEAP: (GROWING, FLAT, "supported"), "Muon": (FLAT, GROWING, "contradicted")}
    arms["no decay"] = (FLAT, FLAT, "no effect")
    found = {}
    for arm, (mine, its, _) in arms.items():
        found |= runs(mine, its, arm)
    answer = STUDY.answer(table_of(STUDY, found, "standard"))
    for arm, (*_, said) in arms.items():
        of_arm = [v.ruling for v in answer.verdicts if v.arm == arm]
        assert len(of_arm) == 2 * (1 + len(OTHERS))
        assert set(of_arm) == {said}
    assert [figure.name for figure in answer.figures] == ["deletion_by_arm"]


def test_any_of_the_runs_are_answered_and_drawn() -> None:
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
    some = {MAIN: [made_up(0)], control_of(MAIN): [made_up(0, "shuffled")]}
    verdicts = STUDY.answer(table_of(STUDY, some)).verdicts
    assert {v.ruling for v in verdicts} <= {"inconclusive", "open"}
    assert {"has no deletion_accuracy": 2} in [v.missing for v in verdicts]
    drawn = STUDY.answer(table_of(STUDY, runs(GROWING, FLAT))).figures
    assert [figure.name for figure in drawn] == [
        "deletion_change",
        "deletion_by_k",
        "deletion_over_steps",
        "deletion_by_arm",
    ]
    assert len(drawn[3].table) == sum(growth.arm == MAIN for growth in GROWTHS)
