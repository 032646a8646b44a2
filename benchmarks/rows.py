"""One line of the benchmark: what was measured, what it is compared to, and the bar it must reach."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

Column = Literal["ours", "ratio", "limit_fraction", "figure"]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of repeated timings, in milliseconds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, timings: Sequence[float]) -> Spread:
        return cls(statistics.median(timings), min(timings), max(timings))

    def cells(self) -> tuple[str, str, str]:
        return short(self.median), short(self.min), short(self.max)


@dataclass(frozen=True)
class Bar:
    """What a column must reach, from below or from above."""

    column: Column
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        name = {"ours": "", "ratio": "ratio ", "limit_fraction": "of limit ", "figure": ""}[self.column]
        rule = f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"
        return f"{name}{rule}{self.unit}"

    def is_met(self, value: float) -> bool:
        return (self.at_least or -float("inf")) <= value <= (self.at_most or float("inf"))


@dataclass(frozen=True)
class Row:
    """ours, reference: ms per run-step (of what `work` says, where it is no step).

    peak_gflops: sgemm on all cores in the same run; limit_fraction: the time that the essential
    products take at that peak, over `ours`. figure: what is measured where it is no time.
    """

    work: str
    ours: Spread | None = None
    reference: Spread | None = None
    flop: float | None = None
    peak_gflops: float | None = None
    figure: float | None = None
    unit: str = ""
    bars: tuple[Bar, ...] = ()
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.reference.median / self.ours.median if self.ours and self.reference else None

    @property
    def limit_fraction(self) -> float | None:
        if self.ours is None or self.flop is None or self.peak_gflops is None:
            return None
        return self.flop / self.peak_gflops / 1e6 / self.ours.median

    def value(self, column: Column) -> float | None:
        found = getattr(self, column)
        return found.median if isinstance(found, Spread) else found

    @property
    def met(self) -> str:
        """Whether every bar is: empty where there is none or nothing to hold against it."""
        values = [(bar, self.value(bar.column)) for bar in self.bars]
        if not values or any(value is None for _, value in values):
            return ""
        return "yes" if all(bar.is_met(value) for bar, value in values if value is not None) else "NO"

    def as_json(self) -> dict[str, str | float | None]:
        """The row as BENCH_JSON has it; null where a column has no meaning."""
        return {
            "work": self.work,
            "ours_ms": self.value("ours"),
            "reference_ms": self.reference.median if self.reference else None,
            "ratio": self.ratio,
            "limit_fraction": self.limit_fraction,
            "peak_gflops": self.peak_gflops,
        }


def show(rows: Iterable[Row]) -> None:
    """Print all rows, as wide as they are: no column is cut where there is no terminal."""
    console = Console()
    table = _table(rows)
    if not console.is_terminal:
        console.width = console.measure(table, options=console.options.update(max_width=400)).maximum
    console.print(table)


def _table(rows: Iterable[Row]) -> Table:
    titles = ("work", "ours, ms", "min", "max", "reference, ms", "min", "max", "ratio", "of limit")
    shown = Table(*titles, "figure", "bar", "met", "note", box=None)
    for row in rows:
        ours = row.ours.cells() if row.ours else ("", "", "")
        reference = row.reference.cells() if row.reference else ("", "", "")
        figure = f"{short(row.figure)} {row.unit}" if row.figure is not None else ""
        bars = ", ".join(map(str, row.bars))
        columns = (*ours, *reference, short(row.ratio), short(row.limit_fraction), figure)
        shown.add_row(row.work, *columns, bars, row.met, row.note)
    return shown


def short(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
