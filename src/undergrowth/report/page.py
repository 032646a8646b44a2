"""The page: one self-contained HTML file that works offline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import plotly.offline
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from undergrowth.analysis import Rules, Verdict
from undergrowth.analysis.claims import Answered
from undergrowth.analysis.hypotheses import RIVALS
from undergrowth.analysis.predictions import EXPECTS, Scored
from undergrowth.analysis.verdicts import CLAIM_SEEDS
from undergrowth.plain_text import p_in_words
from undergrowth.report import theme
from undergrowth.report.answer import here, how_sure, in_one_paragraph
from undergrowth.report.figure import CONFIG, Figure
from undergrowth.report.forest import Ends, axes, forest, needed
from undergrowth.report.front import Section, lines, rivals, rivals_in_words, scoreboard
from undergrowth.report.glossary import GLOSSARY
from undergrowth.report.groups import RULES, plural
from undergrowth.report.numbers import format_number
from undergrowth.report.packing import as_json, packed, plot_json, table_json
from undergrowth.report.picture import Picture, opening
from undergrowth.report.quotes import QUOTES
from undergrowth.report.tables import environments, run_rows, spec_blocks
from undergrowth.store import Run
from undergrowth.store.files import write_whole
from undergrowth.version import __version__

OPENING_TALL = 460
"""Pixels of the picture that opens the page, if it is but a little taller by itself: so the first claims
stand below it on one screen."""
MOST_NOTES = 8
"""Notes of a section up to which they are open; beyond, they open on a click."""


def write_page(
    out: Path,
    *,
    title: str,
    sections: Sequence[Section],
    runs: Sequence[Run],
    commands: Sequence[str],
    lede: str = "",
    rules: Rules = RULES,
    damaged: Mapping[str, str] = MappingProxyType({}),
    answer: str = "",
) -> None:
    """Write the page to the file `out`, complete or not at all.

    title: the question that it answers; lede: what a newcomer must know to understand the question;
    sections: what follows the front, in their order, each as `section.html.j2` has it; commands: what
    reproduces it, a shell line each; rules: those by which events are listed; damaged: by run id, why
    its readings cannot be read.
    """
    html = rendered(
        "page.html.j2",
        styles=("own_runs.css",),
        scripts=("aligned.js",),
        title=title,
        lede=lede,
        **_of_front(sections),
        answer=answer
        or in_one_paragraph(sections, [run for run in runs if run.id not in damaged], rules),
        snapshot=snapshot(runs),
        sections=sections,
        quotes=QUOTES,
        letters=RIVALS,
        expects=EXPECTS,
        rows=run_rows(runs, rules, damaged),
        rules=[(event, rules.describe(event)) for event in ("memorised", "onset", "grokked")],
        specs=spec_blocks(runs),
        environments=environments(runs),
        commands=commands,
        claim_seeds=CLAIM_SEEDS,
        glossary=GLOSSARY,
        most_notes=MOST_NOTES,
    )
    write_whole(Path(out), html.encode(errors="backslashreplace"))


def rendered(template: str, styles: Sequence[str], scripts: Sequence[str], **fields: Any) -> str:
    """A page in the shell that all pages share: its look, its script, plotly.js.

    styles, scripts: files that follow those of the shell; fields: what the template asks for beside.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            **fields,
            paper=theme.PAPER,
            font=Markup(theme.FONT),
            templates=packed(as_json({mode: theme.template(mode) for mode in ("light", "dark")})),
            config=packed(as_json(CONFIG)),
            style=Markup().join(map(_asset, ("page.css", *styles))),
            script=Markup().join(map(_asset, ("page.js", *scripts))),
            plotly=packed(plotly.offline.get_plotlyjs()),
            version=__version__,
        )
    )


def _of_front(sections: Sequence[Section]) -> dict[str, Any]:
    """What `front.html.j2` shows of the sections: claims with a ruling before those without one."""
    found, tallies = lines(sections), scoreboard(sections)
    told = sorted((line for line in found if line.is_told), key=lambda it: it.answer.ruling == "open")
    return {
        "picture": opening(sections),
        "opening_tall": OPENING_TALL,
        "told": told,
        "waiting": [line for line in found if not line.is_told],
        "axes": axes(line.answer.primary for line in told if line.answer.primary),
        "sure": how_sure(sections),
        "scoreboard": [tally for tally in tallies if tally.hypothesis in RIVALS] or tallies,
        "own_hypotheses": [tally for tally in tallies if tally.hypothesis not in RIVALS],
        "rivals": rivals(sections),
        "rivals_in_words": rivals_in_words(sections),
    }


