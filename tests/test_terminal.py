"""What a terminal shows is right at every moment, and where there is none, lines say enough."""

from __future__ import annotations

import io
import sys
import threading

import pytest
from rich.console import Console

from tests import tiny
from undergrowth import terminal
from undergrowth.sweep import Progress
from undergrowth.terminal import Board, watching

SPECS = [tiny.spec().seeded(seed) for seed in range(200)]
CURVES = {"train_accuracy": 1.0, "val_accuracy": 0.25}


def drawn(board: Board) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(board)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_it_can_be_drawn_while_it_hears() -> None:
    board = Board(SPECS)
    wrong: list[Exception] = []
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            try:
                board.__rich__()
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


def test_a_failed_run_counts_with_the_steps_that_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    board = Board(SPECS[:3])
    board.hear(Progress(SPECS[0], 0, {}))
    board.hear(Progress(SPECS[1], 0, {}))
    now = 110.0
    board.hear(Progress(SPECS[0], 10, {}, "failed", "no luck"))
    board.hear(Progress(SPECS[1], 10, {}))
    assert board.rate() == pytest.approx(2.0)
    assert board.seconds_left() == pytest.approx((20 + 30) / 2)
    assert "1/3 runs" in drawn(board)


def test_without_a_terminal_a_long_run_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    out = io.StringIO()
    with watching(SPECS[:2], Console(file=out, width=40)) as board:
        for step in range(0, 31, 5):
            board.hear(Progress(SPECS[0], step, CURVES))
            now += 12
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
