"""How confident a model is in its training labels at each step, and what still pushes its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis.distributions import folded
from undergrowth.analysis.means import median_events
from undergrowth.report import theme
from undergrowth.report.charts import Colours, Layer, Look, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import counted
from undergrowth.report.panels import panels_figure
from undergrowth.store import Run
from undergrowth.store.reader import together

Arms = Mapping[str, Sequence[Run]]
LEVELS = {"p = 0.95": 0.05, "p = 0.99": 0.01}
SHARES = (0.0, 0.01, 0.04, 0.1, 0.25, 0.5, 1.0)
LOWEST = -10
"""Bins of log10(1 - p) below are drawn with this one: there p differs from 1 by less than 1e-10."""
BLUE = Colours(
    [(share, theme.faint(theme.SIDES["train"], 0.12 + 0.88 * share**0.5)) for share in SHARES],
    (0.0, 1.0),
    "share",
    {0.01: "1 %", 0.1: "10 %", 0.25: "25 %", 0.5: "50 %", 1.0: "100 %"},
    has_bar=True,
)
"""As the square root of the share, which brings out small ones."""


def error_probability_figure(arms: Arms, side: str = "train") -> Figure:
    """The distribution over examples of 1 - p at every step, a panel an arm, pooled over seeds."""
    frames = []
    for arm, runs in arms.items():
        share = folded(together(runs, "confidence_histogram").sel(side=side), LOWEST)
        events = [{"step": step, "name": event} for event, step in median_events(runs).items()]
        levels = [
            {"error_probability": np.log10(error_probability), "name": name}
            for name, error_probability in LEVELS.items()
        ]
        parts = {"share": share, "event": pd.DataFrame(events), "level": pd.DataFrame(levels)}
        frames += [part.assign(layer=layer, arm=arm) for layer, part in parts.items() if len(part)]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"arm": []})
    return chart(
        "error_probability",
        "How close to 1 the probability of each memorised label gets",
        "Share of the training examples by 1 − p, with p the probability of the correct label, in bins "
        f"of a quarter of a decade; darker is more. Mean over seeds: {_counted(arms)}. Dotted: the "
        "median step of each event over the seeds in which it happened, if it happened in most. Values "
        "below 1e-10 are in the lowest bin; step 0 is left out.",
        table.assign(panel=table["arm"]),
        {
            "share": Layer("cells", "step", "error_probability", shade="share"),
            "event": Layer("rules", "step", label="name"),
            "level": Layer("rules", "", "error_probability", label="name"),
        },
        x=STEPS,
        y=Scale("1 − p", ticks={k: f"10<sup>−{-k}</sup>" if k else "1" for k in range(LOWEST, 1, 2)}),
        colours=BLUE,
        tall=200,
    )


def _counted(arms: Arms) -> str:
    return ", ".join(counted(runs, arm) if runs else f"0 seeds {arm}" for arm, runs in arms.items())


def push_figure(arms: Arms, looks: Mapping[str, Look]) -> Figure:
    """The loss gradient, the two parts of the update and how many examples push, a line an arm."""
    found = {
        panel: {
            arm: values
            for arm, runs in arms.items()
            if np.isfinite((values := _over_runs(runs, value)).values).any()
        }
        for panel, (value, _) in PUSHES.items()
    }
    return panels_figure(
        "push",
        "What still pushes the weights once the labels are memorised",
        f"Mean over seeds: {_counted(arms)}. From the top: the norm of the gradient "
        "of the training loss; the norm of the gradient’s part of the next update (through the "
        "optimiser), and its ratio to the norm of decay’s part; the cosine between the gradient and the "
        "weights that decay pulls on, −1 where the two are opposed; and the effective "
        "share of the training examples that push, (Σ|g|)² / (n Σ|g|²), with g the gradient of an "
        f"example’s own loss. Dotted: median event over the seeds {next(iter(arms), '')}. "
        "Without decay there is no ratio and no cosine.",
        {panel: lines for panel, lines in found.items() if lines},
        looks=looks,
        y={panel: scale for panel, (_, scale) in PUSHES.items()},
        marks=dict.fromkeys(PUSHES, median_events(next(iter(arms.values()), ()))),
    )


def _over_runs(runs: Sequence[Run], value: Callable[[Run], xr.DataArray]) -> xr.DataArray:
    return xr.concat(
        [value(run) for run in runs], dim="run", join="outer", coords="minimal", compat="override"
    )


def _ratio(run: Run) -> xr.DataArray:
    above, below = run["confidence_data_norm"], run["confidence_decay_norm"]
    return above / below.where(below > 1e-6 * above)


def _cosine(run: Run) -> xr.DataArray:
    return run["confidence_pull_cosine"].where(run["confidence_pull_norm"] > 0)


def _effective_examples(run: Run) -> xr.DataArray:
    return run["confidence_effective_examples_train"] / run.spec.data().n_train


PUSHES: dict[str, tuple[Callable[[Run], xr.DataArray], Scale]] = {
    "norm of the loss gradient": (lambda run: run["confidence_gradient_norm"], Scale(kind="log")),
    "gradient’s part of the update": (lambda run: run["confidence_data_norm"], Scale(kind="log")),
    "gradient’s part ÷ decay’s part": (_ratio, Scale(kind="log")),
    "cosine of gradient and decay pull": (_cosine, Scale(limits=(-1.03, 0.53))),
    "share of examples that push": (_effective_examples, Scale(limits=(0, 1.03))),
}
PUSHED = tuple(
    f"confidence_{ending}"
    for ending in (
        *("gradient_norm", "data_norm", "decay_norm", "pull_cosine", "pull_norm"),
        "effective_examples_train",
    )
)
"""The readings that these need."""
