"""A reader's way through an article, in a browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from undergrowth.explore.cast import Cast
from undergrowth.explore.story import Story
from undergrowth.store import Run, Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

READY = "document.documentElement.dataset.ready === 'yes'"

pytestmark = pytest.mark.browser


class Reader:
    """Opens articles from disk, and holds that they ask for nothing and complain of nothing."""

    def __init__(self, browser: Browser, site: Path) -> None:
        self.browser, self.site = browser, site
        self.opened: list[Page] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def open(self, story: str, hash: str = "", **context: Any) -> Page:
        options: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
        page = self.browser.new_page(**(options | context))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url.split("#")[0]))
        page.goto((self.site / f"{story}.html").as_uri() + hash)
        if context.get("java_script_enabled", True):
            page.wait_for_function(READY)
        self.opened.append(page)
        return page


@pytest.fixture
def reader(browser: Browser, site: Path) -> Iterator[Reader]:
    its = Reader(browser, site)
    yield its
    for page in its.opened:
        page.close()
    assert its.complaints == []
    assert {Path(url).parent for url in its.requests} <= {Path((site / "x").as_uri()).parent}
    assert len(its.requests) == len(its.opened)


def says(page: Page, scene: str) -> str:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(f"#{scene} .says").inner_text()


def state(page: Page, name: str) -> Any:
    return page.evaluate(f"state.{name}")


@pytest.fixture(scope="module")
def run(store: Store, stories: dict[str, Story]) -> Run:
    return Cast(store).of(stories["race"].spec("true labels"))[0]


@pytest.mark.parametrize("story", ["race", "lr-boost", "titration"])
def test_every_picture_is_drawn_and_says_what_it_shows(reader: Reader, story: str) -> None:
    page = reader.open(story)
    names = page.evaluate("views.map((view) => view.name)")
    assert len(names) >= 2
    for name in names:
        page.evaluate(f"byScroll = false; document.getElementById('{name}').scrollIntoView()")
        page.wait_for_function(f"views.find((view) => view.name === '{name}').visible")
        assert re.match(r"Step \d", says(page, name))
        colours = page.evaluate(
            f"""(() => {{
              const {{ canvas }} = views.find((view) => view.name === '{name}');
              const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
              return new Set(new Uint32Array(image.data.buffer)).size;
            }})()"""
        )
        assert colours > 10
        assert page.locator(f"#{name} canvas").get_attribute("aria-label")
        assert page.locator(f"#{name} .still").is_hidden()


def test_what_is_said_at_a_step_is_what_is_stored(reader: Reader, run: Run) -> None:
    page = reader.open("race", "#scene=curves&step=200")
    said = says(page, "curves")
    for side in ("train", "val"):
        assert f"{100 * float(run[f'{side}_accuracy'].sel(step=200)):.1f} % right" in said
    page.evaluate("document.getElementById('table').scrollIntoView()")
    page.wait_for_function("views.find((view) => view.name === 'table').visible")
    right = run["table_correct"].sel(step=200).values
    data = run.spec.data()
    held_out = int(right[tuple(data.inputs[data.is_val].T)].sum())
    assert f"{held_out} of {int(data.is_val.sum())} held out" in says(page, "table")


def test_the_bar_steps_and_all_pictures_follow(reader: Reader) -> None:
    page = reader.open("race", "#scene=curves&step=0")
    page.locator("#step").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert state(page, "step") == 10
    assert says(page, "curves").startswith("Step 10:")
    page.keyboard.press("End")
    assert state(page, "step") == 400
    page.wait_for_function("document.getElementById('step-said').innerText === '400'")
    assert page.locator("#step").get_attribute("aria-valuetext") == "step 400"


def test_a_picture_is_stepped_through_by_keys_and_dragged(reader: Reader) -> None:
    page = reader.open("race", "#scene=curves&step=100")
    canvas = page.locator("#curves canvas")
    canvas.focus()
    assert page.locator("#curves .says").get_attribute("aria-live") == "polite"
    for key, step in (("ArrowLeft", 95), ("Home", 0), ("End", 400)):
        page.keyboard.press(key)
        assert state(page, "step") == step
    outline = page.evaluate("getComputedStyle(document.querySelector('#curves canvas')).outlineStyle")
    assert outline == "solid"
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60)
    page.mouse.up()
    assert 5 < state(page, "step") < 200


def test_the_address_holds_the_view_and_gives_it_back(reader: Reader) -> None:
    page = reader.open("lr-boost", "#scene=switch&step=150&seed=1&align=switch")
    page.evaluate("set({ arm: 'lr × 10 at memorised', step: 250 })")
    page.wait_for_function("location.hash.includes('step=250')")
    again = reader.open("lr-boost", page.evaluate("location.hash"))
    for name in ("step", "seed", "align", "arm", "scene"):
        assert state(again, name) == state(page, name)
    assert says(again, "switch") == says(page, "switch")
    assert page.locator("#seed").input_value() == "1"
    again.evaluate("location.hash = '#step=12'")
    again.wait_for_function("state.step === 12")


def test_words_in_the_text_set_the_state(reader: Reader) -> None:
    page = reader.open("race", "#scene=curves&step=5")
    word = page.locator("#curves .sets").first
    step = int(re.sub(r"\D", "", word.inner_text()))
    word.click()
    assert state(page, "step") == step
    assert says(page, "curves").startswith(f"Step {step:,}:")


def test_scrolling_drives_the_step_from_one_paragraph_to_the_next(reader: Reader) -> None:
    page = reader.open("race")
    beats = page.locator("#table .beat")
    wanted = [beat["step"] for beat in page.evaluate(BEATS) if "step" in beat]
    assert wanted == sorted(wanted)
    page.mouse.move(300, 400)
    page.mouse.wheel(0, 10)
    for place in (0, beats.count() - 1):
        page.evaluate(
            f"document.querySelectorAll('#table .beat')[{place}].scrollIntoView({{ block: 'center' }})"
        )
        page.wait_for_function(f"state.step === {wanted[place]}")
    assert state(page, "scene") == "table"


BEATS = "[...document.querySelectorAll('#table .beat')].map((beat) => JSON.parse(beat.dataset.state))"


def test_under_reduced_motion_scrolling_shows_no_step_between(reader: Reader) -> None:
    page = reader.open("race", reduced_motion="reduce")
    wanted = {beat["step"] for beat in page.evaluate(BEATS) if "step" in beat}
    page.mouse.move(300, 400)
    page.mouse.wheel(0, 10)
    seen = set()
    page.evaluate("document.getElementById('table').scrollIntoView()")
    page.wait_for_function("state.scene === 'table'")
    for _ in range(30):
        page.evaluate("window.scrollBy(0, 40)")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if state(page, "scene") == "table":
            seen.add(state(page, "step"))
    assert seen
    assert seen <= wanted


def test_the_axis_is_logarithmic_or_linear(reader: Reader) -> None:
    page = reader.open("race", "#scene=curves&step=400")
    before = page.evaluate("views[0].canvas.toDataURL()")
    page.locator("#curves .controls button", has_text="linear").click()
    says(page, "curves")
    assert page.evaluate("views[0].canvas.toDataURL()") != before
    assert (
        page.locator("#curves .controls button", has_text="linear").get_attribute("aria-pressed")
        == "true"
    )
    assert page.locator("#axis").inner_text() == "linear"


def test_arms_are_flipped_aligned_and_seen_in_the_table(reader: Reader, store: Store) -> None:
    page = reader.open("lr-boost", "#scene=switch&step=400")
    page.locator("#switch .controls button", has_text="lr × 10").locator("visible=true").click()
    assert state(page, "arm") == "lr × 10 at memorised"
    (arm,) = [r for r in store.runs if "lr × 10 at memorised" in r.called and r.spec.seeds.model == 0]
    assert f"held out {100 * float(arm['val_accuracy'].sel(step=400)):.1f} %" in says(page, "switch")
    page.locator("#switch .controls button", has_text="at onset").click()
    assert state(page, "arm") == "lr × 10 at onset"
    page.locator("#switch .controls button", has_text="aligned").click()
    assert state(page, "align") == "switch"
    page.evaluate(
        "document.getElementById('table').scrollIntoView(); set({ arm: 'lr × 10 at memorised' })"
    )
    page.wait_for_function("views.find((view) => view.name === 'table').visible")
    data = arm.spec.data()
    right = int(arm["table_correct"].sel(step=400).values[tuple(data.inputs[data.is_val].T)].sum())
    page.evaluate("set({ step: 400 })")
    assert "arm lr × 10 at memorised: right are" in says(page, "table")
    assert f"{right} of {int(data.is_val.sum())} held out" in says(page, "table")
    assert page.locator("#table select").input_value() == "lr × 10 at memorised"


def test_a_pressed_cell_says_its_sum_and_its_side(reader: Reader) -> None:
    page = reader.open("race", "#scene=table&step=400")
    says(page, "table")
    spot = page.evaluate("views.find((view) => view.name === 'table').spots.at(-1)")
    box = page.locator("#table canvas").bounding_box()
    assert box is not None
    size = spot["wide"] / 11
    page.mouse.click(box["x"] + spot["x"] + 3.5 * size, box["y"] + spot["y"] + 9.5 * size)
    assert state(page, "example") == 9 * 11 + 3
    assert re.search(r" 9\+3 = 1 \((held out|trained on)\): (right|wrong)\.", says(page, "table"))


def test_a_pressed_neuron_and_a_pressed_bar_are_told_of(reader: Reader) -> None:
    page = reader.open("race", "#scene=waves&step=400")
    says(page, "waves")
    box = page.locator("#waves canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 12, box["y"] + 30)
    neuron = state(page, "neuron")
    assert neuron >= 0
    assert f"Neuron {neuron}: frequency" in says(page, "waves")
    page.locator("#waves .controls button", has_text="wound").click()
    assert state(page, "order") == "wound"
    page.evaluate("document.getElementById('pushes').scrollIntoView()")
    page.wait_for_function("views.find((view) => view.name === 'pushes').visible")
    says(page, "pushes")
    spot = page.evaluate("views.find((view) => view.name === 'pushes').spots[0]")
    box = page.locator("#pushes canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 30, box["y"] + spot["y"] + spot["high"] / 2)
    assert state(page, "group") == 0
    assert "through neurons of" in says(page, "pushes")


def test_k_is_slid_and_the_side_chosen(reader: Reader, run: Run) -> None:
    page = reader.open("race", "#scene=deletion&step=400&k=4")
    found = run["deletion_accuracy"].sel(step=400, strategy="top")
    assert f"most salient {100 * float(found.sel(side='val', k=4)):.1f} %" in says(page, "deletion")
    page.locator("#deletion input").focus()
    page.keyboard.press("ArrowRight")
    assert state(page, "k") == 8
    page.locator("#deletion .controls button", has_text="training").click()
    assert f"most salient {100 * float(found.sel(side='train', k=8)):.1f} %" in says(page, "deletion")


def test_the_dial_is_turned(reader: Reader, store: Store) -> None:
    page = reader.open("titration", "#scene=dial&step=120")
    page.locator("#dial input").focus()
    page.keyboard.press("ArrowRight")
    assert state(page, "dose") == 0.5
    called = "Adam, no decay: dose 0.5"
    (run,) = [r for r in store.runs if any((p.arm, p.seed) == (called, 0) for p in r.parts)]
    assert f"routed: held out {100 * float(run['val_accuracy'].sel(step=120)):.1f} %" in says(
        page, "dial"
    )
    page.locator("#dial .controls button", has_text="no decay").click()
    assert state(page, "decay") == 0


def test_the_csv_has_every_number_that_is_stored(reader: Reader, run: Run, tmp_path: Path) -> None:
    page = reader.open("race", "#scene=curves")
    page.locator("#curves summary").click()
    with page.expect_download() as download:
        page.locator("#curves .csv").click()
    download.value.save_as(tmp_path / "curves.csv")
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text("utf-8").splitlines()))
    mine = [r for r in rows if r["run"] == run.id and r["reading"] == "val_loss"]
    assert [int(r["step"]) for r in mine] == run["val_loss"]["step"].values.tolist()
    stored = run["val_loss"].values.tolist()
    assert [float(r["value"]) for r in mine] == pytest.approx(stored, rel=1e-6)
    assert run.id in page.locator("#curves figcaption").inner_text()


def test_a_verdict_opens_after_the_guess(reader: Reader) -> None:
    page = reader.open("race", "#scene=predict")
    card = page.locator(".card").first
    assert card.locator("svg").is_hidden()
    card.locator("input").focus()
    page.keyboard.press("End")
    card.locator("summary").click()
    assert card.locator("svg").is_visible()
    assert card.locator("svg circle").count() > 10  # the seeds
    end = card.locator(".guessed").get_attribute("d")
    assert end is not None
    assert end.startswith("M600.0")


def test_without_script_each_picture_is_there(reader: Reader) -> None:
    page = reader.open("race", java_script_enabled=False)
    for still in page.locator(".still").all():
        assert still.is_visible()
    assert page.locator(".still svg").count() >= 6
    assert page.locator("#bar").is_hidden()
    assert "it has memorised" in page.locator("#curves").inner_text()


@pytest.mark.parametrize("width", [360, 390, 768, 1400])
def test_nothing_is_wider_than_the_screen(reader: Reader, width: int) -> None:
    for story in ("race", "lr-boost", "titration"):
        page = reader.open(story, viewport={"width": width, "height": 800})
        for name in page.evaluate("[...document.querySelectorAll('.scene')].map((scene) => scene.id)"):
            page.evaluate(f"byScroll = false; document.getElementById('{name}').scrollIntoView()")
            says(page, "curves")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_are_drawn_in_their_own_colours(reader: Reader) -> None:
    page = reader.open("race", "#scene=table&step=0", color_scheme="dark")
    dark = page.evaluate("views.find((view) => view.name === 'table').canvas.toDataURL()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    page.evaluate("document.getElementById('theme').click()")
    says(page, "table")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("views.find((view) => view.name === 'table').canvas.toDataURL()") != dark


def test_playing_goes_on_by_itself_until_it_is_stopped(reader: Reader) -> None:
    page = reader.open("race", "#scene=curves&step=0")
    page.locator("#play").click()
    page.wait_for_function("state.step > 2")
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    assert 0 < state(page, "step") < 400


def test_print_leaves_the_controls_out_and_draws_all_pictures_light(reader: Reader) -> None:
    page = reader.open("race", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    corner = "view.canvas.getContext('2d').getImageData(0, 0, 300, 300).data"
    assert page.evaluate(f"views.every((view) => [...{corner}].some(Boolean))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") is None
    page.emulate_media(media="print")
    assert page.locator("#bar").is_hidden()
    assert page.locator("#curves canvas").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).position") == "static"
