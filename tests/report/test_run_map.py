"""The map of a planted store: its picture, its table, and its page, whose cells open their runs."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import undergrowth as ug
from tests import tiny
from tests.commands import ran
from tests.planted_runs import Course, planted
from tests.report.driving import opened
from undergrowth.analysis.run_map import run_map
from undergrowth.report.mapped import Mapped
from undergrowth.report.run_map import key_of, map_figure
from undergrowth.spec import RunSpec
from undergrowth.store import series
from undergrowth.store.listing import Listed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BASE = tiny.spec(steps=1000)
LATE, NEVER = Course(10, 200), Course(10, None, val_loss=3.0)
BY_CELL = {
    (1e-3, 0.0): (NEVER, NEVER, Course(10, 1000)),
    (3e-3, 0.0): (NEVER,),
    (3e-3, 1.0): (Course(50, 200, val_loss=0.1), Course(50, 500), Course(50, 100)),
    (1e-2, 1.0): (LATE, LATE, NEVER),
    (1e-1, 1.0): (Course(None, None, last=100, status="failed"), LATE),
    (1e-1, 0.0): (Course(10, None, last=50, status=""),),
}
"""By rate and decay, a course a seed. No run has a rate of 0.03."""


def spec(lr: float, decay: float, seed: int) -> RunSpec:
    return BASE.replace(optimiser=ug.AdamW(lr=lr, weight_decay=decay)).seeded(seed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ug.Store:
    courses = {spec(*at, i): course for at, its in BY_CELL.items() for i, course in enumerate(its)}
    return planted(tmp_path_factory.mktemp("mapped") / "store", courses)


@pytest.fixture(scope="module")
def mapped(store: ug.Store) -> Mapped:
    return ug.map(store, "lr", "weight_decay", colour=["grokked", "phase", "val_loss"])


@pytest.fixture(scope="module")
def page_file(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    return mapped.write(folder / "map.html", curves=True, report=folder / "a report.html")


def test_the_table_has_the_planted_medians_and_every_run(mapped: Mapped) -> None:
    table = mapped.table.set_index(["optimiser.lr", "optimiser.weight_decay"])
    assert set(table.index) == set(BY_CELL)
    assert table["runs"].to_dict() == {at: len(its) for at, its in BY_CELL.items()}
    assert table["grokked_censored"].to_dict() == {
        (1e-3, 0.0): True,
        (3e-3, 0.0): True,
        (3e-3, 1.0): False,
        (1e-2, 1.0): False,
        (1e-1, 1.0): True,
        (1e-1, 0.0): True,
    }
    assert table["grokked"].to_dict() == {
        (1e-3, 0.0): 1000,  # two of three are not there at 1000
        (3e-3, 0.0): 1000,
        (3e-3, 1.0): 200,
        (1e-2, 1.0): 200,
        (1e-1, 1.0): 150,  # halfway from 200 to the 100 at which the other failed
        (1e-1, 0.0): 50,
    }
    assert table["phase"].to_dict() == {
        (1e-3, 0.0): "memorisation",
        (3e-3, 0.0): "memorisation",
        (3e-3, 1.0): "comprehension",
        (1e-2, 1.0): "grokking",
        (1e-1, 1.0): "mixed",
        (1e-1, 0.0): "unknown",  # not ended
    }
    assert table.loc[(3e-3, 1.0), "val_loss"] == pytest.approx(0.5)


def test_the_picture_has_a_gap_where_no_run_is_and_tells_censored_cells_apart(mapped: Mapped) -> None:
    (trace,) = mapped.figure.plot.to_dict()["data"]
    assert list(trace["x"]) == [0, 1, 2, 3, 4]
    assert trace["text"] == [
        ["> 1,000", "> 1,000", "", "", "> 50"],
        ["", "200", "200<br>2/3", "", "> 150"],
    ]
    shades = [[None if z is None or z != z else round(z, 3) for z in line] for line in trace["z"]]
    assert [line[3] for line in shades] == [None, None]
    later = shades[0][0]
    assert later is not None
    assert later > 1
    assert shades == [[later, later, None, None, later], [None, 0.5, 0.5, None, later]]
    layout = mapped.figure.plot.to_dict()["layout"]
    assert layout["xaxis"]["ticktext"] == ["0.001", "0.003", "0.01", "0.1"]
    assert layout["xaxis"]["tickvals"] == [0, 1, 2, 4]
    assert layout["yaxis"]["ticktext"] == ["0", "1"]
    assert "200, from 200 on; 1 of 3 ended before it" in trace["hovertext"][1][2]
    assert "later than that" in mapped.figure.caption


def test_colours_run_from_the_least_to_the_most_and_no_known_cell_is_grey(mapped: Mapped) -> None:
    for figure in mapped.figures:
        colours = figure.chart.colours
        assert colours is not None
        stops = [at for at, _ in colours.scale]
        assert stops == sorted(stops)
        assert (stops[0], stops[-1]) == (0.0, 1.0)
        css, ticks = key_of(figure)
        assert css.startswith("linear-gradient(")
        assert all(-0.1 <= at <= 100.1 for at, _ in ticks)
    phases = mapped.figures[1].chart.colours
    assert phases is not None
    assert list((phases.ticks or {}).values()) == [
        "comprehension",
        "grokking",
        "memorisation",
        "unknown",
        "mixed",
    ]


def test_a_map_is_drawn_for_a_paper_too(mapped: Mapped, tmp_path: Path) -> None:
    svg = mapped.figure.save(tmp_path / "map.svg").read_text()
    written = {html.unescape(text) for text in re.findall(r">([^<>]+)</text>", svg)}
    assert {"> 1,000", "> 50", "200", "2/3", "optimiser.lr", "0.003"} <= written


def test_many_cells_are_drawn_without_words() -> None:
    seeds = {f"seeds.{of}": 0 for of in ("model", "data", "noise")}
    rows = [
        Listed(
            f"{i} {j}",
            (),
            (),
            (),
            0,
            "done",
            {"a": i, "b": j, **seeds},
            9,
            {},
            {"val_loss": float(i + j)},
        )
        for i in range(40)
        for j in range(25)
    ]
    figure = map_figure(run_map(rows, "a", "b"), "val_loss")
    (trace,) = figure.plot.to_dict()["data"]
    assert "texttemplate" not in trace
    assert len(figure.plot.to_dict()["layout"]["xaxis"]["tickvals"]) <= 16
    assert len(figure.table) == 1000


def test_no_curve_is_read_and_no_spec_is_made_but_one(
    store: ug.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = [row for row in store.listed()[0] if row.status == "done"]
    monkeypatch.setattr(series, "read_scalars", None)
    monkeypatch.setattr(series, "read", None)
    ug.map(store, "lr", "weight_decay", runs=ended).write(tmp_path / "map.html")
    assert (tmp_path / "map.html").is_file()


def test_curves_of_too_many_runs_are_refused(
    mapped: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undergrowth.report.map_page.MOST_CURVES", 12)
    with pytest.raises(ValueError, match="curves of 13 runs do not fit on a page, which takes 12"):
        mapped.write(tmp_path / "map.html", curves=True)
    assert not any(tmp_path.iterdir())


def test_the_page_tells_rules_runs_under_way_and_each_run_of_a_cell(page_file: Path) -> None:
    text = page_file.read_text()
    assert "13 runs in 6 cells (1 to 3 runs each)" in text
    assert "1 interrupted: they count up to where they are" in text
    assert "validation accuracy ≥ 0.99, more than 10 times as late as train accuracy ≥ 0.99" in text
    for at, its in BY_CELL.items():
        for seed in range(len(its)):
            assert f'href="a%20report.html#run-{spec(*at, seed).id}"' in text
    assert text.count(">diverged at step 100<") == 1


@pytest.fixture
def page(browser: Browser, page_file: Path) -> Iterator[Page]:
    with opened(page_file, browser) as page:
        yield page


def middle_of(page: Page, x: int, y: int, name: str = "map_grokked") -> tuple[float, float]:
    """Where a cell is on the screen."""
    left, top = page.evaluate(
        """([name, x, y]) => { const plot = document.getElementById("plot-" + name),
        { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
        return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)]; }""",
        [name, x, y],
    )
    return left, top


@pytest.mark.browser
def test_a_click_on_a_cell_opens_its_runs_and_their_curves(page: Page) -> None:
    page.locator("#plot-map_grokked .main-svg").first.wait_for()
    assert not page.locator(".cell:visible").count()
    page.mouse.click(*middle_of(page, 2, 1))
    cell = page.locator(".cell:visible")
    cell.wait_for()
    assert cell.locator("h2").inner_text().endswith("lr = 0.01, weight_decay = 1")
    ids = cell.locator("tbody a").evaluate_all("links => links.map(each => each.hash)")
    assert ids == [f"#run-{spec(1e-2, 1.0, seed).id}" for seed in range(3)]
    cell.locator(".plot .main-svg").first.wait_for()
    ring = page.locator("#plot-map_grokked .ring.is-open").bounding_box()
    assert ring is not None
    x, y = middle_of(page, 2, 1)
    assert (ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2) == pytest.approx(
        (x, y), abs=2
    )
    page.mouse.click(*middle_of(page, 3, 1))  # where there is no run
    assert page.url.endswith("#cell-2-1")
    page.go_back()
    assert not page.locator(".cell:visible").count()


@pytest.mark.browser
def test_arrows_go_from_cell_to_cell_and_enter_opens_one(page: Page) -> None:
    page.locator("#plot-map_grokked .main-svg").first.wait_for()
    page.locator("#plot-map_grokked").focus()
    status = page.locator(".maps .at")
    assert status.inner_text().startswith("lr = 0.001, weight_decay = 0: 3 runs")
    page.keyboard.press("ArrowUp")
    assert status.inner_text().startswith("lr = 0.003, weight_decay = 1")  # above it there is no run
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert status.inner_text().startswith("lr = 0.1, weight_decay = 1: 2 runs; Steps to 99 %")
    page.keyboard.press("Enter")
    page.locator("#cell-4-1:visible").wait_for()
    assert page.evaluate("document.activeElement.id") == "cell-4-1"
    page.locator("#cells a").first.focus()
    page.keyboard.press("Enter")
    page.locator("#cell-0-0:visible").wait_for()


@pytest.mark.browser
def test_other_colours_unfold_with_the_same_cell_open_and_a_narrow_page_has_its_key_below(
    page: Page,
) -> None:
    page.locator("#plot-map_grokked .main-svg").first.wait_for()
    page.mouse.click(*middle_of(page, 1, 1))
    page.locator("summary", has_text="Phase, by lr and weight_decay").click()
    page.locator("#plot-map_phase .ring.is-open:visible").wait_for()
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("() => document.querySelector('#plot-map_phase').data[0].showscale === false")
    page.wait_for_function("() => document.documentElement.scrollWidth === 390")
    assert page.locator(".colours:visible").count() == 2
    page.locator("#theme").click()
    page.wait_for_function("() => document.querySelector('#plot-map_phase').dataset.theme === 'dark'")


@pytest.mark.browser
def test_a_link_to_a_run_leads_to_its_row_in_the_report(
    page: Page, store: ug.Store, page_file: Path
) -> None:
    run = spec(1e-2, 1.0, 1).id
    report = ug.own_report(store.run(run), page_file.parent / "a report.html")
    opened = page.context.browser
    assert opened is not None
    other = opened.new_page()
    other.goto(f"{report.as_uri()}#run-{run}")
    other.locator(f"#run-{run}:visible").wait_for()
    other.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return partial(ran, capsys)


def test_the_command_writes_a_page_a_picture_or_the_table(
    store: ug.Store, tmp_path: Path, say: Callable[..., tuple[int, str, str]]
) -> None:
    where = ("--where", "lr<0.05")
    code, out, wrong = say("map", store.root, "lr", "weight_decay", *where, "--out", tmp_path / "m.html")
    assert (code, wrong) == (0, "")
    assert out.endswith("m.html  10 runs in 4 cells\n")
    text = (tmp_path / "m.html").read_text()
    assert all(f'id="plot-map_{name}"' in text for name in ("phase", "grokked", "delay"))
    assert "undergrowth map" in text
    code, out, _ = say("map", store.root, "lr", "weight_decay", "--colour", "val_loss", "--json")
    assert code == 0
    assert [row["runs"] for row in json.loads(out)] == [3, 1, 1, 3, 3, 2]
    code, out, _ = say("map", store.root, "lr", "weight_decay", "--colour", "grokked", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["grokked_censored"] for row in rows] == ["True"] * 3 + ["False", "False", "True"]
    assert say("map", store.root, "lr", "weight_decay", "--out", tmp_path / "m.svg")[0] == 0
    assert (tmp_path / "m.svg").read_text().startswith("<?xml")


def test_the_command_refuses_in_one_line(
    store: ug.Store, tmp_path: Path, say: Callable[..., tuple[int, str, str]]
) -> None:
    from undergrowth.store.layout import create

    create(tmp_path / "empty")
    for arguments, said in {
        (store.root, "lr", "wieght_decay"): "did you mean 'optimiser.weight_decay'?",
        (store.root, "lr", "p"): "task.p is 5 in all 13 runs",
        (store.root, "lr", "weight_decay", "--where", "lr=7"): "none of the 13 runs",
        (store.root, "lr", "weight_decay", "--colour", "no"): "no run has 'no' to colour cells by",
        (store.root, "lr", "weight_decay", "--out", "map.jpg"): "the ending says what to write: .html",
        (store.root, "lr", "weight_decay", "--late", "0.5"): "give 1 or more",
        (tmp_path / "empty", "lr", "weight_decay"): "has no runs to map",
    }.items():
        code, out, wrong = say("map", *arguments)
        assert (code, out, wrong.count("\n")) == (2, "", 1), wrong
        assert said in wrong


def test_long_names_stand_aslant_and_of_many_numbers_some_are_written() -> None:
    seeds = {f"seeds.{of}": 0 for of in ("model", "data", "noise")}

    def layout(xs: list[str] | list[float]) -> dict[str, Any]:
        rows = [
            Listed(
                f"{x} {y}", (), (), (), 0, "done", {"x": x, "y": y, **seeds}, 9, {}, {"val_loss": 1.0}
            )
            for x in xs
            for y in (1, 2)
        ]
        figure = map_figure(run_map(rows, "x", "y"), "val_loss")
        return figure.plot.to_dict()["layout"]["xaxis"]

    names = layout([f"a long name of a thing {i}" for i in range(6)])
    assert (names["tickangle"], len(names["tickvals"])) == (-45, 6)
    numbers = layout([0.0001 * (i + 1) + 0.5 for i in range(200)])
    assert "tickangle" not in numbers
    assert sum(len(text) + 1 for text in numbers["ticktext"]) <= 76
