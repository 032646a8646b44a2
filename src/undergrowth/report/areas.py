"""The table over training: as a film, by area, by when cells were learned, and by what carries them."""

from __future__ import annotations

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
    accuracy_by_area,
    area_share,
    area_table,
    median_passing,
    shared_carriers,
    where_some_are_right,
)
from undergrowth.analysis.learned import first_learned, learned_by_step
from undergrowth.measures import SIDES, Observed
from undergrowth.measures.areas import AreaKind
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG, Axis, LogScale, add_axis_buttons, add_buttons
from undergrowth.report.bands import band_traces
from undergrowth.report.figure import Figure
from undergrowth.report.groups import SIDE_NAMES, Band, counted
from undergrowth.report.numbers import rounded
from undergrowth.report.panels import Line, Panel, panels_figure
from undergrowth.report.sliders import add_slider
from undergrowth.store import Run

ByOperation = Mapping[str, tuple[AreaKind, tuple[Run, ...], tuple[Run, ...]]]
"""By what is learned the areas on which that is a polynomial, the runs, and those of the control."""

N_FRAMES = 24
BANDS: dict[AreaKind, str] = {
    "xy_band": "bands of the product",
    "sum_band": "bands of the sum",
    "block": "blocks of 8 × 8",
}
RENAMED = "bands of renamed operands"
STATES = {
    "training, wrong": "#F2B8A0",
    "training, right": "#B9D3E8",
    "validation, wrong": theme.SIDES["val"],
    "validation, right": "#0B4F8A",
}
"""Cells as the film shows them: pale where they are trained on, red wrong, blue right."""
DIVERGING = [[0.0, "#A63A00"], [0.25, "#E58A4E"], [0.5, "#E9E9E9"], [0.75, "#5B9BCB"], [1.0, "#0B4F8A"]]
EVEN = [[(i + end) / 4, colour] for i, colour in enumerate(STATES.values()) for end in (0, 1)]
ALONG_BANDS = np.array([[11, 79, 138], [10, 154, 116], [213, 94, 0]])
"""Colours of the first band, the middle one and the last."""


def table_film(runs: Sequence[Run], kind: AreaKind, name: str = "table_film") -> Figure:
    """Every cell of the table of the first run, right or wrong and its centred logit, a frame a step."""
    run, trained = runs[0], _trained(runs[0])
    kept = run["table_correct"]["step"].values
    at = np.unique(np.linspace(0, len(kept) - 1, min(N_FRAMES, len(kept))).round().astype(int))
    correct, centred_logit = (
        run[f"table_{score}"].isel(step=at) for score in ("correct", "centred_logit")
    )
    states = [
        rounded(np.where(np.isnan(right), right, 2 * ~trained + right)) for right in correct.values
    ]
    centred_logits = [rounded(frame, 2) for frame in centred_logit.values]
    limit = float(np.nanpercentile(np.abs(centred_logit.values), 99)) or 1.0
    areas = area_table(run.spec.task, kind)
    accuracy = run["val_accuracy"].dropna("step").sel(step=kept[at], method="nearest").values
    active = int(np.abs(accuracy - 0.5).argmin())
    where = f"x %{{y}}, y %{{x}}, {BANDS[kind].split()[0].removesuffix('s')} %{{customdata}}"
    state_bar = {
        "tickvals": list(range(len(STATES))),
        "ticktext": [state.replace(", ", ",<br>") for state in STATES],
    }
    gaps = {"customdata": areas.tolist(), "xgap": 0.4, "ygap": 0.4}
    shown = _cells(states[active], (-0.5, 3.5), EVEN, state_bar, where, meta={"kind": "state"}, **gaps)
    title, hover = {"title": {"text": "centred logit"}}, f"{where}<br>centred logit %{{z}}"
    meta = {"visible": False, "meta": {"kind": "centred_logit"}}
    hidden = _cells(centred_logits[active], (-limit, limit), DIVERGING, title, hover, **meta, **gaps)
    plot = go.Figure([shown, hidden, _dots(trained)])
    theme.dress(plot, height=700, slider=True)
    _square(plot)
    choices = (("right or wrong", [True, False]), ("centred logit", [False, True]))
    add_buttons(
        plot,
        [
            {"label": label, "method": "restyle", "args": [{"visible": v}, [0, 1]]}
            for label, v in choices
        ],
    )
    add_slider(
        plot,
        labels=[f"{step:,}" for step in kept[at]],
        updates=[({"z": list(pair)}, {}) for pair in zip(states, centred_logits, strict=True)],
        traces=(0, 1),
        prefix="training step ",
        active=active,
    )
    caption = (
        f"{run.spec.task.describe()}, seed {run.spec.seeds.model}: the whole table at {len(at)} of the "
        "steps at which it was kept. Pale cells, those with a dot, are trained on; a gap is a cell that "
        "the operation has not. The centred logit is the correct logit less the mean of the others; its "
        "colours end at the 99th percentile of its size. Pointing at a cell says in which of the "
        f"{BANDS[kind]} it lies."
    )
    cells = (
        xr.Dataset({"correct": correct, "centred_logit": centred_logit})
        .to_dataframe()
        .reset_index()
        .dropna()
    )
    x, y = cells["x"].to_numpy(int), cells["y"].to_numpy(int)
    table = cells.assign(trained=trained[x, y], area=areas[x, y]).round(4)
    return Figure(name, f"The table of {run.spec.task.describe()}, step by step", caption, plot, table)


