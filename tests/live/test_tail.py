"""What is told of a store is what is new in it, and looking leaves no trace there."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.live.conftest import SPEC, Planted
from undergrowth.live import tail
from undergrowth.live.tail import Look, Tail


def looked(of: Tail) -> Look:
    """Looks until there is no more, as one."""
    found = of.look()
    while not (latest := of.look()).is_all:
        found.news += latest.news
    found.news += latest.news
    found.news = [news for news in found.news if any(news.rows.values()) or news.points or news.wrong]
    return found


def points(look: Look) -> list[tuple[int, str, float]]:
    return [(point.step, point.name, point.value) for news in look.news for point in news.points]


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")  # where readers mark what they read
    }


def test_only_new_rows_are_told(planted: Planted) -> None:
    planted.account(SPEC)
    planted.point(SPEC, 0)
    of = Tail(planted.root)
    assert {step for step, _, _ in points(looked(of))} == {0}
    assert points(looked(of)) == []
    planted.point(SPEC, 10, accuracy=(1.0, 0.5))
    found = looked(of)
    assert points(found)[:2] == [(10, "train_accuracy", 1.0), (10, "val_accuracy", 0.5)]
    assert found.news[0].reached == {SPEC.id: 10}
    assert found.news[0].rows.get("runs", []) == []


def test_a_row_that_is_written_again_is_told_again(planted: Planted) -> None:
    planted.account(SPEC)
    of = Tail(planted.root)
    looked(of)
    planted.account(SPEC, "done", ended=200.0)
    found = looked(of)
    assert [row["status"] for row in found.news[0].rows["runs"]] == ["done"]
    planted.account(SPEC, "failed", ended=300.0)
    assert [row["status"] for row in looked(of).news[0].rows["runs"]] == ["failed"]


def test_what_was_read_before_is_not_read_again(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in rows that come back from SQLite, so no matter how long the store has grown."""
    planted.account(SPEC)
    for step in range(50):
        planted.point(SPEC, step)
    of = Tail(planted.root)
    looked(of)
    read: list[int] = []
    take = tail._take
    monkeypatch.setattr(tail, "_take", lambda row, news: (read.append(row["step"]), take(row, news)))
    planted.point(SPEC, 51)
    looked(of)
    assert read == [51] * 4


