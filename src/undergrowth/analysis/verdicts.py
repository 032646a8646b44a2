"""From an estimate and a rule that was stated before to a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from undergrowth.analysis.intervals import Estimate

Ruling = Literal["supported", "contradicted", "inconclusive"]
CLAIM_SEEDS = 10
"""Seeds from which a verdict counts as a claim; below, it is a demonstration."""


@dataclass(frozen=True)
class Verdict:
    """What the runs say of one claim.

    statistic: what was computed, with its unit; threshold: the value that parts the two answers; rule:
    what would have supported and what would have refuted it, in words.
    """

    claim: str
    study: str
    statistic: str
    estimate: Estimate
    threshold: float
    rule: str
    note: str = ""

    @property
    def verdict(self) -> Ruling:
        """By the interval alone: wholly above the threshold, wholly below it, or neither, or none."""
        if not self.estimate.is_bounded:
            return "inconclusive"
        if self.estimate.low > self.threshold:
            return "supported"
        return "contradicted" if self.estimate.high < self.threshold else "inconclusive"

    @property
    def is_claim(self) -> bool:
        """Whether there are seeds enough, of the control too, for more than a demonstration."""
        e = self.estimate
        return min(e.n, e.n if e.n_control is None else e.n_control) >= CLAIM_SEEDS

    def to_dict(self) -> dict[str, Any]:
        """For verdicts.json; a bound that could not be computed is null."""
        bounds = [self.estimate.low, self.estimate.high]
        return {
            "claim": self.claim,
            "study": self.study,
            "statistic": self.statistic,
            "effect": _number(self.estimate.effect),
            "interval": [_number(bound) for bound in bounds],
            "level": self.estimate.level,
            "method": self.estimate.method,
            "n_seeds": self.estimate.n,
            "n_control": self.estimate.n_control,
            "threshold": self.threshold,
            "rule": self.rule,
            "verdict": self.verdict,
            "note": self.note,
        }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
