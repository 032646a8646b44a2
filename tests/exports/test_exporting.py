"""Exports are whole or not there, and what cannot be exported is refused in one line."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

import undergrowth as ug
from tests.exports.stores import EVENTFUL, PLAIN
from undergrowth.cli import main
from undergrowth.exports.exporting import FORMATS
from undergrowth.exports.format import OfRuns
from undergrowth.exports.trackers import as_file_name
from undergrowth.store import Store
from undergrowth.values import essence

NEEDS = {"parquet": "pyarrow", "tensorboard": "tensorboard", "wandb": "wandb"}


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int | str | None, str]:
    """The exit code of `undergrowth export ...`, and what it printed on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("form", NEEDS)
def test_a_missing_library_is_one_line_with_what_installs_it(
    form: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [*sys.modules, NEEDS[form]]:
        if name.partition(".")[0] == NEEDS[form]:
            monkeypatch.setitem(sys.modules, name, None)
    code, wrong = said(capsys, store.root, "--to", form, "--out", tmp_path / "out")
    assert code == 2
    assert wrong.count("\n") == 1
    assert f"pip install 'undergrowth[{form}]'" in wrong
    assert list(tmp_path.iterdir()) == []


def test_each_extra_that_is_named_is_one_of_the_package() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for form, library in NEEDS.items():
        assert any(library in needed for needed in extras[form])


def test_a_command_writes_a_folder_and_says_where(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(store.root), PLAIN.id[:6], "--to", "csv", "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}  0.0")
    assert (tmp_path / "out" / "runs.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("--to", "hdf5", "--out", "new"), "'hdf5' is no format: there are csv, parquet"),
        (("--to", "csv"), "csv needs a place: give --out"),
        (("--to", "csv", "--out", "full"), "full is there already"),
        (("--to", "csv", "--out", "new", "--step", "10"), "step 10: csv writes no checkpoint"),
        (("--to", "pytorch", "--out", "new"), "pytorch takes the checkpoint of one run, not of 3"),
        ((PLAIN.id, "--to", "pytorch", "--out", "new", "--reading", "val_loss"), "writes no readings"),
        (
            (PLAIN.id, "--to", "pytorch", "--out", "new", "--step", "7"),
            "no checkpoint at step 7: it has 0",
        ),
        ((PLAIN.id, "--to", "transformer-lens", "--out", "new"), "a model 'two_token_mlp'"),
        (("--to", "ro-crate", "--out", "new"), "ro-crate is made of published results"),
        (("zzz", "--to", "csv", "--out", "new"), "'zzz': no run in"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    arguments: tuple[str, ...],
    wrong: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    code, told = said(capsys, store.root, *arguments)
    assert code == 2
    assert told.count("\n") == 1
    assert wrong in told
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_error_in_the_middle_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(runs: object, readings: object, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("no space")

    monkeypatch.setitem(FORMATS, "csv", OfRuns("made up", fail))
    with pytest.raises(OSError, match="no space"):
        ug.export(store, to="csv", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(store: Store, tmp_path: Path) -> None:
    assert {path.name for path in ug.export(store.runs[:1], to="csv", out=tmp_path).iterdir()} >= {
        "runs.csv"
    }


def test_exporting_does_not_change_what_a_run_is(store: Store, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    ug.export(store, to="csv", out=tmp_path / "out")
    ug.export(store.run(EVENTFUL.id), to="pytorch", out=tmp_path / "checkpoint")
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert before == after
    assert essence(store.run(EVENTFUL.id).spec) == essence(EVENTFUL)


@pytest.mark.parametrize(
    ("name", "file"),
    [("lr x10, decay", "lr x10, decay"), ("../../etc", "_.._etc"), ("a/b\x00c", "a_b_c"), ("..", "_")],
)
def test_a_name_never_leads_out_of_the_folder(name: str, file: str) -> None:
    assert as_file_name(name) == file


def test_a_damaged_run_is_refused_and_leaves_nothing(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(store.root, tmp_path / "store"))
    changed = "UPDATE readings SET content = zeroblob(4) WHERE run_id = ? AND name = 'val_loss'"
    for database in (root / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(changed, (PLAIN.id,))
    code, wrong = said(capsys, root, "--to", "csv", "--out", tmp_path / "out")
    assert code == 2
    assert wrong.count("\n") == 1
    assert f"run {PLAIN.id}: " in wrong
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
