"""The smoothness study on learning curves of known steepness; every verdict can come out either way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.studies import smoothness
from undergrowth.studies.arm import Budget
from undergrowth.studies.smoothness import (
    ALGORITHMIC,
    COMPARED,
    DIGITS,
    RL,
    SHAPES,
    SMALL,
    STUDY,
    Comparison,
    rising,
    shuffled,
)
from undergrowth.tasks import Gridworld

STEPS = np.unique(np.round(np.geomspace(1, 1001, 400)) - 1).astype(int)
STEEP, SLOW = 40.0, 500.0
Runs = Mapping[str, list]


def ramp(width: float, seed: int = 0, top: float = 1.0) -> xr.DataArray:
    """A curve that rises in a straight line over about `width` steps that end near step 700."""
    width = width * (1 + 0.05 * seed)
    values = top * np.clip((STEPS - (700 - width)) / width, 0, 1)
    return xr.DataArray(values, {"step": STEPS}, ("step",))


def run(arm: str, seed: int, val: xr.DataArray, val_loss: xr.DataArray | None = None) -> MadeUpRun:
    """A run of an arm with this validation curve, and a loss that falls as it rises where none is given;
    its training curve is steep.
    """
    spec = next(each for each in STUDY.arms("quick") if each.name == arm).spec.seeded(seed)
    train = ramp(STEEP, seed)
    readings = {"val_loss": 2 - val if val_loss is None else val_loss, "train_loss": 2 - train}
    for name in ("return", "accuracy") if spec.task.name == "gridworld" else ("accuracy",):
        readings |= {f"val_{name}": val, f"train_{name}": train}
    return MadeUpRun(spec, {}, **readings)


def seeds(arm: str, width: float, n: int = 4) -> list[MadeUpRun]:
    return [run(arm, seed, ramp(width, seed)) for seed in range(n)]


def sides(compared: Comparison, first: float, second: float, n: int = 4) -> Runs:
    """Both sides of a comparison, at these widths."""
    its = {arm: seeds(arm, first, n) for arm in compared.first}
    return its | {compared.second: seeds(compared.second, second, n)}


def endings(compared: Comparison) -> list[str]:
    names = [each.name for each in STUDY.endpoints("quick")]
    return [ending for ending in SHAPES if f"{compared.name}-{ending}" in names]


each_compared = pytest.mark.parametrize("compared", COMPARED, ids=lambda each: each.name)


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_one_another_and_the_claim_has_one_primary(budget) -> None:
    STUDY.check(budget)
    (primary,) = (each for each in STUDY.endpoints(budget) if each.is_primary)
    assert primary.claim == "C13"
    assert not primary.waits_for
    assert len(worlds(budget)) >= 3


def worlds(budget: Budget = "quick") -> dict[str, int]:
    """The arms that learn one task with other numbers of features, fewest first, with that number."""
    arms = [arm for arm in STUDY.arms(budget) if arm.name.startswith("RL, side") or arm.name == RL]
    tasks = {arm.name: arm.spec.task for arm in arms}
    sides = {name: task.side for name, task in tasks.items() if isinstance(task, Gridworld)}
    assert len(set(sides.values())) == len(arms)
    return {name: 4 * sides[name] for name in sorted(sides, key=lambda name: sides[name])}


def dosed(small: float, large: float, n: int = 6) -> Runs:
    """Worlds from the smallest to the largest, their curves' widths in between, evenly by log."""
    widths = np.geomspace(small, large, len(worlds()))
    return {name: seeds(name, width, n) for name, width in zip(worlds(), widths, strict=True)}


def test_a_world_of_fewer_features_that_jumps_more_supports_c13() -> None:
    assert ruling_of(STUDY, "dose", dosed(STEEP, SLOW)) == "supported"
    assert ruling_of(STUDY, "dose", dosed(SLOW, STEEP)) == "contradicted"
    assert ruling_of(STUDY, "dose", dosed(SLOW, SLOW)) == "no effect"


