"""Figures show the readings as they are stored, at every step, the control apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from undergrowth.analysis import Rules, effective_number, estimate, events, gini, skewness
from undergrowth.report.ablation import METRICS, deletion_by_k_figure, deletion_over_steps_figure
from undergrowth.report.axes import LogScale
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.figure import Figure
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AfterFork, AtStep, Intervention, ScaleLearningRate

Runs = tuple[Run, ...]
FIGURES = (
    accuracy_figure,
    loss_figure,
    saliency_histogram,
    concentration_figure,
    breadth_figure,
    deletion_by_k_figure,
    deletion_over_steps_figure,
)
EASY = Rules(memorised=0.3, grokked=0.35, onset=0.01)
"""Rules that runs of 60 steps fulfil."""


def layout(figure: Figure) -> Any:
    return figure.plot.layout


def table(figure: Figure) -> Any:
    return figure.table


def traces(figure: Figure, **meta: Any) -> list[Any]:
    found: list[Any] = list(figure.plot.data)  # type: ignore[arg-type]
    return [t for t in found if meta.items() <= (t.meta or {}).items()]


def drawn(figure: Figure, run: Run, side: str) -> list[Any]:
    """The traces of a run's curves on a side."""
    name = {"train": "training", "val": "validation"}[side]
    found = traces(figure, layer="curve", each=run.id)
    return [trace for trace in found if trace.name.startswith(name)]


def button(figure: Figure, label: str) -> Any:
    menus = layout(figure).updatemenus
    return next(b for menu in menus for b in menu.buttons if b.label == label)


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_says_what_it_shows_and_survives_json(draw: Any, runs: Runs) -> None:
    figure = draw(runs)
    assert figure.title
    assert "2 seeds with true labels, 1 seed with shuffled labels" in figure.caption
    assert len(figure.table) > 0
    assert figure.plot.to_json()


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_of_no_runs_is_empty_and_says_so(draw: Any) -> None:
    figure = draw(())
    assert "no run yet" in figure.caption
    assert len(figure.table) == 0


@pytest.mark.parametrize("draw", FIGURES)
def test_every_figure_is_saved_for_a_paper(draw: Any, runs: Runs, tmp_path: Path) -> None:
    figure = draw(runs)
    text = figure.save(tmp_path / "figure.svg").read_text("utf-8")
    written = [*figure.chart.panels, *figure.chart.shown_series]
    assert written
    assert [words for words in written if words not in text] == []
    assert "y linear" not in text


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_of_the_same_runs_are_equal(draw: Any, runs: Runs) -> None:
    assert draw(runs).plot.to_json() == draw(runs).plot.to_json()


@pytest.mark.parametrize(("draw", "name"), [(accuracy_figure, "accuracy"), (loss_figure, "loss")])
def test_curves_are_the_stored_readings(draw: Any, name: str, runs: Runs) -> None:
    figure = draw(runs)
    for run in runs:
        for side in ("train", "val"):
            stored = run[f"{side}_{name}"]
            rows = table(figure).query("layer == 'curve' and run == @run.id and side == @side")
            assert set(rows["seed"]) == {run.spec.seeds.model}
            (curve,) = drawn(figure, run, side)
            for steps, values in (zip(*curve.customdata, strict=True), (rows["step"], rows[name])):
                assert tuple(steps) == tuple(stored["step"].values)
                np.testing.assert_allclose(values, stored, rtol=1e-4)


def test_the_control_is_drawn_apart(runs: Runs) -> None:
    curves = traces(accuracy_figure(runs), layer="curve")
    control = {run.id for run in runs if run.spec.labels == "shuffled"}
    dashes = {t.meta["each"]: t.line.dash for t in curves}
    assert {run for run, dash in dashes.items() if dash != "solid"} == control
    true = {t.line.color for t in curves if t.meta["each"] not in control}
    assert true.isdisjoint(t.line.color for t in curves if t.meta["each"] in control)


@pytest.mark.parametrize("event", ["memorised", "onset", "grokked"])
def test_an_event_is_marked_where_its_rule_first_held(event: Any, runs: Runs) -> None:
    found = {run.id: events(run.curves, EASY)[event].first for run in runs}
    figure = accuracy_figure(runs, EASY)
    both = (event, f"{event}, shuffled")
    rows = table(figure).query("layer == 'event' and series in @both")
    is_shuffled = rows["series"].str.endswith("shuffled")
    assert (is_shuffled == (rows["labels"] == "shuffled")).all()
    marked = dict(zip(rows["run"], rows["step"], strict=True))
    assert marked == {run: step for run, step in found.items() if step is not None}
    drawn_at = [
        x for name in both for trace in traces(figure, layer="event", series=name) for x in trace.x
    ]
    assert sorted(drawn_at) == sorted(rows["step"])
    assert marked or event != "memorised"


