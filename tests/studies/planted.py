"""Tables of runs whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from undergrowth.analysis import Verdict
from undergrowth.store import Run
from undergrowth.studies import Budget, Study, Table


def table_of(study: Study, runs: Mapping[str, Sequence[Run]], budget: Budget = "quick") -> Table:
    """Runs, by the name of their arm, as a study's table; their seeds are those of their specs."""
    arms = {arm.name: arm for arm in study.arms(budget)}
    unknown = set(runs) - set(arms)
    assert not unknown, unknown
    by_seed = {name: {run.spec.seeds.model: run for run in its} for name, its in runs.items()}
    return Table(study.name, budget, arms, by_seed)


def verdict_of(
    study: Study, endpoint: str, runs: Mapping[str, Sequence[Run]], budget: Budget = "quick"
) -> Verdict:
    """What an endpoint comes to, its own waiting for other runs left aside."""
    found = next(each for each in study.endpoints(budget) if each.name == endpoint)
    return found.verdict(table_of(study, runs, budget))


def ruling_of(
    study: Study, endpoint: str, runs: Mapping[str, Sequence[Run]], budget: Budget = "quick"
) -> str:
    """How the endpoint rules, also where a stand-in may not."""
    found = verdict_of(study, endpoint, runs, budget)
    return found.rule.ruling(found.estimate)
