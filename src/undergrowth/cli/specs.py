"""`show` and `presets`: what a spec file would run, and the published set-ups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, WrongUseError, app
from undergrowth.plain_text import visible
from undergrowth.printing import console, print_entry, print_json, print_toml

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.spec import RunSpec
    from undergrowth.spec.file import SpecFile
    from undergrowth.spec.grid import Grid


SpecName = Annotated[str, Parameter(help="A TOML file, or a name from 'undergrowth presets'.")]


def read_specs(named: str, seeds: int | range | None = None) -> SpecFile:
    """What a spec file holds, or a published set-up by that name."""
    from undergrowth.spec import SpecError
    from undergrowth.spec.file import SpecFile
    from undergrowth.spec.presets import PRESETS

    grid = read_grid_named(named, seeds)
    try:
        file = SpecFile(tuple(grid), tuple(grid.name(position) for position in range(len(grid))))
        for spec in file.runs if named not in PRESETS or Path(named).exists() else ():
            spec.data()
    except SpecError as error:
        raise WrongUseError(f"{named}: {error}") from None
    return file


def read_grid_named(named: str, seeds: int | range | None = None) -> Grid:
    """The runs of a spec file, or of a published set-up by that name, none of which is made yet."""
    from difflib import get_close_matches

    from undergrowth.spec import SpecError
    from undergrowth.spec.file import read_grid
    from undergrowth.spec.presets import PRESETS

    path = Path(named)
    if named in PRESETS and not path.exists():
        return read_grid(f'preset = "{named}"', seeds)
    try:
        return read_grid(path.read_text(encoding="utf-8"), seeds)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        near = get_close_matches(named, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise WrongUseError(
            f"{path}: {reason}: give a spec file in TOML, or a name from `undergrowth presets`{hint}"
        ) from None
    except SpecError as error:
        raise WrongUseError(f"{path}: {error}") from None


@app.command
def show(
    spec: SpecName,
    /,
    *,
    resolved: Annotated[
        bool,
        Parameter(negative="", help="Print a spec file of the same runs with all defaults written out."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check a spec file and say what it would run."""
    file = read_specs(spec)
    if as_json:
        described = [
            {"id": one.id, "name": name, "spec": one.model_dump(mode="json")}
            for one, name in zip(file.runs, file.names_in_order, strict=True)
        ]
        print_json(described[0] if len(described) == 1 else described)
    elif resolved:
        print_toml(file.to_toml())
    else:
        for i, (one, name) in enumerate(zip(file.runs, file.names_in_order, strict=True)):
            if i:
                console.print()
            _describe(one, name)
    return 0


def _describe(spec: RunSpec, name: str | None) -> None:
    data = spec.data()
    if name is not None:
        console.print(f"name       {visible(name)}")
    console.print(f"id         {spec.id}")
    console.print(f"run        {spec.describe()}")
    if spec.fork is not None:
        console.print(f"fork       of {spec.fork.of} {spec.fork.at.describe()}")
    console.print(f"examples   {data.n_train} train, {int(data.is_val.sum())} validation")
    console.print(f"steps      {spec.steps}")
    console.print(f"measures   {', '.join(measure.key for measure in spec.measures)}")
    for intervention in spec.interventions:
        console.print(f"then       {intervention.describe()}")


@app.command
def presets(*, as_json: AsJson = False) -> int:
    """List the published set-ups that `run` and `show` accept by name, and spec files as `preset`."""
    from undergrowth.spec.presets import PRESETS

    table = [
        {"name": preset.name, "source": preset.source, "differs": preset.differs}
        for preset in PRESETS.values()
    ]
    if as_json:
        print_json(table)
        return 0
    for row in table:
        print_entry(row["name"], row["source"], differs=row["differs"])
    return 0
