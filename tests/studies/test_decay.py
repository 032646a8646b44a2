"""The study of decay alone on forks whose losses are known; every verdict can come out either way."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr
from undergrowth.studies.decay import ALONE, ARMS, MLP, SHUFFLED, TRANSFORMER, WRONG, Arm

from tests.studies.made_up import MadeUpRun
from undergrowth.analysis import Verdict
from undergrowth.store import Run
from undergrowth.studies import decay
from undergrowth.training.interventions import Kick

AT = 600
NEVER = 2.0


def forked(
    arm: Arm,
    seed: int,
    shallow: float = NEVER,
    general: float = NEVER,
    *,
    leads: tuple[float, float] = (2.0, 2.0),
    readings: int = 20,
    at: int | None = AT,
) -> Run:
    """A fork whose shallow and general predictions are lost at given distances, half of validation
    being wrong all along; leads: those of both classes at the fork.
    """
    spec = arm.spec("small", seed)
    data, rng = spec.data(), np.random.default_rng(seed)
    n = len(data.labels)
    steps = AT + np.arange(readings + 1) * decay.EVERY
    distance = arm.distance(steps - AT)
    is_shallow = data.is_noisy if spec.label_noise else data.is_train
    gone = np.where(is_shallow, shallow, general) + rng.uniform(-0.04, 0.04, n) + 0.01 * rng.normal()
    wrong = data.is_val & (rng.random(n) < 0.5)
    start = np.where(is_shallow, leads[0], leads[1]) * rng.uniform(0.8, 1.2, n)
    holds = (distance[:, None] < gone) & ~wrong
    holds[0] = ~wrong
    lead = np.where(holds, start, -1.0)
    coords = {"step": steps}
    arrays = {
        "prediction_lead": xr.DataArray(lead, coords, ["step", "example"]),
        "prediction_log_prob": xr.DataArray(np.where(holds, -0.1, -2.0), coords, ["step", "example"]),
    }
    run = MadeUpRun(spec, {}, **arrays)
    assert spec.fork
    run.__dict__.update(trunks=((spec.fork.of, at),) if at is not None else ())
    return run


def everywhere(
    shallow: float, general: float, *, noise: tuple[float, float] = (0.4, 0.4), n: int = 4, **how
) -> list[Run]:
    """Every arm: under decay classes go where they are said to, under noise both at 0.4."""
    found = []
    for arm in (*ARMS, *SHUFFLED):
        goes = {"decay": (shallow, general), "noise": noise}.get(arm.what, (NEVER, NEVER))
        if arm.what != "trunk":
            found += [forked(arm, seed, *goes, **how) for seed in range(n)]
    return found


def of(runs: Sequence[Run], *about: str) -> Verdict:
    return next(v for v in decay.answer(runs).verdicts if all(word in v.statistic for word in about))


def test_every_run_of_every_budget_is_known_as_its_arm() -> None:
    for budget in ("quick", "standard", "full"):
        forks = [spec for spec in decay.runs(budget, 2) if spec.fork]
        kinds = {decay._arms_by_kind()[spec.without_seeds().id] for spec in forks}
        left_out = decay.LEFT_OUT[budget]
        assert kinds == {a for a in (*ARMS, *SHUFFLED) if a.what != "trunk" and a not in left_out}


def test_a_larger_budget_trains_nothing_again() -> None:
    quick, standard = ({spec.id for spec in decay.runs(b, None)} for b in ("quick", "standard"))
    assert quick < standard


def test_kicks_lead_as_far_as_decay_in_equal_strides() -> None:
    walk = [step.action for step in decay.kicks()]
    weights = rest = np.random.default_rng(0).normal(size=20_000)
    away = 0.0
    for k, kick in enumerate(walk, start=1):
        assert isinstance(kick, Kick)
        push = np.random.default_rng(k).normal(size=len(weights))
        weights = weights + push * kick.norm * np.linalg.norm(weights) / np.linalg.norm(push)
        away = np.linalg.norm(weights - rest) / np.linalg.norm(rest)
        assert away == pytest.approx(k * decay.APART, rel=0.03)
    assert away == pytest.approx(decay.UPTO, rel=0.03)


@pytest.mark.parametrize(
    ("shallow", "general", "ruling"),
    [(0.2, 0.5, "supported"), (0.5, 0.2, "contradicted"), (0.4, 0.4, "inconclusive")],
)
@pytest.mark.parametrize("setup", [TRANSFORMER, WRONG])
def test_decay_alone_is_judged_by_what_goes_first(
    setup: str, shallow: float, general: float, ruling: str
) -> None:
    runs = [forked(Arm(setup, "decay"), seed, shallow, general) for seed in range(4)]
    for score in ("(right)", "p > ½"):
        found = of(runs, f"{setup}, half grokked, decay alone: lost", score)
        assert found.verdict == ruling
        assert found.estimate.n == 4
        if ruling != "inconclusive":
            assert found.estimate.effect == pytest.approx((general - shallow) / decay.UPTO, abs=0.05)


@pytest.mark.parametrize("setup", [TRANSFORMER, MLP, WRONG])
def test_noise_alone_is_judged_likewise(setup: str) -> None:
    for goes, ruling in (((0.2, 0.5), "supported"), ((0.5, 0.2), "contradicted")):
        runs = [forked(Arm(setup, "noise"), seed, *goes) for seed in range(4)]
        assert of(runs, f"{setup}, half grokked, noise alone: lost").verdict == ruling


@pytest.mark.parametrize(
    ("decays", "noise", "ruling"),
    [
        ((0.2, 0.5), (0.4, 0.4), "supported"),
        ((0.4, 0.4), (0.2, 0.5), "contradicted"),
        ((0.2, 0.5), (0.2, 0.5), "inconclusive"),
    ],
)
def test_decay_against_noise_of_the_same_length(
    decays: tuple[float, float], noise: tuple[float, float], ruling: str
) -> None:
    runs = [
        forked(Arm(WRONG, what), seed, *goes)
        for what, goes in zip(ALONE, (decays, noise), strict=True)
        for seed in range(4)
    ]
    if ruling == "inconclusive":  # the two ways have other places, not other examples
        assert abs(of(runs, WRONG, "decay alone − noise alone").estimate.effect) < 0.06
    else:
        assert of(runs, WRONG, "decay alone − noise alone").verdict == ruling


def test_matched_on_their_lead_only_what_the_lead_does_not_explain_is_left() -> None:
    arm = Arm(TRANSFORMER, "decay")
    runs = [forked(arm, seed, 0.2, 0.5) for seed in range(4)]
    matched = of(runs, "matched on their lead", "decay alone", "right training")
    assert matched.verdict == "supported"
    assert matched.note.startswith("Matched: 1.000")
    assert of([forked(arm, s, 0.5, 0.2) for s in range(4)], "matched").verdict == "contradicted"
    apart = [forked(arm, seed, 0.2, 0.5, leads=(1.0, 9.0)) for seed in range(4)]
    unmatched = of(apart, "matched on their lead", "decay alone", "right training")
    assert (unmatched.verdict, unmatched.estimate.n) == ("inconclusive", 0)
    assert unmatched.note.startswith("Matched: 0.000")


def test_a_memorised_network_that_loses_more_than_a_grokked_one_is_told() -> None:
    early, late = (Arm(TRANSFORMER, "decay", switch) for switch in ("memorised", "grokked"))
    for goes, ruling in (((0.2, 0.5), "supported"), ((0.5, 0.2), "contradicted")):
        runs = [
            forked(arm, s, where)
            for arm, where in zip((early, late), goes, strict=True)
            for s in range(4)
        ]
        found = of(runs, TRANSFORMER, "when memorised")
        assert found.verdict == ruling
        assert "shuffled" not in found.note
        shuffled = [forked(SHUFFLED[1], seed, 0.3) for seed in range(2)]
        assert "with shuffled labels" in of([*runs, *shuffled], TRANSFORMER, "when memorised").note


def test_where_no_prediction_changes_there_is_no_interval_and_it_is_said() -> None:
    found = of([forked(Arm(MLP, "decay"), seed) for seed in range(4)], MLP, "decay alone: lost")
    assert found.estimate.effect == 0
    assert (found.verdict, found.estimate.method) == ("inconclusive", "none")
    assert "All seeds are equal" in found.note


def test_what_is_lost_with_neither_and_while_training_goes_on_is_beside_the_number() -> None:
    note = of(everywhere(0.2, 0.5), TRANSFORMER, "decay alone: lost", "(right)").note
    assert "with neither 0.000, while training goes on 0.000" in note


def test_runs_that_came_too_late_or_never_or_failed_are_counted_and_left_out() -> None:
    arm = Arm(TRANSFORMER, "decay")
    late = forked(arm, 0, 0.2, 0.5, readings=5)
    never = forked(arm, 1, at=None)
    failed = forked(arm, 2, 0.2, 0.5)
    failed.__dict__.update(status="failed")
    after_its_end = MadeUpRun(arm.spec("small", 5), {})
    after_its_end.__dict__.update(trunks=((arm.trunk.spec("small", 5).id, 10**6),))
    whole = [forked(arm, seed, 0.2, 0.5) for seed in (3, 4)]
    assert "1 fork left out" in of([after_its_end, *whole], TRANSFORMER, "decay alone: lost").note
    found = of([late, never, failed, *whole], TRANSFORMER, "decay alone: lost", "(right)")
    assert found.estimate.n == 2
    assert "3 forks left out" in found.note
    others = [forked(Arm(TRANSFORMER, "noise"), seed, 0.2, 0.5) for seed in range(6)]
    never_there = of([*others, late, *whole], TRANSFORMER, "decay alone: lost", "(right)")
    assert "4 forks left out" in never_there.note
    alone = of([late, never, failed], TRANSFORMER, "decay alone: lost", "(right)")
    assert (alone.verdict, alone.estimate.n) == ("inconclusive", 0)
    assert "needs 2 seeds, and there are 0" in alone.note


def test_a_network_with_nothing_general_at_the_fork_has_no_difference() -> None:
    arm = Arm(WRONG, "decay")
    run = forked(arm, 0, 0.2, 0.5)
    lead = run["prediction_lead"].copy()
    lead[:, run.spec.data().is_val] = -1
    run.readings["prediction_lead"] = lead  # type: ignore[index]
    found = of([run], WRONG, "decay alone: lost", "(right)")
    assert found.estimate.n == 0
    assert decay.answer([run]).figures


@pytest.mark.parametrize("n", [0, 1, 2])
def test_any_part_of_the_runs_has_its_answer(n: int) -> None:
    whole = everywhere(0.2, 0.5, n=max(1, n))
    for what in ALONE:
        part = [run for run in whole if decay._arms_by_kind()[run.spec.without_seeds().id].what == what]
        found = decay.answer(part if n else [])
        assert {v.verdict for v in found.verdicts} <= {"supported", "contradicted", "inconclusive"}
        assert all(np.isfinite(v.threshold) and v.rule for v in found.verdicts)
        if n < 2:
            assert {v.verdict for v in found.verdicts} == {"inconclusive"}


def test_the_order_of_runs_is_nothing_to_the_answer() -> None:
    runs = everywhere(0.2, 0.5, n=2)
    mixed = random.Random(0).sample(runs, len(runs))
    one, other = (decay.answer(each) for each in (runs, mixed))
    assert [v.to_dict() for v in one.verdicts] == [v.to_dict() for v in other.verdicts]
    assert [f.table.to_csv() for f in one.figures] == [f.table.to_csv() for f in other.figures]


def test_figures_have_their_numbers_and_their_n() -> None:
    figures = decay.answer(everywhere(0.2, 0.5, n=2)).figures
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
    assert of_transformer[decay.NAMES["shallow"]] < 0.05
    assert of_transformer[decay.NAMES["general"]] > 0.95
