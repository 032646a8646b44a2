"""Any reading of any measure, drawn by arm: numbers over steps, spreads over components, heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import Rules
from undergrowth.analysis.distributions import pooled_quantiles
from undergrowth.report.aligned import (
    COLOURED,
    Panels,
    curves_figure,
    in_rounds,
    in_text,
    most_runs,
    scale_of,
)
from undergrowth.report.areas import DIVERGING, VIRIDIS
from undergrowth.report.arms import Arm, arms_of, looks_of, telling
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Colours, Layer, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import RULES, SIDE_NAMES, Runs, plural
from undergrowth.store import Run

FEW = 6
"""Labels of an axis up to which each has a panel of its own; along a longer one values are spread."""
MOST_PANELS = 6
MOST_ARMS, MOST_SEEDS = 6, 8
"""Arms whose spread a figure draws, and seeds of each that count."""
MAPPED = 3
"""Arms that a heat map shows."""
LINES, COLUMNS = 40, 28
"""Most lines and columns of a heat map."""
MOST_BYTES = 1 << 23
"""Of a reading of one run; a larger one is not drawn."""


@dataclass(frozen=True)
class Shape:
    """The axes of a reading beside steps.

    few: those short enough for a panel a label, with their labels; long: the others.
    """

    few: Mapping[str, tuple[Any, ...]]
    long: tuple[str, ...]

    @property
    def n_panels(self) -> int:
        """One for each choice of labels along the short axes."""
        return math.prod(map(len, self.few.values()))

    def panels(self) -> list[dict[str, Any]]:
        """The choices of labels, by axis."""
        return [dict(zip(self.few, each, strict=True)) for each in product(*self.few.values())]


def shape_of(values: xr.DataArray) -> Shape:
    """Which of a reading's axes are short."""
    dims = [str(dim) for dim in values.dims if dim != "step"]
    few = {dim: tuple(_labels(values, dim)) for dim in dims if values.sizes[dim] <= FEW}
    return Shape(few, tuple(dim for dim in dims if dim not in few))


def _labels(values: xr.DataArray, dim: str) -> list[Any]:
    return values[dim].values.tolist() if dim in values.coords else list(range(values.sizes[dim]))


def reading_figure(runs: Runs, reading: str, rules: Rules = RULES, told: str = "") -> Figure:
    """One reading of every run: over steps if it is a number or few, else its spread over components.

    A number, or one for each of a few labels: as `aligned_figure`, with a panel a label. Along a longer
    axis: the median and the middle half of the values of each arm, its seeds together. told: what the
    reading is, for the caption. Raises KeyError where no run has the reading.
    """
    arms = arms_of(runs)
    shape = shape_of(sample(arms, reading))
    if shape.long or shape.n_panels > MOST_PANELS:
        return spread_figure(arms, reading, told)
    curves = panels_of(readings_of(arms, reading, most_runs(shape.n_panels)), reading)
    return numbers_figure(arms, curves, name=reading, title=sentence(reading), told=told, rules=rules)


def numbers_figure(
    arms: Sequence[Arm], curves: Panels, *, name: str, title: str, told: str = "", rules: Rules = RULES
) -> Figure:
    """Numbers over steps, a panel each, on the scale that fits it."""
    return curves_figure(
        arms,
        curves,
        name=name,
        title=title,
        y={panel: scale_of(list(its.values()), panel.split(",")[0]) for panel, its in curves.items()},
        caption=f"{told} " if told else "",
        rules=rules,
        marks=("fired",),
    )


def sample(arms: Sequence[Arm], reading: str) -> xr.DataArray:
    """A reading of the first run that has it; KeyError where none has it."""
    return next(iter(readings_of(arms, reading, 1).values()))


def readings_of(arms: Sequence[Arm], reading: str, most: int | None = None) -> dict[Run, xr.DataArray]:
    """A reading of each run that has it on the axes that the first has, of so many at most, every arm's
    first seed before any arm's second; KeyError where none has it.
    """
    found: dict[Run, xr.DataArray] = {}
    axes: Any = None
    for run in (run for run in in_rounds(arms) if reading in run.names):
        if most is not None and len(found) == most:
            break
        values = run[reading]
        its = [(dim, values.sizes[dim], _labels(values, str(dim))) for dim in values.dims[1:]]
        axes = its if axes is None else axes
        if its == axes and len(values["step"]):
            found[run] = values
    if not found:
        raise KeyError(f"no run has a reading {reading!r}")
    return found


def panels_of(values: Mapping[Run, xr.DataArray], reading: str) -> dict[str, dict[Run, xr.DataArray]]:
    """By panel the curve of each run, where all axes are short."""
    shape = shape_of(next(iter(values.values())))
    return {
        _named(reading, which, shape): {run: _at(its, which) for run, its in values.items()}
        for which in shape.panels()
    }


def _at(values: xr.DataArray, which: Mapping[str, Any]) -> xr.DataArray:
    """A reading at some labels; an axis without labels counts from 0."""
    by_label = {dim: label for dim, label in which.items() if dim in values.coords}
    by_place = {dim: place for dim, place in which.items() if dim not in values.coords}
    return values.sel(by_label).isel(by_place)


