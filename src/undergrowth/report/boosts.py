"""What a boost in mid-run did: curves, survival until 99 %, and a map of multipliers and switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undergrowth.analysis import Estimate, Rules, Switched
from undergrowth.analysis.survival import survival
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.axes import add_buttons
from undergrowth.report.figure import Figure
from undergrowth.report.groups import SIDE_NAMES, plural
from undergrowth.report.numbers import format_number, rounded

COLOURS = ("#C2428A", "#D55E00", "#B8860B", "#0A9A74", "#1F77B4", "#7371DE", "#7A5C3E", "#5B8C1A")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
CELL_INK = "#1c1e21"
SLOWER_TO_FASTER = [[0.0, "#f0a27a"], [0.5, "#f1f1ee"], [1.0, "#86b8e8"]]
MOST = 1.0
"""Decades of speed-up or slow-down at which the colour of the map is full."""


@dataclass(frozen=True, eq=False)
class Boosted:
    """Runs of one arm from their switch on.

    label: what was done; factor: the multiplier of the rate where that is all; runs: by their seeds;
    speed_up: log10 of the control's steps over theirs, None for the control itself.
    """

    task: str
    switch: str
    label: str
    is_control: bool
    factor: float | None
    runs: Mapping[str, Switched]
    speed_up: Estimate | None

    @property
    def place(self) -> str:
        """Task and switch in words."""
        return f"{self.task}, {'from' if self.switch == 'step 0' else 'at'} {self.switch}"


def boost_curves_figure(arms: Sequence[Boosted], rules: Rules) -> Figure:
    """Accuracy on both sides of every seed, a row an arm of one task and switch; control first."""
    place = arms[0].place
    plot = make_subplots(
        rows=len(arms),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.22 / len(arms),
        subplot_titles=[_of(arm) for arm in arms],
    )
    whole: list[list[float]] = []
    aligned: list[list[float]] = []
    for row, arm in enumerate(arms, start=1):
        for trace, at in _curves(arm, first=row == 1):
            steps = list(cast(Sequence[float], trace.x))
            whole.append(steps)
            aligned.append([x - at for x in steps])
            plot.add_trace(trace, row=row, col=1)
    theme.dress(plot, height=150 + 118 * len(arms))
    plot.update_annotations(x=0, xanchor="left", font={"size": 12})
    plot.update_yaxes(range=[-0.05, 1.05], tickvals=[0, 0.5, 1])
    plot.update_xaxes(title_text="training step", row=len(arms))
    last = "xaxis.title.text" if len(arms) == 1 else f"xaxis{len(arms)}.title.text"
    if any(run.at for arm in arms for run in arm.runs.values()):
        start = min(run.at for arm in arms for run in arm.runs.values())
        longest = max(max(x, default=0) for x in aligned)
        limits = {axis: [-0.2 * longest, longest] for axis in _x_axes(len(arms))}
        buttons = [
            _aligning("training step", whole, dict.fromkeys(limits), last),
            _aligning("steps since the switch", aligned, limits if start else {}, last),
        ]
        add_buttons(plot, buttons)
        plot.update_layout(margin={"t": 92})
        plot.update_layout(updatemenus=[{"pad": {"b": 30}}])  # above the first row's title
    slug = "".join(c if c.isalnum() else "-" for c in place.replace(",", "")).lower()
    return Figure(
        f"boost-{slug}",
        f"Accuracy with other learning rates: {place}",
        f"A row an arm, a line a run; ◆ the switch. {_counts(arms)}. Forks share their trunk's line up "
        "to the "
        f"switch. Grokked: {rules.describe('grokked')}. The button sets all switches at 0.",
        plot,
        _curve_table(arms),
    )


def _of(arm: Boosted) -> str:
    runs = arm.runs.values()
    return (
        f"{arm.label}: {sum(r.reaches_threshold for r in runs)} of {plural(len(runs), 'seed')} at 99 %, "
        + (f"{sum(r.retains for r in runs)} to stay")
    )


def _curves(arm: Boosted, first: bool):
    for i, (seed, run) in enumerate(arm.runs.items()):
        for side in SIDES:
            curve = run.curves[f"{side}_accuracy"].dropna("step")
            yield _line(arm, curve, side, seed, first and i == 0), run.at
        if run.at:
            train = run.curves["train_accuracy"].dropna("step")
            yield (
                go.Scatter(
                    x=[run.at],
                    y=rounded([float(train.sel(step=run.at, method="nearest"))]),
                    mode="markers",
                    marker={"symbol": "diamond", "size": 8, "color": theme.NEUTRAL},
                    name="switch",
                    legendgroup="switch",
                    showlegend=first and i == 0,
                    hovertemplate=f"switched at step {run.at:,}<br>{_seed(seed)}<extra></extra>",
                    meta={"kind": "switch"},
                ),
                run.at,
            )


def _line(arm: Boosted, curve: Any, side: str, seed: str, showlegend: bool) -> go.Scatter:
    steps = curve["step"].values.tolist()
    return go.Scatter(
        x=steps,
        y=rounded(curve.values, 4),
        customdata=steps,
        mode="lines",
        line={"color": theme.SIDES[side], "width": 1.3, "dash": "solid" if side == "val" else "3px,2px"},
        name=SIDE_NAMES[side],
        legendgroup=side,
        showlegend=showlegend,
        meta={"kind": "curve", "side": side},
        hovertemplate=f"{arm.label}, {SIDE_NAMES[side]}, {_seed(seed)}"
        "<br>step %{customdata:,}<br>accuracy %{y:.3f}<extra></extra>",
    )


def _seed(seeds: str) -> str:
    """'seed 3' from the seeds' description."""
    first = seeds.split()[0].partition("=")[2]
    return f"seed {first}" if first else seeds


