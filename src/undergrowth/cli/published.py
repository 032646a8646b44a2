"""`publish` and `results`: small files that answer without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from undergrowth.cli.app import AsJson, WrongUseError, app
from undergrowth.cli.studies import study_named
from undergrowth.printing import console, print_json, print_verdicts


@app.command
def publish(
    directory: Annotated[
        Path | None, Parameter(help="The --out directory of a run, study or demo.")
    ] = None,
    /,
    *,
    study: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="Which study; repeat for more. By default all in the store."),
    ] = (),
    given: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="The command that trained the runs, to be recorded with them."),
    ] = (),
    into: Annotated[
        Path | None,
        Parameter(help="Directory of results; by default the one shipped with the package."),
    ] = None,
) -> int:
    """Write the results of a store's studies as small files that can be read without training.

    Runs published earlier are kept, so seeds may be trained in several stores. Without a directory the
    studies named are answered anew from their published curves, as after a rule was changed, and from
    those of the same runs in other studies.
    """
    from undergrowth.published.writing import answer_anew, publish as publish_study
    from undergrowth.store import Store

    names = [study_named(name).name for name in study]
    if directory is None and (given or not names):
        raise WrongUseError("publish what? Give a store, or --study NAME alone to answer it anew")
    store = None if directory is None else Store(directory)
    if store is not None and not names:
        names = sorted({part.study for run in store.runs for part in run.parts})
    if not names:
        raise WrongUseError(f"{directory} has no runs of a study: use `undergrowth study run` first")
    for name in names:
        found = answer_anew(name, into) if store is None else publish_study(store, name, given, into)
        size = sum(path.stat().st_size for path in found.where.iterdir())
        console.print(f"{name}: {found.about['runs']} runs, {size / 1e6:.2f} MB, {found.where}")
    return 0


@app.command
def results(
    study: Annotated[str | None, Parameter(help="A study; by default all claims.")] = None,
    /,
    *,
    of: Annotated[
        Path | None,
        Parameter(help="Directory of results; by default the one shipped with the package."),
    ] = None,
    markdown: Annotated[
        bool, Parameter(negative="", help="Print the generated parts of README.md and FINDINGS.md.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Print published results without training: one line per claim, or all endpoints of a study."""
    from undergrowth.published.reading import claims, results as results_of

    if markdown:
        from undergrowth.published.markdown import answer, claims_table

        print(answer(of), claims_table(of), sep="\n\n")
        return 0
    its = None if study is None else results_of(study, of)
    rows = claims(of) if its is None else its.verdicts
    if as_json:
        print_json(rows)
        return 0
    if its is not None:
        console.print(its.in_words)
    print_verdicts(rows)
    return 0
