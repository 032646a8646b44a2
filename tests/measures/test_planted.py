"""The networks written down by hand compute what they are said to."""

from __future__ import annotations

import numpy as np
import pytest

from tests import brute_force, planted, tiny
from undergrowth.models import TwoTokenMLP, state_dict

P = 13
FREQUENCIES = (1, 3, 4)
PAIRS = ((0, 5), (5, 0), (7, 7), (12, 3))
INPUTS = np.asarray(tiny.pairs(P))
SUMS = INPUTS.sum(axis=1) % P


def logits_of(model: TwoTokenMLP) -> np.ndarray:
    return brute_force.mlp(state_dict(model), INPUTS, act=model.act_fn, summed=True)


def test_the_look_up_speaks_of_its_pairs_alone() -> None:
    expected = np.zeros((P * P, P))
    for x, y in PAIRS:
        expected[x * P + y, (x + y) % P] = 2.5
    assert (logits_of(planted.lookup(P, PAIRS, strength=2.5)) == expected).all()


@pytest.mark.parametrize("n_per_frequency", [6, 7, 8, 16])
def test_the_square_circuit_is_a_sum_of_cosines(n_per_frequency: int) -> None:
    expected = planted.periodic_logits(P, FREQUENCIES, INPUTS)
    model = planted.periodic(P, FREQUENCIES, n_per_frequency)
    np.testing.assert_allclose(logits_of(model), expected, atol=1e-5)
    assert (expected.argmax(axis=1) == SUMS).all()


@pytest.mark.parametrize("n_per_frequency", [9, 15, 33])
def test_the_relu_circuit_is_nearly_one(n_per_frequency: int) -> None:
    expected = planted.periodic_logits(P, FREQUENCIES, INPUTS, "relu")
    logits = logits_of(planted.periodic(P, FREQUENCIES, n_per_frequency, "relu"))
    np.testing.assert_allclose(logits, expected, atol=len(FREQUENCIES) * 2 / n_per_frequency**2)
    assert (logits.argmax(axis=1) == SUMS).all()


def test_in_both_the_look_up_overrules_the_sum() -> None:
    labels = [1, 2, 3, 4]
    expected = SUMS.copy()
    for (x, y), label in zip(PAIRS, labels, strict=True):
        expected[x * P + y] = label
    model = planted.both(P, PAIRS, labels, FREQUENCIES)
    assert (logits_of(model).argmax(axis=1) == expected).all()
    assert (expected != SUMS).sum() == len(PAIRS)
