"""`measure` and `measures`: measure stored checkpoints."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, StoreName, app, runs_named
from undergrowth.printing import console, in_figures, print_entry, print_json, print_table, reading_rows


@app.command
def measure(
    directory: StoreName,
    /,
    *,
    measure: Annotated[
        str,
        Parameter(
            help="A name, such as saliency; a TOML table with fields, such as "
            '\'{ name = "saliency", component = "head" }\'; or your own class, such as mine.py:Mine. '
            "'undergrowth measures' lists the names."
        ),
    ],
    run: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="A run's id, or how it starts; repeat for more runs. By default all runs.",
        ),
    ] = (),
    step: Annotated[
        tuple[int, ...],
        Parameter(negative="", help="A checkpoint's step; repeat for more. By default all checkpoints."),
    ] = (),
    as_json: AsJson = False,
) -> int:
    """Measure stored checkpoints and store the readings; nothing is measured twice."""
    from undergrowth.store import Store
    from undergrowth.store.lock import writing
    from undergrowth.sweep.measuring import measure_into

    store = Store(directory)
    runs = runs_named(store, run)
    with writing(store.root) as lock:
        taken = list(measure_into(runs, measure, step or None, right_to_write=lock))
    rows = [row for one in taken for row in reading_rows(one.run_id, one.step, one.readings)]
    if as_json:
        print_json(rows)
        return 0
    if rows:
        print_table([in_figures(row) for row in rows])
    before = sum(not one.is_new for one in taken)
    console.print(
        f"{len(taken) - before} checkpoints measured, {before} already measured; "
        f"in Python: undergrowth.open({str(directory)!r}).run(ID)[NAME]"
    )
    return 0


@app.command
def measures(*, as_json: AsJson = False) -> int:
    """List the measures that specs and `undergrowth measure` accept by name, with their fields."""
    from undergrowth.measures.named import kinds

    table = [
        {
            "name": name,
            "what": (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " "),
            "fields": [field for field in kind.model_fields if field not in ("name", "schedule")],
        }
        for name, kind in kinds().items()
    ]
    if as_json:
        print_json(table)
        return 0
    for row in table:
        print_entry(str(row["name"]), str(row["what"]), fields=", ".join(row["fields"]))
    return 0
