"""Which of a page's figures opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from undergrowth.report.answer import clearest
from undergrowth.report.figure import Figure
from undergrowth.report.front import Section, lines


@dataclass(frozen=True)
class Picture:
    """A figure, and the section that it comes from."""

    figure: Figure
    section: Section


def opening(sections: Sequence[Section]) -> Picture | None:
    """The one picture that shows the answer; None where nothing is drawn.

    In this order: accuracy over steps beside the control with shuffled labels, for it shows what is to
    be explained and that it is no artefact; the first figure of the section with the clearest ruling;
    the first figure that there is.
    """
    drawn = [section for section in sections if section.figures]
    for section in drawn:
        for figure in section.figures:
            if section.claims and _shows_grokking_beside_its_control(figure):
                return Picture(figure, section)
    clear = clearest([line.answer for line in lines(sections)])
    where = next((line.section for line in lines(sections) if clear and line.answer == clear), "")
    first = next((section for section in drawn if section.name == where), None) or next(
        iter(drawn), None
    )
    return None if first is None else Picture(first.figures[0], first)


def _shows_grokking_beside_its_control(figure: Figure) -> bool:
    table = figure.table
    has_labels = figure.name == "accuracy" and "labels" in table
    return has_labels and {"true", "shuffled"} <= set(table["labels"])
