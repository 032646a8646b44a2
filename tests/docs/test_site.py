"""The site as built, opened from disk in a browser: quiet, offline, legible on any screen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = (
    "index",
    "tutorial/1-grokking",
    "tutorial/4-intervene-and-fork",
    "how-to/checkpoints",
    "studies/index",
    "studies/lr-boost",
    "measures",
    "reference/measures",
)
WITH_FIGURES = ("tutorial/1-grokking", "studies/lr-boost")
WIDE, NARROW = (1400, 900), (390, 844)

pytestmark = pytest.mark.browser


class Opened(NamedTuple):
    """A page and what it asked for and complained of."""

    page: Page
    requests: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def site() -> Path:
    """Where the site is; `make docs` builds it, and CI does so before the tests."""
    if not (SITE / "index.html").is_file():
        assert "CI" not in os.environ, f"{SITE}: make docs first"
        pytest.skip("the site is not built: make docs")
    return SITE


def opened(browser: Browser, site: Path, name: str, size: tuple[int, int], scheme="light") -> Opened:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    found = Opened(page, [], [])
    page.on("request", lambda request: found.requests.append(request.url))
    page.on(
        "console",
        lambda told: found.errors.append(told.text) if told.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.goto((site / f"{name}.html").as_uri())
    return found


@pytest.fixture(params=("light", "dark"))
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=("wide", "narrow"))
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_offline_and_no_wider_than_the_screen(
    browser: Browser,
    site: Path,
    name: str,
    size: tuple[int, int],
) -> None:
    page, requests, errors = opened(browser, site, name, size)
    if name in WITH_FIGURES:
        page.wait_for_selector(".plot .main-svg")
    page.wait_for_load_state("load")
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.close()


@pytest.mark.parametrize("name", WITH_FIGURES)
def test_every_figure_of_a_page_is_drawn_as_the_reader_comes_to_it(
    browser: Browser,
    site: Path,
    name: str,
) -> None:
    page = opened(browser, site, name, WIDE).page
    plots = page.locator(".plot")
    assert plots.count() >= 2
    for i in range(plots.count()):
        plots.nth(i).scroll_into_view_if_needed()
        plots.nth(i).locator(".main-svg").first.wait_for()
    page.close()


def test_figures_follow_the_theme(browser: Browser, site: Path, scheme: str) -> None:
    page = opened(browser, site, "tutorial/1-grokking", WIDE, scheme).page
    page.wait_for_selector(".plot .main-svg")
    ink = "() => getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = page.evaluate(ink)
    page.evaluate("document.body.dataset.theme = '" + ("light" if scheme == "dark" else "dark") + "'")
    page.wait_for_function(f"before => ({ink})() !== before", arg=before)
    page.close()


def test_a_formula_is_drawn_by_the_browser(browser: Browser, site: Path) -> None:
    page = opened(browser, site, "reference/measures", WIDE).page
    assert page.locator("math mfrac").first.bounding_box()
    page.close()


def test_search_finds_a_measure_from_disk(browser: Browser, site: Path) -> None:
    found = opened(browser, site, "search", WIDE)
    found.page.fill("form input[name=q]", "shapley")
    found.page.press("form input[name=q]", "Enter")
    found.page.wait_for_selector("ul.search li a")
    assert found.errors == []
    found.page.close()


def test_no_page_names_another_host_as_a_source(site: Path) -> None:
    for path in site.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(https?://[^"]+)"', path.read_text()
        )
        assert fetched == [], path
