"""The table over training: as a film, by area, by when cells were learned, and by what carries them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undergrowth.analysis.areas import (
    MIDWAY,
    N_RENAMINGS,
    area_share,
    shared_carriers,
    validation_cells,
)
from undergrowth.analysis.learned import first_learned
from undergrowth.measures import SIDES, Observed, areas_of, renamed_operands
from undergrowth.measures.areas import AreaKind
from undergrowth.report import theme
from undergrowth.report.axes import (
    ZERO_ON_LOG,
    Axis,
    AxisType,
    LogScale,
    add_axis_buttons,
    add_buttons,
    subplot_names,
    traces_of,
)
from undergrowth.report.bands import band_traces, faint
from undergrowth.report.figure import Figure
from undergrowth.report.groups import SIDE_NAMES, Band, count, groups, over_seeds
from undergrowth.report.numbers import rounded
from undergrowth.report.sliders import add_slider
from undergrowth.store import Run

ByOperation = Mapping[str, tuple[AreaKind, tuple[Run, ...]]]
"""Runs by what they learn, with the areas on which that is a polynomial."""

N_FRAMES = 24
SOME_RIGHT = 0.05
"""Share of validation cells that must be right, and wrong, for areas to be compared in a figure."""
BANDS: dict[AreaKind, str] = {
    "xy_band": "bands of the product",
    "sum_band": "bands of the sum",
    "block": "blocks of 8 × 8",
}
KIND_COLOURS = dict(zip(BANDS, theme.STRATEGIES.values(), strict=False))
KIND_DASHES = {"xy_band": "solid", "sum_band": "6px,3px", "block": "2px,3px"}
RENAMED = "bands of renamed operands"
STATES = {
    "training, wrong": "#F2B8A0",
    "training, right": "#B9D3E8",
    "validation, wrong": theme.SIDES["val"],
    "validation, right": "#0B4F8A",
}
"""Cells as the film shows them: pale where they are trained on, red wrong, blue right."""
DIVERGING = [[0.0, "#A63A00"], [0.25, "#E58A4E"], [0.5, "#E9E9E9"], [0.75, "#5B9BCB"], [1.0, "#0B4F8A"]]
NO_CELL = "rgba(133,133,133,0.35)"


def table_film(runs: Sequence[Run], kind: AreaKind, name: str = "table_film") -> Figure:
    """Every cell of the table of the first run, right or wrong and its margin, a frame a step."""
    run = _having(runs, "table_correct")[0]
    correct, margin = run["table_correct"], run["table_margin"]
    steps = _frames(correct["step"].values)
    trained = _trained(run)
    states = [_states(correct.sel(step=step).values, trained) for step in steps]
    margins = [_two_digits(margin.sel(step=step).values) for step in steps]
    limit = float(np.nanpercentile(np.abs(margin.values), 99)) or 1.0
    areas = _area_table(run, kind)
    active = _half_way(run, steps)
    common: dict[str, Any] = {"customdata": areas.tolist(), "xgap": 0.4, "ygap": 0.4}
    where = "x %{y}, y %{x}, " + BANDS[kind].split()[0].removesuffix("s") + " %{customdata}"
    plot = go.Figure(
        [
            go.Heatmap(
                z=states[active],
                zmin=-0.5,
                zmax=len(STATES) - 0.5,
                colorscale=_steps_of_colour(list(STATES.values())),
                colorbar={
                    "tickvals": list(range(len(STATES))),
                    "ticktext": [state.replace(", ", ",<br>") for state in STATES],
                    "thickness": 12,
                    "outlinewidth": 0,
                },
                hovertemplate=f"{where}<extra></extra>",
                meta={"kind": "state"},
                **common,
            ),
            go.Heatmap(
                z=margins[active],
                zmin=-limit,
                zmax=limit,
                colorscale=DIVERGING,
                colorbar={"thickness": 12, "outlinewidth": 0, "title": {"text": "margin"}},
                hovertemplate=f"{where}<br>margin %{{z}}<extra></extra>",
                visible=False,
                meta={"kind": "margin"},
                **common,
            ),
            _dots(trained),
        ]
    )
    theme.dress(plot, height=700, slider=True)
    _square(plot)
    add_buttons(
        plot,
        [
            {"label": label, "method": "restyle", "args": [{"visible": shown}, [0, 1]]}
            for label, shown in (("right or wrong", [True, False]), ("margin", [False, True]))
        ],
    )
    add_slider(
        plot,
        labels=[f"{step:,}" for step in steps],
        updates=[({"z": list(pair)}, {}) for pair in zip(states, margins, strict=True)],
        traces=(0, 1),
        prefix="training step ",
        active=active,
    )
    caption = (
        f"{run.spec.task.describe()}, seed {run.spec.seeds.model}: the whole table at {len(steps)} of "
        "the steps at which it was kept. Pale cells, those with a dot, are trained on; a gap is a cell "
        "that the operation has not. The margin is the correct logit less the mean of the others; its "
        "colours end at the 99th percentile of its size. "
        f"Pointing at a cell says in which of the {BANDS[kind]} it lies."
    )
    title = f"The table of {run.spec.task.describe()}, step by step"
    return Figure(name, title, caption, plot, _film_table(correct, margin, steps, trained, areas))


def area_share_figure(by_operation: ByOperation) -> Figure:
    """How far areas decide which validation cells are right, beyond renamed operands, over steps."""
    shown = {op: (_having(runs, "table_correct"), runs) for op, (_, runs) in by_operation.items()}
    shown = {
        op: tuple(r for r in having if r.spec.labels == "true") for op, (having, _) in shown.items()
    }
    shown = {op: found for op, found in shown.items() if found}
    plot = _panels([f"{op}: share between areas" for op in shown])
    rows = []
    for row, (op, runs) in enumerate(shown.items(), start=1):
        for kind, legend in BANDS.items():
            values = _joined([_where_some_are_right(run, kind) for run in runs])
            values = values.dropna("step")
            steps, band = values["step"].values, over_seeds(values)
            traces = band_traces(
                steps,
                band,
                name=legend,
                colour=KIND_COLOURS[kind],
                dash=KIND_DASHES[kind],
                showlegend=row == 1,
                hover=f"{op}, {legend}<br>step %{{customdata[0]:,}}<br>share beyond chance",
            )
            plot.add_traces(traces, rows=row, cols=1)
            rows.append(_tidy({"operation": op, "areas": kind}, steps, band))
        _add_midway(plot, row, runs)
        plot.update_yaxes(range=[-0.15, 1.03], row=row, col=1)
    _steps_below(plot, len(shown), height=320 * max(len(shown), 1) + 80, start="linear")
    n = ", ".join(f"{op}: {len(runs)}" for op, runs in shown.items())
    caption = (
        "The share of the variance of validation accuracy over cells that lies between areas, set so "
        "that 0 is chance and 1 an area that decides alone. Chance is the mean share of the same areas "
        f"after {N_RENAMINGS} random renamings of the operands; cells with an operand 0 are left out. "
        f"Mean over seeds with true labels ({n}), with 95% intervals, at steps at which each of them "
        f"has between {SOME_RIGHT:.0%} and {1 - SOME_RIGHT:.0%} of the cells right. Between the dotted "
        f"lines the median seed is midway: validation accuracy in [{MIDWAY[0]}, {MIDWAY[1]}]."
    )
    title = "How far the area of the table decides what is right on validation cells"
    return Figure("area_share", title, caption, plot, _stacked(rows))


def band_accuracy_figure(runs: Sequence[Run], kind: AreaKind, name: str = "band_accuracy") -> Figure:
    """Validation accuracy of each band over steps, mean over seeds, on that of renamed bands."""
    runs = _having(runs, "table_correct")
    by_band = _over_runs(runs, kind)
    drawn = [_over_runs(runs, kind, draw) for draw in range(N_RENAMINGS)]
    steps, areas = runs[0]["table_correct"]["step"].values, np.arange(by_band.shape[1])
    low, mid, high = np.nanpercentile(drawn, [2.5, 50, 97.5], axis=(0, 2))
    plot = go.Figure(_behind(steps, Band(mid, low, high, "")))
    colours = _spread(len(areas))
    for i, area in enumerate(areas):
        plot.add_trace(
            go.Scatter(
                x=steps.tolist(),
                y=rounded(by_band[:, i], 3),
                customdata=steps.tolist(),
                mode="lines",
                line={"color": colours[i], "width": 1.3},
                name=f"band {area}",
                showlegend=i in (0, len(areas) // 2, len(areas) - 1),
                meta={"area": int(area)},
                hovertemplate=f"band {area}<br>step %{{customdata:,}}"
                "<br>accuracy %{y:.3f}<extra></extra>",
            )
        )
    _steps_below(plot, 1, height=480)
    plot.update_yaxes(title_text="validation accuracy", range=[-0.03, 1.03])
    task = runs[0].spec.task.describe()
    caption = (
        f"{task}: one line for each of the {len(areas)} {BANDS[kind]}, mean over {len(runs)} seeds with "
        "true labels; cells with an operand 0 are left out. Grey: where 95% of such lines lie when the "
        f"operands are renamed at random ({N_RENAMINGS} times), and their median. Bands that are "
        f"learned apart leave the grey. {ZERO_ON_LOG}"
    )
    frame = pd.DataFrame(
        {
            "step": np.repeat(steps, len(areas)),
            "area": np.tile(areas, len(steps)),
            "accuracy": by_band.ravel(),
            "renamed_low": np.repeat(low, len(areas)),
            "renamed_high": np.repeat(high, len(areas)),
        }
    )
    title = f"Validation accuracy of {task} by band"
    return Figure(name, title, caption, plot, frame.round(5))


def learned_figure(runs: Sequence[Run], name: str = "first_learned") -> Figure:
    """When each cell was right for good: as a map of one run, and as a histogram over all."""
    runs = _having(runs, "table_correct")
    run = runs[0]
    steps = run["table_correct"]["step"].values
    stable = first_learned(run["table_correct"])["stable"].values
    scale = LogScale.of(steps)
    plot = make_subplots(rows=2, cols=1, row_heights=[0.68, 0.32], vertical_spacing=0.1)
    ticks = [v for v in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000) if steps[1] <= v <= steps[-1]]
    plot.add_trace(
        go.Heatmap(
            z=[rounded(row, 3) for row in np.log10(np.where(np.isinf(stable), np.nan, stable).clip(1))],
            customdata=_told_steps(stable),
            zmin=float(np.log10(steps[1])),
            zmax=float(np.log10(steps[-1])),
            colorscale="Viridis",
            colorbar={
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": np.log10(ticks).tolist(),
                "ticktext": [f"{v:,}" for v in ticks],
                "title": {"text": "step"},
                "y": 1,
                "yanchor": "top",
                "len": 0.64,
            },
            hovertemplate="x %{y}, y %{x}<br>right for good: %{customdata}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    plot.add_trace(_dots(_trained(run)), row=1, col=1)
    rows = []
    for side in SIDES:
        counts = _learned_counts(runs, side)
        plot.add_trace(_learned_bars(counts, side, steps), row=2, col=1)
        rows.append(pd.DataFrame({"side": side, "step": [*steps.tolist(), np.inf], "share": counts}))
    theme.dress(plot, height=880, controls=0)
    _square(plot)
    plot.update_layout(barmode="overlay", bargap=0.05)
    values, labels = scale.ticks()
    plot.update_xaxes(
        title_text="right for good from step",
        type="log",
        tickmode="array",
        tickvals=[*values, _never(steps)],
        ticktext=[*labels, "never"],
        row=2,
        col=1,
    )
    plot.update_yaxes(title_text="share of cells", row=2, col=1)
    task = run.spec.task.describe()
    caption = (
        f"{task}. Above: seed {run.spec.seeds.model}; a cell's colour is the first kept step from which "
        "on it was right to the end, dots are trained on, gaps were not right at the end. Below: the "
        f"share of cells of {len(runs)} seeds with true labels by that step, for each side. Times are "
        "kept steps, so their resolution is the spacing of the bars."
    )
    return Figure(name, f"When each cell of {task} was learned", caption, plot, _stacked(rows))


def shared_carriers_figure(by_operation: ByOperation) -> Figure:
    """Overlap of carriers of two examples within an area and across, over steps, with renamed areas."""
    shown = {
        op: (f"{kind}_carriers", groups(runs, f"{kind}_carriers_overlap"))
        for op, (kind, runs) in by_operation.items()
    }
    shown = {op: (prefix, found) for op, (prefix, found) in shown.items() if found}
    plot = _panels([f"{op}: overlap" for op in shown])
    rows = []
    for row, (op, (prefix, found)) in enumerate(shown.items(), start=1):
        for group in found:
            side = "train" if group.is_control else "val"
            shared = _joined([shared_carriers(run, prefix, side) for run in group.runs])
            steps = shared["step"].values
            for pair, legend, colour, dash, width in _PAIRS:
                if group.is_control and pair != "across":
                    continue
                name = "across bands, shuffled labels (training)" if group.is_control else legend
                band = over_seeds(shared.sel(pair=pair))
                traces = band_traces(
                    steps,
                    band,
                    name=name,
                    colour=theme.CONTROL_SIDES["train"] if group.is_control else colour,
                    dash=group.dash if group.is_control else dash,
                    width=width,
                    showlegend=row == 1,
                    hover=f"{op}, {name}<br>step %{{customdata[0]:,}}<br>overlap beyond chance",
                )
                plot.add_traces(traces, rows=row, cols=1)
                who = {"operation": op, "labels": group.name, "side": side, "pair": pair}
                rows.append(_tidy(who, steps, band))
        plot.update_yaxes(range=[-0.3, 1.03], row=row, col=1)
        _add_midway(plot, row, [run for g in found if not g.is_control for run in g.runs])
    _steps_below(plot, len(shown), height=320 * max(len(shown), 1) + 100)
    counted = "; ".join(f"{op}: {count(found)}" for op, (_, found) in shown.items())
    caption = (
        "Carriers of an example are the fewest neurons that hold 90% of its margin. Overlap of two "
        "examples' carriers is the shared part of the smaller set, set so that 0 is that of random sets "
        "of equal size and 1 that of equal sets. Validation examples, pairs from one band and from two; "
        "dotted the same after the operands were renamed at random; dashed training examples of the "
        f"control. Mean over {counted}, with 95% intervals; midway as above. {ZERO_ON_LOG}"
    )
    title = "How far two examples share the neurons that carry them, within bands and across"
    return Figure("shared_carriers", title, caption, plot, _stacked(rows))


_TOP, _LEAST = theme.STRATEGIES["top"], theme.STRATEGIES["least"]
_PAIRS = (
    ("within", "within a band", _TOP, "solid", 2.0),
    ("across", "across bands", _LEAST, "solid", 2.0),
    ("within_renamed", "within a band, renamed", _TOP, "2px,3px", 1.4),
    ("across_renamed", "across bands, renamed", _LEAST, "2px,3px", 1.4),
)


def _having(runs: Sequence[Run], reading: str) -> tuple[Run, ...]:
    return tuple(run for run in runs if reading in run.names)


def _frames(steps: np.ndarray) -> list[int]:
    """At most `N_FRAMES` of the steps, evenly by position, the first and the last among them."""
    at = np.unique(np.linspace(0, len(steps) - 1, min(N_FRAMES, len(steps))).round().astype(int))
    return steps[at].tolist()


def _half_way(run: Run, steps: Sequence[int]) -> int:
    """The position of the step at which validation accuracy is nearest to a half."""
    accuracy = run["val_accuracy"].dropna("step").sel(step=list(steps), method="nearest")
    return int(np.abs(accuracy.values - 0.5).argmin())


def _where_some_are_right(run: Run, kind: AreaKind) -> xr.DataArray:
    """`area_share` beyond chance where it is no noise: some cells are right, and some are not."""
    right = run["table_correct"].values[:, *validation_cells(run).T].mean(axis=1)
    found = area_share(run, kind)["beyond"]
    return found.where((right >= SOME_RIGHT) & (right <= 1 - SOME_RIGHT))


def _trained(run: Run) -> np.ndarray:
    """bool [x, y]: which cells are trained on."""
    data = Observed.of(run.spec.data())
    n = run["table_correct"].sizes["x"]
    trained = np.zeros((n, n), bool)
    trained[tuple(np.asarray(data.train_inputs()).T)] = True
    return trained


def _states(correct: np.ndarray, trained: np.ndarray) -> list[list[int | None]]:
    """The position in `STATES` of each cell; None where there is no cell."""
    state = np.where(trained, 0, 2) + (correct == 1)
    return [
        [None if gone else int(s) for s, gone in zip(row, nan, strict=True)]
        for row, nan in zip(state, np.isnan(correct), strict=True)
    ]


def _two_digits(values: np.ndarray) -> list[list[float | None]]:
    return [rounded(row, 2) for row in values]


def _area_table(run: Run, kind: AreaKind) -> np.ndarray:
    n = run["table_correct"].sizes["x"]
    cells = np.argwhere(np.ones((n, n), bool))
    return areas_of(run.spec.task, cells, kind).reshape(n, n)


def _steps_of_colour(colours: Sequence[str]) -> list[list[Any]]:
    """A colour scale of even steps."""
    n = len(colours)
    return [[at, colour] for i, colour in enumerate(colours) for at in (i / n, (i + 1) / n)]


def _dots(trained: np.ndarray) -> go.Scatter:
    x, y = np.nonzero(trained)
    return go.Scatter(
        x=y.tolist(),
        y=x.tolist(),
        mode="markers",
        marker={"size": max(1.5, 90 / len(trained) * 0.9), "color": "rgba(255,255,255,0.65)"},
        hoverinfo="skip",
        showlegend=False,
        meta={"kind": "trained"},
    )


def _square(plot: go.Figure) -> None:
    """Make the first panel a table of square cells, x downwards."""
    plot.update_layout(
        xaxis={"title": {"text": "y"}, "constrain": "domain", "showgrid": False},
        yaxis={
            "title": {"text": "x"},
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "showgrid": False,
        },
    )


def _film_table(
    correct: xr.DataArray, margin: xr.DataArray, steps: list[int], trained: np.ndarray, areas: np.ndarray
) -> pd.DataFrame:
    """Columns step, x, y, correct, margin, trained, area."""
    frame = xr.Dataset({"correct": correct, "margin": margin}).sel(step=steps).to_dataframe()
    frame = frame.reset_index().dropna()
    at = frame["x"].to_numpy(int), frame["y"].to_numpy(int)
    return frame.assign(trained=trained[at], area=areas[at]).round(4)


def _by_area(run: Run, kind: AreaKind, named: np.ndarray) -> np.ndarray:
    """Share of the validation cells of each area that are right, [step, area]; NaN where it has none."""
    n_areas = int(_area_table(run, kind).max()) + 1
    member = areas_of(run.spec.task, named, kind)[:, None] == np.arange(n_areas)
    right = run["table_correct"].values[:, *validation_cells(run).T]
    with np.errstate(invalid="ignore"):
        return right @ member.astype(float) / member.sum(axis=0)


def _over_runs(runs: Sequence[Run], kind: AreaKind, draw: int | None = None) -> np.ndarray:
    """The mean of `_by_area` over runs, [step, area], with the operands renamed by that draw."""
    found = []
    for run in runs:
        cells, n = validation_cells(run), run["table_correct"].sizes["x"]
        rng = np.random.default_rng(draw)
        named = cells if draw is None else renamed_operands(cells, n, rng)
        found.append(_by_area(run, kind, named))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an area without cells in all runs
        return np.nanmean(found, axis=0)


def _behind(steps: np.ndarray, band: Band) -> list[go.Scatter]:
    traces = band_traces(
        steps,
        band,
        name=RENAMED,
        colour=theme.NEUTRAL,
        dash="2px,3px",
        showlegend=True,
        hover=f"{RENAMED}<br>step %{{customdata[0]:,}}<br>accuracy",
    )
    traces[1].fillcolor = faint(theme.NEUTRAL, 0.3)
    return traces


def _spread(n: int) -> list[str]:
    """n colours from one end of a scale to the other."""
    ends = np.array([[11, 79, 138], [10, 154, 116], [213, 94, 0]])
    at = np.linspace(0, 2, max(n, 2))[:n]
    colours = [np.interp(at, [0, 1, 2], ends[:, channel]).round().astype(int) for channel in range(3)]
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in zip(*colours, strict=True)]


def _learned_counts(runs: Sequence[Run], side: str) -> np.ndarray:
    """Share of the side's cells of all runs by the kept step at which they were learned, then never."""
    steps = runs[0]["table_correct"]["step"].values
    found = []
    for run in runs:
        stable = first_learned(run["table_correct"])["stable"].values
        mine = _trained(run) == (side == "train")
        found.append(stable[mine & ~np.isnan(stable)])
    at = np.searchsorted(steps, np.concatenate(found))
    return np.bincount(at, minlength=len(steps) + 1) / len(at)