def test_a_dose_that_works_in_some_seeds_is_inconclusive() -> None:
    mixed = dosed(STEEP, SLOW, 3)
    for name, other_way in dosed(SLOW, STEEP, 6).items():
        mixed[name].extend(other_way[3:])
    assert ruling_of(STUDY, "dose", mixed) == "inconclusive"


def test_the_dose_is_each_seeds_slope_over_the_doublings_of_the_features() -> None:
    runs = dosed(STEEP, SLOW)
    sizes = [[float(SHAPES["loss"].of(runs[name][s])) for name in worlds()] for s in range(6)]  # pyright: ignore[reportArgumentType]
    slopes = [-np.polyfit(np.log2([*worlds().values()]), its, 1)[0] for its in sizes]
    assert verdict_of(STUDY, "dose", runs).estimate.effect == pytest.approx(np.mean(slopes))


def test_a_seed_that_learned_nothing_in_a_world_has_no_slope() -> None:
    runs = dosed(STEEP, SLOW)
    runs[RL][0] = run(RL, 0, ramp(STEEP, top=0.02))
    found = verdict_of(STUDY, "dose", runs)
    assert found.estimate.n == 5
    assert found.missing == {"learned nothing": 1}


def test_the_dose_is_drawn_by_features_and_without_a_seed_that_did_not_learn() -> None:
    runs = dosed(STEEP, SLOW)
    runs[RL][0] = run(RL, 0, ramp(STEEP, top=0.02))
    table = next(x for x in STUDY.figures(table_of(STUDY, runs)) if x.name == "jump_by_features").table
    dots = [row for row in table.to_dict("records") if row["layer"] == "seed"]
    assert Counter(row["features"] for row in dots) == {12: 6, 16: 6, 20: 6, 24: 5, 32: 6}
    for row in table.to_dict("records"):
        if row["layer"] == "mean":
            its = [float(dot["value"]) for dot in dots if dot["features"] == row["features"]]
            assert row["value"] == pytest.approx(sum(its) / len(its))


@each_compared
def test_a_steeper_first_arm_supports_and_a_slower_one_contradicts(compared: Comparison) -> None:
    for ending in endings(compared):
        steeper = verdict_of(STUDY, f"{compared.name}-{ending}", sides(compared, STEEP, SLOW))
        slower = verdict_of(STUDY, f"{compared.name}-{ending}", sides(compared, SLOW, STEEP))
        assert (steeper.ruling, slower.ruling) == ("supported", "contradicted")
        assert slower.estimate.effect == pytest.approx(-steeper.estimate.effect)


@each_compared
def test_arms_that_are_equally_steep_differ_by_nothing(compared: Comparison) -> None:
    assert ruling_of(STUDY, f"{compared.name}-linear", sides(compared, SLOW, SLOW)) == "no effect"


def test_a_step_minus_a_straight_line_from_the_start_is_one() -> None:
    found = verdict_of(STUDY, "rl-digits-linear", sides(COMPARED[4], 0.5, 700))
    assert found.estimate.effect == pytest.approx(1, abs=0.2)


def test_algorithmic_tasks_count_as_one_value_a_seed_their_mean() -> None:
    compared = COMPARED[0]
    widths = dict(zip(ALGORITHMIC, (STEEP, SLOW, SLOW), strict=True))
    one_steep = {arm: seeds(arm, width) for arm, width in widths.items()}
    one_steep[compared.second] = seeds(compared.second, SLOW)
    found = verdict_of(STUDY, "algorithmic-digits-linear", one_steep).estimate
    assert (found.n, found.n_control) == (4, 4)
    all_steep = verdict_of(STUDY, "algorithmic-digits-linear", sides(compared, STEEP, SLOW)).estimate
    assert found.effect == pytest.approx(all_steep.effect / 3, rel=0.01)