def area_share_figure(by_operation: ByOperation) -> Figure:
    """How far areas decide which validation cells are right, beyond renamed operands, over steps."""
    colours = dict(zip(BANDS, theme.STRATEGIES.values(), strict=False))
    dashes = {"xy_band": "solid", "sum_band": "6px,3px", "block": "2px,3px"}
    panels = []
    for op, (_, runs, _) in by_operation.items():
        shares = {
            kind: _joined([where_some_are_right(run, area_share(run, kind)) for run in runs])
            for kind in BANDS
        }
        lines = tuple(
            Line(legend, shares[kind].dropna("step"), colours[kind], dashes[kind])
            for kind, legend in BANDS.items()
        )
        panels.append(Panel(f"{op}:<br>share", lines, limits=(-0.15, 1.03), marks=_midway(runs)))
    caption = (
        "The variance of validation accuracy between areas on which two halves of the cells agree, as a "
        "share of all of it: 0 is chance, the mean of the same areas after "
        f"{N_RENAMINGS} random renamings of the operands, and 1 an area that decides alone. Cells with "
        f"an operand 0 are left out. {_counted(by_operation)}, at steps at which each of them has some "
        f"cells right and some wrong. {MARKS}"
    )
    title = "How far the area of the table decides what is right on validation cells"
    return panels_figure("area_share", title, caption, panels)


