"""The board says how every run stands, and tells each listener what is new since it last heard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.conftest import SPEC, Planted
from undergrowth.live.follow import compact
from undergrowth.live.pace import RECENT, Pace
from undergrowth.live.tail import Look, Tail
from undergrowth.live.watched import MOST_WRONG, Board

FORK = SPEC.replace(
    steps=60, fork={"of": SPEC.id, "at": {"name": "at_step", "step": 20}}, optimiser={"lr": 0.02}
)


class Watching:
    """A board that looks at a store when it is told to."""

    def __init__(self, planted: Planted) -> None:
        self.tail, self.board, self.now = Tail(planted.root), Board(), 0.0

    def look(self, seconds: float = 1.0) -> bool:
        self.now += seconds
        return self.board.take(self.tail.look(), self.now)

    def run(self, run_id: str = SPEC.id) -> dict[str, Any]:
        (found,) = (run for run in self.board.since(0)["runs"] if run["id"] == run_id)
        return found


@pytest.fixture
def watching(planted: Planted) -> Watching:
    return Watching(planted)


def test_a_run_has_its_progress_rate_time_left_and_accuracies(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC)
    watching.look()
    before = watching.run()
    assert (before["status"], before["step"], before["rate"]) == ("running", 0, None)
    planted.point(SPEC, 10, accuracy=(0.5, 0.1))
    watching.look()
    planted.point(SPEC, 20, accuracy=(1.0, 0.1), loss=(0.25, 4.0))
    watching.look(seconds=5)
    now = watching.run()
    assert (now["step"], now["steps"], now["rate"], now["left"]) == (20, 100, 2.0, 40.0)
    assert now["latest"] == [1.0, 0.1, 0.25, 4.0]
    assert now["milestones"] == {"memorised": 20, "onset": None, "grokked": None}


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace()
    for second in range(10):
        pace.see(second * 100, second)
    assert pace.rate == 100
    for second in range(10, 200):
        pace.see(900 + second, second)
    assert pace.rate == pytest.approx(1)
    assert len(pace.seen) <= RECENT + 2
    pace.see(5, 201)  # taken up again from an earlier step
    assert pace.rate is None


def test_a_run_that_is_taken_up_again_has_the_rate_of_the_new_attempt(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC)
    planted.point(SPEC, 10)
    watching.look()
    planted.account(SPEC, began=5000.0)
    planted.point(SPEC, 10)
    watching.look(seconds=5000)
    assert watching.run()["rate"] is None
    planted.point(SPEC, 40)
    watching.look(seconds=10)
    assert watching.run()["rate"] == 3.0


def test_what_a_listener_has_not_heard_is_all_that_it_is_told(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC)
    planted.account(SPEC.seeded(1))
    planted.point(SPEC, 0)
    watching.look()
    version = watching.board.version
    planted.point(SPEC, 10, accuracy=(1.0, 0.5), loss=(0.5, float("nan")))
    assert watching.look()
    news = watching.board.since(version)
    assert [run["id"] for run in news["runs"]] == [SPEC.id]
    assert news["points"] == {SPEC.id: [[10, 1.0, 0.5, 0.5, None]]}
    assert json.loads(compact(news)) == news
    assert watching.board.since(watching.board.version)["runs"] == []


def test_nothing_new_is_no_new_version(planted: Planted, watching: Watching) -> None:
    planted.account(SPEC)
    watching.look()
    watching.look()
    version = watching.board.version
    assert not watching.look()
    assert watching.board.version == version


def test_listeners_at_any_version_come_to_know_the_same(planted: Planted, watching: Watching) -> None:
    planted.account(SPEC)
    known: list[tuple[int, dict[Any, list[float | None]]]] = []
    for step in range(0, 60, 10):
        planted.point(SPEC, step, accuracy=(step / 100, 0.0))
        watching.look()
        points = {point[0]: point for point in watching.board.curves(SPEC.id)}
        known.append((watching.board.version, points))
    planted.point(SPEC, 20, accuracy=(0.9, 0.0))  # read again, by who took the run up again
    watching.look()
    whole = {point[0]: point for point in watching.board.curves(SPEC.id)}
    assert whole[20][1] == 0.9
    for version, points in known:
        its = watching.board.since(version)["points"][SPEC.id]
        assert points | {point[0]: point for point in its} == whole


def test_a_killed_writer_leaves_interrupted_runs(planted: Planted, watching: Watching) -> None:
    planted.account(SPEC)
    planted.account(SPEC.seeded(1), "done", ended=130.0)
    planted.part("0" * 16, "waits", seed=3)
    watching.look()
    assert watching.run("0" * 16)["status"] == "waiting"
    version = watching.board.version
    planted.die()
    assert watching.look()
    told = {run["id"]: run["status"] for run in watching.board.since(version)["runs"]}
    assert told == {SPEC.id: "interrupted", "0" * 16: "not begun"}
    assert watching.run(SPEC.seeded(1).id)["took"] == 30.0


def test_what_an_earlier_command_left_stays_interrupted_while_another_writes(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC)
    planted.kept().close()  # what the next command does first
    planted.open.clear()
    planted.account(SPEC.seeded(1), at="worker-1")
    watching.look()
    assert watching.run()["status"] == "interrupted"
    assert watching.run(SPEC.seeded(1).id)["status"] == "running"


def test_a_later_attempt_counts_over_an_earlier_and_a_finished_one_over_all(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC, began=100.0)
    planted.point(SPEC, 10, accuracy=(0.1, 0.1))
    planted.account(SPEC, "failed", "no luck", at="worker-1", began=200.0, ended=201.0)
    planted.point(SPEC, 10, accuracy=(0.2, 0.2), at="worker-1")
    watching.look()
    assert (watching.run()["status"], watching.run()["message"]) == ("failed", "no luck")
    assert watching.board.curves(SPEC.id)[0][1] == 0.2
    planted.point(SPEC, 20, at="worker-1")
    planted.account(SPEC, "done", began=100.0, ended=300.0)
    planted.point(SPEC, 20, accuracy=(0.7, 0.7))  # of the attempt that began before
    watching.look()
    assert watching.run()["status"] == "done"
    assert watching.board.curves(SPEC.id)[-1][1] == 0.5


def test_runs_are_named_by_study_and_arm_or_given_name_or_what_they_do(
    planted: Planted, watching: Watching
) -> None:
    from undergrowth.store import rows

    slow = SPEC.replace(optimiser={"lr": 0.001})
    planted.account(SPEC)
    planted.account(SPEC.seeded(1))
    planted.account(slow)
    planted.account(FORK)
    planted.part(SPEC.id, "true labels")
    planted.kept("names").insert("names", [rows.name_row(slow.id, "slow")])
    watching.look()
    arms = {run["id"]: run["arm"] for run in watching.board.since(0)["runs"]}
    assert arms[SPEC.id] == "grokking: true labels"
    assert arms[slow.id] == "slow"
    assert arms[SPEC.seeded(1).id] == "x+y mod 5"
    assert arms[FORK.id] == "x+y mod 5, fork at step 20"
    assert watching.run(SPEC.seeded(1).id)["seed"] == "seed 1"


def test_a_fork_has_its_trunks_curves_and_begins_where_it_left_it(
    planted: Planted, watching: Watching
) -> None:
    planted.account(SPEC)
    for step in (0, 10, 20, 30):
        planted.point(SPEC, step)
    planted.account(FORK)
    planted.event(FORK, 20, "forked", {})
    planted.point(FORK, 20, accuracy=(0.9, 0.9))
    watching.look()
    assert [point[:2] for point in watching.board.curves(FORK.id)] == [[0, 0.5], [10, 0.5], [20, 0.9]]
    assert watching.run(FORK.id)["forked"] == 20
    assert watching.run(FORK.id)["step"] == 20


def test_what_happened_is_said_in_words(planted: Planted, watching: Watching) -> None:
    spec = SPEC.replace(
        interventions=[
            {
                "trigger": {"name": "at_step", "step": 15},
                "action": {"name": "scale_learning_rate", "factor": 2.0},
            }
        ]
    )
    planted.account(spec)
    planted.event(spec, 15, "fired", {"intervention": 0})
    planted.event(spec, 40, "diverged", {})
    watching.look()
    assert watching.run(spec.id)["events"] == [
        {"step": 15, "text": "scale_learning_rate factor=2 at step 15"},
        {"step": 40, "text": "diverged"},
    ]


def test_a_store_that_became_another_starts_a_new_epoch(planted: Planted, watching: Watching) -> None:
    planted.account(SPEC)
    watching.look()
    epoch = watching.board.epoch
    assert watching.board.take(Look(is_other=True), 9.0)
    assert watching.board.epoch != epoch
    assert watching.board.since(0)["runs"] == []


def test_what_is_wrong_is_said_in_a_few_lines(planted: Planted, watching: Watching) -> None:
    watching.board.take(Look(wrong={str(i): f"wrong\n{i}" for i in range(MOST_WRONG + 2)}), 1.0)
    told = watching.board.since(0)["wrong"]
    assert told[0] == "wrong 0"
    assert told[-1] == "and 2 more"
    assert len(told) == MOST_WRONG + 1


def test_a_stored_run_that_is_not_what_it_says_is_left_out_and_said(
    planted: Planted, watching: Watching
) -> None:
    from undergrowth.store import rows

    forged = rows.run_row("0" * 16, SPEC.model_dump_json(), "done", "", 1.0, 2.0, "{}")
    planted.kept().insert("runs", [forged])
    planted.event(SPEC, 1, "fired", {})
    watching.look()
    assert watching.board.since(0)["runs"] == []
    assert "its spec hashes to" in watching.board.since(0)["wrong"][0]