def _x_axes(rows: int) -> list[str]:
    return [f"xaxis{'' if i == 0 else i + 1}" for i in range(rows)]


def _aligning(
    label: str, xs: list[list[float]], limits: Mapping[str, list[float] | None], title: str
) -> dict[str, Any]:
    layout: dict[str, Any] = {title: label}
    for axis, bounds in limits.items():
        layout[f"{axis}.autorange"] = bounds is None
        if bounds:
            layout[f"{axis}.range"] = bounds
    return {"label": label, "method": "update", "args": [{"x": xs}, layout, list(range(len(xs)))]}


def _counts(arms: Sequence[Boosted]) -> str:
    counts = sorted({len(arm.runs) for arm in arms})
    return f"{' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} seeds an arm"


def _curve_table(arms: Sequence[Boosted]) -> pd.DataFrame:
    frames = []
    for arm in arms:
        for seed, run in arm.runs.items():
            frame = run.curves[["train_accuracy", "val_accuracy"]].to_dataframe().reset_index()
            frame = frame[["step", "train_accuracy", "val_accuracy"]]
            about = {"arm": arm.label, "seed": seed, "switched_at": run.at}
            for name, value in reversed(about.items()):
                frame.insert(0, name, value)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def boost_survival_figure(
    arms: Sequence[Boosted], cases: Sequence[tuple[str, str]], rules: Rules
) -> Figure:
    """The share of seeds not yet at 99 % over steps since the switch; a row a task and switch."""
    by_case = [
        [a for a in arms if (a.task, a.switch) == case and (a.is_control or a.factor)] for case in cases
    ]
    colours = _colours([arm for case in by_case for arm in case])
    plot = make_subplots(
        rows=len(cases),
        cols=1,
        vertical_spacing=0.3 / len(cases),
        subplot_titles=[case[0].place for case in by_case],
    )
    rows, shown = [], set()
    for row, case in enumerate(by_case, start=1):
        for arm in case:
            traces, table = _staircase(arm, colours[arm.label], arm.label not in shown)
            shown.add(arm.label)
            rows.append(table)
            plot.add_traces(traces, rows=row, cols=1)
    theme.dress(plot, height=120 + 190 * len(cases), controls=0)
    plot.update_annotations(x=0, xanchor="left", font={"size": 12})
    plot.update_yaxes(range=[-0.05, 1.05], tickvals=[0, 0.5, 1])
    plot.update_xaxes(title_text="steps since the switch", row=len(cases))
    return Figure(
        "boost-survival",
        "How long it takes to get to 99 %, by multiplier of the learning rate",
        f"Kaplan and Meier's estimate of the share of seeds not yet at {rules.describe('grokked')}. "
        "+: seeds that had not got there by their last step (censored, not dropped).",
        plot,
        pd.concat(rows, ignore_index=True),
    )


def _colours(arms: Sequence[Boosted]) -> dict[str, tuple[str, str]]:
    """Colour and dash of each label: neutral for the control, along the multipliers for the others."""
    factors = sorted({(arm.factor or 0, arm.label) for arm in arms if not arm.is_control})
    found = {
        label: (COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)])
        for i, (_, label) in enumerate(factors)
    }
    return {**found, **{arm.label: (theme.NEUTRAL, "solid") for arm in arms if arm.is_control}}


