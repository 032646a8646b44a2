"""Interventions at each fraction of the data: best accuracy, steps to 99 %, how many get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis import Estimate, Rules, Switched
from undergrowth.report import theme
from undergrowth.report.axes import LogScale, add_buttons
from undergrowth.report.bands import faint
from undergrowth.report.boosts import CELL_INK, COLOURS, DASHES
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.numbers import format_number, rounded

FEWER_TO_MORE = [[0.0, "#f1f1ee"], [1.0, "#86b8e8"]]


@dataclass(frozen=True, eq=False)
class Tried:
    """The runs of an intervention at one fraction, at least one.

    best: of their highest validation accuracies; median_steps: Kaplan and Meier's median of the steps
    to 99 %, inf where half had not got there.
    """

    arm: str
    fraction: float
    runs: tuple[Switched, ...]
    best: Estimate
    median_steps: float

    @property
    def there(self) -> int:
        """How many got to 99 %."""
        return sum(run.reaches_threshold for run in self.runs)


def best_accuracy_figure(
    tried: Sequence[Tried], panels: Mapping[str, Sequence[str]], plain: str
) -> Figure:
    """Best validation accuracy by the fraction trained on: panels of arms, the plain one in each."""
    present = {t.arm for t in tried}
    shown = {name: [arm for arm in arms if arm in present] for name, arms in panels.items()}
    shown = {name: arms for name, arms in shown.items() if arms} or {plain: []}
    plot = make_subplots(
        rows=len(shown),
        cols=1,
        subplot_titles=list(shown),
        shared_xaxes=True,
        vertical_spacing=0.18 / len(shown),
    )
    places = {arm: i for i, arm in enumerate([plain, *(a for arms in shown.values() for a in arms)])}
    for row, arms in enumerate(shown.values(), start=1):
        here = [arm for arm in (plain, *arms) if arm in present]
        for arm, shift in zip(here, np.linspace(-0.008, 0.008, len(here)), strict=True):
            line = _line([t for t in tried if t.arm == arm], places[arm], float(shift))
            plot.add_trace(line.update(showlegend=arm != plain or row == 1), row=row, col=1)
    theme.dress(plot, height=150 + 220 * len(shown), controls=0)
    plot.update_annotations(x=0, xanchor="left", font={"size": 13})
    plot.update_yaxes(range=[-0.05, 1.08], tickvals=[0, 0.5, 1])
    plot.update_yaxes(title_text="best validation accuracy", row=(len(shown) + 1) // 2)
    plot.update_xaxes(tickformat=".0%", tickvals=sorted({t.fraction for t in tried}))
    plot.update_xaxes(title_text="fraction of the pairs trained on", row=len(shown))
    return Figure(
        "fraction-accuracy",
        "Best validation accuracy within the budget, by the fraction of the data",
        "Points: mean over seeds of the highest validation accuracy at any evaluation, with its 95 % "
        "interval (Student's t, corrected for skewness); arms of one fraction stand side by side. "
        f"Grey in every panel: {plain}. {_seeds(tried)}.",
        plot,
        _table(tried),
    )


def _line(tried: Sequence[Tried], place: int, shift: float) -> go.Scatter:
    """An arm's points; its place decides its look, the plain arm's being 0."""
    arm, estimates = tried[0].arm, [t.best for t in tried]
    colour = COLOURS[place % len(COLOURS)] if place else theme.NEUTRAL
    dash = DASHES[place % len(DASHES)] if place else "solid"
    up = [e.high - e.effect if e.is_bounded else 0.0 for e in estimates]
    down = [e.effect - e.low if e.is_bounded else 0.0 for e in estimates]
    return go.Scatter(
        x=[t.fraction + shift for t in tried],
        y=rounded([e.effect for e in estimates]),
        customdata=[
            [f"{t.fraction:.0%}", format_number(t.best.low), format_number(t.best.high), t.best.seeds]
            for t in tried
        ],
        error_y={"type": "data", "array": up, "arrayminus": down, "width": 3, "thickness": 1.2},
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 1.5},
        marker={"color": colour, "size": 8, "symbol": place},
        name=arm,
        legendgroup=arm,
        hovertemplate=f"{arm} at %{{customdata[0]}}<br>%{{y:.3f}} [%{{customdata[1]}}, "
        "%{customdata[2]}], %{customdata[3]}<extra></extra>",
    )


def steps_figure(tried: Sequence[Tried], rules: Rules) -> Figure:
    """Steps to 99 % of every seed by arm, the largest fraction first; censored seeds are open."""
    fractions = sorted({t.fraction for t in tried}, reverse=True)
    arms = list(dict.fromkeys(t.arm for t in tried))
    plot = go.Figure()
    for fraction in fractions:
        here = [t for t in tried if t.fraction == fraction]
        plot.add_traces(_steps_traces(here, arms, visible=fraction == fractions[0]))
    each = len(plot.data) // len(fractions)  # pyright: ignore[reportArgumentType]
    buttons = [
        {
            "label": f"{fraction:.0%}",
            "method": "restyle",
            "args": [{"visible": [j // each == i for j in range(each * len(fractions))]}],
        }
        for i, fraction in enumerate(fractions)
    ]
    theme.dress(plot, height=170 + 36 * len(arms))
    add_buttons(plot, buttons)
    steps = [run.remaining for t in tried for run in t.runs]
    values, labels = LogScale.of(steps).ticks()
    plot.update_xaxes(
        type="log",
        range=[np.log10(min(steps)) - 0.1, np.log10(max(steps)) + 0.1],
        title_text="steps to 99 %",
        tickvals=values,
        ticktext=labels,
    )
    plot.update_yaxes(
        tickvals=list(range(len(arms))), ticktext=arms, range=[len(arms) - 0.5, -0.5], showgrid=False
    )
    return Figure(
        "fraction-steps",
        "How many steps validation takes to 99 %, by intervention",
        f"{rules.describe('grokked').capitalize()}, first time. Dots are seeds; ▷ those that had not "
        "got there by their last step (censored, not dropped); the diamond is the Kaplan-Meier median, "
        "missing where half had not. The buttons choose the fraction of the pairs trained on. "
        f"{_seeds(tried)}.",
        plot,
        pd.DataFrame(
            [
                {
                    "fraction": t.fraction,
                    "arm": t.arm,
                    "steps": run.remaining,
                    "is_censored": not run.reaches_threshold,
                    "stays": run.retains,
                }
                for t in tried
                for run in t.runs
            ]
        ),
    )


def _steps_traces(tried: Sequence[Tried], arms: Sequence[str], *, visible: bool) -> list[go.Scatter]:
    """Seeds that got there, those that did not, and medians; the seeds of an arm below one another."""
    common: dict[str, Any] = {"mode": "markers", "visible": visible}
    traces = []
    for reached, name in ((True, "one seed"), (False, "not there")):
        dots = [
            (run.remaining, t.arm, arms.index(t.arm) + place)
            for t in tried
            for run, place in zip(t.runs, np.linspace(-0.22, 0.22, len(t.runs)), strict=True)
            if run.reaches_threshold == reached
        ]
        traces.append(
            go.Scatter(
                **common,
                x=[steps for steps, _, _ in dots] or [None],
                y=[place for _, _, place in dots] or [None],
                text=[arm for _, arm, _ in dots],
                name=name,
                legendgroup=name,
                marker={
                    "size": 8,
                    "symbol": "circle" if reached else "triangle-right-open",
                    "color": faint(theme.SIDES["train"], 0.6) if reached else theme.NEUTRAL,
                },
                meta={"kind": "seed"},
                hovertemplate=f"%{{text}}<br>%{{x:,}} steps{'' if reached else ' and not there'}"
                "<extra></extra>",
            )
        )
    medians = [(t.median_steps, t) for t in tried if np.isfinite(t.median_steps)]
    traces.append(
        go.Scatter(
            **common,
            x=[steps for steps, _ in medians] or [None],
            y=[arms.index(t.arm) for _, t in medians] or [None],
            name="median",
            legendgroup="median",
            marker={"size": 11, "symbol": "diamond", "color": theme.STRATEGIES["top"]},
            text=[f"{t.arm}: {t.there} of {len(t.runs)} get there" for _, t in medians],
            meta={"kind": "median"},
            hovertemplate="%{text}<br>median %{x:,.0f} steps<extra></extra>",
        )
    )
    return traces


def fraction_map_figure(tried: Sequence[Tried], rules: Rules) -> Figure:
    """How many seeds get to 99 %, and the median steps: a row an arm, a column a fraction."""
    arms = list(dict.fromkeys(t.arm for t in tried))
    fractions = sorted({t.fraction for t in tried})
    cells = {(t.arm, t.fraction): t for t in tried}
    grid = [[cells.get((arm, fraction)) for fraction in fractions] for arm in arms]
    plot = go.Figure(
        go.Heatmap(
            x=[f"{fraction:.0%}" for fraction in fractions],
            y=arms,
            z=[[None if t is None else t.there / len(t.runs) for t in row] for row in grid],
            text=[["" if t is None else _cell(t) for t in row] for row in grid],
            customdata=[["" if t is None else _hover(t) for t in row] for row in grid],
            texttemplate="%{text}",
            textfont={"color": CELL_INK, "size": 12},
            colorscale=FEWER_TO_MORE,
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=3,
            ygap=3,
            hoverongaps=False,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    theme.dress(plot, height=110 + 34 * len(arms), controls=0)
    plot.update_yaxes(autorange="reversed", showgrid=False)
    plot.update_xaxes(
        showgrid=False, type="category", tickformat=None, title_text="fraction of the pairs trained on"
    )
    return Figure(
        "fraction-map",
        "Which interventions get to 99 % from which fraction of the data",
        f"In each cell how many seeds get to {rules.describe('grokked')} within the budget, and in "
        "brackets Kaplan and Meier's median of their steps, where half do. Full blue: all seeds. "
        f"{_seeds(tried)}.",
        plot,
        _table(tried),
    )


def _cell(t: Tried) -> str:
    steps = f" ({format_number(t.median_steps, 2)})" if np.isfinite(t.median_steps) else ""
    return f"{t.there}/{len(t.runs)}{steps}"


def _hover(t: Tried) -> str:
    stay = sum(run.retains for run in t.runs)
    return (
        f"{t.arm} at {t.fraction:.0%}<br>{t.there} of {plural(len(t.runs), 'seed')} get there, "
        f"{stay} stay<br>best validation accuracy {format_number(t.best.effect)}"
    )


def _seeds(tried: Sequence[Tried]) -> str:
    counts = sorted({len(t.runs) for t in tried})
    return f"{' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} seeds a point"


def _table(tried: Sequence[Tried]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": t.arm,
            "fraction": t.fraction,
            "seeds": len(t.runs),
            "best_val_accuracy": t.best.effect,
            "low": t.best.low,
            "high": t.best.high,
            "get_there": t.there,
            "stay": sum(run.retains for run in t.runs),
            "median_steps": t.median_steps,
        }
        for t in tried
    )
