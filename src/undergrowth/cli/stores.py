"""`runs`, `verify` and `replay`: look at what is stored, and check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, RunId, StoreName, WrongUseError, app, runs_named
from undergrowth.plain_text import in_one_line, visible
from undergrowth.printing import console, errors, print_json, print_table, run_rows

MOST_PRINTED = 200
"""Runs that `runs` prints unless told otherwise."""
Sort = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="By what to sort, such as grokked; with a minus the most first, such as -val_accuracy.",
    ),
]
Limit = Annotated[int, Parameter(help="The most runs to print; 0 for all. JSON has all by default.")]


@app.command
def runs(
    directory: StoreName,
    /,
    *,
    where: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Only runs of which this is true: a field of the spec (optimiser.lr or lr), status, "
            "name, arm, study, seed, step, an event or a reading, then = != < <= > >= and a value, such "
            "as lr=0.003, arm='no*', grokked=none or 'val_accuracy>0.9'; repeat for more.",
        ),
    ] = (),
    sort: Sort = None,
    columns: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="What to show, such as lr,grokked,val_loss; by default events and the settings in "
            "which the runs differ.",
        ),
    ] = (),
    limit: Limit = MOST_PRINTED,
    as_json: AsJson = False,
) -> int:
    """List the runs of a store with the steps of their events: memorised, onset, grokked.

    A time in parentheses is the step from which it held to the end, where that is not the first.
    """
    from undergrowth.cli.run_list import as_listed, in_columns, in_order, matching
    from undergrowth.store import Store

    store = Store(directory)
    found, unreadable = store.listed()
    listed = matching(found, where)
    listed = listed if sort is None else in_order(listed, sort)
    unreadable = () if where else unreadable
    most = _at_least_0(limit) or len(listed)
    rows = run_rows(store, listed if as_json and limit == MOST_PRINTED else listed[:most])
    if as_json:
        lost = [{"id": id_, "status": "unreadable", "reason": reason} for id_, reason in unreadable]
        print_json([*(row.to_dict() for row in rows), *lost])
        return 0
    chosen = [name for each in columns for name in each.split(",") if name.strip()]
    table, more = (in_columns(rows, chosen), "") if chosen else as_listed(rows)
    if table:
        print_table(table)
    elif found:
        console.print(f"none of the {len(found)} runs in {visible(str(directory))} is so")
    elif not unreadable:
        console.print(f"{visible(str(directory))} has no runs yet")
    left = len(listed) - len(rows)
    further = f"{left:,} more runs: choose with --where, or give --limit 0" if left else ""
    for line in filter(None, (more, further)):
        console.print(line)
    _say_unreadable(unreadable)
    return 0


def _at_least_0(limit: int) -> int:
    if limit < 0:
        raise WrongUseError(f"--limit {limit}: give how many runs to print, or 0 for all")
    return limit


def _say_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """A line for each reason for which runs, of given ids, cannot be read."""
    by_reason: dict[str, list[str]] = {}
    for id_, reason in unreadable:
        by_reason.setdefault(reason, []).append(id_)
    for reason, ids in by_reason.items():
        which = f"run {ids[0]}" if len(ids) == 1 else f"{len(ids)} runs ({ids[0]}, ...)"
        console.print(f"{which} cannot be read: {in_one_line(reason)}")


@app.command
def verify(directory: StoreName, /, *, as_json: AsJson = False) -> int:
    """Check a store against its digests; exit code 1 if anything is damaged."""
    from undergrowth.store import verify as verify_store

    found = verify_store(directory)
    damage = [{"place": damage.place, "wrong": damage.wrong} for damage in found.damage]
    if as_json:
        counts = {"runs": found.runs, "readings": found.readings, "files": found.files}
        print_json({**counts, "interrupted": found.interrupted, "damage": damage})
    else:
        for entry in damage:
            console.print(in_one_line(f"{entry['place']}: {entry['wrong']}"))
        console.print(
            f"{found.runs} runs, {found.readings} readings, {found.files} files: "
            + (f"{len(damage)} damaged" if damage else "nothing damaged")
        )
        if found.interrupted:
            runs = "run was" if found.interrupted == 1 else "runs were"
            console.print(
                f"{found.interrupted} {runs} interrupted: run the command that trained it again to "
                "resume"
            )
    return 1 if damage else 0


@app.command
def replay(directory: StoreName, run: RunId, /, *, as_json: AsJson = False) -> int:
    """Train a stored run again and compare every bit; exit code 1 if any differs."""
    from undergrowth.store import Store
    from undergrowth.sweep.replaying import replay as replay_run, replayed_with
    from undergrowth.terminal import watching

    (stored,) = runs_named(Store(directory), (run,))
    with watching(replayed_with(stored), errors if as_json else console) as board:
        found = replay_run(stored, progress=board.hear)
    if as_json:
        print_json(asdict(found))
    else:
        for line in found.lines():
            console.print(line)
    return 0 if found.first is None else 1
