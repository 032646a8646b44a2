"""`study` and `demo`: list, show and run studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from undergrowth.cli.app import (
    AsJson,
    Out,
    WrongUseError,
    app,
    at_least_1,
    study_app,
    which_seeds,
)
from undergrowth.cli.reporting import write_report_of
from undergrowth.cli.training import report_ends, train_watched
from undergrowth.printing import console, print_answers, print_json, print_table

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.studies import Planned, Study


BudgetName = Literal["quick", "standard", "full"]

Seeds = Annotated[int | None, Parameter(help="Number of seeds of each arm; by default the budget's.")]

SeedsOrWhich = Annotated[
    str | None,
    Parameter(help="Number of seeds of each arm, or which: 108-115 is eight. By default the budget's."),
]

Arms = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="Of a study: only arms whose names contain this text, and their trunks; repeat for more. "
        "By default all arms.",
    ),
]

StudyName = Annotated[str, Parameter(help="A name from 'undergrowth study list'.")]

DEMO = ("grokking", "saliency", "ablation")
"""The studies of the demo: it answers them from the runs that they share."""


@app.command
def demo(*, out: Out = Path("demo"), seeds: Seeds = None) -> int:
    """Train a network that groks, and its control; write report.html, verdicts.json and claims.json.

    A one-layer transformer learns x+y mod 53 with 4 seeds, and with 2 seeds of shuffled labels; the
    report answers P1 to P3, P14 (grokking), P15, P16 (saliency) and P17 (ablation). Two to three
    minutes on two cores. Finished runs are not trained again.
    """
    from undergrowth.studies import STUDIES, one_layer_addition

    if seeds is not None:
        at_least_1(seeds)
    shared = {arm.name for arm in one_layer_addition.arms("quick")}
    planned = [each for name in DEMO for each in STUDIES[name].planned("quick", seeds)]
    return _conduct(DEMO, [each for each in planned if each.part.arm in shared], out)


@study_app.command(name="list")
def list_studies(*, as_json: AsJson = False) -> int:
    """List the studies: name, claims, question."""
    from undergrowth.own_parts import use_entry_points
    from undergrowth.studies.named import studies

    use_entry_points()
    found = studies()
    table = [
        {"name": s.name, "claims": [claim.id for claim in s.claims], "question": s.question}
        for s in found.values()
    ]
    if as_json:
        print_json([{**row, "budgets": _budgets(found[str(row["name"])])} for row in table])
    else:
        print_table([{**row, "claims": " ".join(row["claims"])} for row in table])
        console.print("`undergrowth study run NAME` runs one, `undergrowth study run all` runs all.")
    return 0


def _budgets(study: Study) -> dict[str, dict[str, int]]:
    """By budget: how many runs a study has, and of how many steps in all."""
    from undergrowth.studies.arm import BUDGETS

    runs = {budget: study.runs(budget, None) for budget in BUDGETS}
    return {
        budget: {"runs": len(specs), "steps": sum(spec.steps for spec in specs)}
        for budget, specs in runs.items()
    }


@study_app.command(name="show")
def show_study(name: StudyName, /, *, as_json: AsJson = False) -> int:
    """Show a study: its claims, what each hypothesis predicts, and its runs by budget."""
    from undergrowth.studies.arm import BUDGETS

    study = study_named(name)
    runs = {budget: study.runs(budget, None) for budget in BUDGETS}
    if as_json:
        claims = [{"id": claim.id, "says": claim.says} for claim in study.claims]
        described = {"name": study.name, "question": study.question, "claims": claims}
        sizes = {budget: len(specs) for budget, specs in runs.items()}
        print_json({**described, "hypotheses": dict(study.hypotheses), "runs": sizes})
        return 0
    console.print(study.question, style="bold")
    for claim in study.claims:
        console.print(f"{claim.id:5} {claim.says}")
    console.print("Predictions", style="bold")
    for hypothesis, expects in study.hypotheses.items():
        console.print(f"  {hypothesis}: {expects}")
    console.print("Runs", style="bold")
    for budget, specs in runs.items():
        console.print(f"  {budget:9} {len(specs)} runs of {specs[0].steps:,} steps")
    return 0


@study_app.command(name="run")
def run_study(
    name: Annotated[
        str, Parameter(help="A name from 'undergrowth study list', or 'all' for all studies.")
    ],
    /,
    *,
    budget: Annotated[
        BudgetName,
        Parameter(help="quick: minutes, to see that it works; standard: 16 seeds; full: paper scale."),
    ] = "quick",
    seeds: SeedsOrWhich = None,
    arm: Arms = (),
    out: Out = Path("runs"),
) -> int:
    """Train a study's runs that are not stored yet; write report.html, verdicts.json and claims.json.

    The page covers every study whose runs are in the store.
    """
    from undergrowth.studies.named import studies

    names = tuple(studies()) if name == "all" else (study_named(name).name,)
    which = None if seeds is None else which_seeds(seeds)
    planned = [each for name in names for each in studies()[name].planned(budget, which)]
    return _conduct(names, only_arms(planned, arm), out)


def _conduct(names: Sequence[str], planned: Sequence[Planned], out: Path) -> int:
    import time

    from undergrowth.store.layout import create
    from undergrowth.studies.conducting import parts_in, state_predictions
    from undergrowth.studies.named import studies

    create(out)
    state_predictions(out, planned, studies().values(), time.time())
    specs = list({each.spec.id: each.spec for each in planned}.values())
    parts = parts_in(planned)
    called = {run_id: tuple(sorted({part.arm for part in its})) for run_id, its in parts.items()}
    store = train_watched(specs, out, called=called, parts=parts)
    print_answers(write_report_of(store, None).of(names))
    return report_ends(store, specs)


def only_arms(planned: Sequence[Planned], naming: Sequence[str]) -> Sequence[Planned]:
    """The runs of the arms given with --arm, refused where a text is in no arm's name; of none, all."""
    from undergrowth.studies.arm import of_arms

    if not naming:
        return planned
    try:
        return of_arms(planned, naming)
    except ValueError as error:
        raise WrongUseError(f"--arm {error}") from None


def study_named(name: str) -> Study:
    """The study of that name, refused with the nearest where there is none."""
    from undergrowth.studies.named import study

    try:
        return study(name)
    except ValueError as error:
        raise WrongUseError(str(error)) from None
