"""Loss and accuracy of every seed over training, with what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from undergrowth.analysis import Event, Rules, events
from undergrowth.analysis.events import EventName
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.axes import (
    ZERO_ON_LOG,
    Axis,
    AxisType,
    LogScale,
    add_axis_buttons,
    traces_of,
)
from undergrowth.report.figure import Figure
from undergrowth.report.groups import RULES, Group, count, groups
from undergrowth.report.numbers import rounded
from undergrowth.store import Run

EVENTS: dict[EventName, tuple[str, str, str]] = {
    "memorised": ("circle", "train", "memorised"),
    "onset": ("diamond", "val", "onset"),
    "grokked": ("star", "val", "grokked"),
}
"""Of each event: the marker's symbol, the side on whose curve it stands, the legend entry."""


@dataclass(frozen=True)
class _Quantity:
    """What a curve shows: a reading's name is the side's and this name."""

    name: str
    label: str
    start: AxisType
    linear_range: tuple[float, float] | None
    title: str


ACCURACY = _Quantity(
    "accuracy",
    "accuracy",
    "linear",
    (-0.03, 1.03),
    "Accuracy on training and on validation examples",
)
LOSS = _Quantity(
    "loss", "cross-entropy (nats)", "log", None, "Loss on training and on validation examples"
)


def accuracy_figure(runs: Sequence[Run], rules: Rules = RULES) -> Figure:
    """Accuracy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, ACCURACY, rules)


def loss_figure(runs: Sequence[Run], rules: Rules = RULES) -> Figure:
    """Cross-entropy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, LOSS, rules)


def _figure(runs: Sequence[Run], quantity: _Quantity, rules: Rules) -> Figure:
    found = groups(runs, *(f"{side}_{quantity.name}" for side in SIDES), "val_accuracy")
    plot = go.Figure()
    for group in reversed(found):
        for side in SIDES:
            plot.add_traces(_lines(group, side, quantity))
    for event in EVENTS:
        for group in reversed(found):
            plot.add_traces(_markers(group, event, quantity, rules))
    theme.dress(plot, height=480)
    plot.update_xaxes(title_text="training step")
    plot.update_yaxes(title_text=quantity.label)
    scales = {letter: LogScale.of([], *(trace[letter] for trace in traces_of(plot))) for letter in "xy"}
    add_axis_buttons(
        plot,
        Axis(("xaxis",), scales["x"], "log"),
        Axis(("yaxis",), scales["y"], quantity.start, quantity.linear_range),
    )
    return Figure(quantity.name, quantity.title, _caption(found, rules), plot, _table(found, quantity))


def _lines(group: Group, side: str, quantity: _Quantity) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=curve["step"].values.tolist(),
            y=rounded(curve.values),
            customdata=[[int(s), v] for s, v in zip(curve["step"], rounded(curve), strict=True)],
            mode="lines",
            name=group.legend(side),
            legendgroup=group.legend(side),
            showlegend=first,
            legendrank=1000 + 10 * group.is_control + SIDES.index(side),
            line={"color": group.colour(side), "width": 1.6, "dash": group.dash},
            meta={"run": run.id, "side": side, "kind": "curve"},
            hovertemplate=f"{group.legend(side)}, seed {run.spec.seeds.model}"
            f"<br>step %{{customdata[0]:,}}<br>{quantity.name} %{{customdata[1]:.4g}}<extra></extra>",
        )
        for run, curve, first in _curves(group, f"{side}_{quantity.name}")
    ]


def _curves(group: Group, reading: str) -> list[tuple[Run, xr.DataArray, bool]]:
    return [(run, run[reading], i == 0) for i, run in enumerate(group.runs)]


def _markers(group: Group, name: EventName, quantity: _Quantity, rules: Rules) -> list[go.Scatter]:
    """One marker for each run in which the event happened, on that run's curve."""
    symbol, side, legend = EVENTS[name]
    happened = [(run, events(run.curves, rules)[name]) for run in group.runs]
    happened = [(run, event) for run, event in happened if event.first is not None]
    if not happened:
        return []
    curves = [(event, run[f"{side}_{quantity.name}"]) for run, event in happened]
    fill = group.colour(side)
    return [
        go.Scatter(
            x=[event.first for event, _ in curves],
            y=rounded([float(curve.sel(step=event.first)) for event, curve in curves]),
            mode="markers",
            name=legend,
            legendgroup=name,
            showlegend=not group.is_control,
            legendrank=2000,
            marker={
                "symbol": symbol,
                "size": 13 if symbol == "star" else 10,
                "color": fill,
                "opacity": 1,
                "line": {"color": "#ffffff", "width": 1.2},
            },
            text=[_told(event, group, run, legend) for run, event in happened],
            meta={"event": name, "kind": "event", "runs": [run.id for run, _ in happened]},
            hovertemplate="%{text}<extra></extra>",
        )
    ]


def _told(event: Event, group: Group, run: Run, legend: str) -> str:
    since = "" if event.before is None else f" (after {event.before:,})"
    stable = f"for good from step {event.stable:,}" if event.stable is not None else "not for good"
    seed = f"seed {run.spec.seeds.model}, {group.name}"
    return f"{legend}: step {event.first:,}{since}<br>{stable}<br>{seed}"


def _caption(found: Sequence[Group], rules: Rules) -> str:
    told = "; ".join(f"{legend}, {rules.describe(event)}" for event, (_, _, legend) in EVENTS.items())
    return (
        f"One line a run: {count(found)}. Markers stand at the first evaluation at which a rule held: "
        f"{told}. The true time lies between that evaluation and the one before (hover to see both). "
        f"{ZERO_ON_LOG}"
    )


def _table(found: Sequence[Group], quantity: _Quantity) -> pd.DataFrame:
    """Columns run, seed, labels, step, train_*, val_*."""
    frames = []
    for group in found:
        for run in group.runs:
            curves = {f"{side}_{quantity.name}": run[f"{side}_{quantity.name}"] for side in SIDES}
            frame = xr.Dataset(curves).to_dataframe().reset_index()
            frame.insert(0, "labels", run.spec.labels)
            frame.insert(0, "seed", run.spec.seeds.model)
            frame.insert(0, "run", run.id)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