def band_accuracy_figure(runs: Sequence[Run], kind: AreaKind, name: str = "band_accuracy") -> Figure:
    """Validation accuracy of each band over steps, mean over seeds, on that of renamed bands."""
    by_band = accuracy_by_area(runs, kind)
    drawn = [accuracy_by_area(runs, kind, draw) for draw in range(N_RENAMINGS)]
    low, mid, high = np.nanpercentile(drawn, [2.5, 50, 97.5], axis=(0, 2))
    steps, n = runs[0]["table_correct"]["step"].values, by_band.shape[1]
    hover = f"{RENAMED}<br>step %{{customdata[0]:,}}<br>accuracy"
    look = {"colour": theme.NEUTRAL, "dash": "2px,3px", "hover": hover, "showlegend": True}
    plot = go.Figure(band_traces(steps, Band(mid, low, high, ""), name=RENAMED, **look))
    for area in range(n):
        at = 2 * area / max(n - 1, 1)
        rgb = [round(float(np.interp(at, [0, 1, 2], channel))) for channel in ALONG_BANDS.T]
        plot.add_scatter(
            x=steps.tolist(),
            y=rounded(by_band[:, area], 3),
            customdata=steps.tolist(),
            mode="lines",
            line={"color": "#{:02x}{:02x}{:02x}".format(*rgb), "width": 1.3},
            name=f"band {area}",
            showlegend=area in (0, n // 2, n - 1),
            meta={"area": area},
            hovertemplate=f"band {area}<br>step %{{customdata:,}}<br>accuracy %{{y:.3f}}<extra></extra>",
        )
    theme.dress(plot, height=480)
    plot.update_xaxes(title_text="training step")
    plot.update_yaxes(title_text="validation accuracy", range=[-0.03, 1.03])
    add_axis_buttons(plot, Axis(("xaxis",), LogScale.of(steps), "log"))
    task = runs[0].spec.task.describe()
    caption = (
        f"{task}: one line for each of the {n} {BANDS[kind]}, mean over {counted(runs, 'of it')}; cells "
        "with an operand 0 are left out. Grey: where 95% of such lines lie when the operands are "
        f"renamed at random ({N_RENAMINGS} times), and their median. Bands that are learned apart leave "
        f"the grey. {ZERO_ON_LOG}"
    )
    steps_areas = pd.MultiIndex.from_product([steps, range(n)], names=["step", "area"])
    table = pd.DataFrame({"accuracy": by_band.ravel()}, steps_areas).reset_index()
    table = table.assign(renamed_low=np.repeat(low, n), renamed_high=np.repeat(high, n)).round(5)
    return Figure(name, f"Validation accuracy of {task} by band", caption, plot, table)


def learned_figure(runs: Sequence[Run], name: str = "first_learned") -> Figure:
    """When each cell was right for good: as a map of one run, and how many by each step of all."""
    run, task = runs[0], runs[0].spec.task.describe()
    steps = run["table_correct"]["step"].values
    stable = first_learned(run["table_correct"])["stable"].values
    decades = np.log10(np.where(np.isinf(stable), np.nan, stable).clip(1))
    ticks = [v for v in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000) if steps[1] <= v <= steps[-1]]
    bar = {"tickvals": np.log10(ticks).tolist(), "ticktext": [f"{v:,}" for v in ticks]}
    bar |= {"title": {"text": "step"}, "y": 1, "yanchor": "top", "len": 0.64}
    ends = float(np.log10(steps[1])), float(np.log10(steps[-1]))
    hover = "x %{y}, y %{x}<br>right for good: 10^%{z:.2f}"
    plot = make_subplots(rows=2, cols=1, row_heights=[0.68, 0.32], vertical_spacing=0.1)
    plot.add_trace(_cells(rounded(decades, 3), ends, "Viridis", bar, hover), row=1, col=1)
    plot.add_trace(_dots(_trained(run)), row=1, col=1)
    tables = []
    for side in SIDES:
        share = np.mean([_learned(run, side) for run in runs], axis=0)
        told = f"{SIDE_NAMES[side]} cells"
        line = {"color": theme.SIDES[side]}
        hover = f"{told}<br>step %{{x:,}}<br>%{{y:.1%}} right for good<extra></extra>"
        x, y = steps[1:].tolist(), rounded(share[1:], 4)
        plot.add_scatter(x=x, y=y, name=told, line=line, hovertemplate=hover, row=2, col=1)
        tables.append(pd.DataFrame({"side": side, "step": steps, "share": share}))
    theme.dress(plot, height=880, controls=0)
    _square(plot)
    values, labels = LogScale.of(steps[1:]).ticks()
    axis = {"type": "log", "tickmode": "array", "tickvals": values, "ticktext": labels}
    plot.update_xaxes(title_text="training step", **axis, row=2, col=1)
    plot.update_yaxes(title_text="share of cells", range=[-0.03, 1.03], row=2, col=1)
    caption = (
        f"{task}. Above: seed {run.spec.seeds.model}; a cell's colour is the first kept step from which "
        "on it was right to the end, dots are trained on, gaps were not right at the end. Below: the "
        f"share of cells that are right for good from that step on, mean over {counted(runs, 'of it')}."
    )
    return Figure(name, f"When each cell of {task} was learned", caption, plot, pd.concat(tables))


