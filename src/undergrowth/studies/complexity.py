"""Does the time to grok grow exponentially with the complexity of the task? C11.

At a fixed share of the table a row has more examples where p is larger, with as many examples in all it
has fewer, and either moves the time by itself. So the ladder that decides holds the examples of a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from undergrowth.analysis import Event, Exceeds, Value, events
from undergrowth.analysis.growth import Ladder, exponential_over_power_law, slope
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.figure import Figure, chart
from undergrowth.report.groups import plural
from undergrowth.report.numbers import format_number
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, EventName
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured, values_of
from undergrowth.studies.statistic import Missing, Statistic, times, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import CommutationSafe, Group, Modular, Operation
from undergrowth.tasks.complexity import irrep_degrees, n_symbols, table_bytes
from undergrowth.training.optimisers import AdamW
from undergrowth.training.stopping import Stop

Family = str
PRIMES, EXAMPLES = "x+y mod p, same share trained on", "x+y mod p, as many trained on"
ROWS = "x+y mod p, as many of each row trained on"
OPERATIONS, GROUPS = "operations mod one p", "groups of one order"
BRIEFLY = {PRIMES: ", same share", EXAMPLES: ", as many in all", ROWS: ", as many a row"}

SMALL = RunSpec(
    task=Modular(operation="x+y", p=11),
    split=CommutationSafe(frac_train=0.8),
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=64, act_fn="square"),
    optimiser=AdamW(lr=5e-3, weight_decay=1.0),
    steps=3000,
    measures=(Curves(schedule=Schedule(every=10, until=1000, per_decade=200)),),
)
"""Memorised by step 100 and grokked by 1,000, for p from 11 to 53.

Tried beside it: relu at lr 2e-3 and decay 2 (70 % trained on) or with summed embeddings (80 %) does not
grok p = 11 nor 17; 70 % of p = 11 or 13 and 60 % of 23 do not grok by step 1,000 to 3,000.
"""
WIDER = SMALL.replace(model=TwoTokenMLPSpec(d_embed=64, d_mlp=128, act_fn="square"))
"""For operations: at p = 23, 32 and 64 with 80 % trained on, only the four simplest grok."""
LARGE = SMALL.replace(model=TransformerSpec(), optimiser=AdamW(lr=1e-3, weight_decay=1.0), steps=40_000)
"""The post's model on tables as large as those of its sources."""

LARGE_GROUPS = preset("chughtai2023_mlp").replace(
    measures=(Curves(schedule=Schedule(every=100, until=5_000, per_decade=200)),),
    checkpoints=Schedule(every=50_000, until=250_000, per_decade=1),
    stop=(Stop(level=0.95, evaluations=10),),
)
"""The MLP of Chughtai et al. 2023 (arXiv:2302.03025) on a plain random 40 % of the table, as they
trained it; they tell of 95 % of validation, by step 91,265 in S5, and there it ends."""

SHARES: Mapping[Family, Callable[[int], float]] = {
    PRIMES: lambda p: 0.8,
    EXAMPLES: lambda p: 1000 / p**2,
    ROWS: lambda p: 20 / p,
    OPERATIONS: lambda p: 0.9,
    GROUPS: lambda n: 0.85,
}
"""Of the table, trained on. Tried with 20 examples a row, seeds 0 and 1: p = 23, 37 and 53 grok near
steps 350, 800 and 1,800; p = 79 does not by 3,000."""
LARGE_SHARES: Mapping[Family, Callable[[int], float]] = {
    EXAMPLES: lambda p: 3830 / p**2,
    ROWS: lambda p: 34 / p,
}
"""Half of the table elsewhere, 40 % of that of a group; both are 30 % of p = 113."""

