"""The boost study on runs whose answers are known; every endpoint can come out either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies.lr_boost import STUDY
from undergrowth.studies.lr_boost.arms import BOOSTS, HELD, TUNED, Boost
from undergrowth.studies.own_scale import STAND_IN

STEPS = range(0, 3001, 50)
SWITCHED_AT = {"step 0": 0, "memorised": 300, "onset": 500, "onset by loss": 500, "step 1,000": 1000}
GROKS = 2000


def stored(boost: Boost, seed: int, grokked: int | None, *, falls: int = 0, stays: bool = True) -> Run:
    """A run that memorises at 300, sets off at 500 and groks at `grokked`, or never.

    falls: for so many steps after the switch train accuracy is that of validation, and both climb.
    """
    steps = np.array(STEPS)
    end = grokked if grokked is not None else 10**6
    way = np.clip((steps - 500) / max(end - 500, 1), 0, 1)
    val = np.where(steps < 500, 0.02, np.where(steps >= end, 1.0, 0.1 + 0.85 * way))
    if not stays:
        val[-1] = 0.5
    at = SWITCHED_AT[boost.switch]
    low = (steps > at) & (steps <= at + falls)
    train = np.where(low, val, np.where(steps >= 300, 1.0, 0.5))
    noise = np.random.default_rng(seed).normal(size=(2, len(steps)))
    shared = 0.9 if falls else 0.0
    log_train, log_val = noise[0], shared * noise[0] + (1 - shared) * noise[1]
    values = {
        "train_accuracy": train,
        "val_accuracy": val,
        "train_loss": np.exp(np.cumsum(log_train) / 10),
        "val_loss": np.exp(np.cumsum(log_val) / 10),
    }
    curves = xr.Dataset({name: ("step", v) for name, v in values.items()}, {"step": steps})
    spec = boost.arm("small").seeded(seed)
    run = MadeUpRun(spec, {})
    trunks = ((spec.fork.of, at),) if spec.fork else ()
    run.__dict__.update(curves=curves, names=tuple(values), trunks=trunks)
    return run


Runs = Mapping[str, Sequence[Run]]


def pairs(
    boosts: Iterable[Boost], boosted: Callable[[int], int | None] | int | None, n: int = 6, **how
) -> Runs:
    """Some boosts and their controls, which grok near 2,000; seeds differ by 50 steps each."""
    found: dict[str, list[Run]] = {}
    for boost in boosts:
        groks = [boosted(seed) if callable(boosted) else boosted for seed in range(n)]
        found[boost.control.name] = [stored(boost.control, s, GROKS + 50 * s) for s in range(n)]
        found[boost.name] = [stored(boost, seed, at, **how) for seed, at in enumerate(groks)]
    return found


def lr(factor: float, switch: str = "step 0", task: str = "addition") -> Boost:
    return Boost(task, "lr", factor, switch)


def later(by: int) -> Callable[[int], int]:
    return lambda seed: by + 50 * (seed % 3)


def ruled(endpoint: str, runs: Runs) -> str:
    return ruling_of(STUDY, endpoint, runs)


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_its_parts_fit_and_every_boost_has_its_control(budget) -> None:
    STUDY.check(budget)
    assert all(boost.control in BOOSTS[budget] for boost in BOOSTS[budget])
    claims = [e.claim for e in STUDY.endpoints(budget) if e.is_primary]
    assert sorted(claims) == sorted({claim.id for claim in STUDY.claims})


def test_no_claim_is_ruled_by_a_stand_in() -> None:
    verdict = verdict_of(
        STUDY, "proportional", pairs([Boost("addition", HELD, 10, "onset")], later(650))
    )
    assert (verdict.ruling, verdict.waits_for) == ("open", STAND_IN)
    assert verdict.estimate.effect > 0.8


EITHER_WAY: Mapping[str, tuple[Boost, int | None, int | None]] = {
    "proportional": (Boost("addition", HELD, 10, "onset"), 650, 1900),
    "proportional-decay-too": (lr(10, "onset"), 650, 1900),
    "proportional-tuned": (lr(10, "onset", TUNED), 650, 1900),
    "sooner-5": (lr(5, "memorised"), 700, 2900),
    "sooner-10": (lr(10, "memorised"), 700, 2900),
    "sooner-tuned": (lr(5, "memorised", TUNED), 700, 2900),
    "sooner-by-decay": (Boost("addition", "decay", 10, "memorised"), 700, 2900),
    "collapses-100": (lr(100, "memorised"), None, 600),
    "never-converges-10": (lr(10, "step 1,000"), None, 1400),
    "converges-50": (lr(50, "step 1,000"), 1400, None),
    "narrower": (lr(10, "memorised"), 900, 2900),
    "fails-from-start": (lr(10), None, 500),
    "slower-from-start-addition-10": (lr(10), 2900, 500),
    f"slower-from-start-{TUNED}-10": (lr(10, task=TUNED), 2900, 500),
    "destroys-5": (lr(5, "onset", "division"), 2900, 800),
    "works-3": (lr(3, "onset", "division"), 800, 2900),
    "works-5-from-start": (lr(5, task="division"), 800, 2900),
    "start-changes-conclusion": (lr(10, "onset"), 750, 1700),
}
"""By endpoint: a boost, and steps to grok at which the claim is right, and wrong."""


@pytest.mark.parametrize("endpoint", EITHER_WAY)
def test_an_endpoint_can_come_out_either_way(endpoint: str) -> None:
    boost, right, wrong = EITHER_WAY[endpoint]
    for grokked, ruling in ((right, "supported"), (wrong, "contradicted")):
        runs = pairs([boost], None if grokked is None else later(grokked))
        assert ruled(endpoint, runs) == ruling, grokked


@pytest.mark.parametrize(
    ("endpoint", "boost"),
    [("proportional", Boost("addition", HELD, 10, "onset")), ("destroys-5", lr(5, "onset", "division"))],
)
def test_seeds_that_disagree_decide_nothing(endpoint: str, boost: Boost) -> None:
    assert ruled(endpoint, pairs([boost], lambda seed: 2900 if seed % 2 else 560)) == "inconclusive"


def test_a_boost_that_changes_nothing_has_no_effect() -> None:
    runs = pairs([lr(5, "onset", "division")], lambda seed: GROKS + 50 * seed + 50 * (seed % 2))
    assert ruled("destroys-5", runs) == "no effect"


def test_boosted_seeds_that_never_get_there_contradict_c3() -> None:
    found = verdict_of(STUDY, "proportional-100", pairs([lr(100, "onset")], None))
    assert found.ruling == "contradicted"
    assert (found.estimate.low, found.estimate.n) == (-np.inf, 6)


@pytest.mark.parametrize("endpoint", ["destroys-5", "works-3", "proportional"])
def test_a_boost_by_which_training_diverges_counts_as_one_that_never_gets_there(endpoint: str) -> None:
    its = next(e for e in STUDY.endpoints("full") if e.name == endpoint)
    boost = next(b for b in BOOSTS["full"] if b.name == its.arm)
    runs = pairs([boost], lambda seed: None if seed % 2 else 1_500)
    for run in runs[boost.name][1::2]:
        run.__dict__["status"] = "failed"
    found = verdict_of(STUDY, endpoint, runs, "full")
    assert (found.estimate.n, found.missing) == (6, {})
    assert all(np.isinf(found.values[seed]).any() for seed in (1, 3, 5))


def test_when_neither_ever_gets_there_nothing_is_known() -> None:
    boost = lr(10, "onset")
    runs = {b.name: [stored(b, seed, None) for seed in range(6)] for b in (boost, boost.control)}
    for endpoint in ("proportional-decay-too", "start-changes-conclusion"):
        assert ruled(endpoint, runs) == "inconclusive"


def test_c4_takes_both_halves_in_one_seed() -> None:
    ten, hundred = lr(10, "memorised"), lr(100, "memorised")
    for ten_at, hundred_at, ruling in (
        (800, None, "supported"),
        (800, 600, "contradicted"),
        (1900, None, "contradicted"),
    ):
        runs = {**pairs([hundred], hundred_at), **pairs([ten], ten_at)}
        assert ruled("works-and-collapses", runs) == ruling
    some = {**pairs([hundred], lambda seed: 600 if seed % 2 else None), **pairs([ten], 800)}
    assert ruled("works-and-collapses", some) == "inconclusive"


def test_a_seed_that_falls_back_or_gets_there_in_its_last_tenth_has_not_stayed() -> None:
    hundred = lr(100, "memorised")
    assert ruled("collapses-100", pairs([hundred], 600, stays=False)) == "supported"
    assert ruled("collapses-100", pairs([hundred], 2900)) == "supported"
    assert ruled("collapses-100", pairs([hundred], 2700)) == "contradicted"


def test_both_sides_climbing_together_support_c5_and_c6() -> None:
    runs = pairs([lr(10, "memorised")], later(1400), falls=1000)
    assert ruled("climbs-while-below", runs) == "supported"
    assert ruled("narrower", runs) == "supported"
    assert ruled("correlated", runs) == "supported"


def test_a_train_accuracy_that_never_falls_contradicts_that_both_climb_together() -> None:
    assert ruled("climbs-while-below", pairs([lr(10, "memorised")], later(1400))) == "contradicted"
    assert ruled("climbs-while-below", pairs([lr(10, "memorised")], 1400, n=5)) == "inconclusive"


def test_losses_less_correlated_than_the_no_ops_contradict_c6_and_both_alike_are_no_effect() -> None:
    boost = lr(10, "memorised")

    def losses(mine: Callable[[int], int], its: Callable[[int], int]) -> Runs:
        return {
            boost.name: [stored(boost, seed, 2000, falls=mine(seed)) for seed in range(6)],
            boost.control.name: [stored(boost.control, s, 2000, falls=its(s)) for s in range(6)],
        }

    assert ruled("correlated", losses(lambda s: 0, lambda s: 800)) == "contradicted"
    assert ruled("correlated", losses(lambda s: 800, lambda s: 800)) == "no effect"
    assert ruled("correlated", losses(lambda s: 800 * (s % 2), lambda s: 800 * (1 - s % 2))) == (
        "inconclusive"
    )


def test_c8_asks_of_the_best_boost_as_others_found_it() -> None:
    boosts = [b for b in BOOSTS["quick"] if (b.task, b.what) == ("group", "lr") and b.switch != "step 0"]
    boosts = [boost for boost in boosts if boost.factor > 1]
    never = {**pairs(boosts[:1], later(2500)), **pairs(boosts[1:], None)}
    assert ruled("no-boost-works", never) == "supported"
    one = {**pairs(boosts[1:], later(2500)), **pairs(boosts[:1], later(800))}
    assert ruled("no-boost-works", one) == "contradicted"
    found: dict[str, Sequence[Run]] = {}
    for lucky, boost in enumerate(boosts):  # each boost helps one seed, by chance
        found |= pairs([boost], lambda seed, lucky=lucky: 700 if seed == lucky else 2800 + 10 * seed)
    assert ruled("no-boost-works", found) == "supported"


def test_a_seed_that_had_grokked_before_its_switch_is_left_out_and_counted() -> None:
    boost = lr(10, "step 1,000")
    runs = pairs([boost], lambda seed: 800 if seed == 2 else 1400)
    found = verdict_of(STUDY, "never-converges-10", runs)
    assert (found.estimate.n, found.missing) == (5, {"grokked before its switch": 1})


def test_one_seed_has_no_interval() -> None:
    found = verdict_of(STUDY, "proportional-decay-too", pairs([lr(10, "onset")], 700, n=1))
    assert (found.ruling, found.estimate.n, found.estimate.is_known) == ("inconclusive", 1, False)


def test_the_figures_show_every_arm_and_can_be_aligned_at_the_switch() -> None:
    cases = (("addition", "memorised"), ("group", "onset"))
    boosts = [b for b in BOOSTS["quick"] if b != b.control and (b.task, b.switch) in cases]
    table = table_of(STUDY, pairs(boosts, later(1300), n=2, falls=200))
    figures = {figure.name: figure for figure in STUDY.answer(table).figures}
    drawn = set(figures["boost-map"].table["arm"])
    assert drawn >= {"lr × 10, rate × decay held", "decay × 10", "moments reset", "no-op"}
    curves = figures["boost-addition-at-memorised"]
    aligned = curves.plot.layout["updatemenus"][0]["buttons"][1]["args"][0]["x"]
    switches = [i for i, t in enumerate(curves.plot.data) if t.meta["layer"] == "switch"]
    assert switches
    assert {x for i in switches for x in aligned[i]} == {0}
    table = curves.table
    at_switch: Any = table[table["layer"] == "switch"]
    assert (at_switch["since_switch"] == 0).all()
    assert at_switch[["run", "seed"]].notna().to_numpy().all()
    survivals = figures["boost-survival"]
    for _, stairs in survivals.table.groupby(["panel", "series"]):
        assert stairs["share"].is_monotonic_decreasing
    stairs = [t for t in survivals.plot.data if t.mode == "lines"]
    named = set(survivals.table[["panel", "series"]].itertuples(index=False, name=None))
    assert {(t.meta["panel"], t.name) for t in stairs} == named
    assert {t.line.shape for t in stairs} == {"hv"}


def test_the_map_of_boosts_says_how_much_sooner_and_how_many_stay() -> None:
    boosts = [lr(10, "memorised"), lr(100, "memorised")]
    table = table_of(STUDY, pairs(boosts, later(1300), n=4))
    (figure,) = (f for f in STUDY.answer(table).figures if f.name == "boost-map")
    cells = {cell["arm"]: cell for cell in figure.table.to_dict("records")}
    assert list(cells) == ["no-op", "lr × 10", "lr × 100"]
    for cell in (cells["lr × 10"], cells["lr × 100"]):
        assert cell["decades_of_median"] == pytest.approx(np.log10(cell["median_speed_up"]))
        assert cell["low"] <= cell["log10_speed_up"] <= cell["high"]
        assert cell["text"].endswith(f"{cell['stay']}/{cell['seeds']}")
    (heat,) = figure.plot.data
    assert [z for (z,) in heat.z] == pytest.approx(figure.table["decades_of_median"].tolist(), rel=1e-4)


def test_nothing_is_drawn_or_ruled_without_runs() -> None:
    answer = STUDY.answer(table_of(STUDY, {}))
    assert answer.figures == ()
    assert {verdict.ruling for verdict in answer.verdicts} == {"open"}