def test_a_long_store_is_read_in_parts(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST", 10)
    planted.account(SPEC)
    for step in range(9):
        planted.point(SPEC, step)
    of = Tail(planted.root)
    first = of.look()
    assert not first.is_all
    assert len(points(first)) == 10
    assert len(points(first)) + len(points(looked(of))) == 36


def test_looking_writes_nothing_and_is_in_nobodys_way(planted: Planted) -> None:
    planted.account(SPEC)
    planted.point(SPEC, 0)
    before = files(planted.root)
    of = Tail(planted.root)
    looked(of)
    assert files(planted.root) == before
    planted.close()  # would keep the log if a reader were in the way
    assert not list((planted.root / "readings").glob("*-wal"))
    before = files(planted.root)
    looked(Tail(planted.root))
    assert files(planted.root) == before


def test_a_writer_that_was_killed_before_its_first_row_leaves_what_can_be_looked_at(
    planted: Planted,
) -> None:
    database = planted.root / "readings" / "worker-0.sqlite"
    from undergrowth.store.database import _make

    _make(database)
    looked(Tail(planted.root))
    assert [path.name for path in database.parent.iterdir()] == ["worker-0.sqlite"]


def test_the_killed_and_the_living_are_told_apart(planted: Planted) -> None:
    planted.account(SPEC)
    of = Tail(planted.root)
    assert looked(of).in_use
    planted.die()
    assert not looked(of).in_use
    assert not looked(of).wrong


def test_a_store_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    of = Tail(tmp_path / "none")
    assert looked(of).wrong == {}
    (tmp_path / "none").mkdir()
    assert looked(of).wrong == {}
    planted = Planted(tmp_path / "none")
    planted.account(SPEC)
    assert [len(news.rows["runs"]) for news in looked(of).news] == [1]
    planted.close()


def test_a_directory_of_other_things_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (wrong,) = looked(Tail(tmp_path)).wrong.values()
    assert "is not an undergrowth store" in wrong


def test_a_store_that_is_deleted_and_made_again_is_told_anew(planted: Planted) -> None:
    planted.account(SPEC)
    of = Tail(planted.root)
    looked(of)
    planted.close()
    shutil.rmtree(planted.root)
    gone = of.look()
    assert not gone.is_other
    assert gone.wrong == {str(planted.root): tail.GONE.format(planted.root)}
    again = Planted(planted.root)
    again.account(SPEC.seeded(1))
    found = of.look()
    assert found.is_other
    (news,) = found.news
    assert [row["run_id"] for row in news.rows["runs"]] == [SPEC.seeded(1).id]
    again.close()


def test_a_database_with_fewer_rows_in_the_same_place_is_told_anew(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may give a new file the number of one that has just been removed."""
    planted.account(SPEC)
    planted.point(SPEC, 0)
    of = Tail(planted.root)
    looked(of)
    monkeypatch.setattr(tail, "_identity", lambda path: of.files[path].identity if of.files else (0, 0))
    planted.close()
    shutil.rmtree(planted.root)
    again = Planted(planted.root)
    again.account(SPEC.seeded(1))
    found = of.look()
    assert found.is_other
    assert [row["run_id"] for row in found.news[0].rows["runs"]] == [SPEC.seeded(1).id]
    again.close()


def test_a_database_that_is_put_back_from_a_copy_is_told_anew(planted: Planted) -> None:
    planted.account(SPEC)
    planted.close()
    of = Tail(planted.root)
    looked(of)
    database = planted.root / "readings" / "worker-0.sqlite"
    copy = Path(shutil.copy(database, planted.root.parent / "copy"))
    copy.replace(database)
    found = of.look()
    assert found.is_other
    assert len(found.news[0].rows["runs"]) == 1


def test_a_damaged_database_is_said_in_one_line_and_the_others_are_read(planted: Planted) -> None:
    planted.account(SPEC)
    planted.account(SPEC.seeded(1), at="worker-1")
    planted.close()
    (planted.root / "readings" / "worker-0.sqlite").write_bytes(b"no database at all" * 400)
    found = looked(Tail(planted.root))
    (wrong,) = found.wrong.values()
    assert "worker-0.sqlite cannot be read" in wrong
    assert "\n" not in wrong
    assert [row["run_id"] for news in found.news for row in news.rows["runs"]] == [SPEC.seeded(1).id]


def test_a_reading_that_differs_from_its_digest_is_left_out_and_said(planted: Planted) -> None:
    planted.account(SPEC)
    planted.point(SPEC, 0)
    planted.point(SPEC, 10)
    planted.close()
    with sqlite3.connect(planted.root / "readings" / "worker-0.sqlite") as connection:
        connection.execute("UPDATE readings SET step = 11 WHERE step = 10 AND name = 'val_loss'")
    connection.close()
    found = looked(Tail(planted.root))
    assert len(points(found)) == 7
    assert [news.wrong for news in found.news] == [
        [
            f"run {SPEC.id}: val_loss at step 11 differs from its digest: restore its database from a "
            "copy, or move that away and train the run again"
        ]
    ]


def test_a_commit_in_the_same_tick_of_the_clock_is_not_missed(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has only just been written to is read again, whatever its time says."""
    planted.account(SPEC)
    of = Tail(planted.root)
    now = tail._signature(planted.root / "readings" / "worker-0.sqlite")
    monkeypatch.setattr(tail, "_signature", lambda path: now)
    monkeypatch.setattr(tail.time, "time_ns", lambda: now[-1][2] + 1)
    looked(of)
    planted.point(SPEC, 0)
    assert len(points(looked(of))) == 4
