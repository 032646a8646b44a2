"""Conducting studies: their runs into a store, and a store's runs into verdicts and a report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from undergrowth.analysis import Verdict
from undergrowth.analysis.outcomes import damage, diverged_at, in_words
from undergrowth.naming import arms_told_apart, runs_told_apart
from undergrowth.plain_text import command, json_text
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.figure import Figure
from undergrowth.report.front import Section
from undergrowth.report.groups import alike, plural
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

    def of(self, studies: Iterable[str]) -> Report:
        """The same with the verdicts of some studies only."""
        chosen = tuple(verdict for verdict in self.verdicts if verdict.study in studies)
        return Report(self.page, self.verdicts_file, chosen)


def places(store: Store, out: Path | None = None) -> tuple[Path, Path]:
    """Where a page and its verdicts go: into a directory, the store by default, or to an .html file with
    the verdicts beside it.
    """
    if out is not None and out.suffix == ".html" and not out.is_dir():
        return out, out.with_suffix(".verdicts.json")
    return (out or store.root) / PAGE, (out or store.root) / VERDICTS


def runs_of(study: Study, runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs that answer a study: those of one of its budgets, or of its part, whose arms are all
    there; of several such the most. None where some arm is missing.

    Runs that differ from a study's only in their seeds belong to it, and so do runs that failed: they
    count. Runs that are not at their end do not.
    """
    kinds = {run.id: run.spec.without_seeds().id for run in runs if run.has_ended}
    best: tuple[Run, ...] = ()
    for specs in (*(study.runs(budget, 1) for budget in BUDGETS), study.part):
        arms = {spec.without_seeds().id for spec in specs}
        if arms and arms <= set(kinds.values()):
            its = tuple(run for run in runs if kinds.get(run.id) in arms)
            best = max(best, its, key=len)
    return best


def write_report(
    store: Store,
    studies: Iterable[Study],
    given: str,
    page: Path | None = None,
    verdicts_file: Path | None = None,
) -> Report:
    """Answer every study whose runs are in the store; write the page and its verdicts, by default into
    the store, each complete or not at all.

    given: the command that it comes from. Runs that belong to no study are shown with their curves. The
    store is only read: it may be in use by a writer. A run that cannot be read is left out, and said
    to be.
    """
    runs = store.runs
    damaged = {run.id: why for run in runs if (why := damage(run))}
    sections: list[Section] = []
    answered: set[str] = set()
    for study in studies:
        if its_runs := runs_of(study, runs):
            sections.append(_answered(study, its_runs, damaged, store))
            answered |= {run.id for run in its_runs}
    sound = [run for run in runs if run.id not in damaged]
    sections.extend(_other_runs([run for run in sound if run.id not in answered and run.names]))
    page, verdicts_file = page or store.root / PAGE, verdicts_file or store.root / VERDICTS
    title = "Do shallow circuits give way to general ones?" if answered else "Runs"
    write_page(
        page,
        title=title,
        sections=sections,
        runs=runs,
        commands=[given, *_one_run_again(store, runs)],
        damaged=damaged,
    )
    verdicts = tuple(verdict for section in sections for verdict in section.verdicts)
    content = json_text([verdict.to_dict() for verdict in verdicts])
    write_whole(verdicts_file, (content + "\n").encode())
    return Report(page, verdicts_file, verdicts)


def _one_run_again(store: Store, runs: Sequence[Run]) -> Iterator[str]:
    """The command that trains a run of the store anew, into a store of its own: one that is no fork,
    since a fork needs its parent beside it.
    """
    folder = Path(os.path.abspath(store.root))
    spec = next((folder / run_folder(run.id) / "spec.toml" for run in runs if not run.spec.fork), None)
    if spec is not None:
        yield command("undergrowth", "run", spec, "--out", folder.with_name(f"{folder.name}-again"))


