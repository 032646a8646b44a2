"""How saliency is spread over neurons, and each neuron's over examples, while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undergrowth.analysis import effective_number, gini, skewness
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.axes import (
    ZERO_ON_LOG,
    Axis,
    LogScale,
    add_axis_buttons,
    subplot_names,
    traces_of,
)
from undergrowth.report.bands import band_traces, quantile_traces
from undergrowth.report.figure import Figure
from undergrowth.report.groups import (
    SIDE_NAMES,
    Group,
    Runs,
    count,
    groups,
    measured_as,
    over_seeds,
)
from undergrowth.report.histogram import saliency_histogram

__all__ = ["breadth_figure", "concentration_figure", "saliency_histogram"]

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "skewness": skewness,
    "Gini coefficient": gini,
    "effective number of neurons": effective_number,
}
WIDTHS = {"train": 4.5, "val": 1.8}
"""Validation is drawn thin on training, for the two nearly coincide."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def concentration_figure(runs: Runs, reading: str = "saliency_median") -> Figure:
    """Skewness, Gini and effective number of a per-component reading over steps, mean over seeds."""
    found = groups(runs, reading)
    plot = make_subplots(rows=len(STATISTICS), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    rows, methods = [], set()
    for row, (name, statistic) in enumerate(STATISTICS.items(), start=1):
        for group in reversed(found):
            values = _statistic(group.values(reading), statistic)
            for side in SIDES:
                band = over_seeds(values.sel(side=side))
                steps = values["step"].values
                traces = band_traces(
                    steps,
                    band,
                    name=group.legend(side),
                    colour=group.colour(side),
                    dash=group.dash,
                    width=WIDTHS[side],
                    showlegend=row == 1,
                    rank=1000 + 10 * group.is_control + SIDES.index(side),
                    hover=f"{group.legend(side)}<br>step %{{customdata[0]:,}}<br>{name}",
                )
                plot.add_traces(traces, rows=row, cols=1)
                methods.add(band.method)
                rows.append(_tidy(name, group, side, steps, band))
        plot.update_yaxes(title_text=name.replace(" of ", "<br>of "), row=row, col=1)
    _steps_below(plot, len(STATISTICS), height=700)
    caption = (
        f"Of the distribution over neurons of {_reduced(reading)} ({measured_as(found, reading)}): "
        f"mean over seeds ({count(found)}) with its 95% interval ({', '.join(sorted(methods))}). "
        "Skewness can fall while fewer neurons carry more, so it is read beside the other two: the Gini "
        "coefficient is 0 where all neurons are equally salient, and the effective number (Σs)²/Σs² is "
        f"then their number. {ZERO_ON_LOG}"
    )
    title = "How concentrated saliency is: skewness, Gini and effective number of neurons"
    return Figure("concentration", title, caption, plot, _joined(rows))


def breadth_figure(runs: Runs, reading: str = "saliency_breadth") -> Figure:
    """Quantiles over neurons, pooled over seeds, of a per-component reading over steps."""
    found = groups(runs, reading)
    plot = make_subplots(rows=len(SIDES), cols=1, shared_xaxes=True, vertical_spacing=0.07)
    rows = []
    for row, side in enumerate(SIDES, start=1):
        for group in reversed(found):
            pooled = group.values(reading).sel(side=side)
            steps = pooled["step"].values
            over = [dim for dim in pooled.dims if dim != "step"]
            quantiles = pooled.quantile(QUANTILES, dim=over).values  # [quantile, step]
            traces = quantile_traces(steps, quantiles, QUANTILES, group, side)
            plot.add_traces(traces, rows=row, cols=1)
            columns = {f"quantile_{q:g}": quantiles[i] for i, q in enumerate(QUANTILES)}
            rows.append(pd.DataFrame({**_who(group, side), "step": steps, **columns}))
        plot.update_yaxes(title_text=f"breadth,<br>{SIDE_NAMES[side]} examples", row=row, col=1)
    _steps_below(plot, len(SIDES), height=600)
    caption = (
        "Breadth of a neuron: (Σs)²/(n Σs²) over the n examples of a side, the share of examples for "
        "which it is salient; 1/n for a look-up entry of one example, 1 if equally salient for all "
        f"({measured_as(found, reading)}). Line: median over neurons; darker band: the middle half; "
        f"lighter band: 5% to 95%; dashed: shuffled labels, the same quantiles. Neurons pooled over "
        f"{count(found)}. {ZERO_ON_LOG}"
    )
    title = "For how many examples each neuron is salient"
    return Figure("breadth", title, caption, plot, _joined(rows))


def _steps_below(plot: go.Figure, n_rows: int, *, height: int) -> None:
    """Dress rows of panels that share training steps, log at first, with buttons for x."""
    theme.dress(plot, height=height)
    plot.update_xaxes(title_text="training step", row=n_rows, col=1)
    scale = LogScale.of([], *(trace.x for trace in traces_of(plot)))
    add_axis_buttons(plot, Axis(subplot_names("x", n_rows), scale, "log"))


def _statistic(values: xr.DataArray, statistic: Callable) -> xr.DataArray:
    component = str(values.dims[-1])
    return xr.apply_ufunc(statistic, values, input_core_dims=[[component]])


def _reduced(reading: str) -> str:
    return f"the {reading.rsplit('_', 1)[-1]} |saliency| over examples"


def _who(group: Group, side: str) -> dict[str, str]:
    return {"labels": group.name, "side": side}


def _tidy(name: str, group: Group, side: str, steps: np.ndarray, band) -> pd.DataFrame:
    columns = {"step": steps, "mean": band.mean, "low": band.low, "high": band.high}
    return pd.DataFrame({"statistic": name, **_who(group, side), **columns})


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