ALL_OPERATIONS: tuple[str, ...] = get_args(Modular.model_fields["operation"].annotation)
TASKS: Mapping[Budget, Mapping[Family, Sequence[int | str]]] = {
    "quick": {
        PRIMES: (11, 17, 29, 47),
        EXAMPLES: (37, 43, 47),
        ROWS: (23, 29, 37, 43, 53),
        OPERATIONS: ("x+y", "x^2+y^2", "x/y if y odd else x-y", "x^2+xy+y^2+x"),
        GROUPS: ("C24", "C2xD6", "D12", "S4"),
    },
    "standard": {
        PRIMES: (11, 13, 17, 23, 29, 37, 47),
        EXAMPLES: (37, 41, 43, 47, 53),
        ROWS: (23, 29, 31, 37, 41, 43, 47, 53),
        OPERATIONS: ALL_OPERATIONS,
        GROUPS: ("C24", "C2xC12", "C3xD4", "C2xD6", "D12", "Q24", "C2xA4", "S4"),
    },
    "full": {
        PRIMES: (29, 41, 53, 79, 113),
        EXAMPLES: (67, 79, 97, 113),
        ROWS: (41, 47, 59, 71, 83, 97, 113),
        OPERATIONS: ALL_OPERATIONS,
        GROUPS: ("C120", "C5xS4", "D60", "Q120", "C2xA5", "S5"),
    },
}
"""By p, operation or group. A permutation of 7 is rare enough for all claims at once: 2 of 5,040 are."""


@lru_cache
def families(budget: Budget) -> Mapping[Family, tuple[Arm, ...]]:
    """The tasks of each family."""
    return {
        family: tuple(_arm(family, which, budget == "full") for which in its)
        for family, its in TASKS[budget].items()
    }


def _arm(family: Family, which: int | str, is_large: bool) -> Arm:
    fields = (
        {"p": which} if isinstance(which, int) else {"operation": which, "p": 97 if is_large else 31}
    )
    task = Group(group=str(which)) if family == GROUPS else Modular.model_validate(fields)
    share = LARGE_SHARES.get(family, lambda _: 0.5) if is_large else SHARES[family]
    base = LARGE if is_large else WIDER if family == OPERATIONS else SMALL
    spec = base.replace(task=task, split=CommutationSafe(frac_train=share(task.n_labels)))
    if is_large and family == GROUPS:
        spec = LARGE_GROUPS.replace(task=task)
    name = f"{_operation(task)} mod {task.n_labels}" if isinstance(task, Modular) else task.group
    return Arm(f"{name}{BRIEFLY.get(family, '')}", spec)


def _operation(task: object) -> str:
    return getattr(task, "operation", "")


def controls(budget: Budget) -> tuple[Arm, ...]:
    """The smallest and the largest p with shuffled labels."""
    ends = families(budget)[PRIMES][0], families(budget)[PRIMES][-1]
    return tuple(
        Arm(f"{arm.name}, shuffled", arm.spec.replace(labels="shuffled"), "control", seeds=4)
        for arm in ends
    )


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Every task with true labels, and the controls."""
    return (*(arm for its in families(budget).values() for arm in its), *controls(budget))


@dataclass(frozen=True)
class Measure:
    """A complexity of the tasks of a family: a slug, what it is, and how it is computed."""

    slug: str
    family: Family
    label: str
    of: Callable[[Operation], float]

    def complexity(self, arm: Arm) -> float:
        """Of an arm's task."""
        assert isinstance(arm.spec.task, Operation)
        return float(self.of(arm.spec.task))

    def arms(self, budget: Budget) -> list[Arm]:
        """The family's, from the least complexity to the highest."""
        return sorted(families(budget)[self.family], key=self.complexity)


MEASURES = (
    Measure("rows", ROWS, "p", lambda task: task.n_labels),
    Measure("p", PRIMES, "p", lambda task: task.n_labels),
    Measure("examples", EXAMPLES, "p", lambda task: task.n_labels),
    Measure("symbols", OPERATIONS, "symbols of the formula", lambda task: n_symbols(_operation(task))),
    Measure("bytes", OPERATIONS, "bytes of the table (zlib)", lambda task: table_bytes(task.table())),
    Measure("irreps", GROUPS, "number of irreps", lambda task: len(irrep_degrees(task.table()))),
    Measure(
        "degree", GROUPS, "largest degree of an irrep", lambda task: max(irrep_degrees(task.table()))
    ),
    Measure("group-bytes", GROUPS, "bytes of the table (zlib)", lambda task: table_bytes(task.table())),
)

Bounds = tuple[float, float]


def _logs(low: float, high: float) -> Bounds:
    return float(np.log10(max(1.0, low))), float(np.log10(max(1.0, high)))


def _until(event: Event, since: tuple[int, int] = (0, 0)) -> Bounds:
    """Between which logarithms of steps, from between two steps on, it first happened."""
    if event.first is None:
        return _logs(event.last - since[1], np.inf)
    return _logs((event.before or 0) - since[1], event.first - since[0])