def _answered(study: Study, runs: Sequence[Run], damaged: Mapping[str, str], store: Store) -> Section:
    """A study's section, from those of its runs that can be read."""
    sound = [run for run in runs if run.id not in damaged and run.names]
    lacking = study.lacks(sound)
    left_out = _left_out(runs, damaged)
    if lacking:
        return _section(study, sound, Answer((), ()), (*left_out, *_what_adds(lacking, store)))
    try:
        answer = study.answer(sound)
    except Exception as error:
        more = {run.id: why for run in sound if (why := damage(run, thoroughly=True))}
        if more:  # readings that only this study looks at
            return _answered(study, runs, {**damaged, **more}, store)
        if not left_out:
            raise
        told = f"No answer from the runs that are left ({type(error).__name__}: {error})."
        return _section(study, sound, Answer((), ()), (*left_out, told))
    return _section(study, sound, answer, (*left_out, *_unanswered(study, answer, store)))


def _left_out(runs: Sequence[Run], damaged: Mapping[str, str]) -> tuple[str, ...]:
    told = runs_told_apart([run.spec for run in runs])
    return tuple(
        f"Left out: run {run.id} ({told[run.id]}): {damaged[run.id]}."
        for run in runs
        if run.id in damaged
    )


def _unanswered(study: Study, answer: Answer, store: Store) -> Iterator[str]:
    """For claims that these runs do not bear on: what would."""
    claims = {verdict.claim for verdict in answer.verdicts}
    missing = [claim.id for claim in study.claims if claim.id not in claims]
    if missing and study.part:
        again = command("undergrowth", "study", "run", study.name, "--out", os.path.abspath(store.root))
        yield f"These runs do not bear on {', '.join(missing)}: `{again}` trains those that do."


def _what_adds(lacking: Mapping[str, str], store: Store) -> tuple[str, ...]:
    """For each reading that a study lacks, a line with the command that adds it."""
    by_command: dict[str, list[str]] = {}
    for reading, adds in lacking.items():
        folder = os.path.abspath(store.root)
        by_command.setdefault(command("undergrowth", "measure", folder, "--measure", adds), []).append(
            reading
        )
    return tuple(
        f"No answer: some of its runs lack {', '.join(readings)}. `{line}` adds what is lacking."
        for line, readings in by_command.items()
    )


def _section(study: Study, runs: Sequence[Run], answer: Answer, problems: Sequence[str]) -> Section:
    return Section(
        name=study.name,
        question=study.question,
        claims=tuple((claim.id, claim.says) for claim in study.claims),
        predictions=study.predictions,
        verdicts=answer.verdicts,
        figures=tuple(_marked(figure, runs) for figure in answer.figures),
        problems=tuple(problems),
        notes=_ends(runs),
    )


def _marked(figure: Figure, runs: Sequence[Run]) -> Figure:
    """A figure whose caption says that some of the runs break off, where it does not say so itself."""
    diverged = sum(diverged_at(run) is not None for run in runs)
    if not diverged or "diverged" in figure.caption:
        return figure
    told = f"{diverged} of the study's {plural(len(runs), 'run')} diverged: the notes say which."
    return replace(figure, caption=f"{figure.caption} {told}")


def _ends(runs: Sequence[Run]) -> tuple[str, ...]:
    """Which runs of a section diverged, failed or have interventions that never fired: a line for each
    arm and what there is to say, with its seeds.
    """
    arms = arms_told_apart([run.spec for run in runs], {run.id: run.given_names for run in runs})
    said: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        for words in in_words(run):
            said.setdefault((arms[run.id], words), []).append(run.spec.seeds.model)
    return tuple(
        f"{arm}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}: {words}."
        for (arm, words), seeds in said.items()
    )


def _other_runs(runs: Sequence[Run]) -> Iterator[Section]:
    """A section for the runs that belong to no study, alike but for seeds and labels; largest first."""
    names = {run.id: run.given_names for run in runs}
    arms = arms_told_apart([run.spec for run in runs], names)
    for place, group in enumerate(alike(runs)[:SHOWN], start=1):
        yield Section(
            name=f"other-{place}",
            question=f"How did {arms[group[0].id]} go?",
            claims=(),
            predictions={},
            verdicts=(),
            figures=(accuracy_figure(group), loss_figure(group)),
            notes=_ends(group),
        )
