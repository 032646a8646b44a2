"""Make the README's picture from a real report: `python docs/picture.py STORE` writes report.png."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    """Open the report in a browser and take a screenshot of its first screen."""
    page_file = Path(sys.argv[1]).resolve() / "report.html"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1400, "height": 1060}, device_scale_factor=1.25, color_scheme="light"
        )
        page.goto(page_file.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(__file__).parent / "report.png"))
        browser.close()


if __name__ == "__main__":
    main()
