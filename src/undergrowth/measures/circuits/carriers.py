"""Carriers of a prediction: the fewest components that carry its centred logit, and their overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from undergrowth.measures.areas import AreaKind, areas_of, renamed_operands
from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.gating.attributed import AttributedMeasure
from undergrowth.measures.reading import SIDES, Observed, Reading
from undergrowth.models import Model

PERCENTILES = (5, 25, 50, 75, 95)
ROWS_AT_ONCE = 4096
N_RENAMINGS = 20
ROUNDING = 1e-9
"""Of sums that are equal, as of 9 of 10 equal parts and 0.9 of all."""

Pairs = Int[np.ndarray, "2 pair"]
"""Two different examples each, by position."""


class Carriers(AttributedMeasure):
    """How many components carry an example's score, and whether examples share them.

    The carriers of an example are the fewest components that hold `share` of its total attribution. In
    an additive attribution the total is the score minus that with all gates closed. An example whose
    total is not above 0 has no carriers and is left out.

    {prefix}_carried [side]: the share of examples that have carriers. {prefix}_size [side, percentile]:
    percentiles over examples of their number. {prefix}_jaccard, {prefix}_overlap [side, pair]: of two
    examples' carriers A and B |A & B| / |A or B| and |A & B| / min(|A|, |B|), means over `n_pairs` drawn
    pairs: `any` two examples, and with `areas` (`areas_of`, with `block`) two from `within` one area and
    from `across` two; `within_renamed` and `across_renamed` are the same with the operands' names drawn
    at random (`renamed_operands`), `N_RENAMINGS` times. {prefix}_jaccard_null, {prefix}_overlap_null
    [side, pair]: the same where each set of a pair is replaced by as many components drawn at random
    from all. NaN where a side has no carriers, or no such pair.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "carried",
        "size",
        "jaccard",
        "overlap",
        "jaccard_null",
        "overlap_null",
    )

    name: Literal["carriers"] = "carriers"
    prefix: str = Field(default="carriers", pattern=r"^[a-z][a-z0-9_]*$")
    share: float = Field(default=0.9, gt=0, le=1)
    n_pairs: int = Field(default=10_000, ge=1)
    areas: AreaKind | None = None
    block: int = Field(default=8, ge=1)

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the model has no such components, or the task no areas."""
        super().check(run)
        if self.areas is not None:
            areas_of(run.task, np.zeros((0, 2), int), self.areas, self.block)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        sets = carriers(np.asarray(self.attributed(model, data)), self.share)
        areas = self._named_areas(data, at)
        kinds = ("any", *(f"{pair}{of}" for of in areas for pair in ("within", "across")))
        sizes = sets.sum(axis=1)
        percentiles, overlaps = [], []
        for side in data.sides():
            carried = np.flatnonzero(side & (sizes > 0))
            percentiles.append(_percentiles(sizes[carried]))
            pairs = [pairs_within(np.zeros(len(carried), int), self.n_pairs, at.rng)]
            for drawn in areas.values():
                each = self.n_pairs // len(drawn) + 1
                for some in (pairs_within, pairs_across):
                    found = [some(area[carried], each, at.rng) for area in drawn]
                    pairs.append(np.concatenate(found, axis=1))
            overlaps.append([_mean_overlaps(sets, carried[p], at.rng) for p in pairs])
        by_name = np.array(overlaps, np.float32)  # [side, pair, name]
        coords = {"side": SIDES, "pair": kinds}
        return {
            f"{self.prefix}_carried": Reading(
                ("side",),
                np.array([(sizes[side] > 0).mean() for side in data.sides()], np.float32),
                {"side": SIDES},
            ),
            f"{self.prefix}_size": Reading(
                ("side", "percentile"),
                np.array(percentiles, np.float32),
                {"side": SIDES, "percentile": PERCENTILES},
            ),
            **{
                f"{self.prefix}_{name}": Reading(("side", "pair"), by_name[:, :, i], coords)
                for i, name in enumerate(("jaccard", "overlap", "jaccard_null", "overlap_null"))
            },
        }

    def _named_areas(self, data: Observed, at: Context) -> dict[str, list[np.ndarray]]:
        """The area of each example, and of each with its operands renamed, by the pairs' ending."""
        if self.areas is None:
            return {}
        task, inputs = at.spec.task, np.asarray(data.inputs)
        n_operands = int(inputs.max()) + 1
        by_chance = [renamed_operands(inputs, n_operands, at.rng) for _ in range(N_RENAMINGS)]
        drawn = {"": [inputs], "_renamed": by_chance}
        return {
            ending: [areas_of(task, named, self.areas, self.block) for named in of]
            for ending, of in drawn.items()
        }


