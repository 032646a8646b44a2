"""The command line. Exit codes: 0 done, 1 a run or check failed, 2 usage error, 130 interrupted."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from undergrowth.plain_text import command, in_one_line, visible
from undergrowth.printing import (
    console,
    errors,
    in_figures,
    print_answers,
    print_entry,
    print_json,
    print_table,
    print_toml,
    print_verdicts,
    reading_rows,
    run_rows,
    shortened,
    survive_any_text,
)
from undergrowth.version import __version__

if TYPE_CHECKING:  # the command line starts without JAX
    from undergrowth.naming import Names
    from undergrowth.spec import RunSpec
    from undergrowth.spec.file import SpecFile
    from undergrowth.store import Run, Store
    from undergrowth.store.parts import Parts
    from undergrowth.studies import Planned, Study
    from undergrowth.studies.conducting import Report

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
study_app = App(name="study", help="Questions with stated predictions: list, show, run.")
app.command(study_app)

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")]
BudgetName = Literal["quick", "standard", "full"]
Out = Annotated[Path, Parameter(help="Directory of the store; created if missing.")]
Seeds = Annotated[int | None, Parameter(help="Number of seeds of each arm; by default the budget's.")]
SeedsOrWhich = Annotated[
    str | None,
    Parameter(help="Number of seeds of each arm, or which: 108-115 is eight. By default the budget's."),
]
# Helps stand in annotations, for cyclopts drops a docstring's where a parameter has no keyword, and
# without `backticks`, which it takes for mark-up.
SpecName = Annotated[str, Parameter(help="A TOML file, or a name from 'undergrowth presets'.")]
StoreName = Annotated[Path, Parameter(help="The --out directory of a run, study or demo.")]
StudyName = Annotated[str, Parameter(help="A name from 'undergrowth study list'.")]
RunId = Annotated[str, Parameter(help="A run's id, or how it starts; 'undergrowth runs' lists them.")]


_given: ContextVar[Sequence[str]] = ContextVar("arguments of the command at work")


DEMO = ("grokking", "saliency", "ablation")
"""The studies of the demo: it answers them from the runs that they share."""


class WrongUseError(Exception):
    """A command that cannot be carried out as given; one line."""


class NotWrittenError(Exception):
    """A report that the machine would not take; one line."""


@app.command
def demo(*, out: Out = Path("demo"), seeds: Seeds = None) -> int:
    """Train a network that groks, and its control; write report.html and verdicts.json.

    A one-layer transformer learns x+y mod 53 with 4 seeds, and with 2 seeds of shuffled labels; the
    report answers P1 to P3, P14 (grokking), P15, P16 (saliency) and P17 (ablation). Two to three
    minutes on two cores. Finished runs are not trained again.
    """
    from undergrowth.studies import STUDIES, one_layer_addition

    if seeds is not None:
        _at_least_1(seeds)
    shared = {arm.name for arm in one_layer_addition.arms("quick")}
    planned = [each for name in DEMO for each in STUDIES[name].planned("quick", seeds)]
    return _conduct(DEMO, [each for each in planned if each.part.arm in shared], out)


@app.command
def run(
    spec: SpecName,
    /,
    *,
    out: Out = Path("runs"),
    seeds: Annotated[int | None, Parameter(help="Train each run with seeds 0 to N-1.")] = None,
) -> int:
    """Train the runs in a spec file; with --seeds N, each with seeds 0 to N-1.

    `undergrowth show SPEC --resolved` prints them with every default.
    """
    file = _read_specs(spec, None if seeds is None else _at_least_1(seeds))
    _say_where_to_go_on(file.runs, out)
    store = _train(file.runs, out, file.names)
    for row in run_rows(store.select(file.runs)):
        told = filter(None, [row["id"], row["status"], row["run"], row["note"]])
        console.print("  ".join(map(in_one_line, told)))
    return _report_ends(store, file.runs)


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
    file = _read_specs(spec)
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


@app.command
def replay(directory: StoreName, run: RunId, /, *, as_json: AsJson = False) -> int:
    """Train a stored run again and compare every bit; exit code 1 if any differs."""
    from undergrowth.store import Store
    from undergrowth.sweep.replaying import replay as replay_run, replayed_with
    from undergrowth.terminal import watching

    (stored,) = _runs_named(Store(directory), (run,))
    with watching(replayed_with(stored), errors if as_json else console) as board:
        found = replay_run(stored, progress=board.hear)
    if as_json:
        print_json(asdict(found))
    else:
        for line in found.lines():
            console.print(line)
    return 0 if found.first is None else 1


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
def measure(
    directory: StoreName,
    /,
    *,
    measure: Annotated[
        str,
        Parameter(
            help="A name, such as saliency; a TOML table with fields, such as "
            '\'{ name = "saliency", component = "head" }\'; or your own class, such as mine.py:Mine. '
            "'undergrowth measures' lists the names."
        ),
    ],
    run: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="A run's id, or how it starts; repeat for more runs. By default all runs.",
        ),
    ] = (),
    step: Annotated[
        tuple[int, ...],
        Parameter(negative="", help="A checkpoint's step; repeat for more. By default all checkpoints."),
    ] = (),
    as_json: AsJson = False,
) -> int:
    """Measure stored checkpoints and store the readings; nothing is measured twice."""
    from undergrowth.store import Store
    from undergrowth.store.lock import writing
    from undergrowth.sweep.measuring import measure_into

    store = Store(directory)
    runs = _runs_named(store, run)
    with writing(store.root) as lock:
        taken = list(measure_into(runs, measure, step or None, right_to_write=lock))
    rows = [row for one in taken for row in reading_rows(one.run_id, one.step, one.readings)]
    if as_json:
        print_json(rows)
        return 0
    if rows:
        print_table([in_figures(row) for row in rows])
    before = sum(not one.is_new for one in taken)
    console.print(
        f"{len(taken) - before} checkpoints measured, {before} already measured; "
        f"in Python: undergrowth.open({str(directory)!r}).run(ID)[NAME]"
    )
    return 0


@app.command
def measures(*, as_json: AsJson = False) -> int:
    """List the measures that specs and `undergrowth measure` accept by name, with their fields."""
    from undergrowth.measures.named import KINDS

    table = [
        {
            "name": name,
            "what": (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " "),
            "fields": [field for field in kind.model_fields if field not in ("name", "schedule")],
        }
        for name, kind in KINDS.items()
    ]
    if as_json:
        print_json(table)
        return 0
    for row in table:
        print_entry(str(row["name"]), str(row["what"]), fields=", ".join(row["fields"]))
    return 0


@app.command
def report(
    directory: StoreName,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="Write into this directory or to this .html file; by default into the store."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Rebuild report.html and verdicts.json from a store, without training.

    The store is only read, so another command may be training into it; the page then says that it is a
    snapshot.
    """
    from undergrowth.store import Store

    store = Store(directory)
    if not store.runs:
        raise WrongUseError(f"{directory} has no runs to report: train some first")
    written = _write_report(store, out)
    if as_json:
        print_json([claim.to_dict() for claim in written.claims])
    else:
        print_answers(written)
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


