"""What decides C3 to C9 and C14, and what shows how robust that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from undergrowth.analysis import Above, Exceeds, Value, proportion
from undergrowth.studies.arm import Budget
from undergrowth.studies.best_of import best_held_out
from undergrowth.studies.endpoint import Endpoint, Measured
from undergrowth.studies.lr_boost import statistics
from undergrowth.studies.lr_boost.arms import (
    BOOSTS,
    FROM_START,
    HELD,
    REPLICATION,
    SCALE,
    TUNED,
    Boost,
)
from undergrowth.studies.lr_boost.statistics import (
    CLIMBS,
    CORRELATED,
    FASTER,
    GETS_THERE,
    LOST,
    NARROWER,
    NEVER,
    SLOWER,
    proportional,
    straddles,
    switched,
)
from undergrowth.studies.own_scale import STAND_IN
from undergrowth.studies.statistic import Missing, Statistic, share
from undergrowth.studies.table import Table

HALF = Above(0.5)
WORTH = 0.1
"""The smallest speed-up of interest, in decades: a quarter more."""


def beside(name: str, claim: str, statistic: Statistic, boost: Boost, rule, **more) -> Endpoint:
    """A boosted run beside its control of the same seed."""
    return Endpoint(name, claim, statistic, boost.name, rule, control=boost.control.name, **more)


def alone(name: str, claim: str, statistic: Statistic, boost: Boost, rule, **more) -> Endpoint:
    """A boosted run by itself."""
    return Endpoint(name, claim, statistic, boost.name, rule, **more)


@cache
def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Those whose arms the budget has; of a stand-in every primary waits for the post's own scale.

    There the boosts are those of the comments: on addition from step 300 on, Pope's from step 1,000.
    """
    has, scale = set(BOOSTS[budget]), SCALE[budget]
    early = "step 300" if scale == "own" else "memorised"
    pope = REPLICATION if scale == "own" else "addition"
    found = (
        *_rate(early),
        *_shift(early, pope),
        *_from_start(),
        *_group(has),
        *_division(has),
        _starts(),
    )
    there = {boost.name for boost in has}
    return tuple(
        replace(endpoint, waits_for=STAND_IN) if endpoint.is_primary and scale != "own" else endpoint
        for endpoint in found
        if endpoint.arm in there and (endpoint.control is None or endpoint.control in there)
    )


def _rate(early: str) -> tuple[Endpoint, ...]:
    add, onset = "addition", "onset"
    return (
        beside(
            "proportional", "C3", proportional(10), Boost(add, HELD, 10, onset), HALF, is_primary=True
        ),
        beside("proportional-decay-too", "C3", proportional(10), Boost(add, "lr", 10, onset), HALF),
        beside("proportional-early", "C3", proportional(10), Boost(add, HELD, 10, early), HALF),
        beside("proportional-100", "C3", proportional(100), Boost(add, "lr", 100, onset), HALF),
        beside("proportional-tuned", "C3", proportional(10), Boost(TUNED, "lr", 10, onset), HALF),
        Endpoint(
            "works-and-collapses",
            "C4",
            WORKS_AND_COLLAPSES,
            Boost(add, "lr", 10, early).name,
            HALF,
            is_primary=True,
            measured=works_and_collapses(early),
        ),
        *(
            beside(f"sooner-{factor}", "C4", FASTER, Boost(add, "lr", factor, early), Exceeds(WORTH))
            for factor in (5, 10)
        ),
        beside("sooner-tuned", "C4", FASTER, Boost(TUNED, "lr", 5, "memorised"), Exceeds(WORTH)),
        alone("collapses-100", "C4", LOST, Boost(add, "lr", 100, early), HALF),
        beside("sooner-by-decay", "C3", FASTER, Boost(add, "decay", 10, early), Exceeds(WORTH)),
    )


WORKS_AND_COLLAPSES = Statistic(
    "share of seeds in which × 10 halves the time and × 100 does not get there to stay",
    f"{statistics.SPEED} Both boosts from the same switch.",
    lambda run: False,
    says=share("of the seeds"),
    takes_failed=True,
)


