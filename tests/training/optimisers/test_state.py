"""What is in an optimiser's state, and what a change of it changes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from tests import tiny
from tests.training.optimisers.suite import (
    ADAMWS,
    FILTERED,
    GRADIENTS,
    KINDS,
    MUONS,
    WEIGHTS,
    every_optimiser,
    named,
    state_of,
    states_and_weights,
    updated,
)
from undergrowth.models import load_state_dict, state_dict
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Cosine,
    GrokfastEMA,
    Muon,
    SignSGD,
    has_hyperparam,
    hyperparams,
    reset_moments,
    with_hyperparams,
)


@every_optimiser
def test_a_skeleton_builds_the_same_state_and_is_its_own_skeleton(optimiser: AnyOptimiser) -> None:
    skeleton = optimiser.skeleton()
    assert skeleton.skeleton() == skeleton
    assert hash(skeleton) == hash(skeleton.skeleton())
    mine, its = (optimiser.build().init(WEIGHTS), skeleton.build().init(WEIGHTS))
    assert jax.tree.structure(mine) == jax.tree.structure(its)
    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(its), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


@every_optimiser
def test_hyper_parameters_are_in_the_traced_state_by_their_names(optimiser: AnyOptimiser) -> None:
    found = hyperparams(state_of(optimiser))
    expected: dict[str, float] = {"learning_rate": optimiser.lr, "weight_decay": optimiser.weight_decay}
    if isinstance(optimiser, Adam | AdamW):
        expected |= {"b1": optimiser.betas[0], "b2": optimiser.betas[1], "eps": optimiser.eps}
    if isinstance(optimiser, SGD):
        expected |= {"momentum": optimiser.momentum}
    if isinstance(optimiser, Muon):
        expected |= {
            "beta": optimiser.beta,
            "adam_learning_rate": optimiser.adam_lr,
            "adam_weight_decay": optimiser.adam_weight_decay,
            "adam_b1": optimiser.adam_betas[0],
        }
    if isinstance(optimiser.filter, GrokfastEMA):
        expected |= {"alpha": optimiser.filter.alpha, "lamb": optimiser.filter.lamb}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert all(has_hyperparam(optimiser, name) for name in found)


def test_what_an_optimiser_has_not_is_known() -> None:
    assert has_hyperparam(SGD(), "momentum")
    assert not has_hyperparam(AdamW(), "momentum")
    assert not has_hyperparam(AdamW(), "lamb")
    assert has_hyperparam(AdamW(filter=GrokfastEMA()), "lamb")
    for kind in KINDS:
        assert has_hyperparam(kind(), "learning_rate")
        assert has_hyperparam(kind(), "weight_decay")


@every_optimiser
def test_with_no_learning_rate_no_weight_moves(optimiser: AnyOptimiser) -> None:
    still = with_hyperparams(state_of(optimiser), {"learning_rate": lambda lr: 0.0})
    _, weights = states_and_weights(optimiser, still, WEIGHTS)[-1]
    for name, weight in WEIGHTS.items():
        assert (weights[name] == weight).all()


@every_optimiser
def test_changing_a_hyper_parameter_is_having_had_it_from_the_start(optimiser: AnyOptimiser) -> None:
    """So no default is compiled in: the same path, to the bit."""
    fields = {"lr": 0.5 * optimiser.lr, "weight_decay": 0.25}
    if isinstance(optimiser, Muon):
        fields |= {"adam_lr": 0.5 * optimiser.adam_lr, "adam_weight_decay": 0.25}
    other = optimiser.model_copy(update=fields)
    change = {"learning_rate": lambda lr: 0.5 * lr, "weight_decay": lambda decay: 0.25}
    changed = with_hyperparams(state_of(optimiser), change)
    for (_, mine), (_, its) in zip(
        states_and_weights(optimiser, changed, WEIGHTS),
        states_and_weights(other, state_of(other), WEIGHTS),
        strict=True,
    ):
        assert all((mine[name] == its[name]).all() for name in WEIGHTS)


@every_optimiser
def test_a_change_leaves_all_else_alone_and_the_types_too(optimiser: AnyOptimiser) -> None:
    state = state_of(optimiser)
    changed = with_hyperparams(state, {"weight_decay": lambda decay: decay + 1})
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(changed), strict=True):
        assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type)
    before, after = state_dict(state), state_dict(changed)
    differing = {name.split(".")[-1] for name in before if (before[name] != after[name]).any()}
    muons = {"adam_weight_decay"} if isinstance(optimiser, Muon) else set()
    assert differing == {"weight_decay"} | muons


def test_muons_second_rate_follows_the_first_unless_it_is_named() -> None:
    state = state_of(Muon(lr=0.1, adam_lr=0.01))
    both = hyperparams(with_hyperparams(state, {"learning_rate": lambda lr: 3 * lr}))
    assert both["learning_rate"] == pytest.approx(0.3)
    assert both["adam_learning_rate"] == pytest.approx(0.03)
    apart = with_hyperparams(
        state, {"learning_rate": lambda lr: 3 * lr, "adam_learning_rate": lambda lr: 0.5}
    )
    assert hyperparams(apart)["adam_learning_rate"] == 0.5
    alone = hyperparams(with_hyperparams(state, {"adam_learning_rate": lambda lr: 0.5}))
    assert alone["learning_rate"] == pytest.approx(0.1)


def test_a_name_that_the_optimiser_has_not_is_an_error_that_says_what_it_has() -> None:
    message = (
        "'mu' is not a hyper-parameter of this optimiser: use learning_rate, momentum or weight_decay"
    )
    with pytest.raises(ValueError, match=message):
        with_hyperparams(state_of(SGD()), {"mu": lambda value: value})


@pytest.mark.parametrize("optimiser", [ADAMWS[1], MUONS[2], FILTERED[0]], ids=named)
def test_optimisers_that_differ_in_traced_hyper_parameters_share_one_compiled_update(
    optimiser: AnyOptimiser,
) -> None:
    compiled: Any = updated

    def count(o: AnyOptimiser) -> int:
        updated(o.skeleton(), GRADIENTS[0], state_of(o), WEIGHTS)
        return compiled._cache_size()

    before = count(optimiser)
    other = optimiser.model_copy(update={"lr": 0.123, "weight_decay": 0.456})
    assert count(other) == before
    assert count(other.model_copy(update={"warmup_steps": 77})) == before + 1  # so the count can grow


@every_optimiser
def test_resetting_moments_zeroes_all_memory_of_gradients_and_nothing_else(
    optimiser: AnyOptimiser,
) -> None:
    state, _ = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)[9]
    forgetful, before = reset_moments(state), state_dict(state)
    assert jax.tree.structure(forgetful) == jax.tree.structure(state)
    memory = {"mu", "nu", "trace", "ema", "seen"}
    for name, array in state_dict(forgetful).items():
        assert array.dtype == before[name].dtype
        if memory.intersection(name.split(".")):
            assert (array == 0).all()
        elif "inner_state" not in name or "count" not in name:  # but those of bias corrections
            assert (array == before[name]).all(), name


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamW(warmup_steps=0, filter=GrokfastEMA()),
        Adam(warmup_steps=0, weight_decay=0.1),
        SGD(warmup_steps=0, momentum=0.9, nesterov=True),
        SignSGD(warmup_steps=0),
        Muon(warmup_steps=0),
    ],
    ids=named,
)
def test_with_its_moments_reset_an_optimiser_goes_on_like_a_new_one(optimiser: AnyOptimiser) -> None:
    state, weights = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)[9]
    _, forgetful = states_and_weights(optimiser, reset_moments(state), weights)[-1]
    _, new = states_and_weights(optimiser, state_of(optimiser, weights), weights)[-1]
    assert all((forgetful[name] == new[name]).all() for name in WEIGHTS)


def test_warm_up_annealing_and_initial_weights_outlive_a_reset() -> None:
    optimiser = AdamW(warmup_steps=3, lr=0.1, betas=(0, 0), annealing=Cosine(steps=10), decay_to="init")
    path = states_and_weights(optimiser, state_of(optimiser), WEIGHTS)
    state, weights = path[5]
    kept, _ = updated(optimiser.skeleton(), GRADIENTS[6], state, weights)
    reset, _ = updated(optimiser.skeleton(), GRADIENTS[6], reset_moments(state), weights)
    for name in WEIGHTS:  # without moments to forget, a reset changes nothing
        np.testing.assert_allclose(kept[name], reset[name], rtol=1e-6)


@every_optimiser
@pytest.mark.parametrize("made", [tiny.transformer, tiny.mlp])
def test_the_state_of_a_models_optimiser_comes_back_by_unique_names(
    optimiser: AnyOptimiser, made: Any
) -> None:
    state = state_of(optimiser, made())
    arrays = state_dict(state)
    assert len(arrays) == len(jax.tree.leaves(state))
    marked = {name: np.full_like(array, i) for i, (name, array) in enumerate(arrays.items())}
    back = state_dict(load_state_dict(state, marked))
    assert all((back[name] == marked[name]).all() for name in arrays)
