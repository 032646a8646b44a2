"""Conducting studies: their runs into a store, and a store's runs into verdicts and a report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from undergrowth.analysis import Verdict
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.front import Section
from undergrowth.report.groups import alike
from undergrowth.report.page import write_page
from undergrowth.store import Run, Store
from undergrowth.store.files import write_whole
from undergrowth.store.layout import run_folder
from undergrowth.studies.study import Answer, Budget, Study

SHOWN = 12
"""Most kinds of runs outside the studies that a page draws; its table lists all."""

PAGE, VERDICTS = "report.html", "verdicts.json"
BUDGETS: tuple[Budget, ...] = get_args(Budget)


@dataclass(frozen=True)
class Report:
    """What was written, and the verdicts in it."""

    page: Path
    verdicts_file: Path
    verdicts: tuple[Verdict, ...]


def runs_of(study: Study, runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs that belong to a study: of its budgets' specs, those with most runs.

    Runs that differ from a study's only in their seeds belong to it, and so do runs that failed: they
    count. Runs that are not at their end do not.
    """
    finished = [run for run in runs if run.status in ("done", "failed") and run.names]
    kinds = {run.id: run.spec.without_seeds().id for run in finished}
    by_budget = []
    for budget in BUDGETS:
        specs = {spec.without_seeds().id for spec in study.runs(budget, None)}
        by_budget.append(tuple(run for run in finished if kinds[run.id] in specs))
    return max(by_budget, key=len)


def write_report(store: Store, studies: Iterable[Study], command: str) -> Report:
    """Answer every study that has runs in the store; write report.html and verdicts.json into it.

    Runs that belong to no study are shown with their curves.
    """
    runs = store.runs
    sections: list[Section] = []
    answered: set[str] = set()
    verdicts: list[Verdict] = []
    for study in studies:
        its_runs = runs_of(study, runs)
        if any(run.spec.labels == "true" for run in its_runs):
            lacking = study.lacks(its_runs)
            answer = Answer((), ()) if lacking else study.answer(its_runs)
            sections.append(_section(study, answer, _what_adds(lacking, store)))
            answered |= {run.id for run in its_runs}
            verdicts.extend(answer.verdicts)
    sections.extend(_other_runs([run for run in runs if run.id not in answered and run.names]))
    page = store.root / PAGE
    commands = [
        command,
        *(f"undergrowth run {run_folder(run.id)}/spec.toml --out again" for run in runs[:1]),
    ]
    title = "Do shallow circuits give way to general ones?" if answered else "Runs"
    write_page(page, title=title, sections=sections, runs=runs, commands=commands)
    content = json.dumps([verdict.to_dict() for verdict in verdicts], indent=2, ensure_ascii=False)
    write_whole(store.root / VERDICTS, (content + "\n").encode())
    return Report(page, store.root / VERDICTS, tuple(verdicts))


def _what_adds(lacking: Mapping[str, str], store: Store) -> tuple[str, ...]:
    """For each reading that a study lacks, a line with the command that adds it."""
    by_command: dict[str, list[str]] = {}
    for reading, adds in lacking.items():
        command = shlex.join(["undergrowth", "measure", str(store.root), "--measure", adds])
        by_command.setdefault(command, []).append(reading)
    return tuple(
        f"No answer: some of its runs lack {', '.join(readings)}. `{command}` adds what is lacking."
        for command, readings in by_command.items()
    )


def _section(study: Study, answer: Answer, problems: tuple[str, ...]) -> Section:
    return Section(
        name=study.name,
        question=study.question,
        claims=tuple((claim.id, claim.says) for claim in study.claims),
        predictions=study.predictions,
        verdicts=answer.verdicts,
        figures=answer.figures,
        problems=problems,
    )


def _other_runs(runs: Sequence[Run]) -> Iterator[Section]:
    """A section for the runs that belong to no study, alike but for seeds and labels; largest first."""
    for place, group in enumerate(alike(runs)[:SHOWN], start=1):
        yield Section(
            name=f"other-{place}",
            question=f"How did {group[0].spec.describe_arm()} go?",
            claims=(),
            predictions={},
            verdicts=(),
            figures=(accuracy_figure(group), loss_figure(group)),
        )
