"""What a terminal shows while runs train: rate, time left, and where every run stands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from undergrowth.naming import Names, runs_told_apart
from undergrowth.plain_text import visible
from undergrowth.spec import RunSpec
from undergrowth.sweep import Progress

SILENCE = 30.0
"""Where there is no terminal: most seconds between two lines while progress comes in."""

RECENT = 120.0
"""Seconds over which the rate is taken: a run that is measured or evaluated seldom tells of itself once
in a minute."""


class Board(Bars):
    """The state of a sweep as its progress comes in: a bar of all steps and one row per active run.

    Its steps are those still to be made when it began, less those that runs went without, since a rule
    stopped them, they failed, or their fork left its trunk later. It is heard from one thread and drawn
    by another, so both hold its lock.
    """

    def __init__(
        self, specs: Sequence[RunSpec], console: Console | None = None, names: Names | None = None
    ) -> None:
        self.told = runs_told_apart(specs, names)
        self.specs = {spec.id: spec for spec in specs}
        self.at: dict[str, Progress] = {}
        self.first: dict[str, int] = {}
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            Rate(),
            Left(self),
            console=console,
            refresh_per_second=4,
            transient=True,
            get_time=time.monotonic,
            speed_estimate_period=RECENT,
            disable=console is not None and not console.is_terminal,
        )
        self.bar = self.add_task(self._counted(), total=self._total())

    def hear(self, progress: Progress) -> None:
        """Take in one piece of progress."""
        with self._lock:
            run = progress.spec.id
            self.at[run] = progress
            if progress.ended != "stored":
                self.first.setdefault(run, progress.step)
            made = sum(self.at[run].step - first for run, first in self.first.items())
            self.tasks[self.bar].total = self._total()  # `update` would forget the rate with it
            self.update(self.bar, completed=made, description=self._counted())

    @property
    def ended(self) -> int:
        """Number of runs that have ended."""
        return sum(bool(progress.ended) for progress in self.at.values())

    @property
    def may_stop(self) -> bool:
        """Whether some run that has not ended has a rule by which it may end sooner."""
        return any(spec.stop and not self._has_ended(run) for run, spec in self.specs.items())

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then a row for each run that is at work."""
        with self._lock:
            rows = Table.grid(padding=(0, 2))
            for progress in self.at.values():
                if not progress.ended:
                    rows.add_row("  ", *self._row(progress))
            yield self.make_tasks_table(self.tasks)
            yield rows

    def left(self) -> str:
        """The time left, at the present rate, in words; empty before there is one."""
        seconds = self.tasks[self.bar].time_remaining
        if seconds is None:
            return ""
        return f"{'at most ' if self.may_stop else ''}{_clock(seconds)} left"

    def _has_ended(self, run: str) -> bool:
        return run in self.at and bool(self.at[run].ended)

    def _counted(self) -> str:
        return f"{self.ended}/{len(self.specs)} runs"

    def _total(self) -> int:
        """Steps made or still to be made, of this sweep's."""
        ends = {
            run: self.at[run].step if self._has_ended(run) else spec.steps
            for run, spec in self.specs.items()
        }
        starts = {run: self.at[run].step for run in self.at} | self.first
        return sum(end - starts.get(run, 0) for run, end in ends.items())

    def _row(self, progress: Progress) -> tuple[str, ...]:
        step = f"step {progress.step:,} of {progress.spec.steps:,}"
        return self.told[progress.spec.id], step, _curves(progress)


class Rate(ProgressColumn):
    """Steps a second of all runs together; that they compile until the first has been made."""

    def render(self, task: Task) -> Text:
        if not task.completed and not task.finished:
            return Text("compiling")
        return Text("" if task.speed is None else f"{task.speed:,.0f} steps/s")


class Left(ProgressColumn):
    """How long it will still take."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board

    def render(self, task: Task) -> Text:
        return Text(self.board.left(), style="bold")


@contextmanager
def watching(specs: Sequence[RunSpec], console: Console, names: Names | None = None) -> Iterator[Board]:
    """Show the board while runs train; where there is no terminal, a line for each run that ends, and
    one each `SILENCE` seconds in between.
    """
    with (Board if console.is_terminal else _Quiet)(specs, console, names) as board:
        yield board


class _Quiet(Board):
    def __init__(self, specs: Sequence[RunSpec], console: Console, names: Names | None = None) -> None:
        super().__init__(specs, console, names)
        self.spoke = time.monotonic()

    def hear(self, progress: Progress) -> None:
        super().hear(progress)
        if progress.ended:
            self._say(progress, progress.ended, _curves(progress), progress.message)
        elif time.monotonic() - self.spoke >= SILENCE:
            step = f"step {progress.step:,} of {progress.spec.steps:,}"
            self._say(progress, step, _curves(progress), self.left())

    def _say(self, progress: Progress, *parts: str) -> None:
        self.spoke = time.monotonic()
        line = [self._counted(), self.told[progress.spec.id], *filter(None, parts)]
        self.console.print(visible("  ".join(line)), markup=False, soft_wrap=True)


def _curves(progress: Progress) -> str:
    train, val = (progress.latest.get(f"{side}_accuracy") for side in ("train", "val"))
    if train is None or val is None:
        return ""
    return f"train {train:6.1%}  val {val:6.1%}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
