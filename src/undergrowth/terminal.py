"""What a terminal shows while runs train: rate, time left, and where every run stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from undergrowth.naming import Names, runs_told_apart
from undergrowth.plain_text import visible
from undergrowth.spec import RunSpec
from undergrowth.sweep import Progress

SILENCE = 30.0
"""Where there is no terminal: most seconds between two lines while progress comes in."""


class Board:
    """The state of a sweep as its progress comes in; drawn as a bar and one row per active run.

    It is heard from one thread and drawn by another, so both hold its lock.
    """

    def __init__(self, specs: Sequence[RunSpec], names: Names | None = None) -> None:
        self.told = runs_told_apart(specs, names)
        self.steps = {spec.id: spec.steps for spec in specs}
        self.at: dict[str, Progress] = {}
        self.first: dict[str, int] = {}
        self.began: float | None = None
        self.lock = threading.Lock()

    def hear(self, progress: Progress) -> None:
        """Take in one piece of progress."""
        with self.lock:
            self.at[progress.spec.id] = progress
            if progress.ended != "stored":
                self.began = self.began or time.monotonic()
                self.first.setdefault(progress.spec.id, progress.step)

    @property
    def ended(self) -> int:
        """Number of runs that have ended."""
        return sum(bool(progress.ended) for progress in self.at.values())

    def rate(self) -> float:
        """Run-steps a second since the first progress; 0 before there is any."""
        made = sum(self.at[run].step - first for run, first in self.first.items())
        seconds = time.monotonic() - self.began if self.began else 0.0
        return made / seconds if seconds > 0 else 0.0

    def seconds_left(self) -> float | None:
        """Steps still to make at the present rate; None before there is one."""
        left = sum(
            steps - (self.at[run].step if run in self.at else 0)
            for run, steps in self.steps.items()
            if run not in self.at or not self.at[run].ended
        )
        rate = self.rate()
        return left / rate if rate else None

    def __rich__(self) -> Group:
        with self.lock:
            return self._drawn()

    def _drawn(self) -> Group:
        total = sum(self.steps.values())
        made = sum(self.steps[run] if p.ended else p.step for run, p in self.at.items())
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"{self.ended}/{len(self.steps)} runs"),
            ProgressBar(total=total, completed=made, width=30),
            Text(f"{self.rate():.0f} steps/s"),
            Text(f"{_clock(self.seconds_left())} left", style="bold"),
        )
        rows = Table.grid(padding=(0, 2))
        for progress in self.at.values():
            if not progress.ended:
                rows.add_row("  ", *self._row(progress))
        return Group(head, rows)

    def _row(self, progress: Progress) -> tuple[str, ...]:
        step = f"step {progress.step:,} of {progress.spec.steps:,}"
        return self.told[progress.spec.id], step, _curves(progress)


@contextmanager
def watching(specs: Sequence[RunSpec], console: Console, names: Names | None = None) -> Iterator[Board]:
    """Show the board while runs train; where there is no terminal, a line for each run that ends, and
    one each `SILENCE` seconds in between.
    """
    if not console.is_terminal:
        yield _Quiet(specs, console, names)
        return
    board = Board(specs, names)
    with Live(board, console=console, refresh_per_second=4, transient=True):
        yield board


class _Quiet(Board):
    def __init__(self, specs: Sequence[RunSpec], console: Console, names: Names | None = None) -> None:
        super().__init__(specs, names)
        self.console = console
        self.spoke = time.monotonic()

    def hear(self, progress: Progress) -> None:
        super().hear(progress)
        if progress.ended:
            self._say(progress, progress.ended, _curves(progress), progress.message)
        elif time.monotonic() - self.spoke >= SILENCE:
            step = f"step {progress.step:,} of {progress.spec.steps:,}"
            self._say(progress, step, _curves(progress), f"{_clock(self.seconds_left())} left")

    def _say(self, progress: Progress, *parts: str) -> None:
        self.spoke = time.monotonic()
        line = [f"{self.ended}/{len(self.steps)}", self.told[progress.spec.id], *filter(None, parts)]
        self.console.print(visible("  ".join(line)), markup=False, soft_wrap=True)


def _curves(progress: Progress) -> str:
    train, val = (progress.latest.get(f"{side}_accuracy") for side in ("train", "val"))
    if train is None or val is None:
        return ""
    return f"train {train:6.1%}  val {val:6.1%}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
