"""The live page in a browser: it grows by itself, by hand and keyboard, and asks nobody else."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.conftest import SPEC, Planted
from undergrowth.live.app import Live
from undergrowth.live.server import _Server, listening

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PATIENCE = 60_000
"""Milliseconds until a test gives up on what it waits for."""


class Served:
    """A server in a thread of its own, which can be stopped and started again on its port."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.start()

    def start(self) -> None:
        listener = listening(self.port)
        self.port = listener.getsockname()[1]
        self.live = Live(self.root)
        self.server = _Server(self.live)

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve([listener])

        self.thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.live.stop)
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def served(planted: Planted) -> Iterator[Served]:
    """Two arms, of two runs and of one, the second begun later; a run that waits."""
    planted.account(SPEC, "done", began=50.0, ended=75.0)
    why = "the training loss is not finite at step 9"
    planted.account(SPEC.seeded(1), "failed", why, began=55.0, ended=60.0)
    for run_id in (SPEC.id, SPEC.seeded(1).id):
        planted.part(run_id, "early")
    planted.account(LATE, began=100.0)
    planted.part(LATE.id, "late")
    planted.part("0" * 16, "late", seed=7)
    for step in (0, 10, 20):
        planted.point(SPEC, step)
        planted.point(LATE, step, accuracy=(1.0, step / 100), loss=(0.0 if step == 20 else 0.5, 2.0))
    server = Served(planted.root)
    yield server
    if server.thread.is_alive():
        server.stop()