def _named(reading: str, which: Mapping[str, Any], shape: Shape | None = None) -> str:
    """A panel's name: the reading, and the labels of axes that have more than one."""
    told = [
        str(SIDE_NAMES.get(label, label)) if isinstance(label, str) else f"{dim} {label}"
        for dim, label in which.items()
        if shape is None or len(shape.few[dim]) > 1
    ]
    return ", ".join([reading, *told]) if reading else ", ".join(told)


def sentence(reading: str) -> str:
    """The name of a reading as a title."""
    text = in_text(reading)
    return text[0].upper() + text[1:]


def spread_figure(arms: Sequence[Arm], reading: str, told: str = "") -> Figure:
    """The median and the middle half over the long axes of a reading, by arm, a panel a label.

    Columns of the table: panel, series, arm, step, n (values a step), quantile_0.05 to quantile_0.95.
    """
    there = [arm for arm in arms if any(reading in run.names for run in arm.runs)]
    shown = [replace(arm, runs=arm.runs[:MOST_SEEDS]) for arm in telling(there, MOST_ARMS)]
    values = readings_of(shown, reading)
    shape = shape_of(next(iter(values.values())))
    panels = shape.panels()[:MOST_PANELS]
    frames = []
    for which in panels:
        for arm in shown:
            each = [_at(values[run], which) for run in arm.runs if run in values]
            if not each:
                continue
            its = _together(each)
            its = its.where(np.isfinite(its)).dropna("step", how="all")
            frame = pooled_quantiles(its)
            n = math.prod(its.shape) // max(1, its.sizes["step"])
            about = {"panel": _named("", which, shape), "series": arm.legend, "arm": arm.name, "n": n}
            frames.append(frame.assign(**about))
    left_out = [
        f"Drawn are {MOST_ARMS} of {len(there)} arms." * (len(there) > MOST_ARMS),
        f"Of each arm {MOST_SEEDS} seeds count." * any(len(arm.runs) > MOST_SEEDS for arm in there),
        f"Drawn are {MOST_PANELS} of {shape.n_panels} choices of {_joined(shape.few)}."
        * (shape.n_panels > MOST_PANELS),
    ]
    table = pd.concat(frames, ignore_index=True)
    table = table.drop(columns="panel") if not any(table["panel"]) else table
    return chart(
        f"{reading}_spread",
        f"{sentence(reading)}: how it is spread over {_joined(shape.long) or 'its labels'}",
        f"{told + ' ' if told else ''}Line: the median over {_joined(shape.long)}, band: the middle "
        f"half, of all seeds of an arm together ({plural(len(values), 'run')}). "
        f"{' '.join(filter(None, left_out))} "
        f"{ZERO_ON_LOG}",
        table,
        Layer("lines", "step", "quantile_0.5", low="quantile_0.25", high="quantile_0.75", tell=("arm",)),
        x=STEPS,
        y=_spread_scale(table),
        looks=looks_of(arms, COLOURED),
        tall=200,
    )


def _spread_scale(table: pd.DataFrame) -> Scale:
    low, high = (table[f"quantile_{q}"].to_numpy(float) for q in (0.25, 0.75))
    values = np.concatenate([low, high])
    values = values[np.isfinite(values)]
    is_wide = len(values) and values.min() > 0 and values.max() > 100 * values.min()
    return Scale(kind="log" if is_wide else "linear", is_switchable=bool(is_wide))


