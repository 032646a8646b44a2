"""Merging loses nothing: each run once, whole, whatever the stores share and whenever a kill comes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests import tiny
from tests.store.test_verify import change, flip
from tests.sweep.in_process import killed_at, work
from tests.sweep.test_packing import bits
from undergrowth.measures import Norms, Reading
from undergrowth.spec import RunSpec
from undergrowth.store import Part, Store, StoreError, gathering, rows, verify
from undergrowth.store.database import seal_of
from undergrowth.store.gathering import opened
from undergrowth.store.layout import create, databases
from undergrowth.store.measured import adding
from undergrowth.store.merging import Merged, gather, merge, stores_in
from undergrowth.store.parts import names_of, parts_of
from undergrowth.store.predicted import state, stated
from undergrowth.store.staged import READY, STAGE
from undergrowth.sweep import Layout, train
from undergrowth.training.interventions import AfterFork, AtStep, Intervention, ScaleLearningRate

FASTER = Intervention(trigger=AfterFork(), action=ScaleLearningRate(factor=3.0))
TRUNKS = [tiny.spec().seeded(seed) for seed in range(3)]
ARMS = [trunk.forked(AtStep(step=17), FASTER) for trunk in TRUNKS[:2]]
SPECS: tuple[RunSpec, ...] = (*TRUNKS, *ARMS)
NAMES = {spec.id: ("boost" if spec.fork else "trunk",) for spec in SPECS}
PART = Part("leak", "quick", "arm", "control", 0)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs in one store, trained by one worker."""
    root = tmp_path_factory.mktemp("whole") / "store"
    train(SPECS, root, layout=Layout(workers=1), names=NAMES, parts={TRUNKS[0].id: [PART]})
    return root


def some_of(whole: Path, specs: Sequence[RunSpec], root: Path) -> Path:
    """A store with some of the runs."""
    ids = {spec.id for spec in specs}
    create(root)
    gather(root, [opened(whole, ids)], ids)
    return root