def test_the_loss_has_its_own_jump_and_with_a_policy_gradient_is_the_return() -> None:
    steep_loss = [run(smoothness.TEXT, s, ramp(SLOW, s), 2 - ramp(STEEP, s)) for s in range(4)]
    runs = {arm: seeds(arm, SLOW) for arm in ALGORITHMIC} | {smoothness.TEXT: steep_loss}
    assert ruling_of(STUDY, "algorithmic-text-loss", runs) == "contradicted"
    assert ruling_of(STUDY, "algorithmic-text-linear", runs) == "no effect"
    by_reward, imitating = (
        run(arm, 0, ramp(STEEP), 2 - ramp(SLOW)) for arm in (RL, smoothness.IMITATION)
    )
    assert rising(by_reward, "val", "loss").equals(ramp(STEEP))
    assert rising(imitating, "val", "loss").equals(-(2 - ramp(SLOW)))


def test_what_never_learns_or_diverged_has_no_jump_and_is_counted() -> None:
    runs = {DIGITS: seeds(DIGITS, SLOW), RL: seeds(RL, STEEP)}
    failed = run(RL, 5, ramp(STEEP))
    failed.__dict__["status"] = "failed"
    runs[RL].extend([run(RL, 4, ramp(STEEP, top=0.02)), failed])
    found = verdict_of(STUDY, "rl-digits-linear", runs)
    assert found.estimate.n == 4
    assert found.missing == {"learned nothing": 1, "diverged": 1}


def test_noise_has_its_floor_and_evaluations_too_far_apart_are_lower_bounds() -> None:
    coarse = ramp(1).sel(step=range(0, 1001, 100), method="nearest")
    runs = {RL: [run(RL, 0, coarse), *seeds(RL, STEEP)[1:]], DIGITS: seeds(DIGITS, SLOW)}
    note = verdict_of(STUDY, "rl-digits-linear", runs).note
    assert "in 0 of 4, 1 lower bounds" in note
    assert "digits: a straight line with its noise has a jump of 0.0" in note


def everything() -> Runs:
    true = {arm: seeds(arm, STEEP + 60 * i, 3) for i, arm in enumerate(SMALL)}
    flat = {
        shuffled(task): [run(shuffled(task), s, ramp(STEEP, top=0.0)) for s in range(2)]
        for task in ALGORITHMIC
    }
    return true | flat


def test_missing_arms_and_what_learned_nothing_answer_nothing() -> None:
    flat = {arm: [run(arm, 0, ramp(STEEP, top=0.0))] for arm in SMALL}
    for runs in ({}, {RL: seeds(RL, STEEP)}, flat):
        answer = STUDY.answer(table_of(STUDY, runs))
        assert {verdict.ruling for verdict in answer.verdicts} <= {"open", "inconclusive"}
    assert list(STUDY.figures(table_of(STUDY, flat))) == []


def test_the_control_is_in_the_figure_of_training_alone() -> None:
    learning, _, validation, training = STUDY.figures(table_of(STUDY, everything()))
    assert set(learning.table["setting"]) == {name for name in SMALL if "side" not in name}
    assert set(validation.table["arm"]) == set(SMALL)
    assert set(training.table["arm"]) == {*SMALL, *map(shuffled, ALGORITHMIC)}


def test_a_learning_curve_runs_from_0_to_1_in_its_own_steps() -> None:
    learning = next(iter(STUDY.figures(table_of(STUDY, everything())))).table
    for _, curve in learning.groupby("setting"):
        at = dict(zip(curve["steps"], curve["rise"], strict=True))
        assert at[0.0] == pytest.approx(0, abs=1e-6)
        assert np.interp(1.0, list(at), list(at.values())) == pytest.approx(0.99, abs=0.02)


def test_every_gridworld_is_the_same_network_on_the_same_states() -> None:
    grids = [SMALL[name] for name in (RL, smoothness.RL_SHAPED, smoothness.RL_EXPLORING)]
    for spec in [*grids, SMALL[smoothness.IMITATION]]:
        assert spec.model == grids[0].model
        assert spec.optimiser == grids[0].optimiser
        assert (spec.data().inputs == grids[0].data().inputs).all()
        assert (spec.data().is_train == grids[0].data().is_train).all()
