"""The smoothness study on learning curves of known steepness; every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.smoothness import COMPARED, PAPER, SETTINGS, SHAPES, SMALL, Arm, answer

from tests.studies.made_up import MadeUpRun
from undergrowth.analysis import Verdict
from undergrowth.store import Run
from undergrowth.studies import smoothness

STEPS = np.unique(np.round(np.geomspace(1, 1001, 400)) - 1).astype(int)
STEEP, SLOW = 40.0, 500.0


def ramp(width: float, seed: int = 0, top: float = 1.0) -> xr.DataArray:
    """A curve that rises in a straight line over about `width` steps that end near step 700."""
    width = width * (1 + 0.05 * seed)
    values = top * np.clip((STEPS - (700 - width)) / width, 0, 1)
    return xr.DataArray(values, {"step": STEPS}, ("step",))


def run(setting: str, seed: int, val: xr.DataArray, labels: str = "true") -> Run:
    """A run of a setting with this validation curve; its training curve is steep."""
    spec = SMALL[setting]
    name = "return" if spec.task.name == "gridworld" else "accuracy"
    readings = {f"val_{name}": val, f"train_{name}": ramp(STEEP, seed)}
    if labels != "true":
        spec = spec.replace(labels=labels)
    return MadeUpRun(spec.seeded(seed), {}, **readings)


def seeds(arm: Arm, width: float, n: int = 4) -> list[Run]:
    return [run(setting, seed, ramp(width, seed)) for setting in arm.settings for seed in range(n)]


def verdicts(runs: list[Run]) -> list[Verdict]:
    return list(smoothness._verdicts(smoothness.learnt(runs)))


NAMES = [shape.name for shape in SHAPES]


def compared(runs: list[Run], place: int, shape: str = NAMES[0]) -> Verdict:
    """The verdict on a comparison by its place."""
    return verdicts(runs)[len(SHAPES) * place + NAMES.index(shape)]


places = pytest.mark.parametrize("place", range(len(COMPARED)))


@places
@pytest.mark.parametrize("shape", NAMES)
def test_a_steeper_first_arm_supports_and_a_slower_one_contradicts(place: int, shape: str) -> None:
    first, second, _ = COMPARED[place]
    steeper = compared([*seeds(first, STEEP), *seeds(second, SLOW)], place, shape)
    assert steeper.verdict == "supported"
    assert first.name in steeper.statistic
    assert shape in steeper.statistic
    slower = compared([*seeds(first, SLOW), *seeds(second, STEEP)], place, shape)
    assert slower.verdict == "contradicted"
    assert slower.estimate.effect == pytest.approx(-steeper.estimate.effect)


@places
def test_arms_that_are_equally_steep_say_nothing(place: int) -> None:
    first, second, _ = COMPARED[place]
    found = compared([*seeds(first, SLOW), *seeds(second, SLOW)], place)
    assert found.verdict == "inconclusive"
    assert found.estimate.effect == pytest.approx(0)


def test_a_step_minus_a_straight_line_from_the_start_is_one() -> None:
    first, second, _ = COMPARED[0]
    runs = [*seeds(first, 0.5), *seeds(second, 700)]
    assert compared(runs, 0).estimate.effect == pytest.approx(1, abs=0.2)


def test_algorithmic_tasks_count_as_one_value_a_seed_their_mean() -> None:
    first, second, _ = COMPARED[0]
    widths = dict(zip(first.settings, (STEEP, SLOW, SLOW), strict=True))
    runs = [run(task, seed, ramp(w, seed)) for task, w in widths.items() for seed in range(4)]
    found = compared([*runs, *seeds(second, SLOW)], 0)
    assert (found.estimate.n, found.estimate.n_control) == (4, 4)
    all_steep = compared([*seeds(first, STEEP), *seeds(second, SLOW)], 0)
    assert found.estimate.effect == pytest.approx(all_steep.estimate.effect / 3, rel=0.01)


def test_what_never_learns_has_no_jump_and_is_counted() -> None:
    first, second, _ = COMPARED[3]
    flat = [run(second.name, 4, ramp(STEEP, top=0.02))]
    found = compared([*seeds(first, STEEP), *seeds(second, SLOW), *flat], 3)
    assert found.estimate.n_control == 4
    assert "1 learned nothing on validation, or failed, and have no jump" in found.note


def test_a_run_that_failed_has_no_jump_however_its_curve_looks() -> None:
    first, second, _ = COMPARED[3]
    failed = run(second.name, 4, ramp(STEEP))
    failed.__dict__["status"] = "failed"
    found = compared([*seeds(first, STEEP), *seeds(second, SLOW), failed], 3)
    assert found.estimate.n_control == 4
    assert "1 learned nothing on validation, or failed" in found.note


def test_evaluations_too_far_apart_are_told_as_lower_bounds() -> None:
    first, second, _ = COMPARED[3]
    coarse = ramp(1).sel(step=range(0, 1001, 100), method="nearest")
    found = compared([run(first.name, 0, coarse), *seeds(first, STEEP, 3), *seeds(second, SLOW)], 3)
    assert "1 are lower bounds" in found.note


def test_noise_has_its_floor_beside_the_jump_and_where_the_jump_lies_is_told() -> None:
    first, second, _ = COMPARED[3]
    found = compared([*seeds(first, STEEP), *seeds(second, SLOW)], 3)
    assert "(straight lines with its noise 0.0" in found.note
    assert "within the first tenth of its steps in 0 of 4 runs" in found.note
    assert "Training curves: +0.00." in found.note or "Training curves: -0.00." in found.note


def incomplete() -> Iterator[list[Run]]:
    first, second, _ = COMPARED[0]
    yield []
    yield seeds(first, STEEP)
    yield [*seeds(first, STEEP, 1), *seeds(second, SLOW, 1)]
    yield [run(setting, 0, ramp(STEEP, top=0.0)) for setting in SMALL]
    yield [MadeUpRun(SMALL[smoothness.DIGITS].replace(steps=7), {})]


@pytest.mark.parametrize("runs", list(incomplete()))
def test_missing_arms_single_seeds_and_censored_runs_answer_nothing(runs: list[Run]) -> None:
    found = answer(runs)
    assert {verdict.verdict for verdict in found.verdicts} == {"inconclusive"}
    assert len(found.verdicts) == len(SHAPES) * len(COMPARED)
    assert all("An interval needs 2 seeds" in verdict.note for verdict in found.verdicts)


def everything() -> list[Run]:
    true = [
        run(setting, seed, ramp(STEEP + 60 * i, seed))
        for i, setting in enumerate(SMALL)
        for seed in range(3)
    ]
    controls = [
        run(task, seed, ramp(STEEP, top=0.0), "shuffled")
        for task in smoothness.ALGORITHMIC
        for seed in range(2)
    ]
    return [*true, *controls]


def test_the_order_of_the_runs_does_not_matter() -> None:
    runs = everything()
    turned = answer(runs[::-1])
    assert verdicts(runs) == list(turned.verdicts)
    for one, other in zip(answer(runs).figures, turned.figures, strict=True):
        assert one.table.equals(other.table)


def test_the_control_is_in_the_figure_of_training_and_in_no_verdict() -> None:
    runs = everything()
    true = [one for one in runs if one.spec.labels == "true"]
    assert verdicts(runs) == verdicts(true)
    learning, validation, training = answer(runs).figures
    assert set(learning.table["setting"]) == set(SMALL)
    assert set(validation.table["arm"]) == set(SMALL)
    shuffled = {f"{task}, shuffled" for task in smoothness.ALGORITHMIC}
    assert set(training.table["arm"]) == {*SMALL, *shuffled}


def test_a_learning_curve_runs_from_0_to_1_in_its_own_steps() -> None:
    learning = answer(everything()).figures[0].table
    for _, curve in learning.groupby("setting"):
        at = dict(zip(curve["steps"], curve["rise"], strict=True))
        assert at[0.0] == pytest.approx(0, abs=1e-6)
        assert np.interp(1.0, list(at), list(at.values())) == pytest.approx(0.99, abs=0.02)


def test_every_run_of_every_budget_has_its_setting() -> None:
    for budget in ("quick", "standard", "full"):
        specs = smoothness.runs(budget)
        named = [SETTINGS[spec.replace(labels="true").without_seeds().id] for spec in specs]
        assert set(named) == set(SMALL) == set(PAPER)


def test_every_gridworld_is_the_same_network_on_the_same_states() -> None:
    grids = [SMALL[name] for name in (smoothness.RL, smoothness.RL_SHAPED, smoothness.RL_EXPLORING)]
    for spec in [*grids, SMALL[smoothness.IMITATION]]:
        assert spec.model == grids[0].model
        assert spec.optimiser == grids[0].optimiser
        assert (spec.data().inputs == grids[0].data().inputs).all()
        assert (spec.data().is_train == grids[0].data().is_train).all()
