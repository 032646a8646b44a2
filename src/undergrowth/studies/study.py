"""A study: a question, arms, endpoints and predictions, all stated before the runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from undergrowth.analysis.claims import adjusted
from undergrowth.analysis.predictions import Prediction, Scored
from undergrowth.analysis.verdicts import Verdict, Verdicts
from undergrowth.notebook_html import html_table
from undergrowth.own_parts import undergrowth_command
from undergrowth.report.figure import Figure
from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store
from undergrowth.store.database import kept_open
from undergrowth.store.listing import damage
from undergrowth.store.parts import Parts, parts_of
from undergrowth.store.predicted import Numbers, stated
from undergrowth.studies.arm import BUDGETS, Arm, Budget, Planned, planned
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.table import NOT_THERE, Table, tabulated


@dataclass(frozen=True)
class Claim:
    """A claim of the post: its id in the project's list, and what it says."""

    id: str
    says: str


@dataclass(frozen=True)
class Answer:
    """What the stored runs say, in the order in which to read it."""

    verdicts: Verdicts = field(default_factory=Verdicts)
    figures: tuple[Figure, ...] = ()
    scores: tuple[Scored, ...] = ()

    def __repr__(self) -> str:
        return f"Answer({self.verdicts!r}, {len(self.figures)} figures)"

    def _repr_html_(self) -> str:
        return self.verdicts._repr_html_()


@dataclass(frozen=True)
class Study:
    """A question with everything stated before the runs.

    claims: what is tested; hypotheses: by name, what each expects, in words; arms, endpoints: for a
    budget; predictions: which endpoint each hypothesis expects to come out how; predicted: what theory
    says in numbers, computed from the arms' specs and kept in the store before they are trained, None
    where it says none; figures: from the table of the runs; needs: by the name of a reading that the
    answer rests on beside the curves, what `undergrowth measure --measure` takes to add it to a store.

    `check` says where they do not fit one another.
    """

    name: str
    question: str
    claims: tuple[Claim, ...]
    hypotheses: Mapping[str, str]
    arms: Callable[[Budget], tuple[Arm, ...]]
    endpoints: Callable[[Budget], tuple[Endpoint, ...]]
    predictions: tuple[Prediction, ...] = ()
    predicted: Callable[[Budget], Numbers] | None = None
    figures: Callable[[Table], Iterable[Figure]] = lambda _: ()
    needs: Mapping[str, str] = field(default_factory=dict)

    def check(self, budget: Budget) -> None:
        """Raise ValueError where its parts do not fit one another."""
        arms, endpoints = self.arms(budget), self.endpoints(budget)
        names = [endpoint.name for endpoint in endpoints]
        decided = [e for e in endpoints if not e.waits_for and e.measured is None]
        needed = {arm for e in decided for arm in (e.arm, e.control) if arm is not None}
        for what, given, known in (
            ("arm of an endpoint", needed, {arm.name for arm in arms}),
            ("claim of an endpoint", {e.claim for e in endpoints}, {c.id for c in self.claims}),
            ("prediction", {p.endpoint for p in self.predictions}, set(names)),
            ("hypothesis", {p.hypothesis for p in self.predictions}, set(self.hypotheses)),
            (
                "hypothesis without a prediction",
                set(self.hypotheses),
                {p.hypothesis for p in self.predictions},
            ),
        ):
            if unknown := sorted(given - known):
                raise ValueError(f"study {self.name!r}, {budget}: {what} {unknown[0]!r} is not there")
        for each in endpoints:
            if each.pooled and each.control is not None and not each.paired:
                raise ValueError(
                    f"study {self.name!r}, {budget}: endpoint {each.name!r} is pooled, and its control "
                    "is not paired: give it no control, or a paired one"
                )
        for what, given in (("arm", [arm.name for arm in arms]), ("endpoint", names)):
            if twice := sorted({name for name in given if given.count(name) > 1}):
                raise ValueError(f"study {self.name!r}, {budget}: two {what}s are called {twice[0]!r}")

    def planned(self, budget: Budget, seeds: int | Sequence[int] | None = None) -> tuple[Planned, ...]:
        """Its runs for a budget; `seeds`: of so many of its seeds, or of which; by default of all."""
        return planned(self.name, budget, self.arms(budget), seeds)

    def runs(self, budget: Budget, seeds: int | Sequence[int] | None = None) -> tuple[RunSpec, ...]:
        """The specs of its runs, each once."""
        return tuple({each.spec.id: each.spec for each in self.planned(budget, seeds)}.values())

    def __repr__(self) -> str:
        return f"Study({self.name!r}: {self.question})"

    def _repr_html_(self) -> str:
        claims = {claim.id: claim.says for claim in self.claims}
        return html_table(repr(self), {**claims, **self.hypotheses}, longest=300)

    def answer(self, of: Table | Store) -> Answer:
        """The verdict at each endpoint that a reader is told of, figures, and scored predictions.

        of: a table of its runs, or a store: then as on the page of that store, with damaged runs left
        out, but for the p of primaries, which are adjusted for those of this study alone.
        Raises LookupError, in one line, where a store has none of its runs, or they lack a reading.
        """
        if isinstance(of, Store):
            return _of_store(self, of)
        table = of
        endpoints = [each for each in self.endpoints(table.budget) if _is_told(each, table)]
        verdicts = {
            endpoint.name: _open_without_runs(endpoint, endpoint.verdict(table), table)
            for endpoint in endpoints
        }
        scores = tuple(
            Scored(each, verdicts[each.endpoint])
            for each in self.predictions
            if each.endpoint in verdicts
        )
        return Answer(Verdicts(verdicts.values()), tuple(self.figures(table)), scores)

    def lacks(self, table: Table) -> dict[str, str]:
        """The readings that it needs and none of the runs have, or not all of an arm's, and what adds
        each. An arm that goes without may be one of which only other readings are asked.
        """
        having = [[set(run.names) for run in table.of(arm)] for arm in table.among(table.arms)]
        found = {}
        for reading, adds in self.needs.items():
            by_arm = [{reading in names for names in its} for its in having]
            if {True, False} in by_arm or {True} not in by_arm:
                found[reading] = adds
        return found


