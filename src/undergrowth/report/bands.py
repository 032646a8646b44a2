"""Lines with a band around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from undergrowth.report.groups import Band, Group
from undergrowth.report.numbers import rounded


def band_traces(
    x: Any,
    band: Band,
    *,
    name: str,
    colour: str,
    dash: str,
    hover: str,
    showlegend: bool,
    rank: int = 1000,
    visible: bool = True,
    symbol: str | None = None,
    width: float = 2,
) -> list[go.Scatter]:
    """Three traces: the lower bound, the upper bound filled down to it, the mean.

    hover: text before the value; it may use customdata[0], the true x.
    """
    common = {"x": list(np.asarray(x).tolist()), "legendgroup": name, "visible": visible}
    bounds = [
        go.Scatter(
            **common,
            y=rounded(bound),
            mode="lines",
            line={"width": 0},
            fill=fill,
            fillcolor=faint(colour, 0.18),
            showlegend=False,
            hoverinfo="skip",
            meta={"kind": kind},
        )
        for bound, fill, kind in ((band.low, None, "low"), (band.high, "tonexty", "high"))
    ]
    mean = go.Scatter(
        **common,
        y=rounded(band.mean),
        customdata=interval_data(x, band),
        mode="lines" if symbol is None else "lines+markers",
        line={"color": colour, "width": width, "dash": dash},
        marker={"symbol": symbol, "size": 6, "color": colour},
        name=name,
        showlegend=showlegend,
        legendrank=rank,
        meta={"kind": "mean"},
        hovertemplate=f"{hover} %{{y:.3g}} "
        "[%{customdata[1]:.3g}, %{customdata[2]:.3g}]<extra></extra>",
    )
    return [*bounds, mean]


def interval_data(x: Any, band: Band) -> list[list[Any]]:
    """What a mean's hover text says beside it: true x, lower and upper bound."""
    triples = zip(np.asarray(x).tolist(), rounded(band.low), rounded(band.high), strict=True)
    return [list(triple) for triple in triples]


def quantile_traces(
    steps: np.ndarray, quantiles: np.ndarray, at: Sequence[float], group: Group, side: str
) -> list[go.Scatter]:
    """Five quantiles [quantile, step] as two nested bands and a median; for a control, as lines."""
    colour, legend = group.colour(side), group.legend(side)
    common = {"x": steps.tolist(), "legendgroup": legend, "mode": "lines"}
    fills = [None, *[None if group.is_control else "tonexty"] * 4]
    shades = (0.15, 0.15, 0.3, 0.3, 0.15)
    traces = []
    for i, (q, fill, shade) in enumerate(zip(at, fills, shades, strict=True)):
        median = i == len(at) // 2
        outline = 1.0 if group.is_control else 0.0
        traces.append(
            go.Scatter(
                **common,
                y=rounded(quantiles[i]),
                customdata=steps.tolist(),
                fill=fill,
                fillcolor=faint(colour, shade),
                line={"color": colour, "width": 2 if median else outline, "dash": group.dash},
                name=legend,
                showlegend=median,
                legendrank=1000 + 10 * group.is_control,
                meta={"kind": "quantile", "quantile": q},
                hovertemplate=f"{legend}<br>step %{{customdata:,}}"
                f"<br>{q:.0%} of neurons below %{{y:.3f}}<extra></extra>",
            )
        )
    return traces


def faint(colour: str, opacity: float) -> str:
    """A '#rrggbb' colour with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
