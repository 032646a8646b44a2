"""In a notebook of the site a figure is shown as the site shows it; read by IPython as it starts."""

from __future__ import annotations

from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]
from IPython.display import HTML, display


def _shown(figure) -> None:
    from builder.plots import html_of

    display(HTML(html_of(figure)))


get_ipython().display_formatter.ipython_display_formatter.for_type_by_name(
    "undergrowth.report.figure", "Figure", _shown
)
