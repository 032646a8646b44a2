"""The page of a map: pictures whose cells open their runs, and a table beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from undergrowth.analysis.phases import PHASES, phase_of, rules_of
from undergrowth.analysis.run_map import PHASE, Cell, MapError, RunMap, exact
from undergrowth.own_parts import undergrowth_command
from undergrowth.report.curves import accuracy_figure
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.page import rendered
from undergrowth.report.run_map import counted, in_words, key_of, number, rows_of, where
from undergrowth.store import Store
from undergrowth.store.files import write_whole
from undergrowth.store.listing import Listed

MOST_CURVES = 1000
"""Runs up to which a page may carry curves."""
MOST_OPEN = 60
"""Cells up to which the table is open; of more it opens on a click."""
SHORTEST, GAP = 46, 80
"""Pixels that a column needs for what its cells say, and the names of lines."""


@dataclass(frozen=True)
class RunLine:
    """A run of a cell as text. link: its row in a report, '' without one."""

    id: str
    seed: str
    phase: str
    events: tuple[str, ...]
    train_accuracy: str
    val_accuracy: str
    note: str
    link: str


@dataclass(frozen=True, eq=False)
class Panel:
    """What a cell opens: its name on the page, where it is, its runs, what lists them in a shell."""

    key: str
    where: str
    told: tuple[tuple[str, str], ...]
    runs: tuple[RunLine, ...]
    command: str
    curves: Figure | None = None

    @property
    def has_notes(self) -> bool:
        """Whether there is something to say of how a run ended."""
        return any(run.note for run in self.runs)


def write_map(
    out: Path,
    store: Store,
    cells: RunMap,
    figures: Sequence[Figure],
    colours: Sequence[str],
    *,
    unreadable: Sequence[tuple[str, str]] = (),
    curves: bool = False,
    report: Path | None = None,
    command: str = "",
) -> Path:
    """Write the page of a map to the file `out`, complete or not at all; see `Mapped.write`."""
    if curves and len(cells.runs) > MOST_CURVES:
        raise MapError(
            f"curves of {len(cells.runs):,} runs do not fit on a page, which takes {MOST_CURVES:,}: "
            "choose runs with --where, or leave --curves out"
        )
    rows = rows_of(cells, colours)
    html = rendered(
        "map.html.j2",
        styles=("map.css",),
        scripts=("map.js",),
        title=f"{cells.x.short} × {cells.y.short}",
        answer=_answer(cells),
        notes=_notes(cells, unreadable),
        figures=[(figure, *key_of(figure)) for figure in figures],
        least_wide=cells.x.n * SHORTEST + GAP if "label" in figures[0].chart.table else 0,
        x=cells.x,
        y=cells.y,
        heads=[in_words(colour, cells.rules) for colour in colours],
        rows=[(key(row["cell"]), row["cell"], [row[each] for each in colours]) for row in rows],
        panels=_panels(store, cells, rows, colours, curves=curves, report=report, out=out),
        has_curves=curves,
        has_report=report is not None,
        most_open=MOST_OPEN,
        rules=rules_of(cells.rules, cells.late).items(),
        spec=_spec(store, cells),
        command=command,
        store=str(store.root),
    )
    write_whole(out, html.encode(errors="backslashreplace"))
    return out


def key(cell: Cell) -> str:
    """What the page calls a cell; its script makes the same of what was clicked."""
    return f"cell-{cell.x}-{cell.y}"


def _answer(cells: RunMap) -> str:
    """How many runs are in how many cells, and in which phases; where validation came soonest."""
    n = sorted({len(cell.runs) for cell in cells.cells})
    seeds = plural(n[0], "run") if len(n) == 1 else f"{n[0]} to {n[-1]} runs"
    total: dict[str, int] = {}
    for cell in cells.cells:
        for phase, of in cell.phases.items():
            total[phase] = total.get(phase, 0) + of
    phases = ", ".join(f"{total[name]} {name}" for name in PHASES if name in total)
    counts = f"{plural(len(cells.runs), 'run')} in {plural(len(cells.cells), 'cell')}"
    said = [f"{counts} ({seeds} each): {phases}."]
    known = [
        (its.at_least, i)
        for i, its in enumerate(cells.medians("grokked"))
        if its is not None and its.at_least == its.at_most
    ]
    if known:
        soonest, i = min(known)
        words = in_words("grokked", cells.rules)
        said.append(f"{words}: least at {where(cells, cells.cells[i])}, {number(soonest, 'grokked')}.")
    return " ".join(said)


def _notes(cells: RunMap, unreadable: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    if cells.also:
        more = ", ".join(cells.also[:8]) + (f" and {len(cells.also) - 8} more" if cells.also[8:] else "")
        found.append(f"Cells differ in more than the two fields: {more}.")
    states = {"running": "still running", "interrupted": "interrupted", "damaged": "damaged"}
    counts = {said: sum(run.status == name for run in cells.runs) for name, said in states.items()}
    if told := " and ".join(f"{n} {said}" for said, n in counts.items() if n):
        found.append(f"Of {plural(len(cells.runs), 'run')}, {told}: they count up to where they are.")
    if unreadable:
        n = plural(len(unreadable), "run")
        found.append(
            f"{n} of the store cannot be read and {'is' if len(unreadable) == 1 else 'are'} not here."
        )
    return found


def _panels(
    store: Store,
    cells: RunMap,
    rows: Sequence[Mapping[str, object]],
    colours: Sequence[str],
    *,
    curves: bool,
    report: Path | None,
    out: Path,
) -> list[Panel]:
    link = "" if report is None else quote(os.path.relpath(report, out.parent).replace(os.sep, "/"))
    found = []
    for cell, row in zip(cells.cells, rows, strict=True):
        told = [(in_words(each, cells.rules), str(row[each])) for each in colours]
        told = told if PHASE in colours else [(in_words(PHASE), counted(cell)), *told]
        settings = [(axis.field, cell.runs[0].settings.get(axis.field)) for axis in (cells.x, cells.y)]
        conditions = [part for field, x in settings for part in ("--where", f"{field}={exact(x)}")]
        evaluated = [run.id for run in cell.runs if run.events] if curves else []
        figure = accuracy_figure(store.of_ids(evaluated), cells.rules) if evaluated else None
        found.append(
            Panel(
                key(cell),
                where(cells, cell),
                tuple(told),
                tuple(_line(run, cells, link) for run in cell.runs),
                undergrowth_command("runs", store.root, *conditions),
                figure,
            )
        )
    return found


def _line(run: Listed, cells: RunMap, link: str) -> RunLine:
    seeds = [run.settings[f"seeds.{of}"] for of in ("model", "data", "noise")]
    said = run.note if run.status in ("done", "failed", "damaged") else run.status
    return RunLine(
        id=run.id,
        seed=str(seeds[0]) if len({*seeds}) == 1 else " / ".join(map(str, seeds)),
        phase=phase_of(run, cells.late),
        events=tuple(_step(run, name) for name in ("memorised", "grokked")),
        train_accuracy=_share(run, "train_accuracy"),
        val_accuracy=_share(run, "val_accuracy"),
        note=said,
        link=f"{link}#run-{run.id}" if link else "",
    )


def _step(run: Listed, event: str) -> str:
    if event not in run.events:
        return "–"
    step = run.events[event]
    return f"> {run.last_step or 0:,}" if step is None else f"{step:,}"


def _share(run: Listed, reading: str) -> str:
    value = run.readings.get(reading, math.nan)
    return "–" if math.isnan(value) else f"{value:.1%}"


def _spec(store: Store, cells: RunMap) -> str:
    """The spec of the first run: that of all but for the two fields, seeds and what is noted."""
    found = store.of_ids([cells.runs[0].id])
    return found[0].spec.to_toml() if found else ""
