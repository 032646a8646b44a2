from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np

from undergrowth import rng as chance
from undergrowth.rng import Purpose, stream

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
MANY: tuple[Purpose, ...] = ("batches", "measures", "interventions")  # an index per epoch or step


def test_a_stream_is_a_function_of_seed_purpose_and_index() -> None:
    one, again = (stream(3, "batches", 7).random(100) for _ in range(2))
    assert (one == again).all()


def test_streams_of_other_seeds_purposes_and_indices_differ() -> None:
    drawn = {
        (seed, purpose, index): stream(seed, purpose, index).random(50)
        for seed in (0, 1)
        for purpose in PURPOSES
        for index in ((0, 1, 2**31) if purpose in MANY else (0,))
    }
    values = list(drawn.values())
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 0.6


def test_no_purpose_reaches_into_the_streams_of_another() -> None:
    keys = [(chance._FIRST_KEY[purpose], 2**32 if purpose in MANY else 1) for purpose in PURPOSES]
    for (first, count), (following, _) in pairwise(sorted(keys)):
        assert first + count <= following


def test_released_streams_stay_what_they_were() -> None:
    keys: dict[Purpose, int] = {"split": 0, "labels": 1, "batches": 2**32, "measures": 2**33}
    for purpose, key in keys.items():
        released = np.random.Generator(np.random.Philox(key=[3, key])).random(9)
        assert (stream(3, purpose).random(9) == released).all()