def snapshot(runs: Sequence[Run]) -> str:
    """What to say of a page whose runs have not all come to their end; empty where they have."""
    under_way = sum(run.status == "running" for run in runs)
    interrupted = sum(run.status == "interrupted" for run in runs)
    if not under_way + interrupted:
        return ""
    counts = {"still running": under_way, "interrupted": interrupted}
    said = " and ".join(f"{n} {state}" for state, n in counts.items() if n)
    return (
        f"A snapshot: of {plural(len(runs), 'run')}, {said} when this page was written. Studies count "
        "them only when they have finished."
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("undergrowth", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plot": lambda figure: packed(plot_json(figure.drawn)),
        "table": lambda figure: packed(table_json(figure.table)),
        "format_number": format_number,
        "value": value,
        "interval": interval,
        "p_value": p_value,
        "forest": lambda verdict: Markup(forest(verdict)),
        "bar": bar,
        "axes_of": axes_of,
        "here": here,
        "needed": needed,
        "in_scores": in_scores,
        "figures_below": figures_below,
        "ground": _ground,
        "missing": _missing,
    }
    return environment


def figures_below(section: Section, picture: Picture | None) -> list[Figure]:
    """A section's figures, but for one that stands at the top of the page instead."""
    above = picture.figure if picture and picture.section is section else None
    return [figure for figure in section.figures if figure is not above]


def bar(verdict: Verdict, on: Mapping[str, Ends]) -> Markup:
    """An effect and its interval on an axis common to its unit, and in words for a screen reader."""
    effect = verdict.says or value(verdict.estimate.effect)
    said = f"{effect}; {interval(verdict)}. {verdict.rule.describe()}"
    return Markup(forest(verdict, on=on, said=said))


def axes_of(answer: Answered) -> dict[str, Ends]:
    """By unit, the axis for an answer's primary and its checks, which are one forest plot."""
    primary = [answer.primary] if answer.primary else []
    return axes([v for v in (*primary, *answer.known) if math.isfinite(v.estimate.effect)])


def in_scores(scores: Sequence[Scored]) -> str:
    """How predictions came out, in words.

    >>> in_scores([])
    ''
    """
    counts = Counter(score.score for score in scores)
    return ", ".join(f"{n} {said}" for said in ("right", "wrong", "open") if (n := counts[said]))


def value(number: float) -> str:
    """A number, or a dash where there is none."""
    return format_number(number) if math.isfinite(number) else "–"


def interval(verdict: Verdict) -> str:
    """An estimate's interval in words, or why there is none."""
    e = verdict.estimate
    if not e.n:
        return "no value: no seed has one"
    if not e.is_known:
        return f"no interval from {e.seeds}"
    if math.isinf(e.low):
        return f"{e.level:.0%} interval: at most {format_number(e.high)}"
    if math.isinf(e.high):
        return f"{e.level:.0%} interval: at least {format_number(e.low)}"
    return f"{e.level:.0%} interval {format_number(e.low)} to {format_number(e.high)}"


def p_value(verdict: Verdict) -> str:
    """Its p, adjusted where it is that of a primary; empty without one."""
    if math.isfinite(verdict.p_adjusted):
        return f"{p_in_words(verdict.p_adjusted)} after Holm"
    return p_in_words(verdict.p) if math.isfinite(verdict.p) else ""


def _ground(verdict: Verdict) -> str:
    """Why it is ruled so."""
    e = verdict.estimate
    if verdict.waits_for:
        return f"it is waiting for {verdict.waits_for}"
    if not e.is_known:
        return "there is no interval to test against the rule"
    return f"the interval runs from {_end(e.low)} to {_end(e.high)}"


def _end(bound: float) -> str:
    return format_number(bound) if math.isfinite(bound) else "−∞" if bound < 0 else "∞"


def _missing(verdict: Verdict) -> str:
    """Which seeds have no value and why, and what they could have changed; empty where all have one."""
    said = [f"{n} {why}" for why, n in verdict.missing.items()]
    if not said:
        return ""
    worst = verdict.worst_case
    bounds = (
        f" With them the effect would lie between {format_number(worst[0])} and "
        f"{format_number(worst[1])}."
        if worst
        else ""
    )
    return f"Seeds without a value: {', '.join(said)}.{bounds}"


def _asset(name: str) -> Markup:
    return Markup(resources.files("undergrowth.report").joinpath(name).read_text("utf-8"))
