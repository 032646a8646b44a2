"""`merge` and `prune`: many stores into one, and what of a store may go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, StoreName, WrongUseError, app, say_wrong
from undergrowth.plain_text import visible
from undergrowth.printing import console, print_json

MOST_SAID = 20
"""Runs of which it is said one by one what was amiss; of more, how many they are."""


@app.command
def merge(
    *stores: Annotated[
        Path, Parameter(help="Stores, or directories in which stores lie, such as shards of a sweep.")
    ],
    into: Annotated[Path, Parameter(help="The store that gets all runs; made if missing.")],
    as_json: AsJson = False,
) -> int:
    """Put the runs of several stores into one, each once; exit code 1 if a run was left out as damaged.

    Every file and row is held against its digest. Of a run that several stores have, a finished account
    counts over an unfinished one, then the one that began first; where two finished ones differ, it is
    said. The stores are only read. To merge again changes nothing, and a merge that is killed is
    completed by the same command.
    """
    from undergrowth.store.merging import merge as merge_stores

    found = merge_stores(stores, into)
    if as_json:
        damaged = [{"run": run_id, "wrong": why} for run_id, why in found.damaged]
        counts = {"runs": found.runs, "new": found.new, "several": found.several}
        told = {"differing": list(found.differing), "damaged": damaged, "notes": list(found.notes)}
        print_json({**counts, **told})
        return 1 if damaged else 0
    left_out = [f"run {run_id} is left out: {why}" for run_id, why in found.damaged]
    for lines in (found.notes, found.differing, left_out):
        for line in lines[:MOST_SAID]:
            say_wrong(line)
        if (more := len(lines) - MOST_SAID) > 0:
            say_wrong(f"and {more} more such")
    several = f", {found.several} of them in more than one store" if found.several else ""
    console.print(f"{found.runs} runs in {visible(str(into))}, {found.new} of them new{several}")
    return 1 if found.damaged else 0


@app.command
def prune(
    directory: StoreName,
    /,
    *,
    checkpoints: Annotated[
        bool,
        Parameter(
            negative="",
            help="Of finished runs, all checkpoints but the first, the last and those where forks left.",
        ),
    ] = False,
    failed: Annotated[
        bool, Parameter(negative="", help="Failed runs, so that the next sweep tries them again.")
    ] = False,
    yes: Annotated[
        bool, Parameter(negative="", help="Remove it. Without this it is only listed.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Say what of a store may go, and with --yes remove it; no reading of a finished run is touched.

    What is removed of checkpoints cannot be measured any more; runs remain finished, and are not trained
    again.
    """
    from undergrowth.store.pruning import prunable, prune as prune_store

    if yes and not (checkpoints or failed):
        raise WrongUseError("--yes: nothing chosen: add --checkpoints, --failed or both")
    may = prunable(directory)
    gone = prune_store(directory, checkpoints=checkpoints, failed=failed) if yes else may
    if as_json:
        listed = {"n": len(gone.checkpoints), "bytes": gone.checkpoint_bytes}
        failures = {"runs": [run_id for run_id, _ in gone.failed], "bytes": gone.failed_bytes}
        print_json({"removed": yes, "checkpoints": listed, "failed": failures})
        return 0
    verb = "removed" if yes else "may go"
    for wanted, option, n, what, n_bytes in (
        (checkpoints, "--checkpoints", len(gone.checkpoints), "checkpoints", gone.checkpoint_bytes),
        (failed, "--failed", len(gone.failed), "failed runs", gone.failed_bytes),
    ):
        if wanted or not (checkpoints or failed):
            how = "" if yes else f"  ({option} --yes)"
            console.print(f"{n} {what}, {in_bytes(n_bytes)}: {verb}{how}", markup=False)
    return 0


def in_bytes(n: float) -> str:
    """Bytes in a unit that has them in few figures.

    >>> in_bytes(2_340_000)
    '2.34 MB'
    """
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.1f} GB"
