from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from undergrowth.spec import SpecError
from undergrowth.tasks import SparseParity


@given(n_bits=st.integers(1, 62), n_examples=st.integers(2, 400), seed=st.integers(0, 2**31 - 1))
def test_the_label_says_whether_the_product_of_the_first_k_bits_is_minus_one(
    n_bits: int, n_examples: int, seed: int
) -> None:
    k = 1 + seed % n_bits
    task = SparseParity(n_bits=n_bits, k=k, n_examples=n_examples, sample_seed=seed)
    examples = task.examples()
    assert set(np.unique(examples.inputs)) <= {-1.0, 1.0}
    assert (examples.inputs[:, :k].prod(axis=1) == 1 - 2 * examples.labels).all()


@given(n_bits=st.integers(1, 62), n_examples=st.integers(2, 400), seed=st.integers(0, 2**31 - 1))
def test_examples_are_distinct_and_as_many_as_there_can_be(
    n_bits: int, n_examples: int, seed: int
) -> None:
    task = SparseParity(n_bits=n_bits, k=1, n_examples=n_examples, sample_seed=seed)
    inputs = task.examples().inputs
    assert len(np.unique(inputs, axis=0)) == len(inputs) == min(n_examples, 2**n_bits)


def test_where_all_inputs_fit_they_are_counted_up_in_binary() -> None:
    examples = SparseParity(n_bits=3, k=2, n_examples=8).examples()
    counted = np.array([[int(bit) for bit in f"{i:03b}"] for i in range(8)])
    assert (examples.inputs == 1 - 2 * counted).all()
    assert examples.labels.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_every_bit_is_a_fair_coin_and_no_two_agree() -> None:
    inputs = SparseParity(n_examples=4000).examples().inputs
    assert np.abs(inputs.mean(axis=0)).max() < 5 / 4000**0.5
    correlation = inputs.T @ inputs / 4000 - np.eye(40)
    assert np.abs(correlation).max() < 6 / 4000**0.5


def test_another_sample_seed_draws_other_examples() -> None:
    one, other = (SparseParity(sample_seed=seed).examples().inputs for seed in (0, 1))
    assert (one != other).mean() > 0.4


def test_more_bits_that_matter_than_bits_is_an_error_of_one_line() -> None:
    with pytest.raises(SpecError, match=r"k = 5 bits matter.* n_bits = 4: use k = 4 or less"):
        SparseParity(n_bits=4, k=5)
