"""The primary endpoint of each of a study's claims: one mark a seed, the estimate and its interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from undergrowth.published.reading import Published
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.figure import Figure, chart

SEEDS, MEAN = "each seed", "estimate, 95 % interval"
AT_LEAST, AT_MOST = "a seed, that or more", "a seed, that or less"
BETWEEN = "a seed, between two bounds"
CAPTION = (
    "A dot is one seed (minus the control's mean, where the estimate is a difference of arms); one with "
    "a bar lies between two bounds, a triangle is bounded on one side, as where a run ended before. "
    "Beneath is the estimate with its 95 % interval, on the sides on which that ends. Dashed lines are "
    "the smallest effect of interest, or the threshold, stated before the runs; the ruling follows from "
    "where the interval lies."
)


def estimates_figure(its: Published) -> Figure | None:
    """A panel a claim, in the unit of its statistic; None where no primary has a value."""
    decided = [v for v in its.verdicts if v["primary"] and v["n_seeds"]]
    rows = [row for verdict in decided for row in _rows(its, verdict)]
    if not rows:
        return None
    return chart(
        "primary-endpoints",
        "What decides: one number a seed",
        CAPTION,
        pd.DataFrame(rows),
        {
            "seed": Layer("dots", "x", "y", tell=("seed",)),
            "between": Layer("intervals", "x", "y", tell=("seed",)),
            "estimate": Layer("intervals", "x", "y"),
            "threshold": Layer("rules", "x", label="name"),
        },
        x={_panel(v): Scale() for v in decided},  # each in a unit of its own
        y=Scale(kind="rows"),
        looks={
            SEEDS: Look(theme.SIDES["train"], opacity=0.55),
            BETWEEN: Look(theme.SIDES["train"], symbol="circle", size=6),
            AT_LEAST: Look(theme.SIDES["train"], symbol="triangle-right-open", size=10),
            AT_MOST: Look(theme.SIDES["train"], symbol="triangle-left-open", size=10),
            MEAN: Look(theme.SIDES["val"], symbol="diamond", size=10),
            "threshold": Look(theme.NEUTRAL, dash="4px,3px", width=1.5),
        },
        tall=46,
    )


def _panel(verdict: dict[str, Any]) -> str:
    return f"{verdict['claim']}, {verdict['ruling']}: {verdict['statistic']}"


def _rows(its: Published, verdict: dict[str, Any]) -> Iterator[dict[str, Any]]:
    panel, values = _panel(verdict), its.values[its.values["endpoint"] == verdict["endpoint"]]
    mine, control = (values[values["arm"] == verdict[whose]] for whose in ("arm", "control"))
    minus = control["low"].mean() if verdict["n_control"] else 0.0
    for seed, least, most in zip(mine["seed"], mine["low"], mine["high"], strict=True):
        for mark in _mark(least - minus, most - minus):
            yield {"panel": panel, "y": SEEDS, "seed": seed, **mark}
    low, high = (
        end if side is None else side
        for side, end in zip(verdict["interval"], (-np.inf, np.inf), strict=True)
    )
    at = {"x": verdict["effect"], "y": MEAN, "low": low, "high": high}
    yield {"panel": panel, "layer": "estimate", "series": MEAN, **at}
    is_both_sided = "±" in verdict["rule"] or "smallest effect" in verdict["rule"]
    for mark in {verdict["sesoi"], -verdict["sesoi"] if is_both_sided else verdict["sesoi"]}:
        yield {"panel": panel, "layer": "threshold", "series": "threshold", "x": mark, "name": ""}


def _mark(least: float, most: float) -> Iterator[dict[str, Any]]:
    """How a seed that lies between two bounds is drawn; not at all where neither is known."""
    if least == most:
        yield {"layer": "seed", "series": SEEDS, "x": least}
    elif np.isfinite([least, most]).all():
        middle = (least + most) / 2
        yield {"layer": "between", "series": BETWEEN, "x": middle, "low": least, "high": most}
    elif np.isfinite(least):
        yield {"layer": "seed", "series": AT_LEAST, "x": least}
    elif np.isfinite(most):
        yield {"layer": "seed", "series": AT_MOST, "x": most}
