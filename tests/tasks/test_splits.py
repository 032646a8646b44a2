"""Laws of every split, and what each promises besides."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from undergrowth.tasks import (
    AnySplit,
    CommutationSafe,
    EmptySplitError,
    GivenSplit,
    Group,
    LeakyRandom,
    Modular,
    Operation,
    Shuffled,
    SparseParity,
    make_data,
)

OF_OTHERS = (Shuffled, GivenSplit)
"""Splits that the data seed does not draw; their laws are in `test_given_splits`."""
SPLITS: tuple[Any, ...] = tuple(
    kind for kind in get_args(get_args(AnySplit)[0]) if kind not in OF_OTHERS
)
TASKS: tuple[Operation, ...] = (
    Modular(operation="x+y", p=13),
    Modular(operation="x-y", p=12),
    Modular(operation="x*y", p=13),
    Modular(operation="x/y", p=13),
    Modular(operation="x^2+xy+y^2", p=11),
    Group(group="S3"),
    Group(group="D4", operation="xyx"),
)
SEEDS = st.integers(0, 2**31 - 1)
SHARES = st.floats(0.05, 0.95)

every_split = pytest.mark.parametrize("split", SPLITS)
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.describe())


def swaps_across(task: Operation, inputs: np.ndarray, is_train: np.ndarray) -> int:
    """How many validation examples have their swap, with an equal label, in training."""
    table = task.table()
    trained = {(int(x), int(y)) for x, y in inputs[is_train]}
    return sum((int(y), int(x)) in trained and table[x, y] == table[y, x] for x, y in inputs[~is_train])


@every_split
@every_task
@given(frac=SHARES, seed=SEEDS)
def test_every_example_is_on_one_of_two_nonempty_sides(
    split: Any, task: Operation, frac: float, seed: int
) -> None:
    data = make_data(task, split(frac_train=frac), "true", seed)
    assert data.is_train.dtype == bool
    assert data.is_train.shape == data.labels.shape == (len(task.examples()),)
    assert 0 < data.n_train < len(data.labels)
    assert data.n_train == data.is_train.sum()
    assert (data.inputs == task.examples().inputs).all()


@every_split
@every_task
@given(frac=SHARES, seed=SEEDS)
def test_the_training_side_has_its_share(split: Any, task: Operation, frac: float, seed: int) -> None:
    n = len(task.examples())
    data = make_data(task, split(frac_train=frac), "true", seed)
    assert round(frac * n) - 1 <= data.n_train <= frac * n + 0.5


@every_split
@every_task
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    split: Any, task: Operation
) -> None:
    one, again, other = (make_data(task, split(), "true", seed) for seed in (7, 7, 8))
    assert (one.is_train == again.is_train).all()
    assert (one.is_train != other.is_train).any()


@every_split
def test_every_example_may_come_to_either_side(
    split: Any,
) -> None:
    sides = [make_data(TASKS[0], split(), "true", seed).is_train for seed in range(40)]
    share = np.mean(sides, axis=0)
    assert 0 < share.min() < share.max() < 1


@every_task
@given(frac=SHARES, seed=SEEDS)
def test_no_validation_example_has_its_swap_in_training(task: Operation, frac: float, seed: int) -> None:
    data = make_data(task, CommutationSafe(frac_train=frac), "true", seed)
    assert swaps_across(task, data.inputs, data.is_train) == 0


@given(operation=st.sampled_from(["x+y", "x-y", "x*y"]), p=st.integers(3, 24), frac=SHARES, seed=SEEDS)
def test_no_swap_leaks_for_any_p(operation: str, p: int, frac: float, seed: int) -> None:
    task = Modular.model_validate({"operation": operation, "p": p})
    assume(2 <= frac * p * p <= p * p - 2)
    data = make_data(task, CommutationSafe(frac_train=frac), "true", seed)
    assert swaps_across(task, data.inputs, data.is_train) == 0


def test_the_leaky_split_leaks_half_of_validation_of_a_commutative_task() -> None:
    task = Modular(p=31)
    data = make_data(task, LeakyRandom(frac_train=0.5), "true", 0)
    leaked = swaps_across(task, data.inputs, data.is_train) / (~data.is_train).sum()
    assert 0.4 < leaked < 0.6


def test_seeds_do_not_change_how_many_examples_are_trained_on() -> None:
    sizes = {
        make_data(TASKS[0], CommutationSafe(frac_train=0.6), "true", seed).n_train for seed in range(30)
    }
    assert sizes == {round(0.6 * 13 * 13)}


@pytest.mark.parametrize(("frac", "side"), [(0.99, "validation"), (0.01, "training")])
def test_an_empty_side_is_an_error_that_names_the_share_the_rule_and_the_remedy(
    frac: float, side: str
) -> None:
    with pytest.raises(EmptySplitError) as caught:
        make_data(Modular(p=3), LeakyRandom(frac_train=frac), "true", 0)
    message = str(caught.value)
    assert f"frac_train = {frac}" in message
    assert f"no {side} example of the 9 of x+y mod 3" in message
    assert "move frac_train towards 0.5" in message
    assert "\n" not in message


def test_what_has_no_swaps_and_no_groups_is_split_at_random_by_every_split() -> None:
    task = SparseParity(n_examples=101)
    safe, *others = (make_data(task, split(frac_train=0.4), "true", 5).is_train for split in SPLITS)
    assert all((safe == other).all() for other in others)
    assert safe.sum() == 40