def _learned_bars(shares: np.ndarray, side: str, steps: np.ndarray) -> go.Bar:
    at = [float(step) or LogScale.of(steps).zero for step in steps] + [_never(steps)]
    edges = np.array([at[0] / 1.3, *at, at[-1] * 1.1])
    told = [*(f"step {step:,}" for step in steps), "not by the end"]
    return go.Bar(
        x=rounded(at),
        y=rounded(shares, 4),
        width=rounded(np.minimum(np.diff(edges)[:-1], np.diff(edges)[1:]) * 0.95),
        customdata=told,
        name=f"{SIDE_NAMES[side]} cells",
        marker={"color": faint(theme.SIDES[side], 0.6)},
        meta={"side": side},
        hovertemplate=f"{SIDE_NAMES[side]}, %{{customdata}}<br>%{{y:.2%}} of cells<extra></extra>",
    )


def _never(steps: np.ndarray) -> float:
    """Where the bar of cells that were never learned stands on a log axis."""
    return float(steps[-1] * 1.5)


def _told_steps(stable: np.ndarray) -> list[list[str]]:
    def told(step: float) -> str:
        return (
            "no cell" if np.isnan(step) else "not by the end" if np.isinf(step) else f"step {step:,.0f}"
        )

    return [[told(step) for step in row] for row in stable]


