"""A list of runs from the summaries that were kept when they ended says what their curves say."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from undergrowth.measures import Norms, Reading
from undergrowth.spec.presets import PRESETS, preset
from undergrowth.store import run_list, series, verify
from undergrowth.store.database import seal_of
from undergrowth.store.events import DEFAULT_RULES, Rules
from undergrowth.store.files import sha256
from undergrowth.store.listing import listed
from undergrowth.store.lock import writing
from undergrowth.store.measured import adding
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AtStep, Intervention
from undergrowth.training.stopping import Stop
from undergrowth.values import settings, settings_in


def boost(**trigger: Any) -> Intervention:
    action = {"name": "scale_learning_rate", "factor": 3.0}
    return Intervention.model_validate({"trigger": trigger, "action": action})


BASE = tiny.spec()
NEVER = boost(name="when_crosses", reading="val_accuracy", direction="above", level=2.0)
SPECS = [
    BASE,
    BASE.forked(AtStep(step=20), boost(name="after_fork")),
    BASE.seeded(1).replace(interventions=(boost(name="at_step", step=9), NEVER)),
    BASE.replace(optimiser=ug.SGD(lr=1e30)),
    BASE.seeded(2).replace(stop=(Stop(reading="train_loss", level=0.0, evaluations=2),)),
    BASE.replace(labels="shuffled"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("summaries") / "store"
    train(SPECS, root, layout=Layout(2), names={BASE.id: ["trunk"]})
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def from_curves(store: ug.Store, rules: Rules = DEFAULT_RULES) -> list[Any]:
    return [listed(run, rules) for run in store.runs]


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nobody may read a curve."""

    def refuse(*_: object) -> None:
        raise AssertionError("a curve was read")

    monkeypatch.setattr(series, "read_scalars", refuse)


def test_a_summary_says_what_the_curves_say(root: Path) -> None:
    store = ug.open(root)
    found = {row.id: row for row in store.listed()[0]}
    assert [row.id for row in store.listed()[0]] == [run.id for run in store.runs]
    for row in from_curves(store):
        assert found[row.id] == row
    notes = {row.note for row in found.values()}
    assert any(note.startswith("diverged at step") for note in notes)
    assert any(note.startswith("stopped at step") for note in notes)
    assert any(note.startswith("never fired") for note in notes)


@pytest.mark.usefixtures("no_curves")
def test_a_list_of_runs_that_have_ended_reads_no_curve(root: Path) -> None:
    assert len(ug.open(root).listed()[0]) == len(SPECS)
    with pytest.raises(AssertionError, match="a curve was read"):
        ug.open(root).listed(Rules(grokked=0.5))


def test_by_other_rules_the_curves_decide(root: Path) -> None:
    rules = Rules(memorised=0.3, grokked=0.3)
    store = ug.open(root)
    assert store.listed(rules)[0] == from_curves(store, rules)
    assert store.listed(rules)[0] != store.listed()[0]


def test_what_was_measured_afterwards_counts(root: Path) -> None:
    reading = Reading((), np.array(7.0, np.float32))
    with writing(root), adding(root) as add:
        add(BASE.id, 30, Norms(), {"weight_norm": reading, "val_loss": reading})
        add(BASE.id, 35, Norms(), {"weight_norm": reading, "new_one": reading})
    store = ug.open(root)
    assert store.listed()[0] == from_curves(store)
    row = next(row for row in store.listed()[0] if row.id == BASE.id)
    assert (row.readings["weight_norm"], row.last_step) == (7.0, 35)
    assert row.readings["val_loss"] != 7.0  # what training read at a step comes first
    assert "new_one" not in row.readings  # as in `curves`


def change(root: Path, sql: str, *parameters: object) -> None:
    for database in (root / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(sql, parameters)


def seal(root: Path) -> None:
    for database in (root / "readings").glob("*.sqlite"):
        seal_of(database).write_text(sha256(database))


def test_a_store_of_an_earlier_version_is_listed_from_its_curves(root: Path) -> None:
    before = ug.open(root).listed()
    change(root, "DROP TABLE summaries")
    assert ug.open(root).listed() == before


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE summaries SET content = replace(content, '\"version\": 1', '\"version\": 2')",
        "UPDATE summaries SET content = '[]'",
        "DELETE FROM summaries",
    ],
)
def test_a_summary_that_is_not_what_was_written_is_not_believed(sql: str, root: Path) -> None:
    before = ug.open(root).listed()
    change(root, sql)
    seal(root)
    assert ug.open(root).listed() == before


def test_a_changed_file_is_read_whole_unless_it_is_large(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(root, "UPDATE readings SET content = x'00' WHERE run_id = ?", SPECS[-1].id)
    row = next(row for row in ug.open(root).listed()[0] if row.id == SPECS[-1].id)
    assert (row.status, row.events) == ("damaged", {})
    monkeypatch.setattr(run_list, "MOST_BYTES", 0)
    row = next(row for row in ug.open(root).listed()[0] if row.id == SPECS[-1].id)
    assert row.status == "done"


def test_verify_finds_a_changed_summary(root: Path) -> None:
    change(root, "UPDATE summaries SET content = replace(content, 'x+y', 'x-y')")
    seal(root)
    assert any("its summary" in damage.place for damage in verify(root).damage)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_settings_are_the_same_from_plain_data(name: str) -> None:
    spec = preset(name).replace(stop=(Stop(),), interventions=(boost(name="at_step", step=9), NEVER))
    assert settings_in(spec.model_dump(mode="json")) == settings(spec)
    fork = spec.forked(AtStep(step=20), seeds=spec.seeds.model_copy(update={"noise": 3}))
    assert settings_in(fork.model_dump(mode="json")) == settings(fork)
