from __future__ import annotations

from typing import get_args

import numpy as np

from undergrowth.chance import Purpose, stream

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def test_a_stream_is_a_function_of_seed_purpose_and_index() -> None:
    one, again = (stream(3, "batches", 7).random(100) for _ in range(2))
    assert (one == again).all()


def test_streams_of_other_seeds_purposes_and_indices_differ() -> None:
    drawn = {
        (seed, purpose, index): stream(seed, purpose, index).random(50)
        for seed in (0, 1)
        for purpose in PURPOSES
        for index in ((0, 1, 2**31) if purpose in ("batches", "measures") else (0,))
    }
    values = list(drawn.values())
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 0.6
