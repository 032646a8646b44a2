"""Runs that belong to no study are shown with their forks, their curves and all that was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from tests.report.conftest import SELDOM, SPEC
from tests.report.driving import opened
from tests.report.test_page import unpacked
from undergrowth.analysis import Rules, events
from undergrowth.measures import Context, Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.report import aligned, readings
from undergrowth.report.aligned import aligned_figure
from undergrowth.report.arms import arms_of, courses, telling
from undergrowth.report.described import said_of, summary
from undergrowth.report.figure import Figure
from undergrowth.report.fork_tree import CENSORED, FIRED, UNFIRED, fork_figure, fork_table
from undergrowth.report.own_runs import own_report, own_sections
from undergrowth.report.readings import heat_map_figure, reading_figure
from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store
from undergrowth.store.measured import adding, docstrings, steps_measured
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import (
    AfterFork,
    AtStep,
    Intervention,
    NoOp,
    ResetMoments,
    ScaleLearningRate,
    WhenCrosses,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EASY = Rules(memorised=0.3, grokked=0.2, onset=-0.5)
"""Rules that runs of 60 steps fulfil."""
MEMORISED = WhenCrosses(reading="train_accuracy", level=0.3)
NEVER = Intervention(trigger=WhenCrosses(reading="weight_norm", level=1e6), action=ResetMoments())
TRUNK = SPEC.replace(
    measures=[*SPEC.model_dump()["measures"], {"name": "reach", "schedule": SELDOM}], steps=60
)


class Mine(Measure):
    """How much is mine, in acres.

    mine: the sum of all. mine_half [side]: a half of it.
    """

    name: Literal["mine"] = "mine"

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        return {"mine": scalar(1.0 + at.step)}


def family(seed: int) -> dict[str, RunSpec]:
    trunk = TRUNK.seeded(seed)
    faster = trunk.forked(
        MEMORISED, Intervention(trigger=AfterFork(), action=ScaleLearningRate(factor=3.0))
    )
    late = Intervention(trigger=AfterFork(steps=6), action=ScaleLearningRate(factor=0.1))
    return {
        "trunk": trunk,
        "no-op": trunk.forked(MEMORISED, Intervention(trigger=AfterFork(), action=NoOp())),
        "faster": faster,
        "faster, then slower": faster.forked(AtStep(step=40), late),
        "never": trunk.forked(AtStep(step=30), NEVER),
    }


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    """A trunk and four arms of two seeds each; one intervention never fires."""
    named = [(spec, name) for seed in (0, 1) for name, spec in family(seed).items()]
    root = tmp_path_factory.mktemp("own") / "store"
    specs, names = [spec for spec, _ in named], {spec.id: [name] for spec, name in named}
    store = train(specs, root, layout=Layout(workers=1), names=names)
    with adding(root) as add:
        for run in store.runs:
            for step in (0, 60):
                add(run.id, step, Mine(), {"mine": scalar(1.0 + step)})
    return Store(root).runs


def called(runs: tuple[Run, ...], name: str) -> list[Run]:
    return [run for run in runs if run.called == (name,)]


def rows(figure: Figure, **where: Any) -> Any:
    table: Any = figure.table
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def test_arms_have_the_names_of_the_spec_file_and_stand_below_what_they_fork_from(
    forks: tuple[Run, ...],
) -> None:
    arms = arms_of(forks)
    found = {
        arm.name: (arm.parent, arm.depth, [run.spec.seeds.model for run in arm.runs]) for arm in arms
    }
    assert found == {
        "trunk": ("", 0, [0, 1]),
        "no-op": ("trunk", 1, [0, 1]),
        "faster": ("trunk", 1, [0, 1]),
        "faster, then slower": ("faster", 2, [0, 1]),
        "never": ("trunk", 1, [0, 1]),
    }
    place = {arm.name: i for i, arm in enumerate(arms)}
    assert all(place[arm.parent] < place[arm.name] for arm in arms if arm.parent)
    changes = {arm.name: arm.changes for arm in arms}
    assert changes["faster"] == "scale_learning_rate factor=3"
    assert changes["faster, then slower"] == "scale_learning_rate factor=0.1 6 steps after the fork"
    assert changes["never"] == "reset_moments at weight_norm ≥ 1e+06"


def test_a_fork_without_its_trunk_is_an_arm_too(forks: tuple[Run, ...]) -> None:
    (arm,) = arms_of(called(forks, "faster, then slower"))
    assert (arm.parent, arm.depth) == ("", 0)
    assert arm.changes == "scale_learning_rate factor=0.1 6 steps after the fork"


def test_runs_without_names_are_told_apart_by_what_differs(runs: tuple[Run, ...]) -> None:
    assert [(arm.name, len(arm.runs)) for arm in arms_of(runs)] == [
        ("x+y mod 7", 2),
        ("shuffled labels", 1),
    ]


def test_the_course_of_a_run_is_what_the_store_says(forks: tuple[Run, ...]) -> None:
    for course in courses(forks, EASY):
        run = course.run
        own = len(run.spec.interventions) - 1
        fired = run.events.query("kind == 'fired'")
        steps = {d["intervention"]: s for s, d in zip(fired["step"], fired["detail"], strict=True)}
        assert course.step("fired") == (steps.get(own) if own >= 0 else None)
        for name, event in events(run.curves, EASY).items():
            assert course.step(name) == event.first
        if run.spec.fork:
            assert course.step("fork") == run.forked_at
    (late, _) = (c for c in courses(forks) if c.run.called == ("faster, then slower",))
    assert (late.step("fork"), late.step("fired")) == (40, 46)
    assert late.fired == {1: 46}


def test_the_tree_draws_each_run_from_its_fork_to_its_end_and_says_what_fired(
    forks: tuple[Run, ...],
) -> None:
    figure = fork_figure(forks, EASY)
    for run in forks:
        line = rows(figure, layer="run", run=run.id)
        assert line["step"].tolist() == [run.forked_at or 0, 60]
        (row,) = set(line["row"])
        branch = rows(figure, layer="branch", run=run.id)
        assert len(branch) == (2 if run.spec.fork else 0)
        if run.spec.fork:
            (parent,) = set(rows(figure, layer="run", run=run.spec.fork.of)["row"])
            assert branch["row"].tolist() == [parent, row]
            assert set(branch["step"]) == {run.forked_at}
    fired = rows(figure, series=FIRED)
    assert sorted(set(fired["arm"])) == ["faster", "faster, then slower", "no-op"]
    assert set(rows(figure, series=UNFIRED)["arm"]) == {"never"}
    assert set(rows(figure, arm="faster, then slower", series=FIRED)["step"]) == {46}
    happened = {
        (run.id, name): events(run.curves, EASY)[name].first for run in forks for name in ("grokked",)
    }
    grokked = rows(figure, series="grokked")
    drawn = dict(zip(grokked["run"], grokked["step"], strict=True))
    since = {run.id: -1 if run.forked_at is None else run.forked_at for run in forks}
    assert drawn == {r: s for (r, _), s in happened.items() if s is not None and s > since[r]}
    censored = {run for (run, _), step in happened.items() if step is None}
    assert set(rows(figure, series=CENSORED)["run"]) == censored


def test_the_table_of_forks_says_the_same_in_words(forks: tuple[Run, ...]) -> None:
    table = fork_table(forks, EASY)
    by_arm = {row[0].strip("\u00a0└ "): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert by_arm["never"]["fired at"] == "never"
    assert by_arm["never"]["from"] == "trunk"
    assert by_arm["faster, then slower"]["branched at"] == "40"
    assert by_arm["faster, then slower"]["fired at"] == "46"
    assert by_arm["trunk"]["fired at"] == by_arm["trunk"]["branched at"] == "–"
    forked = sorted({run.forked_at or 0 for run in called(forks, "faster")})
    assert by_arm["faster"]["branched at"] == " to ".join(map(str, forked))
    hard = fork_table(forks, Rules(memorised=1.1, grokked=1.1))
    assert {row[-2] for row in hard.rows} == {"> 60"}


@pytest.mark.parametrize("at", ["start", "fork", "fired", "memorised", "onset", "grokked"])
def test_steps_are_counted_from_the_event_of_each_run(at: Any, forks: tuple[Run, ...]) -> None:
    figure = aligned_figure(forks, at=at, rules=EASY)
    when = {course.run.id: course.step(at) for course in courses(forks, EASY)}
    there = {run_id for run_id, step in when.items() if step is not None}
    assert there
    curves = rows(figure, layer="curve")
    assert set(curves["run"]) == there
    assert (curves["since"] == curves["step"] - curves["run"].map(when)).all()
    missing = len(forks) - len(there)
    assert (f"{missing} of {len(forks)} runs." in figure.caption) == bool(missing)
    for run in forks:
        stored = run["val_accuracy"]
        mine = rows(figure, layer="curve", run=run.id, panel="validation accuracy")
        if run.id in there:
            np.testing.assert_array_equal(mine["step"], stored["step"])
            np.testing.assert_array_equal(mine["value"], stored)
    if at in aligned.MARKS:
        first = rows(figure, layer="mark", series=aligned.MARKS[at]).groupby("run")["since"].min()
        assert set(first) == {0}


def test_there_is_nothing_else_to_align_at(forks: tuple[Run, ...]) -> None:
    with pytest.raises(ValueError, match="at = 'switch': no event of a run: use one of start, fork"):
        aligned_figure(forks, at="switch")  # type: ignore[arg-type]


def test_what_is_not_drawn_is_told(forks: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "MOST_LINES", 12)
    monkeypatch.setattr(aligned, "COLOURED", 3)
    figure = aligned_figure(forks)
    assert "Of 10 runs 6 are drawn" in figure.caption
    drawn = set(rows(figure, layer="curve")["run"])
    assert len(drawn) == 6
    assert {run.called for run in forks if run.id in drawn} == {run.called for run in forks}
    assert "The first 3 of 5 arms have a colour" in figure.caption
    assert set(rows(figure, layer="curve")["series"]) >= {"trunk", "2 other arms"}


def test_arms_to_which_something_was_done_come_first_where_there_is_room_for_few(
    forks: tuple[Run, ...],
) -> None:
    chosen = [arm.name for arm in telling(arms_of(forks), 3)]
    assert sorted(chosen) == ["faster", "faster, then slower", "trunk"]


def test_a_number_is_drawn_as_it_is_stored(forks: tuple[Run, ...]) -> None:
    figure = reading_figure(forks, "weight_norm")
    for run in forks:
        mine = rows(figure, layer="curve", run=run.id)
        np.testing.assert_array_equal(mine["value"], run["weight_norm"])


def test_labels_of_a_short_axis_have_panels(forks: tuple[Run, ...]) -> None:
    figure = reading_figure(forks, "saliency_by_few")
    assert set(figure.table["panel"]) == {"saliency by few, training", "saliency by few, validation"}
    run = forks[0]
    mine = rows(figure, layer="curve", run=run.id, panel="saliency by few, training")
    np.testing.assert_array_equal(mine["value"], run["saliency_by_few"].sel(side="train"))


def test_a_spread_is_the_quantiles_of_all_seeds_of_an_arm(forks: tuple[Run, ...]) -> None:
    figure = reading_figure(forks, "saliency_median")
    both = called(forks, "trunk")
    for side, panel in (("train", "training"), ("val", "validation")):
        mine = rows(figure, panel=panel, arm="trunk")
        values = np.stack([run["saliency_median"].sel(side=side).values for run in both])
        expected = [np.sort(values[:, step].ravel()) for step in range(values.shape[1])]
        np.testing.assert_allclose(mine["quantile_0.5"], [np.median(each) for each in expected])
        np.testing.assert_allclose(
            mine["quantile_0.25"], [np.percentile(each, 25) for each in expected], rtol=1e-5
        )
        assert set(mine["n"]) == {2 * both[0]["saliency_median"].sizes["neuron"]}


def test_a_heat_map_has_the_values_of_the_components_it_names(forks: tuple[Run, ...]) -> None:
    figure = heat_map_figure(forks, "saliency_median")
    assert set(figure.table["panel"]) == {"trunk", "faster", "faster, then slower"}
    by_id = {run.id: run for run in forks}
    for row in figure.table.to_dict("records"):
        stored = by_id[row["run"]]["saliency_median"].sel(side="train", step=row["step"])
        assert float(stored[int(row["label"])]) == row["value"]
    last = rows(figure, panel="trunk", step=60)["value"].to_numpy()
    assert (np.diff(last) <= 0).all()
    order = [rows(figure, panel=panel, step=60)["label"].tolist() for panel in ("trunk", "faster")]
    assert order[0] == order[1]


def test_a_number_has_no_heat_map_and_what_was_not_read_no_figure(forks: tuple[Run, ...]) -> None:
    with pytest.raises(
        ValueError, match="weight_norm is a number at each step: draw it with reading_figure"
    ):
        heat_map_figure(forks, "weight_norm")
    with pytest.raises(KeyError, match="no run has a reading 'sharpness'"):
        reading_figure(forks, "sharpness")


def test_a_long_axis_is_thinned_and_that_is_told(
    forks: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "LINES", 4)
    figure = heat_map_figure(forks, "saliency_median")
    assert "Of 32 lines 4 are shown, evenly." in figure.caption
    assert set(rows(figure)["line"]) == {0, 1, 2, 3}


def of_page(runs: tuple[Run, ...]) -> dict[str, list[Figure]]:
    return {
        section.name: [*section.figures, *section.more] for section in own_sections(runs, rules=EASY)
    }


def test_all_that_was_measured_is_drawn(forks: tuple[Run, ...]) -> None:
    found = of_page(forks)
    assert list(found) == ["arms", "curves", "norms", "saliency", "deletion", "reach", "mine"]
    shown = " ".join(
        [figure.title for its in found.values() for figure in its]
        + [panel for its in found.values() for figure in its for panel in figure.chart.panels]
    ).lower()
    names = {name for run in forks for name in run.names} - {"update_loss"}
    missing = [name for name in names if aligned.in_text(name).lower() not in shown]
    assert missing == []
    for its in found.values():
        assert len({figure.name for figure in its}) == len(its)
        assert all(len(figure.table) for figure in its)


def test_figures_made_for_a_measure_are_used(forks: tuple[Run, ...]) -> None:
    found = {name: {figure.name for figure in its} for name, its in of_page(forks).items()}
    assert "saliency_histogram-1" in found["saliency"]
    assert "deletion_by_k-2" in found["deletion"]
    assert "spikes-by-arm" in found["curves"]


def test_a_measure_of_ones_own_says_what_it_is(forks: tuple[Run, ...]) -> None:
    (section,) = (each for each in own_sections(forks) if each.name == "mine")
    assert section.about == "How much is mine, in acres."
    assert "mine: the sum of all." in section.figures[0].caption
    root = forks[0].store.root
    assert summary(docstrings(root, forks[0].id)["mine"]) == "How much is mine, in acres."
    assert steps_measured(root, forks[0].id)["mine"][60] == {"key": "mine", "name": "mine"}


def test_sections_do_not_take_the_names_of_others(forks: tuple[Run, ...]) -> None:
    names = [section.name for section in own_sections(forks, ["saliency", "arms"])]
    assert names[:4] == ["own-arms", "curves", "norms", "own-saliency"]


def test_what_a_docstring_says_of_a_reading() -> None:
    doc = "Of it.\n\n{prefix}_{component}_total [side]: their sum; {prefix}_x: not it. _end: the end."
    assert said_of(doc, "a", ["a_neuron_total"]) == "a_{component}_total [side]: their sum."
    assert said_of(doc, "a", ["a_x", "a_neuron_end"]) == "a_x: not it. _end: the end."
    assert said_of(doc, "a", ["a_other"]) == ""


def test_a_run_that_diverged_has_a_page(tmp_path: Path) -> None:
    wild = {"name": "sgd", "lr": 1e30}
    spec = SPEC.replace(optimiser=wild, measures=SPEC.model_dump()["measures"][:3])
    runs = train([spec, spec.seeded(1)], tmp_path / "store", layout=Layout(workers=1)).runs
    assert {run.status for run in runs} == {"failed"}
    page = own_report(runs, tmp_path / "page.html").read_text()
    assert "diverged at" in page


@pytest.mark.parametrize("steps", [1, 3, 11])
def test_a_run_of_a_few_steps_has_a_page(steps: int, tmp_path: Path) -> None:
    curves = [{"name": "curves", "schedule": {"every": 1}}]
    spec = SPEC.replace(steps=steps, measures=curves)
    runs = train(spec, tmp_path / "store", layout=Layout(workers=1)).runs
    (_, curves_of) = own_sections(runs)
    there = {figure.name for figure in curves_of.figures}
    assert there >= {"accuracy-aligned", "loss-aligned"}
    assert ("spikes-by-arm" in there) == (steps > 10)
    assert "1 run in 1 arm." in own_report(runs, tmp_path / "page.html").read_text()


def test_no_runs_have_a_page_and_a_figure(tmp_path: Path) -> None:
    assert "No run has been trained yet." in own_report((), tmp_path / "page.html").read_text()
    assert "no run yet" in fork_figure(()).caption
    assert "no run yet" in aligned_figure(()).caption


@pytest.fixture(scope="module")
def written(forks: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_report(forks, tmp_path_factory.mktemp("own") / "report.html", rules=EASY)


@pytest.fixture
def scheme() -> str:
    """Light or dark."""
    return "light"


@pytest.fixture
def page(browser: Browser, written: Path, scheme: Any) -> Iterator[Page]:
    """The report as opened from disk; fails on any other request and on any error."""
    with opened(written, browser, scheme) as page:
        yield page


ACCURACY, LOSS = "curves-accuracy-aligned", "curves-loss-aligned"


def drawn(page: Page, name: str) -> Any:
    plot = page.locator(f"#plot-{name}")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    return plot


def held(page: Page, name: str, what: str) -> Any:
    """What plotly.js itself holds of a figure."""
    return page.evaluate(
        f"(() => {{ const plot = document.getElementById('plot-{name}'); return {what}; }})()"
    )


def align(page: Page, name: str, at: str) -> None:
    page.locator(f"figure:has(#plot-{name}) select").select_option(at)
    page.wait_for_function(f"document.getElementById('plot-{name}').dataset.at === '{at}'")
    kind = "log" if at == "start" else "linear"
    page.wait_for_function(f"document.getElementById('plot-{name}')._fullLayout.xaxis.type === '{kind}'")


def shown(page: Page, name: str) -> dict[str, list[float | None]]:
    """By run the steps of its validation curve as they are drawn."""
    is_one = "t.meta.layer === 'curve' && t.meta.panel.startsWith('validation')"
    which = f"plot._fullData.filter(t => {is_one})"
    what = f"Object.fromEntries({which}.map(t => [t.meta.each, Array.from(t.x)]))"
    return held(page, name, what)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_curves_move_so_that_the_firing_is_at_0_in_every_arm(
    page: Page, forks: tuple[Run, ...]
) -> None:
    drawn(page, ACCURACY)
    fired = {course.run.id: course.step("fired") for course in courses(forks, EASY)}
    steps = {run.id: run["val_accuracy"]["step"].values.tolist() for run in forks}
    align(page, ACCURACY, "fired")
    for run_id, xs in shown(page, ACCURACY).items():
        zero = fired[run_id]
        expected = [None] * len(xs) if zero is None else [step - zero for step in steps[run_id]]
        assert xs == expected
    fires = "plot._fullData.filter(t => t.name === 'intervention fired')"
    marks = held(page, ACCURACY, f"{fires}.map(t => [...t.x])")
    assert marks
    assert {x for xs in marks for x in xs} == {0}
    assert "4 of 10 runs" in page.locator(f"figure:has(#plot-{ACCURACY}) .align-told").inner_text()
    title = held(page, ACCURACY, "plot._fullLayout.xaxis2.title.text")
    assert title == "training steps since the first firing"
    align(page, ACCURACY, "start")
    first = {xs[0] for xs in shown(page, ACCURACY).values()}
    assert all(0 < x < 2 for x in first if x is not None)
    assert shown(page, ACCURACY)[forks[0].id][1:] == steps[forks[0].id][1:]


@pytest.mark.browser
def test_aligned_curves_are_a_click_from_log_and_linear(page: Page, forks: tuple[Run, ...]) -> None:
    plot = drawn(page, ACCURACY)
    align(page, ACCURACY, "memorised")
    plot.locator(".updatemenu-button").filter(has_text="x log").click()
    page.wait_for_function(
        f"document.getElementById('plot-{ACCURACY}')._fullLayout.xaxis2.type === 'log'"
    )
    when = {course.run.id: course.step("memorised") for course in courses(forks, EASY)}
    for run_id, xs in shown(page, ACCURACY).items():
        zero = when[run_id]
        assert zero is not None
        since = [step - zero for step in forks[0].store.run(run_id)["val_accuracy"]["step"].values]
        assert [x for x, step in zip(xs, since, strict=True) if step > 0] == [s for s in since if s > 0]
        assert all(x is None for x, step in zip(xs, since, strict=True) if step < 0)
    assert plot.locator(".x2tick text").first.text_content() == "0"
    plot.locator(".updatemenu-button").filter(has_text="x linear").click()
    page.wait_for_function(
        f"document.getElementById('plot-{ACCURACY}')._fullLayout.xaxis.type === 'linear'"
    )
    assert min(x for xs in shown(page, ACCURACY).values() for x in xs if x is not None) < 0


@pytest.mark.browser
def test_all_figures_are_aligned_alike_and_also_those_that_are_drawn_later(page: Page) -> None:
    drawn(page, ACCURACY)
    align(page, ACCURACY, "fork")
    drawn(page, "norms-numbers-1-aligned")
    page.wait_for_function(
        "document.getElementById('plot-norms-numbers-1-aligned').dataset.at === 'fork'"
    )
    drawn(page, LOSS)
    page.wait_for_function(f"document.getElementById('plot-{LOSS}').dataset.at === 'fork'")
    assert page.locator(f"figure:has(#plot-{LOSS}) select").input_value() == "fork"


@pytest.mark.browser
def test_the_choice_can_be_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    drawn(page, ACCURACY)
    choice = page.locator(f"figure:has(#plot-{ACCURACY})").get_by_label("Steps since")
    choice.focus()
    page.keyboard.press("ArrowDown")
    assert choice.input_value() == "fork"
    page.wait_for_function(f"document.getElementById('plot-{ACCURACY}').dataset.at === 'fork'")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    if width < 400:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    for plot in page.locator(".plot").all():
        if plot.is_visible():
            drawn(page, plot.get_attribute("data-name") or "")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_more_figures_open_on_a_click(page: Page) -> None:
    plot = page.locator("#plot-saliency-saliency_median_map")
    assert not plot.is_visible()
    page.locator("#saliency details.folded:has(#plot-saliency-saliency_median_map) > summary").click()
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()


def test_the_page_has_a_table_of_the_forks_and_the_numbers_behind_each_figure(
    written: Path, forks: tuple[Run, ...]
) -> None:
    html = written.read_text("utf-8")
    text = re.sub(r"<[^>]+>", " ", html[html.index('id="arms"') : html.index('id="curves"')])
    assert "10 runs in 5 arms" in html
    for words in ("└ faster", "scale_learning_rate factor=0.1 6 steps after the fork", "never fired"):
        assert words in text
    carried = unpacked(written)
    for section in own_sections(forks, rules=EASY):
        for figure in (*section.figures, *section.more):
            assert f"csv-{section.name}-{figure.name}" in carried