def works_and_collapses(switch: str) -> Callable[[Table, Endpoint], Measured]:
    """C4's two halves in one seed."""
    ten, hundred = (Boost("addition", "lr", factor, switch) for factor in (10, 100))

    def measured(table: Table, endpoint: Endpoint) -> Measured:
        found: dict[int, Value] = {}
        missing: Counter[str] = Counter()
        for seed, (run, control) in table.pairs(ten.name, ten.control.name).items():
            other = table.runs.get(hundred.name, {}).get(seed)
            if other is None or switched(run).is_too_late:
                missing["no run of × 100, or there before the switch"] += 1
                continue
            low, _ = statistics.faster(switched(run), switched(control))
            found[seed] = bool(low >= np.log10(2) and not switched(other).retains)
        return Measured(proportion([bool(value) for value in found.values()]), found, missing=missing)

    return measured


def _shift(early: str, pope: str) -> tuple[Endpoint, ...]:
    boost = Boost("addition", "lr", 10, early)
    late = {factor: Boost(pope, "lr", factor, "step 1,000") for factor in (10, 50)}
    return (
        alone("climbs-while-below", "C5", CLIMBS, boost, HALF, is_primary=True),
        beside("narrower", "C5", NARROWER, boost, Exceeds(0.05)),
        alone("never-converges-10", "C5", NEVER, late[10], HALF),
        alone("converges-50", "C5", GETS_THERE, late[50], HALF),
        beside("correlated", "C6", CORRELATED, boost, Exceeds(0.2), is_primary=True),
    )


def _from_start() -> tuple[Endpoint, ...]:
    return (
        alone("fails-from-start", "C7", LOST, Boost("addition", "lr", 10), HALF, is_primary=True),
        *(
            beside(
                f"slower-from-start-{task}-{factor}",
                "C7",
                SLOWER,
                Boost(task, "lr", factor),
                Exceeds(WORTH),
            )
            for task in ("addition", TUNED)
            for factor in (5, 10)
        ),
    )


def _group(has: set[Boost]) -> tuple[Endpoint, ...]:
    boosts = _boosts(has, "group", from_start=False)
    first = boosts[0]
    return (
        Endpoint(
            "no-boost-works",
            "C8",
            replace(SLOWER, how=f"{SLOWER.how} {BEST_OF_OTHERS}"),
            first.name,
            Above(-WORTH),
            control=first.control.name,
            is_primary=True,
            measured=best_held_out(_slower_by_arm(boosts)),
        ),
        *(
            beside(f"slower-{boost.label}-{boost.switch}", "C8", SLOWER, boost, Exceeds(WORTH))
            for boost in boosts
        ),
    )


def _division(has: set[Boost]) -> tuple[Endpoint, ...]:
    tens = _boosts(has, "division", factor=10)
    return (
        beside(
            "destroys-5",
            "C9",
            SLOWER,
            Boost("division", "lr", 5, "onset"),
            Exceeds(WORTH),
            is_primary=True,
        ),
        beside("works-3", "C9", FASTER, Boost("division", "lr", 3, "onset"), Exceeds(WORTH)),
        beside("works-5-from-start", "C9", FASTER, Boost("division", "lr", 5), Exceeds(WORTH)),
        Endpoint(
            "never-works-10",
            "C9",
            replace(SLOWER, how=f"{SLOWER.how} {BEST_OF_OTHERS}"),
            tens[0].name,
            Above(-WORTH),
            control=tens[0].control.name,
            measured=best_held_out(_slower_by_arm(tens)),
        ),
    )


def _starts() -> Endpoint:
    return beside(
        "start-changes-conclusion",
        "C14",
        straddles(10),
        Boost("addition", "lr", 10, "onset"),
        Above(0.0),
        is_primary=True,
    )


BEST_OF_OTHERS = "For each seed the boost that was best for the other seeds."


def _boosts(
    has: set[Boost], task: str, *, factor: float | None = None, from_start: bool = True
) -> list[Boost]:
    """The boosts of the rate alone, of a task, in a settled order."""
    found = (
        boost
        for boost in has
        if (boost.task, boost.what) == (task, "lr") and boost.factor > 1
        if (factor is None or boost.factor == factor) and (from_start or boost.switch != FROM_START)
    )
    return sorted(found, key=lambda boost: (boost.factor, boost.switch))


def _slower_by_arm(boosts: list[Boost]):
    def values(table: Table, endpoint: Endpoint, missing: Counter[str]) -> dict[str, dict[int, Value]]:
        found: dict[str, dict[int, Value]] = {}
        for boost in boosts:
            for seed, (run, control) in table.pairs(boost.name, boost.control.name).items():
                value = endpoint.statistic.of(run, control)
                if isinstance(value, Missing):
                    missing[value.why] += 1
                else:
                    found.setdefault(boost.name, {})[seed] = value
        return found

    return values
