"""`map`: a picture of a store's runs by two fields of their specs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, StoreName, WrongUseError, app, this_command
from undergrowth.plain_text import visible
from undergrowth.printing import console, print_json

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.report.mapped import Mapped

Field = Annotated[str, Parameter(help="A field of the spec, such as optimiser.lr, or lr.")]
Colour = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="What cells show: phase, grokked (steps to 99 % validation accuracy), memorised, onset, "
        "delay (grokked / memorised), or a scalar reading, such as val_loss; by default phase, grokked "
        "and delay. Repeat for more.",
    ),
]
Where = Annotated[
    tuple[str, ...],
    Parameter(
        negative="", help="Only runs of which this is true, as in 'undergrowth runs'; repeat for more."
    ),
]
Late = Annotated[
    float | None,
    Parameter(
        help="More than how many times as late as memorising validation must come to count as grokking; "
        "by default 10."
    ),
]
Out = Annotated[Path, Parameter(help="The page, or a picture for a paper: .html, .svg, .pdf, .png.")]
Curves = Annotated[
    bool,
    Parameter(negative="", help="Read the accuracies of all runs, and show them with their cells."),
]
Report = Annotated[
    Path | None,
    Parameter(
        help="A page of 'undergrowth report', in which runs are looked up; by default the report.html "
        "of the store, if it has one."
    ),
]
AsCsv = Annotated[
    bool, Parameter(negative="", help="Print the table of cells as CSV, and write no page.")
]


@app.command(name="map")
def map_runs(
    directory: StoreName,
    x: Field,
    y: Field,
    /,
    *,
    colour: Colour = (),
    where: Where = (),
    late: Late = None,
    out: Out = Path("map.html"),
    curves: Curves = False,
    report: Report = None,
    as_json: AsJson = False,
    csv: AsCsv = False,
) -> int:
    """Map the runs of a store by two fields, such as optimiser.lr and optimiser.weight_decay.

    A cell has the runs that agree in both, one for each seed: their phase (comprehension, grokking,
    memorisation, confusion), or a median, in which runs that ended before it count as later. A click on
    a cell of the page opens its runs. No curve is read unless asked for.
    """
    from undergrowth.analysis.run_map import MapError
    from undergrowth.report.charts.paper import SUFFIXES

    if out.suffix not in (".html", *SUFFIXES):
        raise WrongUseError(f"--out {out}: the ending says what to write: .html, {', '.join(SUFFIXES)}")
    try:
        found = _mapped(directory, x, y, colour, where, late)
        if as_json:
            print_json(found.table.to_dict("records"))
        elif csv:
            found.table.to_csv(sys.stdout, index=False)
        elif out.suffix == ".html":
            its = found.store.root / "report.html"
            linked = report or (its if its.is_file() else None)
            found.write(out, curves=curves, report=linked, command=this_command())
        else:
            found.figure.save(out)
    except (MapError, ModuleNotFoundError) as error:
        raise WrongUseError(str(error)) from None
    if not (as_json or csv):
        n_runs, n_cells = len(found.cells.runs), len(found.cells.cells)
        console.print(f"{visible(str(out))}  {n_runs:,} runs in {n_cells:,} cells")
    return 0


def _mapped(
    directory: Path, x: str, y: str, colour: tuple[str, ...], where: tuple[str, ...], late: float | None
) -> Mapped:
    """The map of the runs that are so."""
    from undergrowth.analysis.phases import LATE
    from undergrowth.cli.run_list import matching
    from undergrowth.report.mapped import DEFAULTS, map as mapped
    from undergrowth.store import Store

    store = Store(directory)
    listed, unreadable = store.listed()
    chosen = matching(listed, where)
    if listed and not chosen:
        raise WrongUseError(
            f"none of the {len(listed):,} runs in {directory} is so: give another --where"
        )
    times = LATE if late is None else late
    found = mapped(store, x, y, colour=colour or DEFAULTS, runs=chosen, late=times)
    return replace(found, unreadable=() if where else unreadable)
