"""What the command line prints: tables and verdicts for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from undergrowth.plain_text import in_one_line, json_text, p_in_words, visible
from undergrowth.published.wording import bounds, number

if TYPE_CHECKING:  # the command line starts without JAX
    import numpy as np

    from undergrowth.analysis import Estimate
    from undergrowth.measures import Reading
    from undergrowth.store import Run
    from undergrowth.studies.conducting import Report


class PlainConsole(Console):
    """Prints what it is given as it is, and safely: a path or a message may hold [brackets], :colons: or
    control characters, which are written out. Of what a terminal obeys it prints only its own styles.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_text = not segment.control
            yield segment._replace(text=visible(segment.text, keep="\n")) if is_text else segment


console = PlainConsole(soft_wrap=True)
errors = PlainConsole(soft_wrap=True, stderr=True)
"""Where progress goes while standard output is JSON."""


WIDE, PIPED = 120, 200
"""Columns from which on a run's words stand beside its numbers; columns where no screen limits them."""


def run_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What `undergrowth runs` lists of runs, one row each; a run that cannot be read says why."""
    from undergrowth.naming import runs_told_apart

    names = {run.id: run.called for run in runs}
    told = runs_told_apart([run.spec for run in runs], names)
    return [_run_row(run, told[run.id]) for run in runs]


def _run_row(run: Run, told: str) -> dict[str, Any]:
    """Events as first and stable step, None where censored; note: what else there is to say."""
    from undergrowth.analysis.outcomes import damage, in_words

    row: dict[str, Any] = {"id": run.id, "status": run.status, "run": told, "names": [*run.given_names]}
    if why := damage(run):
        return {**row, "status": "damaged", "step": None, "note": why}
    return {**row, **_times(run), "note": "; ".join(in_words(run))}


def _times(run: Run) -> dict[str, Any]:
    from undergrowth.analysis import events

    if "train_accuracy" not in run.curves:
        return {"step": None}
    times: dict[str, Any] = {"step": int(run.curves["step"][-1])}
    for name, event in events(run.curves).items():
        times[name] = event.first
        times[f"{name} stable"] = event.stable
    ends = run.curves["val_accuracy"].dropna("step").values[-1:]
    return {**times, "val accuracy": float(ends[0]) if ends.size else None}


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
    short = {name: x for name, x in row.items() if name != "names" and not name.endswith(" stable")}
    for name in ("memorised", "onset", "grokked"):
        if name in row and row[name] != row[f"{name} stable"]:
            short[name] = f"{_cell(row[name])} (stable {_cell(row[f'{name} stable'])})"
    return short


WORDS = ("run", "note")
"""Columns of words: they stand last, and below the table where it is narrow."""


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows under the columns in which any of them has something; what a run is in lines below where the
    screen is narrow.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "note" or row[name]))
    below = "run" in columns and console.is_terminal and console.width < WIDE
    columns.sort(key=lambda name: WORDS.index(name) + 1 if name in WORDS else 0)
    shown = [name for name in columns if not (below and name in WORDS)]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        table.add_column(column, no_wrap=column not in (*WORDS, "question"))
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in shown))
    wide = PlainConsole(file=console.file, width=PIPED)
    (console if console.is_terminal else wide).print(table)
    for row in rows if below else ():
        console.print("  ".join(filter(None, [row["id"], row["run"], row.get("note")])))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else in_one_line(str(value))


COLOURS = {"supported": "green", "contradicted": "red", "no effect": "yellow", "inconclusive": "yellow"}


def print_answers(report: Report) -> None:
    """The claims of a report: each ruling and its effect; and where the report was written."""
    from undergrowth.analysis.verdicts import CLAIM_SEEDS

    for answer in report.claims:
        shown = (f"{answer.ruling:12}", COLOURS.get(answer.ruling, "dim"))
        console.print(Text.assemble(f"{answer.claim:4} ", shown, f" {answer.says}"))
        if (primary := answer.primary) and primary.estimate.n:
            console.print(f"     {primary.says}: {_in_words(primary.estimate)}", style="dim")
        if answer.ruling == "open":
            console.print(f"     open: waiting for {answer.waits_for}", style="dim")
        if answer.robustness:
            console.print(f"     {answer.robustness}", style="dim")
    answers = [answer.primary for answer in report.claims if answer.primary and answer.ruling != "open"]
    if any(not primary.is_claim for primary in answers):
        console.print(f"Fewer than {CLAIM_SEEDS} seeds: a demonstration, not yet a claim.")
    console.print(f"report     {visible(str(report.places.page))}")
    console.print(f"claims     {visible(str(report.places.claims))}")
    console.print(f"verdicts   {visible(str(report.places.verdicts))}")


def print_verdicts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Published verdicts: claim, ruling, effect with its interval and n, and the endpoint."""
    for row in rows:
        shown = (f"{row['ruling']:12}", COLOURS.get(row["ruling"], "dim"))
        what = "" if row["primary"] else "check "
        console.print(
            Text.assemble(f"{row['claim']:4} ", shown, f" {what}{row['endpoint']}: {row['arm']}")
        )
        if row["effect"] is None and row["waits_for"]:
            console.print(f"     waiting for {row['waits_for']}", style="dim")
            continue
        low, high = bounds(row)
        adjusted = row.get("p_adjusted")
        p = "" if adjusted is None else f", {p_in_words(adjusted)} adjusted for all claims"
        effect = f"{row['says'] or row['statistic']}: {number(row['effect'])}"
        console.print(f"     {effect} [{low}, {high}], n {row['n_seeds']}{p}", style="dim")


def _in_words(estimate: Estimate) -> str:
    if not estimate.n:
        return "no value: no seed has one"
    if not estimate.is_known:
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
    """JSON on standard output, unwrapped: null for what is no finite number."""
    sys.stdout.write(json_text(value) + "\n")


def print_toml(text: str) -> None:
    """TOML on standard output; what cannot be written there, or would be obeyed, as TOML's escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write("".join(_in_toml(each, encoding) for each in text))


def _in_toml(character: str, encoding: str) -> str:
    is_seen = character in "\n\t" or visible(character) == character
    is_written = character.isascii() or character.encode(encoding, "ignore")
    return character if is_seen and is_written else f"\\U{ord(character):08x}"


def survive_any_text() -> None:
    """Let output of characters that its encoding lacks be written out, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
