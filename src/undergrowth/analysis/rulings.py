"""What an interval says of a claim, by a rule that was stated before.

Numbers are turned so that what is claimed lies above 0, or above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from undergrowth.analysis.intervals import Estimate

Ruling = Literal["supported", "contradicted", "no effect", "inconclusive", "open"]
"""'open': the runs that there are cannot decide it."""

ALPHA = 0.05


@dataclass(frozen=True)
class Exceeds:
    """An effect on either side of 0; sesoi: the smallest effect of interest, in the statistic's unit.

    >>> from undergrowth.analysis import estimate
    >>> rule = Exceeds(sesoi=0.1)
    >>> rule.ruling(estimate([0.01, -0.02, 0.0, 0.02, -0.01, 0.01]))
    'no effect'
    """

    sesoi: float = 0.0
    is_one_sided: ClassVar[bool] = False

    @property
    def threshold(self) -> float:
        """What the claim's number is to exceed."""
        return self.sesoi

    def ruling(self, found: Estimate) -> Ruling:
        """By the interval alone."""
        if not found.is_known:
            return "inconclusive"
        if found.low > self.sesoi:
            return "supported"
        if found.high < -self.sesoi:
            return "contradicted"
        return "no effect" if -self.sesoi < found.low and found.high < self.sesoi else "inconclusive"

    def p(self, found: Estimate) -> float:
        """Of the nearest of the three answers: the other two regions are excluded at this p. The regions
        part the line, so testing all three needs no further correction (Finner & Strassburger 2002).
        """
        return _least(
            found,
            [self.sesoi] if found.effect > self.sesoi else [],
            [-self.sesoi] if found.effect < -self.sesoi else [],
            [-self.sesoi, self.sesoi] if abs(found.effect) <= self.sesoi else [],
        )

    def describe(self) -> str:
        """In words."""
        if not self.sesoi:
            return "Supported if the interval lies above 0; contradicted if below."
        s = f"{self.sesoi:g}"
        return (
            f"Supported if the interval lies above {s}, the smallest effect of interest; contradicted "
            f"if below -{s}; no effect if within ±{s}."
        )


@dataclass(frozen=True)
class Above:
    """A number to one side of a threshold, such as a share that is to exceed one half."""

    threshold: float
    is_one_sided: ClassVar[bool] = True

    def ruling(self, found: Estimate) -> Ruling:
        """By the interval alone."""
        if not found.is_known:
            return "inconclusive"
        if found.low > self.threshold:
            return "supported"
        return "contradicted" if found.high < self.threshold else "inconclusive"

    def p(self, found: Estimate) -> float:
        """Of the number being the threshold."""
        return _least(found, [self.threshold])

    def describe(self) -> str:
        """In words."""
        t = f"{self.threshold:g}"
        return f"Supported if the interval lies above {t}; contradicted if below."


@dataclass(frozen=True)
class Within:
    """A number that is claimed to be 0 up to a margin: an equivalence, which no wide interval shows."""

    margin: float
    is_one_sided: ClassVar[bool] = False

    @property
    def threshold(self) -> float:
        """The margin."""
        return self.margin

    def ruling(self, found: Estimate) -> Ruling:
        """By the interval alone."""
        if not found.is_known:
            return "inconclusive"
        if -self.margin < found.low and found.high < self.margin:
            return "supported"
        outside = found.low > self.margin or found.high < -self.margin
        return "contradicted" if outside else "inconclusive"

    def p(self, found: Estimate) -> float:
        """Of the nearest answer."""
        inside = abs(found.effect) <= self.margin
        nearest = np.copysign(self.margin, found.effect)
        return _least(found, [-self.margin, self.margin] if inside else [float(nearest)])

    def describe(self) -> str:
        """In words."""
        m = f"{self.margin:g}"
        return f"Supported if the interval lies within ±{m}; contradicted if it lies outside."


Rule = Exceeds | Above | Within


def _least(found: Estimate, *answers: list[float]) -> float:
    """The least p among answers, each of which takes all its thresholds to be excluded."""
    if found.p is None:
        return float("nan")
    ps = [max(map(found.p, thresholds)) for thresholds in answers if thresholds]
    return min(ps, default=float("nan"))
