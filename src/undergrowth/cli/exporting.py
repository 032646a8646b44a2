"""`export`: write stored runs for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import WrongUseError, app, runs_named
from undergrowth.printing import console


@app.command
def export(
    source: Annotated[
        Path, Parameter(help="A store or, for ro-crate, a directory of published results, of one study.")
    ],
    /,
    *run: Annotated[str, Parameter(help="Runs' ids, or how they start; by default all runs.")],
    to: Annotated[
        str,
        Parameter(
            help="csv, parquet, tensorboard, wandb: runs; pytorch, transformer-lens: a checkpoint; "
            "ro-crate: published results."
        ),
    ],
    out: Annotated[
        Path | None,
        Parameter(
            help="Directory to write, not there yet or empty. Without it an RO-Crate is made of the "
            "published results where they are."
        ),
    ] = None,
    step: Annotated[
        int | None, Parameter(help="The step of the checkpoint; by default the last one.")
    ] = None,
    reading: Annotated[
        tuple[str, ...],
        Parameter(
            negative="", help="Only this reading; repeat for more. By default all but update_loss."
        ),
    ] = (),
) -> int:
    """Write runs, a checkpoint or published results in a format that other programs read.

    The store is only read, and a directory is written whole or not at all.
    """
    from undergrowth.exports.exporting import export as export_to
    from undergrowth.exports.format import ExportError
    from undergrowth.published.reading import ABOUT, results
    from undergrowth.store import Store

    try:
        if (source / ABOUT).is_file():
            if run:
                raise WrongUseError(f"{run[0]}: published results are exported whole: name no run")
            what = results(source.resolve().name, source.resolve().parent)
            place = export_to(what, to=to, out=out, step=step, readings=reading)
        else:
            store = Store(source)
            runs = runs_named(store, run)
            place = export_to(runs, to=to, out=out, step=step, readings=reading)
            for id_, why in () if run else store.unreadable:
                console.print(f"left out: run {id_}: {why}", markup=False)
    except ExportError as error:
        raise WrongUseError(str(error)) from None
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    console.print(f"{place}  {size / 1e6:.2f} MB", markup=False)
    return 0