def tree(root: Path) -> dict[str, str]:
    """Every file and its digest."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def contents(root: Path) -> dict[str, dict[str, bytes]]:
    return {run.id: bits(run) for run in Store(root).runs if run.status == "done"}


def test_what_is_put_together_is_what_one_worker_wrote(whole: Path, tmp_path: Path) -> None:
    first = some_of(whole, [TRUNKS[0], ARMS[0]], tmp_path / "a")
    second = some_of(whole, [TRUNKS[1], ARMS[1], TRUNKS[2]], tmp_path / "b")
    before = [tree(first), tree(second)]
    merged = merge([first, second], tmp_path / "all")
    assert merged == Merged(runs=5, new=5, several=0, differing=(), damaged=(), notes=())
    assert [tree(first), tree(second)] == before
    assert contents(tmp_path / "all") == contents(whole)
    assert verify(tmp_path / "all") == verify(whole)
    assert names_of(tmp_path / "all") == names_of(whole)
    assert parts_of(tmp_path / "all") == parts_of(whole) == {TRUNKS[0].id: (PART,)}
    one, other = Store(whole).run(ARMS[0].id), Store(tmp_path / "all").run(ARMS[0].id)
    assert one.events.equals(other.events)
    assert (one.trunks, one.environment, one.began) == (other.trunks, other.environment, other.began)
    assert not (tmp_path / "all" / STAGE).exists()


@pytest.mark.parametrize("n_databases", [1, 2])
@pytest.mark.parametrize("is_sealed", [True, False])
def test_checkpoints_come_along_whether_a_database_was_closed_or_not(
    whole: Path, tmp_path: Path, n_databases: int, is_sealed: bool
) -> None:
    store = shutil.copytree(whole, tmp_path / "two")  # names are in a database of their own
    store = some_of(whole, SPECS, tmp_path / "one") if n_databases == 1 else store
    assert len(databases(store)) == n_databases
    for path in [] if is_sealed else databases(store):
        seal_of(path).unlink()
    merge([store], tmp_path / "all")
    assert contents(tmp_path / "all") == contents(whole)
    assert verify(tmp_path / "all") == verify(whole)


def test_what_is_added_while_a_store_is_read_is_left_to_the_next_merge(
    whole: Path, tmp_path: Path
) -> None:
    (path,) = databases(some_of(whole, [TRUNKS[0]], tmp_path / "in-use"))
    seal_of(path).unlink()
    source, later = opened(tmp_path / "in-use"), "f" * 16
    with sqlite3.connect(path) as connection:
        columns = f"'{later}', 'runs/{later}/model', step, bytes, sha256"
        connection.execute(f"INSERT INTO files SELECT {columns} FROM files LIMIT 1")
    connection.close()
    create(tmp_path / "all")
    assert gather(tmp_path / "all", [source]).new == 1
    assert contents(tmp_path / "all") == {TRUNKS[0].id: contents(whole)[TRUNKS[0].id]}
    assert {row["run_id"] for row in rows.query(tmp_path / "all", "SELECT * FROM files")} == {
        TRUNKS[0].id
    }


@pytest.mark.parametrize("worked", [lambda: 0.0, time.perf_counter], ids=["waits", "works"])
def test_files_are_placed_by_threads_or_one_after_the_other(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worked: Callable[[], float]
) -> None:
    pools: list[str] = []

    class Pool(ThreadPoolExecutor):
        def map(self, *given: Any, **named: Any) -> Any:
            pools.append("used")
            return super().map(*given, **named)

    monkeypatch.setattr(gathering, "PORTION", 1)
    monkeypatch.setattr(gathering, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(gathering.time, "thread_time", worked)
    merge([whole], tmp_path / "all")
    assert contents(tmp_path / "all") == contents(whole)
    assert verify(tmp_path / "all").damage == ()
    assert bool(pools) == (worked() == 0.0)


def test_a_merged_store_can_be_trained_into(whole: Path, tmp_path: Path) -> None:
    some = some_of(whole, TRUNKS, tmp_path / "some")
    train(SPECS, some, layout=Layout(workers=1))
    assert contents(some) == contents(whole)
    assert verify(some).damage == ()


def test_merging_again_changes_no_byte(whole: Path, tmp_path: Path) -> None:
    first = some_of(whole, TRUNKS, tmp_path / "a")
    merge([first], tmp_path / "all")
    before = tree(tmp_path / "all")
    again = merge([first, tmp_path / "all", first], tmp_path / "all")
    assert (again.runs, again.new, again.several) == (3, 0, 3)
    assert tree(tmp_path / "all") == before


@given(st.lists(st.sets(st.sampled_from(range(5)), min_size=1), min_size=1, max_size=4), st.booleans())
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_overlapping_stores_come_to_one_in_any_order(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, shares: list[set[int]], one_by_one: bool
) -> None:
    root = tmp_path_factory.mktemp("overlap")
    shares = [share | {SPECS.index(TRUNKS[i - 3]) for i in share if i >= 3} for share in shares]
    parts = [
        some_of(whole, [SPECS[i] for i in share], root / f"shards/{k}") for k, share in enumerate(shares)
    ]
    if one_by_one:
        for part in parts:
            merge([part], root / "all")
    else:
        merge([root / "shards"], root / "all")
    every = contents(whole)
    assert contents(root / "all") == {SPECS[i].id: every[SPECS[i].id] for i in set().union(*shares)}
    ids = [row["run_id"] for row in Store(root / "all").query("SELECT run_id FROM runs")]
    assert len(ids) == len(set(ids))
    assert {wrong.wrong.split(" is not")[0].split()[0] for wrong in verify(root / "all").damage} <= {
        "its"
    }


def differ(root: Path, run_id: str, began: float) -> None:
    """Let a run of a store have been trained elsewhere, with another last bit."""
    (database,) = databases(root)
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    told = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    run_id, spec, status, message, _, ended, environment, _ = told
    new = rows.run_row(run_id, spec, status, message, began, ended, environment)
    connection.execute(f"REPLACE INTO runs VALUES ({', '.join('?' * 8)})", new)
    sql = "SELECT * FROM readings WHERE run_id = ? AND name = 'val_loss' AND step = 20"
    found = rows.reading_of(connection.execute(sql, (run_id,)).fetchone())
    other = Reading(found.dims, np.asarray(np.nextafter(found.values, np.float32(9))))
    row = rows.reading_row(run_id, "val_loss", 20, other)
    connection.execute(f"REPLACE INTO readings VALUES ({', '.join('?' * 8)})", row)
    connection.commit()
    connection.close()
    seal_of(database).write_text(hashlib.sha256(database.read_bytes()).hexdigest())


@pytest.mark.parametrize("into_first", [True, False])
@pytest.mark.parametrize("is_earlier", [True, False])
def test_of_runs_that_differ_the_one_that_began_first_is_kept(
    whole: Path, tmp_path: Path, into_first: bool, is_earlier: bool
) -> None:
    spec = TRUNKS[0]
    began = Store(whole).run(spec.id).began
    same = some_of(whole, TRUNKS[:2], tmp_path / "same")
    other = some_of(whole, TRUNKS[:1], tmp_path / "other")
    differ(other, spec.id, began - 1 if is_earlier else began + 1)
    order = [same, other] if into_first else [other, same]
    into = tmp_path / "all"
    merge(order[:1], into)
    merged = merge(order[1:], into)
    (line,) = merged.differing
    assert f"run {spec.id} was trained to its end in" in line
    assert "differs (val_loss at step 20)" in line
    kept = Store(into).run(spec.id)["val_loss"].values
    expected = Store(other if is_earlier else same).run(spec.id)["val_loss"].values
    assert kept.tobytes() == expected.tobytes()
    assert verify(into).damage == ()
    assert contents(into)[TRUNKS[1].id] == contents(whole)[TRUNKS[1].id]
    again = merge([*order], into)
    assert (again.new, len(again.differing)) == (0, 1)


def interrupted(root: Path, spec: RunSpec) -> Path:
    with killed_at(3):
        work(root, [spec], keep_every=0)
    return root


@pytest.mark.parametrize("into_first", [True, False])
def test_a_finished_run_takes_the_place_of_one_under_way(
    whole: Path, tmp_path: Path, into_first: bool
) -> None:
    half = interrupted(tmp_path / "half", TRUNKS[1])
    assert {run.status for run in Store(half).runs} == {"interrupted"}
    done = some_of(whole, TRUNKS[:2], tmp_path / "done")
    first, second = (half, done) if into_first else (done, half)
    merge([first], tmp_path / "all")
    merge([second], tmp_path / "all")
    assert contents(tmp_path / "all") == contents(done)
    assert verify(tmp_path / "all").damage == ()
    assert not list((tmp_path / "all/runs").rglob("now.safetensors"))


def test_a_run_under_way_is_merged_with_how_it_stands_and_goes_on_from_there(
    whole: Path, tmp_path: Path
) -> None:
    half = interrupted(tmp_path / "half", TRUNKS[2])
    merged = merge([half], tmp_path / "all")
    assert (merged.runs, merged.damaged) == (1, ())
    assert (tmp_path / "all/runs" / TRUNKS[2].id / "now.safetensors").exists()
    train([TRUNKS[2]], tmp_path / "all", layout=Layout(workers=1))
    assert contents(tmp_path / "all")[TRUNKS[2].id] == contents(whole)[TRUNKS[2].id]


def test_attempts_in_several_databases_become_one_as_readers_see_them(
    whole: Path, tmp_path: Path
) -> None:
    root = interrupted(tmp_path / "half", TRUNKS[0])
    (root / "readings/worker-0.sqlite").rename(root / "readings/earlier.sqlite")
    for suffix in ("-wal", "-shm"):
        left = root / f"readings/worker-0.sqlite{suffix}"
        if left.exists():
            left.rename(root / f"readings/earlier.sqlite{suffix}")
    train([TRUNKS[0]], root, layout=Layout(workers=1))
    assert len(databases(root)) == 2
    merge([root], tmp_path / "all")
    (database,) = databases(tmp_path / "all")
    assert database.name == "merged-0.sqlite"
    assert contents(tmp_path / "all")[TRUNKS[0].id] == contents(whole)[TRUNKS[0].id]
    assert verify(tmp_path / "all").damage == ()


def test_a_damaged_file_is_had_from_another_store_or_its_run_left_out(
    whole: Path, tmp_path: Path
) -> None:
    bad = some_of(whole, TRUNKS[:2], tmp_path / "bad")
    model = Store(bad).run(TRUNKS[0].id).checkpoint_path(20)
    content = model.read_bytes()
    model.unlink()  # it is one file with the other store's
    model.write_bytes(content)
    flip(model, len(content) // 2)
    merged = merge([bad], tmp_path / "alone")
    ((run_id, why),) = merged.damaged
    assert run_id == TRUNKS[0].id
    assert "model.safetensors differs from its digest" in why
    assert [run.id for run in Store(tmp_path / "alone").runs] == [TRUNKS[1].id]
    assert verify(tmp_path / "alone").damage == ()
    good = some_of(whole, TRUNKS[:1], tmp_path / "good")
    both = merge([bad, good], tmp_path / "both")
    assert (both.runs, both.damaged) == (2, ())
    assert contents(tmp_path / "both")[run_id] == contents(whole)[run_id]


def test_a_changed_row_is_found_whether_a_database_was_closed_or_not(
    whole: Path, tmp_path: Path
) -> None:
    changed = some_of(whole, TRUNKS[:2], tmp_path / "changed")
    (database,) = databases(changed)
    seal = seal_of(database).read_text()
    change(
        changed,
        "UPDATE readings SET step = 11 WHERE step = 10 AND name = 'val_loss' "
        f"AND run_id = '{TRUNKS[0].id}'",
    )
    merged = merge([changed], tmp_path / "one")
    assert [run_id for run_id, _ in merged.damaged] == [TRUNKS[0].id]
    assert (merged.runs, merged.notes) == (1, ())
    seal_of(database).write_text(seal)
    merged = merge([changed], tmp_path / "other")
    assert [run_id for run_id, _ in merged.damaged] == [TRUNKS[0].id]
    assert "has changed since it was closed" in merged.notes[0]


class KillError(BaseException):
    """Stands for SIGKILL: no handler of ours catches it."""


def changes_before_dying(number: float, patched: pytest.MonkeyPatch) -> list[int]:
    """Die as the n-th change of the file system begins; counts them."""
    calls = [0]

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*args: Any, **how: Any) -> Any:
            calls[0] += 1
            if calls[0] == number:
                raise KillError
            return change(*args, **how)

        return changing

    for of, name in (
        (os, "link"),
        (os, "mkdir"),
        (Path, "rename"),
        (Path, "replace"),
        (Path, "mkdir"),
        (Path, "unlink"),
        (shutil, "rmtree"),
        (os, "sync"),
    ):
        patched.setattr(of, name, counted(getattr(of, name)))
    return calls


def test_a_kill_at_any_change_loses_nothing_and_merging_again_completes_it(
    whole: Path, tmp_path: Path
) -> None:
    """Into a store that has a run of its own, one under way that is replaced, and a report."""
    done = some_of(whole, TRUNKS, tmp_path / "done")
    start = tmp_path / "start"
    interrupted(start, TRUNKS[1])
    merge([some_of(whole, TRUNKS[:1], tmp_path / "own")], start)
    (start / "report.html").write_text("<p>ours</p>")
    own, every = contents(start), contents(done)
    shutil.copytree(start, tmp_path / "counted")
    with pytest.MonkeyPatch.context() as patched:
        n_changes = changes_before_dying(float("inf"), patched)
        merge([done], tmp_path / "counted")
    moving = 22  # the last of them move what is ready into its place; before that, files are linked
    moments = [*range(1, n_changes[0] - moving, 15), *range(n_changes[0] - moving, n_changes[0] + 1)]
    for number in moments:
        into = tmp_path / f"into-{number}"
        shutil.copytree(start, into)
        with pytest.MonkeyPatch.context() as patched:
            changes_before_dying(number, patched)
            with pytest.raises(KillError):
                merge([done], into)
        now = contents(into)
        assert own.items() <= now.items()
        assert now.items() <= every.items()
        assert verify(into).damage == ()
        merge([done], into)
        assert contents(into) == every
        found = verify(into)
        assert (found.damage, found.interrupted) == ((), 0)
        assert not (into / STAGE).exists()
        assert not (into / READY).exists()
        assert (into / "report.html").read_text() == "<p>ours</p>"
        shutil.rmtree(into)


def test_a_writer_finishes_what_a_killed_merge_left_ready(whole: Path, tmp_path: Path) -> None:
    into = some_of(whole, TRUNKS[:1], tmp_path / "into")
    other = some_of(whole, TRUNKS[1:], tmp_path / "other")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("undergrowth.store.staged.finish", lambda root: os.abort)
        merge([other], into)
    assert (into / READY).exists()
    assert len(Store(into).runs) == 1
    train(TRUNKS, into, layout=Layout(workers=1), progress=lambda p: must_be_stored(p.ended))
    assert contents(into) == {spec.id: contents(whole)[spec.id] for spec in TRUNKS}


def must_be_stored(ended: str) -> None:
    assert ended == "stored"


def test_what_was_measured_and_predicted_comes_along(whole: Path, tmp_path: Path) -> None:
    first = some_of(whole, TRUNKS[:1], tmp_path / "a")
    second = some_of(whole, TRUNKS[:2], tmp_path / "b")
    with adding(second) as add:
        for spec in TRUNKS[:2]:
            add(
                spec.id, 20, Norms(), {"own_norm": Reading((), np.asarray(spec.seeds.model, np.float32))}
            )
    state(first, "leak", "quick", {"arm": {"slope": 2.0}}, now=20.0)
    state(second, "leak", "quick", {"arm": {"slope": 3.0}}, now=10.0)
    merged = merge([first], tmp_path / "all")
    assert merged.notes == ()
    merged = merge([second], tmp_path / "all")
    assert "predicts other numbers" in merged.notes[0]
    found = stated(tmp_path / "all", "leak", "quick")
    assert found is not None
    assert (found.stated, found.numbers) == (10.0, {"arm": {"slope": 3.0}})
    store = Store(tmp_path / "all")
    assert [float(store.run(spec.id)["own_norm"][0]) for spec in TRUNKS[:2]] == [0.0, 1.0]
    before = tree(tmp_path / "all")
    merge([second], tmp_path / "all")
    assert tree(tmp_path / "all") == before
    assert verify(tmp_path / "all").damage == ()


def test_what_was_measured_of_a_run_goes_with_it(whole: Path, tmp_path: Path) -> None:
    """Where a run that differs takes its place, readings of its other weights are not the new run's."""
    into = some_of(whole, TRUNKS[:2], tmp_path / "into")
    with adding(into) as add:
        for spec in TRUNKS[:2]:
            add(spec.id, 20, Norms(), {"own_norm": Reading((), np.asarray(7, np.float32))})
    earlier = some_of(whole, TRUNKS[:1], tmp_path / "earlier")
    differ(earlier, TRUNKS[0].id, began=1.0)
    assert len(merge([earlier], into).differing) == 1
    store = Store(into)
    assert "own_norm" not in store.run(TRUNKS[0].id).names
    assert float(store.run(TRUNKS[1].id)["own_norm"][0]) == 7.0
    assert verify(into).damage == ()


