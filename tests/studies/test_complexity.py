"""The complexity study on runs whose law is known; every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.report.axes import traces_of
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies import Arm, Budget, Missing
from undergrowth.studies.complexity import (
    EXAMPLES,
    GROKKED,
    GROUPS,
    MEASURES,
    OPERATIONS,
    PRIMES,
    ROWS,
    STUDY,
    TIMES,
    controls,
    families,
)
from undergrowth.training.stopping import Stop

STEPS = np.arange(0, 3001, 10)
BY_SLUG = {measure.slug: measure for measure in MEASURES}
BUDGETS: tuple[Budget, ...] = ("quick", "standard", "full")
Law = Callable[[float], float]
Runs = dict[str, list[Run]]


def run(arm: Arm, seed: int, grokked: float, memorised: float = 50) -> Run:
    """A run of 3,000 steps that groks at the next evaluation from a step on, if it is one of them."""
    found = made_up(seed, arm.spec.labels, base=arm.spec)
    curves = {
        "train_accuracy": np.where(memorised <= STEPS, 1.0, 0.1),
        "val_accuracy": np.where(grokked <= STEPS, 1.0, 0.02),
    }
    found.__dict__["curves"] = xr.Dataset({n: ("step", v) for n, v in curves.items()}, {"step": STEPS})
    return found


def rising(
    slug: str, law: Law, seeds: int = 4, *, of_task: float = 0.0, sigma: float = 0.05, rng: int = 0
) -> Runs:
    """Runs of the standard tasks of a family whose times follow a law of the complexity, 0 the least and
    1 the highest; of_task, sigma: spreads of tasks and seeds, in decades.
    """
    measure, draw = BY_SLUG[slug], np.random.default_rng(rng)
    arms = measure.arms("standard")
    least, most = measure.complexity(arms[0]), measure.complexity(arms[-1])
    found: Runs = {}
    for arm in arms:
        middle = np.log10(law((measure.complexity(arm) - least) / (most - least)))
        middle += of_task * draw.normal()
        found[arm.name] = [
            run(arm, seed, 10 ** (middle + sigma * draw.normal())) for seed in range(seeds)
        ]
    return found


def later(decades: float, start: float = 200) -> Law:
    return lambda share: start * 10 ** (decades * share)


def power(slug: str, decades: float) -> Law:
    """A power law that is later by so many decades at the end."""
    arms = BY_SLUG[slug].arms("standard")
    ratio = BY_SLUG[slug].complexity(arms[-1]) / BY_SLUG[slug].complexity(arms[0])
    start = 200 if decades > 0 else 2000
    return lambda share: start * 10 ** (decades * np.log(1 + share * (ratio - 1)) / np.log(ratio))


@cache
def primary_runs(kind: str) -> Runs:
    return {
        "later": lambda: rising("rows", later(0.8)),
        "sooner": lambda: rising("rows", later(-0.8, 1500)),
        "alike": lambda: rising("rows", later(0), of_task=0.03),
        "tasks differ": lambda: rising("rows", later(0.3), of_task=0.35),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("later", "supported"),
        ("sooner", "contradicted"),
        ("alike", "no effect"),
        ("tasks differ", "inconclusive"),
    ],
)
def test_the_primary_comes_out_as_planted(kind: str, said: str) -> None:
    assert ruling_of(STUDY, "grows-rows", primary_runs(kind), "standard") == said


def test_the_primary_says_how_much_later_and_of_how_many_tasks() -> None:
    found = verdict_of(STUDY, "grows-rows", primary_runs("later"), "standard")
    assert found.is_primary
    assert (found.ruling, found.estimate.n) == ("supported", 4)
    assert found.estimate.effect == pytest.approx(0.8, abs=0.1)
    assert found.p < 0.05 / 34
    assert found.says.endswith("later, by whichever law")
    assert (found.arm, found.control) == ("x+y mod 53, as many a row", "x+y mod 23, as many a row")
    assert (
        found.note == "8 tasks; p: 23 to 53, a factor of 2.3, below the 3 needed to tell the laws apart."
    )
    middles = {arm: np.mean([*by_seed.values()]) for arm, by_seed in found.by_arm.items()}
    assert (len(middles), {len(by_seed) for by_seed in found.by_arm.values()}) == (8, {4})
    least, *_, most = middles.values()
    assert most - least == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize("budget", BUDGETS)
def test_everything_fits_together_and_one_endpoint_decides(budget: Budget) -> None:
    STUDY.check(budget)
    primary = [each.name for each in STUDY.endpoints(budget) if each.is_primary]
    assert primary == ["grows-rows"]
    assert not any(each.waits_for for each in STUDY.endpoints(budget))


@pytest.mark.parametrize("slug", [slug for slug in BY_SLUG if slug != "rows"])
def test_every_other_ladder_can_grow_and_fall(slug: str) -> None:
    up, down = rising(slug, later(0.9)), rising(slug, later(-0.9, 2000))
    assert ruling_of(STUDY, f"grows-{slug}", up, "standard") == "supported"
    assert ruling_of(STUDY, f"grows-{slug}", down, "standard") == "contradicted"


@pytest.mark.parametrize("slug", list(BY_SLUG))
def test_either_law_can_fit_better_whether_times_rise_or_fall(slug: str) -> None:
    found = {
        (law, decades): verdict_of(
            STUDY,
            f"exponential-{slug}",
            rising(
                slug,
                power(slug, decades)
                if law == "power law"
                else later(decades, 200 if decades > 0 else 2000),
                sigma=0.02,
                seeds=6,
            ),
            "standard",
        ).estimate.effect
        for law in ("power law", "exponential")
        for decades in (1.1, -1.1)
    }
    assert all((effect > 0) == (law == "exponential") for (law, _), effect in found.items()), found


def test_a_ladder_over_a_wide_range_decides_between_the_laws() -> None:
    for law, said in ((later(1.1), "supported"), (power("p", 1.1), "contradicted")):
        runs = rising("p", law, sigma=0.02, seeds=12)
        assert ruling_of(STUDY, "exponential-p", runs, "standard") == said
    same = rising("p", later(0), of_task=0.1)
    assert ruling_of(STUDY, "exponential-p", same, "standard") == "inconclusive"


def test_where_the_most_complex_never_grok_the_interval_is_open_and_they_are_named() -> None:
    runs = rising("rows", later(1.2, 250))
    found = verdict_of(STUDY, "grows-rows", runs, "standard")
    assert (found.ruling, np.isinf(found.estimate.high)) == ("supported", True)
    assert found.note.endswith("No run grokked: x+y mod 53, as many a row.")
    never = verdict_of(STUDY, "grows-rows", rising("rows", later(0, 1e6)), "standard")
    assert never.ruling == "inconclusive"


def test_runs_that_failed_or_never_memorised_are_counted_and_a_ladder_without_runs_is_open() -> None:
    runs = {arm: list(its) for arm, its in rising("rows", later(0.8)).items()}
    first = BY_SLUG["rows"].arms("standard")[0]
    failed, never = run(first, 5, 200), run(first, 6, np.inf, memorised=np.inf)
    failed.__dict__["status"] = "failed"
    runs[first.name] += [failed, never]
    found = verdict_of(STUDY, "grows-rows", runs, "standard")
    assert found.missing == {"diverged": 1}
    waits = verdict_of(STUDY, "grows-rows-since-memorised", runs, "standard")
    assert waits.missing == {"diverged": 1, "never memorised": 1}
    answer = STUDY.answer(table_of(STUDY, runs, "standard"))
    by_name = {verdict.endpoint: verdict for verdict in answer.verdicts}
    assert by_name["grows-rows"].ruling == "supported"
    assert by_name["grows-irreps"].ruling == by_name["exponential-irreps"].ruling == "open"
    assert [figure.name for figure in answer.figures] == ["growth_rows"]


def test_times_lie_between_evaluations_or_after_the_last_one() -> None:
    arm, stays = families("standard")[PRIMES][0], STEPS.copy()
    grokked, since, for_good = TIMES.values()
    each = run(arm, 0, 400, memorised=50)
    assert grokked(each) == pytest.approx((np.log10(390), np.log10(400)))
    assert since(each) == pytest.approx((np.log10(340), np.log10(360)))
    assert for_good(each) == pytest.approx((np.log10(400), np.log10(400)))
    assert since(run(arm, 0, 50, memorised=50)) == pytest.approx((0, 1))
    assert since(run(arm, 0, np.inf)) == pytest.approx((np.log10(2950), np.inf))
    assert since(run(arm, 0, 400, memorised=np.inf)) == Missing("never memorised")
    each.curves["val_accuracy"][stays == 500] = 0.5
    assert for_good(each) == pytest.approx((np.log10(510), np.log10(510)))
    each.curves["val_accuracy"][-1] = 0.5
    assert for_good(each) == pytest.approx((np.log10(3000), np.inf))


def test_what_the_times_are_taken_from_does_not_undo_the_primary() -> None:
    for name in ("grows-rows-since-memorised", "grows-rows-for-good"):
        assert ruling_of(STUDY, name, primary_runs("later"), "standard") == "supported"
        assert ruling_of(STUDY, name, primary_runs("sooner"), "standard") == "contradicted"


def test_the_control_says_where_shuffled_labels_end() -> None:
    runs = rising("p", later(0.8))
    runs |= {arm.name: [run(arm, seed, np.inf) for seed in range(2)] for arm in controls("standard")}
    note = verdict_of(STUDY, "grows-p", runs, "standard").note
    first = (
        "x+y mod 11, same share, shuffled: 2 seeds end at a validation accuracy of 0.02 (chance 0.0909)."
    )
    assert first in note


def test_ladders_hold_what_they_say() -> None:
    its = families("standard")
    shares = {arm.spec.split.frac_train for arm in its[PRIMES]}
    counts = [int(arm.spec.data().is_train.sum()) for arm in its[EXAMPLES]]
    of_rows = [arm.spec.data().is_train.sum() / arm.spec.task.n_labels for arm in its[ROWS]]
    assert len(shares) == 1
    assert max(counts) - min(counts) <= 1
    assert of_rows == pytest.approx([20] * len(of_rows), abs=0.05)
    assert len({arm.spec.task.n_labels for arm in its[OPERATIONS]}) == 1


def test_a_ladder_has_a_figure_with_every_run_and_both_laws() -> None:
    table = table_of(STUDY, rising("p", later(1.1)), "standard")
    (figure,) = STUDY.figures(table)
    drawn: Any = figure.table
    runs = drawn[drawn["layer"] == "run"]
    assert (figure.name, len(runs)) == ("growth_p", 28)
    assert runs[["run", "seed", "task"]].notna().to_numpy().all()
    law = drawn[drawn["series"] == "exponential"]
    share = (law["complexity"].to_numpy(float) - 11) / 36
    assert np.allclose(law["time"], 200 * 10 ** (1.1 * share), rtol=0.15)
    assert "28 runs, 0 censored" in figure.caption
    names = [trace.name for trace in traces_of(figure.plot)]
    assert {"power law", "exponential", "one run"} <= set(names)
    assert "one run, censored" not in names
    assert GROKKED.capitalize() in figure.title


def test_a_figure_of_runs_that_never_grok_has_no_law() -> None:
    (figure,) = STUDY.figures(table_of(STUDY, rising("p", later(0, 1e6)), "standard"))
    names = [trace.name for trace in traces_of(figure.plot)]
    assert "one run, censored" in names
    assert "exponential" not in names


def test_no_runs_are_no_figure_and_no_traceback() -> None:
    answer = STUDY.answer(table_of(STUDY, {}, "standard"))
    assert {verdict.ruling for verdict in answer.verdicts} == {"open"}
    assert answer.figures == ()


def test_groups_of_the_full_budget_are_the_papers_runs_timed_to_the_level_at_which_they_stop() -> None:
    own = preset("chughtai2023_mlp")
    arm = next(arm for arm in families("full")[GROUPS] if arm.name == "S5")
    said = ("measures", "checkpoints", "stop")
    assert arm.spec.replace(**{field: getattr(own, field) for field in said}) == own
    assert {each.spec.stop for each in families("full")[GROUPS]} == {(Stop(level=0.95),)}
    made = run(arm, 0, 1_000)
    made.curves["val_accuracy"][:] = np.where(STEPS >= 1_000, 0.96, 0.02)
    assert TIMES[GROKKED](made) == pytest.approx(np.log10([990, 1_000]))
    standard = families("standard")[GROUPS][0]
    never = run(standard, 0, 1_000)
    never.curves["val_accuracy"][:] = made.curves["val_accuracy"].values
    assert TIMES[GROKKED](never) == (pytest.approx(np.log10(3_000)), np.inf)