def table_of(
    study: Study,
    runs: Mapping[str, Run],
    parts: Parts,
    damaged: Mapping[str, str],
    root: Path | None = None,
) -> Table:
    """The runs of a store that were trained as this study's, in the budget of which most have ended, and
    what the store at `root` predicted of them.

    Runs that would be the same but were trained as something else are not among them. Raises LookupError
    where there are none.
    """
    by_budget: dict[Budget, dict[str, dict[int, str]]] = {}
    for run_id, its in parts.items():
        for part in its:
            if part.study == study.name and part.budget in BUDGETS:
                arms = by_budget.setdefault(part.budget, {})
                arms.setdefault(part.arm, {})[part.seed] = run_id
    tables = [
        tabulated(study.name, budget, _there(study, budget, planned), planned, runs, damaged)
        for budget, planned in by_budget.items()
    ]
    found = max(tables, key=lambda table: len(table.all), default=None)
    if found is None or not found.all:
        raise LookupError(f"no run of the study {study.name!r} has ended")
    return found if root is None else replace(found, predicted=stated(root, study.name, found.budget))


def _there(study: Study, budget: Budget, planned: Mapping[str, object]):
    return [arm for arm in study.arms(budget) if arm.name in planned]


def what_adds(lacking: Mapping[str, str], store: Store) -> tuple[str, ...]:
    """For each reading that a study lacks, a line with the command that adds it."""
    by_command: dict[str, list[str]] = {}
    for reading, adds in lacking.items():
        folder = os.path.abspath(store.root)
        by_command.setdefault(undergrowth_command("measure", folder, "--measure", adds), []).append(
            reading
        )
    return tuple(
        f"No answer: some of its runs lack {', '.join(readings)}. `{line}` adds them."
        for line, readings in by_command.items()
    )


def _of_store(study: Study, store: Store) -> Answer:
    with kept_open():
        parts = parts_of(store.root)
        its = {run_id for run_id, each in parts.items() if any(p.study == study.name for p in each)}
        runs = {run.id: run for run in store.runs if run.id in its}
        damaged = {run_id: why for run_id, run in runs.items() if (why := damage(run))}
        try:
            table = table_of(study, runs, parts, damaged, store.root)
        except LookupError as error:
            again = undergrowth_command("study", "run", study.name, "--out", store.root)
            raise LookupError(f"{error} in {store.root}: `{again}` trains them") from None
        if lacking := study.lacks(table):
            raise LookupError(f"study {study.name!r}: {' '.join(what_adds(lacking, store))}")
        answer = study.answer(table)
    return replace(answer, verdicts=Verdicts(adjusted(answer.verdicts)))


def _is_told(endpoint: Endpoint, table: Table) -> bool:
    """Whether a reader is told of it: a claim's primary always, open where its runs are not there; what
    says how robust that is, if its arms are among those that runs of this store were trained as, or are
    to be (the demo has but some of a study's). One with a measurement of its own sees to that itself.
    """
    arms = (endpoint.arm, endpoint.control)
    are_there = all(arm in table.arms for arm in arms if arm)
    return are_there or endpoint.is_primary or endpoint.measured is not None


def _open_without_runs(endpoint: Endpoint, verdict: Verdict, table: Table) -> Verdict:
    """A verdict whose arms have no run is open: it waits for them. One with a measurement of its own may
    be of many arms, which `arm` then names together: it waits where no seed of any was trained.
    """
    lacking = [arm for arm in (endpoint.arm, endpoint.control) if arm and not table.has(arm)]
    if endpoint.measured is not None and (verdict.estimate.n or set(verdict.missing) - {NOT_THERE}):
        return verdict
    if verdict.waits_for or not lacking:
        return verdict
    return replace(verdict, waits_for=f"runs of {lacking[0]}")
