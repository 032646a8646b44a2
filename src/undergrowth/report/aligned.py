"""Curves of many arms over one another, with their steps counted from an event of each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import Rules
from undergrowth.report.arms import IN_WORDS, MOMENTS, Arm, Course, Moment, arms_of, courses, looks_of
from undergrowth.report.axes import ZERO_ON_LOG, LogScale, subplot_names
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import STEPS
from undergrowth.report.figure import Figure, chart
from undergrowth.report.fork_tree import CENSORED, FIRED, SYMBOLS, UNFIRED
from undergrowth.report.groups import RULES, SIDE_NAMES, Runs, plural
from undergrowth.report.plot import Plot
from undergrowth.report.spikes import thinned
from undergrowth.store import Run

NAME_ENDS = "-aligned"
"""How the names of these figures end: the page gives them a choice of what to align at."""
MOST_LINES = 240
"""Lines of a figure, over all its panels."""
POINTS = 160
"""Points of a line, of which the lowest and the highest of each short stretch are kept."""
COLOURED = 14
"""Arms with a colour of their own; what more there are is grey, and named by pointing at it."""
MARKS: Mapping[Moment, str] = {
    "fired": FIRED,
    "memorised": "memorised",
    "onset": "onset",
    "grokked": "grokked",
}
Panels = Mapping[str, Mapping[Run, xr.DataArray]]
"""By panel the curve of each run, dim (step)."""


def aligned_figure(
    runs: Runs, *readings: str, at: Moment = "start", rules: Rules = RULES, **how: Any
) -> Figure:
    """Curves of every run over steps since an event of it, a colour an arm and a panel a reading.

    readings: without axes, those of accuracy by default; at: `start` (step 0), `fork`, `fired` (the
    first firing of an intervention of its own), `memorised`, `onset` or `grokked`, as `rules` define
    them; how: name, title, caption, y. A run to which that did not happen is not drawn, and the caption
    says so. On the page a choice above the figure aligns it anew. Columns of the table: layer ('curve'
    or 'mark'), panel, series, arm, run, seed, step, since (that event), value.

    Raises ValueError for an event that there is not.
    """
    if at not in MOMENTS:
        raise ValueError(f"at = {at!r}: no event of a run: use one of {', '.join(MOMENTS)}")
    readings = readings or ("val_accuracy", "train_accuracy")
    arms = arms_of(runs)
    most = most_runs(len(readings))
    panels = {
        name: {
            run: run.curves[name].dropna("step")
            for run in islice((run for run in in_rounds(arms) if name in run.curves), most)
        }
        for name in readings
    }
    named = {"name": readings[0], "title": ", ".join(map(in_text, readings)), "y": _scales(panels)}
    return curves_figure(arms, panels, at=at, rules=rules, **{**named, **how})


def curves_figure(
    arms: Sequence[Arm],
    panels: Panels,
    *,
    name: str,
    title: str,
    y: Scale | Mapping[str, Scale],
    caption: str = "",
    at: Moment = "start",
    rules: Rules = RULES,
    marks: Sequence[Moment] = tuple(MARKS),
) -> Figure:
    """The same of any curves by panel and run; marks: what is marked on them."""
    chosen, left_out = _chosen(arms, panels)
    its = {course.run.id: course for course in courses([r for arm in arms for r in arm.runs], rules)}
    rows = [
        frame
        for panel, curves in panels.items()
        for frame in _panel(panel, arms, curves, _Drawn(its, chosen, marks, y))
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"step": [], "run": []})
    zero = {run_id: course.step(at) for run_id, course in its.items()}
    since = _since(table, zero)
    table.insert(len(table.columns) - 1, "since", since)
    counted = plural(len(chosen), "run") if chosen else "no run yet"
    drawn = table.dropna(subset=["since"]).reset_index(drop=True)
    x = STEPS if at == "start" else Scale(_title(at), is_switchable=True)
    figure = chart(
        f"{name}{NAME_ENDS}",
        title,
        f"A colour an arm, a thin line a run ({counted}); a fork's line includes its trunk's. {caption}"
        f"{left_out}{_grey(arms)}{_missing(at, its, chosen)}{_of_marks(marks)}{ZERO_ON_LOG}",
        drawn,
        {
            "curve": Layer("lines", "since", "value", each="run", tell=("arm", "seed")),
            "mark": Layer("dots", "since", "value", tell=("arm", "step", "seed")),
        },
        x=x,
        y=y if isinstance(y, Scale) else {in_text(panel): scale for panel, scale in y.items()},
        looks=looks_of(arms, COLOURED) | {_rest(arms): GREY} | _symbols(),
        tall=240 if len(panels) < 3 else 170,
    )
    figure.drawn.update_axes("y", {"exponentformat": "power"})
    _tell(figure.drawn, drawn, at, its, chosen)
    return figure


def _since(table: pd.DataFrame, zero: Mapping[str, int | None]) -> Any:
    """Steps counted from a step of each run; NaN where it has none."""
    begins = [zero.get(run_id) for run_id in table["run"]]
    return table["step"] - pd.Series(begins, table.index, float)


def _of_marks(marks: Sequence[Moment]) -> str:
    """What the symbols are."""
    rules = "at the first evaluation at which a rule held, and " if len(marks) > 1 else ""
    return (
        f"Symbols are {rules}where interventions fired; counted from an event, a log axis shows what "
        "follows it. "
    )


GREY = Look("#858585", width=1.0, opacity=0.7)


def in_text(name: str) -> str:
    """The name of a reading as text."""
    head, *rest = name.split("_")
    return " ".join([SIDE_NAMES.get(head, head), *rest])


def _symbols() -> dict[str, Look]:
    return {name: look for name, look in SYMBOLS.items() if name not in (UNFIRED, CENSORED)}


def _scales(panels: Panels) -> dict[str, Scale]:
    return {name: scale_of(list(curves.values()), name) for name, curves in panels.items()}


def scale_of(curves: Sequence[xr.DataArray], name: str = "") -> Scale:
    """A scale that fits some curves: log where they span more than two decades above 0."""
    if name.endswith("_accuracy"):
        return Scale(limits=(-0.03, 1.03))
    values = np.concatenate([np.ravel(curve.values) for curve in curves]) if curves else np.ones(1)
    values = values[np.isfinite(values)]
    is_wide = len(values) and values.min() > 0 and values.max() > 100 * values.min()
    return Scale(kind="log" if is_wide else "linear")


def _chosen(arms: Sequence[Arm], panels: Panels) -> tuple[set[str], str]:
    """The ids of the runs that are drawn, and what to say of the others."""
    runs, most = sum(len(arm.runs) for arm in arms), most_runs(len(panels))
    there = (run for run in in_rounds(arms) if any(run in curves for curves in panels.values()))
    chosen = {run.id for run in islice(there, most)}
    told = f"Of {runs} runs {most} are drawn, the first seeds of each arm; the tables have all. "
    return chosen, told if runs > most else ""


def most_runs(panels: int) -> int:
    """The runs that a figure of so many panels draws."""
    return max(1, MOST_LINES // max(1, panels))


def in_rounds(arms: Sequence[Arm]) -> Iterator[Run]:
    """All runs, every arm's first seed before any arm's second."""
    for seeds in zip_longest(*(arm.runs for arm in arms)):
        yield from (run for run in seeds if run is not None)


def _rest(arms: Sequence[Arm]) -> str:
    return f"{len(arms) - COLOURED} other arms"


def _grey(arms: Sequence[Arm]) -> str:
    if len(arms) <= COLOURED:
        return ""
    return f"The first {COLOURED} of {len(arms)} arms have a colour; point at a grey line for its arm. "


@dataclass(frozen=True)
class _Drawn:
    """What is drawn: the runs by id, their courses, what is marked on their curves, on which scale."""

    its: Mapping[str, Course]
    chosen: set[str]
    marks: Sequence[Moment]
    y: Scale | Mapping[str, Scale]

    def scale(self, panel: str) -> Scale:
        """That of a panel."""
        return self.y if isinstance(self.y, Scale) else self.y.get(panel, Scale())


def _panel(
    panel: str,
    arms: Sequence[Arm],
    curves: Mapping[Run, xr.DataArray],
    drawn: _Drawn,
) -> Iterator[pd.DataFrame]:
    """Rows of the curves, forks first so that what they share with their trunk is seen in its colour."""
    is_log = drawn.scale(panel).kind == "log" and all((c.values > 0).all() for c in curves.values())
    order = sorted(enumerate(arms), key=lambda item: (-(item[0] >= COLOURED), -item[1].depth))
    marks: list[dict[str, Any]] = []
    for place, arm in order:
        series = arm.legend if place < COLOURED else _rest(arms)
        for run in arm.runs:
            if run not in curves or run.id not in drawn.chosen:
                continue
            curve = thinned(curves[run], POINTS)
            about = {
                "panel": in_text(panel),
                "arm": arm.name,
                "run": run.id,
                "seed": run.spec.seeds.model,
            }
            columns = {"step": curve["step"].values.astype(float), "value": curve.values}
            yield pd.DataFrame({"layer": "curve", "series": series, **about, **columns})
            marks += [
                {**about, **mark} for mark in _marks(curves[run], drawn.its[run.id], drawn.marks, is_log)
            ]
    if marks:
        yield pd.DataFrame([{"layer": "mark", **mark} for mark in marks])


def _marks(
    curve: xr.DataArray, course: Course, marks: Sequence[Moment], is_log: bool
) -> Iterator[dict[str, Any]]:
    """Where on its curve what happened in a run; between two evaluations on the line that joins them."""
    steps = curve["step"].values
    for moment in marks:
        times = course.fired.values() if moment == "fired" else [course.step(moment)]
        for step in times:
            if step is not None and len(steps) and steps[0] <= step <= steps[-1]:
                value = np.interp(step, steps, np.log(curve.values) if is_log else curve.values)
                value = np.exp(value) if is_log else value
                yield {"series": MARKS[moment], "step": float(step), "value": float(value)}


def _title(at: Moment) -> str:
    return "training step" if at == "start" else f"training steps since {IN_WORDS[at]}"


def _missing(at: Moment, its: Mapping[str, Course], chosen: set[str]) -> str:
    """How many of the runs that are drawn have no such event."""
    without = sum(its[run_id].step(at) is None for run_id in chosen)
    if not without:
        return ""
    return f"Without that event, and so not drawn: {without} of {plural(len(chosen), 'run')}. "


def _tell(
    plot: Plot, table: pd.DataFrame, at: Moment, its: Mapping[str, Course], chosen: set[str]
) -> None:
    """Give the page's script what it aligns the figure by: when what happened in each run, and of each
    trace whose run it is.
    """
    names = [name for name in plot.layout if name.startswith("xaxis")]
    names = list(subplot_names("x", len(names)))
    drawn = [run_id for run_id in its if run_id in chosen]
    events = []
    for moment in MOMENTS:
        when = {run_id: step for run_id in drawn if (step := its[run_id].step(moment)) is not None}
        since = _since(table, when).dropna()
        scale = LogScale.of([0.0], since)
        events.append(
            {
                "name": moment,
                "told": _missing(moment, its, chosen).strip(),
                "steps": when,
                "zero": scale.zero,
                "log": _axis(plot, names, "log", scale, moment),
                "linear": _axis(plot, names, "linear", scale, moment),
            }
        )
    plot.update(meta={"aligned": {"at": at, "events": events}})
    marks = table[table["layer"] == "mark"] if len(table) else table
    for trace in plot.data:
        if trace["meta"]["layer"] == "mark":
            of = (marks["panel"] == trace["meta"]["panel"]) & (
                marks["series"] == trace["meta"]["series"]
            )
            trace["meta"] |= {"runs": marks["run"][of].tolist(), "steps": marks["step"][of].tolist()}


def _axis(plot: Plot, names: Sequence[str], kind: str, scale: LogScale, at: Moment) -> dict[str, Any]:
    """What of the layout makes the x axes log or linear with steps counted from an event."""
    values, labels = scale.ticks()
    is_log = kind == "log"
    found: dict[str, Any] = {f"{names[-1]}.title.text": _title(at)}
    for name in names:
        found |= {f"{name}.type": kind, f"{name}.autorange": True}
        found |= {f"{name}.tickmode": "array" if is_log else "auto"}
        found |= {f"{name}.tickvals": values if is_log else None}
        found |= {f"{name}.ticktext": labels if is_log else None}
    for i, shape in enumerate(plot.layout.get("shapes", [])):
        if shape.get("name") == "x gap":
            found |= {f"shapes[{i}].{end}": scale.gap for end in ("x0", "x1")}
            found |= {f"shapes[{i}].visible": is_log}
    return found
