"""The table during training: as a film, by area, by when cells were learned, by what carries them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis.areas import (
    MIDWAY,
    N_RENAMINGS,
    accuracy_by_area,
    area_share,
    area_table,
    median_passing,
    renamed_accuracy,
    shared_carriers,
    where_some_are_right,
)
from undergrowth.analysis.learned import first_learned, learned_by_step
from undergrowth.measures import SIDES
from undergrowth.measures.areas import AreaKind
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG, add_buttons
from undergrowth.report.charts import Chart, Colours, Layer, Look, Scale
from undergrowth.report.charts.description import SHARE, STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import SIDE_NAMES, counted
from undergrowth.report.numbers import rounded
from undergrowth.report.panels import panels_figure
from undergrowth.report.plot import Fields, Plot
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
EVEN = [((i + end) / 4, colour) for i, colour in enumerate(STATES.values()) for end in (0, 1)]
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
    areas = area_table(run.spec.task, kind)
    accuracy = run["val_accuracy"].dropna("step").sel(step=kept[at], method="nearest").values
    active = int(np.abs(accuracy - 0.5).argmin())
    where = f"x %{{y}}, y %{{x}}, {BANDS[kind].split()[0].removesuffix('s')} %{{customdata}}"
    plot = _film(correct, centred_logit, trained, areas, where, active)
    caption = (
        f"{run.spec.task.describe()}, seed {run.spec.seeds.model}: the full table at {len(at)} of the "
        "steps at which it was stored. Pale cells with a dot are trained on; at gaps the operation is "
        "undefined. The centred logit is the correct logit minus the mean of the others; its colour "
        "scale ends at the 99th percentile of its magnitude. Hover over a cell to see to which of the "
        f"{BANDS[kind]} it belongs."
    )
    table = _by_cell(correct, centred_logit, trained, areas)
    seen: Any = table[table["step"] == kept[at][active]]
    paper = Chart(
        seen,
        {"": Layer("cells", "y", "x", shade="state")},
        x=Scale("y"),
        y=Scale("x", limits=(len(trained) - 0.5, -0.5)),
        colours=Colours(EVEN, (-0.5, 3.5), ticks=dict(enumerate(STATES)), has_bar=True),
        is_square=True,
    )
    title = f"The table of {run.spec.task.describe()} at each step"
    return Figure(name, title, caption, plot, table, paper)


def _film(
    correct: xr.DataArray,
    centred_logit: xr.DataArray,
    trained: np.ndarray,
    areas: np.ndarray,
    where: str,
    active: int,
) -> Plot:
    """Two scores of every cell by step, one of them seen; where: what pointing at a cell says of it;
    active: the frame that is seen first.
    """
    states = [
        rounded(np.where(np.isnan(right), right, 2 * ~trained + right)) for right in correct.values
    ]
    centred_logits = [rounded(frame, 2) for frame in centred_logit.values]
    limit = float(np.nanpercentile(np.abs(centred_logit.values), 99)) or 1.0
    state_bar = {
        "tickvals": list(range(len(STATES))),
        "ticktext": [state.replace(", ", ",<br>") for state in STATES],
    }
    gaps = {"customdata": areas.tolist(), "xgap": 0.4, "ygap": 0.4}
    shown = _cells(states[active], (-0.5, 3.5), EVEN, state_bar, where, meta={"kind": "state"}, **gaps)
    title, hover = {"title": {"text": "centred logit"}}, f"{where}<br>centred logit %{{z}}"
    meta = {"visible": False, "meta": {"kind": "centred_logit"}}
    hidden = _cells(centred_logits[active], (-limit, limit), DIVERGING, title, hover, **meta, **gaps)
    plot = Plot([shown, hidden, _dots(trained)])
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
        labels=[f"{step:,}" for step in correct["step"].values],
        updates=[({"z": list(pair)}, {}) for pair in zip(states, centred_logits, strict=True)],
        traces=(0, 1),
        prefix="training step ",
        active=active,
    )
    return plot


def _by_cell(
    correct: xr.DataArray, centred_logit: xr.DataArray, trained: np.ndarray, areas: np.ndarray
) -> pd.DataFrame:
    """One row for each cell and step, with its state by number."""
    cells = (
        xr.Dataset({"correct": correct, "centred_logit": centred_logit})
        .to_dataframe()
        .reset_index()
        .dropna()
    )
    x, y = cells["x"].to_numpy(int), cells["y"].to_numpy(int)
    table = cells.assign(trained=trained[x, y], area=areas[x, y]).round(4)
    table["state"] = 2 * (1 - table["trained"]) + table["correct"]
    return table


def area_share_figure(by_operation: ByOperation) -> Figure:
    """How far areas decide which validation cells are right, beyond renamed operands, over steps."""
    dashes = ("solid", "6px,3px", "2px,3px")
    looks = map(Look, theme.STRATEGIES.values(), dashes)
    return panels_figure(
        "area_share",
        "How much the area of the table decides which validation cells are right",
        "The variance of validation accuracy between areas that two halves of the cells agree on, as a "
        f"share of the total variance: 0 is chance, the mean for the same areas after {N_RENAMINGS} "
        "random renamings of the operands; 1 means that the area alone decides. Cells with an operand 0 "
        f"are left out. {_counted(by_operation)}, at steps at which each of them has some cells right "
        f"and some wrong. {MARKS}",
        {
            op: {
                name: _joined([where_some_are_right(run, area_share(run, kind)) for run in runs]).dropna(
                    "step"
                )
                for kind, name in BANDS.items()
            }
            for op, (_, runs, _) in by_operation.items()
        },
        looks=dict(zip(BANDS.values(), looks, strict=True)),
        y=Scale("share", limits=(-0.15, 1.03)),
        marks={op: _midway(runs) for op, (_, runs, _) in by_operation.items()},
    )


def band_accuracy_figure(runs: Sequence[Run], kind: AreaKind, name: str = "band_accuracy") -> Figure:
    """Validation accuracy of each band over steps, mean over seeds, on that of renamed bands."""
    steps, task = runs[0]["table_correct"]["step"].values, runs[0].spec.task.describe()
    by_band = accuracy_by_area(runs, kind)
    n = by_band.shape[1]
    renamed = renamed_accuracy(runs, kind).assign(layer="renamed", series=RENAMED, step=steps)
    bands = {f"band {area}": by_band[:, area] for area in range(n)}
    frames = [
        pd.DataFrame({"layer": "band", "series": band, "step": steps, "accuracy": values})
        for band, values in bands.items()
    ]
    along = np.linspace(0, 2, n)
    rgb = np.stack([np.interp(along, [0, 1, 2], channel) for channel in ALONG_BANDS.T], 1).round()
    looks = {
        b: Look("#{:02x}{:02x}{:02x}".format(*map(int, c))) for b, c in zip(bands, rgb, strict=True)
    }
    return chart(
        name,
        f"Validation accuracy of {task} by band",
        f"{task}: one line for each of the {n} {BANDS[kind]}, mean over {counted(runs, 'of it')}; cells "
        "with an operand 0 are left out. Grey: the range of 95% of such lines when the operands are "
        f"renamed at random ({N_RENAMINGS} times), and their median. Bands that are learned separately "
        f"leave the grey. {ZERO_ON_LOG}",
        pd.concat([renamed, *frames], ignore_index=True),
        {
            "renamed": Layer("lines", "step", "accuracy"),
            "band": Layer("lines", "step", "accuracy", low="", high=""),
        },
        x=STEPS,
        y=replace(SHARE, title="validation accuracy"),
        looks={RENAMED: Look(theme.NEUTRAL, "2px,3px"), **looks},
        tall=320,
    )


def learned_figures(runs: Sequence[Run], kind: AreaKind) -> Iterator[Figure]:
    """When each cell was right for good: as a map of one run, and how many by each step of all."""
    run, task = runs[0], runs[0].spec.task.describe()
    steps, n = run["table_correct"]["step"].values, run["table_correct"].sizes["x"]
    stable = first_learned(run["table_correct"])["stable"].rename("step")
    cells = stable.where(np.isfinite(stable)).to_dataframe().reset_index().dropna()
    cells["decades"] = np.log10(cells["step"].clip(1))
    trained = pd.DataFrame(np.argwhere(_trained(run)), columns=["x", "y"])
    table = pd.concat([cells.assign(layer="cell"), trained.assign(layer="trained", series="trained on")])
    ticks = {float(np.log10(v)): f"{v:,}" for v in TICKS if steps[1] <= v <= steps[-1]}
    yield chart(
        f"first_learned_{kind}",
        f"When each cell of {task} was learned",
        f"{task}, seed {run.spec.seeds.model}: a cell's colour is the first stored step from which it "
        "stayed right to the end; dots are trained on; gaps were not right at the end.",
        table.assign(run=run.id, seed=run.spec.seeds.model),
        {
            "cell": Layer("cells", "y", "x", shade="decades", tell=("step",)),
            "trained": Layer("dots", "y", "x"),
        },
        x=Scale("y", limits=(-0.5, n - 0.5)),
        y=Scale("x", limits=(n - 0.5, -0.5)),
        colours=Colours(VIRIDIS, (np.log10(steps[1]), np.log10(steps[-1])), "step", ticks, has_bar=True),
        looks={"trained on": Look("#bdbdbd", size=max(1.5, 81 / n))},
        tall=560,
        is_square=True,
    )
    shares = [
        pd.DataFrame({"series": f"{SIDE_NAMES[side]} cells", "step": steps, "share": share})
        for side in SIDES
        for share in [np.mean([_learned(each, side) for each in runs], axis=0)]
    ]
    yield chart(
        f"learned_share_{kind}",
        f"How many cells of {task} have been learned by each step",
        "The share of cells that stay right from that step to the end, mean over "
        f"{counted(runs, 'of it')}. {ZERO_ON_LOG}",
        pd.concat(shares, ignore_index=True),
        Layer("lines", "step", "share"),
        x=STEPS,
        y=replace(SHARE, title="share of cells"),
        looks={f"{SIDE_NAMES[side]} cells": Look(theme.SIDES[side]) for side in SIDES},
        tall=240,
    )


TICKS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
VIRIDIS = ((0.0, "#440154"), (0.25, "#3b528b"), (0.5, "#21918c"), (0.75, "#5ec962"), (1.0, "#fde725"))


def shared_carriers_figure(by_operation: ByOperation) -> Figure:
    """Overlap of carriers of two examples within an area and across, over steps, with renamed areas."""
    panels = {}
    for op, (kind, runs, control) in by_operation.items():
        shared = _joined([shared_carriers(run, f"{kind}_carriers", "val") for run in runs])
        panels[op] = {name: shared.sel(pair=pair, drop=True) for pair, (name, _) in PAIRS.items()}
        if control:
            its = _joined([shared_carriers(run, f"{kind}_carriers", "train") for run in control])
            panels[op][SHUFFLED] = its.sel(pair="across", drop=True)
    return panels_figure(
        "shared_carriers",
        "How much two examples share the neurons that carry them, within bands and across",
        "The carriers of an example are the fewest neurons that hold 90% of its centred logit. The "
        "overlap of two examples' carriers is the shared part of the smaller set, scaled so that random "
        "sets of the same sizes have 0 and identical sets 1. Validation examples, in pairs from one "
        "band and from two; dotted: the same after random renaming of the operands; dashed: training "
        f"examples of the control. {_counted(by_operation)}. {MARKS}",
        panels,
        looks={**dict(PAIRS.values()), SHUFFLED: Look(theme.CONTROL_SIDES["train"], "4px,3px")},
        y=Scale("overlap", limits=(-0.3, 1.03)),
        marks={op: _midway(runs) for op, (_, runs, _) in by_operation.items()},
    )


TOP, LEAST = theme.STRATEGIES["top"], theme.STRATEGIES["least"]
PAIRS = {
    "within": ("within a band", Look(TOP)),
    "across": ("across bands", Look(LEAST)),
    "within_renamed": ("within a band, renamed", Look(TOP, "2px,3px")),
    "across_renamed": ("across bands, renamed", Look(LEAST, "2px,3px")),
}
SHUFFLED = "across bands, shuffled labels (training)"
MARKS = "Dotted: the median steps at which validation accuracy first enters and leaves the middle range."


def _midway(runs: Sequence[Run]) -> dict[str, float]:
    """The steps at which validation is midway."""
    steps = {f"{level:.0%}": median_passing(runs, level) for level in MIDWAY}
    return {name: step for name, step in steps.items() if 0 < step < np.inf}


def _counted(by_operation: ByOperation) -> str:
    each = ", ".join(counted(runs, f"of {op}") for op, (_, runs, _) in by_operation.items())
    return f"Mean over {each}"


def _cells(z: Any, ends: tuple[float, float], colours: Any, bar: Any, hover: str, **more) -> Fields:
    """A table of cells in colour. ends: the values of the first and the last colour."""
    bar = {"thickness": 12, "outlinewidth": 0, **bar}
    hover = f"{hover}<extra></extra>"
    scale = {"zmin": ends[0], "zmax": ends[1], "colorscale": colours, "colorbar": bar}
    return {"type": "heatmap", "z": z, "hovertemplate": hover, **scale, **more}


def _trained(run: Run) -> np.ndarray:
    """bool [x, y]: which cells are trained on."""
    data = run.spec.data()
    n = run["table_correct"].sizes["x"]
    trained = np.zeros((n, n), bool)
    trained[tuple(data.inputs[data.is_train].T)] = True
    return trained


def _learned(run: Run, side: str) -> np.ndarray:
    """float64 [step]: the share of a side's cells that are right for good."""
    correct = run["table_correct"]
    return learned_by_step(correct.where(_trained(run) == (side == "train")))


def _dots(trained: np.ndarray) -> Fields:
    x, y = np.nonzero(trained)
    marker = {"size": max(1.5, 90 / len(trained) * 0.9), "color": "rgba(255,255,255,0.65)"}
    look = {"mode": "markers", "marker": marker, "hoverinfo": "skip", "showlegend": False}
    return {"type": "scatter", "x": y.tolist(), "y": x.tolist(), "meta": {"kind": "trained"}, **look}


def _square(plot: Plot) -> None:
    """Make the first panel a table of square cells, x downwards."""
    common = {"constrain": "domain", "showgrid": False}
    rows = {"title": {"text": "x"}, "autorange": "reversed", "scaleanchor": "x"}
    plot.update(xaxis={"title": {"text": "y"}, **common}, yaxis={**rows, **common})


def _joined(by_run: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(by_run, dim="run", join="outer")
