"""What hypotheses expected of endpoints, and how it came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from undergrowth.analysis.verdicts import Verdict

Expected = Literal[">", "<", "none"]
Score = Literal["right", "wrong", "open"]
EXPECTS = {">": "the claim", "<": "the opposite", "none": "no effect"}


@dataclass(frozen=True)
class Prediction:
    """What a hypothesis expects at an endpoint: the claim ('>'), its opposite ('<'), or no effect."""

    hypothesis: str
    endpoint: str
    expects: Expected

    def score(self, verdict: Verdict) -> Score:
        """Whether it came out so; open where the runs do not say.

        A threshold leaves no room for 'no effect': what lies below it counts for 'none' as for '<'.
        """
        if verdict.ruling in ("open", "inconclusive"):
            return "open"
        none = "contradicted" if verdict.rule.is_one_sided else "no effect"
        fits = {">": "supported", "<": "contradicted", "none": none}
        return "right" if verdict.ruling == fits[self.expects] else "wrong"


@dataclass(frozen=True)
class Scored:
    """A prediction, the verdict that it is held against, and how it came out."""

    prediction: Prediction
    verdict: Verdict

    @property
    def score(self) -> Score:
        """Right, wrong or open."""
        return self.prediction.score(self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """For verdicts.json."""
        return {
            "hypothesis": self.prediction.hypothesis,
            "study": self.verdict.study,
            "endpoint": self.prediction.endpoint,
            "expects": self.prediction.expects,
            "ruling": self.verdict.ruling,
            "score": self.score,
        }


@dataclass(frozen=True)
class Tally:
    """How many predictions of a hypothesis came out right and wrong, and how many are open."""

    hypothesis: str
    right: int
    wrong: int
    open: int

    @property
    def n(self) -> int:
        """All of them."""
        return self.right + self.wrong + self.open


def tallied(scores: Sequence[Scored]) -> tuple[Tally, ...]:
    """By hypothesis, in the order in which they first come."""
    counts: dict[str, Counter[str]] = {}
    for each in scores:
        counts.setdefault(each.prediction.hypothesis, Counter())[each.score] += 1
    return tuple(Tally(name, c["right"], c["wrong"], c["open"]) for name, c in counts.items())
