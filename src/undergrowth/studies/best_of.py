"""The best of several arms, judged on other seeds than those on which it was found to be the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from undergrowth.analysis import Value
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate
from undergrowth.studies.table import Table

ByArm = Mapping[str, Mapping[int, Value]]


def best_held_out(
    values_of_arms: Callable[[Table, Endpoint, Counter[str]], ByArm],
) -> Callable[[Table, Endpoint], Measured]:
    """An endpoint's number of each seed under the arm that was best for the other seeds: the least one,
    for the claim is that even the best does nothing.

    To take the best arm and to judge it on the same seeds would favour it. Raises nothing: where fewer
    than two seeds have every arm there is no value.
    """

    def measured(table: Table, endpoint: Endpoint) -> Measured:
        missing: Counter[str] = Counter()
        by_arm = values_of_arms(table, endpoint, missing)
        values = {seed: by_arm[arm][seed] for seed, arm in held_out(by_arm, min).items()}
        return Measured(aggregate(list(values.values())), values, missing=missing)

    return measured


def held_out(by_arm: ByArm, best: Callable[..., str]) -> dict[int, str]:
    """For each seed that every arm has, the arm that is best, by `min` or `max` of the median, for the
    other seeds; none where there is no other seed to choose by, unless there is one arm only.
    """
    seeds = sorted(set.intersection(*map(set, by_arm.values()))) if by_arm else []
    if len(by_arm) == 1:
        return dict.fromkeys(seeds, *by_arm)
    return {
        seed: best(by_arm, key=lambda arm: _middle(by_arm[arm], [s for s in seeds if s != seed]))
        for seed in (seeds if len(seeds) > 1 else ())
    }


def _middle(values: Mapping[int, Value], seeds: list[int]) -> float:
    """The median over some seeds of values, of bounds of their middle: infinite where a side is open."""
    middles = [_point(values[seed]) for seed in seeds]
    return float(np.median(middles))


def _point(value: Value) -> float:
    if not isinstance(value, tuple):
        return float(value)
    low, high = value
    if np.isinf(low) and np.isinf(high):
        return 0.0
    return low if np.isinf(low) else high if np.isinf(high) else (low + high) / 2