def _events(run: Run) -> Mapping[EventName, Event]:
    """Of a run that ends once it stays at a level, grokked is to be there."""
    levels = [s.level for s in run.spec.stop if (s.reading, s.direction) == ("val_accuracy", "above")]
    rules = replace(DEFAULT_RULES, grokked=min(levels, default=DEFAULT_RULES.grokked))
    return events(run.curves, rules)


def _wait(run: Run) -> Bounds | Missing:
    found = _events(run)
    memorised = found["memorised"]
    if memorised.first is None:
        return Missing("never memorised")
    return _until(found["grokked"], (memorised.before or 0, memorised.first))


def _for_good(run: Run) -> Bounds:
    grokked = _events(run)["grokked"]
    return _logs(grokked.last, np.inf) if grokked.stable is None else _logs(*[grokked.stable] * 2)


GROKKED = "grokked step"
TIMES: Mapping[str, Callable[[Run], Bounds | Missing]] = {
    GROKKED: lambda run: _until(_events(run)["grokked"]),
    "steps from memorised to grokked": _wait,
    "step from which grokked for good": _for_good,
}
TIMED = (
    f"Grokked: {DEFAULT_RULES.describe('grokked')}, or the level at which a run is stopped; the time is "
    "between two evaluations, or after the last one."
)


def later(measure: Measure, time: str = GROKKED) -> Statistic:
    """How much later the most complex task is."""
    return Statistic(
        f"log10({time} at the highest {measure.label} / at the lowest): {measure.family}",
        f"{TIMED} Read off the straight line through the tasks' mean log times; the interval contains "
        "the slopes that a permutation test over the tasks does not exclude.",
        TIMES[time],
        says=lambda decades: f"{times('later', 'sooner')(decades)}, by whichever law",
    )


def exponential(measure: Measure) -> Statistic:
    """How much better an exponential fits."""
    return Statistic(
        f"log-likelihood of an exponential minus a power law's: {GROKKED} against {measure.label}, "
        f"{measure.family}",
        f"{TIMED} Log-normal fits that may decrease; mean of the tasks' sums (Vuong's test by task).",
        TIMES[GROKKED],
        says=unit("nats per task"),
    )


@dataclass(frozen=True, eq=False)
class Rungs:
    """The runs of a table on a measure's ladder; times: bounds of log10 of a time by arm and seed;
    missing: by reason, seeds without one.
    """

    ladder: Ladder
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    times: Mapping[str, Mapping[int, Value]]
    missing: Counter[str] = field(default_factory=Counter)


@lru_cache(maxsize=64)
def rungs_of(table: Table, measure: Measure, time: str = GROKKED) -> Rungs:
    """The arms that have a time, from the least complexity to the highest."""
    missing: Counter[str] = Counter()
    found = {
        arm: its
        for arm in measure.arms(table.budget)
        if (its := values_of(table, arm.name, later(measure, time), missing))
    }
    ladder = Ladder(
        np.repeat(np.arange(len(found)), [len(its) for its in found.values()]),
        np.array([measure.complexity(arm) for arm in found]),
        np.array([value for its in found.values() for value in its.values()]).reshape(-1, 2),
    )
    runs = tuple(table.runs[arm.name][seed] for arm, its in found.items() for seed in its)
    return Rungs(ladder, tuple(found), runs, {arm.name: its for arm, its in found.items()}, missing)


WORTH = Exceeds(0.3)
"""Twice as late at the most complex task as at the least: an exponential that does not double over its
ladder is negligible."""


