"""A plot as plain data is what plotly's own classes make of the same calls."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from undergrowth.report.plot import Plot

TRACE = {"type": "scatter", "x": [1.0, 2.0], "y": [3.0, None], "name": "a"}


def fields(figure: go.Figure) -> Any:
    found = json.loads(figure.to_json() or "")
    found["layout"].pop("template", None)
    return found


def near(found: Any) -> Any:
    """The same with 12 digits of each number."""
    return json.loads(json.dumps(found), parse_float=lambda digits: f"{float(digits):.12g}")


def test_panels_traces_and_axes_are_plotlys() -> None:
    titles, heights = ["one", "", "three", "four"], [3.0, 1.0]
    spacing = {"vertical_spacing": 0.1, "horizontal_spacing": 0.06}
    shared: Any = {"shared_xaxes": "columns", "shared_yaxes": "rows"}
    theirs = make_subplots(2, 2, subplot_titles=titles, row_heights=heights, **spacing, **shared)
    how: Any = {"row_heights": heights, "shares_x": True, "shares_y": True, "titles": titles}
    ours = Plot.of_panels(2, 2, **spacing, **how)
    for row, col in ((1, 1), (1, 2), (2, 2)):
        theirs.add_trace(go.Scatter(TRACE), row=row, col=col)
        ours.add({**TRACE, "text": None}, row, col)
    theirs.update_xaxes(tickformat=",", title_text="step")
    ours.update_axes("x", {"tickformat": ",", "title": {"text": "step"}})
    theirs.update_xaxes(tickformat=None, range=[0, 1], row=2, col=1)
    ours.update_axes("x", {"tickformat": None, "range": [0, 1]}, 2, 1)
    theirs.update_yaxes(title_text="loss", row=1, col=2)
    ours.update_axes("y", {"title": {"text": "loss"}}, 1, 2)
    theirs.add_vline(0.5, line={"dash": "dot"}, row=2, col=2)  # pyright: ignore[reportArgumentType]
    ours.add_line("x", 0.5, {"dash": "dot"}, 2, 2)
    theirs.add_hline(0.5, line={"dash": "dot"}, row=1, col=1)  # pyright: ignore[reportArgumentType]
    ours.add_line("y", 0.5, {"dash": "dot"}, 1, 1)
    theirs.update_annotations(font={"size": 12}, x=0)
    ours.update_annotations(font={"size": 12}, x=0)
    theirs.update_layout(margin={"l": 3, "t": 4}, height=300)
    theirs.update_layout(margin={"t": 5}, title={"text": "all"})
    ours.update(margin={"l": 3, "t": 4}, height=300).update(margin={"t": 5}, title={"text": "all"})
    assert near(fields(ours.figure)) == near(fields(theirs))


def test_what_a_button_does_is_applied_by_path() -> None:
    plot = Plot(
        [TRACE, TRACE], {"shapes": [{"type": "line"}], "xaxis": {"type": "log", "tickvals": [1]}}
    )
    update = {"xaxis.type": "linear", "xaxis.tickvals": None, "shapes[0].visible": False}
    plot.apply({"x": [[5.0, 6.0]]}, {**update, "yaxis.title.text": "y"}, [1])
    assert [trace["x"] for trace in plot.data] == [[1.0, 2.0], [5.0, 6.0]]
    assert plot.layout == {
        "shapes": [{"type": "line", "visible": False}],
        "xaxis": {"type": "linear"},
        "yaxis": {"title": {"text": "y"}},
    }


def test_a_field_that_plotly_does_not_know_is_refused_where_it_is_shown() -> None:
    with pytest.raises(ValueError, match="colour"):
        _ = Plot([{**TRACE, "colour": "red"}]).figure
