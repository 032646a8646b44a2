"""The study of partial generality on runs whose answers are known; verdicts can come out either way."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, MadeUpRun, made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis.areas import area_table
from undergrowth.analysis.learned import learned_by_step
from undergrowth.measures.harmonics.group_tables import group_table_or_refuse
from undergrowth.store import Run
from undergrowth.studies.partial_generality import BANDS, STUDY, Operation, shuffled
from undergrowth.tasks.groups import products

P = 31
SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
Right = Callable[[Operation, int], np.ndarray]
"""Which cells are right midway, from the operation and the seed: bool [x, y]."""
Logits = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From how far each label is behind the product, in the group, and each cell's band."""


def by_band(op: Operation, seed: int) -> np.ndarray:
    wrong = np.random.default_rng(seed).random((P, P)) < 0.02
    return (area_table(SPECS[op].task, BANDS[op]) % 2 == 0) ^ wrong


def by_block(op: Operation, seed: int) -> np.ndarray:
    area = area_table(SPECS[op].task, "block")
    return np.random.default_rng(seed).permutation(area.max() + 1)[area] % 2 == 0


def by_operands(op: Operation, seed: int) -> np.ndarray:
    """Areas of operands that are no neighbours, the same in every seed."""
    kind = np.random.default_rng(7).permutation(P) % 4
    wrong = np.random.default_rng(seed).random((P, P)) < 0.02
    return ((kind[:, None] + kind) % 2 == 0) ^ wrong


def anywhere(op: Operation, seed: int) -> np.ndarray:
    return np.random.default_rng(100 + seed).random((P, P)) < 0.5


def in_some_seeds(op: Operation, seed: int) -> np.ndarray:
    return by_band(op, seed) if seed == 0 else anywhere(op, seed)


def maps(op: Operation, seed: int, right: Right) -> dict[str, xr.DataArray]:
    """Wrong everywhere but 40 cells at step 0, some right midway (step 200), all right from 400 on."""
    start = np.random.default_rng(seed).random((P, P)) < 0.05
    by_step = [start, start, right(op, seed), *[np.ones((P, P), bool)] * 3]
    coords = {"step": list(STEPS), "x": range(P), "y": range(P)}
    correct = xr.DataArray(np.array(by_step, float), coords, ("step", "x", "y"))
    return {"table_correct": correct, "table_centred_logit": 4 * correct - 2}


FLAT = {"across": [0.3] * 6}
UNITED = {"across": [0.2, 0.2, 0.3, 0.8, 0.9, 0.9], "within": [0.2, 0.2, 0.9, 0.9, 0.9, 0.9]}
PARTED = {"across": [0.9, 0.9, 0.9, 0.6, 0.3, 0.3], "within": [0.9, 0.9, 0.9, 0.9, 0.9, 0.9]}
CLOSER = {"across": [0.9, 0.9, 0.9, 0.6, 0.3, 0.3], "within": [0.9, 0.9, 0.6, 0.5, 0.3, 0.3]}


def carried(of: dict[str, list[float]], seed: int, null: float = 0.2) -> dict[str, xr.DataArray]:
    """Carriers' overlap at each step by pair, the same on both sides and for all kinds of areas."""
    pairs = ("any", "within", "across", "within_renamed", "across_renamed")
    values = np.array([of.get(pair, of["across"]) for pair in pairs]) * (1 + seed / 200)
    values[pairs.index("within")] += 0.002 * seed
    coords = {"step": list(STEPS), "side": ["train", "val"], "pair": list(pairs)}
    overlap = xr.DataArray(np.repeat(values.T[:, None], 2, axis=1), coords, ("step", "side", "pair"))
    return {
        f"{kind}_carriers_{name}": value
        for kind in (*BANDS.values(), "block")
        for name, value in (("overlap", overlap), ("overlap_null", xr.full_like(overlap, null)))
    }


def one_wave(behind: np.ndarray, band: np.ndarray) -> np.ndarray:
    return np.cos(behind) + 0 * band


def wave_of_its_own(behind: np.ndarray, band: np.ndarray) -> np.ndarray:
    noise = 1e-3 * np.random.default_rng(0).standard_normal(behind.shape)  # above that of float32
    return np.cos((1 + 6 * (band % 2)) * behind) + noise


def run(arm: str, seed: int, *, right: Right = anywhere, carriers=FLAT, of=None, **how) -> Run:
    """One run. of: the logits of its last checkpoint; None where it has none."""
    labels = "true" if arm in BANDS else "shuffled"
    task: Operation = "x*y" if arm.startswith("x*y") else "x+y"
    readings = {**maps(task, seed, right), **carried(carriers, seed)}
    found = made_up(seed, labels, base=SPECS[task], **readings, **how)
    assert isinstance(found, MadeUpRun)
    found.__dict__["checkpoints"] = () if of is None else (1600,)
    if of is not None:
        found.__dict__["model"] = lambda: (
            lambda inputs: jnp.asarray(logits(task, np.asarray(inputs), of))
        )
    return found


