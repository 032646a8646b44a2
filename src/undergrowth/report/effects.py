"""Many effects in one look: a row an arm, a panel a quantity, one mark with its interval a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis import Estimate
from undergrowth.report import theme
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import format_number, rounded

MARKS = (
    ("circle", theme.STRATEGIES["top"]),
    ("square", theme.STRATEGIES["random"]),
    ("diamond", theme.STRATEGIES["least"]),
    ("triangle-up", theme.STRATEGIES["norm_matched"]),
)
"""Symbol and colour of each kind, in the order in which they come."""


@dataclass(frozen=True)
class Effect:
    """An estimate, and where it stands: panel (the quantity, with its unit), arm (row), kind (mark)."""

    panel: str
    arm: str
    kind: str
    estimate: Estimate


def effects_figure(name: str, title: str, effects: Sequence[Effect], caption: str) -> Figure:
    """A panel a quantity, each on its own scale with a line at 0; rows in the order given."""
    panels, arms, kinds = (
        list(dict.fromkeys(getattr(e, field) for e in effects)) for field in ("panel", "arm", "kind")
    )
    tall = max(1, len(panels)) * (70 + 16 * (1 + len(arms) * max(1, len(kinds))))
    plot = make_subplots(max(1, len(panels)), 1, vertical_spacing=min(0.2, 80 / tall))
    for row, panel in enumerate(panels, start=1):
        for kind in kinds:
            found = [e for e in effects if (e.panel, e.kind) == (panel, kind)]
            if found:
                plot.add_trace(_marks(found, arms, kinds, first=row == 1), row=row, col=1)
        plot.update_xaxes(title_text=panel, zeroline=True, zerolinecolor=theme.NEUTRAL, row=row)
        plot.update_yaxes(
            tickmode="array",
            tickvals=list(range(len(arms))),
            ticktext=arms,
            range=[len(arms) - 0.4, -0.6],
            showgrid=False,
            row=row,
        )
    theme.dress(plot, height=110 + tall, controls=0)
    plot.update_xaxes(tickformat=None)
    caption = (
        "Marks are means over seeds, bars their 95 % intervals; a mark without a bar has no interval. "
        f"{caption}"
    )
    return Figure(name, title, caption, plot, _table(effects))


def _marks(found: Sequence[Effect], arms: list[str], kinds: list[str], *, first: bool) -> go.Scatter:
    kind = kinds.index(found[0].kind)
    symbol, colour = MARKS[kind % len(MARKS)]
    shift = 0.8 * ((kind + 0.5) / len(kinds) - 0.5)
    estimates = [e.estimate for e in found]
    return go.Scatter(
        x=rounded([e.effect for e in estimates]),
        y=[arms.index(e.arm) + shift for e in found],
        mode="markers",
        name=found[0].kind,
        legendgroup=found[0].kind,
        showlegend=first,
        marker={"symbol": symbol, "size": 9, "color": colour},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.effect if e.is_bounded else 0 for e in estimates],
            "arrayminus": [e.effect - e.low if e.is_bounded else 0 for e in estimates],
            "color": colour,
            "thickness": 1.6,
            "width": 3,
        },
        text=[_told(e) for e in found],
        meta={"kind": "effect"},
        hovertemplate="%{text}<extra></extra>",
    )


def _told(effect: Effect) -> str:
    e = effect.estimate
    interval = (
        f"<br>[{format_number(e.low)}, {format_number(e.high)}], {e.method}" if e.is_bounded else ""
    )
    return f"{effect.arm}, {effect.kind}: {format_number(e.effect)}{interval}<br>{e.seeds}"


def _table(effects: Sequence[Effect]) -> pd.DataFrame:
    """Columns quantity, arm, kind, mean, low, high, n, n_control."""
    return pd.DataFrame(
        [
            {
                "quantity": e.panel.replace("<br>", " "),
                "arm": e.arm,
                "kind": e.kind,
                "mean": e.estimate.effect,
                "low": e.estimate.low,
                "high": e.estimate.high,
                "n": e.estimate.n,
                "n_control": e.estimate.n_control,
            }
            for e in effects
        ]
    )
