"""The page of measures: what it says runs, and every measure is on it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from undergrowth.measures.named import KINDS, measure_named
from undergrowth.models import Model
from undergrowth.sweep import Layout

PAGE = (Path(__file__).parent.parent / "docs" / "measures.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MINE = next(block for block in PYTHON if "class Activity" in block)
LEDGER = next(block for block in PYTHON if "ledger_neuron_entries" in block)
REACH = next(block for block in PYTHON if "Directions.spanned" in block)
AFTERWARDS = next(block for block in PYTHON if "import undergrowth" in block)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run where the page has it, runs/first, though of 30 steps."""
    folder = tmp_path_factory.mktemp("page")
    spec = tiny.spec(model=tiny.TRANSFORMER.model_dump())
    ug.train([spec], folder / "runs" / "first", layout=Layout(workers=1))
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_every_measure_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE or f'"{name}"' in PAGE


def test_the_measure_of_the_page_counts_active_neurons(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "activity.py"
    file.write_text(MINE)
    run = ug.open(str(trained / "runs" / "first")).runs[0]
    found = ug.measure(run, measure_named(f"{file}:Activity"), (30,))["activity_share"].sel(step=30)
    assert found.dims == ("neuron",)
    by_hand = active_share(run.model(30), run.spec.data())
    np.testing.assert_array_equal(found, by_hand.astype(np.float32))
    assert 0 < by_hand.mean() < 1


def active_share(model: Model, data) -> np.ndarray:
    """From the textbook pass, one example and neuron at a time."""
    counts, side = np.zeros(6), np.flatnonzero(data.is_train)
    for example in side:
        seen: dict[str, np.ndarray] = {}

        def hook(name, activation, seen=seen):
            seen[name] = np.asarray(activation)
            return activation

        model.plain(jnp.asarray(data.inputs[[example]]), hook)
        counts += seen["blocks.0.mlp.hook_post"][0, -1] > 0
    return counts / len(side)


def test_the_python_of_the_page_measures_heads(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    exec(AFTERWARDS.replace("1400", "30"), {})
    assert "saliency_median" in capsys.readouterr().out


def test_the_python_of_the_page_has_the_ledger_of_some_neurons(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    names = {"ug": ug, "run": ug.open(str(tmp_path / "copy" / "runs" / "first")).runs[0]}
    exec(LEDGER.replace("1400", "30"), names)
    assert names["some"].dims == ("example",)


def test_the_python_of_the_page_has_the_reach_of_directions(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    run = ug.open(str(tmp_path / "copy" / "runs" / "first")).runs[0]
    names = {"ug": ug, "np": np, "run": run}
    exec(REACH, names)
    n_train = run.spec.data().n_train
    assert all(0 < float(of[0]) <= n_train for of in names["reaches"].values())


def test_the_commands_of_the_page_measure_and_list(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from undergrowth.cli import main

    shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("activity.py").write_text(MINE)
    run_id = ug.open("runs/first").runs[0].id
    lines = [line for line in PAGE.splitlines() if line.startswith("undergrowth ")]
    assert len(lines) == 4
    for line in lines:
        told = line.split("  ")[0].replace("1c0ffee", run_id[:7])
        told = told.replace("--step 400", "--step 10").replace("--step 1400", "--step 30")
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(told)[1:])
        assert ended.value.code == 0, line
    names = ug.open("runs/first").run(run_id).names
    assert {"saliency_median", "heads_median", "activity_share"} <= set(names)
