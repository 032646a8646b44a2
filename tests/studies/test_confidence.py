"""The confidence study on runs whose answers are known; every endpoint can come out either way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, made_up
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.measures.reinforcement.confidence import EDGES, QUANTILES
from undergrowth.report.axes import traces_of
from undergrowth.store import Run
from undergrowth.studies import Missing, grokking, spikes
from undergrowth.studies.confidence import (
    DECAY,
    EXACT,
    FREE,
    MINI,
    SHUFFLED,
    STUDY,
    error_probability,
    median_in_time,
    slope,
)
from undergrowth.training.batches import FullBatch
from undergrowth.training.optimisers import AdamW

SIDES = ["train", "val"]
NEVER_SURE = (0, -1, -1, -1, -1, -1)
SURE = (0, -1, -4, -4, -4, -4)
"""Medians of log10(1 - p) by step: memorised at the second."""
SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
OF_DECAY = ("loss", "optimiser", "steps", "measures", "checkpoints")
"""What decay changes in the runs of the full budget."""
ONES = (1.0,) * len(STEPS)
WAVERS = (1, 1, 0.9, 0.8, 0.9, 1)
DYING = (1, 1, 1e-2, 1e-3, 1e-4, 1e-5)


def over_steps(values: Sequence[float]) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, float), dims="step", coords={"step": list(STEPS)})


def run(
    seed: int,
    arm: str = DECAY,
    *,
    error_probability: Sequence[float] = NEVER_SURE,
    gradient: Sequence[float] = ONES,
    data: Sequence[float] = ONES,
    effective_examples: float = 0.5,
    grokked: int | None = 4,
) -> Run:
    """A run with readings that hardly differ between seeds; with decay it groks at step 800."""
    wiggle = 1 + seed / 1000
    medians = np.asarray(error_probability, float)[:, None, None] * wiggle
    quantiles = medians + np.log10(np.asarray(QUANTILES) / 0.5)
    by_quantile = {"step": list(STEPS), "side": SIDES, "quantile": [f"{q:g}" for q in QUANTILES]}
    shares = np.zeros((len(STEPS), 2, len(EDGES) - 1))
    shares[:, :, -2] = 1
    by_bin = {"step": list(STEPS), "side": SIDES, "bin": [f"{edge:g}" for edge in EDGES[:-1]]}
    has_decay = SPECS[arm].optimiser.weight_decay > 0
    return made_up(
        seed,
        SPECS[arm].labels,
        base=SPECS[arm],
        grokked=grokked if arm == DECAY else None,
        confidence_error_probability=xr.DataArray(
            np.repeat(quantiles, 2, axis=1), dims=("step", "side", "quantile"), coords=by_quantile
        ),
        confidence_histogram=xr.DataArray(shares, dims=("step", "side", "bin"), coords=by_bin),
        confidence_gradient_norm=over_steps(gradient) ** wiggle**2,
        confidence_data_norm=over_steps(data) ** wiggle * wiggle,
        confidence_decay_norm=over_steps([1.0 * has_decay] * 6),
        confidence_pull_norm=over_steps([1.0 * has_decay] * 6),
        confidence_pull_cosine=over_steps([-0.5] * 6),
        confidence_effective_examples_train=over_steps(
            [effective_examples * SPECS[DECAY].data().n_train * wiggle] * 6
        ),
    )


def four(arm: str = DECAY, **readings) -> dict[str, list[Run]]:
    return {arm: [run(seed, arm, **readings) for seed in range(4)]}


def mixed(arm: str, *readings: dict) -> dict[str, list[Run]]:
    return {arm: [run(seed, arm, **each) for seed, each in enumerate(readings)]}


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_and_only_the_stand_ins_of_p4_wait(budget) -> None:
    STUDY.check(budget)
    primaries = {e.claim: e for e in STUDY.endpoints(budget) if e.is_primary}
    assert set(primaries) == {"C1", "C2", "P4"}
    waiting = {claim for claim, endpoint in primaries.items() if endpoint.waits_for}
    assert waiting == (set() if budget == "full" else {"P4"})


def test_at_its_own_scale_its_runs_are_the_replications_and_those_of_the_other_studies() -> None:
    specs = {arm.name: arm.spec for arm in STUDY.arms("full")}
    own = {arm.name: arm.spec for arm in spikes.STUDY.arms("full")}
    assert specs[MINI] == own["float32, decay 0"]
    assert specs[EXACT] == own["exact, decay 0"]
    assert (specs[DECAY].optimiser.name, specs[DECAY].optimiser.weight_decay) == ("adamw", 1.0)
    assert specs[DECAY].replace(**{f: getattr(specs[EXACT], f) for f in OF_DECAY}) == specs[EXACT]
    assert specs[SHUFFLED] == specs[DECAY].replace(labels="shuffled")
    falling = {arm.name: arm.spec for arm in grokking.STUDY.arms("full")}
    assert falling[grokking.REPLICATION] == specs[MINI]
    open_ones = {each.arm for each in STUDY.endpoints("full") if each.waits_for}
    assert open_ones == {FREE}


@pytest.mark.parametrize(
    ("endpoint", "arm"),
    [
        (f"{what}{suffix}", arm)
        for what in ("stops-short", "never-sure")
        for suffix, arm in (("", MINI), ("-decay", DECAY), ("-free", FREE), ("-shuffled", SHUFFLED))
    ],
)
def test_memorising_that_stops_at_nine_tenths_supports_c1_and_what_goes_on_contradicts_it(
    endpoint: str, arm: str
) -> None:
    assert ruling_of(STUDY, endpoint, four(arm)) == "supported"
    assert ruling_of(STUDY, endpoint, four(arm, error_probability=SURE)) == "contradicted"
    either = mixed(arm, {"error_probability": SURE}, {}, {"error_probability": SURE}, {})
    assert ruling_of(STUDY, endpoint, either) == "inconclusive"


def test_c1_is_told_as_a_probability() -> None:
    found = verdict_of(STUDY, "stops-short", four(MINI))
    assert found.estimate.effect == pytest.approx(-1.0015)
    assert found.says == "p = 0.9"
    assert verdict_of(STUDY, "stops-short", four(MINI, error_probability=SURE)).says.startswith(
        "p = 1 − "
    )
    assert found.note == "4 of 4 runs have no onset."


def test_a_network_may_be_unsure_when_it_has_just_memorised_and_sure_later() -> None:
    runs = four(DECAY, error_probability=SURE)
    assert ruling_of(STUDY, "unsure-when-memorised-decay", runs) == "supported"
    assert ruling_of(STUDY, "stops-short-decay", runs) == "contradicted"
    at_once = four(DECAY, error_probability=(0, -3, -3, -3, -3, -3))
    assert ruling_of(STUDY, "unsure-when-memorised-decay", at_once) == "contradicted"


def test_what_comes_after_the_onset_does_not_count_against_c1() -> None:
    for endpoint in ("stops-short-decay", "never-sure-decay"):
        assert ruling_of(STUDY, endpoint, four(error_probability=(0, -1, -1, -1, -8, -8))) == "supported"


def test_the_median_in_time_counts_every_step_alike() -> None:
    """Linear from 0 at step 100 to -15 at 1,600, read at five steps: half way at step 850."""
    falling = over_steps([0, *(-(step - 100) / 100 for step in STEPS[1:])]).isel(step=slice(1, None))
    assert median_in_time(falling) == pytest.approx(-7.5)
    assert float(falling.median()) != pytest.approx(-7.5, abs=1)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_is_the_power_of_the_error_probability_that_the_gradient_goes_as(power: float) -> None:
    error_probabilities = (0.0, -1.0, -2.5, -3.0, -4.5, -6.0)
    one = run(
        0,
        MINI,
        error_probability=error_probabilities,
        gradient=[7 * 10 ** (power * d) for d in error_probabilities],
    )
    assert slope(one) == pytest.approx(power, abs=1e-9)


def test_where_p_hardly_changes_there_is_no_slope() -> None:
    assert isinstance(slope(run(0, MINI)), Missing)
    found = verdict_of(STUDY, "vanishes-with-error-probability", four(MINI))
    assert (found.estimate.n, sum(found.missing.values())) == (0, 4)


def test_a_gradient_of_0_or_a_error_probability_below_float32_is_no_point_of_the_slope() -> None:
    error_probabilities = (0, -1, -2, -3, -4, -np.inf)
    one = run(0, MINI, error_probability=error_probabilities, gradient=(1, 1e-1, 1e-2, 1e-3, 1e-4, 0))
    assert slope(one) == pytest.approx(1)
    assert np.isfinite(error_probability(one)).all()


FALLING = (0, -1, -2, -3, -4, -5)


def test_c2s_slope_near_1_is_supported_and_a_flat_one_contradicted() -> None:
    one, flat = DYING, (1, 1, 0.9, 0.8, 0.7, 0.6)
    assert (
        ruling_of(
            STUDY, "vanishes-with-error-probability", four(MINI, error_probability=FALLING, gradient=one)
        )
        == "supported"
    )
    found = four(MINI, error_probability=FALLING, gradient=flat)
    assert ruling_of(STUDY, "vanishes-with-error-probability", found) == "contradicted"
    both = [{"error_probability": FALLING, "gradient": g} for g in (one, flat, one, flat)]
    assert ruling_of(STUDY, "vanishes-with-error-probability", mixed(MINI, *both)) == "inconclusive"


@pytest.mark.parametrize(
    ("suffix", "arm", "lost"), [("", MINI, 5), ("-decay", DECAY, 2), ("-free", FREE, 5)]
)
def test_a_gradient_that_dies_before_the_onset_is_told_from_one_that_stays(
    suffix: str, arm: str, lost: float
) -> None:
    """With decay the onset is at step 400, so that the last reading is that of step 200."""
    dying, staying = (four(arm, gradient=norms, data=norms) for norms in (DYING, WAVERS))
    for what in ("gradient", "update"):
        found = verdict_of(STUDY, f"{what}-dies{suffix}", dying)
        assert found.ruling == "supported"
        assert found.estimate.effect == pytest.approx(lost, rel=0.01)
        assert ruling_of(STUDY, f"{what}-dies{suffix}", staying) == "contradicted"


def test_p4_is_of_what_the_gradient_moves_beside_what_decay_moves() -> None:
    assert ruling_of(STUDY, "flows", four()) == "supported"
    assert ruling_of(STUDY, "flows", four(data=[0.01] * 6)) == "contradicted"
    assert ruling_of(STUDY, "flows", mixed(DECAY, {}, {"data": [1e-3] * 6}, {})) == "inconclusive"
    assert verdict_of(STUDY, "flows", four()).ruling == "open"
    assert verdict_of(STUDY, "flows", four(), "full").ruling == "supported"


def test_what_the_gradient_moves_before_memorising_and_after_grokking_does_not_count() -> None:
    assert ruling_of(STUDY, "flows", four(data=(1e-9, 1, 1, 1, 1e-9, 1e-9))) == "supported"


def test_a_gradient_may_die_out_while_the_update_goes_on() -> None:
    assert ruling_of(STUDY, "gradient-stays", four(gradient=DYING)) == "contradicted"
    assert ruling_of(STUDY, "gradient-stays", four(gradient=WAVERS)) == "supported"
    assert ruling_of(STUDY, "flows", four(gradient=DYING)) == "supported"


def test_many_may_push_or_few_and_more_than_with_shuffled_labels_or_not() -> None:
    many, few = 0.5, 0.02
    for its, control, alone, beside in (
        (many, few, "supported", "supported"),
        (few, many, "contradicted", "contradicted"),
        (many, many, "supported", "no effect"),
    ):
        runs = {**four(effective_examples=its), **four(SHUFFLED, effective_examples=control)}
        assert ruling_of(STUDY, "many-push", runs) == alone
        assert ruling_of(STUDY, "more-push", runs) == beside


def test_runs_that_never_grok_count_to_their_last_step() -> None:
    found = verdict_of(STUDY, "gradient-dies-decay", four(grokked=None, gradient=DYING))
    assert found.estimate.n == 4
    assert found.estimate.effect == pytest.approx(5, rel=0.01)


def test_runs_that_never_memorise_are_left_out_and_counted() -> None:
    never = run(4, MINI)
    never.curves["train_accuracy"][:] = 0.5
    found = verdict_of(STUDY, "stops-short", {MINI: [*four(MINI)[MINI], never]})
    assert found.estimate.n == 4
    assert sum(found.missing.values()) == 1


def test_without_runs_nothing_is_invented() -> None:
    answer = STUDY.answer(table_of(STUDY, {}))
    assert {v.ruling for v in answer.verdicts} == {"open"}
    assert answer.figures == ()


def test_figures_show_every_arm_that_there_is() -> None:
    every = {**four(), **four(FREE), **four(MINI), **four(SHUFFLED)}
    for runs in (every, four(FREE)):
        error_probabilities, push = STUDY.answer(table_of(STUDY, runs)).figures
        assert set(error_probabilities.table["arm"]) == set(runs)
        cells = error_probabilities.table.query("layer == 'share'")
        assert set(cells["error_probability"]) == {EDGES[:-1][-2] + 0.125}  # the middle of the one bin
        drawn = [trace for trace in traces_of(error_probabilities.plot) if trace.type == "heatmap"]
        assert all(trace.y is not None and None not in list(trace.y) for trace in drawn)
        assert len(drawn) == len(runs)
        assert set(push.table["line"].dropna()) == set(runs)


def test_at_its_own_scale_c1_and_c2_are_answered_in_its_runs() -> None:
    sure = {MINI: [run(s, MINI, error_probability=SURE, gradient=DYING) for s in range(4)]}
    answer = STUDY.answer(table_of(STUDY, sure, "full"))
    rulings = {each.claim: each.ruling for each in answer.verdicts if each.is_primary}
    assert rulings == {"C1": "contradicted", "C2": "supported", "P4": "open"}
    assert len(answer.figures) == 2


def test_the_arms_differ_in_decay_batches_and_labels_alone() -> None:
    for budget in ("quick", "standard"):
        alike = {
            arm.spec.replace(
                labels="true",
                batch=FullBatch(),
                optimiser=AdamW(**{**dict(arm.spec.optimiser), "weight_decay": 1.0}),
            ).id
            for arm in STUDY.arms(budget)
        }
        assert len(alike) == 1
