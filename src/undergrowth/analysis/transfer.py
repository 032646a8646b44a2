"""Whether the frequencies by which a network answers one area of the table answer the others too."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from undergrowth.measures.circuits.carriers import carriers

N_DRAWS = 40
"""Random sets of frequencies in all, spread over the areas, at least one each."""
SHARE = 0.9
"""Of an area's centred logit, which the fewest frequencies that are found on it hold."""


class Transfer(NamedTuple):
    """accuracy: of the judged cells outside an area by the frequencies found on it, mean over areas by
    their size; by_chance: by as many drawn at random; found: how many that is, in the same mean; n: how
    many there are.
    """

    accuracy: float
    by_chance: float
    found: float
    n: int


def transfer(
    logits: Float[np.ndarray, "a b label"],
    product: Int[np.ndarray, "a b"],
    area: Int[np.ndarray, "a b"],
    judged: Bool[np.ndarray, "a b"],
) -> Transfer:
    """How far frequencies found on one area of a cyclic group's table give the answer on the others.

    logits: labels in the order of the group's elements; product: the right one. Frequency k of a cell's
    logits is their part in cos and sin of 2 pi k label / n; what it adds to the right logit, less the
    mean of all, is its share of the centred logit. The frequencies of an area are the fewest that hold
    `SHARE` of its mean centred logit (none if that is <= 0); an answer by them is the largest logit with
    nothing else left. An area without judged cells outside it does not count.
    """
    n = logits.shape[2]
    spectrum = np.fft.rfft(np.asarray(logits, np.float64), axis=2)
    frequencies = np.arange(1, spectrum.shape[2])
    phase = np.exp(2j * np.pi * product[..., None] * frequencies / n)
    added = (spectrum[..., 1:] * phase).real * np.where(2 * frequencies == n, 1, 2) / n
    names, place, sizes = np.unique(area, return_inverse=True, return_counts=True)
    place = place.reshape(area.shape)
    by_area = np.stack([added[place == i].mean(axis=0) for i in range(len(names))])
    rng, draws = np.random.default_rng(0), max(1, N_DRAWS // len(names))
    rows = []
    for i, kept in enumerate(carriers(by_area, SHARE)):
        elsewhere = judged & (place != i)
        if elsewhere.any():
            answers = partial(_accuracy, spectrum[elsewhere], n, product[elsewhere])
            by_chance = np.mean([answers(rng.permutation(kept)) for _ in range(draws)])
            rows.append((answers(kept), by_chance, kept.sum(), sizes[i]))
    if not rows:
        return Transfer(float("nan"), float("nan"), float("nan"), len(frequencies))
    *values, size = np.array(rows, float).T
    accuracy, by_chance, found = (float(np.average(each, weights=size)) for each in values)
    return Transfer(accuracy, by_chance, found, len(frequencies))


def _accuracy(spectrum: np.ndarray, n: int, right: np.ndarray, kept: np.ndarray) -> float:
    """The share of cells that are right with some frequencies left [frequency]; 0 with none."""
    left = np.fft.irfft(spectrum * np.append(False, kept), n, axis=1)
    return float((left.argmax(axis=1) == right).mean()) if kept.any() else 0.0
