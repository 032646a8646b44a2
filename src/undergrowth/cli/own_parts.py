"""`--with`: parts of one's own, for whatever command follows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import app

HELP = (
    "A Python file of your own, or a folder with `__init__.py`: its tasks, models, measures, actions "
    "and studies are then known by name; repeat for more."
)


@app.meta.default
def with_own_parts(
    *arguments: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    with_: Annotated[
        tuple[Path, ...],
        Parameter(
            name="--with",
            negative="",
            show_default=False,
            help=HELP,
        ),
    ] = (),
) -> object:
    """Carry out a command, with parts of one's own known to it."""
    if with_:
        from undergrowth.own_parts import use

        for each in with_:
            use(each)
    return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
