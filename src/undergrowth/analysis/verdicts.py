"""What the runs say of a claim at one endpoint, with all that a reader needs to judge it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from undergrowth.analysis.intervals import Estimate
from undergrowth.analysis.rulings import Rule, Ruling
from undergrowth.notebook_html import html_list

CLAIM_SEEDS = 16
"""Seeds that a claim takes: with 10 an exact test of all claims at once could not be passed. Fewer are a
demonstration."""

Value = float | bool | tuple[float, float]
"""What one seed gives: a number, a yes or no, or the bounds of a number."""


@dataclass(frozen=True)
class Several:
    """What one seed gives where it has more than one number, as one for each spike: they are pooled."""

    numbers: tuple[float, ...]


Given = Value | Several
Chosen = Literal["explore", "confirm"]
"""Which seeds: those on which settings were looked at, or those kept for what is reported."""


@dataclass(frozen=True)
class Verdict:
    """An endpoint and what came of it.

    endpoint: its name within the study; statistic: what was measured of each seed, with its unit; how:
    in words, how; arm, control: whose runs; is_primary: whether it gives the claim its ruling, or only
    says how robust that is; says: the effect in the reader's unit; missing: by reason, seeds without a
    value; worst_case: the effect if these had come out as badly, and as well, as they could; values: by
    seed; several: by seed the numbers that were pooled, where each has more than one; by_arm: by arm and
    seed the numbers of a control that is not paired, or those from which an effect of whole arms is
    computed; waits_for: why these runs cannot decide it, empty where they can.
    """

    claim: str
    study: str
    endpoint: str
    statistic: str
    estimate: Estimate
    rule: Rule
    is_primary: bool = False
    arm: str = ""
    control: str | None = None
    how: str = ""
    says: str = ""
    note: str = ""
    missing: Mapping[str, int] = field(default_factory=dict)
    worst_case: tuple[float, float] | None = None
    values: Mapping[int, Value] = field(default_factory=dict)
    several: Mapping[int, Several] = field(default_factory=dict)
    by_arm: Mapping[str, Mapping[int, Value]] = field(default_factory=dict)
    waits_for: str = ""
    chosen: Chosen = "explore"
    p_adjusted: float = math.nan

    def __repr__(self) -> str:
        e = self.estimate
        primary = "" if self.is_primary else "check "
        told = f"{self.claim} {self.study}, {primary}{self.endpoint}: {self.ruling}"
        effect = f", {self.says or self.statistic} ({_number_of(self)}), n = {e.n}" if e.n else ""
        return f"Verdict({told}{effect})"

    def _repr_html_(self) -> str:
        return Verdicts([self])._repr_html_()

    @property
    def ruling(self) -> Ruling:
        """By the rule and the interval; 'open' where these runs cannot decide it."""
        return "open" if self.waits_for else self.rule.ruling(self.estimate)

    @property
    def p(self) -> float:
        """Of the ruling, before it is adjusted for how many claims there are."""
        return math.nan if self.waits_for else self.rule.p(self.estimate)

    @property
    def threshold(self) -> float:
        """What the number is to exceed, or to stay within."""
        return self.rule.threshold

    @property
    def is_claim(self) -> bool:
        """Whether there are seeds enough, of the control too, for more than a demonstration."""
        e = self.estimate
        return min(e.n, e.n if e.n_control is None else e.n_control) >= CLAIM_SEEDS

    @property
    def agrees(self) -> bool:
        """Whether the effect is on the side of the threshold that the claim says."""
        return self.estimate.effect > (self.rule.threshold if self.rule.is_one_sided else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """For verdicts.json; a number that could not be computed, or is infinite, is null."""
        e = self.estimate
        return {
            "claim": self.claim,
            "study": self.study,
            "endpoint": self.endpoint,
            "primary": self.is_primary,
            "statistic": self.statistic,
            "arm": self.arm,
            "control": self.control,
            "ruling": self.ruling,
            "effect": _number(e.effect),
            "says": self.says,
            "interval": [_number(e.low), _number(e.high)],
            "level": e.level,
            "method": e.method,
            "p": _number(self.p),
            "p_adjusted": _number(self.p_adjusted),
            "sesoi": self.rule.threshold,
            "rule": self.rule.describe(),
            "how": self.how,
            "n_seeds": e.n,
            "n_control": e.n_control,
            "seeds": self.chosen,
            "missing": dict(self.missing),
            "worst_case": self.worst_case and [_number(bound) for bound in self.worst_case],
            "waits_for": self.waits_for,
            "note": self.note,
        }


class Verdicts(tuple[Verdict, ...]):
    """Several verdicts, which print short."""

    __slots__ = ()

    def __repr__(self) -> str:
        told = ", ".join(f"{v.claim} {v.ruling}" for v in self if v.is_primary)
        return f"Verdicts({len(self)}{f': {told}' if told else ''})"

    def _repr_html_(self) -> str:
        rows = [
            (
                v.claim,
                v.ruling,
                v.endpoint if v.is_primary else f"check: {v.endpoint}",
                v.says if v.estimate.n else None,
                _number_of(v) if v.estimate.n else None,
                v.estimate.n,
                v.waits_for and f"waits for {v.waits_for}",
            )
            for v in self
        ]
        heads = ("claim", "ruling", "endpoint", "effect", "as measured", "n", "open")
        return html_list("Verdicts", heads, rows)


def _number_of(verdict: Verdict) -> str:
    e = verdict.estimate
    return f"{e.effect:.4g} [{e.low:.4g}, {e.high:.4g}]"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