def shared_carriers_figure(by_operation: ByOperation) -> Figure:
    """Overlap of carriers of two examples within an area and across, over steps, with renamed areas."""
    top, least = theme.STRATEGIES["top"], theme.STRATEGIES["least"]
    pairs = (
        ("within", "within a band", top, "solid"),
        ("across", "across bands", least, "solid"),
        ("within_renamed", "within a band, renamed", top, "2px,3px"),
        ("across_renamed", "across bands, renamed", least, "2px,3px"),
    )
    panels = []
    for op, (kind, runs, control) in by_operation.items():
        shared = _joined([shared_carriers(run, f"{kind}_carriers", "val") for run in runs])
        lines = [Line(said, shared.sel(pair=pair), *look) for pair, said, *look in pairs]
        if control:
            its = _joined([shared_carriers(run, f"{kind}_carriers", "train") for run in control])
            look = theme.CONTROL_SIDES["train"], "4px,3px"
            lines.append(Line("across bands, shuffled labels (training)", its.sel(pair="across"), *look))
        panels.append(Panel(f"{op}:<br>overlap", tuple(lines), limits=(-0.3, 1.03), marks=_midway(runs)))
    caption = (
        "Carriers of an example are the fewest neurons that hold 90% of its centred logit. Overlap of "
        "two examples' carriers is the shared part of the smaller set, set so that 0 is that of random "
        "sets of equal size and 1 that of equal sets. Validation examples, pairs from one band and "
        "from two; dotted the same after the operands were renamed at random; dashed training examples "
        f"of the control. {_counted(by_operation)}. {MARKS}"
    )
    title = "How far two examples share the neurons that carry them, within bands and across"
    return panels_figure("shared_carriers", title, caption, panels)


MARKS = "Dotted: the median step at which validation first comes to either end of midway."


def _midway(runs: Sequence[Run]) -> tuple[tuple[float, str], ...]:
    """The marks of a panel at which validation is midway."""
    steps = ((median_passing(runs, level), f"{level:.0%}") for level in MIDWAY)
    return tuple((step, name) for step, name in steps if 0 < step < np.inf)


def _counted(by_operation: ByOperation) -> str:
    each = ", ".join(counted(runs, f"of {op}") for op, (_, runs, _) in by_operation.items())
    return f"Mean over {each}"


def _cells(z: Any, ends: tuple[float, float], colours: Any, bar: Any, hover: str, **more) -> go.Heatmap:
    """A table of cells in colour. ends: the values of the first and the last colour."""
    bar = {"thickness": 12, "outlinewidth": 0, **bar}
    hover = f"{hover}<extra></extra>"
    scale = {"zmin": ends[0], "zmax": ends[1], "colorscale": colours, "colorbar": bar}
    return go.Heatmap(z=z, hovertemplate=hover, **scale, **more)


def _trained(run: Run) -> np.ndarray:
    """bool [x, y]: which cells are trained on."""
    data = Observed.of(run.spec.data())
    n = run["table_correct"].sizes["x"]
    trained = np.zeros((n, n), bool)
    trained[tuple(np.asarray(data.train_inputs()).T)] = True
    return trained


def _learned(run: Run, side: str) -> np.ndarray:
    """float64 [step]: the share of a side's cells that are right for good."""
    correct = run["table_correct"]
    return learned_by_step(correct.where(_trained(run) == (side == "train")))


def _dots(trained: np.ndarray) -> go.Scatter:
    x, y = np.nonzero(trained)
    marker = {"size": max(1.5, 90 / len(trained) * 0.9), "color": "rgba(255,255,255,0.65)"}
    look = {"mode": "markers", "marker": marker, "hoverinfo": "skip", "showlegend": False}
    return go.Scatter(x=y.tolist(), y=x.tolist(), meta={"kind": "trained"}, **look)


def _square(plot: go.Figure) -> None:
    """Make the first panel a table of square cells, x downwards."""
    common = {"constrain": "domain", "showgrid": False}
    rows = {"title": {"text": "x"}, "autorange": "reversed", "scaleanchor": "x"}
    plot.update_layout(xaxis={"title": {"text": "y"}, **common}, yaxis={**rows, **common})


def _joined(by_run: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(by_run, dim="run", join="outer")