def _staircase(arm: Boosted, look: tuple[str, str], showlegend: bool):
    runs = list(arm.runs.values())
    found = survival([run.remaining for run in runs], [run.reaches_threshold for run in runs])
    colour, dash = look
    lines = go.Scatter(
        x=found.steps.tolist(),
        y=rounded(found.share),
        mode="lines",
        line={"shape": "hv", "color": colour, "dash": dash, "width": 3 if arm.is_control else 2},
        name=arm.label,
        legendgroup=arm.label,
        showlegend=showlegend,
        legendrank=1 if arm.is_control else 1000 + int(10 * (arm.factor or 0)),
        meta={"kind": "survival"},
        hovertemplate=f"{arm.label}<br>%{{x:,}} steps: %{{y:.0%}} not yet there<extra></extra>",
    )
    left = [
        float(found.share[np.searchsorted(found.steps, t, side="right") - 1]) for t in found.censored
    ]
    marks = go.Scatter(
        x=found.censored.tolist(),
        y=rounded(left),
        mode="markers",
        marker={"symbol": "cross-thin", "size": 9, "line": {"color": colour, "width": 2}},
        legendgroup=arm.label,
        showlegend=False,
        meta={"kind": "censored"},
        hovertemplate=f"{arm.label}<br>%{{x:,}} steps and not there<extra></extra>",
    )
    table = pd.DataFrame({"steps_since_switch": found.steps, "share_not_yet": found.share})
    for name, value in (("arm", arm.label), ("switch", arm.switch), ("task", arm.task)):
        table.insert(0, name, value)
    return [lines, marks], table


def boost_map_figure(arms: Sequence[Boosted], rules: Rules) -> Figure:
    """A table of what was done by when: median speed-up, and how many get there to stay."""
    tasks = list(dict.fromkeys(arm.task for arm in arms))
    table = pd.DataFrame([_row(arm, _control_of(arm, arms)) for arm in arms])
    cells = [table.query("task == @task and not is_control") for task in tasks]
    heights = [max(1, len(set(cell["arm"]))) for cell in cells]
    plot = make_subplots(
        rows=len(tasks),
        cols=1,
        subplot_titles=tasks,
        row_heights=heights,
        vertical_spacing=min(0.3 / max(len(tasks) - 1, 1), 2.2 / (sum(heights) + 4)),
    )
    for row, cell in enumerate(cells, start=1):
        if len(cell):
            plot.add_trace(_heat(cell), row=row, col=1)
    theme.dress(plot, height=150 + 40 * (sum(heights) + 2 * len(tasks)), controls=0)
    plot.update_annotations(x=0, xanchor="left", font={"size": 13})
    plot.update_layout(margin={"l": 20, "b": 64})
    plot.update_yaxes(autorange="reversed", showgrid=False)
    plot.update_xaxes(showgrid=False, side="bottom")
    return Figure(
        "boost-map",
        "Which boosts speed grokking up, and which end it",
        "In each cell the median speed-up (steps of the no-op fork / steps, from the switch to "
        f"{rules.describe('grokked')}; < where the boosted seed, > where the no-op had not got there) "
        "and "
        "how many seeds are there to stay. Blue: faster, orange: slower, full at a factor of 10. "
        f"{_counts(arms)}.",
        plot,
        table,
    )


def _control_of(arm: Boosted, arms: Sequence[Boosted]) -> Boosted | None:
    same = (a for a in arms if a.is_control and (a.task, a.switch) == (arm.task, arm.switch))
    return next(same, None)


