"""What a page opens with: every claim in one line, and all of them in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from undergrowth.analysis import Rules, Verdict
from undergrowth.report.figure import Figure
from undergrowth.report.groups import RULES, alike, plural
from undergrowth.report.summary import in_one_sentence
from undergrowth.store import Run

RULINGS = ("supported", "inconclusive", "contradicted")


@dataclass(frozen=True)
class Section:
    """A study's part of a page.

    claims: (id, what it says); predictions: by hypothesis; verdicts and figures: in reading order;
    problems: why there is no answer, and what to do about it, a line each; notes: which of its runs
    diverged, failed, or had interventions that never fired, a line each.
    """

    name: str
    question: str
    claims: tuple[tuple[str, str], ...]
    predictions: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    figures: tuple[Figure, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A claim on the front page: what it says, and what a section's verdicts say of it.

    ruling: that of those which decided, 'mixed' where some support it and others contradict; says: how
    many of each; verdicts: all of them, each with where it stands in the section, from 1.
    """

    claim: str
    statement: str
    ruling: str
    says: str
    verdicts: tuple[tuple[int, Verdict], ...]

    @property
    def first(self) -> tuple[int, Verdict] | None:
        """The verdict that stands for them: the first that rests on any seed; None without one."""
        of_any = (each for each in self.verdicts if each[1].estimate.n)
        return next(of_any, self.verdicts[0] if self.verdicts else None)


def lines(section: Section) -> list[Line]:
    """One line for each claim of a section, in the order in which it states them."""
    return [_line(section, claim, statement) for claim, statement in section.claims]


def _line(section: Section, claim: str, statement: str) -> Line:
    found = tuple((i, v) for i, v in enumerate(section.verdicts, start=1) if v.claim == claim)
    counts = Counter(v.verdict for _, v in found)
    if not counts:
        return Line(claim, statement, "none", "no answer", ())
    decided = [ruling for ruling in ("supported", "contradicted") if counts[ruling]]
    ruling = "mixed" if len(decided) == 2 else decided[0] if decided else "inconclusive"
    says = [f"{counts[each]} {each}" for each in RULINGS if counts[each]]
    return Line(claim, statement, ruling, ruling if len(counts) == 1 else ", ".join(says), found)


def in_one_paragraph(sections: Sequence[Section], runs: Sequence[Run], rules: Rules = RULES) -> str:
    """What came out: of runs of one kind when they grokked, of several kinds how the claims stand."""
    found = [line for section in sections for line in lines(section)]
    if len(alike(runs)) < 2 or not any(line.verdicts for line in found):
        return in_one_sentence(runs, rules)
    counts = Counter(line.ruling for line in found)
    said = {
        "supported": "supported by all verdicts that decide",
        "mixed": "with verdicts for and against",
        "contradicted": "contradicted by all that decide",
        "inconclusive": "undecided",
        "none": "without an answer",
    }
    parts = [f"{counts[ruling]} {told_as}" for ruling, told_as in said.items() if counts[ruling]]
    studies = sum(bool(section.claims) for section in sections)
    return (
        f"Of {plural(len(found), 'claim')} in {plural(studies, 'study', 'studies')}, tested on "
        f"{len(runs):,} runs: {', '.join(parts)}."
    )
