"""A statistic: a number, its bounds, or yes or no for each seed, in a unit and in a reader's words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from undergrowth.report.numbers import format_number
from undergrowth.store import Run

Words = Callable[[float], str]
"""From an effect to what a reader is told of it."""


@dataclass(frozen=True)
class Missing:
    """Why a seed has no value."""

    why: str


@dataclass(frozen=True)
class Statistic:
    """What is measured of each seed, turned so that what is claimed is positive, or above its threshold.

    name: what it is, with its unit; how: in a sentence or two, how it is computed; of: from a run, or
    from a run and its control's of the same seed, to its value, to `Several` for an endpoint that pools
    them, or to `Missing` (or NaN) where it has none; range: what no value can leave; says: the effect in
    the reader's unit; takes_failed: whether a run that diverged has a value too.
    """

    name: str
    how: str
    of: Callable[..., Any]
    range: tuple[float, float] = (-math.inf, math.inf)
    says: Words = format_number
    takes_failed: bool = False


def beside(of: Callable[[Run], float | Missing]) -> Callable[..., float | Missing]:
    """A number of a run, or of a run minus its control's."""

    def measured(*runs: Run) -> float | Missing:
        numbers = [of(run) for run in runs]
        known = [number for number in numbers if not isinstance(number, Missing)]
        if len(known) < len(numbers):
            return next(number for number in numbers if isinstance(number, Missing))
        return known[0] - sum(known[1:])

    return measured


def lost(of: Callable[[Run], float | Missing]) -> Callable[..., float | Missing]:
    """A number of the control's run minus that of a run."""

    def negative(run: Run) -> float | Missing:
        found = of(run)
        return found if isinstance(found, Missing) else -found

    return beside(negative)


def times(more: str, less: str) -> Words:
    """Of a decimal logarithm of a ratio.

    >>> times("later", "sooner")(0.973), times("later", "sooner")(-1.0)
    ('× 9.4 later', '× 10 sooner')
    """

    def says(decades: float) -> str:
        if not math.isfinite(decades):
            return "unknown"
        ratio = 10 ** abs(decades)
        return (
            f"× {ratio:.2g} {more if decades >= 0 else less}"
            if ratio < 100
            else (f"× {format_number(ratio)} {more if decades >= 0 else less}")
        )

    return says


def times_predicted(decades: float) -> str:
    """Of a decimal logarithm of what was observed over what was predicted.

    >>> times_predicted(0.01), times_predicted(-0.0001), times_predicted(0.5)
    ('2.3 % more than predicted', '0.023 % less than predicted', '3.2 times what was predicted')
    """
    if not math.isfinite(decades):
        return "unknown"
    more = 10**decades - 1
    if not -0.5 <= more <= 1:
        return f"{1 + more:.2g} times what was predicted"
    return f"{100 * abs(more):.2g} % {'more' if more >= 0 else 'less'} than predicted"


def margin_of_parts(decades: float) -> str:
    """Of the decimal logarithm of the factor by which the weakest part of a claim holds.

    >>> margin_of_parts(0.561), margin_of_parts(-0.3)
    ('each part holds by a factor of 3.6 or more', 'a part misses by a factor of 2')
    """
    if not math.isfinite(decades):
        return "unknown"
    factor = f"{10 ** abs(decades):.2g}"
    return (
        f"each part holds by a factor of {factor} or more"
        if decades >= 0
        else f"a part misses by a factor of {factor}"
    )


def share(of: str) -> Words:
    """Of a share.

    >>> share("of the seeds")(0.75), share("of a co-cluster")(-0.004)
    ('75 % of the seeds', '0 % of a co-cluster')
    """
    return lambda value: (
        f"{_signed(f'{round(100 * value)}')} % {of}" if math.isfinite(value) else "unknown"
    )


def points(what: str) -> Words:
    """Of a difference of accuracies or other shares.

    >>> points("of accuracy")(-0.052), points("of accuracy")(-0.0001)
    ('−5.2 points of accuracy', '+0.0 points of accuracy')
    """
    return lambda value: (
        f"{_signed(f'{round(100 * value, 1) + 0.0:+.1f}')} points {what}"
        if math.isfinite(value)
        else "unknown"
    )


def _signed(number: str) -> str:
    """A number with a minus sign in place of a hyphen."""
    return number.replace("-", "−")


def unit(what: str) -> Words:
    """Of a number in a unit.

    >>> unit("decades")(0.31)
    '0.31 decades'
    """
    return lambda value: f"{format_number(value)} {what}"
