"""Conducting studies: a store's runs into verdicts, claims and a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from undergrowth.analysis.claims import Answered, adjusted
from undergrowth.analysis.verdicts import Verdict
from undergrowth.naming import runs_told_apart
from undergrowth.own_parts import copies_of
from undergrowth.plain_text import command, json_text
from undergrowth.report.figure import Figure
from undergrowth.report.front import Section, lines
from undergrowth.report.groups import plural
from undergrowth.report.own_runs import own_sections, what_happened
from undergrowth.report.page import write_page
from undergrowth.store import Part, Run, Store
from undergrowth.store.database import kept_open
from undergrowth.store.files import write_whole
from undergrowth.store.layout import run_folder
from undergrowth.store.listing import damage
from undergrowth.store.outcomes import diverged_at, in_words
from undergrowth.store.parts import Parts, parts_of
from undergrowth.store.predicted import state, stated
from undergrowth.studies.arm import BUDGETS, Planned
from undergrowth.studies.study import Answer, Study, table_of, what_adds
from undergrowth.studies.table import Table

QUESTION = "Do shallow circuits give way to general ones?"
LEDE = (
    "A shallow circuit is right for one training example or a few, a general circuit for many. A post "
    "by Quintin Pope (2022) proposes that gradient descent comes to prefer general circuits, because "
    "more examples reinforce them."
)
"""What a reader must know of the studies' question."""
SCHEMA = 2
"""Of verdicts.json and claims.json: 1 was a list of verdicts, none of which was primary."""


@dataclass(frozen=True)
class Places:
    """Where a report goes."""

    page: Path
    verdicts: Path
    claims: Path


@dataclass(frozen=True)
class Report:
    """What was written, and the verdicts and answers in it."""

    places: Places
    verdicts: tuple[Verdict, ...]
    claims: tuple[Answered, ...]

    def of(self, studies: Iterable[str]) -> Report:
        """The same with the claims of some studies only."""
        verdicts = tuple(verdict for verdict in self.verdicts if verdict.study in studies)
        about = {verdict.claim for verdict in verdicts}
        return Report(self.places, verdicts, tuple(c for c in self.claims if c.claim in about))


def places(store: Store, out: Path | None = None) -> Places:
    """Where a page, its verdicts and its claims go: into a directory, the store by default, or to an
    .html file with the others beside it.
    """
    if out is not None and out.suffix == ".html" and not out.is_dir():
        return Places(out, out.with_suffix(".verdicts.json"), out.with_suffix(".claims.json"))
    where = out or store.root
    return Places(where / "report.html", where / "verdicts.json", where / "claims.json")


def parts_in(planned: Iterable[Planned]) -> dict[str, list[Part]]:
    """By run id, the parts that runs play in studies."""
    found: dict[str, list[Part]] = {}
    for each in planned:
        found.setdefault(each.spec.id, []).append(each.part)
    return found


def state_predictions(
    root: Path, planned: Iterable[Planned], studies: Iterable[Study], now: float
) -> None:
    """Keep in a store what theory says in numbers of the runs that are about to be trained there.

    now: in seconds since 1970.

    What is stated already stays. Raises StoreError where it is damaged.
    """
    asked = {(each.part.study, each.part.budget) for each in planned}
    for study in studies:
        for budget in BUDGETS:
            if (
                study.predicted
                and (study.name, budget) in asked
                and not stated(root, study.name, budget)
            ):
                state(root, study.name, budget, study.predicted(budget), now)


def write_report(
    store: Store,
    studies: Iterable[Study],
    given: str,
    where: Places | None = None,
    runs: Sequence[Run] | None = None,
) -> Report:
    """Answer every study whose runs are in the store; write the page, its verdicts and its claims, by
    default into the store, each complete or not at all.

    given: the command that it comes from; runs: all of the store, where they were read already. Those
    that belong to no study come after those that do, with all that was measured of them. The store is
    only read: it may be in use by a writer. A run that cannot be read is left out, and said to be.
    """
    with kept_open():
        found = store.runs if runs is None else tuple(runs)
        return _written(store, found, studies, given, where or places(store))


def _written(
    store: Store, runs: tuple[Run, ...], studies: Iterable[Study], given: str, where: Places
) -> Report:
    parts = parts_of(store.root)
    by_id = {run.id: run for run in runs}
    damaged = {run.id: why for run in runs if (why := damage(run))}
    sections: list[Section] = []
    in_studies: set[str] = set()
    for study in studies:
        try:
            table = table_of(study, by_id, parts, damaged, store.root)
        except LookupError:
            continue
        sections.append(_answered(study, table, by_id, parts, damaged, store))
        in_studies |= {run_id for run_id, its in parts.items() if _plays(its, table)}
    sections = _with_adjusted(sections)
    sound = [run for run in runs if run.id not in damaged]
    own = [run for run in sound if run.id not in in_studies and run.names]
    sections.extend(own_sections(own, [section.name for section in sections]))
    question = _question(sections)
    write_page(
        where.page,
        title=question,
        lede=LEDE if question == QUESTION else "",
        sections=sections,
        runs=runs,
        commands=[given, *_one_run_again(store, runs)],
        damaged=damaged,
        answer=what_happened(own) if own and not in_studies else "",
    )
    verdicts = tuple(verdict for section in sections for verdict in section.verdicts)
    claims = tuple(line.answer for line in lines(sections))
    scores = [score.to_dict() for section in sections for score in section.scores]
    _write_json(where.verdicts, verdicts=[v.to_dict() for v in verdicts], predictions=scores)
    _write_json(where.claims, claims=[claim.to_dict() for claim in claims])
    return Report(where, verdicts, claims)


