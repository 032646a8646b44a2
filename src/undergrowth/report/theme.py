"""The look of all figures: one meaning for a colour, legible on light and on dark paper."""

from __future__ import annotations

from typing import Any, Literal

from undergrowth.report.plot import Fields, Plot

Mode = Literal["light", "dark"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# From the palettes of Okabe & Ito (2008) and Tol, moved to a lightness that has a contrast of at
# least 3 with either paper. What colours tell, dashes or symbols tell too.
SIDES = {"train": "#1F77B4", "val": "#D55E00"}
CONTROL_SIDES = {"train": "#7D93A8", "val": "#AE8B74"}
STRATEGIES = {"top": "#C2428A", "random": "#B8860B", "least": "#0A9A74", "norm_matched": "#7371DE"}
SERIES = ("#C2428A", "#D55E00", "#B8860B", "#0A9A74", "#1F77B4", "#7371DE", "#7A5C3E", "#5B8C1A")
DASHES = ("solid", "8px,3px", "2px,3px", "6px,3px,2px,3px", "14px,4px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
NEUTRAL = "#858585"
CELL_INK = "#1c1e21"

PAPER: dict[Mode, dict[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1c1e21",
        "soft": "#585e66",
        "grid": "#e8eaed",
        "line": "#b4b9c0",
        "control": "#e6e9ed",
        "active": "#d3dae2",
    },
    "dark": {
        "paper": "#15181c",
        "ink": "#e6e8eb",
        "soft": "#a3abb5",
        "grid": "#2a2f36",
        "line": "#565d67",
        "control": "#23282f",
        "active": "#48525f",
    },
}


def looks(n: int) -> list[tuple[str, str, str]]:
    """Colour, dash and symbol of as many series, told apart by each of the three."""
    return [
        (SERIES[i % len(SERIES)], DASHES[i % len(DASHES)], SYMBOLS[i % len(SYMBOLS)]) for i in range(n)
    ]


def faint(colour: str, opacity: float) -> str:
    """A '#rrggbb' colour with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def template(mode: Mode = "light") -> Fields:
    """The plotly template of a figure on light or dark paper."""
    c = PAPER[mode]
    axis = {
        "gridcolor": c["grid"],
        "linecolor": c["line"],
        "tickcolor": c["line"],
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickangle": 0,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    layout: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": c["ink"]},
        "paper_bgcolor": c["paper"],
        "plot_bgcolor": c["paper"],
        "colorway": list(STRATEGIES.values()),
        "xaxis": axis,
        "yaxis": axis,
        "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}},
        "hoverlabel": {
            "bgcolor": c["paper"],
            "bordercolor": c["line"],
            "font": {"color": c["ink"], "family": FONT, "size": 12},
            "align": "left",
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": c["soft"], "activecolor": c["ink"]},
        "updatemenudefaults": {
            "bgcolor": c["control"],
            "bordercolor": c["line"],
            "font": {"color": c["ink"], "size": 12},
        },
        "sliderdefaults": {
            "bgcolor": c["control"],
            "activebgcolor": c["active"],
            "bordercolor": c["line"],
            "tickcolor": c["line"],
            "font": {"color": c["soft"], "size": 11},
            "currentvalue": {"font": {"color": c["ink"], "size": 13}},
        },
        "annotationdefaults": {"font": {"color": c["ink"], "size": 12}, "showarrow": False},
        "shapedefaults": {"line": {"color": c["line"]}},
    }
    return {"layout": layout}


def dress(plot: Plot, *, height: int, controls: int = 1, slider: bool = False) -> None:
    """Give a plot its look and room: controls (rows of buttons, a slider) above, the legend below."""
    top = 28 + 40 * controls + (74 if slider else 0)
    plot.update_axes("x", {"tickformat": ","})
    plot.update(
        template=template(),
        height=height,
        margin={"l": 62, "r": 16, "t": top, "b": 50},
        legend={
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
        },
        hovermode="closest",
        uirevision="keep",
    )
