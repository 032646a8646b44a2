"""What the command line prints: tables and verdicts for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    from undergrowth.store import Store
    from undergrowth.store.listing import Listed
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


@dataclass(frozen=True)
class RunRow:
    """A run of a list.

    listed: who it is, its settings, events and last readings, and how it ended; among: tells it apart
    from the other runs of the list.
    """

    listed: Listed
    among: ToldApart

    @property
    def told(self) -> str:
        """Which it is among the others, in words."""
        return self.among.words.get(self.listed.id, self.listed.described)

    def as_printed(self, called: str | None = None) -> dict[str, Any]:
        """What a table has of it: events as first and stable step in one where they differ; called: in
        place of the words that tell it from the others.
        """
        row, run = self.listed, self.told if called is None else called
        first = {"id": row.id, "status": row.status, "run": run, "step": row.last_step}
        times = {name: _time(name, row.events) for name in EVENTS if name in row.events}
        last = {"val accuracy": row.readings.get("val_accuracy")} if row.events else {}
        return {**first, **times, **last, "note": self.listed.note}

    def to_dict(self) -> dict[str, Any]:
        """All there is, for programs: events as first and stable step, None where censored."""
        row = self.listed
        first = {"id": row.id, "status": row.status, "run": self.told, "names": [*row.names]}
        part = {"studies": [*row.studies], "arms": [*row.arms], "seed": row.seed}
        times = {
            name.replace("_", " "): step
            for name, step in row.events.items()
            if not name.endswith("_censored")
        }
        ends = {"val accuracy": row.readings.get("val_accuracy")} if row.events else {}
        more = {"note": self.listed.note, "settings": dict(row.settings), "readings": dict(row.readings)}
        return {**first, **part, "step": row.last_step, **times, **ends, **more}


MOST_TOLD_APART = 1000
"""Runs whose descriptions are compared; of more, each has its own."""


@dataclass(frozen=True, eq=False)
class ToldApart:
    """What tells runs of a store apart, made out when somebody asks: that takes their specs, and JAX."""

    store: Store
    listed: Sequence[Listed]

    @cached_property
    def words(self) -> dict[str, str]:
        """By id which of them a run is; of more than a thousand each is only described."""
        from undergrowth.naming import runs_told_apart

        if len(self.listed) > MOST_TOLD_APART:
            return {}
        specs = [run.spec for run in self.store.of_ids([row.id for row in self.listed])]
        return runs_told_apart(specs, {row.id: row.called for row in self.listed})


def run_rows(store: Store, listed: Sequence[Listed]) -> list[RunRow]:
    """Some runs of a store as rows of a list, told apart from one another."""
    among = ToldApart(store, listed)
    return [RunRow(row, among) for row in listed]


def _time(name: str, events: Mapping[str, Any]) -> object:
    first, stable = events[name], events[f"{name}_stable"]
    return first if first == stable else f"{cell(first)} (stable {cell(stable)})"


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


EVENTS = ("memorised", "onset", "grokked")
"""The events of a run that are listed."""

WORDS = ("run", "note")
"""Columns of words: they stand last, and below the table where it is narrow."""


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows under the columns in which any of them has something; what a run is in lines below where the
    screen is narrow.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in WORDS or row[name]))
    is_narrow = console.is_terminal and console.width < WIDE
    below = is_narrow and any(name in WORDS for name in columns)
    columns.sort(key=lambda name: WORDS.index(name) + 1 if name in WORDS else 0)
    shown = [name for name in columns if not (below and name in WORDS)]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        head = column.replace(" ", "\n") if is_narrow else column
        table.add_column(head, no_wrap=column not in (*WORDS, "question"))
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in shown))
    wide = PlainConsole(file=console.file, width=PIPED)
    (console if console.is_terminal else wide).print(table)
    for row in rows if below else ():
        if said := [row[name] for name in WORDS if row.get(name)]:
            console.print("  ".join([row["id"], *said]))


def cell(value: object) -> str:
    """A value in a table; a dash where there is none."""
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
