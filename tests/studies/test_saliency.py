"""The saliency study on runs whose answers are known; every endpoint can come out either way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, made_up, over_neurons
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.measures import SIDES
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.studies import small_arms
from undergrowth.studies.saliency import STUDY
from undergrowth.studies.small_arms import ATTRIBUTIONS, CHEAP, MAIN, control_of

EVEN, UNEVEN = [1.0, 1.1, 0.9, 1.0], [0.1, 0.1, 0.1, 9.0]  # skewness about 0, and 1.15
FLAT = [0.0] * len(STEPS)
BUDGETS = ("quick", "standard", "full")


def on_sides(by_step: Sequence[float]) -> xr.DataArray:
    """A reading [step, side]."""
    coords = {"step": list(STEPS), "side": list(SIDES)}
    return xr.DataArray(np.repeat(np.array([by_step]).T, 2, axis=1), coords, ("step", "side"))


def shares(general: Sequence[float]) -> xr.DataArray:
    """Shapley values of two equal neurons: validation gets a share of the training centred logit."""
    train = np.ones((len(STEPS), 2))
    both = np.stack([train, train * np.asarray(general)[:, None]], axis=1)
    return xr.DataArray(both, {"step": list(STEPS), "side": list(SIDES)}, ("step", "side", "neuron"))


def run(
    seed: int,
    arm: str = MAIN,
    *,
    neurons: Sequence[Sequence[float]] | None = None,
    few: Sequence[float] = FLAT,
    general: Sequence[float] = FLAT,
    grokked: int | None = 3,
) -> Run:
    """A run of an arm: its neurons' median saliency and their breadth, a tenth of it, at each step."""
    spec = next(each.spec for each in STUDY.arms("standard") if each.name == arm)
    by_step = over_neurons(neurons or [EVEN] * len(STEPS))
    of = {"median": by_step, "breadth": by_step / 10, "by_few": on_sides(few)}
    readings: dict[str, Any] = {f"{prefix}_{name}": of[name] for prefix in ATTRIBUTIONS for name in of}
    readings["shapley_centred_logit_mean"] = shares(general)
    level = 0.5 if arm.startswith("sparse parity") else 0.02
    return made_up(seed, spec.labels, base=spec, grokked=grokked, level=level, **readings)


def ending(last: Sequence[float], at: int = len(STEPS) - 1) -> Callable[[int], list[list[float]]]:
    """Neurons that are even until a step, from which on they are as given, a little more each seed."""

    def neurons(seed: int) -> list[list[float]]:
        late = [*last[:2], last[2] + seed / 200, last[3]]
        return [EVEN if i < at else late for i in range(len(STEPS))]

    return neurons


def pair(arm: str, true: Callable[[int], Run], control: Callable[[int], Run], n: int = 4):
    return {arm: [true(s) for s in range(n)], control_of(arm): [control(s) for s in range(n)]}


def with_neurons(arm: str, mine, its, n: int = 4) -> dict[str, list[Run]]:
    return pair(
        arm,
        lambda seed: run(seed, arm, neurons=mine(seed)),
        lambda seed: run(seed, control_of(arm), neurons=its(seed), grokked=None),
        n,
    )


@pytest.mark.parametrize("budget", BUDGETS)
def test_its_parts_fit_one_another(budget) -> None:
    STUDY.check(budget)
    primary = {e.claim: e for e in STUDY.endpoints(budget) if e.is_primary}
    assert set(primary) == {"P15", "P16"}
    assert {e.arm for e in primary.values()} == {MAIN}
    assert {bool(e.waits_for) for e in primary.values()} == {budget != "full"}


def test_the_full_budget_has_nandas_own_setting() -> None:
    own = preset("nanda2023")
    specs = {arm.name: arm.spec for arm in STUDY.arms("full")}
    said = {"measures": own.measures, "checkpoints": own.checkpoints, "steps": own.steps}
    assert specs[MAIN].replace(**said) == own
    assert specs[control_of(MAIN)] == specs[MAIN].replace(labels="shuffled")
    seeds = Counter(e.part.arm for e in STUDY.planned("full") if e.part.arm in (MAIN, control_of(MAIN)))
    assert set(seeds.values()) == {16}
    assert {measure.name for measure in specs[MAIN].measures} >= {"saliency", "deletion", "generality"}