def _row(arm: Boosted, control: Boosted | None) -> dict[str, Any]:
    runs = list(arm.runs.values())
    pairs = [(run, control.runs[s]) for s, run in arm.runs.items() if control and s in control.runs]
    ratios = sorted(
        (c.remaining / r.remaining, r.reaches_threshold, c.reaches_threshold) for r, c in pairs
    )
    middle = ratios[len(ratios) // 2] if ratios else (np.nan, True, True)
    of = arm.speed_up
    return {
        "task": arm.task,
        "switch": arm.switch,
        "arm": arm.label,
        "is_control": arm.is_control,
        "seeds": len(runs),
        "get_there": sum(run.reaches_threshold for run in runs),
        "stay": sum(run.retains for run in runs),
        "median_steps": survival(
            [r.remaining for r in runs], [r.reaches_threshold for r in runs]
        ).median,
        "median_speed_up": middle[0],
        "bound": "<" if not middle[1] and middle[2] else ">" if middle[1] and not middle[2] else "",
        "decades": np.nan if of is None else of.effect,
        "low": np.nan if of is None else of.low,
        "high": np.nan if of is None else of.high,
        "median_fall_of_train": float(np.median([run.fall for run in runs])),
        "median_steps_below": float(np.median([run.steps_below for run in runs])),
    }


def _heat(cells: pd.DataFrame) -> go.Heatmap:
    rows, columns = (list(dict.fromkeys(cells[name])) for name in ("arm", "switch"))
    rows = sorted(rows, key=lambda label: _in_order(label))
    by_place = {(c["arm"], c["switch"]): c for c in cells.to_dict("records")}
    grid = [[by_place.get((row, column)) for column in columns] for row in rows]
    return go.Heatmap(
        x=[column.replace(" ", "<br>", 1) for column in columns],
        y=[row.replace(", ", ",<br>") for row in rows],
        z=[[None if c is None else _decades(c) for c in line] for line in grid],
        text=[["" if c is None else _cell(c) for c in line] for line in grid],
        customdata=[[_hover(c) for c in line] for line in grid],
        texttemplate="%{text}",
        textfont={"color": CELL_INK, "size": 12},
        colorscale=SLOWER_TO_FASTER,
        zmid=0,
        zmin=-MOST,
        zmax=MOST,
        showscale=False,
        xgap=3,
        ygap=3,
        hoverongaps=False,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _in_order(label: str) -> tuple[str, float]:
    what, _, number = label.partition(" × ")
    kept = number.partition(",")
    rank = {"lr": "0", "decay": "2", "moments reset": "3"}.get(what, "4")
    return f"{rank if not kept[2] else '1'}{kept[2]}", float(kept[0] or 0)


def _decades(cell: Mapping[str, Any]) -> float | None:
    ratio = cell["median_speed_up"]
    return float(np.clip(np.log10(ratio), -MOST, MOST)) if np.isfinite(ratio) else None


def _cell(cell: Mapping[str, Any]) -> str:
    return (
        f"{cell['bound']}×{format_number(cell['median_speed_up'], 2)}<br>{cell['stay']}/{cell['seeds']}"
    )


def _hover(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    median = f"median {format_number(cell['median_steps'])} steps"
    bounds = f"[{format_number(cell['low'])}, {format_number(cell['high'])}]"
    return (
        f"{cell['task']}, {cell['arm']}, {cell['switch']}<br>{cell['get_there']} of {cell['seeds']} get "
        f"there, {cell['stay']} stay<br>{median if np.isfinite(cell['median_steps']) else 'no median'}"
        f"<br>log10 speed-up {format_number(cell['decades'])} "
        f"{bounds if np.isfinite([cell['low'], cell['high']]).all() else '(no interval)'}"
        "<br>train accuracy falls by "
        f"{format_number(cell['median_fall_of_train'])}, below 0.99 for "
        f"{format_number(cell['median_steps_below'])} steps"
    )


def start_rules_figure(slopes: Mapping[str, Mapping[str, Estimate]], where: str) -> Figure:
    """log(speed-up) / log(multiplier) by what is called the start of grokking, for each multiplier."""
    plot = go.Figure()
    rows = []
    for i, (label, by_rule) in enumerate(slopes.items()):
        colour = COLOURS[i % len(COLOURS)]
        values = list(by_rule.values())
        known = [max(0.0, v.high - v.effect) if v.is_bounded else 0.0 for v in values]
        below = [max(0.0, v.effect - v.low) if v.is_bounded else 0.0 for v in values]
        shift = 0.7 * ((i + 0.5) / len(slopes) - 0.5)
        plot.add_trace(
            go.Scatter(
                x=[at + shift for at in range(len(values))],
                y=rounded([v.effect for v in values]),
                customdata=[[rule, *rounded([v.low, v.high]), v.n] for rule, v in by_rule.items()],
                error_y={"type": "data", "array": known, "arrayminus": below, "width": 4},
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": i},
                name=label,
                hovertemplate=f"{label}, from %{{customdata[0]}}<br>%{{y:.2f}} [%{{customdata[1]}}, "
                "%{customdata[2]}], %{customdata[3]} seeds<extra></extra>",
            )
        )
        rows += [
            {"arm": label, "start": rule, "effect": v.effect, "low": v.low, "high": v.high, "seeds": v.n}
            for rule, v in by_rule.items()
        ]
    rules = list(next(iter(slopes.values())))
    for level, dash in ((0.0, "dot"), (0.5, "solid"), (1.0, "dot")):
        plot.add_hline(y=level, line={"dash": dash, "width": 1, "color": theme.NEUTRAL})
    theme.dress(plot, height=430, controls=0)
    names = [rule.replace("validation", "validation<br>") for rule in rules]
    plot.update_xaxes(tickmode="array", tickvals=list(range(len(rules))), ticktext=names, showgrid=False)
    plot.update_xaxes(title_text="what is called the start")
    plot.update_yaxes(title_text="log(speed-up) / log(multiplier)")
    return Figure(
        "boost-starts",
        f"How proportional the speed-up is depends on where it is counted from: {where}",
        "1: the steps shrink in proportion to the rate, 0: not at all; the line at ½ parts C3's "
        "answers. Points "
        "are means over seeds, bars 95 % intervals, censored seeds as in the verdicts. Onsets by "
        "validation are for good, in each run's own curve.",
        plot,
        pd.DataFrame(rows),
    )
