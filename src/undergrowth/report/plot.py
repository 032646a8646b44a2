"""A plot as plain data: plotly's classes check every field whenever one is set.

`figure` is plotly's own, checked once, for whoever looks at one figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

Fields = dict[str, Any]

TITLE = {"showarrow": False, "font": {"size": 16}, "xanchor": "center", "yanchor": "bottom"}
"""How plotly writes the title of a panel."""


class Plot:
    """Traces and a layout, as plotly.js takes them. A field that is set to None is not there."""

    def __init__(self, data: Iterable[Fields] = (), layout: Fields | None = None) -> None:
        self.data: list[Fields] = [_known(trace) for trace in data]
        self.layout: Fields = layout or {"xaxis": {}, "yaxis": {}}
        self.across = 1

    @classmethod
    def of_panels(
        cls,
        lines: int,
        across: int,
        *,
        row_heights: Sequence[float] = (),
        vertical_spacing: float = 0.0,
        horizontal_spacing: float = 0.0,
        shares_x: bool = False,
        shares_y: bool = False,
        titles: Sequence[str] = (),
    ) -> Plot:
        """Empty panels, as plotly's `make_subplots` lays them out.

        row_heights: one in proportion to the others for each line; spacings: shares of the plot;
        shares_x, shares_y: whether the panels of a column, or of a line, have one axis; titles: in the
        order of the panels, '' for none.
        """
        found = cls((), {})
        found.across = across
        heights = np.array(row_heights or [1.0] * lines)
        heights = heights / heights.sum() * (1 - vertical_spacing * (lines - 1))
        width = (1 - horizontal_spacing * (across - 1)) / across
        for row, col in np.ndindex(lines, across):
            n, low = found.number(row + 1, col + 1), float((heights[row + 1 :] + vertical_spacing).sum())
            left = (width + horizontal_spacing) * col
            ends = left + width, low + float(heights[row])
            right, high = (min(end, 1.0) for end in ends)  # as sums round
            x: Fields = {"anchor": f"y{n}", "domain": [left, right]}
            y: Fields = {"anchor": f"x{n}", "domain": [low, high]}
            if shares_x and row < lines - 1:
                x |= {"matches": f"x{found.number(lines, col + 1)}", "showticklabels": False}
            if shares_y and col:
                y |= {"matches": f"y{found.number(row + 1, 1)}", "showticklabels": False}
            found.layout |= {f"xaxis{n}": x, f"yaxis{n}": y}
            if title := "".join(titles[row * across + col :][:1]):
                at = {"x": left + width / 2, "y": y["domain"][1], "xref": "paper", "yref": "paper"}
                found.add_annotation(**at, **TITLE, text=title)
        return found

    @property
    def figure(self) -> go.Figure:
        """Plotly's own; raises ValueError where a field is none of plotly's."""
        return go.Figure(self.data, self.layout)

    def number(self, row: int, col: int) -> str:
        """What follows the letter in the names of a panel's axes."""
        n = (row - 1) * self.across + col
        return "" if n == 1 else str(n)

    def add(self, trace: Fields, row: int, col: int) -> None:
        """Draw a trace in a panel."""
        n = self.number(row, col)
        self.data.append(_known({**trace, "xaxis": f"x{n}", "yaxis": f"y{n}"}))

    def add_line(self, letter: str, at: float, line: Fields, row: int, col: int) -> None:
        """A line across a panel at a value of x or of y."""
        n, other = self.number(row, col), {"x": "y", "y": "x"}[letter]
        self.add_shape(
            type="line",
            line=line,
            **{f"{letter}0": at, f"{letter}1": at, f"{letter}ref": f"{letter}{n}"},
            **{f"{other}0": 0, f"{other}1": 1, f"{other}ref": f"{other}{n} domain"},
        )

    def add_shape(self, **fields: Any) -> None:
        """One more shape."""
        self.layout.setdefault("shapes", []).append(fields)

    def add_annotation(self, **fields: Any) -> None:
        """One more annotation."""
        self.layout.setdefault("annotations", []).append(fields)

    def update(self, **fields: Any) -> Plot:
        """Set fields of the layout; what a field of fields had beside these stays."""
        _merge(self.layout, fields)
        return self

    def update_annotations(self, **fields: Any) -> None:
        """Set fields of every annotation."""
        for annotation in self.layout.get("annotations", []):
            _merge(annotation, fields)

    def update_axes(self, letter: str, fields: Fields, row: int = 0, col: int = 0) -> None:
        """Set fields of a panel's axis, or of all x or y axes."""
        if row:
            _merge(self.layout.setdefault(f"{letter}axis{self.number(row, col)}", {}), fields)
            return
        for name, axis in self.layout.items():
            if re.fullmatch(rf"{letter}axis\d*", name):
                _merge(axis, fields)

    def apply(self, data: Mapping[str, Any], layout: Mapping[str, Any], which: Sequence[int]) -> None:
        """What plotly.js does with the arguments of `update`; layout: by path."""
        for key, arrays in data.items():
            for i, values in zip(which, arrays, strict=True):
                self.data[i][key] = values
        for path, value in layout.items():
            *parents, last = re.findall(r"\w+", path)
            place: Any = self.layout
            for part in parents:
                place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
            _merge(place, {last: value})


def _merge(into: Fields, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def _known(trace: Fields) -> Fields:
    return {name: value for name, value in trace.items() if value is not None}
