"""The live view's pages: HTML with what is known in it, and the files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from undergrowth.live.follow import compact
from undergrowth.live.tail import CURVES
from undergrowth.plain_text import visible
from undergrowth.report import theme
from undergrowth.version import __version__

SCRIPTS = ("theme.js", "chart.js", "live.js", "waiting.js")


def live(root: str, news: Mapping[str, Any]) -> str:
    """The page of a store; news: what its board tells of it, in which only curves are lacking."""
    looks = {"sides": theme.SIDES, "series": theme.SERIES, "font": theme.FONT, "curves": CURVES}
    data = {"news": news, "looks": looks}
    # as data in HTML: nothing in a text may end the element that it stands in
    told = compact(data).replace("<", "\\u003c")
    return _page("live.html.j2", root, data=Markup(told))


def waiting(root: str) -> str:
    """The page that is shown while the report is made."""
    return _page("waiting.html.j2", root)


def _page(name: str, root: str, **more: object) -> str:
    page = _environment().get_template(name)
    return page.render(root=visible(root), version=__version__, **more)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("undergrowth", "live"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def assets() -> dict[str, tuple[str, str]]:
    """By name, all files that the pages ask for: content and media type."""
    found = {name: (_asset("live", name), "text/javascript") for name in SCRIPTS}
    sheet = "\n".join([_colours(), _asset("report", "page.css"), _asset("live", "live.css")])
    icon = (_asset("live", "icon.svg"), "image/svg+xml")
    return {**found, "style.css": (sheet, "text/css"), "icon.svg": icon}


def _colours() -> str:
    """The report's fonts and colours, as its page has them."""
    modes: list[tuple[theme.Mode, str]] = [("light", ":root"), ("dark", ":root[data-theme=dark]")]
    lines = [f":root {{ --sans: {theme.FONT}; }}"]
    for mode, selector in modes:
        colours = " ".join(f"--{name}: {colour};" for name, colour in theme.PAPER[mode].items())
        lines.append(f"{selector} {{ color-scheme: {mode}; {colours} }}")
    return "\n".join(lines)


def _asset(package: str, name: str) -> str:
    return (resources.files(f"undergrowth.{package}") / name).read_text("utf-8")
