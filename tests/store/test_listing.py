"""A table of runs says who each is, how its settings differ, when what happened, and where it ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

import undergrowth as ug
from tests import tiny
from tests.store.conftest import SPECS
from tests.studies.made_up import made_up
from undergrowth.store.listing import listed, table, that_differ
from undergrowth.sweep import Layout, train


def test_a_table_has_a_row_for_each_run_and_the_settings_that_differ(finished: Path) -> None:
    found = ug.open(finished).table()
    assert set(found.index) == {spec.id for spec in SPECS}
    assert found.index.name == "run"
    plain, intervened = found.loc[SPECS[0].id], found.loc[SPECS[1].id]
    assert [plain["seed"], intervened["seed"]] == [0, 1]
    assert set(found["status"]) == {"done"}
    assert set(found["steps"]) == set(found["last_step"]) == {30}
    assert intervened["interventions.0.action.factor"] == 2.0
    assert pd.isna(plain["interventions.0.action.factor"])
    assert "seeds.model" not in found
    assert "optimiser.lr" not in found  # it is the same in both


def test_a_table_has_events_censored_or_not_and_the_last_readings(finished: Path) -> None:
    store = ug.open(finished)
    found = store.table(ug.Rules(memorised=0.2, grokked=2.0))
    for run in store.runs:
        row = found.loc[run.id]
        events = ug.events(run.curves, ug.Rules(memorised=0.2, grokked=2.0))
        assert row["memorised"] == events["memorised"].first
        assert not row["memorised_censored"]
        assert pd.isna(row["grokked"])
        assert row["grokked_censored"]
        for name in ("train_loss", "val_accuracy", "norms_total"):
            if name in run.curves:
                assert row[name] == float(run[name][-1])
    assert found["grokked"].dtype == "Int64"
    assert found["grokked_censored"].dtype == "boolean"


def test_times_are_the_first_and_the_stable_step() -> None:
    groks, never = made_up(0), made_up(1, grokked=None)
    for run in (groks, never):
        run.__dict__.update(parts=())
    found = table([listed(groks), listed(never)])
    assert found["grokked"].tolist() == [400, pd.NA]
    assert found["grokked_stable"].tolist() == [400, pd.NA]
    assert found["grokked_censored"].tolist() == [False, True]
    assert found["last_step"].tolist() == [1600, 1600]
    assert found["val_accuracy"].tolist() == [1.0, 0.02]


def test_a_damaged_run_has_no_numbers_and_the_others_have_theirs(root: Path) -> None:
    before = ug.open(root).table()
    bad = SPECS[0].id
    for database in (root / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE readings SET content = x'00' WHERE run_id = ?", (bad,))
    after = ug.open(root).table()
    assert after.loc[bad, "status"] == "damaged"
    assert after.loc[bad, ["memorised", "grokked_censored", "val_loss"]].isna().all()
    assert after.loc[SPECS[1].id].equals(before.loc[SPECS[1].id])


def test_an_empty_store_has_an_empty_table(tmp_path: Path) -> None:
    train([], tmp_path / "store")
    found = ug.open(tmp_path / "store").table()
    assert len(found) == 0
    assert list(found.columns)[:4] == ["name", "study", "arm", "seed"]


def test_seeds_are_settings_only_where_they_are_not_one_seed() -> None:
    one = tiny.spec()
    other = one.replace(seeds=ug.Seeds(model=1, data=1, noise=5))
    rows = [listed(run) for run in _of([one, other])]
    assert that_differ(rows) == ("seeds.model", "seeds.data", "seeds.noise")
    rows = [listed(run) for run in _of([one, one.seeded(1)])]
    assert that_differ(rows) == ()


def _of(specs):
    runs = [made_up(0) for _ in specs]
    for run, spec in zip(runs, specs, strict=True):
        run.__dict__.update(spec=spec, parts=())
    return runs


def test_names_and_parts_are_told(tmp_path: Path) -> None:
    spec = tiny.spec()
    part = ug.store.Part("a study", "quick", "an arm", "control", 0)
    store = train(
        [spec], tmp_path / "store", layout=Layout(1), names={spec.id: ["mine"]}, parts={spec.id: [part]}
    )
    row = store.table().loc[spec.id]
    assert (row["name"], row["study"], row["arm"]) == ("mine", "a study", "an arm")


def test_stores_and_runs_print_short_and_show_tables(finished: Path) -> None:
    store = ug.open(finished)
    assert repr(store) == f"Store({str(finished)!r}: 2 runs, 2 done)"
    shown = store._repr_html_()
    assert all(run.id in shown for run in store.runs)
    run = store.runs[0]
    assert run.id in run._repr_html_()
    assert "optimiser.lr" in run._repr_html_()


def test_what_a_store_holds_is_escaped(tmp_path: Path) -> None:
    spec = tiny.spec()
    store = train([spec], tmp_path / "store", layout=Layout(1), names={spec.id: ["<script>x</script>"]})
    for shown in (store._repr_html_(), store.runs[0]._repr_html_()):
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown


def test_a_damaged_store_still_prints(root: Path) -> None:
    store = ug.open(root)
    for database in (root / "readings").glob("*.sqlite"):
        database.write_bytes(b"no database")
    assert repr(store) == f"Store({str(root)!r}: damaged)"


@pytest.mark.parametrize("of", ["run", "store"])
def test_a_run_without_readings_is_a_row(of: str, finished: Path) -> None:
    run = made_up(0)
    run.__dict__.update(parts=(), curves=run.curves.drop_vars(list(run.curves)), status="running")
    assert listed(run).events == {}
