"""What a terminal shows is right at every moment, and where there is none, lines say enough."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable

import pytest
from rich.console import Console

from tests import tiny
from undergrowth import terminal
from undergrowth.sweep import Progress
from undergrowth.terminal import Board, watching
from undergrowth.training.stopping import Stop

SPECS = [tiny.spec().seeded(seed) for seed in range(200)]
CURVES = {"train_accuracy": 1.0, "val_accuracy": 0.25}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The time, in the test's hand: moves it on by so many seconds."""
    now = 100.0

    def pass_by(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    return pass_by


def drawn(board: Board) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(board.get_renderable())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_it_can_be_drawn_while_it_hears() -> None:
    board = Board(SPECS)
    wrong: list[Exception] = []
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            try:
                board.get_renderable()
                board.left()
            except Exception as error:
                wrong.append(error)
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        for step in range(3):
            for spec in SPECS:
                board.hear(Progress(spec, step, CURVES))
    finally:
        over.set()
        drawing.join()
        sys.setswitchinterval(interval)
    assert wrong == []


def test_until_a_step_is_done_it_compiles_and_promises_no_time(clock) -> None:
    board = Board(SPECS[:2])
    assert "0/2 runs" in drawn(board)
    board.hear(Progress(SPECS[0], 0, {}))
    clock(20)
    assert "compiling" in drawn(board)
    assert "left" not in drawn(board)
    board.hear(Progress(SPECS[0], 10, {}))
    clock(10)
    board.hear(Progress(SPECS[0], 20, {}))
    assert "compiling" not in drawn(board)
    assert "1 steps/s" in drawn(board)
    assert "0:40 left" in drawn(board)


def test_a_failed_run_counts_with_the_steps_that_it_made(clock) -> None:
    board = Board(SPECS[:3])
    for run in SPECS[:2]:
        board.hear(Progress(run, 5, {}))
    clock(10)
    board.hear(Progress(SPECS[0], 15, {}))
    clock(5)
    board.hear(Progress(SPECS[0], 20, {}, "failed", "no luck"))
    board.hear(Progress(SPECS[1], 10, {}))
    assert "1/3 runs" in drawn(board)
    assert "2 steps/s" in drawn(board)  # 10 in 5 s
    assert board.left() == "0:25 left"  # 20 and 30 steps, at 2 a second


def test_stored_runs_are_neither_made_nor_left(clock) -> None:
    board = Board(SPECS[:3])
    board.hear(Progress(SPECS[0], 30, {}, "stored"))
    for step in (0, 10, 20):
        board.hear(Progress(SPECS[1], step, {}))
        clock(10)
    assert "1/3 runs" in drawn(board)
    assert board.left() == "0:40 left"
    assert board.tasks[0].percentage == pytest.approx(100 * 20 / 60)


def test_what_a_rule_may_end_takes_at_most_so_long_and_its_steps_are_left_out_once_it_has(clock) -> None:
    stopping = SPECS[0].replace(stop=(Stop(),))
    board = Board([stopping, SPECS[1]])
    for step in (0, 5, 10):
        board.hear(Progress(stopping, step, {}))
        clock(5)
    assert board.left() == "at most 0:50 left"
    board.hear(Progress(stopping, 15, {}, "done"))
    assert board.left() == "0:30 left"
    for step in (15, 30):
        board.hear(Progress(SPECS[1], step, {}, "done" if step == 30 else ""))
    assert board.tasks[0].finished


def test_a_fork_makes_only_the_steps_from_where_it_left(clock) -> None:
    board = Board(SPECS[:1])
    for step in (10, 20, 25):
        board.hear(Progress(SPECS[0], step, {}))
        clock(1)
    assert board.tasks[0].percentage == pytest.approx(100 * 15 / 20)


def test_without_a_terminal_a_long_run_is_not_silent(clock) -> None:
    out = io.StringIO()
    with watching(SPECS[:2], Console(file=out, width=40)) as board:
        for step in range(0, 31, 5):
            board.hear(Progress(SPECS[0], step, CURVES))
            clock(12)
        board.hear(
            Progress(SPECS[0], 30, CURVES, "failed", "KeyError: '[/a]' and what a long line says")
        )
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert "step 15 of 30" in lines[0]
    assert "0/2" in lines[0]
    assert "left" in lines[0]
    assert "step 30 of 30" in lines[1]
    assert lines[2].endswith(
        "failed  train 100.0%  val  25.0%  KeyError: '[/a]' and what a long line says"
    )
