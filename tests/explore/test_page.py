"""A story's page says what is stored, the same each time, and what is missing in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.explore.unpacking import scenes
from undergrowth.analysis.general_part import key_irreps, parts
from undergrowth.cli import main
from undergrowth.explore import page as pages
from undergrowth.explore.cast import Cast, events_of
from undergrowth.explore.page import rendered, write_story
from undergrowth.explore.scenes.race import look_up_share
from undergrowth.explore.stories import STORIES
from undergrowth.explore.story import ExploreError, LeftOut, Story
from undergrowth.spec import RunSpec
from undergrowth.spec.file import read_file
from undergrowth.store import Run, Store
from undergrowth.sweep import Layout, train

HERE = Path(pages.__file__).parent


def html(site: Path, story: str) -> str:
    return (site / f"{story}.html").read_text("utf-8")


def run_of(store: Store, described: dict, seed: int) -> Run:
    (run_id,) = {
        its["run"] for its in described["arrays"] if its["seed"] == seed and "|" not in its["name"]
    }
    return store.run(run_id)


def test_curves_are_the_stored_ones_exactly(site: Path, store: Store) -> None:
    for story in STORIES:
        told, arrays = scenes(html(site, story))["curves"]
        for seed in (0, 1):
            run = run_of(store, told, seed)
            for name in ("train_accuracy", "val_accuracy", "train_loss", "val_loss"):
                assert np.array_equal(arrays[name, seed], run[name].values.astype(np.float32))


def test_the_table_is_right_where_the_store_says_so_and_its_depth_within_the_quantum(
    site: Path, store: Store
) -> None:
    told, arrays = scenes(html(site, "race"))["table"]
    run = run_of(store, told, 1)
    right = (
        run["table_correct"].transpose("step", "x", "y").values.reshape(len(run["table_correct"]), -1)
    )
    assert np.array_equal(arrays["correct", 1] > 0.5, right > 0.5)
    logit = run["table_centred_logit"].transpose("step", "x", "y").values.reshape(right.shape)
    off = np.abs(arrays["logit", 1] - logit).max(axis=1)
    assert (off <= 0.004 * np.abs(logit).max(axis=1)).all()
    data = run.spec.data()
    assert sum(told["cells"]["1"]["heldOut"]) == data.is_val.sum()


def test_swaps_that_are_trained_on_are_marked(site: Path, store: Store) -> None:
    told, _ = scenes(html(site, "race"))["table"]
    data = run_of(store, told, 0).spec.data()
    trained = {
        tuple(pair)
        for pair, is_train in zip(data.inputs.tolist(), data.is_train, strict=True)
        if is_train
    }
    marked = {
        divmod(cell, 11) for cell, value in enumerate(told["cells"]["0"]["swapTrained"]) if value == 1
    }
    held_out = [
        tuple(pair) for pair, is_val in zip(data.inputs.tolist(), data.is_val, strict=True) if is_val
    ]
    assert marked == {(x, y) for x, y in held_out if (y, x) in trained and x != y}
    assert marked


def test_waves_are_what_the_weights_of_the_checkpoints_read(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "lr-boost"))["waves"]
    run = run_of(store, told, 0)
    for place, step in enumerate(run.checkpoints):
        model = run.model(step)
        W_in, W_x = (np.asarray(w, np.float64) for w in (model.mlp.W_in, model.embed.W_x))  # type: ignore[attr-defined]
        read = (W_x @ W_in[: W_x.shape[1]]).T
        read = read - read.mean(axis=1, keepdims=True)
        assert np.abs(arrays["wave", 0][place] - read).max() <= 0.004 * np.abs(read).max()
    assert np.array_equal(arrays["share", 0], run["fourier_neuron_share"].values)


def test_the_layers_of_the_race_add_up_to_the_margin(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "race"))["race"]
    run = store.run(
        next(its["run"] for its in told["arrays"] if its["name"] == "whole" and its["seed"] == 0)
    )
    data = run.spec.data()
    x, y = data.inputs[data.is_train].T
    margin = run["table_centred_logit"].transpose("step", "x", "y").values[:, x, y]
    assert np.allclose(arrays["whole", 0], margin.mean(axis=1), rtol=1e-5, atol=1e-6)
    found = parts(run, key_irreps(run))
    assert np.array_equal(arrays["share", 0], found.share.values.astype(np.float32), equal_nan=True)
    assert np.allclose(arrays["general", 0], found.general.mean(axis=1), rtol=1e-5, atol=1e-6)
    share = np.clip(found.general / np.where(found.whole > 0, found.whole, np.nan), -1, 2)
    shown = arrays["cell share", 0][:, x * 11 + y]
    assert np.nanmax(np.abs(shown - share)) <= 0.008
    assert np.array_equal(np.isnan(shown), np.isnan(share))


def test_bars_are_sums_of_the_ledger_and_groups_add_up_to_all_neurons(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "race"))["pushes"]
    run = run_of(store, told, 0)
    entries = run["ledger_neuron_entries"].transpose("step", "layer", "part", "example", "neuron").values
    data = run.spec.data()
    bars = arrays["bars", 0]  # [step, group, part, side]
    for i, side in enumerate((data.is_train, data.is_val)):
        of_all = entries[:, 0][:, :, side].sum(axis=3).mean(axis=2)
        assert np.allclose(bars[:, -1, :, i], of_all, rtol=1e-4, atol=1e-7)
        assert np.allclose(bars[:, :-1, :, i].sum(axis=1), of_all, rtol=1e-4, atol=1e-7)
    total = run["ledger_neuron_total"].sel(side="train", part="data").isel(layer=0).sum("neuron").values
    assert np.allclose(bars[:, -1, 0, 0] * data.n_train, total, rtol=1e-4, atol=1e-6)
    losses = run["val_loss"].sel(step=run["ledger_neuron_entries"]["step"]).values
    assert np.array_equal(arrays["loss", 0][:, 1], losses.astype(np.float32))


def test_deletions_are_the_stored_ones(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "race"))["deletion"]
    run = run_of(store, told, 0)
    found = run["deletion_accuracy"].transpose("step", "side", "strategy", "k")
    for i, strategy in enumerate(("top", "random", "least")):
        assert np.array_equal(arrays["accuracy", 0][:, :, i], found.sel(strategy=strategy).values)


def test_the_trunk_is_there_once_and_arms_begin_at_their_fork(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "lr-boost"))["switch"]
    assert told["arms"] == [
        "no-op at memorised",
        "lr × 10 at memorised",
        "no-op at onset",
        "lr × 10 at onset",
    ]
    for its in told["arrays"]:
        arm = its["name"].split("|")[1]
        run = store.run(its["run"])
        since = {"": 0, "memorised": 100, "onset": 200}[arm.split(" at ")[-1]]
        assert its["steps"][0] == since
        kept = run[its["name"].split("|")[0]].sel(step=slice(since, None)).values
        assert np.array_equal(arrays[its["name"], its["seed"]], kept.astype(np.float32))


def test_numbers_in_the_prose_are_those_of_the_store(site: Path, store: Store, stories: dict) -> None:
    run = Cast(store).of(stories["race"].spec("true labels"))[0]
    memorised = events_of(run)["memorised"].first
    assert memorised is not None
    text = re.sub(r"<[^>]+>", "", html(site, "race"))
    right = float(run["train_accuracy"].sel(step=memorised))
    assert f"At step {memorised:,} it has memorised: {100 * right:.1f}\u00a0% of the training" in text
    last = run["table_correct"].isel(step=-1).values
    data = run.spec.data()
    x, y = data.inputs[data.is_val].T
    assert f"{100 * last[x, y].mean():.1f}\u00a0% of the discs are right" in text


def test_a_page_is_the_same_each_time_and_small(
    site: Path, store: Store, stories: dict[str, Story], tmp_path: Path
) -> None:
    for name, story in stories.items():
        place, _ = write_story(Store(store.root), story, tmp_path)
        assert place.read_bytes() == (site / f"{name}.html").read_bytes()
        assert place.stat().st_size < 5e6


def test_a_page_names_nothing_outside_itself(site: Path) -> None:
    for story in STORIES:
        assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', html(site, story))
        assert "fetch(" not in html(site, story)


def test_each_scene_has_a_file_of_data_and_one_of_drawing() -> None:
    data = {path.stem for path in (HERE / "scenes").glob("*.py")} - {"__init__"}
    drawing = {path.stem for path in (HERE / "scenes").glob("*.js")}
    assert data - drawing == {"hypotheses"}  # a table needs no drawing
    assert drawing <= data


def test_a_scene_without_numbers_is_left_out_with_the_command_that_adds_it(
    stories: dict[str, Story], tmp_path: Path
) -> None:
    story = stories["race"]
    plain = story.spec("true labels")
    plain = plain.replace(measures=tuple(m for m in plain.measures if m.name == "curves"))
    train([plain], tmp_path / "store", layout=Layout(workers=1))
    place, left_out = write_story(Store(tmp_path / "store"), story, tmp_path / "its.html")
    assert place == tmp_path / "its.html"
    titles = [each.title for each in left_out]
    assert len(titles) == 5
    text = place.read_text("utf-8")
    assert list(scenes(text)) == ["curves"]
    for title in titles:
        assert f"<strong>{title}</strong>" in text
    assert "undergrowth run race.toml --seeds 2 --out store" in text


def test_text_of_a_store_cannot_end_a_script(store: Store, stories: dict[str, Story]) -> None:
    story = stories["race"]
    made = [LeftOut("</script><b>", "</style>", "<i>"), *story.scenes(story, Cast(store))]
    text = rendered(story, store, made)
    assert "<b>" not in text
    assert text.count("</script>") == text.count("<script")


def test_a_story_that_there_is_not_is_refused_in_one_line(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(store.root), "--story", "rce"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert (
        said
        == "undergrowth: --story 'rce': no story has that name: take one of lr-boost, race, titration\n"
    )


def test_a_store_without_the_runs_says_which_command_trains_them(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(store.root), "--story", "race", "--out", str(tmp_path / "site")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert f"undergrowth run race.toml --seeds 2 --out {store.root}" in said
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if story.specs])
def test_the_spec_file_of_a_story_is_printed_and_can_be_trained(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explore", "nowhere", "--story", name, "--specs"])
    assert ended.value.code == 0
    file = read_file(capsys.readouterr().out, 2)
    for spec in file.runs:
        spec.data()
    assert STORIES[name].spec({"race": "true labels", "lr-boost": "trunk"}[name]) in file.runs


def test_a_story_of_a_study_has_no_spec_file_and_says_how_its_runs_are_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explore", "nowhere", "--story", "titration", "--specs"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "`undergrowth study run titration --budget quick --out STORE`" in said


def test_the_dial_has_every_dose_with_its_waits(site: Path, store: Store) -> None:
    told, arrays = scenes(html(site, "titration"))["dial"]
    assert told["doses"] == [0.0, 0.5]
    by_arm = {(part.arm, part.seed): run for run in store.runs for part in run.parts}
    for side, words in (("routed", ""), ("random", " to a random side")):
        run = by_arm[f"Adam, no decay: dose 0.5{words}", 1]
        curve = run["val_accuracy"].values.astype(np.float32)
        assert np.array_equal(arrays[f"val_accuracy|no decay|0.5|{side}", 1], curve)
        reach = run["routed_reach_whole"].dropna("step").values.astype(np.float32)
        assert np.array_equal(arrays[f"reach|no decay|0.5|{side}", 1], reach)
    for its in told["waits"]:
        words = "" if its["side"] == "routed" else " to a random side"
        found = events_of(by_arm[f"Adam, no decay: dose {its['dose']:g}{words}", its["seed"]])
        memorised, grokked = found["memorised"].first, found["grokked"].first
        assert memorised is not None
        assert its["ended"] == (grokked is not None)
        assert its["steps"] == max((grokked or 120) - memorised, 1)


class LookedUp(Run):
    """A run whose network has logit 1 for the label of each training example, and 0 otherwise."""

    def __init__(self, spec: RunSpec) -> None:
        data, p = spec.data(), 11
        logits, right = np.zeros((p, p, p)), np.zeros((p, p))
        x, y = data.inputs[data.is_train].T
        logits[x, y, data.labels[data.is_train]] = 1
        right[x, y] = 1
        mean = np.stack([logits[np.arange(p), (g - np.arange(p)) % p].mean(axis=0) for g in range(p)])
        readings = {
            "fourier_mean_logits": xr.DataArray(mean[None], {"step": [0]}, ("step", "product", "label")),
            "table_centred_logit": xr.DataArray(right[None], {"step": [0]}, ("step", "x", "y")),
        }
        self.__dict__.update(spec=spec, readings=readings)

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.__dict__["readings"][name]


@pytest.mark.parametrize("irreps", [("1",), ("2", "5"), ("1", "2", "3", "4", "5")])
def test_the_share_of_a_mere_look_up_is_that_of_one(
    irreps: tuple[str, ...], stories: dict[str, Story]
) -> None:
    run = LookedUp(stories["race"].spec("true labels"))
    found = parts(run, irreps)
    assert look_up_share(run, irreps) == pytest.approx(float(found.share.values[0]), rel=1e-9)
    assert look_up_share(run, irreps) > 0.05


def test_an_unknown_name_of_a_story_is_an_error_in_python_too() -> None:
    with pytest.raises(ExploreError, match="lr-boost, race, titration"):
        pages.story_of("")
