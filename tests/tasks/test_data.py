from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from undergrowth.rng import stream
from undergrowth.tasks import CommutationSafe, Digits, Modular, PowerLaw, kept, make_data

TASK = Modular(p=13)
SPLIT = CommutationSafe(frac_train=0.6)
SEEDS = st.integers(0, 2**31 - 1)


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


def test_random_labels_are_even_and_know_nothing_of_the_task() -> None:
    task = Modular(operation="x*y", p=61)  # 0 is the most frequent true label by far
    data = make_data(task, SPLIT, "random", 3)
    counts = np.bincount(data.labels, minlength=61)
    assert np.abs(counts - 61).max() < 5 * 61**0.5
    assert (data.labels == task.examples().labels).mean() < 0.03
    assert data.labels.dtype == np.int32
    assert (data.labels == make_data(task, SPLIT, "random", 3).labels).all()
    assert (data.labels != make_data(task, SPLIT, "random", 4).labels).any()


@given(share=st.floats(0, 0.99), seed=SEEDS)
def test_label_noise_makes_its_share_of_training_labels_wrong_and_no_other(
    share: float, seed: int
) -> None:
    clean, noisy = (make_data(TASK, SPLIT, "true", seed, noise) for noise in (0.0, share))
    assert noisy.is_noisy.sum() == int(share * noisy.n_train + 0.5)
    assert ((noisy.labels != clean.labels) == noisy.is_noisy).all()
    assert not (noisy.is_noisy & ~noisy.is_train).any()
    assert (noisy.is_train == clean.is_train).all()
    assert 0 <= noisy.labels.min() <= noisy.labels.max() < 13
    assert noisy.labels.dtype == np.int32


def test_wrong_labels_are_drawn_evenly_from_the_others() -> None:
    task = Modular(p=5)
    offsets = [
        (data.labels - task.examples().labels)[data.is_noisy] % 5
        for data in (make_data(task, SPLIT, "true", seed, 0.9) for seed in range(200))
    ]
    counts = np.bincount(np.concatenate(offsets), minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] / counts.sum() - 1 / 4).max() < 0.04


@given(seed=SEEDS, less=st.floats(0, 0.99), more=st.floats(0, 0.99))
def test_more_noise_adds_to_the_wrong_labels_of_less(seed: int, less: float, more: float) -> None:
    less, more = sorted((less, more))
    small, large = (make_data(TASK, SPLIT, "true", seed, share) for share in (less, more))
    assert not (small.is_noisy & ~large.is_noisy).any()
    assert (small.labels == large.labels)[small.is_noisy].all()


def test_noise_comes_on_top_of_shuffled_labels() -> None:
    shuffled, noisy = (make_data(TASK, SPLIT, "shuffled", 3, noise) for noise in (0.0, 0.5))
    assert ((shuffled.labels != noisy.labels) == noisy.is_noisy).all()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_noise_out_of_range_is_an_error_of_one_line(share: float) -> None:
    with pytest.raises(ValueError, match=r"^label_noise = .*: the share .* from 0 to below 1$"):
        make_data(TASK, SPLIT, "true", 3, share)


def test_without_noise_every_example_is_clean_and_on_one_side() -> None:
    data = make_data(TASK, SPLIT, "true", 3)
    assert not data.is_noisy.any()
    assert (data.is_val == ~data.is_train).all()
    assert (data.weights == 1).all()


def test_the_data_of_a_task_are_not_changed_by_noise() -> None:
    task = Modular(p=7)
    make_data(task, SPLIT, "true", 0, 0.9)
    digits = Digits()
    before = digits.examples().labels.copy()
    make_data(digits, SPLIT, "true", 0, 0.9)
    assert (digits.examples().labels == before).all()


@given(share=st.floats(0.001, 1), seed=SEEDS)
def test_a_share_of_the_training_side_is_kept_and_the_rest_is_on_neither_side(
    share: float, seed: int
) -> None:
    data = make_data(TASK, SPLIT, "true", 3, 0.2, PowerLaw())
    fewer = kept(data, share, stream(seed, "interventions"))
    assert fewer.n_train == max(1, int(share * data.n_train + 0.5))
    assert not (fewer.is_train & ~data.is_train).any()
    assert (fewer.is_val == data.is_val).all()
    assert (fewer.labels == data.labels).all()
    assert (fewer.is_noisy == data.is_noisy).all()
    assert fewer.weights[fewer.is_train].mean() == pytest.approx(1, abs=1e-5)
    ratio = fewer.weights[fewer.is_train] / data.weights[fewer.is_train]
    assert ratio == pytest.approx(ratio[0], rel=1e-5)


@given(seed=SEEDS, less=st.floats(0.001, 1), more=st.floats(0.001, 1))
def test_a_smaller_share_is_part_of_a_larger_one(seed: int, less: float, more: float) -> None:
    less, more = sorted((less, more))
    data = make_data(TASK, SPLIT, "true", 3)
    large, small, small_of_large = (
        kept(data, more, stream(seed, "interventions")),
        kept(data, less, stream(seed, "interventions")),
        kept(kept(data, more, stream(seed, "interventions")), less, stream(seed, "interventions")),
    )
    assert not (small.is_train & ~large.is_train).any()
    assert not (small_of_large.is_train & ~small.is_train).any()


def test_everything_kept_is_nothing_changed() -> None:
    data = make_data(TASK, SPLIT, "true", 3, 0.2, PowerLaw())
    same = kept(data, 1.0, stream(0, "interventions"))
    assert (same.is_train == data.is_train).all()
    assert same.weights == pytest.approx(data.weights, rel=1e-6)


def test_every_training_example_may_be_kept() -> None:
    data = make_data(TASK, SPLIT, "true", 3)
    times = sum(
        kept(data, 0.5, stream(seed, "interventions")).is_train.astype(int) for seed in range(60)
    )
    assert (np.flatnonzero(times) == np.flatnonzero(data.is_train)).all()
    assert np.max(times) < 60


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_cannot_be_kept_is_an_error_of_one_line(share: float) -> None:
    with pytest.raises(ValueError, match=r"^share = .*: the share .* above 0, at most 1$"):
        kept(make_data(TASK, SPLIT, "true", 3), share, stream(0, "interventions"))
