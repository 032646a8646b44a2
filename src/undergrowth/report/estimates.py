"""Estimates in rows: each arm's seeds and their mean, or many effects at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from undergrowth.analysis import Estimate
from undergrowth.analysis.means import Numbers, by_arm, columns_of
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.figure import Figure, chart

SEED = Look(theme.SIDES["train"], size=9, opacity=0.6)
MEAN = Look(theme.STRATEGIES["top"], symbol="diamond", size=11)
Effect = tuple[str, str, str, Estimate]
"""What is measured, with its unit; the arm; which of several kinds; the estimate."""


def by_arm_figure(
    name: str,
    title: str,
    panels: Mapping[str, Mapping[str, Numbers]],
    caption: str,
    lines: tuple[float, ...] = (0.0,),
) -> Figure:
    """Of each panel's arms every seed as a dot and the mean with its interval; lines: for reference."""
    table = by_arm(panels)
    named: Any = {"seed": "one seed", "mean": "mean and interval"}
    return chart(
        name,
        title,
        "Dots are seeds, the diamond their mean with its 95 % interval (Student's t, corrected for "
        "skewness; none for one seed or for fewer than six that are all equal); n: the number of seeds "
        f"drawn. {caption}",
        table.assign(series=table["layer"].map(named)) if len(table) else table,
        {
            "seed": Layer("dots", "value", "row", tell=("run", "seed")),
            "mean": Layer("intervals", "value", "row", tell=("n", "method")),
        },
        x={panel: Scale(lines=lines) for panel in panels},
        y=Scale(kind="rows"),
        looks={"one seed": SEED, "mean and interval": MEAN},
    )


def effects_figure(name: str, title: str, effects: Sequence[Effect], caption: str) -> Figure:
    """A panel per quantity, each on its own scale with a line at 0; a row per arm, a mark per kind."""
    rows = [
        {"panel": panel, "arm": arm, "kind": kind, **columns_of(estimate)}
        for panel, arm, kind, estimate in effects
    ]
    return chart(
        name,
        title,
        "Marks are means over seeds, bars their 95 % intervals; a mark without a bar has no interval. "
        f"{caption}",
        pd.DataFrame(rows),
        Layer("intervals", "value", "arm", series="kind", tell=("n", "n_control", "method")),
        x={panel: Scale(lines=(0.0,)) for panel, *_ in effects},
        y=Scale(kind="rows"),
    )
