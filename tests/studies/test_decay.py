"""The study of decay on forks whose losses are known; every endpoint can come out either way."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies.decay import STUDY
from undergrowth.studies.decay.arms import (
    ALONE,
    APART,
    EVERY,
    MLP,
    STAYS_OFF,
    SWITCHED_ON,
    TRANSFORMER,
    UPTO,
    WRONG,
    Undoing,
    What,
    distance,
    kicks,
    undoings,
)
from undergrowth.studies.decay.figures import NAMES
from undergrowth.studies.decay.statistics import NO_CLASS, TOO_LATE
from undergrowth.training.interventions import Kick

AT = 600
NEVER = 2.0
SHORT = {TRANSFORMER: "transformer", MLP: "mlp", WRONG: "wrong"}
LOST = ((0.2, 0.5), "supported"), ((0.5, 0.2), "contradicted")


def forked(
    undoing: Undoing,
    seed: int,
    shallow: float = NEVER,
    general: float = NEVER,
    *,
    margins: tuple[float, float] = (2.0, 2.0),
    readings: int = 20,
) -> Run:
    """A fork whose shallow and general predictions are lost at given distances, half of validation
    being wrong all along; margins: those of both classes at the fork.
    """
    spec = undoing.arm("standard").seeded(seed)
    data, rng = spec.data(), np.random.default_rng(seed)
    n = len(data.labels)
    steps = AT + np.arange(readings + 1) * EVERY
    away = distance(spec, steps - AT)
    is_shallow = data.is_noisy if spec.label_noise else data.is_train
    gone = np.where(is_shallow, shallow, general) + rng.uniform(-0.04, 0.04, n) + 0.01 * rng.normal()
    wrong = data.is_val & (rng.random(n) < 0.5)
    start = np.where(is_shallow, margins[0], margins[1]) * rng.uniform(0.8, 1.2, n)
    holds = (away[:, None] < gone) & ~wrong
    holds[0] = ~wrong
    log_prob = np.where(holds, -0.1, -2.0)
    return with_readings(spec, steps, np.where(holds, start, -1.0), log_prob)


def with_readings(spec, steps, margin, log_prob) -> Run:
    arrays = {
        name: xr.DataArray(values, {"step": steps}, ["step", "example"])
        for name, values in (("prediction_margin", margin), ("prediction_log_prob", log_prob))
    }
    run = MadeUpRun(spec, {}, **arrays)
    run.__dict__.update(trunks=((spec.fork.of, AT),))
    return run


def some(*made: tuple[Undoing, tuple[float, float]], n: int = 4, **how) -> dict[str, list[Run]]:
    return {
        undoing.name: [forked(undoing, seed, *goes, **how) for seed in range(n)]
        for undoing, goes in made
    }


def everywhere(n: int = 2) -> dict[str, list[Run]]:
    """Every arm: under decay shallow ones go first, under noise both at 0.4."""
    goes = {"decay": (0.2, 0.5), "noise": (0.4, 0.4)}
    return some(*((each, goes.get(each.what, (NEVER, NEVER))) for each in undoings("standard")), n=n)


def switched_on(seed: int, wrong: float, right: float, undoing: Undoing = SWITCHED_ON) -> Run:
    """A fork of a network without decay: from its second reading on with the margins given."""
    spec = undoing.arm("standard").seeded(seed)
    data = spec.data()
    wiggle = 1 + (undoing == SWITCHED_ON) * seed / 1000
    then = np.where(data.is_noisy, wrong * wiggle, right)
    margin = np.array([np.full(len(then), 10.0), *[then] * 9])
    return with_readings(spec, AT + np.arange(10) * 70, margin, -margin)


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_and_p8_has_its_primary_elsewhere(budget) -> None:
    STUDY.check(budget)
    assert not any(endpoint.is_primary for endpoint in STUDY.endpoints(budget))
    trunks = {arm.trunk.name for arm in STUDY.arms(budget) if arm.trunk}
    assert trunks == {arm.name for arm in STUDY.arms(budget) if arm.role == "trunk"}


def test_decay_is_switched_on_where_there_was_none_and_nowhere_else() -> None:
    off, on = (each.arm("quick") for each in (STAYS_OFF, SWITCHED_ON))
    assert off.trunk == on.trunk
    assert on.trunk is not None
    assert on.trunk.spec.optimiser.weight_decay == 0
    assert on.spec.replace(interventions=()) == off.spec.replace(interventions=())
    with_decay = Undoing(WRONG, "decay").trunk("quick").spec
    assert on.trunk.spec.replace(optimiser=with_decay.optimiser) == with_decay


def test_kicks_margin_as_far_as_decay_in_equal_strides() -> None:
    walk = [step.action for step in kicks()]
    weights = rest = np.random.default_rng(0).normal(size=20_000)
    away = 0.0
    for k, kick in enumerate(walk, start=1):
        assert isinstance(kick, Kick)
        push = np.random.default_rng(k).normal(size=len(weights))
        weights = weights + push * kick.norm * np.linalg.norm(weights) / np.linalg.norm(push)
        away = float(np.linalg.norm(weights - rest) / np.linalg.norm(rest))
        assert away == pytest.approx(k * APART, rel=0.03)
    assert away == pytest.approx(UPTO, rel=0.03)


@pytest.mark.parametrize(("goes", "ruling"), LOST)
@pytest.mark.parametrize("setup", [TRANSFORMER, WRONG])
def test_decay_alone_is_judged_by_what_goes_first(
    setup: str, goes: tuple[float, float], ruling: str
) -> None:
    runs = some((Undoing(setup, "decay"), goes))
    for score in ("right", "confident"):
        found = verdict_of(STUDY, f"{SHORT[setup]}-decay-{score}", runs)
        assert found.ruling == ruling
        assert found.estimate.n == 4
        assert found.estimate.effect == pytest.approx((goes[1] - goes[0]) / UPTO, abs=0.05)


def test_where_both_go_together_there_is_no_effect() -> None:
    runs = some((Undoing(TRANSFORMER, "decay"), (0.4, 0.4)), n=8)
    assert ruling_of(STUDY, "transformer-decay-right", runs) == "no effect"


@pytest.mark.parametrize(("goes", "ruling"), LOST)
@pytest.mark.parametrize("setup", [TRANSFORMER, MLP, WRONG])
def test_noise_alone_is_judged_likewise(setup: str, goes: tuple[float, float], ruling: str) -> None:
    runs = some((Undoing(setup, "noise"), goes))
    assert ruling_of(STUDY, f"{SHORT[setup]}-noise-right", runs) == ruling
    assert ruling_of(STUDY, f"{SHORT[setup]}-noise-matched", runs) == ruling


@pytest.mark.parametrize(
    ("goes", "noise", "ruling"),
    [((0.2, 0.5), (0.4, 0.4), "supported"), ((0.4, 0.4), (0.2, 0.5), "contradicted")],
)
@pytest.mark.parametrize("setup", [TRANSFORMER, MLP, WRONG])
def test_decay_against_noise_of_the_same_length(setup, goes, noise, ruling) -> None:
    decay, kicked = (Undoing(setup, what) for what in ALONE)
    assert (
        ruling_of(STUDY, f"{SHORT[setup]}-decay-noise", some((decay, goes), (kicked, noise))) == ruling
    )
    alike = verdict_of(STUDY, f"{SHORT[setup]}-decay-noise", some((decay, goes), (kicked, goes)))
    assert abs(alike.estimate.effect) < 0.06  # the two ways have other places, not other examples


def test_matched_on_their_margin_only_what_the_margin_does_not_explain_is_left() -> None:
    undoing = Undoing(TRANSFORMER, "decay")
    for goes, ruling in LOST:
        found = verdict_of(STUDY, "transformer-decay-matched", some((undoing, goes)))
        assert found.ruling == ruling
        assert "100% of the smaller class" in found.note
    apart = some((undoing, (0.2, 0.5)), margins=(1.0, 9.0))
    unmatched = verdict_of(STUDY, "transformer-decay-matched", apart)
    assert (unmatched.ruling, unmatched.estimate.n) == ("inconclusive", 0)
    assert sum(unmatched.missing.values()) == 4
    assert "margins at the fork 0.99" in unmatched.note
    assert "0% of the smaller class" in unmatched.note


def test_a_memorised_network_that_loses_more_than_a_grokked_one_is_told() -> None:
    cases: tuple[tuple[str, str, What], ...] = (
        ("transformer-decay-earlier", TRANSFORMER, "decay"),
        ("mlp-decay-earlier", MLP, "decay"),
        ("mlp-noise-earlier", MLP, "noise"),
    )
    for endpoint, setup, what in cases:
        early, late = (Undoing(setup, what, switch) for switch in ("memorised", "grokked"))
        for (first, then), ruling in LOST:
            runs = some((early, (first, NEVER)), (late, (then, NEVER)), n=6)
            assert ruling_of(STUDY, endpoint, runs, "standard") == ruling


def test_where_no_prediction_changes_seeds_that_agree_are_no_effect() -> None:
    for n, ruling in ((4, "inconclusive"), (8, "no effect")):
        found = verdict_of(STUDY, "mlp-decay-right", some((Undoing(MLP, "decay"), (NEVER, NEVER)), n=n))
        assert found.estimate.effect == 0
        assert found.ruling == ruling


@pytest.mark.parametrize(
    ("wrong", "right", "ruling"),
    [(3.0, 9.0, "supported"), (9.0, 6.0, "contradicted"), (4.5, 5.0, "no effect")],
)
def test_decay_beside_the_gradient_is_judged_by_whose_margin_it_takes(wrong, right, ruling) -> None:
    """Without it wrong labels lack a tenth of it; decay that halves all margins changes nothing."""
    runs = {
        SWITCHED_ON.name: [switched_on(seed, wrong, right) for seed in range(8)],
        STAYS_OFF.name: [switched_on(seed, 9.0, 10.0, STAYS_OFF) for seed in range(8)],
    }
    found = verdict_of(STUDY, "switched-on", runs)
    assert found.ruling == ruling
    assert found.estimate.effect == pytest.approx(0.9 * (0.9 - wrong / right), abs=0.01)


def test_a_network_whose_right_labels_are_lost_has_no_share_of_their_margin() -> None:
    runs = {
        SWITCHED_ON.name: [switched_on(0, 3.0, -1.0)],
        STAYS_OFF.name: [switched_on(0, 9.0, 10.0, STAYS_OFF)],
    }
    found = verdict_of(STUDY, "switched-on", runs)
    assert found.missing == {"half of the right labels are lost at some point": 1}
    runs[SWITCHED_ON.name] = [MadeUpRun(SWITCHED_ON.arm("standard").seeded(0), {})]
    assert verdict_of(STUDY, "switched-on", runs).missing == {TOO_LATE: 1}


def test_forks_that_came_too_late_or_failed_are_left_out_and_counted() -> None:
    undoing = Undoing(TRANSFORMER, "decay")
    late, failed = forked(undoing, 0, 0.2, 0.5, readings=5), forked(undoing, 2, 0.2, 0.5)
    failed.__dict__.update(status="failed")
    after_its_end = MadeUpRun(undoing.arm("standard").seeded(5), {})
    whole = [forked(undoing, seed, 0.2, 0.5) for seed in (3, 4)]
    runs = {undoing.name: [late, failed, after_its_end, *whole]}
    found = verdict_of(STUDY, "transformer-decay-right", runs)
    assert found.estimate.n == 2
    assert found.missing == {TOO_LATE: 2, "diverged": 1}


def test_a_network_with_nothing_general_at_the_fork_has_no_difference() -> None:
    undoing = Undoing(WRONG, "decay")
    run = forked(undoing, 0, 0.2, 0.5)
    margin = run["prediction_margin"].copy()
    margin[:, run.spec.data().is_val] = -1
    run.readings["prediction_margin"] = margin  # type: ignore[index]
    table = table_of(STUDY, {undoing.name: [run]}, "standard")
    found = verdict_of(STUDY, "wrong-decay-right", {undoing.name: [run]})
    assert found.missing == {NO_CLASS: 1}
    assert STUDY.answer(table).figures


def test_any_part_of_the_runs_has_its_answer() -> None:
    every = everywhere()
    for what in ALONE:
        part = {each.name: every[each.name] for each in undoings("standard") if each.what == what}
        found = STUDY.answer(table_of(STUDY, part, "standard"))
        rulings = {verdict.arm: verdict.ruling for verdict in found.verdicts}
        assert {ruling for arm, ruling in rulings.items() if arm not in part} == {"open"}
    nothing = STUDY.answer(table_of(STUDY, {}))
    assert nothing.figures == ()
    assert {verdict.ruling for verdict in nothing.verdicts} == {"open"}


def test_figures_have_their_numbers() -> None:
    figures = STUDY.answer(table_of(STUDY, everywhere(), "standard")).figures
    assert len({figure.name for figure in figures}) == 4
    for figure in figures:
        assert len(figure.table)
        assert figure.caption
    kept = figures[0].table
    at_half = kept[
        (kept["distance"] > 0.34) & (kept["distance"] < 0.36) & (kept["column"] == "decay alone")
    ]
    rows = at_half[at_half["row"] == TRANSFORMER]
    of_transformer = dict(zip(list(rows["class"]), list(rows["mean"]), strict=True))
    assert of_transformer[NAMES["shallow"]] < 0.05
    assert of_transformer[NAMES["general"]] > 0.95
    lost = figures[-1].table
    flat = lost[lost["panel"].str.startswith("neither")]
    assert len(flat)
    assert set(flat["value"]) == {0}
