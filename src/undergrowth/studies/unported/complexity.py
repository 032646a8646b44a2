"""Does the time to grok grow exponentially with the complexity of the task? C11."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import numpy as np

from undergrowth.analysis import Event, Verdict, events
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.analysis.growth import Growth, Ladder, as_steep_by_chance, beyond_tie, growth
from undergrowth.measures import Curves
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.growth import Climb, criteria_figure, growth_figure
from undergrowth.report.numbers import told
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.study import Answer, Budget, Claim, Study
from undergrowth.tasks import CommutationSafe, Group, Modular, Operation
from undergrowth.tasks.complexity import irrep_degrees, n_symbols, table_bytes
from undergrowth.training.optimisers import AdamW

TIE = 2.0
"""A difference of AIC up to which two models count as equally good (Burnham & Anderson 2002)."""
EVERY = 10
"""Steps between evaluations, and the shortest wait between two events that counts."""

SEEDS: dict[Budget, tuple[int, int]] = {"quick": (4, 2), "standard": (10, 4), "full": (10, 4)}
"""Seeds of each task, and of the control with shuffled labels."""

Family = str
PRIMES, EXAMPLES = "x+y mod p, same share trained on", "x+y mod p, as many trained on"
OPERATIONS, GROUPS = "operations mod one p", "groups of one order"

SMALL = RunSpec(
    task=Modular(operation="x+y", p=11),
    split=CommutationSafe(frac_train=0.8),
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=64, act_fn="square"),
    optimiser=AdamW(lr=5e-3, weight_decay=1.0),
    steps=3000,
    measures=(Curves(schedule=Schedule(every=EVERY, until=1000, per_decade=200)),),
)
"""Memorised by step 100 and grokked by 1,000, for p from 11 to 53.