LATE = SPEC.replace(optimiser={"lr": 0.02})


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page as opened; fails on a request to anybody else, and on any error but of a lost server."""
    asked: list[str] = []
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    opened.set_default_timeout(PATIENCE)
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: errors.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(served.address)
    opened.get_by_text("live", exact=True).wait_for()
    row(opened, LATE.id).wait_for()
    yield opened
    opened.close()
    assert all(url.startswith(served.address) for url in asked)
    assert [error for error in errors if "ERR_CONNECTION" not in error and "ERR_IN" not in error] == []


def row(page: Page, run_id: str):
    return page.locator("tr.run").filter(has_text=run_id[:8])


def see(page: Page, run_id: str, text: str) -> None:
    """Wait until the row of a run says something."""
    row(page, run_id).filter(has_text=text).wait_for()


def whose(page: Page, text: str) -> None:
    page.locator("#whose").filter(has_text=text).wait_for()


def value_at(page: Page, chart: str, key: str, text: str) -> None:
    """Wait until a key on a chart leads to what is said so."""
    page.locator(f"#{chart}").focus()
    page.locator(f"#{chart}").press("Escape")
    page.wait_for_function(
        """([chart, key, text]) => {
          const pressed = new KeyboardEvent("keydown", { key, bubbles: true });
          document.getElementById(chart).dispatchEvent(pressed);
          return document.getElementById("at-pointer").textContent.includes(text);
        }""",
        arg=[chart, key, text],
    )


def drawn(page: Page, chart: str) -> str:
    """The picture of a chart, once it has been painted."""
    return page.evaluate(
        """async (chart) => {
          const frame = () => new Promise(requestAnimationFrame);
          await new Promise((done) => setTimeout(done, 400));
          await frame();
          await frame();
          return document.getElementById(chart).toDataURL();
        }""",
        chart,
    )


def test_runs_are_listed_by_arm_with_how_they_stand(page: Page) -> None:
    see(page, LATE.id, "running")
    see(page, LATE.id, "20 of 100")
    see(page, LATE.id, "100.0 %")
    see(page, LATE.id, "memorised 0 · onset 10")
    see(page, SPEC.id, "took 0:25")
    see(page, SPEC.seeded(1).id, "the training loss is not finite at step 9")
    see(page, "0" * 16, "waiting")
    arms = page.locator("tr.arm").all_inner_texts()
    assert ["late" in arms[0], "early" in arms[1]] == [True, True]
    assert "1 of 2 runs done" in arms[1]
    assert "1 of 4 runs done, 1 running, 1 waiting, 1 failed" in page.locator("#state").inner_text()
    progress = row(page, LATE.id).locator("progress")
    assert (progress.get_attribute("value"), progress.get_attribute("max")) == ("20", "100")


def test_time_left_counts_the_runs_that_are_yet_to_begin(page: Page, planted: Planted) -> None:
    assert "left" not in page.locator("#state").inner_text()  # before the run has a rate
    planted.point(LATE, 30)
    see(page, LATE.id, "left")
    its = seconds(row(page, LATE.id).locator("td.time").inner_text())
    of_all = seconds(page.locator("#state").inner_text())
    # 70 steps of one run, then 100 of another of its arm, at the same rate
    assert of_all == pytest.approx(its * 170 / 70, abs=2, rel=0.05)


def seconds(text: str) -> int:
    """The time left that a text tells, as minutes:seconds or hours:minutes:seconds."""
    found = re.search(r"([\d:]+) left", text)
    assert found, text
    told = 0
    for part in found[1].split(":"):
        told = 60 * told + int(part)
    return told


def test_the_curves_are_of_the_newest_arm_and_grow_by_themselves(page: Page, planted: Planted) -> None:
    whose(page, "grokking: late: 1 run")
    value_at(page, "accuracy", "End", "step 20: accuracy 100.0 % training, 20.0 % validation")
    before = drawn(page, "accuracy")
    planted.point(LATE, 30, accuracy=(1.0, 0.75), loss=(0.125, 0.25))
    see(page, LATE.id, "30 of 100")
    see(page, LATE.id, "75.0 %")
    value_at(page, "loss", "End", "step 30: accuracy 100.0 % training, 75.0 % validation; loss 0.125")
    assert drawn(page, "accuracy") != before


def test_another_arm_that_begins_is_shown(page: Page, planted: Planted) -> None:
    newest = SPEC.replace(optimiser={"lr": 0.04})
    planted.part(newest.id, "newest")
    planted.account(newest, began=200.0)
    planted.point(newest, 0)
    whose(page, "grokking: newest: 1 run")


def test_runs_can_be_chosen_one_by_one_and_by_arm(page: Page) -> None:
    row(page, SPEC.id).locator("input").check()
    whose(page, "2 runs of 2 arms")
    page.get_by_text("training is dotted, validation solid").wait_for()
    row(page, LATE.id).locator("input").uncheck()
    whose(page, "grokking: early: 1 run")
    value_at(page, "accuracy", "End", "grokking: early, seed 0, step 20: accuracy 50.0 % training")
    page.get_by_label("Curves of all runs of grokking: early").check()
    whose(page, "grokking: early: 2 runs")
    assert page.locator("#newest").get_attribute("aria-pressed") == "false"
    page.locator("#newest").click()
    whose(page, "grokking: late: 1 run")
    assert page.locator("#newest").get_attribute("aria-pressed") == "true"
    assert row(page, "0" * 16).locator("input").is_disabled()


@pytest.mark.parametrize(
    ("button", "chart"),
    [
        ("[data-axis=x][data-scale=log]", "accuracy"),
        ("[data-axis=x][data-scale=log]", "loss"),
        ("[data-axis=y][data-scale=linear]", "loss"),
        ("#show-train", "loss"),
        ("#show-val", "accuracy"),
        ("#theme", "accuracy"),
    ],
)
def test_buttons_change_the_charts_and_look_pressed(page: Page, button: str, chart: str) -> None:
    before, was = drawn(page, chart), page.locator(button).get_attribute("aria-pressed")
    page.locator(button).focus()
    page.keyboard.press("Enter")
    assert page.locator(button).get_attribute("aria-pressed") != was
    assert drawn(page, chart) != before


def test_a_loss_of_zero_is_counted_where_a_log_axis_cannot_show_it(page: Page) -> None:
    """It is written on the canvas; the chart itself says how many it could not draw."""
    drawn(page, "loss")
    before = drawn(page, "loss")
    page.locator("[data-axis=y][data-scale=linear]").click()
    assert drawn(page, "loss") != before
    value_at(page, "loss", "End", "loss 0 training")


def test_pointing_at_a_curve_says_its_values(page: Page) -> None:
    drawn(page, "accuracy")
    box = page.locator("#accuracy").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + box["height"] * 0.72)
    page.locator("#at-pointer").filter(has_text="grokking: late, seed 0, step 20").wait_for()
    page.mouse.move(5, 5)
    page.locator("#at-pointer").filter(has_text="Point at a curve").wait_for()


def test_everything_can_be_reached_by_tab(page: Page) -> None:
    reached = set()
    page.keyboard.press("Tab")
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel || ''"))
    wanted = {"theme", "newest", "show-train", "show-val", "accuracy", "loss"}
    assert wanted <= reached
    assert any(each.startswith("Curves of grokking: early") for each in reached)


def test_an_arm_can_be_folded_away(page: Page) -> None:
    fold = page.get_by_role("button", name="grokking: early")
    fold.press("Enter")
    row(page, SPEC.id).wait_for(state="hidden")
    assert fold.get_attribute("aria-expanded") == "false"
    fold.press("Enter")
    row(page, SPEC.id).wait_for()


def test_a_server_that_ends_is_said_and_one_that_comes_back_is_taken_up(
    page: Page, served: Served, planted: Planted
) -> None:
    served.stop()
    page.locator("#link.lost").wait_for()
    planted.point(LATE, 40, accuracy=(1.0, 0.9))
    served.start()
    see(page, LATE.id, "40 of 100")
    value_at(page, "accuracy", "End", "step 40: accuracy 100.0 % training, 90.0 % validation")
    value_at(page, "accuracy", "ArrowLeft", "step 20")
    page.locator("#link:not(.lost)").wait_for()


def test_a_tab_that_nobody_sees_lets_go_of_the_stream_and_loses_nothing(
    page: Page, served: Served, planted: Planted
) -> None:
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    planted.point(LATE, 50, accuracy=(1.0, 0.5))
    planted.point(LATE, 60, accuracy=(1.0, 0.6))
    with page.expect_request(lambda request: "/events?since=" in request.url) as asked:
        page.evaluate(hide, False)
    assert not asked.value.url.endswith("since=")
    see(page, LATE.id, "60 of 100")
    value_at(page, "accuracy", "End", "step 60")
    value_at(page, "accuracy", "ArrowLeft", "step 50")


def test_a_killed_writer_is_said(page: Page, planted: Planted) -> None:
    planted.die()
    see(page, LATE.id, "interrupted")
    see(page, "0" * 16, "not begun")
    page.get_by_text("the command that trained it resumes what was interrupted").wait_for()


def test_a_deleted_store_is_said_in_one_line_and_what_was_known_stays(
    page: Page, planted: Planted
) -> None:
    shutil.rmtree(planted.root)
    page.locator("#wrong p").filter(has_text="is no longer there").wait_for()
    assert page.locator("#wrong p").count() == 1
    assert row(page, LATE.id).is_visible()


def test_hostile_names_are_shown_as_text(page: Page, planted: Planted) -> None:
    hostile = "<img src=x onerror=alert(1)></script>"
    planted.account(SPEC.seeded(5), "failed", hostile, ended=1.0)
    planted.part(SPEC.seeded(5).id, hostile)
    see(page, SPEC.seeded(5).id, hostile)
    page.locator("tr.arm").filter(has_text=hostile).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_fits_wide_and_narrow_in_both_themes(
    browser: Browser, served: Served, width: int, scheme: str
) -> None:
    opened = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="light" if scheme == "light" else "dark",
    )
    opened.goto(served.address)
    row(opened, LATE.id).wait_for(timeout=PATIENCE)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("document.documentElement.dataset.theme") == scheme
    for button in opened.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
    opened.close()


def test_a_store_without_runs_says_so_and_why_there_is_no_report(
    browser: Browser, tmp_path: Path
) -> None:
    server = Served(tmp_path / "none")
    try:
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE)
        opened.goto(server.address)
        opened.get_by_text("No runs yet").wait_for()
        opened.get_by_role("link", name="full report").click()
        opened.get_by_text("The report could not be made").wait_for()
        opened.close()
    finally:
        server.stop()


def test_a_hundred_runs_are_listed(browser: Browser, planted: Planted) -> None:
    for seed in range(100):
        spec = SPEC.seeded(seed)
        planted.account(spec, "done", began=float(seed), ended=seed + 1.0)
        planted.part(spec.id, f"arm {seed // 10}", seed)
        planted.point(spec, 0)
    server = Served(planted.root)
    try:
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE)
        opened.goto(server.address)
        opened.get_by_text("100 of 100 runs done.").wait_for()
        assert opened.locator("tr.run").count() == 100
        assert opened.locator("tr.run:visible").count() == 10  # of the newest arm; the others are folded
        opened.get_by_role("button", name="grokking: arm 0").click()
        assert opened.locator("tr.run:visible").count() == 20
        opened.close()
    finally:
        server.stop()
