"""The study of partial generality on runs whose answers are known; verdicts can come out either way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, made_up
from undergrowth.analysis import Verdict
from undergrowth.measures import areas_of
from undergrowth.measures.areas import AreaKind
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import partial_generality as study
from undergrowth.tasks import CommutationSafe, Modular

P = 31
BANDS: dict[str, AreaKind] = {"x*y": "xy_band", "x+y": "sum_band"}
SPECS = {
    op: RunSpec(task=Modular(operation=op, p=P), split=CommutationSafe(frac_train=0.5))
    for op in ("x*y", "x+y")
}
CELLS = np.argwhere(np.ones((P, P), bool))
Right = Callable[[str, int], np.ndarray]
"""Which cells are right midway, from the operation and the seed: bool [x, y]."""


def by_band(op: str, seed: int) -> np.ndarray:
    area = areas_of(SPECS[op].task, CELLS, BANDS[op]).reshape(P, P)
    wrong = np.random.default_rng(seed).random((P, P)) < 0.02
    return (area % 2 == 0) ^ wrong


def by_block(op: str, seed: int) -> np.ndarray:
    area = areas_of(SPECS[op].task, CELLS, "block").reshape(P, P)
    return np.random.default_rng(seed).permutation(area.max() + 1)[area] % 2 == 0


def anywhere(op: str, seed: int) -> np.ndarray:
    return np.random.default_rng(100 + seed).random((P, P)) < 0.5


def in_some_seeds(op: str, seed: int) -> np.ndarray:
    return by_band(op, seed) if seed == 0 else anywhere(op, seed)


def maps(op: str, seed: int, right: Right) -> dict[str, xr.DataArray]:
    """Wrong everywhere but 40 cells at step 0, some right midway (step 200), all right from 400 on."""
    start = np.random.default_rng(seed).random((P, P)) < 0.05
    by_step = [start, start, right(op, seed), *[np.ones((P, P), bool)] * 3]
    correct = xr.DataArray(
        np.array(by_step, float), dims=("step", "x", "y"), coords={"step": list(STEPS)}
    )
    return {"table_correct": correct, "table_margin": 4 * correct - 2}


def carried(by_pair: dict[str, list[float]], null: float = 0.2) -> dict[str, xr.DataArray]:
    """Carriers' overlap at each step by pair, the same on both sides and for all kinds of areas."""
    pairs = ("any", "within", "across", "within_renamed", "across_renamed")
    values = np.array([by_pair.get(pair, by_pair["across"]) for pair in pairs], float)  # [pair, step]
    overlap = xr.DataArray(
        np.repeat(values.T[:, None], 2, axis=1),
        dims=("step", "side", "pair"),
        coords={"step": list(STEPS), "side": ["train", "val"], "pair": list(pairs)},
    )
    kinds = (*study.BANDS.values(), "block")
    return {
        f"{kind}_carriers_{name}": value
        for kind in kinds
        for name, value in (("overlap", overlap), ("overlap_null", xr.full_like(overlap, null)))
    }


FLAT = {"across": [0.3] * 6}
UNITED = {"across": [0.2, 0.2, 0.3, 0.8, 0.9, 0.9], "within": [0.2, 0.2, 0.9, 0.9, 0.9, 0.9]}
PARTED = {"across": [0.9, 0.9, 0.9, 0.6, 0.3, 0.3], "within": [0.9, 0.9, 0.9, 0.9, 0.9, 0.9]}


def runs(
    right: Right = anywhere, carriers: dict = FLAT, control: dict = FLAT, n: int = 4, **how
) -> list[Run]:
    def scattered(of: dict, seed: int) -> dict:
        return carried(
            {
                pair: [v * (1 + seed / 200) + 0.002 * seed * (pair == "within") for v in steps]
                for pair, steps in of.items()
            }
        )

    return [
        *(
            made_up(s, base=SPECS[op], **maps(op, s, right), **scattered(carriers, s), **how)
            for op in SPECS
            for s in range(n)
        ),
        *(
            made_up(
                s, "shuffled", base=SPECS[op], **maps(op, s, anywhere), **scattered(control, s), **how
            )
            for op in SPECS
            for s in range(n)
        ),
    ]


def found(containing: str, of: list[Run]) -> list[Verdict]:
    verdicts = [v for v in study._verdicts(of) if containing in v.statistic]
    assert len(verdicts) in (2, 4)  # of each operation
    return verdicts


