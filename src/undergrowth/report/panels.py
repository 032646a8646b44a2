"""Panels below one another that share training steps: means over seeds with bands, and events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import xarray as xr

from undergrowth.analysis.means import methods, over_seeds
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart

Steps = Mapping[str, float]
"""Steps by the name of what happened there."""
NOTHING: Mapping[str, Steps] = MappingProxyType({})


def panels_figure(
    name: str,
    title: str,
    caption: str,
    panels: Mapping[str, Mapping[str, xr.DataArray]],
    *,
    looks: Mapping[str, Look],
    y: Scale | Mapping[str, Scale],
    marks: Mapping[str, Steps] = NOTHING,
) -> Figure:
    """By panel and line values [run, step]; steps log at first, one click from linear.

    marks: of each panel the steps that get a dotted line. On a log axis means are geometric. Columns of
    the table: layer ('mean' or 'event'), panel, line, step, mean, low, high, n, method, event.
    """
    frames = []
    for panel, lines in panels.items():
        scale = y if isinstance(y, Scale) else y.get(panel, Scale())
        for line, values in lines.items():
            table = over_seeds(values, is_log=scale.kind == "log")
            frames.append(table.assign(layer="mean", panel=panel, line=line))
        events = [{"step": step, "event": event} for event, step in marks.get(panel, {}).items()]
        frames += [pd.DataFrame(events).assign(layer="event", panel=panel)] if events else []
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    how = f"Band: 95% interval over seeds ({methods(table)}), of the logarithm on a log axis."
    return chart(
        name,
        title,
        f"{caption} {how} {ZERO_ON_LOG}",
        table,
        {
            "mean": Layer("lines", "step", "mean", series="line"),
            "event": Layer("rules", "step", label="event"),
        },
        x=STEPS,
        y=y,
        looks=looks,
    )
