"""`undergrowth runs` finds, orders and shows runs by what they are; `diff` says how two differ."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from tests.commands import ran
from undergrowth import printing
from undergrowth.cli import run_list, stores
from undergrowth.cli.run_list import as_listed, column, in_order, matching
from undergrowth.printing import PlainConsole, RunRow, ToldApart, print_table, run_rows
from undergrowth.store.comparing import compare
from undergrowth.store.listing import Listed
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AtStep, Intervention

BASE = tiny.spec()
SLOW, FAST = BASE, BASE.replace(optimiser=ug.AdamW(lr=0.02, weight_decay=0.1))
BOOST = Intervention.model_validate(
    {"trigger": {"name": "after_fork"}, "action": {"name": "scale_learning_rate", "factor": 3.0}}
)
ARMS = [BASE.forked(AtStep(step=20)), BASE.forked(AtStep(step=20), BOOST)]
ALONE = [SLOW.seeded(1), FAST, FAST.seeded(1)]
NAMES = {BASE.id: ["trunk"], ARMS[1].id: ["boosted"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ug.Store:
    root = tmp_path_factory.mktemp("lists") / "store"
    part = ug.store.Part("a study", "quick", "fast arm", "treatment", 0)
    specs = [BASE, *ARMS, *ALONE]
    return train(specs, root, layout=Layout(1), names=NAMES, parts={FAST.id: [part]})


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return partial(ran, capsys)


def ids(out: str) -> set[str]:
    return {row["id"] for row in json.loads(out)}


def in_python(store: ug.Store, holds: Callable[[ug.Run], bool]) -> set[str]:
    return {run.id for run in store.runs if holds(run)}


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        (["lr=0.02"], lambda run: run.spec.optimiser.lr == 0.02),
        (["optimiser.lr=2e-2", "seed=1"], lambda run: run.id == ALONE[2].id),
        (["lr!=0.02"], lambda run: run.spec.optimiser.lr != 0.02),
        (["lr<0.015"], lambda run: run.spec.optimiser.lr < 0.015),
        (["seed>=1"], lambda run: run.spec.seeds.model >= 1),
        (["status=done"], lambda run: run.status == "done"),
        (["status=failed"], lambda run: run.status == "failed"),
        (["name=trunk"], lambda run: "trunk" in run.given_names),
        (["name=boo*"], lambda run: "boosted" in run.given_names),
        (["name=fast arm"], lambda run: run.id == FAST.id),
        (["arm=fast*"], lambda run: run.id == FAST.id),
        (["study=a study"], lambda run: run.id == FAST.id),
        (["study!=a study"], lambda run: run.id != FAST.id),
        (["fork.of=none"], lambda run: run.spec.fork is None),
        (["fork.at.step=20"], lambda run: run.spec.fork is not None),
        (["factor=3"], lambda run: run.id == ARMS[1].id),
        (["grokked=none"], lambda run: ug.events(run.curves)["grokked"].first is None),
        (["train_loss>1"], lambda run: float(run["train_loss"][-1]) > 1),
        (["labels = true"], lambda run: run.spec.labels == "true"),
    ],
)
def test_a_condition_finds_the_runs_of_which_it_is_true(
    conditions: list[str], holds: Callable[[Any], bool], store: ug.Store, say
) -> None:
    options = [part for condition in conditions for part in ("--where", condition)]
    code, out, _ = say("runs", store.root, *options, "--json")
    assert code == 0
    assert ids(out) == in_python(store, holds)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--where", "lrr=1"], "no run has 'lrr'; did you mean 'lr'?"),
        (["--where", "learning_rate=1"], "did you mean 'lr'?"),
        (["--where", "lr"], "--where lr: no condition"),
        (["--where", "lr<fast"], "not a number"),
        (["--where", "until=1"], "checkpoints.until"),
        (["--sort", "zzzz"], "no run has 'zzzz'; there are id, status"),
        (["--columns", "lr,grocked"], "did you mean 'grokked'?"),
    ],
)
def test_what_cannot_be_meant_is_one_line(options: list[str], says: str, store: ug.Store, say) -> None:
    if says == "checkpoints.until":  # the nearest to the top is meant
        assert say("runs", store.root, *options)[0] == 0
        return
    code, out, wrong = say("runs", store.root, *options)
    assert (code, out, wrong.count("\n")) == (2, "", 1)
    assert says in wrong


def test_of_fields_that_are_as_near_one_must_be_chosen() -> None:
    row = listed_row({"model.width": 1, "batch.width": 2, "a.b.width": 3})
    with pytest.raises(Exception, match=r"'width' is model.width and batch.width: give one of them"):
        column("width", [row])
    assert column("a.b.width", [row]).of(row) == 3


def listed_row(settings: dict[str, Any], **fields: Any) -> Listed:
    own = {"id": "0" * 16, "names": (), "studies": (), "arms": (), "seed": 0, "status": "done"}
    seeds = dict.fromkeys(("seeds.model", "seeds.data", "seeds.noise"), 0)
    return Listed(settings={"steps": 1, **seeds, **settings}, **{**own, **fields})


def printed(rows: Sequence[Listed]) -> tuple[list[dict[str, Any]], str]:
    among = ToldApart(cast(ug.Store, None), rows)
    vars(among)["words"] = dict.fromkeys((row.id for row in rows), "a run")
    return as_listed([RunRow(row, among) for row in rows])


def test_runs_are_sorted_and_what_never_came_is_last_either_way() -> None:
    rows = [
        listed_row({}, id=name, events={"grokked": step})
        for name, step in zip("abc", (9, None, 5), strict=True)
    ]
    assert [row.id for row in in_order(rows, "grokked")] == ["c", "a", "b"]
    assert [row.id for row in in_order(rows, "-grokked")] == ["a", "c", "b"]
    words = [listed_row({"act": word}, id=word) for word in ("tanh", "relu")]
    assert [row.id for row in in_order(words, "act")] == ["relu", "tanh"]


def test_sorting_in_the_shell_is_by_the_last_value(store: ug.Store, say) -> None:
    listed = json.loads(say("runs", store.root, "--sort", "-val_loss", "--json")[1])
    losses = [float(store.run(row["id"])["val_loss"][-1]) for row in listed]
    assert losses == sorted(losses, reverse=True)
    assert len(listed) == 6


def test_json_has_all_settings_and_readings(store: ug.Store, say) -> None:
    (row,) = json.loads(say("runs", store.root, "--where", f"id={FAST.id}", "--json")[1])
    assert row["settings"]["optimiser.lr"] == 0.02
    assert row["settings"]["model.d_mlp"] == 6
    assert row["readings"]["val_loss"] == pytest.approx(float(store.run(FAST.id)["val_loss"][-1]))
    assert (row["studies"], row["arms"], row["seed"]) == (["a study"], ["fast arm"], 0)


def test_columns_are_the_settings_that_differ(store: ug.Store, say) -> None:
    out = say("runs", store.root, "--where", "fork.of=none")[1]
    head, *lines = out.splitlines()
    assert head.split()[:4] == ["id", "status", "seed", "lr"]
    assert "weight_decay" not in head
    by_id = {line.split()[0]: line.split() for line in lines}
    assert by_id[ALONE[2].id][2:4] == ["1", "0.02"]
    assert by_id[BASE.id][2:4] == ["0", "0.01"]
    assert by_id[BASE.id][-1] == "trunk"


def test_one_run_is_told_in_words(store: ug.Store, say) -> None:
    out = say("runs", store.root, "--where", "name=trunk")[1]
    assert "trunk: x+y mod 5, seed 0" in out


def test_chosen_columns_are_those(store: ug.Store, say) -> None:
    out = say("runs", store.root, "--columns", "lr,seed", "--columns", "val_loss", "--sort", "lr")[1]
    head, *lines = out.splitlines()
    assert head.split() == ["id", "optimiser.lr", "seed", "val_loss"]
    assert len(lines) == 6
    assert lines[-1].split()[1] == "0.02"


def test_nothing_that_matches_is_said(store: ug.Store, say) -> None:
    code, out, _ = say("runs", store.root, "--where", "lr=7")
    assert (code, out) == (0, f"none of the 6 runs in {store.root} is so\n")


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_of_any_width_is_not_exceeded(width: int, store: ug.Store, say, monkeypatch) -> None:
    out = io.StringIO()
    narrow = PlainConsole(file=out, width=width, force_terminal=True)
    for module in (printing, run_list, stores):
        monkeypatch.setattr(module, "console", narrow)
    assert say("runs", store.root)[0] == 0
    lines = re.sub(r"\x1b\[\d+m", "", out.getvalue()).splitlines()
    table = [
        line for line in lines if not line.startswith(tuple(run.id[:8] + "  " for run in store.runs))
    ]
    assert max(len(line.rstrip()) for line in table) <= width
    for run in store.runs:
        assert any(line.startswith(run.id[:8]) for line in lines)
    assert any("lr" in line for line in lines)


def test_settings_that_have_no_room_are_left_to_words() -> None:
    rows = [
        listed_row({f"a.long_setting_{k}": seed for k in range(40)}, id=f"{seed:016}") for seed in (0, 1)
    ]
    table, more = printed(rows)
    assert all(row["run"] == "a run" for row in table)
    shown = [name for name in table[0] if name.startswith("long_setting")]
    assert 1 <= len(shown) < 40
    assert f"{40 - len(shown)} more settings differ" in more


def test_names_of_their_own_are_words_enough() -> None:
    far = [{f"a.long_setting_{k}": seed for k in range(40)} for seed in (0, 1)]
    named = [listed_row(its, id=name * 16, names=(name,)) for its, name in zip(far, "ab", strict=True)]
    assert [row["run"] for row in printed(named)[0]] == ["a", "b"]
    alike = [listed_row(its, id=name * 16, names=("c",)) for its, name in zip(far, "ab", strict=True)]
    assert [row["run"] for row in printed(alike)[0]] == ["a run", "a run"]


def test_fields_that_only_say_that_a_part_is_there_take_one_column() -> None:
    fork = {"fork.of": "f" * 16, "fork.at.name": "at_step", "fork.at.step": 20}
    rows = [listed_row({}), listed_row(fork), listed_row({**fork, "fork.of": "e" * 16})]
    table, _ = printed(rows)
    assert [row["fork.of"] for row in table] == [None, "ffffffff", "eeeeeeee"]
    assert [row["at.name"] for row in table] == [None, "at_step", "at_step"]
    assert "at.step" not in table[0]


def test_a_condition_on_no_run_is_no_error() -> None:
    assert matching([], ["lr=1"]) == []
    assert in_order([], "lr") == []
    print_table([])


def test_so_many_runs_are_printed_and_the_rest_counted(store: ug.Store, say) -> None:
    out = say("runs", store.root, "--limit", "2", "--sort", "-val_loss")[1]
    lines = out.splitlines()
    assert len([line for line in lines if line[:16] in {run.id for run in store.runs}]) == 2
    assert lines[-1] == "4 more runs: choose with --where, or give --limit 0"
    assert "more runs" not in say("runs", store.root, "--limit", "0")[1]
    assert len(json.loads(say("runs", store.root, "--json")[1])) == 6
    assert len(json.loads(say("runs", store.root, "--json", "--limit", "2")[1])) == 2
    code, out, wrong = say("runs", store.root, "--limit", "-1")
    assert (code, out) == (2, "")
    assert "--limit -1: give how many runs" in wrong


def test_rows_are_made_of_what_is_stored(store: ug.Store) -> None:
    for row in run_rows(store, store.listed()[0]):
        run = store.run(row.listed.id)
        assert row.as_printed()["val accuracy"] == pytest.approx(float(run["val_accuracy"][-1]))
        assert row.listed.last_step == 30


def test_arms_of_one_trunk_share_it_and_differ_first_after_it(store: ug.Store, say) -> None:
    code, out, _ = say("diff", store.root, ARMS[0].id, ARMS[1].id)
    assert code == 1
    assert "interventions.0.action.factor" in out
    assert f"both are forks of {BASE.id}: they share it up to step 20" in out
    losses = [store.run(arm.id)["update_loss"] for arm in ARMS]
    first = int(losses[0]["step"].values[np.flatnonzero(losses[0].values != losses[1].values)[0]])
    assert first >= 20
    found = compare(store.run(ARMS[0].id), store.run(ARMS[1].id))
    assert found.first is not None
    assert (found.first.step, found.first.name) == (first, "update_loss")
    assert found.first.this == float(losses[0].sel(step=first))
    assert found.first.that == float(losses[1].sel(step=first))
    assert f"step {first}: update_loss is " in out


def test_a_fork_that_does_nothing_has_every_reading_of_its_trunk(store: ug.Store, say) -> None:
    code, out, _ = say("diff", store.root, BASE.id[:10], ARMS[0].id[:10], "--json")
    told = json.loads(out)
    assert told["first"] is None
    assert told["n_compared"] > 40
    assert told["trunk"] == {"run": BASE.id, "until": 20, "how": f"{ARMS[0].id} is a fork of {BASE.id}"}
    assert set(told["settings"]) == {"fork.of", "fork.at.name", "fork.at.step"}
    assert (code, told["same"]) == (1, False)  # their settings differ


def test_runs_of_nothing_in_common_say_so(store: ug.Store, say) -> None:
    code, out, _ = say("diff", store.root, BASE.id, ALONE[2].id)
    assert code == 1
    assert "trunk      none in common" in out
    assert "differ first at step 0: " in out


def test_a_run_is_the_same_as_its_copy_in_another_store_until_a_number_differs(
    store: ug.Store, say, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(store.root, tmp_path / "copy"))
    both = f"{store.root}/{BASE.id}", f"{copy}/{BASE.id[:9]}"
    code, out, _ = say("diff", *both)
    assert code == 0
    assert "settings   the same" in out
    assert "readings   the same, every bit of " in out
    again = train([tiny.spec(), FAST], tmp_path / "again", layout=Layout(1))
    assert say("diff", f"{again.root}/{FAST.id}", f"{copy}/{FAST.id}")[0] == 0
    assert compare(again.run(FAST.id), ug.open(copy).run(BASE.id)).first is not None


def test_a_reading_that_only_one_has_is_named(store: ug.Store, tmp_path: Path) -> None:
    fewer = train([BASE.replace(measures=(BASE.measures[0],))], tmp_path / "store", layout=Layout(1))
    found = compare(store.run(BASE.id), fewer.runs[0])
    assert "parameter_norm" in found.only_this
    assert found.only_that == ()
    assert found.first is None


@pytest.mark.parametrize(
    "given", [["6c9"], ["STORE", "zz", "zz"], ["STORE/zz", "STORE/zz"], ["STORE", "STORE"]]
)
def test_runs_that_are_not_there_are_one_line(given: list[str], store: ug.Store, say) -> None:
    code, out, wrong = say("diff", *(each.replace("STORE", str(store.root)) for each in given))
    assert (code, out, wrong.count("\n")) == (2, "", 1)


def test_a_damaged_reading_is_one_line(store: ug.Store, say, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store.root, tmp_path / "copy"))
    for database in (copy / "readings").glob("*.sqlite"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE readings SET content = x'00' WHERE run_id = ?", (BASE.id,))
    code, out, wrong = say("diff", copy, BASE.id, FAST.id)
    assert (code, out, wrong.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("more", [(), ("--columns", "lr,grokked"), ("--where", "lr<1", "--sort", "lr")])
def test_a_list_of_runs_that_have_ended_needs_no_jax(store: ug.Store, more: tuple[str, ...]) -> None:
    """Which takes a second to be imported."""
    code = "import sys; from undergrowth.cli.entry import exit_code; "
    code += "sys.exit(exit_code(sys.argv[1:]) or 'jax' in sys.modules)"
    command = [sys.executable, "-c", code, "runs", str(store.root), *more]
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
