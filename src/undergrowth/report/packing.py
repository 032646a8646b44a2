"""What a page carries packed, and its script unpacks: figures, their tables and plotly.js."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from typing import Any

import pandas as pd
from markupsafe import Markup
from plotly.utils import PlotlyJSONEncoder

from undergrowth.report.plot import Fields, Plot


def packed(text: str) -> Markup:
    """Text as gzip in base64, equal for equal texts."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii"))


def as_json(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def plot_json(plot: Plot) -> str:
    """A plot for plotly.js, without its template, which the page has once for all.

    What the hover text of a trace says stands column by column; the name of x or y in the place of the
    same numbers.
    """
    layout = {name: its for name, its in plot.layout.items() if name != "template"}
    fields = {"data": [_by_column(trace) for trace in plot.data], "layout": layout}
    return json.dumps(fields, cls=PlotlyJSONEncoder, separators=(",", ":"), ensure_ascii=False)


def _by_column(trace: Fields) -> Fields:
    told = trace.get("customdata")
    if trace["type"] != "scatter" or not told or not isinstance(told[0], list):
        return trace
    columns = [list(column) for column in zip(*told, strict=True)]
    return {**trace, "customdata": {"columns": [_name(column, trace) for column in columns]}}


def _name(column: list[Any], trace: dict[str, Any]) -> list[Any] | str:
    return next((name for name in "xy" if trace.get(name) == column), column)


def table_json(table: pd.DataFrame) -> str:
    """The cells of a table as in CSV, column by column, its name first: so they pack far smaller."""
    rows = csv.reader(io.StringIO(table.to_csv(index=False)))
    return as_json(list(zip(*rows, strict=True)))
