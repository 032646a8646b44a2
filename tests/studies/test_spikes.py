"""The study of spikes on planted ones: every ruling can come out either way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies.spikes import STUDY
from undergrowth.studies.spikes.arms import (
    DECAYS,
    EPSILONS,
    EXACT,
    KICKED,
    KICKED_AT,
    ROUNDED,
    SMALL,
    arms_at,
)
from undergrowth.studies.spikes.statistics import STRUCTURES, rate, spikes_of

N, ONSET = 3000, 1700
PEAKS = (900, 1400, 1900, 2400)
EVERY = 20
ARMS = {arm.name: arm for decay in DECAYS for arm in arms_at(SMALL.replace(steps=N), decay)}
NAMES = [structure.name for structure in STRUCTURES]


class Planted(MadeUpRun):
    """A run that memorises at 60, sets off at ONSET, spikes at `peaks`, and whose structure jumps there.

    jumps: how far the structure rises at each of `at` (by default its peaks); drift: from one reading
    to the next.
    """

    def __init__(
        self,
        arm: str,
        seed: int,
        peaks: Sequence[int] = (),
        *,
        jumps: Sequence[float] = (0.0,) * 4,
        at: Sequence[int] = (),
        validation: Sequence[int] | None = None,
        onset: int = ONSET,
        drift: float = 2e-4,
    ):
        self.__dict__.update(spec=ARMS[arm].seeded(seed), status="done")
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
        level = 1.5 + drift / EVERY * wave * np.arange(0, N + 1, EVERY)
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


def planted(arm: str, n: int = 6, /, **fields) -> list[Run]:
    """So many seeds, whose spikes come a little later seed by seed, and of which every other has one
    less."""
    peaks = fields.pop("peaks", ())
    return [
        Planted(arm, seed, tuple(p + 7 * seed for p in peaks[seed % 2 :]), **fields) for seed in range(n)
    ]


F0, F1 = ROUNDED[0.0], ROUNDED[1.0]


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_one_another_and_each_claim_has_one_primary_that_waits(budget) -> None:
    STUDY.check(budget)
    primaries = [each for each in STUDY.endpoints(budget) if each.is_primary]
    assert [each.claim for each in primaries] == ["P9", "C12"]
    assert {bool(each.waits_for) for each in primaries} == {budget != "full"}
    assert [each.arm for each in primaries] == [F0, F0 if budget == "full" else F1]


def test_at_its_own_scale_it_is_the_replication_and_what_is_changed_in_it() -> None:
    specs = {arm.name: arm.spec for arm in STUDY.arms("full")}
    own = preset("teddykoker2021_as_run")
    said = ("measures", "checkpoints", "steps")
    assert specs[F0].replace(**{field: getattr(own, field) for field in said}) == own
    assert specs[F0].steps == 60_000
    assert {"saliency", "generality", "fourier"} <= {m.name for m in specs[F0].measures}
    same = {"measures": specs[F0].measures}
    exact, epsilon = (specs[names[0.0]].replace(**same) for names in (EXACT, EPSILONS))
    assert exact == specs[F0].replace(loss="cross_entropy")
    assert epsilon.optimiser == specs[F0].optimiser.model_copy(update={"eps": 1e-5})
    assert epsilon.replace(optimiser=specs[F0].optimiser) == specs[F0]


def test_without_kicks_only_what_is_beyond_them_waits() -> None:
    waiting = {each.name for each in STUDY.endpoints("full") if each.waits_for}
    assert waiting == {f"{name} beyond kicks, decay 0" for name in NAMES}


@pytest.mark.parametrize(("jump", "ruling"), [(0.3, "supported"), (-0.3, "contradicted")])
def test_at_its_own_scale_p9_is_answered_and_drawn_without_kicks(jump: float, ruling: str) -> None:
    runs = {F0: planted(F0, peaks=PEAKS, jumps=(jump,) * 4)}
    answer = STUDY.answer(table_of(STUDY, runs, "full"))
    (p9,) = [each for each in answer.verdicts if each.endpoint == "structure, decay 0"]
    assert (p9.is_primary, p9.ruling) == (True, ruling)
    assert [each.name for each in answer.figures][-1] == "across-spikes-decay-0"


def test_what_is_kicked_is_the_float32_run_of_the_same_seed() -> None:
    trunks = {arm.name: arm for arm in STUDY.arms("quick")}
    for planned in STUDY.planned("quick"):
        if planned.spec.fork is not None:
            decay = dict(planned.spec.optimiser)["weight_decay"]
            trunk = trunks[ROUNDED[decay]].seeded(planned.part.seed)
            assert planned.part.arm == KICKED[decay]
            assert (planned.spec.fork.of, planned.spec.loss) == (trunk.id, "cross_entropy_float32")
            assert len(planned.spec.interventions) == len(KICKED_AT)


CHANGES = [(0.3, "supported"), (-0.3, "contradicted"), (0.01, "no effect")]


@pytest.mark.parametrize(("jump", "ruling"), CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_structure_that_jumps_at_spikes_is_told_from_drift(name: str, jump: float, ruling: str) -> None:
    """Between spikes it drifts, by 0.3 in all."""
    runs = {F0: planted(F0, peaks=PEAKS, jumps=(jump,) * 4, drift=2e-3)}
    assert ruling_of(STUDY, f"{name}, decay 0", runs) == ruling


def test_structure_that_jumps_in_some_seeds_and_falls_in_others_decides_nothing() -> None:
    runs = [Planted(F0, s, PEAKS[s % 3 :], jumps=((-1) ** s * 0.2,) * 4) for s in range(6)]
    assert ruling_of(STUDY, "structure, decay 0", {F0: runs}) == "inconclusive"


def test_seeds_count_not_spikes_and_those_without_are_told() -> None:
    """A seed of many spikes counts for more than one of few, for less than their number."""
    level = (0.1, 0.11, 0.1, 0.11)
    few = [Planted(F0, s, PEAKS[:1], jumps=level) for s in (0, 1)]
    many = [Planted(F0, s, PEAKS, jumps=level) for s in (2, 3)]
    found = verdict_of(STUDY, "structure, decay 0", {F0: [*few, *many, Planted(F0, 4)]})
    assert (found.estimate.n, set(found.values)) == (4, {0, 1, 2, 3})
    assert found.missing == {"no spike after memorisation": 1}
    assert "random intercept" in found.estimate.method
    assert found.note == "10 spikes in 4 of 5 seeds (float32, decay 0)."


@pytest.mark.parametrize(
    ("by_spike", "by_kick", "ruling"),
    [(0.1, 0.0, "supported"), (0.0, 0.1, "contradicted"), (0.0, 0.0, "no effect")],
)
def test_spikes_are_held_against_kicks_of_the_same_trajectory(
    by_spike: float, by_kick: float, ruling: str
) -> None:
    at = [round(share * N) + 10 for share in KICKED_AT]
    runs = {
        F1: planted(F1, peaks=PEAKS, jumps=(by_spike,) * 4, drift=1e-3),
        KICKED[1.0]: planted(KICKED[1.0], at=at, jumps=(by_kick,) * 3, drift=1e-3),
    }
    assert ruling_of(STUDY, "structure beyond kicks, decay 1", runs) == ruling
    del runs[KICKED[1.0]]
    assert verdict_of(STUDY, "structure beyond kicks, decay 1", runs).estimate.n == 0


def test_spikes_of_a_kicked_run_do_not_count_as_windows_without_one() -> None:
    """Half of what a kicked run gains it gains at spikes of its own, between the kicks."""
    at = [round(share * N) + 10 for share in KICKED_AT]
    own = [a + 300 for a in at]
    kicked = [
        Planted(KICKED[1.0], s, own, at=[*at, *own], jumps=(0.1, 0.1, 0.1 + s / 100) * 2)
        for s in range(6)
    ]
    runs = {F1: planted(F1, peaks=PEAKS, jumps=(0.15,) * 4), KICKED[1.0]: kicked}
    found = verdict_of(STUDY, "structure beyond kicks, decay 1", runs)
    by_spike = verdict_of(STUDY, "structure, decay 1", runs).estimate.effect
    assert by_spike - found.estimate.effect == pytest.approx(1 / 6, abs=0.02)


EARLY = {
    "supported": (0.0, 0.0, 0.1, 0.1),
    "contradicted": (0.1, 0.1, 0.0, 0.0),
}


@pytest.mark.parametrize(("ruling", "jumps"), EARLY.items())
@pytest.mark.parametrize("name", NAMES)
def test_early_spikes_are_failed_attempts_where_they_gain_nothing(
    name: str, ruling: str, jumps: tuple[float, ...]
) -> None:
    runs = {F1: [Planted(F1, s, [p + 7 * s for p in PEAKS], jumps=jumps) for s in range(6)]}
    assert ruling_of(STUDY, f"early, {name}", runs) == ruling


def test_early_spikes_that_gain_a_tenth_more_or_less_decide_nothing() -> None:
    jumps = [((0.0, 0.0, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1))[s % 2] for s in range(6)]
    runs = {F1: [Planted(F1, s, [p + 7 * s for p in PEAKS], jumps=jumps[s]) for s in range(6)]}
    assert ruling_of(STUDY, "early, structure", runs) == "inconclusive"


def test_all_early_spikes_together_are_held_against_the_gain() -> None:
    """Two of 0.05 each, of a gain of 0.5: a fifth."""
    jumps = (0.05, 0.05, 0.2, 0.2)
    runs = {F1: [Planted(F1, s, [p + 7 * s for p in PEAKS], jumps=jumps, drift=0.0) for s in range(6)]}
    found = verdict_of(STUDY, "early, generality", runs)
    assert found.estimate.effect == pytest.approx(0.1 - 0.2, abs=1e-6)
    assert found.says == "20 % of the gain across early spikes"


def test_what_two_spikes_between_two_readings_gain_counts_once() -> None:
    """Of 0.05 each, of a gain of 0.5, with one of 0.4 after the onset."""
    runs = [Planted(F1, s, (1310, 1390, 2400), jumps=(0.05, 0.05, 0.4), drift=0.0) for s in range(6)]
    for run in runs:
        its = {name: run[name] for name in run.names if name not in run.curves}
        rare = {n: a.isel(step=slice(None, None, 5)) for n, a in its.items() if n != "update_loss"}
        run.__dict__["readings"] = {**its, **rare}
    assert [len(spikes_of(run)) for run in runs] == [3] * 6
    found = verdict_of(STUDY, "early, generality", {F1: runs})
    assert found.says == "20 % of the gain across early spikes"
    across = verdict_of(STUDY, "generality, decay 1", {F1: runs})
    assert across.estimate.effect == pytest.approx((0.1 + 0.4) / 2 / 0.5, abs=1e-6)


def test_a_seed_without_an_early_spike_is_told_and_where_runs_gain_nothing_there_is_no_share() -> None:
    runs = planted(F1, peaks=PEAKS, jumps=(0.1,) * 4)
    late = Planted(F1, 6, PEAKS[2:], jumps=(0.1, 0.1))
    found = verdict_of(STUDY, "early, structure", {F1: [*runs, late, Planted(F1, 7)]})
    assert found.missing == {
        "no spike between memorised and the onset": 1,
        "no spike after memorisation": 1,
    }
    assert found.estimate.n == 6
    falls = planted(F1, peaks=PEAKS, jumps=(-0.1,) * 4)
    assert not verdict_of(STUDY, "early, structure", {F1: falls}).estimate.is_known
    never = planted(F1, peaks=PEAKS, jumps=(0.1,) * 4, onset=N + 1)
    assert "6 have no onset" in verdict_of(STUDY, "early, structure", {F1: never}).note


def test_validation_spikes_beside_train_spikes_are_told_from_others() -> None:
    beside = planted(F1, peaks=PEAKS)
    assert ruling_of(STUDY, "validation spikes, decay 1", {F1: beside}) == "supported"
    between = (1150, 1650, 2150, 2650)
    elsewhere = [Planted(F1, s, PEAKS, validation=between[: 2 + s % 3]) for s in range(6)]
    found = verdict_of(STUDY, "validation spikes, decay 1", {F1: [*elsewhere, Planted(F1, 6)]})
    assert found.estimate.high < 0
    assert found.missing == {"no spike after memorisation": 1}


@pytest.mark.parametrize(("peaks", "ruling"), [((), "contradicted"), (PEAKS, "supported")])
@pytest.mark.parametrize(("name", "others"), [("exact", EXACT), ("large epsilon", EPSILONS)])
def test_spikes_are_rounding_where_they_go_without_it(
    name: str, others: dict[float, str], peaks: tuple[int, ...], ruling: str
) -> None:
    runs = {F1: planted(F1, peaks=PEAKS), others[1.0]: planted(others[1.0], peaks=peaks)}
    found = verdict_of(STUDY, f"remain, {name}, decay 1", runs)
    assert found.ruling == ruling
    assert "21 spikes in 6 of 6 seeds (float32, decay 1)." in found.note
    assert ("gradient of 75%" in found.note) == (name == "exact")


def test_a_run_without_a_spike_has_a_rate_of_none() -> None:
    assert rate(Planted(F1, 0)) == 0.0
    runs = {F1: planted(F1), EXACT[1.0]: planted(EXACT[1.0])}
    found = verdict_of(STUDY, "remain, exact, decay 1", runs)
    assert (found.estimate.n, found.estimate.effect, found.ruling) == (6, 0.0, "inconclusive")


def test_a_run_that_diverged_counts_up_to_there_but_has_no_gain() -> None:
    broken = Planted(F1, 6, PEAKS, jumps=(0.1,) * 4)
    broken.__dict__["status"] = "failed"
    broken.readings["update_loss"][1200:] = np.nan
    assert len(spikes_of(broken)) == 1
    runs = {F1: [*planted(F1, peaks=PEAKS, jumps=(0.1,) * 4), broken]}
    assert verdict_of(STUDY, "structure, decay 1", runs).estimate.n == 7
    assert verdict_of(STUDY, "early, structure", runs).missing == {"diverged": 1}


def test_figures_hold_all_arms_and_the_numbers_that_they_draw() -> None:
    runs = {
        F1: planted(F1, peaks=PEAKS),
        EXACT[1.0]: planted(EXACT[1.0]),
        KICKED[1.0]: planted(KICKED[1.0]),
    }
    by_arm, rates, changes = STUDY.answer(table_of(STUDY, runs)).figures
    marked = by_arm.table[by_arm.table["layer"] == "spike"]
    assert len(marked) == len(PEAKS)
    assert set(marked["arm"]) == {F1}
    means = rates.table[rates.table["layer"] == "mean"]
    values = dict(zip(means["arm"], means["value"].tolist(), strict=True))
    assert values[F1] > 1
    assert values[EXACT[1.0]] == 0
    assert KICKED[1.0] not in values
    rows = {"spike before the onset", "spike after the onset", "random kick"}
    assert set(changes.table["arm"]) == rows
    assert np.isfinite(changes.table["value"]).any()
    assert STUDY.answer(table_of(STUDY, {})).figures == ()


def test_a_hypothesis_is_scored_by_spikes_that_rounding_makes() -> None:
    runs = {
        arm: planted(arm, peaks=PEAKS if arm == F0 else ()) for arm in (F0, EXACT[0.0], EPSILONS[0.0])
    }
    scores = {
        (each.prediction.hypothesis, each.prediction.endpoint): each.score
        for each in STUDY.answer(table_of(STUDY, runs)).scores
    }
    assert scores["softmax collapse", "remain, exact, decay 0"] == "right"
    assert scores["slingshot", "remain, exact, decay 0"] == "wrong"
    assert scores["slingshot", "remain, large epsilon, decay 0"] == "right"
    assert scores["failed attempts", "early, structure"] == "open"
