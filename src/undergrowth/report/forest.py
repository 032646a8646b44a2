"""Verdicts as small drawings: the estimate, its interval, and what parts the answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from undergrowth.analysis import Exceeds, Verdict, Within
from undergrowth.report.numbers import format_number

WIDTH, MARGIN, HEIGHT = 240, 14, 22


def marks(verdict: Verdict) -> tuple[float, ...]:
    """The numbers that part the answers."""
    rule = verdict.rule
    if isinstance(rule, Within) or (isinstance(rule, Exceeds) and rule.sesoi):
        return -rule.threshold, rule.threshold
    return (rule.threshold,)


def forest(verdict: Verdict, *, with_text: bool = True) -> str:
    """An SVG element; empty where there is no finite estimate. Colours come from the page.

    Sides of the interval that are open run to the edge. with_text: whether the marks are named.
    """
    e = verdict.estimate
    if not math.isfinite(e.effect):
        return ""
    parting = marks(verdict)
    shown = [v for v in (e.effect, e.low, e.high, *parting) if math.isfinite(v)]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        if not math.isfinite(value):
            return 0.0 if value < 0 else float(WIDTH)
        return MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / span

    drawn = "".join(f'<path class="threshold" d="M{x(mark):.1f} 1V{HEIGHT - 1}"/>' for mark in parting)
    if len(parting) == 2:
        a, b = map(x, parting)
        drawn = (
            f'<rect class="sesoi" x="{a:.1f}" y="1" width="{b - a:.1f}" height="{HEIGHT - 2}"/>{drawn}'
        )
    if e.is_known:
        drawn += (
            f'<path class="whisker" d="M{x(e.low):.1f} 11H{x(e.high):.1f}{_ends(e.low, e.high, x)}"/>'
        )
    drawn += f'<circle cx="{x(e.effect):.1f}" cy="11" r="4"/>'
    height = HEIGHT + 16 if with_text else HEIGHT
    words = "".join(_label(mark, x(mark)) for mark in parting) if with_text else ""
    return (
        f'<svg class="forest" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'aria-hidden="true">{drawn}{words}</svg>'
    )


def _ends(low: float, high: float, x) -> str:
    """A bar at each end of an interval that is not open there."""
    return "".join(f"M{x(end):.1f} 7v8" for end in (low, high) if math.isfinite(end))


def _label(mark: float, at: float) -> str:
    anchor = "start" if at < WIDTH / 4 else "end" if at > WIDTH * 3 / 4 else "middle"
    return f'<text x="{at:.1f}" y="{HEIGHT + 12}" text-anchor="{anchor}">{format_number(mark)}</text>'


__all__: Sequence[str] = ["forest", "marks"]
