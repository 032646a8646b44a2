"""A verdict as a small drawing: the estimate, its interval and the threshold that parts the answers."""

from __future__ import annotations

import math

from undergrowth.analysis import Verdict
from undergrowth.report.numbers import told

WIDTH, MARGIN = 240, 14


def forest(verdict: Verdict) -> str:
    """An SVG element; empty where there is no finite estimate. Colours come from the page."""
    e = verdict.estimate
    if not math.isfinite(e.effect):
        return ""
    shown = [v for v in (e.effect, e.low, e.high, verdict.threshold) if math.isfinite(v)]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0

    def x(value: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / span:.1f}"

    line = ""
    if math.isfinite(e.low) and math.isfinite(e.high):
        line = f'<path class="whisker" d="M{x(e.low)} 14H{x(e.high)}M{x(e.low)} 9v10M{x(e.high)} 9v10"/>'
    at = float(x(verdict.threshold))
    anchor = "start" if at < WIDTH / 4 else "end" if at > WIDTH * 3 / 4 else "middle"
    return (
        f'<svg class="forest" viewBox="0 0 {WIDTH} 44" width="{WIDTH}" height="44" aria-hidden="true">'
        f'<path class="threshold" d="M{at} 2V28"/>{line}<circle cx="{x(e.effect)}" cy="14" r="4.5"/>'
        f'<text x="{at}" y="40" text-anchor="{anchor}">threshold {told(verdict.threshold)}</text></svg>'
    )
