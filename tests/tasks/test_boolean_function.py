from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from undergrowth.spec import SpecError
from undergrowth.tasks import BooleanFunction, SparseParity
from undergrowth.tasks.terms import best_term, minimal_dnf


@given(n_bits=st.integers(2, 7), n_terms=st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
def test_a_drawn_function_is_the_or_of_so_many_ands(n_bits: int, n_terms: int, seed: int) -> None:
    task = BooleanFunction(n_bits=n_bits, n_terms=n_terms, n_literals=2, function_seed=seed)
    labels = task.examples().labels.astype(bool)
    assert len(labels) == 2**n_bits
    assert len(minimal_dnf(labels)) <= n_terms
    assert best_term(labels[None], np.ones(2**n_bits, bool))[0] >= 2 ** (n_bits - 2)


def test_inputs_are_those_of_parity_and_outputs_are_in_their_order() -> None:
    parity = SparseParity(n_bits=3, k=2, n_examples=8).examples()
    given = BooleanFunction(n_bits=3, outputs="00111100").examples()
    assert (given.inputs == parity.inputs).all()
    assert (given.labels == parity.labels).all()


def test_another_seed_draws_another_function() -> None:
    tables = {BooleanFunction(function_seed=seed).examples().labels.tobytes() for seed in range(5)}
    assert len(tables) == 5


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_bits": 2, "outputs": "010"}, "outputs has 3 labels, but 2 bits have 4 inputs"),
        ({"n_bits": 2, "outputs": "1111"}, "has but one label, so there is nothing to learn"),
        ({"n_bits": 2, "n_literals": 3}, "n_literals = 3 exceeds n_bits = 2.* use n_literals = 2"),
        ({"n_bits": 1, "n_terms": 64, "n_literals": 1}, "or of 64 ands of 1 of 1 bits has but one"),
        ({"n_bits": 11}, "n_bits"),
    ],
)
def test_what_is_no_function_is_an_error_of_one_line(fields: dict, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        BooleanFunction(**fields)
    assert "\n" not in str(caught.value)
