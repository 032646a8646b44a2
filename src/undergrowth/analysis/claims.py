"""One answer for each claim: the ruling of its primary endpoint, and how robust that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from undergrowth.analysis.rulings import Ruling
from undergrowth.analysis.verdicts import Verdict
from undergrowth.multiplicity import holm

NO_PRIMARY = "the study that decides it, which has not been run here"


@dataclass(frozen=True)
class Answered:
    """A claim with what the runs of a store say about it.

    primary: the verdict that gives the ruling, None without one; checks: the other verdicts on it, which
    show how robust the answer is and do not affect the ruling.
    """

    claim: str
    says: str
    primary: Verdict | None
    checks: tuple[Verdict, ...]

    @property
    def ruling(self) -> Ruling:
        """Of the primary alone."""
        return self.primary.ruling if self.primary else "open"

    @property
    def waits_for(self) -> str:
        """Why it is open; empty where it is not."""
        return self.primary.waits_for if self.primary else NO_PRIMARY

    @property
    def known(self) -> tuple[Verdict, ...]:
        """The checks that have a number."""
        return tuple(check for check in self.checks if math.isfinite(check.estimate.effect))

    @property
    def n_agreeing(self) -> int:
        """The checks whose effect is on the side that the claim says."""
        return sum(check.agrees for check in self.known)

    @property
    def robustness(self) -> str:
        """In words; empty without a check."""
        return f"{self.n_agreeing} of {len(self.known)} checks agree in sign" if self.known else ""

    def to_dict(self) -> dict[str, Any]:
        """For claims.json: one row a claim."""
        row: dict[str, Any] = {"claim": self.claim, "says": self.says, "ruling": self.ruling}
        if self.primary:
            told = self.primary.to_dict()
            kept = ("study", "endpoint", "effect", "interval", "p", "p_adjusted", "sesoi", "n_seeds")
            row |= {key: told[key] for key in kept} | {"effect_says": told["says"]}
        return row | {
            "waits_for": self.waits_for,
            "demonstration": bool(self.primary and not self.primary.is_claim),
            "checks": len(self.known),
            "checks_agreeing": self.n_agreeing,
        }


def adjusted(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts, each primary with its p adjusted for how many primaries have an answer (Holm)."""
    ps = {
        f"{v.study} {v.endpoint}": v.p
        for v in verdicts
        if v.is_primary and v.ruling != "open" and not np.isnan(v.p)
    }
    by_name = holm(ps)
    return tuple(
        replace(v, p_adjusted=by_name.get(f"{v.study} {v.endpoint}", math.nan)) if v.is_primary else v
        for v in verdicts
    )


def answered(claims: Mapping[str, str], verdicts: Sequence[Verdict]) -> tuple[Answered, ...]:
    """Each of some claims (by id, what it says) with the verdicts on it."""
    found = []
    for claim, says in claims.items():
        its = [verdict for verdict in verdicts if verdict.claim == claim]
        primary = next((verdict for verdict in its if verdict.is_primary), None)
        checks = tuple(verdict for verdict in its if not verdict.is_primary)
        found.append(Answered(claim, says, primary, checks))
    return tuple(found)
