"""`runs`, `verify` and `replay`: look at what is stored, and check it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from undergrowth.cli.app import AsJson, RunId, StoreName, app, runs_named
from undergrowth.plain_text import in_one_line, visible
from undergrowth.printing import console, errors, print_json, print_table, run_rows, shortened

if TYPE_CHECKING:  # the command line starts without JAX
    pass


@app.command
def runs(directory: StoreName, /, *, as_json: AsJson = False) -> int:
    """List the runs of a store with the steps of their events: memorised, onset, grokked."""
    from undergrowth.store import Store

    store = Store(directory)
    table = run_rows(store.runs)
    unreadable = store.unreadable
    if as_json:
        lost = [{"id": id_, "status": "unreadable", "reason": reason} for id_, reason in unreadable]
        print_json([*table, *lost])
        return 0
    if table:
        print_table([shortened(row) for row in table])
    elif not unreadable:
        console.print(f"{visible(str(directory))} has no runs yet")
    for id_, reason in unreadable:
        console.print(f"run {id_} cannot be read: {in_one_line(reason)}")
    return 0


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