def _joined(by_run: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(by_run, dim="run", join="outer")


def _panels(labels: Sequence[str]) -> go.Figure:
    plot = make_subplots(rows=max(len(labels), 1), cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for row, label in enumerate(labels, start=1):
        plot.update_yaxes(title_text=label.replace(": ", ":<br>"), row=row, col=1)
    return plot


def _add_midway(plot: go.Figure, row: int, runs: Sequence[Run]) -> None:
    """Two dotted lines: the median steps at which validation first passes the ends of midway."""
    for level in MIDWAY:
        passed = []
        for run in runs:
            curve = run["val_accuracy"].dropna("step")
            above = curve["step"].values[curve.values >= level]
            passed.append(above[0] if len(above) else np.inf)
        median = float(np.median(passed))
        if np.isfinite(median) and median > 0:
            line = {"color": theme.NEUTRAL, "width": 1, "dash": "dot"}
            y = {"yref": "y domain" if row == 1 else f"y{row} domain", "y0": 0, "y1": 1}
            x = {"xref": "x" if row == 1 else f"x{row}", "x0": median, "x1": median}
            plot.add_shape(type="line", line=line, **x, **y)


def _steps_below(plot: go.Figure, n_rows: int, *, height: int, start: AxisType = "log") -> None:
    theme.dress(plot, height=height)
    plot.update_xaxes(title_text="training step", row=n_rows if n_rows > 1 else None)
    scale = LogScale.of([], *(trace.x for trace in traces_of(plot)))
    add_axis_buttons(plot, Axis(subplot_names("x", max(n_rows, 1)), scale, start))


def _tidy(who: Mapping[str, str], steps: np.ndarray, band: Band) -> pd.DataFrame:
    columns = {"step": steps, "mean": band.mean, "low": band.low, "high": band.high}
    return pd.DataFrame({**who, **columns})


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
