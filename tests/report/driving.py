"""Figures of a page, driven in a browser as a reader would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


UNFOLD = "it => { for (; it; it = it.parentElement) if (it.matches('details')) it.open = true; }"
"""Opens all that an element is folded into."""


def key(figure: str) -> str:
    """A figure's key on the page: its section's name and its own; a key is its own key."""
    if "-" in figure:
        return figure
    return f"{'grokking' if figure in ('accuracy', 'loss') else 'saliency'}-{figure}"


def drawn(page: Page, name: str) -> Locator:
    """A figure, when it is drawn: unfolded and near the screen."""
    plot = page.locator(f"#plot-{key(name)}")
    plot.evaluate(UNFOLD)
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    return plot


def full(page: Page, name: str, what: str) -> Any:
    """What plotly.js itself holds of a figure: a path into its full layout or data."""
    return page.evaluate(f"document.getElementById('plot-{key(name)}').{what}")


def wait_for(page: Page, name: str, condition: str) -> None:
    page.wait_for_function(
        f"(() => {{ const plot = document.getElementById('plot-{key(name)}'); return {condition}; }})()"
    )


def press(plot: Locator, label: str) -> None:
    plot.locator(".updatemenu-button").filter(has_text=label).click()


@contextmanager
def opened(path: Path, browser: Browser, scheme: Any = "light") -> Iterator[Page]:
    """A page as opened from disk; fails on any request but that for the file, and on any error."""
    requests: list[str] = []
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert requests == [path.as_uri()]
    assert errors == []
