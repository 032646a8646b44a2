"""`diff`: two runs beside one another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, WrongUseError, app, runs_named
from undergrowth.plain_text import in_one_line
from undergrowth.printing import console, print_json, print_table

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.store import Run
    from undergrowth.store.comparing import Comparison, FirstDifference


@app.command
def diff(
    first: Annotated[str, Parameter(help="The store of both runs; or DIR/RUN, a store and a run.")],
    second: Annotated[str, Parameter(help="A run's id, or how it starts; or DIR/RUN of another store.")],
    third: Annotated[
        str | None, Parameter(help="The other run of the store; none where two DIR/RUN were given.")
    ] = None,
    /,
    *,
    as_json: AsJson = False,
) -> int:
    """Compare two runs: settings, shared trunk, and the first reading that differs.

    `undergrowth diff DIR RUN RUN` for two of one store, `undergrowth diff DIR/RUN DIR/RUN` for any two.
    Every bit of every reading that both have is compared at each step that both have. Exit code 0 where
    the settings and all these are the same, 1 where any differs.
    """
    from undergrowth.store.comparing import compare

    this, that = _two_runs(first, second, third)
    found = compare(this, that)
    if as_json:
        print_json({**asdict(found), "same": found.is_same})
    else:
        _print(found)
    return 0 if found.is_same else 1


def _two_runs(first: str, second: str, third: str | None) -> tuple[Run, Run]:
    from undergrowth.store import Store

    if third is not None:
        this, that = (runs_named(Store(first), (run,))[0] for run in (second, third))
        return this, that
    found: list[Run] = []
    for given in (first, second):
        place = Path(given)
        if not place.name or place.parent == place:
            raise WrongUseError(f"{given}: no run: give DIR RUN RUN, or DIR/RUN twice")
        if place.is_dir() and place.parent.name != "runs":
            raise WrongUseError(
                f"{given} is a directory, not a run in one: give DIR RUN RUN, or DIR/RUN twice"
            )
        (run,) = runs_named(Store(place.parent), (place.name,))
        found.append(run)
    return found[0], found[1]


def _print(found: Comparison) -> None:
    if found.settings:
        rows = [
            {"setting": name, found.this: _cell(this), found.that: _cell(that)}
            for name, (this, that) in found.settings.items()
        ]
        print_table(rows)
    else:
        console.print("settings   the same")
    trunk = found.trunk
    if trunk is not None:
        console.print(f"trunk      {trunk.how}: they share it up to step {trunk.until:,}")
    elif found.this != found.that:
        console.print("trunk      none in common")
    for run, names in ((found.this, found.only_this), (found.that, found.only_that)):
        if names:
            console.print(f"only       {run} has {', '.join(map(in_one_line, names))}")
    if found.first is None:
        n = found.n_compared
        same = f"the same, every bit of {n:,} by name and step" if n else "none in common"
        console.print(f"readings   {same}")
    else:
        console.print(f"readings   differ first at {_where(found.first)}")


def _where(first: FirstDifference) -> str:
    at = f"[{', '.join(map(str, first.at))}]" if first.at else ""
    name = in_one_line(first.name)
    return f"step {first.step:,}: {name}{at} is {first.this:.9g} and {first.that:.9g}"


def _cell(value: object) -> str | None:
    from undergrowth.values import in_brief

    return None if value is None else in_brief(value)
