"""Splits of others: as a library shuffles, and as a list says."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import GivenSplit, Modular, Shuffled, SparseParity, make_data

TASK = Modular(p=5)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_pythons_shuffle_is_that_of_the_list_of_pairs(seed: int) -> None:
    pairs = [(x, y) for x in range(5) for y in range(5)]
    random.seed(seed)
    random.shuffle(pairs)
    data = make_data(TASK, Shuffled(by="python", seed=seed, frac_train=0.3), "true", 99)
    assert {tuple(pair) for pair in data.inputs[data.is_train].tolist()} == set(pairs[:7])


@pytest.mark.parametrize("by", ["python", "torch"])
@pytest.mark.parametrize("frac", [0.1, 0.3, 0.77])
def test_a_shuffle_takes_its_share_rounded_down_and_every_seed_another(by: Any, frac: float) -> None:
    split = Shuffled(by=by, frac_train=frac)
    masks = [split.model_copy(update={"seed": seed}).train_mask(TASK, RNG) for seed in (0, 0, 1)]
    assert [int(mask.sum()) for mask in masks] == [int(frac * 25)] * 3
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_torchs_shuffle_is_what_torch_says() -> None:
    # torch.manual_seed(0); torch.randperm(10): tensor([4, 1, 7, 5, 3, 9, 0, 8, 6, 2])
    mask = Shuffled(by="torch", seed=0, frac_train=0.4).train_mask(SparseParity(n_bits=10, k=3), RNG)
    assert mask.sum() == int(0.4 * len(mask))
    from undergrowth.tasks.splits import _torch_randperm

    assert _torch_randperm(10, 0) == (4, 1, 7, 5, 3, 9, 0, 8, 6, 2)


def test_it_is_the_splits_own_seed_that_counts() -> None:
    masks = [make_data(TASK, Shuffled(seed=1), "true", seed).is_train for seed in (0, 1)]
    assert (masks[0] == masks[1]).all()


def test_a_given_split_is_the_list() -> None:
    pairs = [(0, 0), (4, 4), (2, 3)]
    split = GivenSplit.of(TASK, pairs)
    data = make_data(TASK, split, "true", 0)
    assert {tuple(pair) for pair in data.inputs[data.is_train].tolist()} == set(pairs)
    assert GivenSplit.of_mask(data.is_train) == split
    spec = RunSpec(task=TASK, split=split)
    assert RunSpec.from_toml(spec.to_toml()) == spec
    assert spec.id != RunSpec(task=TASK, split=GivenSplit.of(TASK, pairs[:2])).id


@pytest.mark.parametrize("train", ["00", "ff" * 4, "0000007f", "ff" * 5])
def test_a_split_that_is_not_a_bit_an_example_is_refused(train: str) -> None:
    with pytest.raises(SpecError, match=r"bits|both sides") as caught:
        RunSpec(task=TASK, split=GivenSplit(train=train)).data()
    assert "\n" not in str(caught.value)


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(SpecError, match="hexadecimal"):
        GivenSplit(train="xyz")
    with pytest.raises(ValueError, match=r"\(5, 0\) is no example of x\+y mod 5"):
        GivenSplit.of(TASK, [(5, 0)])
