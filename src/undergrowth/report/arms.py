"""The arms of runs that belong to no study: their names, what each changes, when what happened."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

from undergrowth.analysis import Event, Rules, events
from undergrowth.naming import arms_told_apart, differences
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.groups import RULES, Runs, as_runs
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.store.lineage import spec_of
from undergrowth.store.outcomes import of_kind

Moment = Literal["start", "fork", "fired", "memorised", "onset", "grokked"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
IN_WORDS: Mapping[Moment, str] = {
    "start": "step 0",
    "fork": "the fork",
    "fired": "the first firing",
    "memorised": "memorised",
    "onset": "onset",
    "grokked": "grokked",
}
LETTERS = 44
"""Of a line of a legend."""


@dataclass(frozen=True, eq=False)
class Arm:
    """Runs that are the same but for their seeds.

    name: among the arms beside it; parent: the name of the arm that it forks from, '' where that is not
    among them, or it is no fork; depth: how many arms are above it; changes: what it does that its
    parent does not, or of no fork in what it differs from the others.
    """

    name: str
    runs: tuple[Run, ...]
    parent: str
    depth: int
    changes: str

    @property
    def legend(self) -> str:
        """The name in lines that a legend has room for."""
        return "<br>".join(textwrap.wrap(self.name, LETTERS))


def arms_of(runs: Runs) -> tuple[Arm, ...]:
    """The arms among some runs, each after the one that it forks from."""
    return _arms_of(as_runs(runs))


@lru_cache(maxsize=8)
def _arms_of(runs: tuple[Run, ...]) -> tuple[Arm, ...]:
    specs = {run.id: run.spec for run in runs}
    names = _names(runs)
    of_parent = {names[run.id]: _parent(run.spec, names) for run in runs}
    by_arm: dict[str, list[Run]] = {}
    for run in runs:
        by_arm.setdefault(names[run.id], []).append(run)
    roots = [run.spec for run in runs if not of_parent[names[run.id]]]
    apart = arms_told_apart(roots)
    found: list[Arm] = []

    def add(name: str, depth: int) -> None:
        its = sorted(by_arm[name], key=lambda run: run.spec.seeds.model)
        told = apart.get(its[0].id) if not its[0].spec.fork else None
        changes = told or _changes(its[0], specs)
        found.append(Arm(name, tuple(its), of_parent[name], depth, changes))
        for child in [each for each in by_arm if of_parent[each] == name]:
            add(child, depth + 1)

    for name in [each for each in by_arm if not of_parent[each]]:
        add(name, 0)
    return tuple(found)


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """By run id the name of its arm, without what all of them begin with."""
    names = arms_told_apart([run.spec for run in runs], {run.id: run.called for run in runs})
    tasks = {run.spec.task.describe() for run in runs}
    common = f"{next(iter(tasks))}, " if len(tasks) == 1 else ""
    return {run_id: name.removeprefix(common) for run_id, name in names.items()}


def _parent(spec: RunSpec, names: Mapping[str, str]) -> str:
    return names.get(spec.fork.of, "") if spec.fork else ""


def _changes(run: Run, specs: Mapping[str, RunSpec]) -> str:
    """What a fork does that its parent does not, in words."""
    assert run.spec.fork is not None
    parent = specs.get(run.spec.fork.of) or spec_of(run.store.root, run.spec.fork.of)
    own = [each.describe() for each in run.spec.interventions[inherited(run, specs) :]]
    if parent is not None:
        same: dict[str, Any] = {"fork": None, "interventions": ()}
        both = [run.spec.replace(**same), parent.replace(**same)]
        own += differences(both)[0]
    return "; ".join(own) or "nothing"


def inherited(run: Run, specs: Mapping[str, RunSpec] | None = None) -> int:
    """How many of a run's interventions are its parent's."""
    if run.spec.fork is None:
        return 0
    parent = (specs or {}).get(run.spec.fork.of) or spec_of(run.store.root, run.spec.fork.of)
    return len(parent.interventions) if parent else 0


@dataclass(frozen=True, eq=False)
class Course:
    """When what happened in a run, in steps.

    fired: of each of its own interventions, by position, the step at which it fired; events: memorised,
    onset, grokked, censored where they did not happen.
    """

    run: Run
    forked_at: int | None
    fired: Mapping[int, int]
    events: Mapping[EventName, Event]

    @cached_property
    def first_fired(self) -> int | None:
        """The step of the first firing of its own."""
        return min(self.fired.values(), default=None)

    def step(self, moment: Moment) -> int | None:
        """When it came to a moment; None where it did not."""
        if moment == "start":
            return 0
        if moment == "fork":
            return self.forked_at
        return self.first_fired if moment == "fired" else self.events[moment].first


def courses(runs: Runs, rules: Rules = RULES) -> tuple[Course, ...]:
    """The course of each run. Where the runs that fork from one of them do so at one step, that is the
    step of the fork of their trunk too, if it is not itself a fork.
    """
    given = as_runs(runs)
    leaves: dict[str, set[int]] = {}
    for run in given:
        if run.spec.fork and run.forked_at is not None:
            leaves.setdefault(run.spec.fork.of, set()).add(run.forked_at)
    return tuple(_kept_course(run, frozenset(leaves.get(run.id, ())), rules) for run in given)


def _kept_course(run: Run, leaves: frozenset[int], rules: Rules) -> Course:
    """A run's course, kept with it: a page asks for it half a dozen times, of 10,000 runs too."""
    kept: dict[object, Course] = vars(run).setdefault("_courses", {})
    if (leaves, rules) not in kept:
        kept[leaves, rules] = _course(run, leaves, rules)
    return kept[leaves, rules]


def _course(run: Run, leaves: frozenset[int], rules: Rules) -> Course:
    own = inherited(run)
    fired = of_kind(run.happened, "fired")
    by_position = {
        detail["intervention"]: step for step, detail in fired if detail["intervention"] >= own
    }
    forked_at = run.forked_at
    if forked_at is None and len(leaves) == 1:
        (forked_at,) = leaves
    return Course(run, forked_at, by_position, happened(run, rules))


def happened(run: Run, rules: Rules = RULES) -> Mapping[EventName, Event]:
    """Its events; all censored at step 0 where it has no accuracy, as with a task without one."""
    if {"train_accuracy", "val_accuracy"} <= set(run.curves):
        return events(run.curves, rules)
    return {name: Event(name, None, None, None, 0) for name in get_args(EventName)}


def telling(arms: Sequence[Arm], n: int) -> list[Arm]:
    """The n of the arms that differ most in what was done to them, in their order: those that fork from
    none and those to which something was done come before bare forks, no-ops and what never fired.
    """
    ranked = sorted(arms, key=lambda arm: bool(arm.parent) and not _acted(arm))
    chosen = {arm.name for arm in ranked[:n]}
    return [arm for arm in arms if arm.name in chosen]


def _acted(arm: Arm) -> bool:
    """Whether an action of its own that does something fired in one of its runs."""
    return any(
        run.spec.interventions[position].action.name != "no_op"
        for course in courses(arm.runs)
        for position, run in ((at, course.run) for at in course.fired)
    )


def looks_of(arms: Sequence[Arm], coloured: int) -> dict[str, Look]:
    """By legend how each arm is drawn: so many in a colour and a dash of their own, all others alike."""
    found = {}
    for arm, (colour, dash, symbol) in zip(arms, theme.looks(len(arms)), strict=True):
        if len(found) < coloured:
            found[arm.legend] = Look(colour, dash, symbol, width=1.4)
    return found