@study_app.command(name="list")
def list_studies(*, as_json: AsJson = False) -> int:
    """List the studies: name, claims, question."""
    from undergrowth.studies import STUDIES

    table = [
        {"name": s.name, "claims": [claim.id for claim in s.claims], "question": s.question}
        for s in STUDIES.values()
    ]
    if as_json:
        print_json([{**row, "budgets": _budgets(STUDIES[str(row["name"])])} for row in table])
    else:
        print_table([{**row, "claims": " ".join(row["claims"])} for row in table])
        console.print("`undergrowth study run NAME` runs one, `undergrowth study run all` runs all.")
    return 0


def _budgets(study: Study) -> dict[str, dict[str, int]]:
    """By budget: how many runs a study has, and of how many steps in all."""
    from undergrowth.studies.conducting import BUDGETS

    runs = {budget: study.runs(budget, None) for budget in BUDGETS}
    return {
        budget: {"runs": len(specs), "steps": sum(spec.steps for spec in specs)}
        for budget, specs in runs.items()
    }


@study_app.command(name="show")
def show_study(name: StudyName, /, *, as_json: AsJson = False) -> int:
    """Show a study: its claims, what each hypothesis predicts, and its runs by budget."""
    from undergrowth.studies.conducting import BUDGETS

    study = _study(name)
    sizes: dict[BudgetName, int] = {budget: len(study.runs(budget, None)) for budget in BUDGETS}
    if as_json:
        claims = [{"id": claim.id, "says": claim.says} for claim in study.claims]
        described = {"name": study.name, "question": study.question, "claims": claims}
        print_json({**described, "hypotheses": dict(study.hypotheses), "runs": sizes})
        return 0
    console.print(study.question, style="bold")
    for claim in study.claims:
        console.print(f"{claim.id:5} {claim.says}")
    console.print("Predictions", style="bold")
    for hypothesis, expects in study.hypotheses.items():
        console.print(f"  {hypothesis}: {expects}")
    console.print("Runs", style="bold")
    for budget, n_runs in sizes.items():
        console.print(f"  {budget:9} {n_runs} runs of {study.runs(budget, None)[0].steps:,} steps")
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
    arm: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Only arms whose names contain this text, and their trunks; repeat for more. "
            "By default all arms.",
        ),
    ] = (),
    out: Out = Path("runs"),
) -> int:
    """Train the runs of a study that are not stored yet; write report.html and verdicts.json.

    The page covers every study whose runs are in the store.
    """
    from undergrowth.studies import STUDIES
    from undergrowth.studies.arm import of_arms

    names = tuple(STUDIES) if name == "all" else (_study(name).name,)
    which = None if seeds is None else _seeds(seeds)
    planned = [each for name in names for each in STUDIES[name].planned(budget, which)]
    try:
        planned = of_arms(planned, arm) if arm else planned
    except ValueError as error:
        raise WrongUseError(f"--arm {error}") from None
    return _conduct(names, planned, out)


