"""The rival explanations of grokking, held against every endpoint that they predict something of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from undergrowth.analysis.predictions import Expected, Score, Scored
from undergrowth.analysis.rulings import Ruling
from undergrowth.analysis.verdicts import Verdict
from undergrowth.claim_ids import place_of_claim

FREQUENCY = "frequency of reinforcement"
EFFICIENCY = "circuit efficiency"
TWO_CIRCUITS = "two circuits and tiny gradients"
SIMPLICITY = "simplicity prior"
LAZY = "lazy to rich"
SLINGSHOT = "slingshot"
COLLAPSE = "softmax collapse"

RIVALS: Mapping[str, str] = {
    FREQUENCY: "F",
    EFFICIENCY: "E",
    TWO_CIRCUITS: "T",
    SIMPLICITY: "S",
    LAZY: "L",
    SLINGSHOT: "SL",
    COLLAPSE: "SC",
}
"""Of each its letter: the post's own (F); Varma et al. 2023, arXiv:2309.02390 (E); the thread's (T);
Mingard et al. 2021, arXiv:2006.15191 (S); Kumar et al. 2024, arXiv:2310.06110 (L); Thilak et al. 2022,
arXiv:2206.04817 (SL); Prieto et al. 2025, arXiv:2501.04697 (SC). Hypotheses by other names belong to one
study."""


@dataclass(frozen=True)
class Outcome:
    """How an endpoint came out: what `Verdict` says of it, or what is published of that.

    says: the effect in the reader's unit, with its seeds; is_claim: whether the seeds are enough.
    """

    claim: str
    study: str
    endpoint: str
    ruling: Ruling
    says: str
    is_claim: bool

    @classmethod
    def of(cls, verdict: Verdict) -> Outcome:
        """That of a verdict."""
        n = verdict.estimate.n
        says = f"{verdict.says}, {verdict.estimate.seeds}" if n else ""
        return cls(
            verdict.claim, verdict.study, verdict.endpoint, verdict.ruling, says, verdict.is_claim
        )


class Expectation(NamedTuple):
    """What a hypothesis expected of an outcome, and how it fared."""

    hypothesis: str
    expects: Expected
    score: Score
    outcome: Outcome

    @classmethod
    def of(cls, scored: Scored) -> Expectation:
        """That of a scored prediction."""
        prediction = scored.prediction
        return cls(prediction.hypothesis, prediction.expects, scored.score, Outcome.of(scored.verdict))


@dataclass(frozen=True)
class Tested:
    """An endpoint, and what each rival expected of it."""

    outcome: Outcome
    expected: Mapping[str, tuple[Expected, Score]]

    @property
    def is_answered(self) -> bool:
        """Whether the runs say which expectations were right."""
        return any(score != "open" for _, score in self.expected.values())

    @property
    def parts(self) -> bool:
        """Whether rivals expected different outcomes."""
        return len({expects for expects, _ in self.expected.values()}) > 1


def held_against_each_other(expectations: Sequence[Expectation]) -> tuple[Tested, ...]:
    """A row for each endpoint that a rival predicts; answered ones first, then in order of claims."""
    found: dict[tuple[str, str], tuple[Outcome, dict[str, tuple[Expected, Score]]]] = {}
    for each in expectations:
        if each.hypothesis in RIVALS:
            outcome = each.outcome
            row = found.setdefault((outcome.study, outcome.endpoint), (outcome, {}))
            row[1][each.hypothesis] = each.expects, each.score
    rows = [Tested(outcome, expected) for outcome, expected in found.values()]
    return tuple(sorted(rows, key=lambda row: (not row.is_answered, *place_of_claim(row.outcome.claim))))


@dataclass(frozen=True)
class Duel:
    """Two rivals where they expected different outcomes: how many endpoints each was right at."""

    one: str
    other: str
    n: int
    one_right: int
    other_right: int


def duels(rows: Sequence[Tested]) -> tuple[Duel, ...]:
    """Of every two rivals that part somewhere with an answer, those of most endpoints first."""
    found = []
    for one, other in combinations(RIVALS, 2):
        both = [
            (row.expected[one], row.expected[other])
            for row in rows
            if row.is_answered and one in row.expected and other in row.expected
        ]
        apart = [(mine[1], its[1]) for mine, its in both if mine[0] != its[0]]
        if apart:
            right = [sum(scores[k] == "right" for scores in apart) for k in (0, 1)]
            found.append(Duel(one, other, len(apart), *right))
    return tuple(sorted(found, key=lambda duel: -duel.n))


def in_words(expectations: Sequence[Expectation]) -> str:
    """What the runs say of the rivals, in a few sentences; empty where none predicts anything."""
    rows = held_against_each_other(expectations)
    if not rows:
        return ""
    scores: dict[str, Counter[str]] = {}
    for each in expectations:
        if each.hypothesis in RIVALS:
            scores.setdefault(each.hypothesis, Counter())[each.score] += 1
    answered = [row for row in rows if row.is_answered]
    n = sum(count.total() for count in scores.values())
    head = (
        f"{_plural(len(scores), 'explanation')} of grokking made {_plural(n, 'prediction')} at "
        f"{_plural(len(rows), 'endpoint')}; {len(answered)} of these have an answer."
    )
    if not answered:
        return head
    counts = [_count(name, scores[name]) for name in RIVALS if name in scores]
    few = sum(not row.outcome.is_claim for row in answered)
    seeds = f" Of these answers {few} rest on fewer seeds than a claim needs." if few else ""
    return f"{head} Right so far: {'; '.join(counts)}.{_of_duels(rows)}{seeds}"


def _count(name: str, scores: Counter[str]) -> str:
    decided = scores["right"] + scores["wrong"]
    return f"{name} {scores['right']} of {decided}" if decided else f"{name} none decided"


def _of_duels(rows: Sequence[Tested]) -> str:
    said = [
        f" Where {duel.one} and {duel.other} expect different outcomes "
        f"({_plural(duel.n, 'endpoint')}), the first was right at {duel.one_right}, the second at "
        f"{duel.other_right}."
        for duel in duels(rows)
        if FREQUENCY in (duel.one, duel.other)
    ]
    return "".join(said[:2])


def _plural(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
