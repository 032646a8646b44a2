"""What a terminal shows is right at every moment, and where there is none, lines say enough."""

from __future__ import annotations

import io
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

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


def test_a_slow_rate_is_not_told_as_none(clock) -> None:
    board = Board(SPECS[:1])
    board.hear(Progress(SPECS[0], 0, {}))
    clock(10)
    board.hear(Progress(SPECS[0], 1, {}))
    clock(10)
    board.hear(Progress(SPECS[0], 3, {}))
    assert "0.2 steps/s" in drawn(board)


def test_a_narrow_terminal_cuts_names_and_keeps_where_they_stand() -> None:
    name = "a run whose name is much longer than a terminal of eighty columns has room for"
    board = Board(SPECS[:1], names={SPECS[0].id: [name]})
    board.hear(Progress(SPECS[0], 10, CURVES))
    console = Console(file=io.StringIO(), width=80)
    console.print(board.get_renderable())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert lines[1].rstrip().endswith("step 10 of 30  train 100.0%  val  25.0%")
    assert "a run whose name" in lines[1]
    assert "…" in lines[1]


class Told:
    """What `sweep.train` would come to, without training: each spec makes some of its steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[object] = []
        monkeypatch.setattr(terminal.sweep, "train", self)

    def __call__(self, specs, out, *, progress: Any = None, **_: object) -> str:
        self.heard.append(progress)
        for spec in specs if progress else ():
            progress(Progress(spec, 0, {}))
            progress(Progress(spec, 10, CURVES))
            progress(Progress(spec, 30, CURVES, "failed", "no <luck>"))
        return "store"


def as_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error, taken for a terminal."""
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    return out


def test_training_from_python_shows_a_bar_in_a_terminal(monkeypatch) -> None:
    out = as_terminal(monkeypatch)
    Told(monkeypatch)
    assert terminal.train(SPECS[:2], "out") == "store"
    shown = out.getvalue()
    assert "2/2 runs, 2 failed" in shown
    assert "failed: x+y mod 5, seed 0: no <luck>" in shown


@pytest.mark.parametrize("off", [False, None])
def test_training_from_python_shows_nothing_where_it_is_turned_off(off, monkeypatch) -> None:
    out = as_terminal(monkeypatch)
    Told(monkeypatch)
    terminal.train(SPECS[0], "out", progress=off)
    assert out.getvalue() == ""


def test_training_from_python_is_quiet_where_output_is_no_terminal(monkeypatch, capsys) -> None:
    Told(monkeypatch)
    terminal.train(SPECS[0], "out")
    assert capsys.readouterr() == ("", "")


def test_a_function_hears_all_progress_and_no_bar_is_shown(monkeypatch) -> None:
    out = as_terminal(monkeypatch)
    Told(monkeypatch)
    heard: list[Progress] = []
    terminal.train(SPECS[0], "out", progress=heard.append)
    assert [progress.step for progress in heard] == [0, 10, 30]
    assert out.getvalue() == ""


class Notebook:
    """The parts of IPython that are asked: a shell with a kernel, and displays that can be updated."""

    kernel = object()

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: list[dict[str, str]] = []
        of_display = types.ModuleType("IPython.display")
        of_display.display = self.display  # type: ignore[attr-defined]
        ipython = types.ModuleType("IPython")
        ipython.get_ipython = lambda: self  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", of_display)

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Notebook:
        assert raw
        assert display_id
        self.update(data, raw=True)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.outputs.append(data)


def test_training_in_a_notebook_shows_a_bar_in_its_cell(monkeypatch, clock, capsys) -> None:
    notebook = Notebook(monkeypatch)
    told = Told(monkeypatch)
    terminal.train(SPECS[:1], "out")
    assert "compiling" in notebook.outputs[0]["text/html"]
    assert '<progress max="30" value="0"' in notebook.outputs[0]["text/html"]
    last = notebook.outputs[-1]
    assert "1/1 runs, 1 failed" in last["text/html"]
    assert "no &lt;luck&gt;" in last["text/html"]
    assert "1/1 runs, 1 failed" in last["text/plain"]
    board = told.heard[0].__self__  # type: ignore[attr-defined]
    board.hear(Progress(SPECS[0], 10, CURVES))
    n_shown = len(notebook.outputs)
    board.hear(Progress(SPECS[0], 20, CURVES))  # just after another: not drawn
    assert len(notebook.outputs) == n_shown
    clock(1)
    board.hear(Progress(SPECS[0], 25, CURVES))
    assert "step 25 of 30" in notebook.outputs[-1]["text/html"]
    assert "train 100.0%" in notebook.outputs[-1]["text/plain"]
    assert capsys.readouterr() == ("", "")


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
