"""`undergrowth publish` and `undergrowth results`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.studies.test_study import small, stored
from undergrowth.cli import main
from undergrowth.studies import STUDIES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(small(), tmp_path_factory.mktemp("commands") / "store").root


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "small", small())


def code(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_what_is_published_is_printed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code("publish", root, "--into", tmp_path, "--given", "a command") == 0
    assert "small: 5 runs" in capsys.readouterr().out
    assert code("results", "--of", tmp_path) == 0
    told = capsys.readouterr().out
    assert "P1   inconclusive differ: true" in told
    assert "P2   no effect    small: true" in told
    assert "n 3" in told
    assert code("results", "small", "--of", tmp_path, "--json") == 0
    assert [row["claim"] for row in json.loads(capsys.readouterr().out)] == ["P1", "P2"]
    assert code("results", "small", "--of", tmp_path) == 0
    assert "small, budget quick: 5 runs of 3 seeds (0 to 2)" in capsys.readouterr().out


def test_wrong_use_is_one_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("results", "smal", "--of", tmp_path) == 2
    assert "'smal' has no published results" in capsys.readouterr().err
    assert code("publish", root, "--study", "lr-boost", "--into", tmp_path) == 2
    assert "no run of the study 'lr-boost' has ended" in capsys.readouterr().err
    assert code("study", "run", "small", "--arm", "tru", "--arm", "fals", "--out", tmp_path) == 2
    assert "--arm 'fals' is in no arm's name; arms: true, shuffled" in capsys.readouterr().err
