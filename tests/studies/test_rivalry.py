"""The rivalry study on runs whose answers are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import STEPS, MadeUpRun
from tests.studies.planted import table_of
from undergrowth.analysis.rivals import descent, flow
from undergrowth.engine import train
from undergrowth.engine.facts import Measured
from undergrowth.store import Run
from undergrowth.store.predicted import Predicted
from undergrowth.studies.rivalry import STUDY
from undergrowth.studies.rivalry.arms import (
    ADAM,
    DECAY_BOTH,
    DECAY_EQUAL,
    EQUAL_PUSH,
    ONE_RARE_LARGE,
    PLAIN,
    RIGGED,
    SIZES,
    WHOLE,
    WHOLE_EQUAL,
    late_arm,
    strips_arm,
)
from undergrowth.studies.rivalry.statistics import ratio, share
from undergrowth.studies.rivalry.theory import predicted, rivals_of

SPECS = {arm.name: arm.spec for arm in STUDY.arms("quick")}
STRIPS = strips_arm("SGD, full batch")
LATE = late_arm("two layers", "a hundredth")
SAID = {
    **{arm: {"ratio": 16.0} for arm in SPECS},
    EQUAL_PUSH: {"ratio": 1.0},
    STRIPS: {"exponent": 1.0},
    LATE: {"crosses": 100.0},
}


def made(seed: int, arm: str, at_end: np.ndarray) -> Run:
    """A run whose strengths go from where they begin to some at the last step."""
    spec = SPECS[arm].seeded(seed)
    begin = np.full(len(at_end), 0.1)
    values = np.linspace(0, 1, len(STEPS))[:, None] * (at_end - begin) + begin
    coords = {"step": list(STEPS), "parameter": ["strength"]}
    strength = xr.DataArray(values[:, None], coords, ("step", "parameter", "block"))
    curves = {"train_accuracy": [1.0] * len(STEPS), "val_accuracy": [1.0] * len(STEPS)}
    run = MadeUpRun(spec, curves, strength=strength)
    run.__dict__["began"] = 100.0
    return run


def rivals(seed: int, arm: str, r: float) -> Run:
    """A general circuit that gained r times what each trained look-up did; the others stand still. Under
    decay the strengths have that ratio.
    """
    spec = SPECS[arm].seeded(seed)
    trained = np.flatnonzero(spec.data().is_train)
    at_end = np.full(26, 0.1)
    has_decay = rivals_of(spec).has_decay
    at_end[trained] = 0.4
    at_end[-1] = r * 0.4 if has_decay else 0.1 + r * 0.3
    return made(seed, arm, at_end)


def strips(seed: int, power: float) -> Run:
    """Strips that gained by a power of how many training examples they serve."""
    is_train = SPECS[STRIPS].seeded(seed).data().is_train
    ends = np.cumsum((0, *SIZES))
    served = np.array([is_train[a:b].sum() for a, b in pairwise(ends.tolist())])
    return made(seed, STRIPS, 0.1 + 1e-3 * np.maximum(served, 0.5) ** power)


def six(arm: str, r: float | Callable[[int], float]) -> Sequence[Run]:
    return [rivals(s, arm, (r(s) if callable(r) else r) * (1 + s / 1000)) for s in range(6)]


def verdict(endpoint: str, runs: Mapping[str, Sequence[Run]], numbers: Any = SAID) -> Any:
    table = replace(table_of(STUDY, runs), predicted=Predicted(50.0, numbers) if numbers else None)
    found = next(each for each in STUDY.endpoints("quick") if each.name == endpoint)
    return found.verdict(table)


MIXED = lambda seed: (0.2, 16.0)[seed % 2]  # noqa: E731


@pytest.mark.parametrize(
    ("equal_push", "said"),
    [(1.0, "supported"), (16.0, "no effect"), (1e4, "no effect"), (MIXED, "inconclusive")],
)
def test_what_an_equal_push_takes_away(equal_push: Any, said: str) -> None:
    runs = {PLAIN: six(PLAIN, 16.0), EQUAL_PUSH: six(EQUAL_PUSH, equal_push)}
    assert verdict("summed-push", runs).ruling == said


def test_a_push_that_helps_the_shallow_contradicts_the_claim() -> None:
    runs = {PLAIN: six(PLAIN, 0.5), EQUAL_PUSH: six(EQUAL_PUSH, 4.0)}
    assert verdict("summed-push", runs).ruling == "contradicted"


@pytest.mark.parametrize(
    ("r", "said"),
    [
        (16.0, "supported"),
        (1 / 16, "contradicted"),
        (1.0, "no effect"),
        (1.05, "no effect"),
        (MIXED, "inconclusive"),
    ],
)
def test_who_is_ahead_at_an_equal_cost_of_norm(r: Any, said: str) -> None:
    assert verdict("norm-cost-equalised", {DECAY_EQUAL: six(DECAY_EQUAL, r)}).ruling == said


def test_a_rigged_arm_wins_and_a_tie_is_an_equivalence() -> None:
    runs = {RIGGED: six(RIGGED, 10.0), EQUAL_PUSH: six(EQUAL_PUSH, 1.0)}
    assert verdict("rigged", runs).ruling == "supported"
    assert verdict("tie-at-equal-push", runs).ruling == "no effect"
    wide = {EQUAL_PUSH: six(EQUAL_PUSH, lambda seed: (0.8, 1.25)[seed % 2])}
    assert verdict("tie-at-equal-push", wide).ruling == "inconclusive"  # the interval covers 0


@pytest.mark.parametrize(
    ("r", "said"), [(16.1, "supported"), (20.0, "contradicted"), (MIXED, "inconclusive")]
)
def test_a_ratio_beside_the_one_predicted(r: Any, said: str) -> None:
    found = verdict(f"as predicted: {PLAIN}", {PLAIN: six(PLAIN, r)})
    assert found.ruling == said
    assert "before its first run" in found.note


@pytest.mark.parametrize(("power", "said"), [(1.0, "supported"), (0.5, "contradicted")])
def test_an_exponent_beside_the_one_predicted(power: float, said: str) -> None:
    runs = {STRIPS: [strips(s, power * (1 + s / 1000)) for s in range(6)]}
    assert verdict(f"as predicted: {STRIPS}", runs).ruling == said


def late(seed: int, at: float, *, gets_there: bool = True) -> Run:
    """A general circuit of two equal factors whose strength reaches that of the look-ups at a step."""
    spec = SPECS[LATE].seeded(seed)
    steps, n_blocks = [0, 10, 1_000], len(spec.model.circuits.cells) + 1  # pyright: ignore[reportAttributeAccessIssue]
    at_10 = 0.001 + (0.1 - 0.001) * 10 / at
    general = np.array([0.001, at_10, at_10 + (0.1 - at_10) / (at - 10) * (990 if gets_there else 0)])
    values = np.zeros((3, 2, n_blocks))
    values[:, 0] = 0.1
    values[:, :, -1] = np.sqrt(general)[:, None]
    coords = {"step": steps, "parameter": ["strength", "factors.0"]}
    curves = {"train_accuracy": [1.0] * len(STEPS), "val_accuracy": [1.0] * len(STEPS)}
    strength = xr.DataArray(values, coords, ("step", "parameter", "block"))
    run = MadeUpRun(spec, curves, strength=strength)
    run.__dict__["began"] = 100.0
    return run


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (lambda s: 100 * (1 + s / 1000), "supported"),
        (lambda s: 120 * (1 + s / 1000), "contradicted"),
        (lambda s: (80, 120)[s % 2], "inconclusive"),
    ],
)
def test_when_the_general_circuit_overtakes_beside_the_step_predicted(at: Any, said: str) -> None:
    runs = {LATE: [late(seed, at(seed)) for seed in range(6)]}
    assert verdict("overtakes as predicted: two layers, a hundredth", runs).ruling == said


def test_one_that_never_overtakes_is_censored_not_dropped() -> None:
    runs = {LATE: [late(seed, 100, gets_there=False) for seed in range(6)]}
    found = verdict("overtakes as predicted: two layers, a hundredth", runs)
    assert found.estimate.n == 6
    assert found.values[0] == (pytest.approx(1.0), np.inf)


def test_engine_and_theory_agree_step_by_step_on_a_circuit_of_two_layers() -> None:
    spec = SPECS[LATE].replace(steps=100)
    facts = [fact for _, fact in train([spec], [None])]
    read = [fact for fact in facts if isinstance(fact, Measured) and "strength" in fact.readings]
    found = {each.step: each.readings["strength"].values for each in read}
    rivals, trained = rivals_of(spec), np.flatnonzero(spec.data().is_train)
    s, v = descent(rivals, "sgd", spec.optimiser.lr, sorted(found))
    for i, step in enumerate(sorted(found)):
        assert np.prod(found[step][:, -1]) == pytest.approx(s[i, 0], rel=1e-4)
        assert found[step][0, trained].mean() == pytest.approx(v[i, 0], rel=1e-4)


def parts(seed: int, arm: str, share: float) -> Run:
    """All blocks together came to add 1 to the logit, of which the general one a share."""
    part = np.zeros((2, 2, 26))
    part[1, 0, -1], part[1, 0, :-1] = share, (1 - share) / 25
    coords = {"step": [0, STEPS[-1]], "side": ["train", "val"]}
    curves = {"train_accuracy": [1.0] * len(STEPS), "val_accuracy": [1.0] * len(STEPS)}
    part_mean = xr.DataArray(part, coords, ("step", "side", "block"))
    return MadeUpRun(SPECS[arm].seeded(seed), curves, part_mean=part_mean)


@pytest.mark.parametrize(
    ("full", "equal", "said"),
    [
        (0.9, 0.5, "supported"),
        (0.5, 0.9, "contradicted"),
        (0.9, 0.9, "no effect"),
        (0.9, (0.1, 0.95), "inconclusive"),
    ],
)
def test_what_an_equal_push_takes_away_from_trained_weights(full: float, equal: Any, said: str) -> None:
    shares = equal if isinstance(equal, tuple) else (equal, equal + 0.01)
    runs = {
        WHOLE: [parts(s, WHOLE, full) for s in range(6)],
        WHOLE_EQUAL: [parts(s, WHOLE_EQUAL, shares[s % 2]) for s in range(6)],
    }
    assert verdict("summed-push-on-weights", runs).ruling == said


def test_without_numbers_stated_before_there_is_nothing_to_compare_with() -> None:
    found = verdict(f"as predicted: {PLAIN}", {PLAIN: six(PLAIN, 16.0)}, None)
    assert found.estimate.n == 0
    assert found.missing == {"no number was predicted before the runs": 6}
    late = replace(table_of(STUDY, {PLAIN: six(PLAIN, 16.0)}), predicted=Predicted(150.0, SAID))
    assert "after 6 of its runs had begun" in late.said_of_predictions


def test_a_general_circuit_of_which_decay_left_nothing_has_no_share_and_no_logarithm() -> None:
    lost = rivals(0, DECAY_EQUAL, 0.0)
    assert share(lost) == 0
    assert "decay has left nothing" in getattr(ratio(lost), "why", "")


def test_look_ups_that_gained_nothing_give_no_ratio() -> None:
    still = made(0, PLAIN, np.full(26, 0.1))
    assert "gained nothing" in getattr(ratio(still), "why", "")
    assert "gained nothing" in getattr(share(still), "why", "")


def test_the_numbers_predicted_are_those_of_the_flow_and_of_the_arms() -> None:
    said = predicted("quick")
    assert set(said) == set(SPECS) - {WHOLE, WHOLE_EQUAL}
    for arm, r in ((PLAIN, 16.0), (EQUAL_PUSH, 1.0), (RIGGED, 10.0), (DECAY_EQUAL, 1.0), (ADAM, 1.0)):
        assert said[arm]["ratio"] == pytest.approx(r, rel=1e-3), arm
    assert said[ONE_RARE_LARGE]["ratio"] == pytest.approx(16.0, rel=0.1)
    rivals, lr = rivals_of(SPECS[DECAY_BOTH]), SPECS[DECAY_BOTH].optimiser.lr
    s, v = flow(rivals, [0.0, lr * SPECS[DECAY_BOTH].steps])
    assert said[DECAY_BOTH]["ratio"] == pytest.approx(s[-1] / v[-1])
    assert said[STRIPS]["exponent"] == pytest.approx(1.0)
    assert 0.2 < said[strips_arm("Adam, batches of 8")]["exponent"] < 0.6


@pytest.mark.parametrize("budget", ["quick", "standard"])
def test_the_study_fits_together(budget: Any) -> None:
    STUDY.check(budget)
    endpoints = STUDY.endpoints(budget)
    assert [each.name for each in endpoints if each.is_primary] == ["summed-push", "norm-cost-equalised"]


def test_figures_have_a_panel_for_each_arm_with_what_was_predicted() -> None:
    runs = {PLAIN: six(PLAIN, 16.0), STRIPS: [strips(s, 1.0) for s in range(2)]}
    numbers = predicted("quick")
    table = replace(table_of(STUDY, runs), predicted=Predicted(50.0, numbers))
    shares, growth = STUDY.answer(table).figures
    assert set(shares.table["panel"]) == {PLAIN}
    assert set(shares.table["line"]) == {"observed", "predicted"}
    assert set(growth.table["layer"]) == {"seed", "theory"}
