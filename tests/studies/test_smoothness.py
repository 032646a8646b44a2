"""The smoothness study on learning curves of known steepness; every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.studies import smoothness
from undergrowth.studies.smoothness import (
    ALGORITHMIC,
    COMPARED,
    RL,
    RL_SMALL,
    SHAPES,
    SMALL,
    STUDY,
    Comparison,
    rising,
    shuffled,
)

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
    assert "three numbers of features" in primary.waits_for


def dosed(small: float, large: float, n: int = 6) -> Runs:
    return {RL_SMALL: seeds(RL_SMALL, small, n), RL: seeds(RL, large, n)}


def test_a_world_of_fewer_features_that_jumps_more_supports_c13() -> None:
    assert ruling_of(STUDY, "dose", dosed(STEEP, SLOW)) == "supported"
    assert ruling_of(STUDY, "dose", dosed(SLOW, STEEP)) == "contradicted"
    assert ruling_of(STUDY, "dose", dosed(SLOW, SLOW)) == "no effect"


def test_a_dose_that_works_in_some_seeds_is_inconclusive_and_the_primary_waits() -> None:
    mixed = dosed(STEEP, SLOW, 3)
    mixed[RL_SMALL].append(run(RL_SMALL, 3, ramp(SLOW)))
    mixed[RL].append(run(RL, 3, ramp(STEEP)))
    assert ruling_of(STUDY, "dose", mixed) == "inconclusive"
    assert verdict_of(STUDY, "dose", dosed(STEEP, SLOW)).ruling == "open"


def test_the_dose_is_the_difference_by_doublings_of_the_features() -> None:
    """Of 4 x 4 and of 6 x 6 cells: 16 and 24 features, 0.585 doublings."""
    runs = dosed(STEEP, SLOW)
    difference = verdict_of(STUDY, "small-large-linear", runs).estimate.effect
    slope = verdict_of(STUDY, "dose", runs).estimate.effect
    assert slope == pytest.approx(difference / np.log2(24 / 16))


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
    runs = dosed(STEEP, SLOW, 4)
    failed = run(RL, 5, ramp(STEEP))
    failed.__dict__["status"] = "failed"
    runs[RL].extend([run(RL, 4, ramp(STEEP, top=0.02)), failed])
    found = verdict_of(STUDY, "small-large-linear", runs)
    assert found.estimate.n_control == 4
    assert found.missing == {"learned nothing": 1, "diverged": 1}


def test_noise_has_its_floor_and_evaluations_too_far_apart_are_lower_bounds() -> None:
    coarse = ramp(1).sel(step=range(0, 1001, 100), method="nearest")
    runs = {RL_SMALL: [run(RL_SMALL, 0, coarse), *seeds(RL_SMALL, STEEP)[1:]], RL: seeds(RL, SLOW)}
    note = verdict_of(STUDY, "small-large-linear", runs).note
    assert "in 0 of 4, 1 lower bounds" in note
    assert "RL: a straight line with its noise has a jump of 0.0" in note


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
    learning, validation, training = STUDY.figures(table_of(STUDY, everything()))
    assert set(learning.table["setting"]) == set(SMALL)
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
