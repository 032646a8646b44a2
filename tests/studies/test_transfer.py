"""The transfer study on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.predicted import Predicted
from undergrowth.studies import transfer
from undergrowth.studies.transfer import (
    ALIKE,
    ASIDE,
    BALANCED,
    BALANCED_DEALT,
    COUNT,
    FREQUENCY,
    OFTEN,
    SHUFFLED,
    STUDY,
    WEIGHED,
    dealt,
    under,
)

STEPS = np.unique(np.geomspace(10, 10_000, 200).astype(int))
NEVER = 1_000_000.0
ARMS = {arm.name: arm for arm in STUDY.arms("quick")}


def run(arm: str, seed: int, learned: Sequence[float], reach: float = 1.0) -> Run:
    """A run whose subtasks are right from these steps on, the first half of them with a reach of so many
    times that of the last.
    """
    accuracy = np.where(STEPS[:, None] >= np.array(learned), 1.0, 0.5)
    reading = xr.DataArray(accuracy, {"step": STEPS}, ["step", "group"])
    spec = ARMS[arm].spec.replace(steps=int(STEPS[-1])).seeded(seed)
    curves = {"val_accuracy": [*accuracy.mean(axis=1)]}
    early = {"step": [0, 100, 200, 1000]}
    pushes = np.outer([9.0, 2.0, 4.0, 0.1], [reach] * 3 + [1.0] * 3)
    pushes[[0, 3], :3] = 7.0  # too early and too late to count
    made = MadeUpRun(
        spec,
        curves,
        [*map(int, STEPS)],
        group_accuracy_val=reading,
        routed_reach_group=xr.DataArray(pushes, early, ["step", "group"]),
    )
    made.__dict__["began"] = 1.0
    return made


def six(arm: str, last: float | Callable[[int], float], first: float = 300.0) -> Sequence[Run]:
    """Runs whose first half is learned at a step and whose last half at another, more or less."""
    at = [last(seed) if callable(last) else last for seed in range(6)]
    return [
        run(arm, seed, [first * (1 + seed / 50)] * 3 + [step * (1 + seed / 60)] * 3)
        for seed, step in enumerate(at)
    ]


KINDS = [OFTEN, WEIGHED, BALANCED, dealt(0.5), BALANCED_DEALT, ASIDE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("last", "said"),
    [
        (900.0, "supported"),
        (NEVER, "supported"),  # never, so later than it had
        (100.0, "contradicted"),
        (300.0, "no effect"),
        (lambda seed: (100.0, 900.0)[seed % 2], "inconclusive"),
    ],
)
def test_an_order_is_judged_beside_subtasks_that_are_alike(
    kind: str, last: float | Callable[[int], float], said: str
) -> None:
    runs = {kind: six(kind, last), ALIKE: six(ALIKE, 300.0)}
    assert ruling_of(STUDY, f"in order: {kind}", runs) == said


def test_what_subtasks_that_are_alike_differ_by_is_taken_away() -> None:
    runs = {OFTEN: six(OFTEN, 900.0), ALIKE: six(ALIKE, 900.0)}
    assert ruling_of(STUDY, f"in order: {OFTEN}", runs) == "no effect"


def test_the_statistic_is_the_ratio_of_geometric_means_of_the_halves() -> None:
    low, high = transfer.later(run(OFTEN, 0, [100, 200, 400, 1000, 2000, 4000]))  # type: ignore[misc]
    assert low == high == pytest.approx(1.0, abs=0.03)  # as fine as the evaluations
    steps, got = transfer.learned(run(OFTEN, 0, [100, NEVER, 400, 1000, 2000, 4000]))
    assert got.tolist() == [True, False, True, True, True, True]
    assert steps[1] == STEPS[-1]


def test_what_is_never_learned_is_a_bound_and_where_both_halves_lack_one_nothing_is_known() -> None:
    late = transfer.later(run(OFTEN, 0, [100, 100, 100, 100, 100, NEVER]))
    early = transfer.later(run(OFTEN, 0, [NEVER, 100, 100, 100, 100, 100]))
    assert not isinstance(late, transfer.Missing)
    assert not isinstance(early, transfer.Missing)
    assert late[0] == pytest.approx(2 / 3, abs=0.03)
    assert late[1] == np.inf
    assert early[0] == -np.inf
    assert early[1] == pytest.approx(-2 / 3, abs=0.03)
    runs = {OFTEN: [run(OFTEN, s, [NEVER] * 6) for s in range(6)], ALIKE: six(ALIKE, 300.0)}
    found = verdict_of(STUDY, f"in order: {OFTEN}", runs)
    assert found.estimate.n == 0
    assert found.missing == {transfer.NEITHER: 6}


def predicted_verdict(last: float, said: float | None):
    """Of the arm with more examples beside a stated number."""
    runs = {OFTEN: six(OFTEN, last), ALIKE: six(ALIKE, 300.0)}
    numbers = {} if said is None else {OFTEN: {"later": said}}
    table = replace(table_of(STUDY, runs), predicted=Predicted(0.0, numbers))
    endpoint = next(e for e in STUDY.endpoints("quick") if e.name == f"as predicted: {OFTEN}")
    return endpoint.verdict(table)


@pytest.mark.parametrize(
    ("last", "said"), [(815.0, "supported"), (300.0, "contradicted"), (3000.0, "contradicted")]
)
def test_the_size_of_the_order_is_held_against_the_number_stated_before(last: float, said: str) -> None:
    found = predicted_verdict(last, 0.434)
    assert found.rule.ruling(found.estimate) == said
    assert found.estimate.effect == pytest.approx(np.log10(last / 300) - 0.434, abs=0.03)


def test_without_a_number_stated_before_there_is_nothing_to_hold_it_against() -> None:
    assert predicted_verdict(815.0, None).missing == {"no number was predicted before the runs": 6}


def test_predicted_numbers_are_those_of_one_over_the_push() -> None:
    told = {name: numbers["later"] for name, numbers in transfer.predicted("quick").items()}
    zipf = np.log10([4, 5, 6]).mean() - np.log10([1, 2, 3]).mean()
    assert told[OFTEN] == pytest.approx(zipf, abs=1e-3)
    assert told[WEIGHED] == pytest.approx(zipf, abs=1e-12)
    assert told[BALANCED] == pytest.approx(0, abs=1e-3)
    assert told[ALIKE] == told[ASIDE] == 0
    assert told[BALANCED_DEALT] == pytest.approx(0, abs=1e-12)
    # three subtasks in one part, three in four: the routed gradient is sqrt((3 + 3/16) / 6) as long
    scale = np.sqrt(6 / (3 + 3 / 16))
    by_hand = np.log10((0.5 + 0.5 * scale) / (0.5 + 0.5 * scale / 4))
    assert told[dealt(0.5)] == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("reach", "said"), [(4.0, "supported"), (0.25, "contradicted"), (1.0, "no effect")]
)
def test_the_measured_reach_is_told_beside_the_order(reach: float, said: str) -> None:
    mine = [run(BALANCED, s, [300.0] * 6, reach * (1 + s / 100)) for s in range(6)]
    runs = {BALANCED: mine, ALIKE: six(ALIKE, 300.0)}
    assert ruling_of(STUDY, f"more reach: {BALANCED}", runs) == said
    assert transfer.more_reach(mine[0]) == pytest.approx(np.log10(reach), abs=1e-9)


@pytest.mark.parametrize(
    ("decayed", "said"), [(3000.0, "supported"), (300.0, "contradicted"), (900.0, "no effect")]
)
def test_decay_may_sharpen_the_order(decayed: float, said: str) -> None:
    runs = {OFTEN: six(OFTEN, 900.0), under("decay", OFTEN): six(under("decay", OFTEN), decayed)}
    assert ruling_of(STUDY, "decay sharpens the order", runs) == said


@pytest.mark.parametrize("name", [under("decay", OFTEN), under("Adam", OFTEN)])
def test_other_optimisers_have_their_own_control(name: str) -> None:
    control = under(name.partition(": ")[0], ALIKE)
    runs = {name: six(name, 900.0), control: six(control, 900.0), ALIKE: six(ALIKE, 300.0)}
    assert ruling_of(STUDY, f"in order: {name}", runs) == "no effect"


def test_nothing_is_learned_from_shuffled_labels_or_something_is() -> None:
    for learned, said in ((NEVER, "no effect"), (300.0, "supported")):
        runs = {SHUFFLED: six(SHUFFLED, learned, learned)}
        assert ruling_of(STUDY, "learned from shuffled labels", runs) == said


def test_a_run_that_diverged_has_no_value() -> None:
    runs = {OFTEN: list(six(OFTEN, 900.0)), ALIKE: six(ALIKE, 300.0)}
    runs[OFTEN][0].__dict__["status"] = "failed"
    assert verdict_of(STUDY, f"in order: {OFTEN}", runs).missing == {"diverged": 1}


def test_hypotheses_part_where_two_of_them_balance_and_without_decay() -> None:
    runs = {
        OFTEN: six(OFTEN, 900.0),
        WEIGHED: six(WEIGHED, 900.0),
        BALANCED: six(BALANCED, 300.0),
        ALIKE: six(ALIKE, 300.0),
    }
    scores = {
        (each.prediction.hypothesis, each.prediction.endpoint): each.score
        for each in STUDY.answer(table_of(STUDY, runs)).scores
    }
    for kind, right, wrong in (
        (OFTEN, (FREQUENCY, COUNT), ()),
        (WEIGHED, (FREQUENCY,), (COUNT,)),
        (BALANCED, (FREQUENCY,), (COUNT,)),
    ):
        assert {scores[name, f"in order: {kind}"] for name in right} == {"right"}
        assert all(scores[name, f"in order: {kind}"] == "wrong" for name in wrong)


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_the_study_fits_together(budget) -> None:
    STUDY.check(budget)
    arms = {arm.name: arm.spec for arm in STUDY.arms(budget)}
    named = {each for e in STUDY.endpoints(budget) for each in (e.arm, e.control) if each}
    assert named == set(arms)
    n_train = {spec.data().n_train for spec in arms.values()}
    assert len(n_train) == 1  # equal numbers of examples in all


def test_arms_differ_in_what_they_say_and_in_nothing_else() -> None:
    alike = ARMS[ALIKE].spec
    for name, fields in (
        (OFTEN, {"task"}),
        (WEIGHED, {"weights"}),
        (BALANCED, {"task", "weights"}),
        (dealt(0.5), {"interventions"}),
        (BALANCED_DEALT, {"interventions", "weights"}),
        (ASIDE, {"interventions"}),
        (SHUFFLED, {"task", "labels"}),
        (under("Adam", OFTEN), {"task", "optimiser"}),
    ):
        other = ARMS[name].spec
        assert {f for f in RunSpec.model_fields if getattr(other, f) != getattr(alike, f)} == fields


def test_figures_are_drawn_of_what_is_there() -> None:
    runs = {OFTEN: six(OFTEN, 900.0), ALIKE: six(ALIKE, NEVER)}
    steps, accuracy = STUDY.figures(table_of(STUDY, runs))
    assert (steps.name, accuracy.name) == ("transfer-steps", "transfer-accuracy")
    assert set(steps.table["learned"]) == {"yes", "not by the end"}
    assert len(steps.table) == 2 * 6 * 6
    assert not list(STUDY.figures(table_of(STUDY, {})))
