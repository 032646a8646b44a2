"""The page on Python does what it says: its blocks run in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import undergrowth as ug

PAGE = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "".join(BLOCKS).replace("p=53", "p=7").replace("steps=1400", "steps=20")
    found: dict[str, object] = {}
    exec(code, found)
    out = capsys.readouterr().out
    assert "{'optimiser.lr': (0.002, 0.004)}" in out
    assert "Figure('accuracy': " in out
    assert "no run of the study 'grokking'" in out
    assert "Study('lr-boost': " in out
    store = ug.open("runs/python")
    assert len(store.table()) == len(store.runs) == 4
    cells = re.findall(r"^\| (.*?`.*?) \|", PAGE, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert len(named) > 12
    assert named <= set(store.table().columns)
    assert set(found["table"]["optimiser.lr"]) == {0.002, 0.004}  # type: ignore[index]


def test_every_command_of_the_page_exists() -> None:
    from undergrowth.cli import app

    for command in set(re.findall(r"^undergrowth (\w+)", PAGE, re.MULTILINE)):
        app[command]
