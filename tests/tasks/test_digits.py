from __future__ import annotations

import numpy as np
import pytest

from undergrowth.tasks import Digits


def test_there_are_1797_digits_of_64_grey_values_from_0_to_1() -> None:
    inputs = Digits().examples().inputs
    assert inputs.shape == (1797, 64)
    assert (inputs.min(), inputs.max()) == (0.0, 1.0)
    assert (inputs * 16 == np.round(inputs * 16)).all()  # 17 shades


def test_each_digit_is_there_about_equally_often() -> None:
    counts = np.bincount(Digits().examples().labels)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pictures_go_with_their_labels() -> None:
    """The nearest mean picture names the digit: it would be right for a tenth if they were mixed up."""
    examples = Digits().examples()
    means = np.stack([examples.inputs[examples.labels == digit].mean(axis=0) for digit in range(10)])
    nearest = ((examples.inputs[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert (nearest == examples.labels).mean() > 0.85
    zero, one = means[0].reshape(8, 8), means[1].reshape(8, 8)
    assert zero[3:5, 3:5].max() < 0.25 < one[3:5, 3:5].min()  # rows of pixels: a hole, and a stroke


def test_the_digits_cannot_be_spoilt_for_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Digits().examples().inputs[0, 0] = 1
