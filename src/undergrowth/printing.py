"""What the command line prints: tables and verdicts for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # the command line starts without JAX
    import numpy as np

    from undergrowth.analysis import Estimate
    from undergrowth.measures import Reading
    from undergrowth.store import Run
    from undergrowth.studies.conducting import Report

console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
"""Prints what it is given as it is: a path or a message may hold [brackets] or :colons:."""


WIDE, PIPED = 120, 200
"""Columns from which on a run's words stand beside its numbers; columns where no screen limits them."""


def run_row(run: Run) -> dict[str, Any]:
    """What `undergrowth runs` lists of a run: its events, first and stable, None where censored."""
    from undergrowth.analysis import events

    row: dict[str, Any] = {"id": run.id, "status": run.status, "run": run.spec.describe(), "step": None}
    if "train_accuracy" not in run.names:
        return row
    row["step"] = int(run.curves["step"][-1])
    for name, event in events(run.curves).items():
        row[name] = event.first
        row[f"{name} stable"] = event.stable
    row["val accuracy"] = float(run.curves["val_accuracy"].dropna("step")[-1])
    return row


def reading_rows(run_id: str, step: int, readings: Mapping[str, Reading]) -> list[dict[str, Any]]:
    """What `undergrowth measure` lists of a run at a step: each reading's axes and range."""
    return [
        {
            "id": run_id,
            "step": step,
            "reading": name,
            "axes": " ".join(
                f"{dim}:{n}" for dim, n in zip(reading.dims, reading.values.shape, strict=True)
            ),
            **_range(reading.values),
        }
        for name, reading in sorted(readings.items())
    ]


def in_figures(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its numbers in four figures, however small they are."""
    return {key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()}


def _range(values: np.ndarray) -> dict[str, float | None]:
    """Lowest, median and highest of the numbers there are; None where there is none."""
    there = values[values == values]
    if not there.size:
        return {"lowest": None, "median": None, "highest": None}
    ascending = sorted(there.ravel().tolist())
    return {"lowest": ascending[0], "median": ascending[len(ascending) // 2], "highest": ascending[-1]}


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: first and stable time in one column where they are the same."""
    short = {column: value for column, value in row.items() if not column.endswith(" stable")}
    for name in ("memorised", "onset", "grokked"):
        if name in row and row[name] != row[f"{name} stable"]:
            short[name] = f"{_cell(row[name])} (stable {_cell(row[f'{name} stable'])})"
    return short


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows under the columns that any of them has; what a run is in lines below where it is narrow."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    below = "run" in columns and console.is_terminal and console.width < WIDE
    columns.sort(key="run".__eq__)  # the longest goes last
    shown = columns[:-1] if below else columns
    table = Table(box=None, pad_edge=False)
    for column in shown:
        table.add_column(column, no_wrap=column not in ("run", "question"))
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in shown))
    wide = Console(file=console.file, markup=False, emoji=False, highlight=False, width=PIPED)
    (console if console.is_terminal else wide).print(table)
    if below:
        for row in rows:
            console.print(f"{row['id']}  {row['run']}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_verdicts(report: Report) -> None:
    """The verdicts of a report with their intervals, and where it was written."""
    colours = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}
    for verdict in report.verdicts:
        estimate, colour = verdict.estimate, colours[verdict.verdict]
        shown = (f"{verdict.verdict:12}", colour)
        console.print(Text.assemble(f"{verdict.claim:4} ", shown, f" {verdict.statistic}"))
        console.print(f"     {_in_words(estimate)}, threshold {verdict.threshold:.3g}", style="dim")
    if any(not verdict.is_claim for verdict in report.verdicts):
        console.print("Fewer than 10 seeds: a demonstration, not yet a claim.")
    console.print(f"report     {report.page}\nverdicts   {report.verdicts_file}")


def _in_words(estimate: Estimate) -> str:
    if not estimate.is_bounded:
        return f"no interval from {estimate.seeds}"
    interval = f"{estimate.level:.0%} interval [{estimate.low:.3g}, {estimate.high:.3g}]"
    return f"{estimate.effect:.3g}, {interval} over {estimate.seeds} ({estimate.method})"


def print_entry(name: str, says: str, **more: str) -> None:
    """A name, what it says below it, and what more there is to say."""
    console.print(name, style="bold")
    console.print(f"  {says}")
    for what, told in more.items():
        if told:
            console.print(f"  {what}: {told}")


def print_json(value: object) -> None:
    """JSON on standard output, unwrapped."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
