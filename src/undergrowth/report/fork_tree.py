"""The tree of forks: which run branched off which and where, what it changed, and what came of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from undergrowth.analysis import Event, Rules
from undergrowth.report import theme
from undergrowth.report.arms import Arm, Course, arms_of, courses, looks_of
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import RULES, Runs, as_runs, plural
from undergrowth.report.text_table import TextTable
from undergrowth.store.events import EventName
from undergrowth.store.outcomes import diverged_at, never_fired

MOST_ROWS = 40
"""Arms that the tree draws; the table beside it has all."""
LETTERS = 22
"""Of a line of an arm's name."""
SPREAD = 0.56
"""Of a row's height, over which the seeds of an arm are spread."""
FIRED, UNFIRED, CENSORED = "intervention fired", "never fired", "not grokked by its end"
SYMBOLS: Mapping[str, Look] = {
    FIRED: Look(theme.STRATEGIES["top"], symbol="triangle-up", size=12),
    UNFIRED: Look(theme.STRATEGIES["top"], symbol="triangle-up-open", size=12),
    "memorised": Look(theme.SIDES["train"], symbol="circle", size=9),
    "onset": Look(theme.SIDES["val"], symbol="diamond", size=9),
    "grokked": Look(theme.SIDES["val"], symbol="star", size=13),
    CENSORED: Look(theme.NEUTRAL, symbol="circle-open", size=9),
    "diverged": Look(theme.NEUTRAL, symbol="x", size=10),
}
"""How the tree, and every figure of arms, marks what happens in a run."""


def fork_figure(runs: Runs, rules: Rules = RULES) -> Figure:
    """A row an arm and a line a run, from where it left its parent to its end, and what happened on it.

    Columns of the table: layer ('run', 'branch', 'mark'), series, arm, parent, run, seed, step, row,
    what (of a firing, or of an arm what it changes).
    """
    arms = arms_of(runs)
    shown = arms[:MOST_ROWS]
    its = {course.run.id: course for course in courses(runs, rules)}
    rows = list(_rows(shown, its))
    table = pd.DataFrame(rows)
    n = len(as_runs(runs))
    counted = f"{plural(n, 'run') if n else 'no run yet'} in {plural(len(arms), 'arm')}"
    left_out = f" Drawn are the first {MOST_ROWS} of {len(arms)} arms." if len(arms) > len(shown) else ""
    told = "; ".join(f"{event}, {rules.describe(event)}" for event in _EVENTS)
    seeds = max((len(arm.runs) for arm in shown), default=1)
    figure = chart(
        "fork_tree",
        "Which run branched off which, where, and what came of it",
        f"{counted}: a row an arm, in it a line a seed, from where it left its parent (upright line) to "
        f"its end. Symbols are at the first evaluation at which a rule held: {told}.{left_out} "
        f"{ZERO_ON_LOG}",
        table,
        {
            "run": Layer("lines", "step", "row", each="run", tell=("seed",)),
            "branch": Layer("lines", "step", "row", series="", each="run"),
            "mark": Layer("dots", "step", "row", tell=("arm", "what", "seed")),
        },
        x=STEPS,
        y=_scale(shown),
        looks={**looks_of(shown, len(shown)), **SYMBOLS},
        tall=max(90, len(shown) * (26 + 7 * min(seeds, 8))),
    )
    for trace in figure.drawn.data:  # the rows say which arm a line is of
        trace["showlegend"] = trace["meta"]["layer"] == "mark" and trace["showlegend"]
    return figure


_EVENTS: tuple[EventName, ...] = ("memorised", "onset", "grokked")


def _scale(arms: Sequence[Arm]) -> Scale:
    names = {float(row): _indented(arm) for row, arm in enumerate(arms)}
    return Scale(limits=(len(arms) - 0.4, -0.6), ticks=names)


def _indented(arm: Arm) -> str:
    """The name, below and right of its parent's."""
    head = "\u00a0\u00a0" * (arm.depth - 1) + "└ " if arm.depth else ""
    return head + "<br>".join(textwrap.wrap(arm.name, LETTERS))


def _rows(arms: Sequence[Arm], its: Mapping[str, Course]) -> Iterator[dict[str, Any]]:
    at = {run.id: row for place, arm in enumerate(arms) for run, row in _spread(arm, place)}
    for arm in arms:
        for run in arm.runs:
            about = {"arm": arm.name, "parent": arm.parent, "run": run.id, "seed": run.spec.seeds.model}
            about |= {"row": at[run.id]}
            begin, end = run.forked_at or 0, _last(run, its[run.id])
            line = {"layer": "run", "series": arm.legend, **about, "what": arm.changes}
            yield from ({**line, "step": step} for step in (begin, end))
            if run.spec.fork and run.spec.fork.of in at and run.forked_at is not None:
                ends = (at[run.spec.fork.of], at[run.id])
                yield from ({**about, "layer": "branch", "step": begin, "row": row} for row in ends)
            marks = _marks(run, its[run.id], end)
            yield from ({**about, "layer": "mark", **mark} for mark in marks)