def logits(op: Operation, inputs: np.ndarray, of: Logits) -> np.ndarray:
    group = group_table_or_refuse(SPECS[op].task, "test")
    n, element = len(group.x), np.zeros(P, int)
    element[group.label] = np.arange(n)
    product = products(group.group)[*element[inputs].T]
    behind = 2 * np.pi * (product[:, None] - element) / n
    return of(behind, area_table(SPECS[op].task, BANDS[op])[*inputs.T][:, None])


def runs(n: int = 6, control=FLAT, **how) -> dict[str, list[Run]]:
    """Every arm, of which `how` tells the treated ones."""
    treated: dict[str, list[Run]] = {op: [run(op, seed, **how) for seed in range(n)] for op in BANDS}
    names = map(shuffled, BANDS)
    return treated | {name: [run(name, seed, carriers=control) for seed in range(n)] for name in names}


def rulings(endpoint: str, of: dict[str, list[Run]]) -> set[str]:
    return {ruling_of(STUDY, f"{endpoint}-{op}", of) for op in BANDS}


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_one_another_and_each_claim_has_one_primary(budget) -> None:
    STUDY.check(budget)
    primaries = [each.claim for each in STUDY.endpoints(budget) if each.is_primary]
    assert primaries == ["P12", "P13"]
    assert not any(each.waits_for for each in STUDY.endpoints(budget))


def test_bands_that_decide_what_is_right_midway_support_p12() -> None:
    of = runs(right=by_band)
    for endpoint in ("bands", "margins", "bands-over-blocks"):
        assert rulings(endpoint, of) == {"supported"}
    found = verdict_of(STUDY, "bands-x*y", of)
    assert found.estimate.effect == pytest.approx(0.9, abs=0.1)
    assert found.says.endswith("of the variance of accuracy explained by the band")


def test_cells_that_are_right_anywhere_contradict_p12() -> None:
    of = runs(right=anywhere, n=10)
    for endpoint in ("bands", "margins", "clusters"):
        assert rulings(endpoint, of) == {"contradicted"}
    assert rulings("bands-over-blocks", of) == {"no effect"}


def test_bands_that_decide_in_some_seeds_leave_p12_inconclusive() -> None:
    assert rulings("bands", runs(right=in_some_seeds, n=4)) == {"inconclusive"}


def test_blocks_that_decide_are_no_bands() -> None:
    assert rulings("bands-over-blocks", runs(right=by_block)) == {"contradicted"}


def test_areas_of_operands_that_are_no_neighbours_are_found_in_other_seeds() -> None:
    of = runs(right=by_operands, n=8)
    assert rulings("clusters", of) == {"supported"}
    assert rulings("bands", of) == {"contradicted"}


def test_areas_are_never_judged_where_they_were_found() -> None:
    """With noise in one half and one pattern in the other, neither half's areas hold in the other."""
    of = runs(right=lambda op, seed: (by_operands if seed % 2 else anywhere)(op, seed), n=8)
    assert verdict_of(STUDY, "clusters-x*y", of).estimate.effect == pytest.approx(0, abs=0.1)


def test_areas_with_carriers_of_their_own_midway_that_unite() -> None:
    of = runs(carriers=UNITED)
    for endpoint in ("carriers-apart", "carriers-unite", "one-set", "less-apart"):
        assert rulings(endpoint, of) == {"supported"}
    midway = verdict_of(STUDY, "carriers-apart-x*y", of).estimate.effect
    assert midway == pytest.approx(0.6 / 0.8, rel=0.05)  # beyond the random sets' 0.2


def test_carriers_that_part_and_were_not_apart_midway() -> None:
    of = runs(carriers=PARTED)
    assert rulings("carriers-apart", of) == {"no effect"}
    for endpoint in ("carriers-unite", "one-set", "less-apart"):
        assert rulings(endpoint, of) == {"contradicted"}
    assert rulings("carriers-apart", runs(carriers=CLOSER)) == {"contradicted"}


def test_what_renamed_operands_do_as_well_is_no_separation() -> None:
    same = {**UNITED, "within_renamed": UNITED["within"]}
    assert rulings("carriers-apart", runs(carriers=same)) == {"no effect"}


def test_a_change_that_the_control_makes_too_is_none() -> None:
    assert rulings("carriers-unite", runs(carriers=UNITED, control=UNITED)) == {"no effect"}


