"""Held-out shares of variance between areas against planted effects, and areas found again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, made_up
from undergrowth.analysis.areas import (
    accuracy_by_area,
    area_share,
    area_table,
    co_clustered,
    held_out_share,
    share_midway,
    validation_cells,
)
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.tasks import CommutationSafe, Modular

P = 31
SPEC = RunSpec(task=Modular(operation="x*y", p=P), split=CommutationSafe(frac_train=0.7))


def halves(rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
    return rng.random((draws, n)) < 0.5


def test_the_share_is_the_areas_part_of_the_variance() -> None:
    """Effects of variance 1 beside noise of variance 3: a quarter, in many draws of the halves."""
    rng = np.random.default_rng(0)
    area = np.arange(20_000) % 4
    effect = np.array([-1.0, -1.0, 1.0, 1.0])[area]
    values = np.stack([effect + np.sqrt(3) * rng.standard_normal(20_000), effect])
    share = held_out_share(values, np.tile(area, (30, 1)), halves(rng, 30, 20_000)).mean(axis=0)
    assert share == pytest.approx([0.25, 1.0], abs=0.01)


def test_areas_that_say_nothing_have_no_share_however_many_there_are() -> None:
    """0 in the mean of 4,000 draws, within five standard errors, where eta squared were 29 / 59."""
    rng = np.random.default_rng(1)
    areas = rng.permuted(np.tile(np.arange(60) % 30, (4000, 1)), axis=1)
    drawn = held_out_share(rng.standard_normal((1, 60)), areas, halves(rng, 4000, 60))[:, 0]
    assert drawn.mean() == pytest.approx(0, abs=5 * drawn.std() / 4000**0.5)


def test_where_all_are_right_there_is_no_share() -> None:
    share = held_out_share(np.ones((1, 4)), np.array([[0, 0, 1, 1]]), np.array([[True, False] * 2]))
    assert np.isnan(share).all()


def run_of(right: Callable[[np.random.Generator], np.ndarray], seed: int, **how) -> Run:
    """Right by chance before, by `right` midway (step 200), everywhere after."""
    rng = np.random.default_rng(seed)
    start = rng.random((P, P)) < 0.1
    maps = np.array([start, start, right(rng), *[np.ones((P, P))] * 3], float)
    correct = xr.DataArray(maps, {"step": list(STEPS)}, ("step", "x", "y"))
    return made_up(seed, base=SPEC, table_correct=correct, table_centred_logit=4 * correct - 2, **how)


OPERANDS = np.random.default_rng(7).permutation(P) % 4
CHECKERED = (OPERANDS[:, None] + OPERANDS) % 2 == 0


def checkered(rng: np.random.Generator) -> np.ndarray:
    """Areas of operands that are no neighbours, the same in every seed."""
    return CHECKERED ^ (rng.random((P, P)) < 0.1)


def scattered(rng: np.random.Generator) -> np.ndarray:
    return rng.random((P, P)) < 0.5


def test_rows_that_are_right_are_no_areas() -> None:
    """Operands that are always answered make areas differ: renamed ones as much."""
    rows = [run_of(lambda rng: np.tile(rng.random(P) < 0.5, (P, 1)).T, seed) for seed in range(8)]
    shares = [float(area_share(run, "xy_band").sel(step=200)) for run in rows]
    assert np.mean(shares) == pytest.approx(0, abs=0.05)


def test_areas_found_in_some_seeds_hold_in_others() -> None:
    area = co_clustered([run_of(checkered, seed) for seed in range(6)])
    assert area is not None
    others = [run_of(checkered, seed) for seed in range(6, 10)]
    assert np.mean([share_midway(run, area) for run in others]) == pytest.approx(0.64, abs=0.12)
    assert np.mean([share_midway(run, area_table(SPEC.task, "xy_band")) for run in others]) < 0.1


def test_areas_found_in_noise_hold_nowhere_else() -> None:
    area = co_clustered([run_of(scattered, seed) for seed in range(6)])
    assert area is not None
    shares = [share_midway(run_of(scattered, seed), area) for seed in range(6, 18)]
    assert np.mean(shares) == pytest.approx(0, abs=0.05)


def test_runs_that_were_never_midway_have_no_areas_and_no_share() -> None:
    run = run_of(checkered, 0, grokked=None)
    assert co_clustered([run]) is None
    assert np.isnan(share_midway(run, area_table(SPEC.task, "block")))


def test_accuracy_by_area_is_a_mean_over_validation_cells_and_then_runs() -> None:
    runs, area = [run_of(checkered, seed) for seed in (0, 1)], area_table(SPEC.task, "block")
    found = accuracy_by_area(runs, "block")
    by_hand = []
    for run in runs:
        cells = [(x, y) for x, y in validation_cells(run) if area[x, y] == 5]
        by_hand.append(np.mean([run["table_correct"].sel(step=200).values[x, y] for x, y in cells]))
    assert found[2, 5] == pytest.approx(np.mean(by_hand))
    assert not np.array_equal(accuracy_by_area(runs, "block", draw=0), found, equal_nan=True)
