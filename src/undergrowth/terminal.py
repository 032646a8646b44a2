"""What a terminal or a notebook shows while runs train: rate, time left, and where every run stands."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress as Bars, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from undergrowth import sweep
from undergrowth.naming import Names, runs_told_apart
from undergrowth.notebook_html import html_progress
from undergrowth.plain_text import in_one_line, visible
from undergrowth.printing import PlainConsole
from undergrowth.spec import RunSpec, SpecError
from undergrowth.spec.grid import Grid
from undergrowth.spec_errors import shown
from undergrowth.store import Store
from undergrowth.store.parts import Parts
from undergrowth.sweep import Layout, Progress

SILENCE = 30.0
"""Where there is no terminal: most seconds between two lines while progress comes in."""

RECENT = 120.0
"""Seconds over which the rate is taken: a run that is measured or evaluated seldom tells of itself once
in a minute."""


REDRAW = 0.25
"""Least seconds between two drawings in a notebook."""

TEXT = 120
"""Columns of the text that a notebook's output has beside its HTML."""


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
            for no_wrap in (True, False, True, True):  # where it is narrow, names are cut
                rows.add_column(no_wrap=no_wrap)
            for progress in self.at.values():
                if not progress.ended:
                    name, *stands = self._row(progress)
                    rows.add_row("  ", Text(name, overflow="ellipsis", no_wrap=True), *stands)
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

    @property
    def failed(self) -> tuple[Progress, ...]:
        """What was heard last of the runs that failed."""
        return tuple(progress for progress in self.at.values() if progress.ended == "failed")

    def _counted(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{self.ended}/{len(self.specs)} runs{failed}"

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


class NotebookBoard(Board):
    """The same in the output of a notebook's cell, where it stays when all runs have ended."""

    def __init__(self, specs: Sequence[RunSpec], names: Names | None = None) -> None:
        super().__init__(specs, PlainConsole(file=io.StringIO(), width=TEXT, force_jupyter=False), names)
        self.drawn = time.monotonic()
        self.shown: Any = None

    def __enter__(self) -> NotebookBoard:
        from IPython.display import display

        self.shown = display(self._as_data(), raw=True, display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.shown.update(self._as_data(), raw=True)

    def hear(self, progress: Progress) -> None:
        """Take in one piece of progress, and show it unless the last is only just shown."""
        super().hear(progress)
        if time.monotonic() - self.drawn >= REDRAW:
            self.drawn = time.monotonic()
            self.shown.update(self._as_data(), raw=True)

    def _as_data(self) -> dict[str, str]:
        """By kind of output: HTML, and plain text for what shows none."""
        bar = self.tasks[self.bar]
        ended = self.ended == len(self.specs)
        said = [self._counted(), *([] if ended else [_rate(bar), self.left()])]
        rows = [self._row(progress) for progress in self.at.values() if not progress.ended]
        failed = [(self.told[p.spec.id], "failed", p.message) for p in self.failed]
        line = "  ".join(filter(None, said))
        drawn = html_progress(bar.completed, bar.total or 0, line, [*rows, *failed])
        text = [line, *("  ".join(row) for row in (*rows, *failed))]
        return {"text/html": drawn, "text/plain": "\n".join(map(in_one_line, text))}


class Rate(ProgressColumn):
    """Steps a second of all runs together; that they compile until the first has been made."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task))


def _rate(task: Task) -> str:
    """Steps a second, in two figures where they are few."""
    if not task.completed and not task.finished:
        return "compiling"
    speed = task.speed
    if speed is None:
        return ""
    return f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.2g} steps/s"


class Left(ProgressColumn):
    """How long it will still take."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board

    def render(self, task: Task) -> Text:
        return Text(self.board.left(), style="bold")


def train(
    specs: RunSpec | Sequence[RunSpec],
    out: str | Path,
    *,
    layout: Layout | None = None,
    progress: bool | Callable[[Progress], None] | None = True,
    names: Names | None = None,
    parts: Parts | None = None,
) -> Store:
    """Train one or more runs into the store at `out` and return it; finished runs are not trained
    again.

    progress: True shows a bar on standard error where that is a terminal, or in a notebook's cell, and
    nothing elsewhere; False or None shows nothing; or a function that is called with every `Progress`.
    names: by run id, names to store with the runs (`Run.given_names`); not part of a run's identity;
    those of a grid say what was varied, unless others are given.
    parts: by run id, the roles of runs in studies (`Run.parts`), likewise.

    A finished run with a missing or truncated file is resumed, and so repaired. A run that fails does
    not stop the others: its status and message say so.

    Raises SpecError for a spec that cannot be run, StoreError for a directory that cannot be used,
    SweepError where training could not go on.
    """
    if isinstance(specs, Grid) and names is None:
        names = specs.names
    some = [specs] if isinstance(specs, RunSpec) else list(specs)
    for each in some:
        if not isinstance(each, RunSpec):
            raise SpecError(f"{shown(each)} is no run: give a RunSpec, or several, to be trained")
    how: dict[str, Any] = {"layout": layout, "names": names, "parts": parts}
    if callable(progress):
        return sweep.train(some, out, progress=progress, **how)
    console = PlainConsole(stderr=True, soft_wrap=True)
    if not progress or not (in_a_notebook() or console.is_terminal):
        return sweep.train(some, out, **how)
    with NotebookBoard(some, names) if in_a_notebook() else Board(some, console, names) as board:
        store = sweep.train(some, out, progress=board.hear, **how)
    for failed in () if in_a_notebook() else board.failed:
        console.print(f"failed: {board.told[failed.spec.id]}: {failed.message}")
    return store


def in_a_notebook() -> bool:
    """Whether this runs in a kernel, whose front shows HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


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
