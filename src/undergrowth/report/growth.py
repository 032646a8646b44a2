"""Times against complexity, with the laws fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from undergrowth.analysis.growth import LAWS, Fit, Ladder, Law
from undergrowth.report import theme
from undergrowth.report.axes import Axis, LogScale, add_axis_buttons
from undergrowth.report.bands import faint
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.numbers import format_number, rounded

LOOKS: dict[Law, tuple[str, str]] = {
    "power law": (theme.STRATEGIES["norm_matched"], "8px,3px"),
    "exponential": (theme.STRATEGIES["top"], "solid"),
}
"""Of each law: its colour and dash."""
N_GRID = 60
APART = 0.012
"""By how much of their complexity seeds of one task stand apart, so that they can be told."""


@dataclass(frozen=True, eq=False)
class Climb:
    """Times of runs on tasks of rising complexity, with the laws fitted to them.

    name: a slug; family: which tasks; measure: of complexity, with its unit; fits: None where there is
    none; tasks: the name of each; seeds: of each run.
    """

    name: str
    family: str
    measure: str
    ladder: Ladder
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def complexity(self) -> np.ndarray:
        """Of each run's task."""
        return self.ladder.complexity[self.ladder.task]

    @property
    def times(self) -> np.ndarray:
        """Of each run: when it happened, or until when it had not."""
        return 10 ** self.ladder.bounds[np.arange(len(self.seeds)), self.ladder.happened.astype(int)]


def growth_figure(climb: Climb, time: str) -> Figure:
    """Every run's time over complexity, with the power law and the exponential; x linear or log.

    time: what it is, as in 'grokked step'.
    """
    runs, times = climb.ladder, climb.times
    plot = go.Figure()
    plot.add_traces([_law(climb, found, time) for law in LAWS if (found := climb.ladder.fits[law])])
    plot.add_traces(
        [_dots(climb, time, seen) for seen in (True, False) if (runs.happened == seen).any()]
    )
    plot.add_trace(_names(climb))
    theme.dress(plot, height=470)
    plot.update_xaxes(title_text=climb.measure)
    plot.update_yaxes(title_text=time)
    steps = LogScale.of(times / 1.4, times * 1.6)
    low, high = float(np.log10(steps.low)), float(np.log10(steps.high)) + 0.15
    marks = tuple(float(c) for c in np.unique(climb.complexity))
    scale = LogScale(marks[0], marks[-1], has_zero=False, marks=_sparse(marks))
    margin, spread = 0.07 * (marks[-1] - marks[0]), 0.07 * np.log10(marks[-1] / marks[0])
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
    title = f"{time.capitalize()} against {climb.measure}: {climb.family}"
    return Figure(climb.name, title, _caption(climb), plot, _table(climb))


def _sparse(marks: Sequence[float]) -> tuple[float, ...]:
    """Marks that stand apart far enough to be read."""
    kept: list[float] = []
    for mark in marks:
        if not kept or np.log(mark / kept[-1]) > 0.05 * np.log(marks[-1] / marks[0]):
            kept.append(mark)
    return tuple(kept)


def _law(climb: Climb, found: Fit, time: str) -> go.Scatter:
    """The median of a fitted law."""
    colour, dash = LOOKS[found.law]
    at = np.geomspace(climb.ladder.complexity.min(), climb.ladder.complexity.max(), N_GRID)
    return go.Scatter(
        x=rounded(at),
        y=rounded(found.median(at)),
        mode="lines",
        name=found.law,
        line={"color": colour, "width": 2, "dash": dash},
        meta={"kind": "law"},
        hovertemplate=f"{found.law}<br>{climb.measure} %{{x:.3g}}<br>{time} %{{y:.3g}}<extra></extra>",
    )


def _dots(climb: Climb, time: str, seen: bool) -> go.Scatter:
    at = np.flatnonzero(climb.ladder.happened == seen)
    complexity, times, seeds = climb.complexity, climb.times, np.array(climb.seeds)
    tasks = [climb.tasks[place] for place in climb.ladder.task]
    apart = 1 + APART * (seeds - seeds.mean()) / max(1.0, float(np.ptp(seeds)) / 2)
    said = time if seen else f"not by the last step: {time} above"
    return go.Scatter(
        x=rounded((complexity * apart)[at]),
        y=rounded(times[at]),
        mode="markers",
        name="one run" if seen else "one run, censored",
        marker={
            "size": 8 if seen else 10,
            "symbol": "circle" if seen else "triangle-up-open",
            "color": faint(theme.SIDES["val"], 0.6) if seen else theme.SIDES["val"],
            "line": {"width": 0 if seen else 1.6},
        },
        text=[
            f"{tasks[i]}, seed {seeds[i]}<br>{climb.measure} {complexity[i]:g}<br>{said} {times[i]:,.0f}"
            for i in at
        ],
        meta={"kind": "happened" if seen else "censored"},
        hovertemplate="%{text}<extra></extra>",
    )


def _names(climb: Climb) -> go.Scatter:
    """The tasks of each complexity, above its highest run; none where the axis says it all."""
    complexity, times = climb.ladder.complexity, climb.times
    at = np.unique(complexity)
    here = [np.flatnonzero(complexity == c) for c in at]
    return go.Scatter(
        x=at.tolist(),
        y=rounded([times[np.isin(climb.ladder.task, places)].max() for places in here]),
        mode="text",
        text=["<br>".join(climb.tasks[i] for i in each if "=" not in climb.tasks[i]) for each in here],
        textposition=["top center" if c < at[-1] else "top left" for c in at],
        textfont={"size": 10, "color": theme.NEUTRAL},
        showlegend=False,
        hoverinfo="skip",
        cliponaxis=False,
        meta={"kind": "names"},
    )


def _caption(climb: Climb) -> str:
    runs = climb.ladder
    laws = [
        f"{law}: {'exponent' if law == 'power law' else 'decades for each unit'} "
        f"{format_number(found.slope)}"
        for law, found in runs.fits.items()
        if found
    ]
    told_laws = f" ({'; '.join(laws)})" if laws else ""
    return (
        f"A dot a run: {plural(len(runs.task), 'run')}, {int((~runs.happened).sum())} censored; a "
        "triangle is a run to which it had not happened by its last step, and the fits count it as "
        f"later. Complexity spans a factor of {format_number(runs.span)}; below 3 the laws can hardly "
        "be told apart. Lines: medians by maximum likelihood with log-normal spread"
        f"{told_laws}. Seeds of a task stand a little apart."
    )


def _table(climb: Climb) -> pd.DataFrame:
    """Columns task, seed, complexity, time, happened, and the fitted medians of both laws."""
    return pd.DataFrame(
        {
            "task": [climb.tasks[place] for place in climb.ladder.task],
            "seed": climb.seeds,
            "complexity": climb.complexity,
            "time": climb.times,
            "happened": climb.ladder.happened,
            **{law: found.median(climb.complexity) for law, found in climb.ladder.fits.items() if found},
        }
    )