def test_what_is_no_file_of_a_run_is_not_followed(whole: Path, tmp_path: Path) -> None:
    bad = some_of(whole, TRUNKS[:1], tmp_path / "bad")
    secret = tmp_path / "secret"
    secret.write_bytes((bad / "runs" / TRUNKS[0].id / "spec.toml").read_bytes())
    spec_file = bad / "runs" / TRUNKS[0].id / "spec.toml"
    spec_file.unlink()
    spec_file.symlink_to(secret)
    ((_, why),) = merge([bad], tmp_path / "one").damaged
    assert "spec.toml" in why
    other = some_of(whole, TRUNKS[:1], tmp_path / "other")
    change(
        other,
        f"UPDATE files SET path = 'runs/{TRUNKS[0].id}/../../../secret' WHERE path LIKE '%/spec.toml'",
    )
    ((_, why),) = merge([other], tmp_path / "two").damaged
    assert "is no file of run" in why


def test_stores_are_found_within_a_directory(whole: Path, tmp_path: Path) -> None:
    for name in ("shards/b/2", "shards/a"):
        some_of(whole, TRUNKS[:1], tmp_path / name)
    (tmp_path / "shards/.hidden.tmp").mkdir()
    assert stores_in(tmp_path / "shards") == [tmp_path / "shards/a", tmp_path / "shards/b/2"]
    with pytest.raises(StoreError, match="is not an undergrowth store"):
        stores_in(tmp_path / "nowhere")


def test_a_store_that_is_being_written_is_not_merged(whole: Path, tmp_path: Path) -> None:
    from undergrowth.store.lock import writing

    busy = some_of(whole, TRUNKS[:1], tmp_path / "busy")
    with writing(busy), pytest.raises(StoreError, match="is being written by another process"):
        merge([busy], tmp_path / "all")


def test_files_are_copied_where_they_cannot_have_a_second_name(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    merge([whole], tmp_path / "all")
    assert contents(tmp_path / "all") == contents(whole)
    assert {path.stat().st_nlink for path in (tmp_path / "all/runs").rglob("*.safetensors")} == {1}
