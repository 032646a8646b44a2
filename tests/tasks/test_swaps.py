"""Swaps beside a plain walk over all pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from undergrowth.tasks import CommutationSafe, Group, LeakyRandom, Modular, SparseParity, make_data
from undergrowth.tasks.data import Data, Labels
from undergrowth.tasks.swaps import share_leaked, swap_is_in_train

OPERATIONS = ("x+y", "x-y", "x/y", "x*y", "x/y if y odd else x-y")


def by_hand(data: Data) -> list[bool]:
    rows = zip(data.inputs.tolist(), data.labels.tolist(), data.is_train.tolist(), strict=True)
    trained = {tuple(pair): label for pair, label, is_train in rows if is_train}
    return [
        x != y and trained.get((y, x)) == label
        for (x, y), label in zip(data.inputs.tolist(), data.labels.tolist(), strict=True)
    ]


@pytest.mark.parametrize("labels", ["true", "shuffled"])
@pytest.mark.parametrize("task", [*(Modular(operation=o, p=11) for o in OPERATIONS), Group(group="S4")])
def test_a_swap_counts_where_it_is_trained_on_with_the_same_label(task, labels: Labels) -> None:
    data = make_data(task, LeakyRandom(frac_train=0.5), labels, seed=3)
    found = swap_is_in_train(data.inputs, data.labels, data.is_train)
    assert found.tolist() == by_hand(data)
    assert 0 <= share_leaked(task, data) == np.mean(np.array(by_hand(data))[data.is_val]) < 1


def test_a_random_half_of_a_commutative_table_leaks_half_and_a_safe_one_nothing() -> None:
    task = Modular(operation="x*y", p=97)
    leaky, safe = (
        share_leaked(task, make_data(task, split, "true", seed=0))
        for split in (LeakyRandom(frac_train=0.5), CommutationSafe(frac_train=0.5))
    )
    assert leaky == pytest.approx(0.5 * 96 / 97, abs=0.02)
    assert safe == 0


def test_what_is_no_table_of_two_operands_leaks_no_swap() -> None:
    task = SparseParity(n_bits=6, k=2, n_examples=60)
    assert share_leaked(task, make_data(task, LeakyRandom(frac_train=0.5), "true", seed=0)) == 0


def test_where_nothing_is_held_out_nothing_leaks() -> None:
    task = Modular(p=5)
    data = make_data(task, LeakyRandom(frac_train=0.5), "true", seed=0)
    everything = replace(data, is_train=np.ones_like(data.is_train), is_val=np.zeros_like(data.is_val))
    assert share_leaked(task, everything) == 0
