"""The runs of a study by arm and seed, with what is missing and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from undergrowth.analysis.verdicts import Given
from undergrowth.store import Run
from undergrowth.store.predicted import Predicted
from undergrowth.studies.arm import Arm, Budget

NOT_THERE = "not trained"


@dataclass(frozen=True)
class Carried:
    """What was found before in runs that are not here to be measured again.

    values: by endpoint, arm and seed; missing: by endpoint, how many had no value, and why.
    """

    values: Mapping[tuple[str, str, int], Given]
    missing: Mapping[str, Mapping[str, int]]

    def of(self, endpoint: str, arm: str) -> dict[int, Given]:
        """An endpoint's values in an arm, by seed."""
        return {
            seed: value for (its, of, seed), value in self.values.items() if (its, of) == (endpoint, arm)
        }


NOTHING_CARRIED = Carried({}, {})


@dataclass(frozen=True, eq=False)
class Table:
    """The stored runs that have ended, as a study's arms.

    arms: those that were planned, by name; runs: by arm, by seed; absent: by arm and seed, why there is
    no run: not trained, damaged, or a fork whose switch never came; predicted: the numbers that the
    store has of what theory says, None where it has none; carried: what is known of seeds without a run.
    """

    study: str
    budget: Budget
    arms: Mapping[str, Arm]
    runs: Mapping[str, Mapping[int, Run]]
    absent: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    predicted: Predicted | None = None
    carried: Carried = NOTHING_CARRIED

    def __repr__(self) -> str:
        there = f"{len(self.all)} runs of {len(self.among(self.arms))} arms"
        return f"Table({self.study!r}, {self.budget}: {there})"

    def predicts(self, arm: str, name: str) -> Any:
        """What theory says of an arm, by the name of the number; None where the store has no such."""
        return None if self.predicted is None else self.predicted.numbers.get(arm, {}).get(name)

    @property
    def said_of_predictions(self) -> str:
        """When they were stated, in words."""
        if self.predicted is None:
            return "No predicted numbers are in this store."
        day = datetime.fromtimestamp(self.predicted.stated, UTC).strftime("%Y-%m-%d %H:%M UTC")
        late = sum(run.began < self.predicted.stated for run in self.all)
        since = f"after {late} of its runs had begun" if late else "before its first run"
        return f"Predicted numbers were stated on {day}, {since}."

    def of(self, arm: str) -> tuple[Run, ...]:
        """The runs of an arm in the order of their seeds."""
        return tuple(run for _, run in sorted(self.runs.get(arm, {}).items()))

    def has(self, *arms: str) -> bool:
        """Whether each of these arms has a run."""
        return all(self.runs.get(arm) for arm in arms)

    def among(self, arms: Iterable[str]) -> list[str]:
        """Those of some arms that have a run, in their order."""
        return [arm for arm in arms if self.runs.get(arm)]

    def pairs(self, arm: str, control: str) -> dict[int, tuple[Run, Run]]:
        """By seed, the runs of an arm beside its control's."""
        mine, its = self.runs.get(arm, {}), self.runs.get(control, {})
        return {seed: (mine[seed], its[seed]) for seed in sorted(mine) if seed in its}

    @property
    def all(self) -> tuple[Run, ...]:
        """Every run, arm by arm."""
        return tuple(run for arm in self.arms for run in self.of(arm))


def tabulated(
    study: str,
    budget: Budget,
    arms: Sequence[Arm],
    planned: Mapping[str, Mapping[int, str]],
    runs: Mapping[str, Run],
    damaged: Mapping[str, str],
) -> Table:
    """The runs of a store as a study's arms.

    planned: by arm and seed the id of the run; runs: by id; damaged: by id, why it cannot be read.
    """
    found: dict[str, dict[int, Run]] = {}
    absent: dict[str, dict[int, str]] = {}
    for arm, by_seed in planned.items():
        for seed, run_id in sorted(by_seed.items()):
            run = runs.get(run_id)
            if why := damaged.get(run_id) or _why_absent(run):
                absent.setdefault(arm, {})[seed] = why
            elif run is not None:
                found.setdefault(arm, {})[seed] = run
    return Table(study, budget, {arm.name: arm for arm in arms}, found, absent)


def _why_absent(run: Run | None) -> str:
    if run is None or not run.has_ended:
        return NOT_THERE
    if run.spec.fork is not None and run.forked_at is None:
        return "its intervention never fired"
    return "" if run.names else "it diverged before it was measured"
