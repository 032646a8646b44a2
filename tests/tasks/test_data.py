from __future__ import annotations

import numpy as np

from undergrowth.tasks import CommutationSafe, Modular, make_data

TASK = Modular(p=13)
SPLIT = CommutationSafe(frac_train=0.6)


def test_true_labels_are_those_of_the_table() -> None:
    data = make_data(TASK, SPLIT, "true", 3)
    assert (data.labels == data.inputs.sum(axis=1) % 13).all()


def test_shuffled_labels_are_the_true_ones_in_another_order() -> None:
    true, shuffled = (make_data(TASK, SPLIT, kind, 3) for kind in ("true", "shuffled"))
    assert (np.sort(shuffled.labels) == np.sort(true.labels)).all()
    chance = (shuffled.labels == true.labels).mean()
    assert chance < 0.2  # 1/13 is expected


def test_shuffling_labels_leaves_inputs_and_split_alone() -> None:
    true, shuffled = (make_data(TASK, SPLIT, kind, 3) for kind in ("true", "shuffled"))
    assert (shuffled.inputs == true.inputs).all()
    assert (shuffled.is_train == true.is_train).all()


def test_shuffled_labels_are_drawn_once_from_the_seed() -> None:
    one, again, other = (make_data(TASK, SPLIT, "shuffled", seed).labels for seed in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()


def test_swaps_lose_their_common_label_when_labels_are_shuffled() -> None:
    data = make_data(TASK, SPLIT, "shuffled", 0)
    table = data.labels.reshape(13, 13)
    assert (table != table.T).mean() > 0.5
