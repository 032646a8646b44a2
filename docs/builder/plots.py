"""Figures on the site: the package's own, drawn by the one copy of plotly.js that all pages share."""

from __future__ import annotations

import html
import json
from pathlib import Path

import plotly.offline
from plotly.utils import PlotlyJSONEncoder

from undergrowth.report import theme
from undergrowth.report.figure import CONFIG, Figure

DRAWN = 'class="plot"'
"""What a page has that needs plotly.js."""
LIBRARY, SCRIPT = "plotly.min.js", "site.js"


def html_of(figure: Figure) -> str:
    """Title, plot and caption; `site.js` draws the plot from the JSON that is in it."""
    drawn = figure.drawn
    layout = {name: its for name, its in drawn.layout.items() if name != "template"}
    told = json.dumps(
        {"data": drawn.data, "layout": layout}, cls=PlotlyJSONEncoder, separators=(",", ":")
    )
    told = told.replace("</", "<\\/")
    return (
        f'<figure class="figure"><p class="figure-title">{html.escape(figure.title)}</p>'
        f'<div {DRAWN} style="min-height:{drawn.layout.get("height", 450)}px">'
        f'<script type="application/json">{told}</script></div>'
        f"<figcaption>{html.escape(figure.caption)}</figcaption></figure>"
    )


def write_scripts(folder: Path) -> None:
    """plotly.js, and after it in the same file how figures look on light and on dark paper."""
    folder.mkdir(parents=True, exist_ok=True)
    looks = {"light": theme.template("light"), "dark": theme.template("dark"), "config": CONFIG}
    told = json.dumps(looks, cls=PlotlyJSONEncoder)
    text = f"{plotly.offline.get_plotlyjs()}\nwindow.undergrowthLooks = {told};\n"
    path = folder / LIBRARY
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