RISES = {
    "supported": (lambda s: 0.5 + s / 100, lambda s: 0.1),
    "contradicted": (lambda s: 0.0, lambda s: 0.5 + s / 100),
    "no effect": (lambda s: 0.3 + s / 100, lambda s: 0.3 - s / 100),
    "inconclusive": (lambda s: 0.2 + s / 5, lambda s: 0.2),
}


@pytest.mark.parametrize("said", RISES)
def test_p15_is_the_rise_of_the_share_of_examples_by_few_neurons(said: str) -> None:
    mine, its = RISES[said]

    def of(arm: str, rise: Callable[[int], float]) -> Callable[[int], Run]:
        return lambda seed: run(seed, arm, few=[0.9, 0.1, 0.7, 0.1, 0.1, 0.1 + rise(seed)])

    runs = pair(MAIN, of(MAIN, mine), of(control_of(MAIN), its))
    assert ruling_of(STUDY, "by-few-train", runs) == said
    found = verdict_of(STUDY, "by-few-train", runs).estimate
    assert found.effect == pytest.approx(np.mean([mine(s) - its(s) for s in range(4)]))


def test_a_primary_endpoint_says_where_it_was_highest_and_what_it_waits_for() -> None:
    runs = {MAIN: [run(seed, few=[0.9, 0.1, 0.95, 0.1, 0.1, 0.1]) for seed in range(4)]}
    found = verdict_of(STUDY, "by-few-train", runs)
    assert found.note == "Highest near step 200 (0.95), 0.1 at the end."
    assert found.ruling == "open"


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        (ending(UNEVEN, 3), ending(EVEN), "supported"),
        (ending(EVEN), ending(UNEVEN), "contradicted"),
        (ending(UNEVEN, 3), ending(UNEVEN), "no effect"),
        (lambda s: ending(UNEVEN if s % 2 else EVEN, 3)(s), ending(EVEN), "inconclusive"),
    ],
)
@pytest.mark.parametrize("side", SIDES)
def test_p16_is_the_rise_of_skewness_until_grokked(mine, its, said: str, side: str) -> None:
    runs = with_neurons(MAIN, mine, its)
    assert ruling_of(STUDY, f"skewness-{side}-when-grokked", runs) == said


def test_skewness_that_comes_after_grokking_counts_only_at_the_end() -> None:
    runs = with_neurons(MAIN, ending(UNEVEN, 5), ending(EVEN))
    assert ruling_of(STUDY, "skewness-train-when-grokked", runs) == "no effect"
    assert ruling_of(STUDY, "skewness-train", runs) == "supported"


def test_a_seed_that_never_groks_is_missing_from_p16_and_bounds_it() -> None:
    runs = with_neurons(MAIN, ending(UNEVEN, 3), ending(EVEN))
    runs[MAIN].append(run(4, neurons=ending(UNEVEN, 3)(4), grokked=None))
    found = verdict_of(STUDY, "skewness-train-when-grokked", runs)
    assert (found.estimate.n, found.estimate.n_control) == (4, 4)
    assert found.missing == {"never memorised, or never grokked": 1}
    assert found.worst_case is not None


def test_runs_without_the_reading_are_said_to_lack_it() -> None:
    found = verdict_of(STUDY, "by-few-train", {MAIN: [made_up(0)], control_of(MAIN): [made_up(1)]})
    assert found.missing == {"has no saliency_by_few": 2}


WIDE, LITTLE_WIDER = [3.0, 3.0, 3.0, 3.0], [1.1, 1.1, 1.1, 1.2]


@pytest.mark.parametrize(
    ("name", "mine", "its", "said"),
    [
        ("breadth-train", WIDE, EVEN, "supported"),
        ("breadth-val", EVEN, WIDE, "contradicted"),
        ("breadth-train", LITTLE_WIDER, EVEN, "no effect"),
        ("gini-val", UNEVEN, EVEN, "supported"),
        ("gini-val", EVEN, UNEVEN, "contradicted"),
        ("gini-val", EVEN, EVEN, "no effect"),
    ],
)
def test_breadth_and_gini_rise_or_not(name: str, mine, its, said: str) -> None:
    assert ruling_of(STUDY, name, with_neurons(MAIN, ending(mine), ending(its))) == said


