from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from tests import tiny
from undergrowth.models import state_dict
from undergrowth.training.interventions import (
    AtStep,
    NoOp,
    ScaleLearningRate,
    SetWeightDecay,
    WhenCrosses,
    hyperparams,
)
from undergrowth.training.optimisers import SGD, AdamW

ADAMW = AdamW(lr=0.01, weight_decay=0.5)
OPTIMISERS = [ADAMW, SGD(lr=0.1, momentum=0.9, weight_decay=0.5, warmup_steps=0)]
ACTIONS = [NoOp(), ScaleLearningRate(factor=3), SetWeightDecay(weight_decay=2)]

every_optimiser = pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda o: o.name)


def state_of(optimiser: AdamW | SGD) -> Any:
    return jax.tree.map(jax.numpy.asarray, optimiser.build().init(tiny.made(tiny.MLP)))


def curve(*values: float) -> list[tuple[int, float]]:
    return [(10 * i, value) for i, value in enumerate(values)]


def test_at_step_fires_at_its_step_alone() -> None:
    trigger = AtStep(step=7)
    assert [step for step in range(20) if trigger.fires(step, {})] == [7]


@pytest.mark.parametrize(
    ("direction", "evaluations", "values", "fires"),
    [
        ("above", 1, (0.1, 0.5), True),
        ("above", 1, (0.1, 0.49), False),
        ("above", 1, (0.9, 0.4), False),
        ("above", 2, (0.1, 0.6), False),
        ("above", 2, (0.5, 0.6), True),
        ("above", 2, (0.6, 0.4, 0.6), False),
        ("above", 3, (0.6, 0.7), False),
        ("below", 1, (0.9, 0.5), True),
        ("below", 1, (0.9, 0.51), False),
        ("below", 2, (0.4, 0.9, 0.4), False),
        ("below", 2, (0.9, 0.4, 0.3), True),
        ("below", 1, (float("nan"),), False),
        ("above", 1, (), False),
    ],
)
def test_when_crosses_needs_the_level_for_so_many_evaluations_in_a_row(
    direction: str, evaluations: int, values: tuple[float, ...], fires: bool
) -> None:
    trigger = WhenCrosses.model_validate(
        {
            "reading": "train_loss",
            "direction": direction,
            "level": 0.5,
            "evaluations": evaluations,
        }
    )
    now = 10 * (len(values) - 1)
    assert trigger.fires(now, {"train_loss": curve(*values)}) is fires


def test_when_crosses_fires_only_at_an_evaluation() -> None:
    trigger = WhenCrosses(reading="val_accuracy", level=0.5)
    curves = {"val_accuracy": curve(0.1, 0.9)}
    assert trigger.fires(10, curves)
    assert not trigger.fires(13, curves)


def test_when_crosses_reads_the_curve_that_it_names() -> None:
    trigger = WhenCrosses(reading="val_accuracy", level=0.5)
    assert not trigger.fires(10, {"train_accuracy": curve(0.9, 0.9)})
    assert not trigger.fires(10, {"train_accuracy": curve(1, 1), "val_accuracy": curve(0, 0)})


@every_optimiser
def test_a_no_op_changes_nothing(optimiser: AdamW | SGD) -> None:
    state = state_of(optimiser)
    assert NoOp().act(state) is state


@every_optimiser
def test_scaling_the_learning_rate_scales_it_alone(optimiser: AdamW | SGD) -> None:
    before = state_of(optimiser)
    after = ScaleLearningRate(factor=3).act(before)
    expected = {**hyperparams(before), "learning_rate": 3 * optimiser.lr}
    assert hyperparams(after) == pytest.approx(expected, rel=1e-6)


@every_optimiser
@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_the_pull_of_the_decay_is_kept_when_asked(optimiser: AdamW | SGD, factor: float) -> None:
    before = state_of(optimiser)
    after = hyperparams(ScaleLearningRate(factor=factor, keep_decay_pull=True).act(before))
    assert after["learning_rate"] == pytest.approx(factor * optimiser.lr)
    pull = after["learning_rate"] * after["weight_decay"]
    assert pull == pytest.approx(optimiser.lr * optimiser.weight_decay)


@every_optimiser
def test_setting_the_weight_decay_sets_it_alone(optimiser: AdamW | SGD) -> None:
    before = state_of(optimiser)
    after = SetWeightDecay(weight_decay=2).act(before)
    assert hyperparams(after) == pytest.approx({**hyperparams(before), "weight_decay": 2})


@every_optimiser
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_leaves_moments_counters_types_and_the_given_state_alone(
    action: NoOp | ScaleLearningRate | SetWeightDecay, optimiser: AdamW | SGD
) -> None:
    state = state_of(optimiser)
    before = state_dict(state)
    after = action.act(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.dtype, old.shape, old.weak_type) == (new.dtype, new.shape, new.weak_type)
    for name, array in state_dict(after).items():
        if "hyperparams" not in name:
            assert (array == before[name]).all()
    assert all((array == before[name]).all() for name, array in state_dict(state).items())


def test_hyper_parameters_are_found_beneath_a_warm_up_too() -> None:
    assert np.isclose(hyperparams(state_of(AdamW(warmup_steps=9)))["b2"], 0.98)
    assert np.isclose(hyperparams(state_of(AdamW(warmup_steps=0)))["b2"], 0.98)
