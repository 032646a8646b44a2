"""Loss and accuracy of every seed over training, with what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from undergrowth.analysis import Event, Rules, events
from undergrowth.analysis.events import EventName
from undergrowth.analysis.outcomes import diverged_at
from undergrowth.measures import SIDES
from undergrowth.naming import arms_told_apart
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
from undergrowth.report.groups import RULES, Group, Runs, count, groups
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


def accuracy_figure(runs: Runs, rules: Rules = RULES) -> Figure:
    """Accuracy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, ACCURACY, rules)


def loss_figure(runs: Runs, rules: Rules = RULES) -> Figure:
    """Cross-entropy of each seed on both sides over steps, with the events that `rules` define."""
    return _figure(runs, LOSS, rules)


def _figure(runs: Runs, quantity: _Quantity, rules: Rules) -> Figure:
    found = groups(runs, *(f"{side}_{quantity.name}" for side in SIDES), "val_accuracy")
    plot = go.Figure()
    for group in reversed(found):
        for arm in _arms(group):
            for side in SIDES:
                plot.add_traces(_lines(group, arm, side, quantity))
    for event in EVENTS:
        for group in reversed(found):
            plot.add_traces(_markers(group, event, quantity, rules))
    plot.add_traces(_ends([run for group in found for run in group.runs], quantity))
    theme.dress(plot, height=480 + 24 * sum(len(_arms(group)) - 1 for group in found))  # for the legend
    plot.update_xaxes(title_text="training step")
    plot.update_yaxes(title_text=quantity.label)
    scales = {letter: LogScale.of([], *(trace[letter] for trace in traces_of(plot))) for letter in "xy"}
    add_axis_buttons(
        plot,
        Axis(("xaxis",), scales["x"], "log"),
        Axis(("yaxis",), scales["y"], quantity.start, quantity.linear_range),
    )
    return Figure(quantity.name, quantity.title, _caption(found, rules), plot, _table(found, quantity))


DASHES = ("solid", "9px,3px", "2px,2px", "9px,3px,2px,3px", "14px,4px")
"""Of the arms of a group, where there are several; the same again for more."""


@dataclass(frozen=True, eq=False)
class _Arm:
    """Runs of a group that are the same but for their seeds; name: empty where it is the only arm."""

    runs: tuple[Run, ...]
    name: str
    place: int

    def legend(self, group: Group, side: str) -> str:
        return f"{group.legend(side)}, {self.name}" if self.name else group.legend(side)

    def dash(self, group: Group) -> str:
        return DASHES[self.place % len(DASHES)] if self.name else group.dash


def _arms(group: Group) -> list[_Arm]:
    names = arms_told_apart([run.spec for run in group.runs], {run.id: run.called for run in group.runs})
    tasks = {run.spec.task.describe() for run in group.runs}
    common = f"{tasks.pop()}, " if len(tasks) == 1 else ""
    by_name: dict[str, list[Run]] = {}
    for run in group.runs:
        by_name.setdefault(names[run.id].removeprefix(common), []).append(run)
    only = len(by_name) == 1
    return [
        _Arm(tuple(runs), "" if only else name, place)
        for place, (name, runs) in enumerate(by_name.items())
    ]


def _lines(group: Group, arm: _Arm, side: str, quantity: _Quantity) -> list[go.Scatter]:
    legend = arm.legend(group, side)
    curves = [(run, run[f"{side}_{quantity.name}"]) for run in arm.runs]
    return [
        go.Scatter(
            x=curve["step"].values.tolist(),
            y=rounded(curve.values),
            customdata=[[int(s), v] for s, v in zip(curve["step"], rounded(curve), strict=True)],
            mode="lines",
            name=legend,
            legendgroup=legend,
            showlegend=place == 0,
            legendrank=1000 + 100 * group.is_control + 2 * arm.place + SIDES.index(side),
            line={"color": group.colour(side), "width": 1.6, "dash": arm.dash(group)},
            meta={"run": run.id, "side": side, "kind": "curve"},
            hovertemplate=f"{legend}, seed {run.spec.seeds.model}"
            f"<br>step %{{customdata[0]:,}}<br>{quantity.name} %{{customdata[1]:.4g}}<extra></extra>",
        )
        for place, (run, curve) in enumerate(curves)
    ]


def _ends(runs: Sequence[Run], quantity: _Quantity) -> list[go.Scatter]:
    """A cross where the curve of a run that diverged breaks off."""
    diverged = [(run, step) for run in runs if (step := diverged_at(run)) is not None]
    curves = [(run, step, run[f"val_{quantity.name}"].dropna("step")) for run, step in diverged]
    ends = [(run, step, curve[-1]) for run, step, curve in curves if curve.size]
    if not ends:
        return []
    return [
        go.Scatter(
            x=[int(end["step"]) for _, _, end in ends],
            y=rounded([float(end) for _, _, end in ends]),
            mode="markers",
            name="diverged",
            legendgroup="diverged",
            legendrank=2001,
            marker={"symbol": "x", "size": 11, "color": theme.NEUTRAL},
            text=[f"diverged: step {step:,}<br>{run.spec.describe()}" for run, step, _ in ends],
            meta={"kind": "diverged", "runs": [run.id for run, _, _ in ends]},
            hovertemplate="%{text}<extra></extra>",
        )
    ]


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
