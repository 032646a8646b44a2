"""Every optimiser's steps against the papers' formulas, its rate and its decay by themselves too."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.training.optimisers.by_hand import by_hand
from tests.training.optimisers.suite import (
    EVERY,
    GRADIENTS,
    KINDS,
    WEIGHTS,
    by_optax,
    every_optimiser,
    named,
    state_of,
    updated,
)
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Constant,
    Cosine,
    GrokfastEMA,
    Muon,
    NoFilter,
    OrthogonalGradient,
    SignSGD,
)


@every_optimiser
def test_an_optimiser_takes_the_papers_steps(optimiser: AnyOptimiser) -> None:
    path = by_optax(optimiser)
    loose = 10 if isinstance(optimiser, Muon) else 1  # the quintic multiplies rounding by up to 485
    for name in WEIGHTS:
        for step, expected in zip(path, by_hand(optimiser, name), strict=True):
            np.testing.assert_allclose(step[name], expected, rtol=2e-5 * loose, atol=2e-6 * loose)
        assert np.abs(path[-1][name] - WEIGHTS[name]).max() > 1e-3


def test_every_kind_of_optimiser_is_in_the_suite_and_in_the_union() -> None:
    assert {type(optimiser) for optimiser in EVERY} == set(KINDS)
    assert {type(o.filter) for o in EVERY} == {NoFilter, GrokfastEMA, OrthogonalGradient}
    assert {type(o.annealing) for o in EVERY} == {Constant, Cosine}


def test_warm_up_rises_linearly_from_the_first_step() -> None:
    sgd = SGD(warmup_steps=4, lr=1.0)
    path = [WEIGHTS, *by_optax(sgd)]
    sizes = [
        np.abs(after["b"] - before["b"]).max() / np.abs(gradient["b"]).max()
        for before, after, gradient in zip(path[:6], path[1:7], GRADIENTS[:6], strict=True)
    ]
    np.testing.assert_allclose(sizes, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)


def test_annealing_begins_after_the_warm_up_and_ends_at_its_final_share() -> None:
    sgd = SGD(warmup_steps=4, lr=1.0, annealing=Cosine(steps=8, final=0.1))
    path = [WEIGHTS, *by_optax(sgd)]
    sizes = [
        np.abs(after["W_E"] - before["W_E"]).max() / np.abs(gradient["W_E"]).max()
        for before, after, gradient in zip(path[:-1], path[1:], GRADIENTS, strict=True)
    ]
    np.testing.assert_allclose(sizes[:4], [0.25, 0.5, 0.75, 1], rtol=1e-5)
    assert sizes[7] == pytest.approx(0.55, rel=1e-4)  # half of the way
    np.testing.assert_allclose(sizes[11:], 0.1, rtol=1e-4)
    assert (np.diff(sizes[3:12]) < 0).all()


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamW(warmup_steps=0, lr=0.1, weight_decay=0.5),
        SGD(warmup_steps=0, lr=0.1, weight_decay=0.5),
        SignSGD(warmup_steps=0, lr=0.1, weight_decay=0.5),
        Muon(warmup_steps=0, lr=0.1, weight_decay=0.5, adam_lr=0.1, adam_weight_decay=0.5),
        Muon(warmup_steps=0, lr=0.05, weight_decay=1.0, adam_lr=0.2, adam_weight_decay=0.25),
    ],
    ids=named,
)
def test_without_a_gradient_decay_shrinks_all_weights_by_the_learning_rate_times_itself(
    optimiser: AnyOptimiser,
) -> None:
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    after, _ = updated(optimiser.skeleton(), none, state_of(optimiser), WEIGHTS)
    for name, weight in WEIGHTS.items():
        np.testing.assert_allclose(after[name], weight * (1 - 0.05), rtol=1e-6)


def test_decay_to_init_pulls_to_the_weights_that_training_began_with() -> None:
    optimiser = AdamW(warmup_steps=0, lr=0.1, weight_decay=0.5, decay_to="init")
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    state = state_of(optimiser)
    at_start, state = updated(optimiser.skeleton(), none, state, WEIGHTS)
    away = {name: weight + 1 for name, weight in WEIGHTS.items()}
    nearer, _ = updated(optimiser.skeleton(), none, state, away)
    for name, weight in WEIGHTS.items():
        assert (np.asarray(at_start[name]) == weight).all()
        np.testing.assert_allclose(nearer[name], weight + 0.95, rtol=1e-5)


def test_adams_own_decay_is_divided_by_the_gradients_size_and_adamws_is_not() -> None:
    none = jax.tree.map(np.zeros_like, WEIGHTS)
    adam = Adam(warmup_steps=0, lr=0.1, weight_decay=0.5, eps=1e-12)
    after, _ = updated(adam.skeleton(), none, state_of(adam), WEIGHTS)
    for name, weight in WEIGHTS.items():
        np.testing.assert_allclose(after[name], weight - 0.1 * np.sign(weight), rtol=1e-4, atol=1e-6)
