"""`report`: write the page of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from undergrowth.cli.app import (
    AsJson,
    NotWrittenError,
    StoreName,
    app,
    runs_named,
    say_wrong,
    this_command,
)
from undergrowth.garbage import collected_seldom
from undergrowth.printing import print_answers, print_json

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.store import Run, Store
    from undergrowth.studies.conducting import Report


@app.command
def report(
    directory: StoreName,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="Write into this directory or to this .html file; by default into the store."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Rebuild report.html, verdicts.json and claims.json from a store, without training.

    The store is only read, so another command may be training into it; the page then says that it is a
    snapshot.
    """
    from undergrowth.store import Store

    store = Store(directory)
    written = write_report_of(store, out, runs_named(store, ()))
    if as_json:
        print_json([claim.to_dict() for claim in written.claims])
    else:
        print_answers(written)
    return 0


def write_report_of(store: Store, out: Path | None, runs: Sequence[Run] | None = None) -> Report:
    """Write the page of a store, by default into it; runs: its runs, where they were read already."""
    from undergrowth.own_parts import undergrowth_command
    from undergrowth.studies.conducting import places, write_report
    from undergrowth.studies.named import studies, unknown_in

    if unknown := unknown_in(store):
        say_wrong(
            f"{', '.join(unknown)}: no such study, so its runs are reported as runs of your own: give "
            "the file that has it, --with FILE"
        )
    try:
        with collected_seldom():
            where = places(store, out)
            return write_report(store, studies().values(), this_command(), where, runs)
    except OSError as error:
        again = undergrowth_command("report", store.root, "--out", "PLACE")
        raise NotWrittenError(
            f"{error.filename or out or store.root}: {error.strerror or error}: the report was not "
            f"written, but the store is intact; free space or fix permissions there, or run `{again}`"
        ) from None
