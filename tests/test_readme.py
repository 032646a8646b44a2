"""The README's code does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import undergrowth as ug
from undergrowth.report.figure import Figure

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def test_the_python_example_runs_in_at_most_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    shown: list[Figure] = []
    monkeypatch.setattr(Figure, "show", lambda figure: shown.append(figure))
    monkeypatch.chdir(tmp_path)
    exec(code.replace("p=53", "p=7").replace("steps=1400", "steps=20"), {})
    assert "<xarray.DataArray 'val_accuracy'" in capsys.readouterr().out
    assert len(shown) == 1
    assert len(ug.open("runs/first").runs) == 2


def test_every_study_is_in_a_table() -> None:
    studies = re.findall(r"^\| [PC0-9 -]+ \|.*\| `([a-z-]+)` \|$", README, re.MULTILINE)
    assert sorted(studies) == sorted(ug.STUDIES)


def test_the_spec_example_is_a_possible_run() -> None:
    spec = ug.RunSpec.from_toml(block("toml"))
    assert spec.interventions[0].action == ug.ScaleLearningRate(factor=5.0, keep_decay_pull=True)
    assert spec.data().n_train == round(0.7 * 59**2)


def test_every_command_of_the_readme_exists() -> None:
    from undergrowth.cli import app

    shell = README.split("## From the shell")[1]
    commands = set(re.findall(r"^undergrowth (\w+)", shell, re.MULTILINE))
    assert commands >= {"demo", "study", "run", "show", "runs", "report", "verify"}
    for command in commands:
        app[command]