def carriers(
    attribution: Float[np.ndarray, "example component"], share: float = 0.9
) -> Bool[np.ndarray, "example component"]:
    """The fewest components that hold a share of each example's total attribution; none if that is <= 0.

    They are the largest, as many as it takes: no other set of their number holds more.

    >>> carriers(np.array([[1.0, 5.0, -2.0, 3.0], [-1.0, 0.5, 0.0, 0.0]]), 0.8).tolist()
    [[False, True, False, True], [False, False, False, False]]
    """
    parts = [
        _carriers(attribution[start : start + ROWS_AT_ONCE], share)
        for start in range(0, len(attribution), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


class Overlap(NamedTuple):
    """Of each pair of sets A and B: |A & B| / |A or B|, and |A & B| / min(|A|, |B|)."""

    jaccard: Float[np.ndarray, " pair"]
    overlap: Float[np.ndarray, " pair"]


def overlap_of(sets: Bool[np.ndarray, "example component"], pairs: Pairs) -> Overlap:
    """How far the sets of each pair of examples, none of them empty, are the same.

    >>> sets = np.array([[True, True, False, False], [False, True, True, True]])
    >>> overlap_of(sets, np.array([[0], [1]]))
    Overlap(jaccard=array([0.25]), overlap=array([0.5]))
    """
    shared = np.count_nonzero(sets[pairs[0]] & sets[pairs[1]], axis=1)
    return _overlap(shared, *np.count_nonzero(sets, axis=1)[pairs])


def pairs_within(area: Int[np.ndarray, " example"], n_pairs: int, rng: np.random.Generator) -> Pairs:
    """Pairs of different examples of one area, the first evenly from all that are not alone there."""
    order, start, size = _areas(area)
    first = _some(np.flatnonzero(size > 1), n_pairs, rng)
    place = first - start[first]
    other = (place + 1 + rng.integers(0, size[first] - 1)) % size[first]
    return order[np.stack([first, start[first] + other])]


def pairs_across(area: Int[np.ndarray, " example"], n_pairs: int, rng: np.random.Generator) -> Pairs:
    """Pairs of examples of different areas, the first evenly from all; none if there is one area."""
    order, start, size = _areas(area)
    first = _some(np.flatnonzero(size < len(area)), n_pairs, rng)
    outside = start[first] + size[first] + rng.integers(0, len(area) - size[first])
    return order[np.stack([first, outside % len(area)])]


def _areas(area: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples sorted by area, and for each place in that order where its area starts, and its size."""
    order = np.argsort(area, kind="stable")
    _, start, which, size = np.unique(
        area[order], return_index=True, return_inverse=True, return_counts=True
    )
    return order, start[which], size[which]


def _some(of: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return of[rng.integers(0, len(of), n)] if len(of) else of


def _carriers(attribution: np.ndarray, share: float) -> np.ndarray:
    order = np.argsort(-attribution, axis=1)
    held = np.cumsum(np.take_along_axis(attribution, order, axis=1), axis=1, dtype=np.float64)
    total = held[:, -1:]
    size = 1 + np.argmax(held >= share * total * (1 - ROUNDING), axis=1, keepdims=True)
    taken = (np.arange(attribution.shape[1]) < size) & (total > 0)
    sets = np.zeros(attribution.shape, bool)
    np.put_along_axis(sets, order, taken, axis=1)
    return sets


def _overlap(shared: np.ndarray, size: np.ndarray, other_size: np.ndarray) -> Overlap:
    return Overlap(shared / (size + other_size - shared), shared / np.minimum(size, other_size))


def _mean_overlaps(sets: np.ndarray, pairs: Pairs, rng: np.random.Generator) -> list[float]:
    """Mean Jaccard and overlap of the pairs, and of random sets of their sizes; NaN without pairs."""
    if not pairs.size:
        return [np.nan] * 4
    size, other_size = np.count_nonzero(sets, axis=1)[pairs]
    by_chance = rng.hypergeometric(size, sets.shape[1] - size, other_size)
    drawn = _overlap(by_chance, size, other_size)
    return [float(each.mean()) for each in (*overlap_of(sets, pairs), *drawn)]


def _percentiles(sizes: np.ndarray) -> np.ndarray:
    return np.percentile(sizes, PERCENTILES) if len(sizes) else np.full(len(PERCENTILES), np.nan)
