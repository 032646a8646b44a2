"""The application, the arguments that its commands share, and what they refuse with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from undergrowth.plain_text import command, in_one_line
from undergrowth.version import __version__

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.store import Run, Store


HELP = """Why, and when, does gradient descent replace many shallow circuits by few general ones?

Train small networks on tasks whose every input can be enumerated, measure their circuits throughout
training, and get a verdict over seeds on stated predictions. Start with `undergrowth demo`.
"""

app = App(
    name="undergrowth",
    help=HELP,
    version=__version__,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)
app.meta.suppress_keyboard_interrupt = False  # of which --with is an option, before every command's

study_app = App(name="study", help="Questions with stated predictions: list, show, run.")
app.command(study_app)

# Helps stand in annotations, for cyclopts drops a docstring's where a parameter has no keyword, and
# without `backticks`, which it takes for mark-up.
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")]
Out = Annotated[Path, Parameter(help="Directory of the store; created if missing.")]
StoreName = Annotated[Path, Parameter(help="The --out directory of a run, study or demo.")]
RunId = Annotated[str, Parameter(help="A run's id, or how it starts; 'undergrowth runs' lists them.")]

given_arguments: ContextVar[Sequence[str]] = ContextVar("arguments of the command at work")


class WrongUseError(Exception):
    """A command that cannot be carried out as given; one line."""


class NotWrittenError(Exception):
    """A report that the machine would not take; one line."""


def this_command() -> str:
    """What was given, as a line that does the same from wherever it is pasted."""
    given = command("undergrowth", *given_arguments.get(sys.argv[1:]))
    return f"{command('cd', os.getcwd())} && {given}"


def say_wrong(message: str) -> None:
    """Say in one line on standard error what is wrong."""
    sys.stderr.write(f"undergrowth: {in_one_line(message)}\n")


def at_least_1(seeds: int) -> int:
    """The number given with --seeds, refused where it is below 1."""
    if seeds < 1:
        raise WrongUseError(
            f"--seeds {seeds}: nothing to train without a seed: give --seeds 1 or more, or omit it"
        )
    return seeds


def which_seeds(given: str) -> int | range:
    """How many seeds, or which: '8', or '108-115' from the first to the last."""
    from undergrowth.spec.file import seed_range

    if given.strip().isdecimal():
        return at_least_1(int(given))
    if (found := seed_range(given)) is None:
        raise WrongUseError(
            f"--seeds {given}: neither a number of seeds nor a range of them: give --seeds 8, or "
            "--seeds 108-115 for these eight"
        )
    return found


def runs_named(store: Store, ids: Sequence[str]) -> list[Run]:
    """The runs whose ids begin so, all of them where none is named."""
    stored = store.runs
    for id_, why in store.unreadable if ids or not stored else ():
        if not stored or any(id_.startswith(begins) for begins in ids):
            raise WrongUseError(f"run {id_} cannot be read: {why}")
    if not stored:
        raise WrongUseError(f"{store.root} has no runs yet: train some first")
    return [_run_named(store, stored, begins) for begins in ids] or list(stored)


def _run_named(store: Store, stored: Sequence[Run], begins: str) -> Run:
    from undergrowth.own_parts import undergrowth_command

    matching = [run for run in stored if run.id.startswith(begins)]
    listing = f"`{undergrowth_command('runs', store.root)}` lists them"
    if not matching:
        raise WrongUseError(f"{begins!r}: no run in {store.root} has an id that starts so: {listing}")
    if len(matching) > 1:
        raise WrongUseError(
            f"{begins!r}: {len(matching)} runs in {store.root} have ids that start so: give more of the "
            f"id; {listing}"
        )
    return matching[0]