def over_tasks(
    name: str, measure: Measure, statistic: Statistic, rule: Exceeds, budget: Budget, time: str = GROKKED
) -> Endpoint:
    """A number of a ladder, which runs from its control, the least complex task, to its arm."""
    its = measure.arms(budget)
    of = slope if name.startswith("grows") else exponential_over_power_law

    def measured(table: Table, endpoint: Endpoint) -> Measured:
        rungs = rungs_of(table, measure, time)
        return Measured(of(rungs.ladder), by_arm=rungs.times, missing=rungs.missing)

    def note(table: Table) -> str:
        told_control = _of_control(table) if name == "grows-p" else []
        return " ".join([*_about(measure, rungs_of(table, measure, time)), *told_control])

    return Endpoint(
        name,
        "C11",
        statistic,
        its[-1].name,
        rule,
        control=its[0].name,
        is_primary=name == "grows-rows",
        measured=measured,
        note=note,
    )


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Of each measure whether the time grows, and whether exponentially."""
    rows = MEASURES[0]
    _, since, for_good = TIMES
    return (
        *(over_tasks(f"grows-{m.slug}", m, later(m), WORTH, budget) for m in MEASURES),
        over_tasks("grows-rows-since-memorised", rows, later(rows, since), WORTH, budget, since),
        over_tasks("grows-rows-for-good", rows, later(rows, for_good), WORTH, budget, for_good),
        *(over_tasks(f"exponential-{m.slug}", m, exponential(m), Exceeds(), budget) for m in MEASURES),
    )


def _about(measure: Measure, rungs: Rungs) -> list[str]:
    ladder = rungs.ladder
    if not rungs.arms:
        return []
    said = [
        f"{plural(len(rungs.arms), 'task')}; {measure.label}: {ladder.complexity[0]:g} to "
        f"{ladder.complexity[-1]:g}, a factor of {format_number(ladder.span)}"
        + (", below the 3 needed to tell the laws apart." if ladder.span < 3 else ".")
    ]
    names = [arm.name for arm, is_open in zip(rungs.arms, ladder.is_open, strict=True) if is_open]
    return [*said, f"No run grokked: {'; '.join(names)}."] if names else said


def _of_control(table: Table) -> list[str]:
    """What shuffled labels end at."""
    return [
        f"{arm.name}: {plural(len(ends), 'seed')} end at a validation accuracy of "
        f"{format_number(ends.mean())} (chance {format_number(1 / arm.spec.task.n_labels)})."
        for arm in controls(table.budget)
        if len(ends := np.array([_end(run) for run in table.of(arm.name) if run.status == "done"]))
    ]


def _end(run: Run) -> float:
    return float(run.curves["val_accuracy"].dropna("step")[-1])


def figures(table: Table) -> Iterator[Figure]:
    """For each ladder that has runs."""
    for measure in MEASURES:
        rungs = rungs_of(table, measure)
        if rungs.arms:
            yield _figure(measure, rungs)


LAWS = {
    "power law": Look(theme.STRATEGIES["norm_matched"], "8px,3px"),
    "exponential": Look(theme.STRATEGIES["top"]),
}
RUNS = {
    "one run": Look(theme.SIDES["val"], opacity=0.6),
    "one run, censored": Look(theme.SIDES["val"], symbol="triangle-up-open", size=10),
}


def _figure(measure: Measure, rungs: Rungs) -> Figure:
    """Every run's time over complexity, with the power law and the exponential; x linear or log."""
    table, ladder = _drawn(measure, rungs), rungs.ladder
    times = table["time"].to_numpy(float)
    low, high = float(times.min()) / 1.4, float(times.max()) * 2.2
    least, most = float(ladder.complexity.min()), float(ladder.complexity.max())
    margin, ratio = 0.07 * (most - least), (most / least) ** 0.07
    slopes = [
        f"{law}: {'exponent' if law == 'power law' else 'decades per unit'} {format_number(found.slope)}"
        for law, found in ladder.fits.items()
        if found
    ]
    told_laws = f" ({'; '.join(slopes)})" if slopes else ""
    return chart(
        f"growth_{measure.slug}",
        f"{GROKKED.capitalize()} against {measure.label}: {measure.family}",
        f"One dot per run: {plural(len(ladder.task), 'run')}, {int((~ladder.happened).sum())} censored; "
        "triangles are runs that had not grokked by their last step, which the fits count as "
        f"later. Complexity spans a factor of {format_number(ladder.span)}; below 3 the laws can "
        "hardly be told apart. Lines: maximum-likelihood medians with log-normal spread"
        f"{told_laws}.",
        table,
        {
            "law": Layer("lines", "complexity", "time"),
            "run": Layer("dots", "complexity", "time", label="name", tell=("task", "seed", "run")),
        },
        x=Scale(
            measure.label,
            is_switchable=True,
            limits=(least - margin, most + margin),
            log_limits=(least / ratio, most * ratio),
            marks=_apart(np.unique(ladder.complexity).tolist()),
        ),
        y=Scale(GROKKED, "log", is_switchable=True, limits=(0, high), log_limits=(low, high)),
        looks=LAWS | RUNS,
        tall=360,
    )


