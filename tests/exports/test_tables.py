"""Tables hold what the store holds: each number, in a row of its own, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import undergrowth as ug
from tests.exports.stores import EVENTFUL, PLAIN
from undergrowth.exports.tables import Column, Columns, write_tables
from undergrowth.store import Run, Store
from undergrowth.values import settings


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole store as CSV."""
    return ug.export(store, to="csv", out=tmp_path_factory.mktemp("csv") / "out")


def read(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table}.csv", dtype={"run": str, "value": "float64"})


def as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def rows_of(table: Any) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]


def test_every_number_of_every_reading_reads_back_as_it_was_stored(store: Store, folder: Path) -> None:
    tables = {path.stem: read(folder, path.stem) for path in folder.glob("readings*.csv")}
    rows = 0
    for run in store.runs:
        for name in set(run.names) - {"update_loss"}:
            array = run[name]
            dims = [str(dim) for dim in array.dims]
            table = tables["_".join(["readings", *(["by", *dims[1:]] if dims[1:] else [])])]
            its = table[(table["run"] == run.id) & (table["reading"] == name)]
            assert len(its) == array.size
            rows += len(its)
            for row in rows_of(its):
                stored = array.sel({dim: row[dim] for dim in dims}).values
                np.testing.assert_array_equal(array.dtype.type(row["value"]), stored)
    assert rows == sum(map(len, tables.values()))
    assert {"readings_by_neuron", "readings_by_parameter", "readings_by_frequency"} <= set(tables)


def test_runs_have_their_settings_and_the_steps_of_their_events(store: Store, folder: Path) -> None:
    runs = read(folder, "runs").set_index("run")
    table = store.table()
    assert list(runs.index) == list(table.index)
    text = pd.read_csv(folder / "runs.csv", dtype=str, keep_default_na=False).set_index("run")
    for run in store.runs:
        for name, value in settings(run.spec).items():
            told = str(text.loc[run.id, name])
            assert told == value if isinstance(value, str) else json.loads(told) == as_json(value), name
    for name in ("memorised", "memorised_stable", "onset", "grokked", "grokked_stable"):
        told = [None if pd.isna(step) else int(step) for step in runs[name]]
        assert told == [None if pd.isna(step) else int(step) for step in table[name]]
    assert runs.loc[PLAIN.id, "memorised"] > 0
    assert list(runs["arm"].dropna()) == ["wide", "wide"]
    assert list(runs["name"]) == list(table["name"])


def test_events_are_in_the_order_of_their_steps_with_what_they_changed(folder: Path) -> None:
    events = read(folder, "events")
    (fired,) = rows_of(events[events["event"] == "fired"])
    assert (fired["run"], fired["step"]) == (EVENTFUL.id, 15)
    assert json.loads(fired["detail"])["action"]["factor"] == 2.0
    assert "memorised" in set(events["event"])
    for _, its in events.groupby("run"):
        assert its["step"].is_monotonic_increasing


def test_the_loss_of_every_update_is_there_when_it_is_named(store: Store, tmp_path: Path) -> None:
    run = store.run(PLAIN.id)
    folder = ug.export(run, to="csv", out=tmp_path / "out", readings=["update_loss", "val_loss"])
    table = read(folder, "readings")
    assert set(table["reading"]) == {"update_loss", "val_loss"}
    losses = table[table["reading"] == "update_loss"]
    np.testing.assert_array_equal(losses["value"].astype("float32"), run["update_loss"].values)
    assert {path.stem for path in folder.iterdir()} == {"runs", "events", "readings"}


def test_a_reading_that_no_run_has_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(
        ug.ExportError, match=r"no run has a reading 'val_los': run [0-9a-f]{16} has .*val_loss"
    ):
        ug.export(store, to="csv", out=tmp_path / "out", readings=["val_los"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_run_is_kept_once_it_is_written(store: Store) -> None:
    """So that a store of any number of runs is exported in the memory of one."""
    runs = [replace(run) for run in store.runs]
    write_tables(runs, (), lambda table, columns: None)
    for run in runs:
        assert "curves" not in vars(run)
        assert not run._small


def test_a_long_reading_is_written_in_pieces(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undergrowth.exports.tables.MOST_ROWS", 50)
    sizes: list[int] = []
    write_tables(store.runs, (), lambda table, columns: sizes.append(len(columns["run"].values)))
    assert max(sizes) <= 50
    pieces = ug.export(store, to="csv", out=tmp_path / "out")
    for path in folder.iterdir():
        assert (pieces / path.name).read_bytes() == path.read_bytes()


def test_labels_of_another_kind_are_in_a_table_of_their_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs may label one axis by numbers and by names."""
    import xarray as xr

    labels = {PLAIN.id: [1, 2], EVENTFUL.id: ["one", "two"]}

    def readings(run: Run, readings: object) -> list[xr.DataArray]:
        coords = {"step": [0], "group": labels[run.id]}
        return [xr.DataArray([[0.5, 1.5]], coords, ("step", "group"), name="made_up")]

    monkeypatch.setattr("undergrowth.exports.tables.readings_of", readings)
    found: dict[str, list[Columns]] = {}
    runs = [store.run(PLAIN.id), store.run(EVENTFUL.id), store.run(PLAIN.id)]
    write_tables(runs, (), lambda table, columns: found.setdefault(table, []).append(columns))
    assert [len(found[name]) for name in ("readings_by_group", "readings_by_group_2")] == [2, 1]
    assert found["readings_by_group_2"][0]["group"].kind == "text"


def test_what_is_not_a_number_or_not_there_reads_back_as_such(tmp_path: Path) -> None:
    from undergrowth.exports.csv import _fields

    values = np.array([np.nan, np.inf, 0.1], np.float32)
    assert list(_fields(Column("number", values))) == ["nan", "inf", "0.1"]
    assert list(_fields(Column("truth", [True, None, False]))) == ["true", None, "false"]
