"""A slider in the figure itself, so that it works in a notebook as on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from undergrowth.report.plot import Plot


def add_slider(
    plot: Plot,
    *,
    labels: Sequence[str],
    updates: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    traces: Sequence[int],
    prefix: str,
    active: int,
    rows: int = 1,
) -> None:
    """Add a slider above the plot's rows of buttons.

    updates: for each position the new values of the traces (key -> one list for each of `traces`) and
    of the layout (key -> value); `active` is the position that the plot already shows.
    """
    steps = [
        {"label": label, "method": "update", "args": [data, layout, list(traces)]}
        for label, (data, layout) in zip(labels, updates, strict=True)
    ]
    slider = {
        "active": active,
        "steps": steps,
        "currentvalue": {"prefix": prefix, "xanchor": "left", "offset": 6},
        "x": 0,
        "xanchor": "left",
        "len": 1,
        "y": 1,
        "yanchor": "bottom",
        "pad": {"t": 0, "b": 12 + 40 * rows, "l": -44, "r": 4},
        "ticklen": 4,
        "minorticklen": 2,
    }
    plot.update(sliders=[slider])
