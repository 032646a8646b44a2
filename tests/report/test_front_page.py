"""What a reader meets first: the answer, a picture, a line a claim, and all else folded away."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.driving import UNFOLD, drawn, full, press, wait_for
from tests.report.test_front import section, verdict
from undergrowth.analysis import Above, Estimate, Exceeds, Verdict, Within, estimate
from undergrowth.report.answer import how_sure, in_one_paragraph
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.figure import Figure
from undergrowth.report.forest import WIDTH, axes, forest, unit
from undergrowth.report.front import Section
from undergrowth.report.picture import opening
from undergrowth.report.quotes import MOST_WORDS, QUOTES
from undergrowth.store import Run
from undergrowth.studies import STUDIES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STAND_IN = "runs at the post's own settings"


def number(effect: float, low: float, high: float, **fields: Any) -> Verdict:
    """A verdict with this estimate."""
    found = Estimate(effect, low, high, 0.95, 4, "Student's t")
    fields = {"statistic": "share of it", "rule": Exceeds(0.05), "says": "+1 points of it"} | fields
    return Verdict("P1", "study", "e", estimate=found, is_primary=True, **fields)


def place(drawn: str, mark: str) -> float:
    """Where a drawing has its dot or its first threshold."""
    found = {"dot": r'<circle cx="([\d.]+)"', "threshold": r'class="threshold" d="M([\d.]+)'}[mark]
    match = re.search(found, drawn)
    assert match
    return float(match[1])


def test_bars_of_one_unit_share_an_axis_and_others_do_not() -> None:
    small, large = number(0.06, 0.01, 0.08), number(0.5, 0.4, 0.6, says="+50 points of it")
    level = number(0.5, 0.4, 0.6, rule=Above(0.5), says="50 % of it")
    ratio = number(1.0, 0.8, 1.1, statistic="log10(a / b)", rule=Above(1.0), says="× 10 later")
    on = axes([small, large, level, ratio])
    assert [unit(v) for v in (small, large, level, ratio)] == ["points", "points", "share", "times"]
    assert place(forest(small, on=on), "dot") < place(forest(large, on=on), "dot")
    assert on["points"] == (-0.05, pytest.approx(0.6))
    assert on["share"] == (0.0, 0.6)
    assert on["times"] == (0.0, 1.1)


def test_one_uncertain_effect_does_not_make_the_others_of_its_unit_too_small_to_see() -> None:
    small, vague = number(0.06, 0.01, 0.08), number(0.0, -2.0, math.inf)
    on = axes([small, vague])
    drawn = forest(vague, on=on)
    assert f"M0.0 11H{WIDTH:.1f}" in drawn
    assert " 7v8" not in drawn
    assert place(forest(small, on=on), "dot") - place(forest(small, on=on), "threshold") > 80


@pytest.mark.parametrize("rule", [Exceeds(0.1), Within(0.1), Above(0.1), Exceeds()])
def test_a_bar_shades_what_is_too_small_to_matter_and_can_be_heard(rule: Any) -> None:
    found = number(0.2, 0.1, 0.3, rule=rule)
    drawn = forest(found, on=axes([found]), said='× 2 "later"')
    assert ('class="sesoi"' in drawn) == (len(re.findall('class="threshold"', drawn)) == 2)
    assert 'role="img" aria-label="× 2 &quot;later&quot;"' in drawn
    assert 'aria-hidden="true"' in forest(found)


def test_what_runs_show_of_a_claim_that_they_cannot_rule_on_is_told_apart_from_a_ruling() -> None:
    claims = {f"P{n}": "It is so." for n in range(1, 5)}
    verdicts = [
        Verdict(claim, "s", claim, "number", estimate(values), Exceeds(0.1), True, waits_for=STAND_IN)
        for claim, values in zip(
            claims, ([1.0, 1.1], [0.01, 0.011], [-1.0, -1.1], [-1.0, 1.0]), strict=True
        )
    ]
    found = [Section("s", "So?", claims, {}, tuple(verdicts), ())]
    assert in_one_paragraph(found, ()).endswith(
        "Of 4 of the post’s claims, listed below, these runs give a first look, not a ruling: "
        "1 comes out as claimed (P1), 1 does not (P3), 1 shows too little to matter (P2) and 1 is "
        "undecided (P4)."
    )
    assert how_sure(found) == (
        "A demonstration, not a ruling: 2 seeds, where a claim takes 16; and the claims wait for "
        f"{STAND_IN}."
    )


def test_how_sure_an_answer_is_depends_on_its_seeds() -> None:
    many = Verdict("P2", "s", "P2", "number", estimate([1.0, 1.1] * 8), Above(0.0), True)
    few = verdict("P1", "supported")
    assert how_sure([section(few, claims="P1")]).startswith("All of it is a demonstration: 3 seeds")
    assert how_sure([section(many, claims="P2")]) == "Each ruling rests on 16 seeds or more."
    assert how_sure([section(few, many, claims="P1 P2")]) == (
        "1 of the 2 rulings rests on 16 seeds or more; P1 on fewer, as a demonstration."
    )
    assert how_sure([section(claims="P1")]) == ""


def test_a_study_that_only_checks_a_claim_says_so() -> None:
    checks = [section(verdict("P8", "supported", primary=False), claims="P8")]
    assert in_one_paragraph(checks, ()).endswith("P8: 1 of 1 checks agree in sign.")
    assert how_sure(checks) == (
        "Checks, not a ruling: P8 waits for the study that decides it, which has not been run here."
    )


def test_the_opening_picture_is_accuracy_beside_its_control_or_that_of_the_clearest_ruling(
    runs: tuple[Run, ...],
) -> None:
    true = [run for run in runs if run.spec.labels == "true"]
    bare, loss, controlled = accuracy_figure(true), loss_figure(runs), accuracy_figure(runs)

    def asks(name: str, claim: str, ruling: str, *figures: Figure) -> Section:
        return Section(name, "So?", {claim: "So."}, {}, (verdict(claim, ruling),), figures)

    undecided = asks("one", "P1", "inconclusive", bare)
    clear = asks("two", "P2", "supported", loss)
    shown = asks("three", "P3", "inconclusive", loss, controlled)
    for sections, picture in (
        ([undecided, clear, shown], controlled),
        ([undecided, clear], loss),
        ([undecided], bare),
    ):
        found = opening(sections)
        assert found
        assert found.figure is picture
    assert opening([section(claims="P1")]) is None


def test_every_claim_quotes_a_few_words_of_the_post() -> None:
    asked = {claim.id for study in STUDIES.values() for claim in study.claims}
    assert asked <= set(QUOTES)
    assert all(0 < len(quote.words.split()) <= MOST_WORDS for quote in QUOTES.values())


def test_claims_without_a_value_share_one_folded_line(report: Path) -> None:
    html = report.read_text("utf-8")
    table = html
    front = table[table.index('class="wide front"') : table.index('id="hypotheses"')]
    assert "unknown" not in front
    assert "0 seeds" not in front
    assert "Open here: P16 (it waits for runs that could decide it)" in front
    assert ">P16</b>" not in front[: front.index("</table>")]


def test_a_claim_and_its_checks_are_one_forest_plot(report: Path) -> None:
    html = report.read_text("utf-8")
    checks = html[html.index('aria-label="Checks of P1"') :]
    rows = checks[: checks.index("</table>")].split("<tr")[2:]
    assert len(rows) == 2
    assert "what decides:" in rows[0]
    assert "what decides:" not in rows[1]
    assert len({place(row, "threshold") for row in rows}) == 1


@pytest.mark.browser
def test_what_is_folded_is_drawn_when_it_is_opened_and_not_before(page: Page) -> None:
    drawn(page, "accuracy")
    page.wait_for_selector("html[data-unpacked]", state="attached")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    folded = page.locator("details.folded", has=page.locator("#plot-saliency-deletion_by_k"))
    plot = page.locator("#plot-saliency-deletion_by_k")
    drawn(page, "other-1-accuracy")
    assert plot.get_attribute("data-drawn") is None
    summary = folded.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    plot.locator(".main-svg").first.wait_for()
    assert folded.evaluate("it => it.open")
    outline = summary.evaluate("it => getComputedStyle(it).outlineStyle")
    assert outline != "none"


@pytest.mark.browser
def test_a_figure_that_was_folded_away_has_the_theme_that_the_page_has(page: Page) -> None:
    drawn(page, "concentration")
    folded = page.locator("details.folded", has=page.locator("#plot-saliency-concentration"))
    light = full(page, "concentration", "_fullLayout.paper_bgcolor")
    folded.locator("summary").first.click()
    page.click("#theme")
    folded.locator("summary").first.click()
    wait_for(page, "concentration", f"plot._fullLayout.paper_bgcolor !== '{light}'")


@pytest.mark.browser
def test_a_pressed_button_looks_pressed_in_both_themes(page: Page) -> None:
    plot = drawn(page, "accuracy")
    fill = "it => getComputedStyle(it.querySelector('.updatemenu-item-rect')).fill"
    press(plot, "x linear")
    wait_for(page, "accuracy", "plot._fullLayout.xaxis.type === 'linear'")
    for _ in range(2):
        pressed, other = (
            plot.locator(".updatemenu-button").filter(has_text=label) for label in ("x linear", "x log")
        )
        assert pressed.get_attribute("aria-pressed") == "true"
        assert other.get_attribute("aria-pressed") == "false"
        page.mouse.move(0, 0)
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert pressed.evaluate(fill) == ink
        assert other.evaluate(fill) != ink
        page.click("#theme")
        page.wait_for_timeout(200)


@pytest.mark.browser
def test_the_mouse_tells_all_seeds_at_a_step_and_lifts_one_line(page: Page) -> None:
    plot = drawn(page, "accuracy")
    at = plot.locator(".nsewdrag").first.bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] * 0.7, at["y"] + at["height"] * 0.5)
    for share in [i / 20 for i in range(1, 20)]:
        page.mouse.move(at["x"] + at["width"] * 0.7, at["y"] + at["height"] * share)
        if plot.locator(".trace.lifted").count():
            break
    assert plot.locator(".trace.lifted").count() == 1
    told = plot.locator(".said").inner_text()
    assert re.match(r"step [\d,]+\n", told)
    lines = dict(line.split(": ", 1) for line in told.splitlines()[1:])
    assert set(lines) == {"training", "validation", "training, shuffled", "validation, shuffled"}
    assert [len(lines[name].split(", ")) for name in lines] == [2, 2, 1, 1]
    assert told.count("(seed ") == 1
    page.mouse.move(0, 0)
    page.wait_for_selector(".lifted", state="detached")
    assert plot.locator(".said").is_hidden()


@pytest.mark.browser
def test_a_picture_is_saved_without_controls_and_says_what_they_chose(page: Page) -> None:
    plot = drawn(page, "saliency_histogram")
    plot.locator("[role=slider]").focus()
    page.keyboard.press("Home")
    wait_for(page, "saliency_histogram", "plot._fullLayout.sliders[0].active === 0")
    with page.expect_download() as download:
        page.click("[data-svg=saliency-saliency_histogram]")
    svg = download.value.path().read_text("utf-8")
    assert "updatemenu" not in svg
    assert "slider" not in svg
    assert "training step 0" in svg
    height = re.search(r'<svg[^>]* height="(\d+)"', svg)
    assert height
    assert int(height[1]) < full(page, "saliency_histogram", "_fullLayout.height")
    assert plot.locator(".updatemenu-button").count()


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_first_screen_has_question_answer_certainty_and_picture(
    browser: Browser, report: Path, width: int, mode: Any
) -> None:
    height = {390: 844, 1400: 900}[width]
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=mode)
    opened.goto(report.as_uri())
    opened.locator(".opening .main-svg").first.wait_for()
    for what in ("h1", ".answer", ".sure", ".opening .plot", *([".front tbody tr"] * (width > 1000))):
        box = opened.locator(what).first.bounding_box()
        assert box
        assert box["y"] < height - 40
    opened.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    table = opened.locator("#runs .wide")
    if width > 1000:
        assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
    opened.close()


@pytest.mark.browser
def test_links_unfold_what_they_lead_to(page: Page) -> None:
    page.click("nav a[href='#glossary']")
    page.wait_for_function("document.querySelector('#glossary > details').open")
    page.click("nav a[href='#runs']")
    page.wait_for_function("document.querySelector('#runs > details').open")
    page.evaluate("location.hash = '#grokking-P1'")
    page.wait_for_function("document.querySelector('#grokking-P1 > .checks-of').open")


@pytest.mark.browser
def test_nothing_moves_where_motion_is_not_wanted(browser: Browser, report: Path) -> None:
    for wanted, seconds in (("reduce", "0s"), ("no-preference", "0.12s")):
        opened = browser.new_page(reduced_motion=wanted)  # pyright: ignore[reportArgumentType]
        opened.goto(report.as_uri())
        line = opened.locator(".opening .scatterlayer .trace").first
        line.wait_for(state="attached")
        assert line.evaluate("it => getComputedStyle(it).transitionDuration") == seconds
        opened.close()


@pytest.mark.browser
def test_a_claim_without_an_answer_is_reached_from_the_folded_line(page: Page) -> None:
    link = page.locator(".waiting a")
    link.evaluate(UNFOLD)
    link.click()
    page.wait_for_function("location.hash === '#saliency-P16'")
    assert "it waits for" in page.locator("#saliency-P16").inner_text()
