"""The boost study on runs whose answers are known; every verdict can come out either way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun, made_up
from undergrowth.analysis import Verdict
from undergrowth.store import Run
from undergrowth.studies import lr_boost
from undergrowth.studies.boost_arms import ARMS, QUICK, TUNED, Arm, arms_by_kind

STEPS = range(0, 3001, 50)
SWITCHED_AT = {"step 0": 0, "memorised": 300, "onset": 500, "onset by loss": 500, "step 1,000": 1000}
GROKS = 2000


def stored(arm: Arm, seed: int, grokked: int | None, *, falls: int = 0, stays: bool = True) -> Run:
    """A run that memorises at 300, sets off at 500 and groks at `grokked`, or never.

    falls: for so many steps after the switch train accuracy is that of validation, and both climb.
    """
    steps = np.array(STEPS)
    end = grokked if grokked is not None else 10**6
    way = np.clip((steps - 500) / max(end - 500, 1), 0, 1)
    val = np.where(steps < 500, 0.02, np.where(steps >= end, 1.0, 0.1 + 0.85 * way))
    if not stays:
        val[-1] = 0.5
    at = SWITCHED_AT[arm.switch]
    low = (steps > at) & (steps <= at + falls)
    train = np.where(low, val, np.where(steps >= 300, 1.0, 0.5))
    noise = np.random.default_rng(seed).normal(size=(2, len(steps)))
    shared = 0.9 if falls else 0.0
    log_train, log_val = noise[0], shared * noise[0] + (1 - shared) * noise[1]
    values = {
        "train_accuracy": train,
        "val_accuracy": val,
        "train_loss": np.exp(np.cumsum(log_train) / 10),
        "val_loss": np.exp(np.cumsum(log_val) / 10),
    }
    curves = xr.Dataset({name: ("step", v) for name, v in values.items()}, {"step": steps})
    spec = arm.spec("small", seed)
    run = MadeUpRun(spec, {})
    trunks = ((spec.fork.of, at),) if spec.fork else ()
    run.__dict__.update(curves=curves, names=tuple(values), trunks=trunks)
    return run


def pairs(
    arms: Iterable[Arm], boosted: Callable[[int], int | None] | int | None, n: int = 4, **how
) -> list[Run]:
    """Some arms and their controls, which grok near 2,000; seeds differ by 50 steps each."""
    found: dict[str, Run] = {}
    for arm in arms:
        for seed in range(n):
            mine = boosted(seed) if callable(boosted) else boosted
            for run in (stored(arm.control, seed, GROKS + 50 * seed), stored(arm, seed, mine, **how)):
                found[run.id] = run
    return list(found.values())


def of(claim: str, runs: Iterable[Run], about: str = "") -> Verdict:
    verdicts = lr_boost.verdicts(lr_boost.found_in(list(runs)))
    return next(v for v in verdicts if v.claim == claim and about in v.statistic)


def lr(factor: float, switch: str = "step 0", task: str = "addition") -> Arm:
    return Arm(task, "lr", factor, switch)


def later(by: int) -> Callable[[int], int]:
    return lambda seed: by + 50 * (seed % 3)


def test_every_run_of_every_budget_is_known_as_its_arm() -> None:
    for budget in ("quick", "standard", "full"):
        arms = ARMS[budget]
        specs = lr_boost.runs(budget, 1)
        kinds = arms_by_kind()
        assert [kinds[spec.without_seeds().id] for spec in specs] == list(dict.fromkeys(arms))
        assert all(arm.control in arms for arm in arms)


def test_a_larger_budget_trains_nothing_again() -> None:
    quick, standard = ({spec.id for spec in lr_boost.runs(b, None)} for b in ("quick", "standard"))
    assert quick < standard


def test_a_speed_up_in_proportion_supports_c3_and_none_contradicts_it() -> None:
    arm = lr(10, "onset")
    proportional = of("C3", pairs([arm], later(650)), "× 10 ")
    assert proportional.verdict == "supported"
    assert 0.8 < proportional.estimate.effect < 1.1
    assert of("C3", pairs([arm], later(1900)), "× 10 ").verdict == "contradicted"
    mixed = of("C3", pairs([arm], lambda seed: 2000 if seed % 2 else 600), "× 10 ")
    assert mixed.verdict == "inconclusive"


def test_boosted_seeds_that_never_get_there_contradict_c3_and_are_counted() -> None:
    found = of("C3", pairs([lr(100, "onset")], None), "× 100")
    assert (found.verdict, found.estimate.n) == ("contradicted", 4)
    assert "0 of 4 get there, 0 stay; no-op: 4 of 4 get there, 4 stay" in found.note


def test_when_neither_ever_gets_there_nothing_is_decided() -> None:
    arm = lr(10, "onset")
    runs = [stored(a, seed, None) for a in (arm, arm.control) for seed in range(4)]
    for verdict in lr_boost.verdicts(lr_boost.found_in(runs)):
        if verdict.claim in ("C3", "C14"):
            assert verdict.verdict == "inconclusive"


@pytest.mark.parametrize(("grokked", "said"), [(700, "supported"), (2600, "contradicted")])
def test_c4_says_whether_a_boost_at_memorisation_is_faster(grokked: int, said: str) -> None:
    for arm in (lr(5, "memorised"), lr(10, "memorised"), lr(5, "memorised", TUNED)):
        assert of("C4", pairs([arm], later(grokked)), str(arm)).verdict == said


def test_c4s_collapse_takes_six_seeds() -> None:
    arm = lr(100, "memorised")
    assert of("C4", pairs([arm], None, n=4), "× 100").verdict == "inconclusive"
    assert of("C4", pairs([arm], None, n=6), "× 100").verdict == "supported"
    assert of("C4", pairs([arm], later(600), n=6), "× 100").verdict == "contradicted"


def test_a_seed_that_gets_to_99_percent_and_falls_back_does_not_count_as_there() -> None:
    found = of("C4", pairs([lr(100, "memorised")], 600, n=6, stays=False), "× 100")
    assert found.verdict == "supported"
    assert "6 of 6 get there, 0 stay" in found.note


def test_a_run_that_gets_there_in_its_last_tenth_has_not_stayed() -> None:
    arm = lr(100, "memorised")
    assert of("C4", pairs([arm], 2900, n=6), "× 100").verdict == "supported"
    assert of("C4", pairs([arm], 2700, n=6), "× 100").verdict == "contradicted"


def test_both_sides_climbing_together_support_c5_and_c6() -> None:
    runs = pairs([lr(10, "memorised")], later(1400), falls=1000, n=6)
    assert of("C5", runs, "gap").verdict == "supported"
    assert of("C5", runs, "climb").verdict == "supported"
    assert of("C6", runs).verdict == "supported"


def test_a_train_accuracy_that_never_falls_contradicts_that_both_climb_together() -> None:
    arm = lr(10, "memorised")
    assert of("C5", pairs([arm], later(1400), n=6), "climb").verdict == "contradicted"
    assert of("C5", pairs([arm], later(1400), n=5), "climb").verdict == "inconclusive"


def test_a_gap_that_a_boost_widens_contradicts_the_mode_shift() -> None:
    assert of("C5", pairs([lr(10, "memorised")], later(2300)), "gap").verdict == "contradicted"


def test_c5s_ten_and_fifty_times_at_step_1000_can_come_out_either_way() -> None:
    for boosted, ten, fifty in (
        (None, "supported", "contradicted"),
        (1400, "contradicted", "supported"),
    ):
        runs = pairs([lr(10, "step 1,000"), lr(50, "step 1,000")], boosted, n=6)
        assert of("C5", runs, "× 10 at step 1,000").verdict == ten
        assert of("C5", runs, "× 50").verdict == fifty


def test_losses_less_correlated_than_the_no_ops_contradict_c6() -> None:
    arm = lr(10, "memorised")
    runs = [stored(arm, seed, 2000) for seed in range(4)]
    runs += [stored(arm.control, seed, 2000, falls=800) for seed in range(4)]
    assert of("C6", runs).verdict == "contradicted"
    runs = [stored(arm, s, 2000, falls=800 * (s % 2)) for s in range(4)]
    runs += [stored(arm.control, s, 2000, falls=800 * (1 - s % 2)) for s in range(4)]
    assert of("C6", runs).verdict == "inconclusive"


def test_c7_is_supported_where_the_multiplier_fails_from_the_start() -> None:
    assert of("C7", pairs([lr(10)], None), "× 10").verdict == "supported"
    assert of("C7", pairs([lr(10)], later(500)), "× 10").verdict == "contradicted"
    mixed = pairs([lr(10)], lambda seed: 600 if seed % 2 else 2900)
    assert of("C7", mixed, "× 10").verdict == "inconclusive"


def test_c7_is_asked_of_the_best_rate_too() -> None:
    arm = lr(10, task=TUNED)
    assert of("C7", pairs([arm], later(2700)), str(arm)).verdict == "supported"
    assert of("C7", pairs([arm], later(500)), str(arm)).verdict == "contradicted"


def test_c8_asks_of_the_best_boost_as_others_found_it() -> None:
    arms = [lr(5, "onset", "group"), lr(10, "onset", "group")]
    never = pairs(arms[:1], later(2500)) + pairs(arms[1:], None)
    assert of("C8", never).verdict == "supported"
    one = pairs(arms[:1], later(2500)) + pairs(arms[1:], later(800))
    found = of("C8", one)
    assert found.verdict == "contradicted"
    assert "Best for others: lr × 10 at onset (group)." in found.note


def test_a_boost_that_helps_one_seed_each_by_chance_is_not_taken_for_one_that_works() -> None:
    arms = [lr(f, "onset", "group") for f in (2, 3, 5, 10)]
    runs = []
    for lucky, arm in enumerate(arms):
        runs += pairs([arm], lambda seed, lucky=lucky: 700 if seed == lucky else 2800 + 10 * seed)
    unique = list({run.id: run for run in runs}.values())
    assert of("C8", unique).verdict == "supported"


def test_c9_has_four_parts_each_of_which_can_come_out_either_way() -> None:
    for grokked, faster, slower in (
        (800, "supported", "contradicted"),
        (2800, "contradicted", "supported"),
    ):
        arms = [lr(3, "onset", "division"), lr(5, task="division"), lr(5, "onset", "division")]
        runs = pairs([*arms, lr(10, "onset", "division")], later(grokked))
        assert of("C9", runs, "lr × 3").verdict == faster
        assert of("C9", runs, "lr × 5 at step 0").verdict == faster
        assert of("C9", runs, "lr × 5 at onset").verdict == slower
        assert of("C9", runs, "best of 1 times").verdict == slower


def test_c14_is_supported_where_rules_disagree_and_contradicted_where_they_agree() -> None:
    arm = lr(10, "onset")
    disagree = of("C14", pairs([arm], later(750)))  # sixfold from the switch, not threefold from step 0
    assert disagree.verdict == "supported"
    assert "step 0 0." in disagree.note
    assert of("C14", pairs([arm], later(1700))).verdict == "contradicted"


def test_straddling_is_the_lesser_of_the_two_distances() -> None:
    assert lr_boost.straddle([(0.9, 0.9), (0.2, 0.2)]) == pytest.approx((0.3, 0.3))
    assert lr_boost.straddle([(0.9, 0.9), (0.7, 0.7)]) == pytest.approx((-0.2, -0.2))
    assert (
        lr_boost.straddle([(-1, 0.2), (0.7, 0.7)])[1] > lr_boost.straddle([(-1, 0.2), (0.7, 0.7)])[0] - 1
    )


def test_missing_arms_are_said_and_nothing_is_invented() -> None:
    for verdict in lr_boost.verdicts(lr_boost.found_in([made_up(0), stored(lr(10, "onset"), 0, 700)])):
        assert verdict.verdict == "inconclusive"
        assert verdict.estimate.n == 0
    assert "No runs of lr × 10 at onset (addition) beside no-op" in of("C3", []).note
    assert lr_boost.answer([]).figures == ()


def test_one_seed_has_no_interval() -> None:
    found = of("C3", pairs([lr(10, "onset")], 700, n=1), "× 10 ")
    assert (found.verdict, found.estimate.n, found.estimate.is_bounded) == ("inconclusive", 1, False)


def test_a_seed_that_had_grokked_before_its_switch_is_left_out_and_said_to_be() -> None:
    arm = lr(10, "step 1,000")
    runs = [*pairs([arm], 1400, n=2), stored(arm, 2, 800), stored(arm.control, 2, 800)]
    found = of("C5", runs, "× 10 at step 1,000")
    assert found.estimate.n == 2
    assert "1 had got there before the switch" in found.note


def test_seeds_whose_switch_never_came_are_counted() -> None:
    arm = lr(10, "onset")
    from_start = [stored(lr(10), seed, GROKS) for seed in range(3)]
    assert "1 have no such run" in of("C3", [*pairs([arm], 700, n=2), *from_start], "× 10 ").note


def all_of_them() -> list[Run]:
    cases = (("addition", "memorised"), ("group", "onset"))
    arms = [a for a in QUICK if a != a.control and (a.task, a.switch) in cases]
    runs = pairs(arms, later(1300), n=2, falls=200)
    return list({run.id: run for run in runs}.values())


def test_the_same_runs_in_another_order_give_the_same_answer() -> None:
    runs = all_of_them()
    shuffled = random.Random(0).sample(runs, len(runs))
    one, other = lr_boost.answer(runs), lr_boost.answer(shuffled)
    assert [v.to_dict() for v in one.verdicts] == [v.to_dict() for v in other.verdicts]
    assert [f.plot.to_json() for f in one.figures] == [f.plot.to_json() for f in other.figures]


def test_the_figures_show_every_arm_and_can_be_aligned_at_the_switch() -> None:
    figures = {figure.name: figure for figure in lr_boost.answer(all_of_them()).figures}
    table = figures["boost-map"].table
    assert set(table["arm"]) >= {"lr × 10, decay pull kept", "decay × 10", "moments reset", "no-op"}
    curves = figures["boost-addition-at-memorised"]
    aligned = curves.plot.layout["updatemenus"][0]["buttons"][1]["args"][0]["x"]
    switches = [i for i, t in enumerate(curves.plot.data) if t.meta["kind"] == "switch"]
    assert switches
    assert {tuple(aligned[i]) for i in switches} == {(0,)}
    survivals = figures["boost-survival"].plot.data
    assert all(y == sorted(y, reverse=True) for y in ([*t.y] for t in survivals if t.mode == "lines"))
