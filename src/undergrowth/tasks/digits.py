"""Handwritten digits of 8 x 8 pixels: the small set that comes with scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from undergrowth.tasks.task import Examples, Features, Task


class Digits(Task):
    """1,797 handwritten digits, each 64 grey values in [0, 1], row by row; the label is the digit.

    They are the test part of the optical recognition set of Alpaydin and Kaynak (UCI, 1998), which
    comes with scikit-learn, so nothing is downloaded. Unlike the other tasks it has no formula.
    """

    name: Literal["digits"] = "digits"

    @property
    def input_space(self) -> Features:
        return Features(64)

    @property
    def n_labels(self) -> int:
        return 10

    def describe(self) -> str:
        return "8x8 digits"

    def examples(self) -> Examples:
        return _loaded()


@cache
def _loaded() -> Examples:
    from sklearn.datasets import load_digits  # slow to import, and seldom needed

    pixels, digits = map(np.asarray, load_digits(return_X_y=True))
    loaded = Examples((pixels / 16).astype(np.float32), digits.astype(np.int32))
    loaded.inputs.setflags(write=False)
    loaded.labels.setflags(write=False)
    return loaded
