"""`import`: other people's networks become runs of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, WrongUseError, app
from undergrowth.plain_text import in_one_line, visible
from undergrowth.printing import console, errors, print_json

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.imports import Imported


@app.command(name="import")
def import_(
    path: Annotated[Path, Parameter(help="A checkpoint, a file of curves, or a folder of them.")],
    /,
    *,
    store: Annotated[
        Path, Parameter(name="--as", help="Directory of the store; created if missing.")
    ] = Path("runs"),
    spec: Annotated[
        Path | None,
        Parameter(
            help="A TOML file with fields of a spec that the files do not tell, or wrongly: task, "
            "split, optimiser, ..; they go over those that were found."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, Parameter(help="A TOML file that says what a layout means which is not known.")
    ] = None,
    fresh_optimiser: Annotated[
        bool,
        Parameter(
            negative="",
            help="Let runs go on from weights without moments, with moments that start at zero.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Import networks that were trained elsewhere: .pt, .pth, .safetensors, .csv or .jsonl.

    Nothing in a file is run. What was imported can be measured, reported, and, where the optimiser's
    moments are there, forked and trained on. Exit code 1 where a file says what its weights do not bear
    out.
    """
    from undergrowth.imports import import_runs

    fields = {} if spec is None else _fields(spec)
    found = import_runs(path, store, mapping=mapping, fresh_optimiser=fresh_optimiser, **fields)
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found, store)
    return 1 if found.disagreements else 0


def _fields(path: Path) -> dict[str, Any]:
    from undergrowth.toml_text import parsed

    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WrongUseError(
            f"{path}: {in_one_line(str(reason))}: give fields of a spec in TOML"
        ) from None


def _as_json(found: Imported) -> dict[str, Any]:
    return {
        "runs": [
            {
                "id": run.id,
                "name": ", ".join(run.given_names),
                "checkpoints": list(run.checkpoints),
                "origin": run.spec.origin and run.spec.origin.model_dump(mode="json"),
                "disagreements": list(found.disagreements.get(run.id, ())),
            }
            for run in found.runs
        ],
        "left_out": [{"name": name, "why": why} for name, why in found.left_out],
    }


def _print(found: Imported, store: Path) -> None:
    from undergrowth.own_parts import undergrowth_command

    for run in found.runs:
        origin = run.spec.origin
        assert origin is not None
        console.print(f"run        {run.id}  {visible(', '.join(run.given_names))}")
        console.print(f"what       {visible(run.spec.describe())}")
        console.print(f"layout     {origin.dialect}")
        console.print(f"weights at {_steps(origin.checkpoints)}")
        console.print(f"goes on at {_steps(origin.moments) if origin.moments else _not_on(origin)}")
        for heading, lines in (("assumed", origin.assumed), ("checked", origin.checked)):
            for line in lines:
                console.print(f"{heading:<10} {visible(line)}")
        console.print()
    for name, why in found.left_out:
        errors.print(in_one_line(f"left out   {name}: {why}"))
    console.print(f"next       {undergrowth_command('runs', store)}")


def _steps(steps: tuple[int, ...]) -> str:
    if not steps:
        return "no weights"
    return ", ".join(map(str, steps[:6])) + (f", .. {steps[-1]}" if steps[6:] else "")


def _not_on(origin: Any) -> str:
    if not origin.checkpoints:
        return "no: it has no weights"
    fresh = "with moments that start at zero" if origin.fresh_optimiser else ""
    return fresh or "no: the optimiser's moments are not there (--fresh-optimiser)"
