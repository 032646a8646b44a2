"""`map`: the runs of a store by two fields of their specs, as a table, figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from undergrowth.analysis.phases import LATE
from undergrowth.analysis.run_map import DELAY, PHASE, MapError, RunMap, quantity_named, run_map
from undergrowth.report.figure import Figure
from undergrowth.report.groups import RULES
from undergrowth.report.map_page import write_map
from undergrowth.report.run_map import map_figure
from undergrowth.store import Store
from undergrowth.store.events import Rules
from undergrowth.store.listing import Listed

DEFAULTS = (PHASE, "grokked", DELAY)
"""What cells are coloured by where nothing is asked."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """A map of runs, its table and its figures.

    cells: what was found; colours: what its figures show, in their order; store: where the runs are;
    unreadable: (id, reason) of those that could not be read.
    """

    store: Store
    cells: RunMap
    colours: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        x, y = self.cells.x.field, self.cells.y.field
        return f"Mapped({x} by {y}: {len(self.cells.runs)} runs in {len(self.cells.cells)} cells)"

    @property
    def table(self) -> pd.DataFrame:
        """A row for each cell that has runs: the two fields, `runs`, and what is shown, of a number its
        median with bounds, interval, and how many runs it rests on. See `RunMap.table`.
        """
        return self.cells.table(self.colours)

    @property
    def figure(self) -> Figure:
        """The first of its figures."""
        return map_figure(self.cells, self.colours[0])

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One for each of its colours."""
        return tuple(map_figure(self.cells, colour) for colour in self.colours)

    def write(
        self,
        out: str | Path,
        *,
        curves: bool = False,
        report: str | Path | None = None,
        command: str = "",
    ) -> Path:
        """Write the map as a page that works offline, in which a cell opens its runs.

        curves: with their accuracies over steps, which are read for it, of at most 1,000 runs; report:
        a page that `undergrowth report` wrote of the store, to whose rows each run is a link; command:
        what makes the page again. Raises MapError for curves of more runs.
        """
        place = None if report is None else Path(report)
        return write_map(
            Path(out),
            self.store,
            self.cells,
            self.figures,
            self.colours,
            unreadable=self.unreadable,
            curves=curves,
            report=place,
            command=command,
        )


def map(
    store: Store,
    x: str,
    y: str,
    *,
    colour: str | Sequence[str] = DEFAULTS,
    runs: Sequence[Listed] | None = None,
    rules: Rules = RULES,
    late: float = LATE,
) -> Mapped:
    """The runs of a store by two fields of their specs, by dotted name (optimiser.lr) or its end (lr).

    The runs of a cell agree in both fields and differ in their seeds. No curves are read.

    colour: 'phase' (Liu et al. 2022), an event ('grokked': the step of 99 % validation accuracy),
    'delay' (grokked / memorised), or a scalar reading, whose last value counts; several for several
    figures; runs: some of `store.listed(rules)[0]`; late: the delay above which a run groks rather than
    comprehends. Raises MapError, a ValueError, in one line.
    """
    listed, unreadable = (runs, ()) if runs is not None else store.listed(rules)
    if not listed:
        raise MapError(f"{store.root} has no runs to map: train some first, or choose others")
    given = (colour,) if isinstance(colour, str) else tuple(colour)
    cells = run_map(listed, x, y, rules, late)
    named = dict.fromkeys(quantity_named(each, listed) for each in given)
    return Mapped(store, cells, tuple(named), unreadable)