def test_buttons_switch_each_axis_and_leave_the_other_alone(runs: Runs) -> None:
    figure = accuracy_figure(runs)
    assert layout(figure).xaxis.type == "log"
    assert layout(figure).yaxis.type == "linear"
    for axis, kind in [(a, k) for a in "xy" for k in ("log", "linear")]:
        changed = button(figure, f"{axis} {kind}").args[1]
        assert changed[f"{axis}axis.type"] == kind
        other = "y" if axis == "x" else "x"
        assert not any(key.startswith(f"{other}axis") for key in changed)


def test_step_zero_is_kept_on_a_log_axis_beyond_a_break(runs: Runs) -> None:
    figure = accuracy_figure(runs)
    (curve,) = drawn(figure, runs[0], "train")
    assert 0 < curve.x[0] < curve.x[1] == 2
    assert layout(figure).xaxis.ticktext[0] == "0"
    assert layout(figure).xaxis.tickvals[0] == curve.x[0]
    (gap,) = [shape for shape in layout(figure).shapes if shape.name == "x gap"]
    assert curve.x[0] < gap.x0 < curve.x[1]
    moved, changed, which = button(figure, "x linear").args
    assert {xs[0] for xs in moved["x"]} == {0}
    assert len(which) == 6
    assert any(key.startswith("shapes") and not shown for key, shown in changed.items())


def test_zero_accuracy_has_a_place_on_a_log_axis() -> None:
    scale = LogScale.of([0.0, 0.1, 1.0])
    assert scale.has_zero
    placed = scale.place([0.0, 0.1])
    assert placed[0] == scale.zero
    assert placed[1] == 0.1
    assert not LogScale.of([0.1, 1.0]).has_zero


def slider(figure: Figure) -> Any:
    (found,) = layout(figure).sliders
    return found


@pytest.mark.parametrize("draw", [saliency_histogram, deletion_by_k_figure])
def test_the_slider_has_a_position_for_every_stored_step(draw: Any, runs: Runs) -> None:
    steps = runs[0]["saliency_median"]["step"].values
    found = slider(draw(runs))
    assert [step.label for step in found.steps] == [f"{step:,}" for step in steps]
    assert found.active == len(steps) - 1


@pytest.mark.parametrize("draw", [saliency_histogram, deletion_by_k_figure, deletion_over_steps_figure])
def test_the_slider_stands_at_what_the_figure_shows(draw: Any, runs: Runs) -> None:
    figure = draw(runs)
    found = slider(figure)
    data, changed, which = found.steps[found.active].args
    shown = traces(figure)
    assert [list(shown[i].y) for i in which] == [list(y) for y in data["y"]]
    for i, annotation in enumerate(layout(figure).annotations):
        if annotation.name:  # the others are titles of panels
            assert annotation.text == changed[f"annotations[{i}].text"]


def test_the_histogram_counts_every_neuron_at_every_step(runs: Runs) -> None:
    total = table(saliency_histogram(runs)).groupby(["labels", "side", "step"])["share"].sum()
    np.testing.assert_allclose(total, 1, atol=1e-4)


def test_the_histogram_is_that_of_the_readings(runs: Runs) -> None:
    figure = saliency_histogram(runs)
    true = [run["saliency_median"].sel(side="val")[-1].values for run in runs[:2]]
    relative = np.concatenate([v / v.mean() for v in true])
    (bars,) = traces(figure, side="val", labels="true labels")
    edges = figure.table["from"].unique()
    expected = np.histogram(np.minimum(relative, edges[-1] * 1.001), [*edges, np.inf])[0] / 64
    np.testing.assert_allclose(bars.y, expected, atol=1e-5)
    summary = next(a.text for a in layout(figure).annotations if a.name == "summary val")
    assert f"skewness {skewness(np.stack(true)).mean():.2f}" in summary
    assert f"Gini {gini(np.stack(true)).mean():.2f}" in summary


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("skewness", skewness),
        ("Gini coefficient", gini),
        ("effective number of neurons", effective_number),
    ],
)
def test_concentration_is_the_mean_over_seeds_with_its_interval(
    name: str, statistic: Any, runs: Runs
) -> None:
    all_rows = table(concentration_figure(runs))
    rows = all_rows.query("panel == @name and labels == 'true labels' and side == 'val'")
    for row in rows.itertuples():
        readings = [run["saliency_median"].sel(side="val", step=row.step) for run in runs[:2]]
        expected = estimate([float(statistic(r.values)) for r in readings])
        np.testing.assert_allclose(
            [row.mean, row.low, row.high], [expected.effect, expected.low, expected.high]
        )


def test_one_seed_has_a_mean_and_no_interval(runs: Runs) -> None:
    rows = table(concentration_figure(runs[:1]))
    assert rows["mean"].notna().all()
    assert rows["low"].isna().all()


def test_breadth_shows_quantiles_over_the_neurons_of_all_seeds(runs: Runs) -> None:
    rows = table(breadth_figure(runs))
    last = rows.query("labels == 'true labels' and side == 'train'").iloc[-1]
    assert set(rows["layer"]) == {"all", "half"}
    pooled = np.concatenate([run["saliency_breadth"].sel(side="train")[-1] for run in runs[:2]])
    np.testing.assert_allclose(last["quantile_0.5"], np.median(pooled), rtol=1e-4)


