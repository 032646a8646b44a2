"""Times against complexity with fitted laws, and how well each law fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis.growth import MODELS, Growth, Model
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG, Axis, LogScale, add_axis_buttons, subplot_names
from undergrowth.report.bands import band_traces, faint
from undergrowth.report.figure import Figure
from undergrowth.report.groups import Band, plural
from undergrowth.report.numbers import rounded, told

LOOKS: dict[Model, tuple[str, str, str]] = {
    "constant": (theme.NEUTRAL, "2px,3px", "circle"),
    "power law": (theme.STRATEGIES["norm_matched"], "8px,3px", "square"),
    "exponential": (theme.STRATEGIES["top"], "solid", "diamond"),
}
"""Of each model: its colour, dash and symbol."""
N_GRID = 60
SHOWN = ["AIC", "over best", "AICc", "BIC", "slope"]
APART = 0.012
"""By how much of their complexity seeds of one task stand apart, so that they can be told."""


@dataclass(frozen=True, eq=False)
class Climb:
    """Times of runs on tasks of rising complexity, with their fits.

    name: a slug; family: which tasks; measure: of complexity, with its unit; tasks, seeds: of each run
    of `growth.ladder`.
    """

    name: str
    family: str
    measure: str
    growth: Growth
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def censored(self) -> str:
        """How many runs it did not happen to, in words."""
        happened = self.growth.ladder.happened
        return f"{plural(len(happened), 'run')}, {int((~happened).sum())} censored"


def growth_figure(climb: Climb, time: str) -> Figure:
    """Every run's time over complexity, with the power law and the exponential; x linear or log.

    time: what it is, as in 'grokked step'.
    """
    runs = climb.growth.ladder
    plot = go.Figure()
    for model in MODELS[1:]:
        plot.add_traces(_law(climb, model, time))
    plot.add_traces(
        [_dots(climb, time, seen) for seen in (True, False) if (runs.happened == seen).any()]
    )
    plot.add_trace(_names(climb))
    theme.dress(plot, height=470)
    plot.update_xaxes(title_text=climb.measure)
    plot.update_yaxes(title_text=time)
    steps = LogScale.of(runs.times / 1.4, runs.times * 1.6)
    high = float(np.log10(steps.high)) + 0.15
    low = float(np.log10(steps.low))
    marks = tuple(float(c) for c in np.unique(runs.complexity))
    scale = LogScale(marks[0], marks[-1], has_zero=False, marks=_sparse(marks))
    margin = 0.07 * (marks[-1] - marks[0])
    spread = 0.07 * np.log10(marks[-1] / marks[0])
    add_axis_buttons(
        plot,
        Axis(
            ("xaxis",),
            scale,
            "linear",
            linear_range=(marks[0] - margin, marks[-1] + margin),
            log_range=(np.log10(marks[0]) - spread, np.log10(marks[-1]) + spread),
        ),
        Axis(("yaxis",), steps, "log", linear_range=(0, 10**high), log_range=(low, high)),
    )
    return Figure(
        climb.name,
        f"{time.capitalize()} against {climb.measure}: {climb.family}",
        _caption(climb),
        plot,
        _table(climb),
    )


def _sparse(marks: Sequence[float]) -> tuple[float, ...]:
    """Marks that stand apart far enough to be read."""
    kept: list[float] = []
    for mark in marks:
        if not kept or np.log(mark / kept[-1]) > 0.05 * np.log(marks[-1] / marks[0]):
            kept.append(mark)
    return tuple(kept)


def _law(climb: Climb, model: Model, time: str) -> list[go.Scatter]:
    """The median of a fitted law with its interval; none where there is no fit."""
    runs, found = climb.growth.ladder, climb.growth.fits[model]
    if not np.isfinite(found.slope[0]):
        return []
    at = np.geomspace(runs.complexity.min(), runs.complexity.max(), N_GRID)
    mean = found.median(at)[0]
    low = high = np.full(N_GRID, np.nan)
    if climb.growth.resampled:
        drawn = climb.growth.resampled[model].median(at)
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        if len(drawn):
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    colour, dash, _ = LOOKS[model]
    hover = f"{model}<br>{climb.measure} %{{customdata[0]:.3g}}<br>{time}"
    return band_traces(
        at,
        Band(mean, low, high, "bootstrap"),
        name=model,
        colour=colour,
        dash=dash,
        hover=hover,
        showlegend=True,
    )


def _dots(climb: Climb, time: str, seen: bool) -> go.Scatter:
    runs = climb.growth.ladder
    at = np.flatnonzero(runs.happened == seen)
    seeds = np.array(climb.seeds)
    apart = 1 + APART * (seeds - seeds.mean()) / max(1.0, float(np.ptp(seeds)) / 2)
    said = time if seen else f"not by the last step: {time} above"
    return go.Scatter(
        x=rounded((runs.complexity * apart)[at]),
        y=rounded(runs.times[at]),
        mode="markers",
        name="one run" if seen else "one run, censored",
        marker={
            "size": 8 if seen else 10,
            "symbol": "circle" if seen else "triangle-up-open",
            "color": faint(theme.SIDES["val"], 0.6) if seen else theme.SIDES["val"],
            "line": {"width": 0 if seen else 1.6},
        },
        text=[
            f"{climb.tasks[i]}, seed {climb.seeds[i]}<br>{climb.measure} {runs.complexity[i]:g}"
            f"<br>{said} {runs.times[i]:,.0f}"
            for i in at
        ],
        meta={"kind": "happened" if seen else "censored"},
        hovertemplate="%{text}<extra></extra>",
    )


def _names(climb: Climb) -> go.Scatter:
    """The tasks of each complexity, above its highest run; none where the axis says it all."""
    runs = climb.growth.ladder
    at, top, said = [], [], []
    for c in np.unique(runs.complexity):
        here = np.flatnonzero(runs.complexity == c)
        at.append(float(c))
        top.append(float(runs.times[here].max()))
        said.append(
            "<br>".join(dict.fromkeys(climb.tasks[i] for i in here if "=" not in climb.tasks[i]))
        )
    return go.Scatter(
        x=at,
        y=top,
        mode="text",
        text=said,
        textposition=["top center" if x < at[-1] else "top left" for x in at],
        textfont={"size": 10, "color": theme.NEUTRAL},
        showlegend=False,
        hoverinfo="skip",
        cliponaxis=False,
        meta={"kind": "names"},
    )


def _caption(climb: Climb) -> str:
    runs, told_laws = climb.growth.ladder, []
    for model in MODELS[1:]:
        found = climb.growth.fits[model]
        unit = "exponent" if model == "power law" else "rate"
        told_laws.append(
            f"{model}: {unit} {told(float(found.slope[0]))}, AIC {told(float(found.aic[0]), 4)}"
        )
    return (
        f"A dot a run: {climb.censored}; a triangle is a run to which it had not happened by its last "
        f"step, and the fits count it as later. Complexity spans a factor of {told(runs.range)}; "
        "below 3 the laws can hardly be told apart. Lines: medians by maximum likelihood with lognormal "
        "spread, their bands 95 % intervals by redrawing the seeds of each task "
        f"({'; '.join(told_laws)}). "
        "Seeds of a task stand a little apart."
    )


def _table(climb: Climb) -> pd.DataFrame:
    """Columns task, seed, complexity, time, happened, and the fitted medians of both laws."""
    runs = climb.growth.ladder
    return pd.DataFrame(
        {
            "task": climb.tasks,
            "seed": climb.seeds,
            "complexity": runs.complexity,
            "time": runs.times,
            "happened": runs.happened,
            **{model: climb.growth.fits[model].median(runs.complexity)[0] for model in MODELS[1:]},
        }
    )


def criteria_figure(by_time: dict[str, Sequence[Climb]]) -> Figure:
    """Of each ladder the AIC of every model over that of the best: a panel a time, a row a ladder."""
    times = list(by_time)
    rows = [max(1, len(climbs)) for climbs in by_time.values()]
    height = 210 + 40 * len(rows) + 34 * sum(rows)
    plot = make_subplots(
        len(rows),
        1,
        row_heights=rows,
        vertical_spacing=min(0.2, 70 / height),
        subplot_titles=[fill(time, 24).replace("\n", "<br>") for time in times],
        shared_xaxes=True,
    )
    table = pd.concat(
        [_criteria(time, climb) for time, climbs in by_time.items() for climb in climbs]
        or [pd.DataFrame()],
        ignore_index=True,
    )
    for place, (time, climbs) in enumerate(by_time.items(), start=1):
        for model in MODELS:
            plot.add_trace(_criterion_dots(table, time, model, first=place == 1), row=place, col=1)
        names = [_row(climb) for climb in climbs]
        plot.update_yaxes(
            categoryorder="array", categoryarray=names, autorange="reversed", row=place, col=1
        )
    theme.dress(plot, height=height, controls=2)
    plot.update_annotations(font_size=13)
    plot.update_xaxes(title_text="AIC above the best", row=len(rows), col=1)
    known = table["over best"] if len(table) else []
    scale = LogScale.of(known)
    add_axis_buttons(plot, Axis(subplot_names("x", len(rows)), scale, "log"))
    caption = (
        "AIC over that of the best of three models of each ladder of tasks; the best is at 0. A model "
        "within 2 of the best is as good as it. Constant: the time does not depend on complexity. All "
        f"runs count, those censored as later than their last step. {ZERO_ON_LOG}"
    )
    return Figure("criteria", "Which law fits the times best", caption, plot, table)


def _row(climb: Climb) -> str:
    return f"{climb.family}:<br>{climb.measure}"


def _criterion_dots(table: pd.DataFrame, time: str, model: Model, *, first: bool) -> go.Scatter:
    its = table[(table["time"] == time) & (table["model"] == model)] if len(table) else table
    colour, _, symbol = LOOKS[model]
    return go.Scatter(
        x=rounded(its["over best"]) if len(its) else [],
        y=[
            f"{family}:<br>{measure}"
            for family, measure in zip(its["family"], its["measure"], strict=True)
        ]
        if len(its)
        else [],
        mode="markers",
        name=model,
        legendgroup=model,
        showlegend=first,
        marker={"size": 11, "symbol": symbol, "color": colour},
        text=[
            f"{model}: AIC {told(aic, 4)}, {told(over)} over the best"
            f"<br>AICc {told(aicc, 4)}, BIC {told(bic, 4)}<br>slope {told(slope)}"
            for aic, over, aicc, bic, slope in np.asarray(its[SHOWN]).tolist()
        ]
        if len(its)
        else [],
        meta={"kind": "criterion", "model": model},
        hovertemplate="%{text}<extra></extra>",
    )


def _criteria(time: str, climb: Climb) -> pd.DataFrame:
    fits = climb.growth.fits
    best = min((float(f.aic[0]) for f in fits.values() if np.isfinite(f.aic[0])), default=np.nan)
    runs = climb.growth.ladder
    return pd.DataFrame(
        [
            {
                "time": time,
                "family": climb.family,
                "measure": climb.measure,
                "model": model,
                "AIC": float(found.aic[0]),
                "over best": float(found.aic[0]) - best,
                "AICc": float(found.aicc[0]),
                "BIC": float(found.bic[0]),
                "slope": float(found.slope[0]),
                "sigma": float(found.sigma[0]),
                "n": found.n,
                "censored": int((~runs.happened).sum()),
                "range": runs.range,
            }
            for model, found in fits.items()
        ]
    )
