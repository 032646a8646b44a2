"""Weights: closed forms, mean 1 over the training side, and what does not fit."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter

from undergrowth.tasks import (
    AnyWeights,
    CommutationSafe,
    Data,
    Equal,
    Given,
    LeakyRandom,
    Modular,
    MultitaskParity,
    OfGroups,
    OfNoisy,
    PowerLaw,
    make_data,
)

Weights = Equal | OfNoisy | PowerLaw | OfGroups | Given
TASK = Modular(p=13)
N = 13 * 13
UP = st.floats(0.01, 100)
ALL = st.one_of(
    st.just(Equal()),
    st.builds(OfNoisy, weight=UP, by=st.sampled_from(["loss", "sampling"])),
    st.builds(PowerLaw, exponent=st.floats(0, 3, width=32, allow_subnormal=False)),
    st.builds(OfGroups, values=st.lists(UP, min_size=N, max_size=N).map(tuple)),
    st.builds(Given, values=st.lists(UP, min_size=N, max_size=N).map(tuple)),
)


def weighted(weights: Weights, seed: int = 0, label_noise: float = 0.25) -> Data:
    return make_data(TASK, CommutationSafe(frac_train=0.6), "true", seed, label_noise, weights)


@given(weights=ALL, seed=st.integers(0, 2**31 - 1))
def test_weights_have_mean_one_over_training_and_are_one_elsewhere(weights: Weights, seed: int) -> None:
    data = weighted(weights, seed)
    assert data.weights.dtype == np.float32
    assert data.weights.shape == (N,)
    assert data.weights.min() >= 0
    assert data.weights[data.is_train].mean(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert (data.weights[~data.is_train] == 1).all()


@given(weights=ALL)
def test_weights_are_drawn_once_from_the_seed_and_change_nothing_else(weights: Weights) -> None:
    one, again, plain = weighted(weights), weighted(weights), weighted(Equal())
    assert (one.weights == again.weights).all()
    assert (one.labels == plain.labels).all()
    assert (one.is_train == plain.is_train).all()


@given(weights=ALL)
def test_weights_survive_being_written(weights: Weights) -> None:
    assert TypeAdapter(AnyWeights).validate_python(weights.model_dump(mode="json")) == weights


def test_equal_weights_are_all_one() -> None:
    assert (weighted(Equal()).weights == 1).all()


@given(weight=st.floats(0, 100, width=32, allow_subnormal=False))
def test_noisy_examples_weigh_that_much_relative_to_the_others(weight: float) -> None:
    data = weighted(OfNoisy(weight=weight))
    noisy, others = data.weights[data.is_noisy], data.weights[data.is_train & ~data.is_noisy]
    assert len(set(noisy)) == len(set(others)) == 1
    assert noisy[0] == pytest.approx(weight * others[0], rel=1e-5)


@given(exponent=st.floats(0, 3, width=32, allow_subnormal=False))
def test_a_power_law_has_a_weight_for_each_rank(exponent: float) -> None:
    data = weighted(PowerLaw(exponent=exponent))
    found = -np.sort(-data.weights[data.is_train])
    assert found / found[0] == pytest.approx(np.arange(1, data.n_train + 1) ** -exponent, rel=1e-5)


def test_a_power_law_ranks_the_examples_in_an_order_of_the_seed() -> None:
    firsts = {int(weighted(PowerLaw(), seed).weights.argmax()) for seed in range(10)}
    assert len(firsts) > 5


def test_given_weights_keep_their_ratios() -> None:
    values = tuple(float(i + 1) for i in range(N))
    data = weighted(Given(values=values))
    ratio = data.weights[data.is_train] / np.array(values)[data.is_train]
    assert ratio == pytest.approx(ratio[0], rel=1e-6)


def test_groups_have_the_weights_that_are_given_them() -> None:
    task = MultitaskParity(n_tasks=3, n_bits=6, n_examples=60)
    data = make_data(task, LeakyRandom(frac_train=0.5), "true", 0, 0.0, OfGroups(values=(1, 0, 4)))
    weights, of = data.weights[data.is_train], task.groups()[data.is_train]
    assert (weights[of == 1] == 0).all()
    assert weights[of == 2] == pytest.approx(4 * weights[of == 0][0], rel=1e-6)


def test_weights_for_another_number_of_groups_are_an_error_of_one_line() -> None:
    task = MultitaskParity(n_tasks=3, n_bits=6, n_examples=60)
    said = (
        r"^weights\.values has 2 numbers, and the task 3 groups of examples: give one weight per group"
    )
    with pytest.raises(ValueError, match=said):
        make_data(task, LeakyRandom(), "true", 0, 0.0, OfGroups(values=(1, 2)))


def test_weights_for_another_number_of_examples_are_an_error_of_one_line() -> None:
    with pytest.raises(ValueError, match=r"^weights\.values has 2 numbers, and the task 169 examples: "):
        weighted(Given(values=(1.0, 2.0)))


def test_weights_that_leave_nothing_to_learn_are_an_error_of_one_line() -> None:
    with pytest.raises(ValueError, match=r"^weights are 0 on all 101 training examples, .*above 0$"):
        weighted(Given(values=(0.0,) * N))


@pytest.mark.parametrize("weights", [OfNoisy, PowerLaw])
def test_negative_weights_are_refused(weights: type[OfNoisy | PowerLaw]) -> None:
    field = next(name for name in ("weight", "exponent") if name in weights.model_fields)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        weights.model_validate({field: -0.5})
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Given(values=(1.0, -1.0))


@pytest.mark.parametrize("weight", [1e308, 1e39, 1e-39, 5e-324])
def test_weights_that_float32_does_not_hold_are_refused(weight: float) -> None:
    for kind, fields in ((OfNoisy, {"weight": weight}), (Given, {"values": (1.0, weight)})):
        with pytest.raises(ValueError, match="does not fit into float32"):
            kind.model_validate(fields)


def test_the_largest_weights_that_there_are_have_mean_one() -> None:
    data = weighted(Given(values=(3.4e38,) * N))
    assert (data.weights == 1).all()


def test_every_kind_but_equal_says_what_its_weights_multiply() -> None:
    kinds = set(get_args(get_args(AnyWeights)[0]))
    assert {kind for kind in kinds if "by" in kind.model_fields} == kinds - {Equal}
    assert PowerLaw().by == "loss"