@pytest.mark.parametrize("metric", ["accuracy", "log_prob"])
def test_deletion_shows_the_mean_over_seeds_at_every_k(metric: str, runs: Runs) -> None:
    figure = deletion_by_k_figure(runs)
    panel = METRICS[metric]
    (line,) = traces(figure, choice="validation", panel=panel, series="k most salient")
    stored = [run[f"deletion_{metric}"].sel(side="val", strategy="top")[-1] for run in runs[:2]]
    np.testing.assert_allclose(line.y, np.mean(stored, axis=0), rtol=1e-3, atol=1e-4)
    assert [row[0] for row in line.customdata] == [0, 1, 4, 16]


def test_change_by_deletion_is_nothing_at_k_zero(runs: Runs) -> None:
    rows = table(deletion_over_steps_figure(runs, relative=True))
    whole = rows.query("k == 0 and strategy != 'norm_matched'")
    assert (whole["mean"] == 0).all()
    assert (rows.query("k > 0")["mean"].dropna() != 0).any()


@pytest.mark.parametrize(("asked", "shown"), [(1, "1"), (3, "4"), (32, "16")])
def test_deletion_over_steps_starts_at_the_nearest_k(asked: int, shown: str, runs: Runs) -> None:
    found = slider(deletion_over_steps_figure(runs, k=asked))
    assert found.steps[found.active].label == shown


def test_a_set_that_does_not_match_the_norm_is_not_drawn(runs: Runs) -> None:
    shares = np.stack([run["deletion_norm_share"].values for run in runs[:2]])
    top, others = shares[:, :, 0], shares[:, :, 3]
    matched = (np.abs(others - top) <= 0.1 * top).any(axis=0)  # in one seed at least
    assert not matched.all()
    chosen = "strategy == 'norm_matched' and metric == 'accuracy' and side == 'val'"
    rows = table(deletion_by_k_figure(runs)).query(f"{chosen} and labels == 'true labels'")
    drawn = rows["mean"].notna().to_numpy().reshape(matched.shape)
    np.testing.assert_array_equal(drawn, matched)


def test_views_show_one_set_of_examples_at_a_time(runs: Runs) -> None:
    figure = deletion_by_k_figure(runs)
    for label in ("validation", "training", "shuffled labels"):
        (change,) = button(figure, label).args
        shown = [t for t, on in zip(traces(figure), change["visible"], strict=True) if on]
        assert {t.meta["choice"] for t in shown} == {label}
        one_seed = label == "shuffled labels"
        assert len(shown) == 2 * 4 * (1 if one_seed else 3)  # panels, strategies, a line and its bounds


def test_a_figure_shown_by_itself_carries_its_title(runs: Runs) -> None:
    figure = accuracy_figure(runs)
    titled: Any = figure.titled().layout
    assert titled.title.text == figure.title
    assert layout(figure).title.text is None


@pytest.fixture(scope="module")
def of_arms(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A trunk, a fork of it with a name, and a run that diverges, all of one seed."""
    boost = Intervention(trigger=AfterFork(), action=ScaleLearningRate(factor=3))
    trunk = tiny.spec()
    fork = trunk.forked(AtStep(step=10), boost)
    absurd = tiny.spec(optimiser={"name": "sgd", "lr": 1e30})
    root = tmp_path_factory.mktemp("arms") / "store"
    return train([trunk, fork, absurd], root, layout=Layout(1), names={fork.id: ["faster"]}).runs


@pytest.mark.parametrize("draw", [accuracy_figure, loss_figure])
def test_arms_have_legends_and_dashes_of_their_own(draw: Any, of_arms: Runs) -> None:
    curves = [t for run in of_arms for t in drawn(draw(of_arms), run, "val")]
    assert len({curve.name for curve in curves}) == len({curve.line.dash for curve in curves}) == 3
    assert "validation, faster" in {curve.name for curve in curves}
    assert all(curve.showlegend for curve in curves)


@pytest.mark.parametrize("draw", [accuracy_figure, loss_figure])
def test_a_run_that_diverged_is_marked_where_it_ends(draw: Any, of_arms: Runs) -> None:
    figure = draw(of_arms)
    (marks,) = traces(figure, layer="end")
    (failed,) = (run for run in of_arms if run.status == "failed")
    assert table(figure).query("layer == 'end'")["run"].tolist() == [failed.id]
    (curve,) = drawn(figure, failed, "val")
    known = [x for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    assert list(marks.x) == known[-1:]
    assert "1 of which diverged at step 10" in figure.caption
    assert not traces(draw([run for run in of_arms if run.status == "done"]), layer="end")


def test_captions_count_seeds_of_an_arm_and_not_runs(of_arms: Runs) -> None:
    assert "3 runs with true labels (3 arms of 1 seed)" in accuracy_figure(of_arms).caption
    assert "1 seed with true labels" in accuracy_figure(of_arms[:1]).caption