def rulings(containing: str, of: list[Run]) -> set[str]:
    return {verdict.verdict for verdict in found(containing, of)}


def test_bands_that_decide_what_is_right_midway_support_p12() -> None:
    of = runs(by_band)
    assert rulings("share of the variance", of) == {"supported"}
    assert rulings("minus the share between blocks", of) == {"supported"}
    assert found("share of the variance", of)[0].estimate.effect == pytest.approx(0.9, abs=0.1)


def test_cells_that_are_right_anywhere_contradict_p12() -> None:
    of = runs(anywhere, n=8)
    assert rulings("share of the variance", of) == {"contradicted"}
    assert rulings("minus the share between blocks", of) == {"inconclusive"}


def test_blocks_that_decide_are_no_bands() -> None:
    assert rulings("minus the share between blocks", runs(by_block, n=6)) == {"contradicted"}


def test_bands_that_decide_in_some_seeds_decide_nothing() -> None:
    assert rulings("share of the variance", runs(in_some_seeds)) == {"inconclusive"}


def test_areas_with_carriers_of_their_own_midway_support_p12_and_that_they_unite_p13() -> None:
    of = runs(carriers=UNITED)
    assert rulings("within minus across bands midway", of) == {"supported"}
    assert rulings("change from memorised", of) == {"supported"}
    assert rulings("across bands at the end", of) == {"supported"}
    assert rulings("midway minus at the end", of) == {"supported"}
    midway = found("within minus across bands midway", of)[0].estimate.effect
    assert midway == pytest.approx(0.6 / 0.8, rel=0.02)  # beyond the random sets' 0.2


def test_carriers_that_part_contradict_p13_and_were_not_apart_midway() -> None:
    of = runs(carriers=PARTED)
    assert rulings("within minus across bands midway", of) == {"contradicted"}
    assert rulings("change from memorised", of) == {"contradicted"}
    assert rulings("across bands at the end", of) == {"contradicted"}
    assert rulings("midway minus at the end", of) == {"contradicted"}


def test_what_renamed_operands_do_as_well_is_no_separation() -> None:
    same = {**UNITED, "within_renamed": UNITED["within"]}
    assert rulings("within minus across bands midway", runs(carriers=same)) == {"contradicted"}


def test_a_change_that_the_control_makes_too_supports_nothing() -> None:
    assert rulings("change from memorised", runs(carriers=UNITED, control=UNITED)) == {"inconclusive"}


def test_runs_that_never_come_midway_are_said_to_be_left_out() -> None:
    verdict = found("share of the variance", runs(by_band, grokked=None))[0]
    assert verdict.verdict == "inconclusive"
    assert "4 seeds failed or had no reading" in verdict.note
    assert "4 of 4 seeds had not grokked" in found("at the end, beyond", runs(grokked=None))[0].note


def test_one_seed_is_too_few_and_says_how_many_are_needed() -> None:
    verdict = found("share of the variance", runs(by_band, n=1))[0]
    assert verdict.verdict == "inconclusive"
    assert "An interval needs 2 seeds, and there are 1" in verdict.note


def test_without_an_operation_or_the_control_the_rest_is_answered() -> None:
    of = [r for r in runs(by_band, UNITED) if r.spec.task == SPECS["x*y"].task]
    by_operation = {v.statistic[:3]: v for v in found("share of the variance of validation acc", of)}
    assert by_operation["x*y"].verdict == "supported"
    assert by_operation["x+y"].verdict == "inconclusive"
    uncontrolled = [run for run in of if run.spec.labels == "true"]
    verdict = found("change from memorised", uncontrolled)[0]
    assert verdict.verdict == "inconclusive"
    assert "unknown in the control" in verdict.note
    assert {figure.name for figure in study.answer(uncontrolled).figures} >= {"table_film_xy_band"}


def test_the_order_of_the_runs_changes_nothing() -> None:
    of = runs(in_some_seeds, UNITED)
    assert study._verdicts(of) == study._verdicts(of[::-1])


def test_the_figures_say_what_they_show_with_their_numbers() -> None:
    figures = study.answer(runs(by_band, UNITED, n=2)).figures
    assert len({figure.name for figure in figures}) == len(figures) == 8
    for figure in figures:
        assert figure.caption
        assert len(figure.table)


def test_no_runs_are_no_figures() -> None:
    assert study.answer([]).figures == ()