def _apart(marks: list[float]) -> tuple[float, ...]:
    """Those that stand apart far enough on a log axis for ticks to be read."""
    kept: list[float] = []
    for mark in marks:
        if not kept or np.log(mark / kept[-1]) > 0.05 * np.log(marks[-1] / marks[0]):
            kept.append(mark)
    return tuple(kept)


def _drawn(measure: Measure, rungs: Rungs) -> pd.DataFrame:
    """A row a run, the highest of each complexity with the names of its tasks; then the laws."""
    ladder, names = rungs.ladder, [_said(measure, arm) for arm in rungs.arms]
    table = pd.DataFrame(
        {
            "layer": "run",
            "series": np.where(ladder.happened, "one run", "one run, censored"),
            "task": [names[place] for place in ladder.task],
            "run": [run.id for run in rungs.runs],
            "seed": [run.spec.seeds.model for run in rungs.runs],
            "complexity": ladder.complexity[ladder.task],
            "time": 10 ** ladder.bounds[np.arange(len(ladder.task)), ladder.happened.astype(int)],
            "happened": ladder.happened,
        }
    )
    named: Any = table[~table["task"].str.contains("=")]
    highest = {
        its["time"].idxmax(): "<br>".join(dict.fromkeys(its["task"]))
        for _, its in named.groupby("complexity")
    }
    table["name"] = pd.Series(highest, dtype=object)
    at = np.geomspace(ladder.complexity.min(), ladder.complexity.max(), 60)
    laws = [
        pd.DataFrame({"layer": "law", "series": law, "complexity": at, "time": found.median(at)})
        for law, found in ladder.fits.items()
        if found
    ]
    return pd.concat([table, *laws], ignore_index=True)


def _said(measure: Measure, arm: Arm) -> str:
    """The task's name among those of its family."""
    task = arm.spec.task
    if measure.label == "p":
        return f"p = {task.n_labels}"
    return _operation(task) or arm.name


EXPONENTIAL, CLOCK = "exponential in complexity", "norm clock"

STUDY = Study(
    name="complexity",
    question="Does the time to grok grow exponentially with the complexity of the task?",
    claims=(
        Claim(
            "C11",
            "The time at which grokking happens increases exponentially with the task's complexity.",
        ),
    ),
    hypotheses={
        EXPONENTIAL: (
            "The grokked step rises with p, symbols, bytes and irreps, and an exponential fits it "
            "better than a power law wherever complexity spans a factor of 3 or more."
        ),
        FREQUENCY: (
            "The general circuit is reinforced by all training examples: at a fixed share of the table "
            "a larger p has more examples per row of the embedding and groks sooner; with a fixed total "
            "of examples each row has fewer, and it groks later. A formula of several parts, each of "
            "which helps few examples, groks later."
        ),
        EFFICIENCY: (
            "What counts is the cost of the general circuit relative to memorising (Varma et al. 2023, "
            "arXiv:2309.02390): memorising costs more with more examples, so at a fixed share a larger "
            "p groks sooner; groups with irreps of larger degree, whose circuit costs more, grok later."
        ),
        CLOCK: (
            "Weights decay to the norm of the general circuit at a rate independent of the task (Liu et "
            "al. 2022, arXiv:2210.01117): the time depends on complexity only weakly, logarithmically."
        ),
    },
    predictions=(
        *(
            Prediction(EXPONENTIAL, f"grows-{slug}", ">")
            for slug in ("rows", "p", "symbols", "bytes", "irreps", "group-bytes")
        ),
        *(Prediction(EXPONENTIAL, f"exponential-{slug}", ">") for slug in ("p", "symbols", "irreps")),
        Prediction(FREQUENCY, "grows-p", "<"),
        Prediction(FREQUENCY, "grows-examples", ">"),
        Prediction(FREQUENCY, "grows-symbols", ">"),
        Prediction(EFFICIENCY, "grows-p", "<"),
        Prediction(EFFICIENCY, "grows-degree", ">"),
        *(Prediction(CLOCK, f"grows-{slug}", "none") for slug in ("rows", "p", "symbols", "irreps")),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