@app.command
def publish(
    directory: StoreName,
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

    Runs published earlier are kept, so seeds may be trained in several stores.
    """
    from undergrowth.published.writing import publish as publish_study
    from undergrowth.store import Store

    store = Store(directory)
    names = [_study(name).name for name in study] or sorted(
        {part.study for run in store.runs for part in run.parts}
    )
    if not names:
        raise WrongUseError(f"{directory} has no runs of a study: use `undergrowth study run` first")
    for name in names:
        found = publish_study(store, name, given, into)
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


def _conduct(names: Sequence[str], planned: Sequence[Planned], out: Path) -> int:
    import time

    from undergrowth.store.layout import create
    from undergrowth.studies import STUDIES
    from undergrowth.studies.conducting import parts_in, state_predictions

    create(out)
    state_predictions(out, planned, STUDIES.values(), time.time())
    specs = list({each.spec.id: each.spec for each in planned}.values())
    parts = parts_in(planned)
    called = {run_id: tuple(sorted({part.arm for part in its})) for run_id, its in parts.items()}
    store = _train(specs, out, called=called, parts=parts)
    print_answers(_write_report(store, None).of(names))
    return _report_ends(store, specs)


def _train(
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


def _write_report(store: Store, out: Path | None) -> Report:
    from undergrowth.studies import STUDIES
    from undergrowth.studies.conducting import places, write_report

    often = gc.get_threshold()
    # looking for cycles, of which a report makes few, among all that it holds takes a tenth of its time
    gc.set_threshold(200_000, 20, 20)
    try:
        return write_report(store, STUDIES.values(), _this_command(), places(store, out))
    except OSError as error:
        again = command("undergrowth", "report", store.root, "--out", "PLACE")
        raise NotWrittenError(
            f"{error.filename or out or store.root}: {error.strerror or error}: the report was not "
            f"written, but the store is intact; free space or fix permissions there, or run `{again}`"
        ) from None
    finally:
        gc.set_threshold(*often)


def _read_specs(named: str, seeds: int | None = None) -> SpecFile:
    from difflib import get_close_matches

    from undergrowth.spec import SpecError
    from undergrowth.spec.file import read_file
    from undergrowth.spec.presets import PRESETS

    path = Path(named)
    if named in PRESETS and not path.exists():
        return read_file(f'preset = "{named}"', seeds)
    try:
        file = read_file(path.read_text(encoding="utf-8"), seeds)
        for spec in file.runs:
            spec.data()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        near = get_close_matches(named, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise WrongUseError(
            f"{path}: {reason}: give a spec file in TOML, or a name from `undergrowth presets`{hint}"
        ) from None
    except SpecError as error:
        raise WrongUseError(f"{path}: {error}") from None
    return file


def _runs_named(store: Store, ids: Sequence[str]) -> list[Run]:
    """The runs whose ids begin so, all of them where none is named."""
    stored = store.runs
    if not stored:
        raise WrongUseError(f"{store.root} has no runs yet: train some first")
    return [_run_named(store, stored, begins) for begins in ids] or list(stored)


def _run_named(store: Store, stored: Sequence[Run], begins: str) -> Run:
    matching = [run for run in stored if run.id.startswith(begins)]
    listing = f"`{command('undergrowth', 'runs', store.root)}` lists them"
    if not matching:
        raise WrongUseError(f"{begins!r}: no run in {store.root} has an id that starts so: {listing}")
    if len(matching) > 1:
        raise WrongUseError(
            f"{begins!r}: {len(matching)} runs in {store.root} have ids that start so: give more of the "
            f"id; {listing}"
        )
    return matching[0]


def _study(name: str) -> Study:
    from difflib import get_close_matches

    from undergrowth.studies import STUDIES

    if name not in STUDIES:
        near = get_close_matches(name, STUDIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"studies: {', '.join(STUDIES)}"
        raise WrongUseError(f"no study {name!r}; {hint}")
    return STUDIES[name]


def _at_least_1(seeds: int) -> int:
    if seeds < 1:
        raise WrongUseError(
            f"--seeds {seeds}: nothing to train without a seed: give --seeds 1 or more, or omit it"
        )
    return seeds


def _seeds(given: str) -> int | range:
    """How many seeds, or which: '8', or '108-115' from the first to the last."""
    first, dash, last = given.strip().partition("-")
    if first.isdecimal() and not dash:
        return _at_least_1(int(first))
    if first.isdecimal() and last.isdecimal() and int(first) <= int(last) < 2**31:
        return range(int(first), int(last) + 1)
    raise WrongUseError(
        f"--seeds {given}: neither a number of seeds nor a range of them: give --seeds 8, or "
        "--seeds 108-115 for these eight"
    )


MOST_SAID = 5
"""Runs of which it is said one by one what was amiss; of more, how many they are."""


def _report_ends(store: Store, specs: Sequence[RunSpec]) -> int:
    """Say which runs failed and in which something never fired; the exit code."""
    from undergrowth.analysis.outcomes import never_fired
    from undergrowth.naming import runs_told_apart

    stored = store.select(specs)
    told = runs_told_apart([run.spec for run in stored], {run.id: run.called for run in stored})
    failed = [run for run in stored if run.status == "failed"]
    _say_each([f"run {run.id} failed ({told[run.id]}): {run.message}" for run in failed], store)
    unfired = [(run, never) for run in stored if (never := never_fired(run))]
    lines = [f"run {run.id} ({told[run.id]}): never fired: {'; '.join(n)}" for run, n in unfired]
    _say_each(lines, store)
    return 1 if failed else 0


def _say_each(lines: Sequence[str], store: Store) -> None:
    for line in lines[:MOST_SAID]:
        _say_wrong(line)
    if (more := len(lines) - MOST_SAID) > 0:
        listing = command("undergrowth", "runs", store.root)
        _say_wrong(f"and {more} more: `{listing}` lists them")


def _this_command() -> str:
    """What was given, as a line that does the same from wherever it is pasted."""
    given = command("undergrowth", *_given.get(sys.argv[1:]))
    return f"{command('cd', os.getcwd())} && {given}"


def _say_wrong(message: str) -> None:
    sys.stderr.write(f"undergrowth: {in_one_line(message)}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    survive_any_text()
    _given.set(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        _say_wrong("interrupted; the store is intact: run the same command again to resume")
        return 130
    except BrokenPipeError:
        return 1
    except CycloptsError as error:
        about = command("undergrowth", *error.command_chain or (), "--help")
        _say_wrong(f"{str(error).rstrip('.')}: see `{about}`")
        return 2
    except WrongUseError as error:
        _say_wrong(str(error))
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say_wrong(f"{where}{error.strerror or error}: fix this or give another path, and run it again")
        return 1
    except sqlite3.Error as error:
        _say_wrong(
            f"cannot write to the store ({error}): free some space and run the same command again"
        )
        return 1
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        _say_wrong(str(error))
        return code
    return code if isinstance(code, int) else 0


def _code_of(error: Exception) -> int | None:
    """The exit code of an error that is the user's or the machine's; None for one of ours."""
    from undergrowth.published.reading import ResultsError
    from undergrowth.spec import SpecError
    from undergrowth.store import StoreError
    from undergrowth.sweep import SweepError

    if isinstance(error, SpecError | StoreError | ResultsError):
        return 2
    return 1 if isinstance(error, SweepError | NotWrittenError) else None


if __name__ == "__main__":
    main()
