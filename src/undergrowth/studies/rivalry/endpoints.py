"""What decides P18 and P20, and each number beside the one that theory stated before."""

from __future__ import annotations

from functools import partial

from undergrowth.analysis import Exceeds, Within
from undergrowth.studies.arm import Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.rivalry.arms import (
    ADAM,
    ADAM_ONE,
    BEGINNINGS,
    DECAY_AND_PUSH,
    DECAY_BOTH,
    DECAY_EQUAL,
    DECAYS,
    EQUAL_PUSH,
    EXPONENTS,
    FACTORIAL_OPTIMISERS,
    ONE,
    ONE_RARE,
    ONE_RARE_LARGE,
    ONE_SMALL,
    PLAIN,
    PUSHES,
    QUICK_EXPONENTS,
    RIGGED,
    SCALARS,
    SIGN,
    WHOLE,
    WHOLE_EQUAL,
    factorial_arm,
    late_arm,
    late_levels,
    strips_arm,
)
from undergrowth.studies.rivalry.statistics import (
    EXPONENT,
    IS_AHEAD,
    OVERTAKES,
    RATIO,
    TAKEN,
    TAKEN_OF_LOGIT,
    beside_predicted,
)
from undergrowth.studies.table import Table

TIE = Exceeds(0.02)
"""Shares within 2 points of one half are a tie: an interval that lies within is an equivalence."""
WORTH = Exceeds(0.1)
NEAR, NEAR_EXPONENT = Within(0.02), Within(0.05)
"""Within 5 % of the predicted ratio; within 0.05 of the predicted exponent."""


def said(table: Table) -> str:
    """When the numbers were predicted."""
    return table.said_of_predictions


Ahead = partial(Endpoint, statistic=IS_AHEAD, rule=TIE)
Takes = partial(Endpoint, statistic=TAKEN, rule=WORTH)
As = partial(Endpoint, statistic=RATIO, rule=NEAR, measured=beside_predicted, note=said)

OF_PUSH = (
    Takes("summed-push", "P18", arm=EQUAL_PUSH, control=PLAIN, is_primary=True),
    Takes("summed-push-by-size", "P18", arm=ONE_SMALL, control=ONE),
    Takes("summed-push-by-count", "P18", arm=ONE_RARE, control=ONE),
    Takes("count-alone", "P18", arm=ONE_RARE_LARGE, control=ONE, rule=TIE),
    Ahead("tie-at-equal-push", "P18", arm=EQUAL_PUSH),
    Ahead("tie-at-equal-count", "P18", arm=ONE_RARE),
    Ahead("rigged", "P18", arm=RIGGED),
    Ahead("adam-full-batch", "P18", arm=ADAM),
    Ahead("sign-full-batch", "P18", arm=SIGN),
    Ahead("adam-one-at-a-time", "P18", arm=ADAM_ONE),
    Takes("summed-push-on-weights", "P18", statistic=TAKEN_OF_LOGIT, arm=WHOLE_EQUAL, control=WHOLE),
)
OF_NORM = (
    Ahead("norm-cost-equalised", "P20", arm=DECAY_EQUAL, is_primary=True),
    Ahead("norm-cost-as-it-is", "P20", arm=DECAY_BOTH),
    Ahead("push-equalised-with-decay", "P20", arm=DECAY_AND_PUSH),
    Ahead("no-norm-cost", "P20", arm=PLAIN),
)
CLAIMED: dict[str, str] = dict.fromkeys((DECAY_BOTH, DECAY_EQUAL, DECAY_AND_PUSH), "P20")


def as_predicted(arm: str) -> Endpoint:
    """An arm's ratio beside the predicted one."""
    return As(f"as predicted: {arm}", CLAIMED.get(arm, "P18"), arm=arm)


def exponent_as_predicted(name: str) -> Endpoint:
    """The exponent of growth under an optimiser beside the predicted one."""
    arm = strips_arm(name)
    return As(f"as predicted: {arm}", "P18", arm=arm, statistic=EXPONENT, rule=NEAR_EXPONENT)


def overtakes_as_predicted(depth: str, begins: str) -> Endpoint:
    """When a general circuit that begins behind overtakes, beside the step that was predicted."""
    name = f"overtakes as predicted: {depth}, {begins}"
    return As(name, "P18", arm=late_arm(depth, begins), statistic=OVERTAKES)


def factorial_endpoints() -> tuple[Endpoint, ...]:
    """In each part of the factorial what equal push takes away, and who is ahead at equal norm cost."""
    found = []
    full, equal = PUSHES
    none, _, costly = DECAYS
    for optimiser in FACTORIAL_OPTIMISERS:
        for begins in BEGINNINGS:
            cell = partial(factorial_arm, optimiser, begins=begins)
            where = f"{optimiser}, {begins}"
            mine, control = cell(push=equal, decay=none), cell(push=full, decay=none)
            found.append(Takes(f"summed-push: {where}", "P18", arm=mine, control=control))
            found.append(
                Ahead(f"norm-cost-equalised: {where}", "P20", arm=cell(push=full, decay=costly))
            )
    return tuple(found)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Those whose arms the budget has."""
    names = QUICK_EXPONENTS if budget == "quick" else tuple(EXPONENTS)
    return (
        *OF_PUSH,
        *OF_NORM,
        *map(as_predicted, SCALARS),
        *map(exponent_as_predicted, names),
        *(overtakes_as_predicted(*level) for level in late_levels(budget)),
        *(() if budget == "quick" else factorial_endpoints()),
    )
