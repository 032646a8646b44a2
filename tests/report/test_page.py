"""The page is one file that needs no network, and works in a browser as a reader would use it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.report.conftest import verdict
from tests.report.driving import UNFOLD, drawn, full, press, wait_for
from undergrowth.report.ablation import deletion_by_k_figure
from undergrowth.report.curves import accuracy_figure
from undergrowth.report.front import Section
from undergrowth.report.page import p_value, write_page
from undergrowth.store import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


PACKED = re.compile(r'<script type="application/gzip" id="([^"]+)">([^<]*)</script>')


def unpacked(report: Path) -> dict[str, str]:
    """What the page carries packed, by its id."""
    found = PACKED.findall(report.read_text("utf-8"))
    return {name: gzip.decompress(base64.b64decode(content)).decode() for name, content in found}


def test_the_page_holds_everything_and_points_nowhere(report: Path, runs: tuple[Run, ...]) -> None:
    html = report.read_text("utf-8")
    carried = unpacked(report)
    assert "plotly.js" in carried.pop("plotly")[:100]
    ours = PACKED.sub("", html) + "".join(carried.values())
    assert len(ours) < len(html) / 3
    assert len(html) < 2.5 * 2**20
    assert not re.search(r"https?://", ours)
    assert "cdn" not in ours
    assert "undergrowth demo --out demo" in ours
    for run in runs:
        assert run.id in ours
    assert str(report.parent) not in ours
    assert str(runs[0].store.root) not in ours


def test_a_page_is_the_same_each_time(report: Path, runs: tuple[Run, ...], tmp_path: Path) -> None:
    section = Section("grokking", "Is it late?", {}, {}, (), (accuracy_figure(runs),))
    for name in ("one", "two"):
        write_page(tmp_path / name, title="x", sections=[section], runs=runs, commands=())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_page_carries_all_numbers_of_a_figure_and_of_its_table(
    report: Path, runs: tuple[Run, ...]
) -> None:
    carried, figure = unpacked(report), accuracy_figure(runs)
    columns = json.loads(carried["csv-grokking-accuracy"])
    assert [column[0] for column in columns] == list(figure.table.columns)
    assert list(map(float, columns[-3][1:])) == figure.table["accuracy"].tolist()
    plot = json.loads(figure.plot.to_json() or "")
    for trace, told in zip(
        plot["data"], json.loads(carried["data-grokking-accuracy"])["data"], strict=True
    ):
        if isinstance(trace.get("customdata", [None])[0], list):
            named = [
                told[each] if isinstance(each, str) else each for each in told["customdata"]["columns"]
            ]
            assert [list(row) for row in zip(*named, strict=True)] == trace.pop("customdata")
            del told["customdata"]
        assert told == trace


@pytest.mark.parametrize(
    ("p", "told"), [(6e-5, "p < 0.001"), (0.0321, "p = 0.032"), (0.001, "p = 0.001"), (1.0, "p = 1")]
)
def test_a_p_value_has_one_sign(p: float, told: str) -> None:
    assert p_value(verdict("P1", [2.0, 2.1], p_adjusted=p)) == f"{told} after Holm"


def test_a_p_value_on_the_page_has_one_sign(report: Path) -> None:
    told = set(re.findall(r"p (?:=|&lt;|<)[^a-z,.]*[0-9.]+", report.read_text("utf-8")))
    assert any(re.match("p (<|&lt;)", each) for each in told)
    assert not any(re.search("= *(<|&lt;)", each) for each in told)


def test_verdicts_say_what_they_are_worth(report: Path) -> None:
    html = report.read_text("utf-8")
    for ruling in ("supported", "contradicted", "inconclusive"):
        assert f'class="chip {ruling}"' in html
    assert "demonstration: 3 seeds; a claim needs 16" in html
    assert "18 seeds; a claim needs" not in html
    assert "no interval from 1 seed" in html
    assert "Supported if the interval lies above 1; contradicted if below." in html
    assert "Open: it waits for longer runs." in html
    assert "Seeds without a value: 2 never memorised." in html
    assert "1 of 1 checks agree in sign" in html


def test_hypotheses_are_scored_over_all_sections(report: Path) -> None:
    ours = report.read_text("utf-8")
    board = ours[ours.index('id="hypotheses"') :]
    assert '<td>Delay</td><td class="n">1</td><td class="n">0</td><td class="n">0</td>' in board
    assert '<span class="score wrong">wrong</span>' in board


def test_text_is_escaped(report: Path) -> None:
    html = report.read_text("utf-8")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_an_empty_store_has_a_page_too(tmp_path: Path) -> None:
    section = Section("grokking", "Is it late?", {}, {}, (), (accuracy_figure(()),))
    write_page(tmp_path / "report.html", title="None", sections=[section], runs=(), commands=())
    assert "No run has been trained yet." in (tmp_path / "report.html").read_text("utf-8")


def test_no_two_things_on_the_page_have_the_same_id(report: Path) -> None:
    ids = re.findall(r'<[^>]* id="([^"]+)"', report.read_text("utf-8"))
    assert len(ids) == len(set(ids))
    assert {"plot-grokking-accuracy", "plot-other-1-accuracy"} <= set(ids)


@pytest.mark.browser
def test_both_axes_of_the_accuracy_figure_are_a_click_from_log_and_linear(page: Page) -> None:
    plot = drawn(page, "accuracy")
    assert full(page, "accuracy", "_fullLayout.xaxis.type") == "log"
    assert full(page, "accuracy", "_fullLayout.yaxis.type") == "linear"
    for axis, kind in (("x", "linear"), ("y", "log"), ("x", "log"), ("y", "linear")):
        press(plot, f"{axis} {kind}")
        wait_for(page, "accuracy", f"plot._fullLayout.{axis}axis.type === '{kind}'")
    assert full(page, "accuracy", "_fullLayout.xaxis.type") == "log"
    assert full(page, "accuracy", "_fullLayout.xaxis.range")[1] > 1.5


@pytest.mark.browser
def test_step_zero_is_at_zero_on_a_linear_axis_and_under_its_own_tick_on_a_log_axis(
    page: Page,
) -> None:
    plot = drawn(page, "accuracy")
    first = "_fullData.filter(t => t.mode === 'lines').map(t => t.x[0])"
    assert all(x > 0 for x in full(page, "accuracy", first))
    assert plot.locator(".xtick text").first.text_content() == "0"
    press(plot, "x linear")
    wait_for(page, "accuracy", "plot._fullLayout.xaxis.type === 'linear'")
    assert set(full(page, "accuracy", first)) == {0}


def state(page: Page) -> tuple[str, tuple[float, ...], str]:
    """Of the histogram: the slider's step, the first trace's bars, the summary beside them."""
    name = "saliency_histogram"
    active = full(page, name, "_fullLayout.sliders[0].active")
    step = full(page, name, f"_fullLayout.sliders[0].steps[{active}].label")
    bars = tuple(full(page, name, "calcdata[0].map(bar => bar.s || 0)"))
    return step, bars, full(page, name, "_fullLayout.annotations[0].text")


@pytest.mark.browser
def test_the_slider_moves_by_mouse(page: Page) -> None:
    plot = drawn(page, "saliency_histogram")
    before = state(page)
    assert before[0] == "60"
    rail = plot.locator(".slider-rail-touch-rect").bounding_box()
    assert rail is not None
    page.mouse.click(rail["x"] + 3, rail["y"] + rail["height"] / 2)
    wait_for(page, "saliency_histogram", "plot._fullLayout.sliders[0].active === 0")
    after = state(page)
    assert after[0] == "0"
    assert after[1] != before[1]
    assert after[2] != before[2]
    assert plot.locator(".slider-label").first.text_content() == "training step 0"


@pytest.mark.browser
def test_sliders_and_buttons_can_be_reached_by_keyboard(page: Page) -> None:
    plot = drawn(page, "saliency_histogram")
    grip = plot.locator("[role=slider]")
    grip.focus()
    page.keyboard.press("Home")
    wait_for(page, "saliency_histogram", "plot._fullLayout.sliders[0].active === 0")
    first = state(page)
    page.keyboard.press("ArrowRight")
    wait_for(page, "saliency_histogram", "plot._fullLayout.sliders[0].active === 1")
    assert grip.get_attribute("aria-valuetext") == "15"
    assert state(page)[1] != first[1]
    plot.locator("[role=button]").filter(has_text="y log").focus()
    page.keyboard.press("Enter")
    wait_for(page, "saliency_histogram", "plot._fullLayout.yaxis2.type === 'log'")
    assert state(page)[0] == "15"


@pytest.mark.browser
def test_views_of_a_deletion_are_a_click_apart(page: Page) -> None:
    plot = drawn(page, "deletion_by_k")
    press(plot, "shuffled labels")
    shown = "plot._fullData.filter(t => t.visible === true).map(t => t.meta.choice)"
    wait_for(page, "deletion_by_k", f"{shown}.every(choice => choice === 'shuffled labels')")
    press(plot, "x linear")
    wait_for(page, "deletion_by_k", "plot._fullLayout.xaxis2.type === 'linear'")


@pytest.mark.browser
def test_the_theme_changes_paper_and_figures(page: Page) -> None:
    drawn(page, "accuracy")
    papers = []
    for _ in range(2):
        papers.append(
            (
                page.evaluate("getComputedStyle(document.body).backgroundColor"),
                full(page, "accuracy", "_fullLayout.paper_bgcolor"),
                full(page, "accuracy", "_fullLayout.font.color"),
            )
        )
        page.click("#theme")
        wait_for(page, "accuracy", f"plot._fullLayout.paper_bgcolor !== '{papers[-1][1]}'")
    light, dark = papers
    assert light[0] == "rgb(255, 255, 255)"
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert full(page, "accuracy", "_fullLayout.paper_bgcolor") == light[1]


@pytest.mark.browser
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    names = page.locator(".plot").evaluate_all("plots => plots.map(p => p.dataset.name)")
    assert len(names) == 6
    for name in names:
        drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_claim_on_the_front_leads_to_its_answer(page: Page) -> None:
    rows = page.locator(".front tbody tr")
    assert [row.locator("b").first.inner_text() for row in rows.all()] == [
        "P1",
        "P2",
        "P3",
        "P4",
        "P14",
    ]
    chips = [chip.inner_text() for chip in page.locator(".front .chip").all()]
    assert chips == ["supported", "contradicted", "inconclusive", "inconclusive", "as claimed"]
    rows.nth(1).locator("a").click()
    page.wait_for_function("location.hash === '#grokking-P2'")
    target = page.locator("#grokking-P2")
    assert page.evaluate("element => element.getBoundingClientRect().top", target.element_handle()) >= 0
    assert target.locator(".chip").first.inner_text() == "contradicted"


@pytest.mark.browser
def test_the_data_behind_a_figure_can_be_saved(page: Page, runs: tuple[Run, ...]) -> None:
    def saved(figure: str) -> str:
        with page.expect_download() as download:
            button = page.locator(f"[data-csv={figure}]")
            button.evaluate(UNFOLD)
            button.click()
        return download.value.path().read_bytes().decode()

    assert saved("grokking-accuracy") == accuracy_figure(runs).table.to_csv(index=False)
    quoted = saved("saliency-deletion_by_k")
    assert '"Student\'s t, corrected for skewness"' in quoted
    assert quoted == deletion_by_k_figure(runs).table.to_csv(index=False)
    lines = saved("grokking-accuracy").splitlines()
    columns = lines[0].split(",")
    assert columns[:7] == ["run", "seed", "labels", "side", "layer", "series", "step"]
    curves = [line for line in lines if ",curve," in line]
    assert len(curves) == 2 * sum(run["val_accuracy"].sizes["step"] for run in runs)
    assert {line.split(",")[0] for line in curves} == {run.id for run in runs}


@pytest.mark.browser
def test_no_figure_offers_to_send_itself_anywhere(page: Page) -> None:
    plot = drawn(page, "accuracy")
    plot.hover()
    titles = plot.locator(".modebar-btn").evaluate_all(
        "all => all.map(b => b.getAttribute('data-title'))"
    )
    assert titles
    assert not any(re.search("share|cloud|produced|edit", title, re.IGNORECASE) for title in titles)


@pytest.mark.browser
def test_all_is_unfolded_and_drawn_when_the_page_is_printed_and_folded_after_it(page: Page) -> None:
    drawn(page, "accuracy")
    page.wait_for_selector("html[data-unpacked]", state="attached")
    folded = page.locator("details:not([open])").count()
    assert folded
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".plot[data-drawn]").count() == page.locator(".plot").count()
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


@pytest.mark.browser
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("delete window.DecompressionStream", "too old to unpack"),
        ("window.atob = () => 'no gzip'", "may be incomplete"),
    ],
)
def test_where_nothing_can_be_unpacked_the_page_says_so_and_all_else_can_be_read(
    browser: Browser, report: Path, broken: str, said: str
) -> None:
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.add_init_script(broken)
    opened.goto(report.as_uri())
    opened.locator("#not-unpacked").wait_for()
    assert said in opened.locator("#not-unpacked").inner_text()
    opened.click("#theme")
    opened.click("[data-csv=grokking-accuracy]")
    assert opened.locator(".front .chip").first.inner_text() == "supported"
    opened.close()
    assert errors == []
