"""Learning curves of different settings on one axis, each counted by its own length and rise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from undergrowth.analysis.jumps import LEARNED, Jump
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG, Axis, LogScale, add_axis_buttons
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import rounded

COLOURS = (*theme.SIDES.values(), *theme.STRATEGIES.values())
DASHES = ("solid", "6px,3px", "2px,3px")
PLACES = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1.5, 70), np.linspace(0.02, 1.5, 75)]))
"""Shares of the steps that it took to learn, dense enough for either axis."""


@dataclass(frozen=True, eq=False)
class Learner:
    """A setting: the learning curves of its seeds, dim (step), and their jumps on linear steps."""

    setting: str
    curves: Sequence[xr.DataArray]
    jumps: Sequence[Jump]


def learning_figure(learners: Sequence[Learner], glossary: str = "") -> Figure:
    """The mean over seeds of each setting's curve, from 0 to 1, over the share of its own steps."""
    plot, frames = go.Figure(), []
    for i, learner in enumerate(learners):
        means = _mean_curve(learner)
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        name = f"{learner.setting} (n = {len(learner.curves)})"
        plot.add_trace(
            go.Scatter(
                x=rounded(PLACES),
                y=rounded(means),
                mode="lines",
                name=name,
                line={"color": colour, "width": 2, "dash": dash},
                meta={"kind": "mean", "setting": learner.setting},
                hovertemplate=f"{name}<br>at %{{x:.3g}} of its steps: %{{y:.3f}}<extra></extra>",
            )
        )
        n = len(learner.curves)
        frames.append(pd.DataFrame({"setting": learner.setting, "n": n, "steps": PLACES, "rise": means}))
    theme.dress(plot, height=560)
    plot.update_xaxes(title_text=f"share of the steps up to {LEARNED:.0%} of the rise", tickformat=None)
    plot.update_yaxes(title_text="share of the rise", range=[-0.15, 1.15])
    add_axis_buttons(plot, Axis(("xaxis",), LogScale.of(PLACES), "linear"))
    return Figure(
        "learning_curves",
        "Every setting's validation curve, by its own length and rise",
        "Mean over the seeds that learned. Each seed's curve is counted from the first level of its "
        "isotonic fit, 0, to the last one, 1, and in shares of the steps that it took to "
        f"{LEARNED:.0%} of that. A mean over seeds that jump at different times is smoother than each "
        f"of them: the jumps are of single runs. {glossary} {ZERO_ON_LOG}",
        plot,
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
    )


def _mean_curve(learner: Learner) -> np.ndarray:
    """float64 [place]: NaN beyond the end of all seeds."""
    curves = [_scaled(c, j) for c, j in zip(learner.curves, learner.jumps, strict=True)]
    known = np.isfinite(curves).sum(axis=0)
    return np.where(known > 0, np.nansum(curves, axis=0) / np.maximum(known, 1), np.nan)


def _scaled(curve: xr.DataArray, jump: Jump) -> np.ndarray:
    curve = curve.dropna("step")
    steps = curve["step"].values / jump.learned
    values = (curve.values - jump.level) / jump.rise
    return np.interp(PLACES, steps, values, right=np.nan)
