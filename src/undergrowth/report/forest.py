"""Verdicts as small drawings: the estimate, its interval, and what parts the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from undergrowth.analysis import Exceeds, Verdict, Within
from undergrowth.report.numbers import format_number

WIDTH, MARGIN, HEIGHT = 240, 14, 22
Ends = tuple[float, float]
"""Where an axis begins and ends."""


def marks(verdict: Verdict) -> tuple[float, ...]:
    """The numbers that part the answers."""
    rule = verdict.rule
    if isinstance(rule, Within) or (isinstance(rule, Exceeds) and rule.sesoi):
        return -rule.threshold, rule.threshold
    return (rule.threshold,)


def unit(verdict: Verdict) -> str:
    """What its number counts: 'times' (a decimal logarithm of a ratio), 'share' (a part of something),
    'points' (a difference of such), or its statistic.
    """
    is_ratio = verdict.statistic.startswith("log10(") and " / " in verdict.statistic
    if is_ratio or verdict.statistic.endswith(", in decades"):
        return "times"
    if " points " in f"{verdict.says} ":
        return "points"
    return "share" if " % of " in verdict.says else verdict.statistic


def axes(verdicts: Iterable[Verdict]) -> dict[str, Ends]:
    """By unit, one axis for all verdicts in it.

    It has room for 0, all effects, thresholds and intervals; among several verdicts, for a quarter as
    much again as effects and thresholds take on either side, and a wider interval runs off it: or one
    uncertain effect would make all others too small to see.
    """
    by_unit: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_unit.setdefault(unit(verdict), []).append(verdict)
    return {its: _common(members) for its, members in by_unit.items()}


def _common(verdicts: Sequence[Verdict]) -> Ends:
    needed = [0.0, *(v.estimate.effect for v in verdicts), *(m for v in verdicts for m in marks(v))]
    low, high = min(needed), max(needed)
    room = (high - low) / 4 if len(verdicts) > 1 else math.inf
    bounds = [bound for v in verdicts for bound in (v.estimate.low, v.estimate.high)]
    shown = [min(max(bound, low - room), high + room) for bound in bounds if math.isfinite(bound)]
    return min([low, *shown]), max([high, *shown])


def forest(
    verdict: Verdict, *, with_text: bool = True, on: Mapping[str, Ends] | None = None, said: str = ""
) -> str:
    """An SVG element; empty where there is no finite estimate. Colours come from the page.

    Sides of the interval that are open, or leave the axis, run to the edge. with_text: whether the marks
    are named; on: by unit the axis (`axes`), by default one of its own; said: what a screen reader
    says, by default nothing, as where the numbers stand beside it.
    """
    e = verdict.estimate
    if not math.isfinite(e.effect):
        return ""
    parting = marks(verdict)
    low, high = on[unit(verdict)] if on else _own(verdict)
    x = _places(low, high)
    drawn = "".join(f'<path class="threshold" d="M{x(mark):.1f} 1V{HEIGHT - 1}"/>' for mark in parting)
    if len(parting) == 2:
        a, b = map(x, parting)
        drawn = (
            f'<rect class="sesoi" x="{a:.1f}" y="1" width="{b - a:.1f}" height="{HEIGHT - 2}"/>{drawn}'
        )
    if on:
        drawn = f'<path class="zero" d="M{x(0.0):.1f} 1V{HEIGHT - 1}"/>{drawn}'
    if e.is_known:
        drawn += (
            f'<path class="whisker" d="M{x(e.low):.1f} 11H{x(e.high):.1f}{_ends(e.low, e.high, x)}"/>'
        )
    drawn += f'<circle cx="{x(e.effect):.1f}" cy="11" r="4"/>'
    height = HEIGHT + 16 if with_text else HEIGHT
    heard = f'role="img" aria-label="{escape(said)}"' if said else 'aria-hidden="true"'
    names = _names(verdict, x, on) if with_text else ""
    kind = f"forest {'common ' * bool(on)}{verdict.ruling.replace(' ', '-')}"
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" {heard}>{drawn}{names}</svg>'
    )


def _own(verdict: Verdict) -> Ends:
    e = verdict.estimate
    shown = [v for v in (e.effect, e.low, e.high, *marks(verdict)) if math.isfinite(v)]
    return min(shown), max(shown)


def _places(low: float, high: float) -> Callable[[float], float]:
    """From a value to its place; what lies beyond the axis is at the edge."""
    span = (high - low) or 1.0

    def x(value: float) -> float:
        if low <= value <= high:
            return MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / span
        return 0.0 if value < low else float(WIDTH)

    return x


def _ends(low: float, high: float, x: Callable[[float], float]) -> str:
    """A bar at each end of an interval that is not open there, nor off the axis."""
    return "".join(f"M{x(end):.1f} 7v8" for end in (low, high) if 0 < x(end) < WIDTH)


def _names(verdict: Verdict, x: Callable[[float], float], on: Mapping[str, Ends] | None) -> str:
    """The marks in numbers; on a common axis in its unit, the upper one, and 0 where there is room."""
    parting = marks(verdict)
    if not on:
        return "".join(_label(format_number(mark), x(mark)) for mark in parting)
    told, at = in_unit(parting[-1], unit(verdict)), x(parting[-1])
    zero = x(0.0)
    is_apart = abs(zero - at) > 26 + 3 * len(told)
    return _label(("±" if isinstance(verdict.rule, Within) else "") + told, at) + (
        _label(in_unit(0.0, unit(verdict)), zero) if is_apart else ""
    )


def in_unit(value: float, its: str) -> str:
    """A number of an axis, as a reader would write it.

    >>> in_unit(1.0, "times"), in_unit(0.05, "points"), in_unit(1000.0, "steps")
    ('× 10', '5 points', '1,000')
    """
    if its == "times":
        return f"× {format_number(10**value, 2)}"
    percent = {"share": "%", "points": "points"}.get(its)
    return f"{format_number(100 * value)} {percent}" if percent and value else format_number(value)


def needed(verdict: Verdict) -> str:
    """What an effect is held against, in its unit: what it must exceed, from where it matters, or how
    near to 0 it must lie; empty where its sign alone decides.
    """
    rule = verdict.rule
    if not rule.threshold:
        return ""
    told = in_unit(rule.threshold, unit(verdict))
    if isinstance(rule, Within):
        return f"claimed: within {told if told.startswith('×') else f'±{told}'}"
    return f"matters from {told}" if isinstance(rule, Exceeds) else f"claimed: more than {told}"


def _label(name: str, at: float) -> str:
    anchor = "start" if at < WIDTH / 4 else "end" if at > WIDTH * 3 / 4 else "middle"
    return f'<text x="{at:.1f}" y="{HEIGHT + 12}" text-anchor="{anchor}">{escape(name)}</text>'