def _together(arrays: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(arrays, dim="run", join="outer", coords="minimal", compat="override")


def _joined(names: Any) -> str:
    return " and ".join(str(name) for name in names)


def heat_map_figure(runs: Runs, reading: str, told: str = "") -> Figure:
    """One reading over steps and along its longest axis, a panel an arm, of the first seed of each.

    Components without labels are ranked by their value at the end; other labels keep their order.
    Further axes are at their first label, or averaged over where they are long. Columns of the table:
    panel, run, seed, step, line, label, value. Raises KeyError where no run has the reading, ValueError
    where it is a number.
    """
    return map_figure(arms_of(runs), reading, told)


def map_figure(arms: Sequence[Arm], reading: str, told: str = "") -> Figure:
    """The same of arms."""
    first = {arm.name: run for arm in arms for run in reversed(arm.runs) if reading in run.names}
    few = [
        replace(arm, runs=(first[arm.name],))
        for arm in telling([arm for arm in arms if arm.name in first], MAPPED)
    ]
    values = readings_of(few, reading)
    if not next(iter(values.values())).ndim > 1:
        raise ValueError(f"{reading} is a number at each step: draw it with reading_figure")
    ranks: dict[str, np.ndarray] = {}
    lines = {}
    for name, run in ((arm.name, arm.runs[0]) for arm in few if arm.runs[0] in values):
        root = run.trunks[-1][0] if run.trunks else run.id
        rank = ranks.setdefault(root, _rank(values[run]))
        lines[name] = _lined(values[run], rank)
    seeds = {name: first[name].spec.seeds.model for name in lines}
    frames = [
        _cells(its[0]).assign(panel=name, run=first[name].id, seed=seeds[name])
        for name, its in lines.items()
    ]
    table = pd.concat(frames, ignore_index=True)
    sample, how = next(iter(lines.values()))
    more = f" Shown are {len(lines)} of {len(first)} arms." if len(first) > len(lines) else ""
    axis, n = sample.dims[1], min(LINES, max(its.shape[1] for its, _ in lines.values()))
    return chart(
        f"{reading}_map",
        f"{sentence(reading)}: over steps and {in_text(str(axis))}",
        f"{told + ' ' if told else ''}{how} A panel an arm, of its first seed.{more} Step 0 is left "
        "out. Colours end at the 1st and the 99th percentile of all that is shown.",
        table,
        Layer("cells", "step", "line", series="", shade="value", tell=("label",)),
        x=Scale("training step", "log"),
        y=Scale(str(in_text(str(axis))), limits=(n - 0.5, -0.5), ticks=_ticks(table)),
        colours=_colours(table["value"].to_numpy(float)),
        tall=int(min(260, max(90, 13 * n))),
    )


def _rank(values: xr.DataArray) -> np.ndarray:
    """The components of a reading along its longest axis, the one with the largest last value first."""
    lined, _ = _along_longest(values)
    last = np.nan_to_num(lined.isel(step=-1).values.astype(float), nan=-np.inf)
    return np.argsort(-last.ravel(), kind="stable")


def _along_longest(values: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """A reading as [step, longest axis], and where on, or how over, the others."""
    shape = shape_of(values)
    if not shape.long:
        return values, []
    longest = max(shape.long, key=lambda dim: values.sizes[dim])
    rest = [dim for dim in shape.long if dim != longest]
    lined = _at(values, shape.panels()[0])
    told = [f"At {_named('', shape.panels()[0], shape)}."] if shape.n_panels > 1 else []
    told += [f"Mean over {_joined(rest)}."] if rest else []
    lined = lined.mean(rest) if rest else lined
    return lined.transpose("step", longest), told


def _lined(values: xr.DataArray, rank: np.ndarray) -> tuple[xr.DataArray, str]:
    """A reading as [step, line], and how it was made so; rank: the order of lines without labels."""
    shape = shape_of(values)
    if not shape.long:
        dims = [str(dim) for dim in values.dims[1:]]
        flat = [_named("", which) for which in shape.panels()]
        lined = values.transpose("step", *dims).values.reshape(len(values["step"]), -1)
        coords = {"step": values["step"].values, "label": flat}
        shown = _thinned(xr.DataArray(lined, coords, ("step", "label")))
        few = f" Of {len(flat)} labels {LINES} are shown." if len(flat) > LINES else ""
        return shown, f"A line a label.{few}"
    lined, told = _along_longest(values)
    longest = str(lined.dims[1])
    if longest not in values.coords:
        lined = lined.isel({longest: rank}).assign_coords({longest: rank})
        told.append(
            f"Each {longest} is a line; they are ranked by their value at the end of the first run "
            "shown of those that share a trunk."
        )
    if lined.shape[1] > LINES:
        told.append(f"Of {lined.shape[1]} lines {LINES} are shown, evenly.")
    return _thinned(lined), " ".join(told)


def _thinned(lined: xr.DataArray) -> xr.DataArray:
    """At most so many lines, evenly."""
    n = lined.shape[1]
    at = np.unique(np.linspace(0, n - 1, min(n, LINES)).round().astype(int))
    return lined.isel({lined.dims[1]: at})


def _cells(lined: xr.DataArray) -> pd.DataFrame:
    """A row a cell, of at most so many steps, evenly."""
    after = lined.isel(step=lined["step"].values > 0)
    after = after if after.sizes["step"] else lined.assign_coords(step=lined["step"].values + 1)
    at = np.unique(
        np.linspace(0, after.sizes["step"] - 1, min(after.sizes["step"], COLUMNS)).round().astype(int)
    )
    kept = after.isel(step=at)
    steps, labels = kept["step"].values, [str(label) for label in kept[kept.dims[1]].values]
    return pd.DataFrame(
        {
            "step": np.repeat(steps, len(labels)),
            "line": np.tile(np.arange(len(labels)), len(steps)),
            "label": labels * len(steps),
            "value": kept.values.astype(float).ravel(),
        }
    )


def _ticks(table: pd.DataFrame) -> dict[float, str]:
    """Some twelve lines by name."""
    names = dict(zip(table["line"], table["label"], strict=True))
    every = max(1, math.ceil(len(names) / 12))
    return {float(line): name for line, name in names.items() if line % every == 0}


def _colours(values: np.ndarray) -> Colours:
    """From the least to the largest, or about 0 where there are both signs."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [1, 99]) if len(known) else (0.0, 1.0)
    if low < 0 < high:
        limit = float(max(-low, high))
        return Colours([tuple(stop) for stop in DIVERGING], (-limit, limit), "", has_bar=True)
    high = high if high > low else low + 1.0
    return Colours(VIRIDIS, (float(low), float(high)), "", has_bar=True)