def _spread(arm: Arm, place: int) -> Iterator[tuple[Any, float]]:
    n = len(arm.runs)
    for i, run in enumerate(arm.runs):
        yield run, round(place + SPREAD * ((i + 0.5) / n - 0.5), 4)


def _last(run: Any, course: Course) -> int:
    """The step up to which there is something of a run."""
    known = [event.last for event in course.events.values()]
    return max([run.forked_at or 0, *known, *course.fired.values(), *_if(diverged_at(run))])


def _if(step: int | None) -> list[int]:
    return [] if step is None else [step]


def _marks(run: Any, course: Course, end: int) -> Iterator[dict[str, Any]]:
    for position, step in course.fired.items():
        yield {"series": FIRED, "step": step, "what": run.spec.interventions[position].describe()}
    for told in never_fired(run):
        yield {"series": UNFIRED, "step": end, "what": told}
    since = -1 if run.forked_at is None else run.forked_at  # what came before is its trunk's
    for name in _EVENTS:
        first = course.events[name].first
        if first is not None and first > since:
            yield {"series": name, "step": first, "what": ""}
    diverged = diverged_at(run)
    if diverged is not None:
        yield {"series": "diverged", "step": diverged, "what": ""}
    elif course.events["grokked"].censored and run.has_ended:
        yield {"series": CENSORED, "step": end, "what": ""}


HEAD = ("arm", "runs", "from", "what it changes", "branched at", "fired at")


def fork_table(runs: Runs, rules: Rules = RULES) -> TextTable:
    """A row an arm: its parent, what it changes, and over its seeds when it branched off, when its
    interventions fired, when it memorised, began to generalise and grokked, and how it ended.
    """
    its = {course.run.id: course for course in courses(runs, rules)}
    rows = []
    for arm in arms_of(runs):
        found = [its[run.id] for run in arm.runs]
        rows.append(
            (
                "\u00a0\u00a0" * (arm.depth - 1) + "└ " * bool(arm.depth) + arm.name,
                str(len(arm.runs)),
                arm.parent or ("a run elsewhere" if arm.runs[0].spec.fork else "–"),
                arm.changes,
                _steps([run.forked_at for run in arm.runs]),
                _firings(found),
                *(_happened([course.events[name] for course in found]) for name in _EVENTS),
                _end(arm),
            )
        )
    return TextTable((*HEAD, *_EVENTS, "ended"), tuple(rows))


def _steps(steps: Sequence[int | None]) -> str:
    known = [step for step in steps if step is not None]
    return _range(known) if known else "–"


def _range(steps: Sequence[int]) -> str:
    low, high = min(steps), max(steps)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _happened(found: Sequence[Event]) -> str:
    """When something happened in the runs of an arm, and in how many it did not."""
    known = [event.first for event in found if event.first is not None]
    late = [event.last for event in found if event.censored]
    if not late:
        return _range(known)
    if not known:
        return f"> {_range(late)}"
    return f"{_range(known)}; {len(late)} of {len(found)} > {_range(late)}"


def _firings(found: Sequence[Course]) -> str:
    """When each of an arm's own interventions fired, or that it never did, in order."""
    positions = sorted({at for course in found for at in course.fired})
    told = [_range([course.fired[at] for course in found if at in course.fired]) for at in positions]
    missed = _counted(each for course in found for each in never_fired(course.run))
    for words, n in missed:
        which = f": {words}" if len(missed) + len(positions) > 1 else ""
        told.append(f"never{which}" + (f" in {n} of {len(found)}" if n < len(found) else ""))
    return "; ".join(told) or "–"


def _counted(words: Iterator[str]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for each in words:
        found[each] = found.get(each, 0) + 1
    return list(found.items())


def _end(arm: Arm) -> str:
    """How the runs ended, most of them nothing but done."""
    said = []
    for run in arm.runs:
        diverged = diverged_at(run)
        if diverged is not None:
            said.append(f"diverged at {diverged:,}")
        elif run.stopped:
            said.append(f"stopped at {run.stopped[0]:,}: {run.stopped[1]}")
        else:
            said.append(run.status)
    counts = _counted(iter(said))
    return "; ".join(told if n == len(said) else f"{n} {told}" for told, n in counts)
