"""The study of spikes on planted ones: every verdict can come out either way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.spikes import EXACT, FLOAT32, Arm

from tests.studies.made_up import MadeUpRun
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import spikes

N, ONSET = 3000, 1700
PEAKS = (900, 1400, 1900, 2400)
EVERY = 20
TRUNKS = {Arm.of(spec): spec for spec in spikes.runs("standard", 1)}
CONCENTRATION, GENERALITY = spikes.STRUCTURES[1].name, spikes.STRUCTURES[0].name


def spec_of(arm: Arm, seed: int) -> RunSpec:
    spec = TRUNKS[arm].replace(fork=None, interventions=()).seeded(seed).replace(steps=N)
    return spikes.kicked(spec) if arm.kicked else spec


class Planted(MadeUpRun):
    """A run that memorises at 60, sets off at ONSET, spikes at `peaks`, and whose structure jumps there.

    jumps: how far the structure rises at each of `at` (by default its peaks); drift: at every step.
    """

    def __init__(
        self,
        arm: Arm,
        seed: int,
        peaks: Sequence[int] = (),
        *,
        jumps: Sequence[float] = (0.0,) * 4,
        at: Sequence[int] = (),
        validation: Sequence[int] | None = None,
        onset: int = ONSET,
    ):
        self.__dict__.update(spec=spec_of(arm, seed), status="done")
        wave = 1 + 1e-3 * seed
        updates = np.arange(N)
        loss = 1e-5 * np.exp(_tents(updates, peaks, 8.0, 30))
        steps = np.arange(0, N + 1, 10)
        in_validation = peaks if validation is None else validation
        curves = {
            "train_accuracy": (steps >= 60) * 1.0,
            "val_accuracy": np.where(steps >= onset, 0.9, 0.01),
            "val_loss": 5 * np.exp(_tents(steps, in_validation, 1.0, 40)),
        }
        dataset = xr.Dataset(
            {name: ("step", values) for name, values in curves.items()}, {"step": steps}
        )
        level = 0.1 + 1e-5 * wave * np.arange(0, N + 1, EVERY)
        for place, jump in zip(at or peaks, jumps, strict=False):
            level += wave * jump * (np.arange(0, N + 1, EVERY) >= place)
        readings = {
            "update_loss": xr.DataArray(loss, {"step": updates}, ["step"]),
            "generality_group_sufficient": _sided(level[:, None] * np.ones(3), "group"),
            "saliency_median": _sided(_unequal(level), "neuron"),
            "fourier_neuron_share": xr.DataArray(
                level[:, None] * np.ones(4), {"step": np.arange(0, N + 1, EVERY)}, ["step", "neuron"]
            ),
            "collapse_share": xr.DataArray(
                np.full((len(level), 1), 0.75),
                {"step": np.arange(0, N + 1, EVERY), "side": ["train"]},
                ["step", "side"],
            ),
        }
        self.__dict__.update(curves=dataset, readings=readings, names=(*curves, *readings))


def _tents(steps: np.ndarray, peaks: Sequence[int], height: float, half: int) -> np.ndarray:
    if not len(peaks):
        return np.zeros(len(steps))
    distance = np.abs(steps[:, None] - np.array(peaks)).min(axis=1)
    return height * np.clip(1 - distance / half, 0, None)


def _sided(values: np.ndarray, axis: str) -> xr.DataArray:
    coords = {"step": np.arange(0, N + 1, EVERY), "side": ["train", "val"]}
    return xr.DataArray(np.stack([values, values], axis=1), coords, ["step", "side", axis])


def _unequal(level: np.ndarray) -> np.ndarray:
    """Sixteen neurons, one of them the more salient the higher the level: monotone in it."""
    return np.concatenate([1 + 8 * level[:, None], np.ones((len(level), 15))], axis=1)


ROUNDED, TRUE = Arm(1.0, FLOAT32), Arm(1.0, EXACT)
KICKED = Arm(1.0, EXACT, kicked=True)


def planted(arm: Arm, n: int = 4, /, **fields) -> list[Run]:
    """So many seeds, whose spikes come a little later seed by seed."""
    peaks = fields.pop("peaks", ())
    return [Planted(arm, seed, tuple(p + 7 * seed for p in peaks), **fields) for seed in range(n)]


def verdicts(*runs: Run):
    return {verdict.statistic: verdict for verdict in spikes.answer(runs).verdicts}


def the(found, *words: str):
    """The one verdict whose statistic has all of some words."""
    those = [v for statistic, v in found.items() if all(word in statistic for word in words)]
    assert len(those) == 1, [v.statistic for v in those]
    return those[0]


def test_validation_spikes_beside_train_spikes_support_the_coincidence() -> None:
    found = the(verdicts(*planted(ROUNDED, peaks=PEAKS[:3])), "validation spike", "decay 1")
    assert found.verdict == "inconclusive"  # every seed has them all: nothing is known of their spread
    assert found.estimate.effect > 0.8
    some = [*planted(ROUNDED, 3, peaks=PEAKS), Planted(ROUNDED, 3, PEAKS, validation=PEAKS[:3])]
    assert the(verdicts(*some), "validation spike", "decay 1").verdict == "supported"


def test_validation_spikes_elsewhere_contradict_the_coincidence() -> None:
    between = (1150, 1650, 2150, 2650)
    shifted = [Planted(ROUNDED, s, PEAKS, validation=between[: 2 + s % 3]) for s in range(6)]
    assert the(verdicts(*shifted), "validation spike", "decay 1").verdict == "contradicted"


def test_a_seed_without_spikes_has_no_coincidence_but_a_rate_of_none() -> None:
    runs = [*planted(ROUNDED, 3, peaks=PEAKS), Planted(ROUNDED, 3), *planted(TRUE)]
    found = verdicts(*runs)
    assert the(found, "validation spike", "decay 1").estimate.n == 3
    assert the(found, "exact loss", "decay 1").estimate.n == 4
    assert "12 spikes in 3 of 4 seeds (float32, decay 1)" in the(found, "exact loss", "decay 1").note


@pytest.mark.parametrize(
    ("exact", "ruling"),
    [((), "contradicted"), (PEAKS, "supported")],
)
def test_spikes_are_rounding_where_the_exact_loss_has_none(exact: tuple[int, ...], ruling: str) -> None:
    rounded = [Planted(ROUNDED, seed, PEAKS[: 4 - seed % 2]) for seed in range(6)]
    others = [Planted(TRUE, seed, exact) for seed in range(6)]
    found = the(verdicts(*rounded, *others), "exact loss", "decay 1")
    assert found.verdict == ruling
    assert "gradient of 75%" in found.note


def test_no_spike_in_either_arm_decides_nothing() -> None:
    found = the(verdicts(*planted(ROUNDED), *planted(TRUE)), "exact loss", "decay 1")
    assert (found.estimate.effect, found.verdict) == (0.0, "inconclusive")


@pytest.mark.parametrize(("jump", "ruling"), [(0.05, "supported"), (-0.02, "contradicted")])
@pytest.mark.parametrize("structure", [s.name for s in spikes.STRUCTURES])
def test_structure_that_jumps_at_spikes_is_told_from_drift(
    structure: str, jump: float, ruling: str
) -> None:
    runs = planted(ROUNDED, peaks=PEAKS, jumps=(jump,) * 4)
    assert the(verdicts(*runs), structure, "matched windows", "decay 1").verdict == ruling


def test_mere_drift_is_no_change_across_spikes() -> None:
    found = the(verdicts(*planted(ROUNDED, peaks=PEAKS)), GENERALITY, "matched", "decay 1")
    assert abs(found.estimate.effect) < 1e-4


@pytest.mark.parametrize(("by_kick", "ruling"), [(0.0, "supported"), (0.1, "contradicted")])
def test_spikes_are_held_against_kicks_of_equal_norm(by_kick: float, ruling: str) -> None:
    at = [round(share * N) + 10 for share in spikes.KICKED_AT]
    runs = [
        *planted(ROUNDED, peaks=PEAKS, jumps=(0.05,) * 4),
        *planted(KICKED, at=at, jumps=(by_kick,) * 3),
    ]
    found = the(verdicts(*runs), GENERALITY, "kick", "decay 1")
    assert found.verdict == ruling
    assert found.estimate.n == 4
    assert "12 kicks in 4 seeds" in found.note


@pytest.mark.parametrize(
    ("jumps", "ruling"),
    [((0.0, 0.0, 0.1, 0.1), "supported"), ((0.1, 0.1, 0.0, 0.0), "contradicted")],
)
def test_early_spikes_are_failed_attempts_where_they_gain_nothing(
    jumps: tuple[float, ...], ruling: str
) -> None:
    found = the(verdicts(*planted(ROUNDED, peaks=PEAKS, jumps=jumps)), GENERALITY, "before the onset")
    assert found.verdict == ruling
    assert found.claim == "C12"


def test_with_no_onset_every_spike_is_early_and_with_no_gain_there_is_no_estimate() -> None:
    never = planted(ROUNDED, peaks=PEAKS, jumps=(0.1,) * 4, onset=N + 1)
    found = the(verdicts(*never), GENERALITY, "before the onset")
    assert found.verdict == "contradicted"
    assert "4 of 4 seeds never set off" in found.note
    falls = planted(ROUNDED, peaks=PEAKS, jumps=(-0.1,) * 4)
    assert not the(verdicts(*falls), GENERALITY, "before the onset").estimate.is_bounded


def test_one_seed_decides_nothing() -> None:
    runs = [
        Planted(ROUNDED, 0, PEAKS, jumps=(0.1,) * 4),
        Planted(TRUE, 0),
        Planted(KICKED, 0),
    ]
    assert {v.verdict for v in verdicts(*runs).values()} == {"inconclusive"}


def test_a_missing_arm_is_said() -> None:
    found = verdicts(*planted(ROUNDED, peaks=PEAKS))
    assert "No run with exact, decay 1." in the(found, "exact loss", "decay 1").note
    assert "No run with float32, decay 0." in the(found, "validation spike", "decay 0").note
    assert the(found, "exact loss", "decay 1").verdict == "inconclusive"


def test_no_runs_at_all_make_figures_and_verdicts_without_numbers() -> None:
    answer = spikes.answer([])
    assert {v.verdict for v in answer.verdicts} == {"inconclusive"}


def test_a_run_that_diverged_is_counted_up_to_there() -> None:
    runs = planted(ROUNDED, peaks=PEAKS)
    broken = Planted(ROUNDED, 4, PEAKS)
    broken.__dict__["status"] = "failed"
    broken.readings["update_loss"][1200:] = np.nan
    assert len(spikes.spikes_of(broken)) == 1
    assert (
        "17 spikes in 5 of 5 seeds (float32, decay 1), 1 diverged."
        in the(verdicts(*runs, broken), GENERALITY, "matched", "decay 1").note
    )


def test_the_same_runs_in_another_order_give_the_same_answer() -> None:
    runs = [
        *planted(ROUNDED, peaks=PEAKS, jumps=(0.1, 0.0, 0.1, 0.05)),
        *planted(TRUE),
        *planted(KICKED),
    ]
    there, back = spikes.answer(runs), spikes.answer(runs[::-1])
    assert there.verdicts == back.verdicts
    assert [f.plot.to_json() for f in there.figures] == [f.plot.to_json() for f in back.figures]


def test_figures_hold_all_arms_and_the_numbers_that_they_draw() -> None:
    runs = [*planted(ROUNDED, peaks=PEAKS), *planted(TRUE), *planted(KICKED)]
    by_arm, rate, across = spikes.answer(runs).figures
    assert len(by_arm.table) == len(PEAKS)
    rates = dict(zip(rate.table["arm"], rate.table["value"].tolist(), strict=True))
    assert rates["float32, decay 1"] > 1
    assert rates["exact, decay 1"] == 0
    assert "exact, decay 1, kicked" not in rates
    assert set(across.table["arm"]) >= {"spike before the onset", "random kick, exact loss"}


def test_every_arm_has_its_partner_at_equal_decay_and_seed() -> None:
    for budget in ("quick", "standard", "full"):
        specs = spikes.runs(budget, None)
        arms = {Arm.of(spec) for spec in specs}
        for decay in spikes.DECAYS:
            assert {Arm(decay, FLOAT32), Arm(decay, EXACT), Arm(decay, EXACT, kicked=True)} <= arms
        for spec in specs:
            if spec.fork is not None:
                assert spec.fork.of in {trunk.id for trunk in specs}
