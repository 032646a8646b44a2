"""The grokking study on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis import Above
from undergrowth.analysis.phases import LATE
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies.arm import Budget
from undergrowth.studies.grokking import (
    DROPS,
    FEW,
    FIGURE_1A,
    MAIN_ONSET,
    MEMORISING,
    ONSETS,
    REPLICATION,
    STUDY,
    TITLED,
)
from undergrowth.studies.one_layer_addition import SHUFFLED, TRUE
from undergrowth.tasks import LeakyRandom

STEPS = np.arange(0, 20_001, 100)


def run(
    seed: int,
    *,
    grokked: int | None = 10_000,
    onset: int = 2_000,
    memorised: int = 100,
    val_falls: float | None = 3_000,
    train_falls: float | None = 9_000,
    height: float = 16.0,
    floor: float = 1e-3,
    labels: str = "true",
) -> Run:
    """A run with these events, whose losses fall by a decade in 1,000 steps from some steps on."""
    made = made_up(seed, labels)
    end = 10**9 if grokked is None else grokked

    def falling(level: float, at: float | None) -> np.ndarray:
        return level * 10 ** -(np.maximum(STEPS - (1e9 if at is None else at), 0) / 1000)

    climb = np.clip((STEPS - onset) / max(end - onset, 1), 0, 1) * 0.8
    columns = {
        "train_accuracy": (memorised <= STEPS).astype(float),
        "val_accuracy": np.where(end <= STEPS, 1.0, np.where(onset <= STEPS, 0.1 + climb, 0.02)),
        "train_loss": np.where(memorised > STEPS, 1.0, falling(floor, train_falls)),
        "val_loss": falling(height, val_falls) - 1e-6 * np.maximum(memorised - STEPS, 0),
    }
    columns["weight_norm"] = np.where(STEPS % 10_000, np.nan, 1.0)  # as rarely as other measures read
    curves = xr.Dataset({n: ("step", v) for n, v in columns.items()}, {"step": STEPS})
    made.__dict__["curves"] = curves
    return made


def seeds(of: Callable[[int], Run], n: int = 8) -> dict[str, Sequence[Run]]:
    return {TRUE: [of(seed) for seed in range(n)]}


def spread(seed: int) -> int:
    return 100 * (seed % 3)


MIXED = (100, 18_000)
PLANTED: dict[str, dict[str, Callable[[int], Run]]] = {
    "later": {
        "supported": lambda s: run(s, grokked=10_000 + spread(s)),
        "contradicted": lambda s: run(s, grokked=300 + spread(s), onset=200),
        "inconclusive": lambda s: run(s, grokked=MIXED[s % 2], onset=100),
    },
    "overfits-then-falls": {
        "supported": lambda s: run(s, height=16 + s),
        "contradicted": lambda s: run(s, val_falls=None, height=16 + s),
        "no effect": lambda s: run(s, height=4.5 + s / 10),
        "inconclusive": lambda s: run(s, height=16, floor=(1e-3, 3.0)[s % 2]),
    },
    "falls-first": {
        "supported": lambda s: run(s, train_falls=9_000 + spread(s)),
        "contradicted": lambda s: run(s, val_falls=(9_000 + spread(s), None)[s % 2], train_falls=1_000),
        "no effect": lambda s: run(s, train_falls=3_000 + spread(s)),
        "inconclusive": lambda s: run(s, train_falls=(1_000, 9_000)[s % 2]),
    },
    "takes-most-of-the-way": {
        "supported": lambda s: run(s, onset=2_000 + spread(s)),
        "contradicted": lambda s: run(s, onset=9_000 + spread(s)),
        "inconclusive": lambda s: run(s, onset=(500, 9_500)[s % 2]),
    },
}


@pytest.mark.parametrize(
    ("endpoint", "ruling"), [(name, said) for name, planted in PLANTED.items() for said in planted]
)
def test_each_primary_can_come_out_each_way(endpoint: str, ruling: str) -> None:
    assert ruling_of(STUDY, endpoint, seeds(PLANTED[endpoint][ruling])) == ruling


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_they_are_the_primaries_one_a_claim_and_stand_ins_wait_for_the_posts_own_settings(
    budget,
) -> None:
    STUDY.check(budget)
    primaries = {e.claim: e for e in STUDY.endpoints(budget) if e.is_primary}
    assert {endpoint.name for endpoint in primaries.values()} == set(PLANTED)
    own = {"P1": REPLICATION, "P2": REPLICATION, "P3": REPLICATION, "P14": TRUE}
    for claim, endpoint in primaries.items():
        assert endpoint.arm == (own[claim] if budget == "full" else TRUE)
        assert bool(endpoint.waits_for) == (budget != "full")


def test_a_stand_in_leaves_its_claim_open() -> None:
    assert verdict_of(STUDY, "later", seeds(PLANTED["later"]["supported"])).ruling == "open"


@pytest.mark.parametrize(
    ("endpoint", "ruling"), [(name, said) for name, planted in PLANTED.items() for said in planted]
)
def test_at_its_own_scale_each_primary_rules(endpoint: str, ruling: str) -> None:
    arm = next(e.arm for e in STUDY.endpoints("full") if e.name == endpoint)
    runs = {arm: [PLANTED[endpoint][ruling](seed) for seed in range(8)]}
    assert verdict_of(STUDY, endpoint, runs, "full").ruling == ruling


def test_its_own_scale_is_the_papers_own_runs_but_for_what_is_said() -> None:
    specs = {arm.name: arm.spec for arm in STUDY.arms("full")}
    changed = ("measures", "checkpoints", "steps", "stop")
    of = {
        FIGURE_1A: "power2022_figure1a",
        REPLICATION: "teddykoker2021_as_run",
        TITLED: "teddykoker2021",
        TRUE: "nanda2023",
    }
    for arm, name in of.items():
        assert specs[arm].replace(**{f: getattr(preset(name), f) for f in changed}) == preset(name)
    assert specs[FIGURE_1A].steps == 1_000_000
    assert (specs[FIGURE_1A].stop[0].level, specs[FIGURE_1A].stop[0].evaluations) == (0.99, 10)


def test_the_seeds_of_each_arm() -> None:
    expected: dict[Budget, dict[str, int]] = {
        "quick": {TRUE: 4, SHUFFLED: 2},
        "standard": {TRUE: 16, SHUFFLED: 16},
        "full": {FIGURE_1A: FEW, REPLICATION: 16, TITLED: 16, MEMORISING: 4, TRUE: 16, SHUFFLED: 16},
    }
    for budget, counts in expected.items():
        assert Counter(each.part.arm for each in STUDY.planned(budget)) == counts


def test_controls_are_told_of_beside_what_they_are_of() -> None:
    memorising = [run(seed, grokked=None, onset=30_000, labels="shuffled") for seed in range(4)]
    runs = {REPLICATION: seeds(PLANTED["falls-first"]["supported"])[TRUE], MEMORISING: memorising}
    found = verdict_of(STUDY, "falls-first", runs, "full")
    assert found.note == "Shuffled labels: validation loss falls in 4 of 4 seeds."
    assert "validation accuracy" in verdict_of(STUDY, "later", runs, "full").note
    figures = STUDY.answer(table_of(STUDY, runs, "full")).figures
    assert [figure.name for figure in figures] == ["accuracy", "loss", "fall_rules"]


def test_later_is_the_ratio_of_first_times() -> None:
    found = verdict_of(STUDY, "later", {TRUE: [*(made_up(s) for s in range(3)), made_up(3, grokked=4)]})
    assert found.estimate.effect == pytest.approx(np.mean(np.log10([4, 4, 4, 8])))
    assert found.says == "× 4.8 later"
    assert found.rule == Above(np.log10(LATE))


def test_seeds_that_never_grok_are_censored_and_those_that_never_memorise_are_missing() -> None:
    true = [run(0), run(1), run(2, grokked=None), run(3, memorised=30_000)]
    found = verdict_of(STUDY, "later", {TRUE: true})
    assert found.estimate.n == 3
    assert found.missing == {"never memorised": 1}
    low, high = found.values[2]  # pyright: ignore[reportIndexIssue, reportGeneralTypeIssues]
    assert 0 < low < high == np.inf
    control = {TRUE: [run(s, grokked=None, onset=30_000) for s in range(8)]}
    assert ruling_of(STUDY, "later", control) == "inconclusive"


def test_how_near_seeds_come_that_never_grok_is_told_and_asked_at_lower_levels() -> None:
    def nearly(seed: int) -> Run:
        made = run(seed, grokked=None, onset=8_000)
        made.curves["val_accuracy"][100:] = 0.97 + seed / 1000  # from step 10,000 on
        return made

    of = {TRUE: [nearly(0), nearly(1), nearly(2), run(3)]}
    assert verdict_of(STUDY, "later", of).note == "3 of 4 seeds never at 99 %, but at 97.0% to 97.2%."
    at_95 = verdict_of(STUDY, "later-at-95 %", of)
    assert at_95.values == dict.fromkeys(range(4), (2.0, 2.0))  # 100 to 10,000
    assert "95 % validation accuracy" in at_95.statistic
    assert ruling_of(STUDY, "later-at-90 %", seeds(PLANTED["later"]["contradicted"])) == "contradicted"


def test_the_smallest_margin_decides_p2() -> None:
    found = verdict_of(STUDY, "overfits-then-falls", {TRUE: [made_up(0), made_up(1)]})
    assert found.estimate.effect == pytest.approx(np.log10([16, 16.16]).mean() - np.log10(np.log(53)))


def test_validation_falls_first_by_so_many_steps_whatever_the_drop() -> None:
    of = seeds(lambda s: run(s, train_falls=9_000 + spread(s)))
    names = ["falls-first", *(f"falls-first-by-{what}" for what in list(DROPS)[::2])]
    for name in names:
        found = verdict_of(STUDY, name, of)
        assert found.estimate.effect == pytest.approx(6_090, abs=60)
        assert found.says.endswith("steps before train loss does")
    in_decades = verdict_of(STUDY, "falls-first-in-decades", of)
    assert in_decades.estimate.effect == pytest.approx(np.log10(9_590 / 3_500), abs=0.01)


def test_a_train_loss_that_settles_for_good_is_a_bound_in_favour_of_p3() -> None:
    of = seeds(lambda s: run(s, val_falls=3_000 + spread(s), train_falls=None))
    found = verdict_of(STUDY, "falls-first", of)
    assert found.rule.ruling(found.estimate) == "supported"
    assert found.estimate.high == np.inf


def test_a_validation_loss_that_never_falls_is_later_than_a_train_loss_that_does() -> None:
    def shuffled(seed: int) -> Run:
        made = run(seed, grokked=None, onset=30_000, val_falls=None, labels="shuffled")
        made.curves["train_loss"][:] = 1e-4 + np.exp(-STEPS / 60)
        return made

    null = verdict_of(STUDY, "falls-first", seeds(shuffled))
    assert null.rule.ruling(null.estimate) == "contradicted"
    assert all(low == -np.inf and high < -10_000 for low, high in null.values.values())  # pyright: ignore[reportGeneralTypeIssues]
    neither = verdict_of(STUDY, "falls-first", seeds(lambda s: run(s, val_falls=None, train_falls=None)))
    assert neither.missing == {"neither loss falls": 8}
    both = {TRUE: [run(0), run(1)], SHUFFLED: [shuffled(0), run(1, labels="shuffled")]}
    assert "falls in 1 of 2 seeds" in verdict_of(STUDY, "falls-first", both).note
    assert "end at 1.000 validation accuracy" in verdict_of(STUDY, "later", both).note


def test_the_share_of_the_way_is_from_onset_to_99_percent() -> None:
    found = verdict_of(STUDY, "takes-most-of-the-way", seeds(lambda s: run(s), 2))
    assert found.values == {0: (0.8, 0.8), 1: (0.8, 0.8)}
    found = verdict_of(
        STUDY,
        "takes-most-of-the-way",
        {TRUE: [run(0, grokked=None), run(1, grokked=None, onset=30_000)]},
    )
    assert found.values == {0: (0.9, 1.0)}
    assert found.missing == {"no onset": 1}


def test_what_leaked_swaps_give_counts_as_part_of_the_way_and_is_told() -> None:
    def leaky(seed: int, grokked: int | None = 10_000) -> Run:
        made = run(seed, grokked=grokked)
        made.__dict__["spec"] = made.spec.replace(split=LeakyRandom(frac_train=0.5))
        return made

    assert verdict_of(STUDY, "takes-most-of-the-way", seeds(run, 2)).note == ""
    of = {TRUE: [leaky(0), leaky(1), leaky(2, grokked=None)]}
    found = verdict_of(STUDY, "takes-most-of-the-way", of)
    assert found.values == {0: (0.8, 0.8), 1: (0.8, 0.8), 2: (0.9, 1.0)}
    assert re.fullmatch(
        r"From 5 points above what swaps of training pairs alone answer \((49|50)% of validation\) on "
        r"it is 3\d% of the way \(grokked: 2 seeds\)\.",
        found.note,
    )
    assert "No seed groks" in verdict_of(STUDY, "takes-most-of-the-way", {TRUE: of[TRUE][2:]}).note
    beyond = verdict_of(STUDY, f"takes-most-of-the-way-by-{MAIN_ONSET} beyond swaps", of)
    assert {low < 0.5 for low, _ in list(beyond.values.values())[:2]} == {True}  # pyright: ignore[reportGeneralTypeIssues]


def test_onset_rules_may_differ() -> None:
    of = seeds(lambda s: run(s, onset=9_000 + spread(s)))
    by_loss = [f"takes-most-of-the-way-by-{name}" for name in ONSETS if "loss" in name]
    assert {ruling_of(STUDY, name, of) for name in by_loss} == {"supported"}
    by_accuracy = [f"takes-most-of-the-way-by-{name}" for name in ONSETS if "accuracy" in name]
    by_accuracy.remove(f"takes-most-of-the-way-by-{MAIN_ONSET}")
    assert {ruling_of(STUDY, name, of) for name in by_accuracy} == {"contradicted"}


@pytest.mark.parametrize(
    ("runs", "drawn"),
    [
        ({}, ["accuracy", "loss"]),
        ({SHUFFLED: [run(0, labels="shuffled")]}, ["accuracy", "loss"]),
        ({TRUE: [run(0), run(1)]}, ["accuracy", "loss", "onset_rules", "fall_rules"]),
    ],
)
def test_any_subset_of_the_runs_is_answered_and_drawn(runs, drawn) -> None:
    answer = STUDY.answer(table_of(STUDY, runs))
    assert [figure.name for figure in answer.figures] == drawn
    assert {score.score for score in answer.scores} == {"open"}


def test_figures_show_the_middle_of_each_seeds_bounds() -> None:
    table = table_of(STUDY, {TRUE: [run(0), run(1, train_falls=None)]})
    onsets, drops = [figure.table for figure in STUDY.answer(table).figures][2:]
    assert set(onsets["arm"]) == set(ONSETS)
    by_3 = drops[drops["arm"] == "a factor of 3"]["value"].tolist()
    assert by_3[0] == pytest.approx(6_000)
    assert np.isnan(by_3[1])


def test_the_order_of_the_runs_changes_nothing() -> None:
    of = seeds(PLANTED["falls-first"]["supported"])
    forwards, backwards = (
        STUDY.answer(table_of(STUDY, {TRUE: runs})).verdicts for runs in (of[TRUE], of[TRUE][::-1])
    )
    assert [v.to_dict() for v in forwards] == [v.to_dict() for v in backwards]
