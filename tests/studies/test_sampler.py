"""The study of samplers on functions of planted probabilities; rulings can come out either way."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.analysis.fitting_functions import FittingFunctions, fitting_functions, joined
from undergrowth.engine.under_way import UnderWay
from undergrowth.report.figure import Figure
from undergrowth.store import Run
from undergrowth.studies.sampler import (
    ADAM,
    FIVE_BITS,
    FULL,
    ONE,
    SAMPLED,
    STUDY,
)
from undergrowth.tasks.terms import best_term

SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
MANY = 200_000


def functions(arm: str, seed: int, n: int = 120) -> np.ndarray:
    """bool [function, input]: ors of some terms, the training labels put right."""
    data = SPECS[arm].seeded(seed).data()
    rng = np.random.default_rng(1000 + seed)
    bits = data.inputs < 0
    tables = np.zeros((n, len(bits)), bool)
    for table in tables:
        for _ in range(rng.integers(1, 6)):
            asked = rng.choice(bits.shape[1], 2, replace=False)
            table |= (bits[:, asked] == (rng.random(2) < 0.5)).all(axis=1)
        table ^= rng.random(len(bits)) < 0.3 * rng.random()
    tables[:, data.is_train] = data.labels[data.is_train].astype(bool)
    return np.unique(tables, axis=0)


def run(
    arm: str,
    seed: int,
    *,
    general: float = 0.0,
    simple: float = 0.0,
    n: int = MANY,
    tables: np.ndarray | None = None,
    uneven: float = 0.0,
) -> Run:
    """n networks whose functions have log P = general x generality - simple x complexity + noise.

    The noise is that of the seed: the same for all arms. uneven: general of the second half alone.
    """
    spec = SPECS[arm].seeded(seed)
    data = spec.data()
    tables = functions(arm, seed) if tables is None else tables
    blank = FittingFunctions(tables, np.ones((2, len(tables))), np.ones(len(tables)), data.is_train)
    noise = np.random.default_rng(seed).standard_normal(len(tables))
    rng = np.random.default_rng([seed, *map(ord, arm)])
    count = []
    for extra in (0.0, uneven):
        log_p = (general + extra) * blank.generality - simple * blank.complexity + noise
        p = np.exp(log_p - log_p.max())
        count.append(rng.multinomial(n // 2, p / p.sum()))
    found = np.array(count)[:, (seen := np.sum(count, axis=0) > 0)]
    key = "sampled_functions" if arm.startswith(SAMPLED) else "trained_functions"
    packed = np.packbits(tables[seen], axis=1).astype(np.float32)
    margin = rng.random(seen.sum())
    readings = {
        f"{key}_table": xr.DataArray(packed[None], dims=("step", "function", "byte")),
        f"{key}_count": xr.DataArray(found[None], dims=("step", "half", "function")),
        f"{key}_margin": xr.DataArray(margin[None], dims=("step", "function")),
        f"{key}_share": xr.DataArray([0.004], dims="step"),
    }
    return MadeUpRun(spec, {}, **readings)


def arms_of(n_seeds: int = 5, sampled: dict | None = None, **how) -> dict[str, list[Run]]:
    """Every arm of quick, `how` telling the trained ones."""
    return {
        arm: [
            run(arm, seed, **((sampled or {}) if arm.startswith(SAMPLED) else how))
            for seed in range(n_seeds)
        ]
        for arm in SPECS
    }


SLOPES = ("slope-one", "slope-full", "slope-adam", "slope-5-bits", "within-strata", "equal-margin")


@pytest.fixture(scope="module")
def general() -> dict[str, list[Run]]:
    return arms_of(general=0.6)


@pytest.fixture(scope="module")
def alike() -> dict[str, list[Run]]:
    return arms_of()


def test_training_that_favours_general_functions_supports_p19(general) -> None:
    for endpoint in (*SLOPES, "minimal-dnf", "half-added", "one-added", "by-bytes"):
        assert ruling_of(STUDY, endpoint, general) == "supported", endpoint
    found = verdict_of(STUDY, "slope-one", general)
    assert found.estimate.effect == pytest.approx(0.6, abs=0.02)
    assert found.says.endswith("nats per training example that the best term covers")
    assert "0.004 of the untrained networks fit 8 examples (2^-8 = 0.0039)" in found.note


def test_training_that_avoids_general_functions_contradicts_it() -> None:
    of = arms_of(general=-0.6)
    for endpoint in SLOPES:
        assert ruling_of(STUDY, endpoint, of) == "contradicted", endpoint


def test_training_that_finds_what_sampling_finds_has_no_effect(alike) -> None:
    for endpoint in SLOPES:
        assert ruling_of(STUDY, endpoint, alike) == "no effect", endpoint
    assert ruling_of(STUDY, "predicts-alike", alike) == "supported"


def test_training_that_favours_simple_functions_alone_has_no_effect() -> None:
    of = arms_of(simple=0.05)
    for endpoint in ("slope-one", "slope-full", "slope-5-bits"):
        assert ruling_of(STUDY, endpoint, of) == "no effect", endpoint


def test_a_prior_that_favours_general_functions_is_no_effect_of_training() -> None:
    of = arms_of(sampled={"general": 0.6}, general=0.6)
    assert ruling_of(STUDY, "slope-one", of) == "no effect"


def test_seeds_that_disagree_leave_it_inconclusive() -> None:
    of = arms_of(4)
    of[ONE] = [run(ONE, seed, general=0.6 * (-1) ** seed) for seed in range(4)]
    assert ruling_of(STUDY, "slope-one", of) == "inconclusive"


def test_few_networks_leave_it_inconclusive_and_not_without_effect() -> None:
    assert ruling_of(STUDY, "slope-one", arms_of(4, sampled={"n": 40}, n=40)) == "inconclusive"


def test_shuffled_generality_and_two_halves_of_sampling_have_no_slope(general) -> None:
    assert ruling_of(STUDY, "shuffled", general) == "supported"
    assert ruling_of(STUDY, "halves", general) == "supported"


def test_halves_that_differ_are_told() -> None:
    assert ruling_of(STUDY, "halves", arms_of(sampled={"uneven": 0.6})) == "contradicted"


def test_one_at_a_time_against_full_batches_compares_the_two_trained_arms() -> None:
    of = arms_of()
    of[ONE] = [run(ONE, seed, general=0.9) for seed in range(5)]
    of[FULL] = [run(FULL, seed, general=0.3) for seed in range(5)]
    of[ADAM] = [run(ADAM, seed, general=0.9) for seed in range(5)]
    found = verdict_of(STUDY, "one-against-full", of)
    assert found.ruling == "supported"
    assert found.estimate.effect == pytest.approx(0.6, abs=0.03)
    assert ruling_of(STUDY, "one-against-adam", of) == "no effect"


def test_functions_that_answer_the_other_way_round_do_not_predict_alike() -> None:
    of = arms_of(4)
    for place, its in enumerate(of[ONE]):
        data = its.spec.data()
        tables = functions(ONE, place)
        tables[:, ~data.is_train] ^= True
        of[ONE][place] = run(ONE, place, tables=tables)
    assert ruling_of(STUDY, "predicts-alike", of) == "contradicted"


def test_a_seed_whose_functions_are_all_as_general_is_missing_and_says_why(alike) -> None:
    of = {**alike, ONE: list(alike[ONE]), SAMPLED: list(alike[SAMPLED])}
    data = of[ONE][0].spec.data()
    tables = functions(ONE, 0)
    ones = best_term(tables, data.is_train)
    both = ones + best_term(~tables, data.is_train)
    same = tables[both == np.bincount(both).argmax()]
    of[ONE][0], of[SAMPLED][0] = run(ONE, 0, tables=same), run(SAMPLED, 0, tables=same)
    found = verdict_of(STUDY, "slope-one", of)
    assert found.missing == {"no two of the functions found differ in generality at fixed complexity": 1}
    assert found.estimate.n == 4


def test_runs_without_functions_are_missing_and_say_why(alike) -> None:
    bare = [MadeUpRun(SPECS[ONE].seeded(seed), {}) for seed in range(5)]
    assert verdict_of(STUDY, "slope-one", {**alike, ONE: bare}).missing == {"no functions were read": 5}


def test_what_a_function_is_like_is_read_from_its_table() -> None:
    """x1 or x2 of 3 bits: its best terms cover 4 inputs each, that of its negation 2."""
    table = np.array([[False, False, True, True, True, True, True, True]])
    found = FittingFunctions(table, np.ones((2, 1)), np.ones(1), np.ones(8, bool))
    assert found.generality_of_ones.tolist() == [4]
    assert found.generality.tolist() == [3.0]
    assert found.generality_of_minimal_dnf.tolist() == [3.0]
    assert found.predicted.tolist() == table[0].tolist()


def test_joined_counts_are_those_of_each_function_by_itself() -> None:
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        tables = np.unique(rng.random((40, 4)) < 0.5, axis=0)
        count = rng.integers(1, 9, (2, len(tables))).astype(float)
        sides.append(FittingFunctions(tables, count, np.ones(len(tables)), np.ones(4, bool)))
    place, *counts = joined(*sides)
    tables = np.concatenate([side.tables for side in sides])[place]
    assert len({tuple(t) for t in tables.tolist()}) == len(tables)
    for side, count in zip(sides, counts, strict=True):
        known = dict(zip(map(tuple, side.tables.tolist()), side.total, strict=True))
        assert [known.get(tuple(t), 0) for t in tables.tolist()] == count.tolist()
        assert count.sum() == side.total.sum()


def test_functions_that_a_measure_read_come_back_bit_by_bit() -> None:
    """Of a run of 200 networks on 7 bits: all fit, and their shares sum to 1."""
    spec = SPECS[ONE].seeded(0)
    few = spec.measures[1].model_copy(update={"n_networks": 200})
    spec = spec.replace(measures=(spec.measures[0], few))
    readings = UnderWay(spec, None, ()).readings(few)
    as_stored = {
        name: xr.DataArray(reading.values[None], dims=("step", *reading.dims))
        for name, reading in readings.items()
    }
    found = fitting_functions(MadeUpRun(spec, {}, **as_stored))
    assert found is not None
    data = spec.data()
    assert (found.tables[:, data.is_train] == data.labels[data.is_train]).all()
    assert found.total.sum() == pytest.approx(200 * float(readings["trained_functions_share"].values))
    assert (found.total / found.total.sum()).sum() == pytest.approx(1)
    assert found.predicted[data.is_train] == pytest.approx(data.labels[data.is_train])


def test_figures_draw_functions_of_both_and_ratios_by_generality(general) -> None:
    drawn: dict[str, Figure] = {
        figure.name: figure for figure in STUDY.figures(table_of(STUDY, general))
    }
    assert list(drawn) == ["sampler_scatter", "sampler_generality"]
    dots = drawn["sampler_scatter"].table.query("layer == 'function'")
    assert set(dots["seed"]) == {0, 1, 2, 3}
    assert not dots[["run", "generality", "sampled", "trained"]].isna().to_numpy().any()
    ratios = drawn["sampler_generality"].table
    of_one = ratios[(ratios["series"] == ONE) & (ratios["seeds"] == 5)]
    assert np.polyfit(of_one["generality"], of_one["log_ratio"], 1)[0] == pytest.approx(0.6, abs=0.1)


def test_without_runs_there_are_no_figures_and_the_claim_waits() -> None:
    table = table_of(STUDY, {})
    assert list(STUDY.figures(table)) == []
    primary = next(v for v in STUDY.answer(table).verdicts if v.is_primary)
    assert primary.ruling == "open"


def test_pseudo_counts_are_of_the_arms_where_functions_repeat() -> None:
    added = [each for each in STUDY.endpoints("quick") if each.name.endswith("-added")]
    assert {each.arm for each in added} == {ONE + FIVE_BITS}
