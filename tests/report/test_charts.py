"""What a chart draws is its table, on a screen and on paper, for every kind of mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from undergrowth.report.charts import Chart, Colours, Layer, Look, Scale
from undergrowth.report.charts.description import Mark
from undergrowth.report.figure import Figure, chart

STEPS = Scale("training step", "log", is_switchable=True)
GREY = Colours([(0, "#ffffff"), (1, "#888888")], (0, 1), title="share", has_bar=True)


def curves() -> pd.DataFrame:
    """Two series in two panels over steps from 0, with bounds."""
    rows = [
        {
            "panel": panel,
            "series": series,
            "step": step,
            "mean": 0.1 * i,
            "low": 0.1 * i - 0.05,
            "high": 1.0,
        }
        for panel in ("loss of one", "loss of two")
        for series in ("training", "validation")
        for i, step in enumerate((0, 10, 100))
    ]
    return pd.DataFrame(rows)


def arms() -> pd.DataFrame:
    """Two arms with seeds and means: one has an interval, the other none."""
    seeds = [
        {
            "layer": "seed",
            "series": "one seed",
            "arm": arm,
            "run": f"{arm}{seed}",
            "seed": seed,
            "value": v + seed,
        }
        for arm, v in (("decay 1", 0.5), ("no decay", 2.5))
        for seed in (0, 1)
    ]
    means = [
        {
            "layer": "mean",
            "series": "mean",
            "arm": "decay 1",
            "value": 1.0,
            "low": 0.25,
            "high": 1.5,
            "n": 2,
        },
        {
            "layer": "mean",
            "series": "mean",
            "arm": "no decay",
            "value": 3.0,
            "low": np.nan,
            "high": np.nan,
            "n": 1,
        },
    ]
    return pd.DataFrame(seeds + means)


def table_of_cells() -> pd.DataFrame:
    """Three of four cells."""
    return pd.DataFrame(
        {
            "arm": ["lr × 10", "lr × 10", "decay × 10"],
            "switch": ["onset", "memorised", "onset"],
            "share": [0.0, 1.0, 0.5],
            "text": ["0/4", "4/4", "2/4"],
        }
    )


def staircase() -> pd.DataFrame:
    return pd.DataFrame(
        {"series": "no-op", "steps": [0.0, 10, 20], "share": [1.0, 0.5, 0.5], "censored": [0, 0, 2]}
    )


def ruled() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": ["mean", "mean", "event"],
            "series": ["training", "training", None],
            "step": [1.0, 10.0, 5.0],
            "mean": [0.0, 1.0, np.nan],
            "event": [None, None, "memorised"],
        }
    )


def drawn(mark: Mark) -> Figure:
    """A figure with this mark in it."""
    how: dict[str, Any]
    match mark:
        case "lines":
            table, layers, how = curves(), Layer("lines", "step", "mean"), {"x": STEPS}
        case "intervals" | "dots":
            layers = {
                "seed": Layer("dots", "value", "arm", each="seed", tell=("seed",)),
                "mean": Layer("intervals", "value", "arm", tell=("n",)),
            }
            table, how = arms(), {"x": Scale("lost"), "y": Scale(kind="rows")}
        case "cells":
            table, layers = (
                table_of_cells(),
                Layer("cells", "switch", "arm", shade="share", label="text"),
            )
            how = {"x": Scale(kind="rows"), "y": Scale(kind="rows"), "colours": GREY}
        case "survival":
            table, layers, how = staircase(), Layer("survival", "steps", "share"), {}
        case "rules":
            layers = {
                "mean": Layer("lines", "step", "mean"),
                "event": Layer("rules", "step", label="event"),
            }
            table, how = ruled(), {}
    return chart("one", "One", "A caption.", table, layers, **how)


MARKS: tuple[Mark, ...] = ("lines", "intervals", "dots", "cells", "survival", "rules")
WRITTEN: dict[Mark, tuple[str, ...]] = {
    "lines": ("loss of one", "loss of two", "training", "validation", "training step"),
    "intervals": ("decay 1", "no decay", "mean", "lost"),
    "dots": ("decay 1", "one seed"),
    "cells": ("lr × 10", "memorised", "4/4", "2/4", "share"),
    "survival": ("no-op",),
    "rules": ("memorised", "training"),
}
"""What a reader of the paper must find written."""
BEGINS = {".pdf": b"%PDF-", ".svg": b"<?xml", ".png": b"\x89PNG"}


def traces(figure: Figure, **meta: Any) -> list[Any]:
    found: list[Any] = list(figure.plot.data)  # type: ignore[arg-type]
    return [trace for trace in found if meta.items() <= (trace.meta or {}).items()]


@pytest.mark.parametrize("suffix", BEGINS)
@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_is_saved_in_every_format(mark: Mark, suffix: str, tmp_path: Path) -> None:
    path = drawn(mark).save(tmp_path / f"figure{suffix}")
    content = path.read_bytes()
    assert content.startswith(BEGINS[suffix])
    assert len(content) > 2_000
    if suffix == ".svg":
        text = content.decode()
        assert [word for word in WRITTEN[mark] if word not in text] == []
    if suffix == ".pdf":
        assert b"/Type /Font" in content


@pytest.mark.parametrize("suffix", BEGINS)
def test_a_figure_saved_twice_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    one, other = (drawn("lines").save(tmp_path / f"{name}{suffix}") for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_paper_has_no_controls_and_is_light(tmp_path: Path) -> None:
    figure = drawn("lines")
    assert "x linear" in str(figure.plot.to_json())
    text = figure.save(tmp_path / "figure.svg").read_text("utf-8")
    assert "x linear" not in text
    assert "#ffffff" in text


def test_a_suffix_that_is_no_format_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"'plot\.gif': the suffix says .*\.pdf, \.svg, \.png; call it 'plot\.pdf'"
    ):
        drawn("lines").save(tmp_path / "plot.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", MARKS)
def test_the_table_of_a_figure_is_the_one_that_was_given(mark: Mark) -> None:
    figure = drawn(mark)
    assert figure.table is figure.chart.table
    assert figure.plot.to_json() == drawn(mark).plot.to_json()


def test_a_line_has_every_row_of_its_series_and_panel_and_its_band() -> None:
    figure = drawn("lines")
    parts: Any = curves().groupby(["panel", "series"])
    for (panel, series), rows in parts:
        (line,) = traces(figure, panel=panel, series=series)
        assert [x for x, *_ in line.customdata] == list(rows["step"])
        np.testing.assert_allclose(np.array(line.y, float), rows["mean"])
        np.testing.assert_allclose([row[2] for row in line.customdata], rows["low"])
    assert len(traces(figure, bound="low")) == len(traces(figure, bound="high")) == 4


def test_a_series_is_once_in_the_legend_and_looks_alike_in_all_panels() -> None:
    for name in ("training", "validation"):
        its = traces(drawn("lines"), series=name)
        assert [trace.showlegend for trace in its] == [True, False]
        assert len({(trace.line.color, trace.line.dash) for trace in its}) == 1


def test_dots_and_intervals_stand_in_the_row_of_their_arm() -> None:
    figure = drawn("intervals")
    (means,) = traces(figure, layer="mean")
    (seeds,) = traces(figure, layer="seed")
    assert list(means.y) == [0, 1]
    assert list(np.round(seeds.y)) == [0, 0, 1, 1]
    assert list(seeds.x) == [0.5, 1.5, 2.5, 3.5]
    assert list(means.error_x.array) == [0.5, 0]
    assert list(means.error_x.arrayminus) == [0.75, 0]
    axis: Any = figure.plot.layout
    assert list(axis.yaxis.ticktext) == ["decay 1", "no decay"]
    assert means.text[0] == "mean<br>value 1 [0.25, 1.5]<br>decay 1<br>n 2"
    assert "seed 0" in seeds.text[0]


def test_a_cell_without_a_row_is_a_gap() -> None:
    (heat,) = traces(drawn("cells"))
    assert [list(row) for row in heat.z] == [[0.0, 1.0], [0.5, None]]
    assert [list(row) for row in heat.text] == [["0/4", "4/4"], ["2/4", ""]]


def test_a_staircase_has_a_cross_where_runs_left_unseen() -> None:
    stairs, crosses = traces(drawn("survival"))
    assert (list(stairs.y), stairs.line.shape) == ([1, 0.5, 0.5], "hv")
    assert (list(crosses.x), list(crosses.y)) == ([20], [0.5])


def test_rules_are_named_where_they_stand() -> None:
    layout: Any = drawn("rules").plot.layout
    assert [(shape.x0, shape.name) for shape in layout.shapes] == [(5, "memorised")]


def test_zero_on_a_log_axis_stands_where_it_can_be_seen() -> None:
    (line,) = traces(drawn("lines"), panel="loss of one", series="training")
    assert 0 < line.x[0] < 10
    assert line.customdata[0][0] == 0


def many() -> Chart:
    """A value for each k, step and view: buttons for views, a slider over steps."""
    rows = [
        {
            "view": view,
            "step": step,
            "k": k,
            "mean": k + step + 100 * (view == "training"),
            "series": "top",
        }
        for view in ("validation", "training")
        for step in (0, 5)
        for k in (1, 2)
    ]
    layers = {"": Layer("lines", "k", "mean")}
    return Chart(pd.DataFrame(rows), layers, choose="view", slide="step", start=5, slide_title="step ")


def test_a_slider_and_buttons_move_to_every_row_of_the_table() -> None:
    of = many()
    figure = chart("many", "Many", "", of.table, of.layers, choose="view", slide="step", start=5)
    assert [(t.meta["choice"], list(t.y), t.visible) for t in traces(figure)] == [
        ("validation", [6, 7], True),
        ("training", [106, 107], False),
    ]
    layout: Any = figure.plot.layout
    (slider,) = layout.sliders
    assert [step.label for step in slider.steps] == ["0", "5"]
    assert [list(y) for y in slider.steps[0].args[0]["y"]] == [[1, 2], [101, 102]]
    (menu,) = layout.updatemenus
    assert [button.args[0]["visible"] for button in menu.buttons] == [[True, False], [False, True]]


def test_paper_shows_the_first_choice_where_the_slider_starts(tmp_path: Path) -> None:
    of = many()
    figure = chart("many", "Many", "", of.table, of.layers, choose="view", slide="step", start=5)
    assert [list(p.y) for p in figure.chart.pieces(5) if p.choice == "validation"] == [[6, 7]]
    assert figure.save(tmp_path / "many.svg").stat().st_size > 2_000


def test_looks_that_are_given_are_kept_and_the_others_differ() -> None:
    named = {"validation": Look("#D55E00", "2px,3px")}
    looks = Chart(curves(), {"": Layer("lines", "step", "mean")}, looks=named).shown_series
    assert list(looks) == ["validation", "training"]
    assert looks["validation"] == named["validation"]
    assert looks["training"].colour != "#D55E00"


def test_a_chart_of_an_empty_table_is_drawn(tmp_path: Path) -> None:
    figure = chart("none", "None", "", pd.DataFrame(), Layer("lines", "step", "mean"), x=STEPS)
    assert traces(figure) == []
    figure.save(tmp_path / "none.pdf")
