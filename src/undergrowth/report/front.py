"""What a page opens with: one line per claim, and how each hypothesis did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from undergrowth.analysis.claims import Answered, answered
from undergrowth.analysis.hypotheses import (
    RIVALS,
    Expectation,
    Tested,
    held_against_each_other,
    in_words,
)
from undergrowth.analysis.predictions import Scored, Tally, tallied
from undergrowth.analysis.verdicts import Verdict
from undergrowth.claim_ids import place_of_claim
from undergrowth.report.figure import Figure
from undergrowth.report.text_table import TextTable


@dataclass(frozen=True)
class Section:
    """A study's part of a page.

    claims: by id, what each says; hypotheses: by name, what each expects; verdicts and figures: in
    reading order; scores: how the predictions came out; problems: why there is no answer, and what to do
    about it, a line each; notes: which of its runs diverged, failed, or had interventions that never
    fired, a line each; about: what it shows, in a sentence; table: what is
    read rather than drawn; more: figures that open on a click.
    """

    name: str
    question: str
    claims: Mapping[str, str]
    hypotheses: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    figures: tuple[Figure, ...]
    scores: tuple[Scored, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    about: str = ""
    table: TextTable | None = None
    more: tuple[Figure, ...] = ()

    @property
    def answers(self) -> tuple[Answered, ...]:
        """One answer for each of its claims, from its own verdicts."""
        return answered(self.claims, self.verdicts)

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """How each of its hypotheses did."""
        return tallied(self.scores)


@dataclass(frozen=True)
class Line:
    """A claim on the front page, and the section that it links to."""

    answer: Answered
    section: str

    @property
    def is_told(self) -> bool:
        """Whether these runs have an effect to show for it."""
        return is_told(self.answer)


def is_told(answer: Answered) -> bool:
    """Whether its primary has a number."""
    return answer.primary is not None and math.isfinite(answer.primary.estimate.effect)


def lines(sections: Sequence[Section]) -> tuple[Line, ...]:
    """One line per claim of all sections, with the verdicts of all, in the order of the claims' ids."""
    says: dict[str, str] = {}
    where: dict[str, str] = {}
    for section in sections:
        for claim, text in section.claims.items():
            is_decided = any(v.claim == claim and v.is_primary for v in section.verdicts)
            if claim not in says or is_decided:
                says[claim], where[claim] = text, section.name
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    found = answered(dict(sorted(says.items(), key=lambda item: place_of_claim(item[0]))), verdicts)
    return tuple(Line(each, where[each.claim]) for each in found)


def scoreboard(sections: Sequence[Section]) -> tuple[Tally, ...]:
    """How each hypothesis did over all sections, the rivals first."""
    tallies = tallied(_scores(sections))
    return tuple(sorted(tallies, key=lambda tally: _place(tally.hypothesis)))


def rivals(sections: Sequence[Section]) -> tuple[Tested, ...]:
    """What each rival expected of each endpoint, and how it came out."""
    return held_against_each_other([Expectation.of(score) for score in _scores(sections)])


def rivals_in_words(sections: Sequence[Section]) -> str:
    """The same in a few sentences."""
    return in_words([Expectation.of(score) for score in _scores(sections)])


def _scores(sections: Sequence[Section]) -> list[Scored]:
    return [score for section in sections for score in section.scores]


def _place(hypothesis: str) -> int:
    return list(RIVALS).index(hypothesis) if hypothesis in RIVALS else len(RIVALS)