def _question(sections: Sequence[Section]) -> str:
    """What the page answers: of one study its question, of several the project's."""
    asked = [section.question for section in sections if section.claims]
    return asked[0] if len(asked) == 1 else QUESTION if asked else "Runs"


def _write_json(path: Path, **fields: object) -> None:
    write_whole(path, (json_text({"schema": SCHEMA, **fields}) + "\n").encode())


def _with_adjusted(sections: Sequence[Section]) -> list[Section]:
    """The sections, with the p of all primaries adjusted together."""
    verdicts = iter(adjusted([verdict for section in sections for verdict in section.verdicts]))
    return [replace(s, verdicts=tuple(next(verdicts) for _ in s.verdicts)) for s in sections]


def _one_run_again(store: Store, runs: Sequence[Run]) -> Iterator[str]:
    """The command that trains a run of the store anew, into a store of its own: one that is no fork,
    since a fork needs its parent beside it.
    """
    folder = Path(os.path.abspath(store.root))
    run = next((run for run in runs if not run.spec.fork), None)
    if run is not None:
        its = folder / run_folder(run.id)
        own = {its / "own" / Path(place).parts[0] for place in copies_of(run.spec)}
        more = [word for path in sorted(own) for word in ("--with", path)]
        out = folder.with_name(f"{folder.name}-again")
        yield command("undergrowth", "run", its / "spec.toml", "--out", out, *more)


def _answered(
    study: Study,
    table: Table,
    runs: Mapping[str, Run],
    parts: Parts,
    damaged: Mapping[str, str],
    store: Store,
) -> Section:
    """A study's section, from those of its runs that can be read."""
    planned = [run for run_id, run in runs.items() if _plays(parts.get(run_id, ()), table)]
    left_out = _left_out(planned, damaged)
    if lacking := study.lacks(table):
        return _section(study, table, Answer(), (*left_out, *what_adds(lacking, store)))
    try:
        answer = study.answer(table)
    except Exception:
        more = {run.id: why for run in table.all if (why := damage(run, thoroughly=True))}
        if not more:
            raise
        without = {**damaged, **more}  # readings that only this study looks at
        try:
            fewer = table_of(study, runs, parts, without, store.root)
        except LookupError:
            return _section(study, table, Answer(), _left_out(planned, without))
        return _answered(study, fewer, runs, parts, without, store)
    return _section(study, table, answer, left_out)


def _plays(its: Sequence[Part], table: Table) -> bool:
    return any((part.study, part.budget) == (table.study, table.budget) for part in its)


def _left_out(runs: Sequence[Run], damaged: Mapping[str, str]) -> tuple[str, ...]:
    said = runs_told_apart([run.spec for run in runs])
    return tuple(
        f"Left out: run {run.id} ({said[run.id]}): {damaged[run.id]}."
        for run in runs
        if run.id in damaged
    )


def _section(study: Study, table: Table, answer: Answer, problems: Sequence[str]) -> Section:
    return Section(
        name=study.name,
        question=study.question,
        claims={claim.id: claim.says for claim in study.claims},
        hypotheses=study.hypotheses,
        verdicts=answer.verdicts,
        figures=tuple(_marked(figure, table.all) for figure in answer.figures),
        scores=answer.scores,
        problems=tuple(problems),
        notes=_ends(table),
    )


def _marked(figure: Figure, runs: Sequence[Run]) -> Figure:
    """A figure whose caption says that some of the runs break off, where it does not say so itself."""
    diverged = sum(diverged_at(run) is not None for run in runs)
    if not diverged or "diverged" in figure.caption:
        return figure
    told = f"{diverged} of the study's {plural(len(runs), 'run')} diverged; see the notes."
    return replace(figure, caption=f"{figure.caption} {told}")


def _ends(table: Table) -> tuple[str, ...]:
    """Which of a study's runs diverged, failed or have interventions that never fired."""
    return _said_of_ends({arm: table.of(arm) for arm in table.arms})


def _said_of_ends(by_arm: Mapping[str, Iterable[Run]]) -> tuple[str, ...]:
    """A line for each arm and what there is to say, with its seeds."""
    said: dict[tuple[str, str], list[int]] = {}
    for arm, runs in by_arm.items():
        for run in runs:
            for words in in_words(run):
                said.setdefault((arm, words), []).append(run.spec.seeds.model)
    return tuple(
        f"{arm}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}: {words}."
        for (arm, words), seeds in said.items()
    )