def test_each_arm_is_held_against_its_own_control_by_every_attribution() -> None:
    arms = {
        CHEAP: (UNEVEN, EVEN, "supported"),
        "no decay": (EVEN, UNEVEN, "contradicted"),
        "Muon": (UNEVEN, UNEVEN, "no effect"),
    }
    runs = {}
    for arm, (mine, its, _) in arms.items():
        runs |= with_neurons(arm, ending(mine), ending(its), 3)
    table = table_of(STUDY, runs, "standard")
    verdicts = {verdict.endpoint: verdict for verdict in STUDY.answer(table).verdicts}
    for arm, (*_, said) in arms.items():
        for side in SIDES:
            of = [f"skewness-{side}, {arm}{a}" for a in ("", *(f", {p}" for p in ATTRIBUTIONS))]
            assert {verdicts[name].ruling for name in of if name in verdicts} == {said}
            assert sum(name in verdicts for name in of) == len(ATTRIBUTIONS)
    assert verdicts["skewness-train, sparse parity"].ruling == "open"


def test_a_smaller_budget_leaves_to_a_larger_one_only_what_a_prediction_needs() -> None:
    trained = {arm.name for arm in STUDY.arms("quick")}
    left = [e for e in STUDY.endpoints("quick") if e.arm not in trained]
    assert left
    assert {e.name for e in left} <= {prediction.endpoint for prediction in STUDY.predictions}
    assert {e.waits_for for e in left} == {"a larger budget, which trains this arm"}


def p10(general: Sequence[float], grokked: int | None = 3, arm: str = CHEAP) -> list:
    given = [[share ** (1 + seed / 20) for share in general] for seed in range(6)]
    runs = {arm: [run(seed, arm, general=g, grokked=grokked) for seed, g in enumerate(given)]}
    return [verdict_of(STUDY, f"{e}, {arm}", runs, "standard") for e in ("both-midway", "gradual")]


def test_both_parts_midway_and_a_wide_rise_support_p10() -> None:
    both, gradual = p10([0, 0.05, 0.4, 0.5, 0.7, 0.9])
    assert (both.ruling, gradual.ruling) == ("supported", "supported")
    assert both.estimate.effect == pytest.approx(0.36, abs=0.03)
    assert both.says.endswith("% of the centred logit")


def test_a_sudden_switch_with_one_part_at_a_time_contradicts_p10() -> None:
    both, gradual = p10([0, 0.01, 0.94, 0.97, 0.98, 0.99])
    assert (both.ruling, gradual.ruling) == ("contradicted", "contradicted")


def test_a_share_that_rises_as_accuracy_does_is_no_more_gradual() -> None:
    assert p10([0.02, 0.02, 0.5, 1.0, 1.0, 1.0])[1].ruling != "supported"


def test_a_share_that_does_not_rise_is_no_wider_than_accuracy() -> None:
    gradual = p10([0.5] * len(STEPS))[1]
    assert set(gradual.values.values()) == {(-np.inf, 0.0)}
    assert gradual.ruling == "inconclusive"


def test_seeds_that_never_grok_say_nothing_of_p10() -> None:
    both, gradual = p10([0, 0.1, 0.3, 0.5, 0.7, 0.9], grokked=None)
    assert both.missing == {"no reading midway": 6}
    assert gradual.missing == {"validation accuracy does not rise": 6}
    assert {both.ruling, gradual.ruling} == {"inconclusive"}


def test_chance_is_not_midway_of_parity() -> None:
    both, _ = p10([0.5] * len(STEPS), arm="sparse parity")  # 0.5, then 1: never between
    assert both.missing == {"no reading midway": 6}


def test_any_of_the_runs_are_answered_and_drawn() -> None:
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
    runs = with_neurons(MAIN, ending(UNEVEN), ending(EVEN), 2)
    runs |= with_neurons(CHEAP, ending(UNEVEN), ending(EVEN), 2)
    for some in ({MAIN: runs[MAIN][:1]}, {control_of(CHEAP): runs[control_of(CHEAP)]}):
        rulings = {v.ruling for v in STUDY.answer(table_of(STUDY, some)).verdicts}
        assert rulings <= {"inconclusive", "open"}
    drawn = STUDY.answer(table_of(STUDY, runs)).figures
    assert [figure.name for figure in drawn] == [
        "saliency_histogram",
        "concentration",
        "breadth",
        "saliency_by_arm",
        "general_share",
    ]
    assert len(drawn[3].table) == 5 + 5 + 3 * 4


def test_every_small_arm_has_a_control_that_differs_in_its_labels_alone() -> None:
    by_name = {arm.name: arm for arm in small_arms.arms("full")}
    for name in (MAIN, *small_arms.ARMS):
        control = by_name[control_of(name)]
        assert control.role == "control"
        assert control.spec == by_name[name].spec.replace(labels="shuffled")