def test_one_set_of_frequencies_for_all_bands_supports_p13() -> None:
    of = runs(of=one_wave)
    assert rulings("frequencies", of) == {"supported"}
    found = verdict_of(STUDY, "frequencies-x*y", of)
    assert found.estimate.effect == 1.0
    assert "On average a band has 1.0 of 15 frequencies" in found.note


def test_frequencies_that_are_no_better_than_others_have_nothing_beyond_chance() -> None:
    """One of 15 carries all; and where all carry the same any 14 of them do."""
    one = verdict_of(STUDY, "frequencies-over-chance-x*y", runs(of=one_wave))
    assert one.ruling == "supported"
    every = runs(of=lambda behind, band: (np.abs(behind % (2 * np.pi)) < 1e-6) + 0.0 * band)
    assert rulings("frequencies-over-chance", every) == {"no effect"}
    assert rulings("frequencies", every) == {"supported"}


def test_frequencies_of_its_own_for_each_band_contradict_p13() -> None:
    of = runs(of=wave_of_its_own)
    assert rulings("frequencies", of) == {"contradicted"}
    assert verdict_of(STUDY, "frequencies-x+y", of).estimate.effect < 0.2


def test_one_set_in_some_seeds_leaves_p13_inconclusive_and_the_interval_in_range() -> None:
    of = runs(of=one_wave)
    of["x*y"][0] = run("x*y", 0, of=wave_of_its_own)
    found = verdict_of(STUDY, "frequencies-x*y", of)
    assert found.ruling == "inconclusive"
    assert 0 <= found.estimate.low <= found.estimate.high <= 1


def test_a_run_without_checkpoints_is_missing_for_that() -> None:
    found = verdict_of(STUDY, "frequencies-x*y", runs(n=2))
    assert (found.estimate.n, found.missing) == (0, {"no checkpoint is stored": 2})


def test_runs_that_never_come_midway_are_missing_and_those_that_never_grok_are_told() -> None:
    of = runs(right=by_band, grokked=None, n=4)
    for endpoint in ("bands-x*y", "clusters-x*y"):
        found = verdict_of(STUDY, endpoint, of)
        assert found.ruling == "inconclusive"
        assert found.missing == {"no reading with validation accuracy in [0.2, 0.8]": 4}
    assert "4 of 4 runs had not grokked" in verdict_of(STUDY, "one-set-x*y", of).note


def test_a_run_that_failed_has_no_areas() -> None:
    of = runs(right=by_band)
    of["x*y"][0].__dict__["status"] = "failed"
    for endpoint in ("bands-x*y", "clusters-x*y"):
        found = verdict_of(STUDY, endpoint, of)
        assert (found.estimate.n, found.missing) == (5, {"diverged": 1})


def test_the_figures_say_what_they_show_with_their_numbers() -> None:
    figures = list(STUDY.figures(table_of(STUDY, runs(right=by_band, carriers=UNITED, n=2))))
    assert len({figure.name for figure in figures}) == len(figures) == 10
    for figure in figures:
        assert figure.caption
        assert len(figure.table)
    shares = next(figure for figure in figures if figure.name == "area_share").table
    shown = shares[(shares["panel"] == "x*y") & (shares["line"] == "bands of the product")]
    assert shown["step"].tolist() == [200]
    assert shown["mean"].tolist()[0] == pytest.approx(0.9, abs=0.1)
    learned = next(figure for figure in figures if figure.name == "first_learned_xy_band").table
    cells = learned[learned["layer"] == "cell"]
    assert set(cells["run"]) == {learned["run"].iloc[0]}
    assert (10 ** cells["decades"]).round().tolist() == cells["step"].clip(1).tolist()


def test_without_an_operation_or_the_control_the_rest_is_drawn_and_without_runs_nothing() -> None:
    of = {"x*y": runs(right=by_band, n=2)["x*y"]}
    assert {figure.name for figure in STUDY.figures(table_of(STUDY, of))} >= {"table_film_xy_band"}
    assert list(STUDY.figures(table_of(STUDY, {}))) == []
    answers = {v.endpoint: v.ruling for v in STUDY.answer(table_of(STUDY, of)).verdicts}
    assert answers["bands-x+y"] == answers["carriers-unite-x*y"] == "open"


def test_the_share_learned_by_a_step_counts_cells_to_the_end() -> None:
    correct = xr.DataArray(
        [[[1, 0, np.nan]], [[0, 1, np.nan]], [[1, 1, np.nan]]], {"step": [0, 5, 9]}, ("step", "x", "y")
    )
    assert learned_by_step(correct).tolist() == [0.0, 0.5, 1.0]