Tried beside it: relu at lr 2e-3 and decay 2 (70 % trained on) or with summed embeddings (80 %) does not
grok p = 11 nor 17; 70 % of p = 11 or 13 and 60 % of 23 do not grok by step 1,000 to 3,000.
"""
WIDER = TwoTokenMLPSpec(d_embed=64, d_mlp=128, act_fn="square")
"""For operations: at p = 23, 32 and 64 with 80 % trained on, none but the four simplest grok."""

N_TRAIN, N_TRAIN_FULL = 1000, 3830
"""Training examples of the arm that holds them fixed; the latter is 30 % of p = 113."""

ALL_OPERATIONS: tuple[str, ...] = get_args(Modular.model_fields["operation"].annotation)
SOME_OPERATIONS = ("x+y", "x^2+y^2", "x/y if y odd else x-y", "x^2+xy+y^2+x")


def _modular(base: RunSpec, p: int, operation: str = "x+y", share: float | None = None) -> RunSpec:
    split = base.split if share is None else CommutationSafe(frac_train=share)
    return base.replace(task=Modular.model_validate({"operation": operation, "p": p}), split=split)


def _groups(base: RunSpec, names: Sequence[str], share: float) -> tuple[RunSpec, ...]:
    split = CommutationSafe(frac_train=share)
    return tuple(base.replace(task=Group(group=name), split=split) for name in names)


def _small(
    primes: Sequence[int], of_examples: Sequence[int], operations: Sequence[str], groups: Sequence[str]
) -> dict[Family, tuple[RunSpec, ...]]:
    wider = SMALL.replace(model=WIDER)
    return {
        PRIMES: tuple(_modular(SMALL, p) for p in primes),
        EXAMPLES: tuple(_modular(SMALL, p, share=N_TRAIN / p**2) for p in of_examples),
        OPERATIONS: tuple(_modular(wider, 31, operation, 0.9) for operation in operations),
        GROUPS: _groups(SMALL, groups, 0.85),
    }


def _full() -> dict[Family, tuple[RunSpec, ...]]:
    """The post's model on tables as large as its sources'."""
    base = SMALL.replace(
        model=TransformerSpec(),
        optimiser=AdamW(lr=1e-3, weight_decay=1.0),
        split=CommutationSafe(frac_train=0.5),
        steps=40_000,
        measures=(Curves(schedule=Schedule(every=EVERY, until=1000, per_decade=200)),),
    )
    return {
        PRIMES: tuple(_modular(base, p) for p in (29, 41, 53, 79, 113)),
        EXAMPLES: tuple(_modular(base, p, share=N_TRAIN_FULL / p**2) for p in (67, 79, 97, 113)),
        OPERATIONS: tuple(_modular(base, 97, operation) for operation in ALL_OPERATIONS),
        GROUPS: _groups(base, ("C120", "C5xS4", "D60", "Q120", "C2xA5", "S5"), 0.5),
    }


@lru_cache
def families(budget: Budget) -> Mapping[Family, tuple[RunSpec, ...]]:
    """The tasks of each family, without seeds."""
    if budget == "full":
        return _full()
    if budget == "quick":
        return _small((11, 17, 29, 47), (37, 43, 47), SOME_OPERATIONS, ("C24", "C2xD6", "D12", "S4"))
    return _small(
        (11, 13, 17, 23, 29, 37, 47),
        (37, 41, 43, 47, 53),
        ALL_OPERATIONS,
        ("C24", "C2xC12", "C3xD4", "C2xD6", "D12", "Q24", "C2xA4", "S4"),
    )


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Every task with true labels; the smallest and the largest p with shuffled ones."""
    n_true, n_control = SEEDS[budget] if seeds is None else (seeds, max(2, seeds // 2))
    tasks = families(budget)
    primes = tasks[PRIMES]
    return (
        *(task.seeded(seed) for its in tasks.values() for task in its for seed in range(n_true)),
        *(
            task.replace(labels="shuffled").seeded(seed)
            for task in (primes[0], primes[-1])
            for seed in range(n_control)
        ),
    )


def family_of(run: Run) -> Family | None:
    """Which family a run with true labels belongs to; None for the control."""
    return _family_by_id().get(run.spec.without_seeds().id)


@lru_cache
def _family_by_id() -> dict[str, Family]:
    budgets: tuple[Budget, ...] = get_args(Budget)
    return {
        task.without_seeds().id: family
        for budget in budgets
        for family, its in families(budget).items()
        for task in its
    }


@dataclass(frozen=True)
class Measure:
    """A complexity of the tasks of a family: a slug, what it is, and how it is computed."""

    family: Family
    name: str
    label: str
    of: Callable[[Operation], float]


MEASURES = (
    Measure(PRIMES, "p", "p", lambda task: task.n_labels),
    Measure(EXAMPLES, "p_examples", "p", lambda task: task.n_labels),
    Measure(OPERATIONS, "symbols", "symbols of the formula", lambda task: _symbols(task)),
    Measure(OPERATIONS, "bytes", "bytes of the table (zlib)", lambda task: table_bytes(task.table())),
    Measure(GROUPS, "irreps", "number of irreps", lambda task: len(irrep_degrees(task.table()))),
    Measure(
        GROUPS, "degree", "largest degree of an irrep", lambda task: max(irrep_degrees(task.table()))
    ),
    Measure(GROUPS, "group_bytes", "bytes of the table (zlib)", lambda task: table_bytes(task.table())),
)


def _symbols(task: Operation) -> int:
    return n_symbols(getattr(task, "operation", ""))


@dataclass(frozen=True)
class Timed:
    """A run with true labels that did not fail, and when it memorised and grokked, each read once."""

    task: Operation
    seed: int
    family: Family
    memorised: Event
    grokked: Event

    @property
    def until(self) -> tuple[float, bool]:
        """The step at which it grokked, or its last one and that it had not by then."""
        first = self.grokked.first
        return max(1.0, float(self.grokked.last if first is None else first)), first is not None

    @property
    def wait(self) -> tuple[float, bool] | None:
        """Steps from memorised to grokked, at least `EVERY`; None where it never memorised."""
        if self.memorised.first is None:
            return None
        at, happened = self.until
        return max(float(EVERY), at - self.memorised.first), happened


def timed(run: Run) -> Timed | None:
    """None for the control, runs that failed and those of no family."""
    family, task = family_of(run), run.spec.task
    if family is None or not isinstance(task, Operation) or run.status != "done":
        return None
    found = events(run.curves)
    return Timed(task, run.spec.seeds.model, family, found["memorised"], found["grokked"])


def _for_good(each: Timed) -> tuple[float, bool]:
    """The step from which it stayed grokked to its end."""
    stable = each.grokked.stable
    return max(1.0, float(each.grokked.last if stable is None else stable)), stable is not None


TIMES: dict[str, Callable[[Timed], tuple[float, bool] | None]] = {
    "grokked step": lambda run: run.until,
    "steps from memorised to grokked": lambda run: run.wait,
    "step from which grokked for good": _for_good,
}


def climb_of(of: Sequence[Timed], measure: Measure, time: str, n_resamples: int) -> Climb | None:
    """The runs of the measure's family against their complexity; None where there is none."""
    found = [
        (float(measure.of(each.task)), _said(each), each.seed, *at)
        for each in of
        if each.family == measure.family and (at := TIMES[time](each)) is not None
    ]
    if not found:
        return None
    complexities, tasks, seeds, times, happened = zip(*sorted(found), strict=True)
    rung = np.unique(tasks, return_inverse=True)[1]
    ladder = Ladder(rung, np.array(complexities), np.array(times), np.array(happened))
    name = f"growth_{measure.name}"
    return Climb(name, measure.family, measure.label, growth(ladder, n_resamples), tasks, seeds)


def _said(each: Timed) -> str:
    """The task's name among those of its family."""
    task = each.task
    if isinstance(task, Group):
        return task.group
    if isinstance(task, Modular) and each.family == OPERATIONS:
        return task.operation
    return f"p = {task.n_labels}"


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on C11, each family with its laws, and how well each law fits."""
    its = [each for run in runs if (each := timed(run))]
    by_time = {time: _climbs(its, time, 999 if time == "grokked step" else 0) for time in TIMES}
    grokked = by_time["grokked step"]
    return Answer(_verdicts(runs, its, grokked), tuple(_figures(by_time) if its else ()))


def _climbs(its: Sequence[Timed], time: str, n_resamples: int) -> dict[Measure, Climb]:
    found = {measure: climb_of(its, measure, time, n_resamples) for measure in MEASURES}
    return {measure: climb for measure, climb in found.items() if climb}


def _figures(by_time: Mapping[str, Mapping[Measure, Climb]]) -> Iterator[Figure]:
    for climb in by_time["grokked step"].values():
        yield growth_figure(climb, "grokked step")
    yield criteria_figure({time: list(climbs.values()) for time, climbs in by_time.items()})


def _verdicts(
    runs: Sequence[Run], its: Sequence[Timed], climbs: Mapping[Measure, Climb]
) -> tuple[Verdict, ...]:
    of_family = {family: [each for each in its if each.family == family] for family in families("quick")}
    return tuple(
        verdict
        for measure in MEASURES
        for verdict in (
            _law(measure, climbs.get(measure), runs),
            _grows(measure, climbs.get(measure), runs, of_family[measure.family]),
        )
    )


REDRAWN = "Seeds are redrawn (999 times), tasks are not: it says what holds of these tasks."
GROKKED = f"grokked: {DEFAULT_RULES.describe('grokked')}."
NOTHING = growth(Ladder(np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros(0, bool)))


def _law(measure: Measure, climb: Climb | None, runs: Sequence[Run]) -> Verdict:
    """Does an exponential that grows fit better than a power law?"""
    found = climb.growth if climb else NOTHING
    return Verdict(
        claim="C11",
        study="complexity",
        statistic=(
            f"AIC of a power law minus AIC of a growing exponential, moved {TIE:g} towards 0: "
            f"grokked step against {measure.label}, {measure.family}"
        ),
        estimate=beyond_tie(found.against_power_law, TIE),
        threshold=0.0,
        rule=(
            f"{GROKKED} Lognormal fits by maximum likelihood, runs that have not grokked censored at "
            "their last step; the exponential may not fall, the power law may. Supported if the "
            f"interval of the difference lies above {TIE:g}, contradicted if below -{TIE:g}. {REDRAWN}"
        ),
        note=" ".join([*_about(climb), *_criteria(found), *_told_control(measure, runs)]),
    )


def _grows(measure: Measure, climb: Climb | None, runs: Sequence[Run], its: Sequence[Timed]) -> Verdict:
    """Does it grow at all?"""
    found = climb.growth if climb else NOTHING
    return Verdict(
        claim="C11",
        study="complexity",
        statistic=(f"exponent of the power law: grokked step against {measure.label}, {measure.family}"),
        estimate=found.exponent,
        threshold=0.0,
        rule=(
            f"{GROKKED} The same fit. Supported, as far as growing at all goes, if the interval lies "
            "above 0; contradicted if below. " + REDRAWN
        ),
        note=" ".join([*_about(climb), *_by_chance(found), *_left_out(measure, runs, its)]),
    )


def _about(climb: Climb | None) -> list[str]:
    if climb is None:
        return ["No runs."]
    ladder = climb.growth.ladder
    n_tasks, low, high = len(np.unique(ladder.rung)), ladder.complexity.min(), ladder.complexity.max()
    said = [
        f"{climb.censored}, of {plural(n_tasks, 'task')}; complexity takes "
        f"{plural(ladder.n_complexities, 'value')} from {low:g} to {high:g}, a factor of "
        f"{told(ladder.range)}" + (", below the 3 that parts the laws." if ladder.range < 3 else ".")
    ]
    if ladder.seeds < 2:
        said.append("No interval: every task needs 2 seeds or more.")
    if not ladder.happened.any():
        said.append("No fit: every run is censored.")
    elif ladder.n_complexities < 3:
        said.append(f"Two laws differ from 3 values on; there are {ladder.n_complexities}.")
    return said


def _criteria(found: Growth) -> list[str]:
    told_aic = ", ".join(
        f"{model} {told(float(fit.aic[0]), 4)}"
        for model, fit in found.fits.items()
        if np.isfinite(fit.aic[0])
    )
    return [f"AIC: {told_aic}."] if told_aic else []


def _by_chance(found: Growth) -> list[str]:
    share = as_steep_by_chance(found.ladder)
    if not np.isfinite(share):
        return []
    return [
        f"Complexities dealt to the tasks at random are as steep in {told(100 * share)} % of 999 deals."
    ]


def _left_out(measure: Measure, runs: Sequence[Run], its: Sequence[Timed]) -> list[str]:
    failed = sum(run.status != "done" and family_of(run) == measure.family for run in runs)
    never = sum(each.memorised.censored for each in its)
    fell = sum(each.grokked.first != each.grokked.stable for each in its)
    said = [f"{plural(failed, 'run')} failed and left out."] if failed else []
    said += [f"{fell} fell below the level again after they first reached it."] if fell else []
    return [*said, f"{never} never memorised."] if never else said


def _told_control(measure: Measure, runs: Sequence[Run]) -> list[str]:
    """What the shuffled labels of the primes end at."""
    if measure.family != PRIMES:
        return []
    control = [run for run in runs if run.spec.labels == "shuffled" and run.status == "done"]
    if not control:
        return ["No control runs."]
    by_p: dict[int, list[float]] = {}
    for run in control:
        end = float(run.curves["val_accuracy"].dropna("step")[-1])
        by_p.setdefault(run.spec.task.n_labels, []).append(end)
    return [
        f"Control at p = {p}: {plural(len(ends), 'seed')} with shuffled labels "
        f"end at {told(float(np.mean(ends)))} (chance {told(1 / p)})."
        for p, ends in sorted(by_p.items())
    ]


STUDY = Study(
    name="complexity",
    question="Does the time to grok grow exponentially with the complexity of the task?",
    claims=(
        Claim(
            "C11",
            "The time at which grokking happens increases exponentially with the task's complexity.",
        ),
    ),
    predictions={
        "exponential in complexity": (
            "The grokked step rises with p, symbols, bytes and irreps, and an exponential fits it "
            "better than a power law wherever complexity spans a factor of 3 or more."
        ),
        "frequency of reinforcement": (
            "The general circuit is reinforced by all training examples: at a fixed share of the table "
            "a larger p has more examples for each embedding row and groks sooner, or later as a power; "
            "with as many examples each row has fewer, and it groks later. A formula of several parts, "
            "each of which helps few examples, groks later."
        ),
        "circuit efficiency": (
            "What counts is what the general circuit costs against memorising (Varma et al. 2023, "
            "arXiv:2309.02390): memorising costs more with more examples, so at a fixed share a larger "
            "p groks sooner; groups with irreps of larger degree, whose circuit costs more, later."
        ),
        "norm clock": (
            "Weights decay to the norm of the general circuit at a rate that the task does not set (Liu "
            "et al. 2022, arXiv:2210.01117): the time depends on complexity weakly, by a logarithm."
        ),
    },
    runs=runs,
    answer=answer,
)
