"""A threshold: the dose at which half of something is lost, beside that under another condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from undergrowth.analysis.doses import half_lost
from undergrowth.store import Run
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate
from undergrowth.studies.statistic import Missing
from undergrowth.studies.table import Table

NOT_EVERY_DOSE = "not every dose has a run that ended"


def moved(
    kept: Callable[[Run], float | Missing], arms: Callable[[Table], Sequence[dict[float, str]]]
) -> Callable[[Table, Endpoint], Measured]:
    """An endpoint's number of each seed: the logarithm of the threshold under the first of two
    conditions minus that under the second, between bounds where one lies beyond the doses.

    kept: what is kept of a run, a share; arms: of both conditions, the arm of each dose.
    """

    def measured(table: Table, endpoint: Endpoint) -> Measured:
        missing: Counter[str] = Counter()
        values = {}
        both = arms(table)
        seeds = {s for of in both for name in of.values() for s in table.runs.get(name, {})}
        for seed in sorted(seeds):
            found = [_kept_by_dose(table, of, seed, kept) for of in both]
            if any(len(by_dose) < len(of) for by_dose, of in zip(found, both, strict=True)):
                missing[NOT_EVERY_DOSE] += 1
                continue
            (low, high), (its_low, its_high) = map(half_lost, found)
            values[seed] = (low - its_high, high - its_low)
        return Measured(aggregate(list(values.values())), values, missing=missing)

    return measured


def _kept_by_dose(
    table: Table, arms: dict[float, str], seed: int, kept: Callable[[Run], float | Missing]
) -> dict[float, float]:
    runs = {dose: table.runs.get(name, {}).get(seed) for dose, name in arms.items()}
    ended = {d: kept(run) for d, run in runs.items() if run is not None and run.status != "failed"}
    return {dose: share for dose, share in ended.items() if not isinstance(share, Missing)}
