"""`run`: train the runs of a spec file; what other commands train by, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from undergrowth.cli.app import Out, app, say_wrong, which_seeds
from undergrowth.cli.specs import SpecName, read_specs
from undergrowth.plain_text import in_one_line
from undergrowth.printing import console, run_rows

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.naming import Names
    from undergrowth.spec import RunSpec
    from undergrowth.store import Store
    from undergrowth.store.parts import Parts


@app.command
def run(
    spec: SpecName,
    /,
    *,
    out: Out = Path("runs"),
    seeds: Annotated[
        str | None,
        Parameter(help="Train each run with seeds 0 to N-1, or with those of a range such as 108-115."),
    ] = None,
) -> int:
    """Train the runs in a spec file; with --seeds N, each with seeds 0 to N-1.

    `undergrowth show SPEC --resolved` prints them with every default.
    """
    file = read_specs(spec, None if seeds is None else which_seeds(seeds))
    _say_where_to_go_on(file.runs, out)
    store = train_watched(file.runs, out, file.names)
    trained = {spec.id for spec in file.runs}
    listed = [row for row in store.listed()[0] if row.id in trained]
    for row in run_rows(store, listed):
        told = filter(None, [row.listed.id, row.listed.status, row.told, row.listed.note])
        console.print("  ".join(map(in_one_line, told)))
    return report_ends(store, file.runs)


def train_watched(
    specs: Sequence[RunSpec],
    out: Path,
    names: Names | None = None,
    *,
    called: Names | None = None,
    parts: Parts | None = None,
) -> Store:
    """names: those that a spec file gives; called: what runs are called while they train, the same by
    default; parts: those that they play in studies.
    """
    from undergrowth.sweep import train
    from undergrowth.terminal import watching

    with watching(specs, console, called or names) as board:
        return train(specs, out, progress=board.hear, names=names or {}, parts=parts or {})


def _say_where_to_go_on(specs: Sequence[RunSpec], out: Path) -> None:
    """For a run that a stored one would be with more steps: how to go on from there, not from 0."""
    from undergrowth.store import Store
    from undergrowth.store.layout import MARKER

    if not (out / MARKER).exists():
        return
    store = Store(out)
    done = sorted((run.spec for run in store.runs if run.status == "done"), key=lambda s: s.steps)
    shorter = {_but_for_steps(spec): spec for spec in done}
    begun = [(spec, shorter.get(_but_for_steps(spec))) for spec in specs]
    lines = [_from_there(spec, begins) for spec, begins in begun if begins and begins.steps < spec.steps]
    _say_each(lines, store)


def _but_for_steps(spec: RunSpec) -> tuple[object, ...]:
    return tuple(value for name, value in spec if name != "steps")


def _from_there(spec: RunSpec, begins: RunSpec) -> str:
    at = f'at = {{ name = "at_step", step = {begins.steps} }}'
    return (
        f"run {spec.id} starts at step 0, though {begins.id} already has its first {begins.steps:,} "
        "steps: "
        f'to continue from there, write fork = {{ of = "{begins.id}", {at} }} in its spec'
    )


MOST_SAID = 5
"""Runs of which it is said one by one what was amiss; of more, how many they are."""


def report_ends(store: Store, specs: Sequence[RunSpec]) -> int:
    """Say which runs failed and in which something never fired; the exit code."""
    from undergrowth.naming import runs_told_apart
    from undergrowth.store.outcomes import never_fired

    stored = store.select(specs)
    told = runs_told_apart([run.spec for run in stored], {run.id: run.called for run in stored})
    failed = [run for run in stored if run.status == "failed"]
    _say_each([f"run {run.id} failed ({told[run.id]}): {run.message}" for run in failed], store)
    unfired = [(run, never) for run in stored if (never := never_fired(run))]
    lines = [f"run {run.id} ({told[run.id]}): never fired: {'; '.join(n)}" for run, n in unfired]
    _say_each(lines, store)
    return 1 if failed else 0


def _say_each(lines: Sequence[str], store: Store) -> None:
    from undergrowth.own_parts import undergrowth_command

    for line in lines[:MOST_SAID]:
        say_wrong(line)
    if (more := len(lines) - MOST_SAID) > 0:
        listing = undergrowth_command("runs", store.root)
        say_wrong(f"and {more} more: `{listing}` lists them")
