"""Frequencies found on an area, on logits made of known waves."""

from __future__ import annotations

import numpy as np
import pytest

from undergrowth.analysis.transfer import transfer

N = 11
ELEMENTS = np.arange(N)
PRODUCT = (ELEMENTS[:, None] + ELEMENTS) % N
HALVES = (ELEMENTS[:, None] + 0 * ELEMENTS >= N // 2).astype(int)
EVERYWHERE = np.ones((N, N), bool)


def waves(*frequencies: int) -> np.ndarray:
    """sum_k cos(2 pi k (a + b - label) / n), float64 [a, b, label]."""
    angle = 2 * np.pi * (PRODUCT[..., None] - ELEMENTS) / N
    return np.sum([np.cos(k * angle) for k in frequencies], axis=0)


def test_one_set_of_frequencies_for_all_areas_answers_them_all() -> None:
    found = transfer(waves(2, 5), PRODUCT, HALVES, EVERYWHERE)
    assert (found.accuracy, found.found, found.n) == (1.0, 2.0, 5)


def test_by_chance_one_of_five_frequencies_is_the_right_one() -> None:
    """By the others noise answers, right in 1 of 11."""
    noisy = waves(2) + 1e-3 * np.random.default_rng(0).standard_normal((N, N, N))
    found = transfer(noisy, PRODUCT, HALVES, EVERYWHERE)
    assert found.accuracy == 1.0
    assert found.by_chance == pytest.approx(1 / 5 + 4 / 5 / 11, abs=5 * (0.16 / 40) ** 0.5)


def test_frequencies_of_its_own_for_each_area_answer_no_other() -> None:
    own = np.where(HALVES[..., None] == 0, waves(2), waves(5))
    found = transfer(own, PRODUCT, HALVES, EVERYWHERE)
    assert found.found == 1.0
    assert found.accuracy == pytest.approx(1 / N, abs=0.1)  # nothing is left but rounding


def test_an_area_counts_by_its_size_and_only_other_cells_are_judged() -> None:
    """Area 0 is answered by frequency 3, and by frequency 2, that of area 1, always wrongly."""
    flipped = waves(2).copy()
    flipped[HALVES == 0] = (waves(3) - 0.1 * waves(2))[HALVES == 0]
    judged = HALVES == 0
    found = transfer(flipped, PRODUCT, HALVES, judged)
    assert found.accuracy == 0.0  # area 0 has no judged cell outside it, and frequency 2 is wrong there


def test_what_is_wrong_on_an_area_finds_nothing_there() -> None:
    assert transfer(-waves(2), PRODUCT, HALVES, EVERYWHERE)[:3] == (0.0, 0.0, 0.0)


def test_one_area_has_no_other() -> None:
    assert np.isnan(transfer(waves(2), PRODUCT, 0 * HALVES, EVERYWHERE).accuracy)


def test_neither_the_scale_nor_a_constant_nor_the_names_of_areas_matter() -> None:
    rng = np.random.default_rng(0)
    logits = waves(1, 4) + 0.3 * rng.standard_normal((N, N, N))
    found = transfer(logits, PRODUCT, HALVES, EVERYWHERE)
    assert tuple(transfer(3 * logits + 7, PRODUCT, 2 * HALVES + 1, EVERYWHERE)) == pytest.approx(
        tuple(found)
    )
