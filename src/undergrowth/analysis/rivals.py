"""The rival explanations of grokking, held against every endpoint that they predict something of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from undergrowth.analysis.predictions import Expected, Score, Scored, Tally, tallied
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
class Tested:
    """An endpoint, and what each rival expected of it."""

    verdict: Verdict
    expected: Mapping[str, tuple[Expected, Score]]

    @property
    def is_answered(self) -> bool:
        """Whether the runs say which expectations were right."""
        return any(score != "open" for _, score in self.expected.values())

    @property
    def parts(self) -> bool:
        """Whether rivals expected different outcomes."""
        return len({expects for expects, _ in self.expected.values()}) > 1


def held_against_each_other(scores: Sequence[Scored]) -> tuple[Tested, ...]:
    """A row for each endpoint that a rival predicts; answered ones first, then in order of claims."""
    found: dict[tuple[str, str], tuple[Verdict, dict[str, tuple[Expected, Score]]]] = {}
    for each in scores:
        if (name := each.prediction.hypothesis) in RIVALS:
            key = each.verdict.study, each.verdict.endpoint
            row = found.setdefault(key, (each.verdict, {}))
            row[1][name] = each.prediction.expects, each.score
    rows = [Tested(verdict, expected) for verdict, expected in found.values()]
    return tuple(sorted(rows, key=lambda row: (not row.is_answered, *place_of_claim(row.verdict.claim))))


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


def in_words(scores: Sequence[Scored]) -> str:
    """What the runs say of the rivals, in a few sentences; empty where none predicts anything."""
    rows = held_against_each_other(scores)
    if not rows:
        return ""
    of_rivals = [each for each in scores if each.prediction.hypothesis in RIVALS]
    tallies = {tally.hypothesis: tally for tally in tallied(of_rivals)}
    answered = [row for row in rows if row.is_answered]
    n = sum(tally.n for tally in tallies.values())
    head = (
        f"Of {len(tallies)} explanations with {n} predictions at {_endpoints(len(rows))}, "
        f"{len(answered)} of which {_have(len(answered))} an answer: "
    )
    if not answered:
        return head.removesuffix(": ") + "."
    counts = [_count(tallies[name]) for name in RIVALS if name in tallies]
    few = sum(not row.verdict.is_claim for row in answered)
    seeds = f" {few} of these answers rest on fewer seeds than a claim needs." if few else ""
    return f"{head}{'; '.join(counts)}.{_of_duels(rows)}{seeds}"


def _count(tally: Tally) -> str:
    decided = tally.right + tally.wrong
    if not decided:
        return f"{tally.hypothesis} has no answer yet"
    return f"{tally.hypothesis} was right {tally.right} times out of {decided}"


def _of_duels(rows: Sequence[Tested]) -> str:
    said = [
        f" Where {duel.one} and {duel.other} expect different outcomes ({_endpoints(duel.n)}), the "
        f"first was right {duel.one_right} times and the second {duel.other_right}."
        for duel in duels(rows)
        if FREQUENCY in (duel.one, duel.other)
    ]
    return "".join(said[:2])


def _endpoints(n: int) -> str:
    return f"{n} endpoint{'s' if n != 1 else ''}"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
