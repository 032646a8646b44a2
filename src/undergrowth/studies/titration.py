"""Does generalisation come as many examples reinforce the same weights? Reach as a dial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from undergrowth.analysis import Exceeds, Value, Within, estimate, events
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY, SIMPLICITY, TWO_CIRCUITS
from undergrowth.analysis.predictions import Prediction
from undergrowth.analysis.stages import at_event
from undergrowth.analysis.switches import log_ratio
from undergrowth.measures import Curves, RoutedReach
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure, chart
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.store.reader import together
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured
from undergrowth.studies.shared_claims import GENERAL_REPLACES
from undergrowth.studies.statistic import Missing, Statistic, beside, points, times
from undergrowth.studies.study import Study
from undergrowth.studies.table import Table
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.interventions import AtStep, Intervention, RandomWeights, RouteGradient
from undergrowth.training.optimisers import SGD, AdamW, AnyOptimiser, SignSGD

Side = Literal["routed", "random", "low_rank"]
ADAM, MOMENTUM, SIGN = "Adam", "SGD", "sign-SGD"
OPTIMISERS: dict[str, tuple[AnyOptimiser, AnyOptimiser, int]] = {
    ADAM: (AdamW(lr=5e-4, weight_decay=0.0), AdamW(lr=5e-4, weight_decay=1.0), 3_000),
    MOMENTUM: (
        SGD(lr=0.4, momentum=0.9),
        SGD(lr=0.4, momentum=0.9, weight_decay=1e-4),
        6_000,
    ),
    SIGN: (SignSGD(lr=5e-4), SignSGD(lr=5e-4, weight_decay=1e-4), 3_000),
}
"""By name: without decay, with decay, and the steps in which the network groks without routing."""
DOSES: dict[Budget, tuple[float, ...]] = {
    "quick": (0.5, 0.65),
    "standard": (0.25, 0.5, 0.65),
    "full": (0.25, 0.5, 0.65),
}
"""From 0.75 on hardly any run memorises at these rates, and without that there is nothing to compare."""
HIGHEST = max(DOSES["standard"])
GROUPS = (8, 32)
"""Examples that share their weights, beside one."""

BASE = RunSpec(
    task=Modular(operation="x+y", p=23),
    split=CommutationSafe(frac_train=0.7),
    model=TwoTokenMLPSpec(d_embed=24, d_mlp=48, act_fn="square"),
    loss="mse",
    measures=(
        Curves(schedule=Schedule(every=10, until=200, per_decade=60)),
        RoutedReach(preconditioned=False, schedule=Schedule(every=100, until=1_000, per_decade=20)),
    ),
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
"""Groks in a few seconds under each of the optimisers, without decay."""


@dataclass(frozen=True)
class Dose:
    """An arm: how much of the gradient is routed, to whom, and under what."""

    optimiser: str
    has_decay: bool
    dose: float = 0.0
    side: Side = "routed"
    group_size: int = 1
    labels: Literal["true", "shuffled"] = "true"

    @property
    def name(self) -> str:
        """What it is called."""
        what = {
            "routed": "",
            "random": " to a random side",
            "low_rank": " to a side of few directions",
        }[self.side]
        of_groups = f", {self.group_size} examples a group" if self.group_size > 1 else ""
        shuffled = ", shuffled labels" if self.labels == "shuffled" else ""
        decay = "decay" if self.has_decay else "no decay"
        return f"{self.optimiser}, {decay}: dose {self.dose:g}{what}{of_groups}{shuffled}"

    @property
    def arm(self) -> Arm:
        """What is trained."""
        without, with_decay, steps = OPTIMISERS[self.optimiser]
        spec = BASE.replace(
            optimiser=with_decay if self.has_decay else without, steps=steps, labels=self.labels
        )
        if self.dose:
            action = RouteGradient(
                dose=self.dose, routes=RandomWeights(group_size=self.group_size), deviation=self.side
            )
            spec = spec.replace(interventions=(Intervention(trigger=AtStep(step=0), action=action),))
        is_control = self.side != "routed" or not self.dose or self.labels == "shuffled"
        return Arm(self.name, spec, role="control" if is_control else "treatment")

    def at(self, dose: float, side: Side = "routed") -> Dose:
        """The same at another dose."""
        return replace(self, dose=dose, side=side, group_size=1)


def bases(budget: Budget) -> tuple[Dose, ...]:
    """The undisturbed runs: one for each optimiser, with decay and without."""
    names = (ADAM,) if budget == "quick" else tuple(OPTIMISERS)
    return tuple(Dose(name, has_decay) for name in names for has_decay in (False, True))


def doses(budget: Budget) -> tuple[Dose, ...]:
    """All arms: each base, then its doses, each beside its control; the second control at the highest
    dose; groups and shuffled labels.
    """
    main = Dose(ADAM, has_decay=False)
    more = (
        ()
        if budget == "quick"
        else tuple(replace(main.at(HIGHEST), group_size=size) for size in GROUPS)
        + tuple(replace(main, labels="shuffled", dose=dose) for dose in (0.0, HIGHEST))
    )
    beside = tuple(
        dose
        for base in bases(budget)
        for dose in (
            base,
            *(base.at(a, side) for a in DOSES[budget] for side in ("routed", "random")),
        )
    )
    return (*beside, main.at(HIGHEST, "low_rank"), *more)


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Those of `doses`."""
    return tuple(dose.arm for dose in doses(budget))


def memorised(run: Run) -> float | Missing:
    """Steps until it has memorised."""
    first = events(run.curves, RULES)["memorised"].first
    return Missing("never memorised") if first is None else float(max(first, 1))


def wait(run: Run) -> tuple[int, bool] | Missing:
    """Steps from memorised to grokked, at least one; and whether it got there, or only had those."""
    found = events(run.curves, RULES)
    start, end = found["memorised"].first, found["grokked"].first
    if start is None:
        return Missing("never memorised")
    got = end is not None and run.status == "done"
    return max((end if end is not None else run.last_step) - start, 1), got


def waits_longer(run: Run, control: Run) -> Value | Missing:
    """Bounds of log10(its wait / the control's)."""
    mine, its = wait(run), wait(control)
    for found in (mine, its):
        if isinstance(found, Missing):
            return found
    low, high = log_ratio(mine, its)  # pyright: ignore[reportArgumentType]
    return -high, -low


def decades_to_memorise(run: Run) -> float | Missing:
    """log10 of the steps until it has memorised."""
    steps = memorised(run)
    return steps if isinstance(steps, Missing) else float(np.log10(steps))


def reach(run: Run) -> float | Missing:
    """log10 of the reach when it had memorised."""
    found = at_event(run, run["routed_reach_whole"], "memorised")
    return Missing("never memorised") if found is None else float(np.log10(found))


AS_LONG = 3
"""Times the steps to memorise, up to which validation is averaged."""


def lowered(run: Run) -> float | Missing:
    """Mean log10(reach without routing / with it), of the network as it stands, over that time."""
    start = memorised(run)
    if isinstance(start, Missing):
        return start
    both = (run[f"routed_reach_{what}"].dropna("step") for what in ("unrouted", "whole"))
    steps = run["routed_reach_whole"]["step"].values
    without, with_it = (each.values[(steps >= start) & (steps <= AS_LONG * start)] for each in both)
    if not len(with_it):
        return Missing("has too few evaluations there")
    return float(np.mean(np.log10(without / with_it)))


def progress(run: Run) -> float | Missing:
    """Mean validation accuracy from when it has memorised to three times that."""
    start = memorised(run)
    if isinstance(start, Missing):
        return start
    if run.last_step < AS_LONG * start:
        return Missing(f"ends before {AS_LONG} times the steps to memorise")
    curve = run["val_accuracy"].dropna("step")
    steps, values = curve["step"].values, curve.values
    within = (steps >= start) & (steps <= AS_LONG * start)
    if within.sum() < 3:
        return Missing("has too few evaluations there")
    return float(np.trapezoid(values[within], steps[within]) / np.ptp(steps[within]))


MEMORISED = f"Memorised: {RULES.describe('memorised')}."
WAIT = (
    f"From memorised ({RULES.describe('memorised')}) to grokked ({RULES.describe('grokked')}), of runs "
    "of the same seed; a run that never groks is censored at its end."
)
LONGER = Statistic(
    "log10(steps from memorised to grokked / the control's)",
    WAIT,
    waits_longer,
    says=times("longer", "shorter"),
)
LATER = Statistic(
    "log10(steps to memorise / the control's)",
    MEMORISED,
    beside(decades_to_memorise),
    says=times("later", "sooner"),
)
LOWER = Statistic(
    "log10(reach without routing / with it)",
    f"Of the same weights: what routing takes of the reach of margins at P = 1. Mean from memorised to "
    f"{AS_LONG} times that. {MEMORISED}",
    lowered,
    says=times("less", "more"),
)
PROGRESS = Statistic(
    "partial slope of mean validation accuracy after memorising on log10(reach)",
    f"Over all doses and both sides of one seed; the other regressor is the cosine of the gradient that "
    f"is followed with the loss's. Accuracy: mean from memorised to {AS_LONG} times that. {MEMORISED}",
    lambda run: 0.0,
    says=points("of accuracy a decade of reach"),
)


def slope_on_reach(table: Table, endpoint: Endpoint) -> Measured:
    """Of each seed the partial slope over the arms of an optimiser and decay."""
    base = next(dose for dose in doses(table.budget) if dose.name == endpoint.arm)
    family = [base, *(base.at(a, s) for a in DOSES[table.budget] for s in ("routed", "random"))]
    values: dict[int, Value] = {}
    missing: dict[str, int] = {}
    for seed in sorted({seed for each in family for seed in table.runs.get(each.name, {})}):
        found = _slope([table.runs.get(each.name, {}).get(seed) for each in family])
        if isinstance(found, Missing):
            missing[found.why] = missing.get(found.why, 0) + 1
        else:
            values[seed] = found
    return Measured(estimate([float(v) for v in values.values()]), values, missing=missing)  # pyright: ignore[reportArgumentType]


def _slope(runs: Sequence[Run | None]) -> float | Missing:
    """Least squares of progress on log reach, the cosine and a constant."""
    rows, heights = [], []
    for run in runs:
        if run is None or run.status == "failed":
            continue
        height, decades = progress(run), reach(run)
        cosine = at_event(run, run["routed_reach_cosine"], "memorised")
        if isinstance(height, Missing) or isinstance(decades, Missing) or cosine is None:
            continue
        rows.append([decades, float(cosine), 1.0])
        heights.append(height)
    if len(rows) < 4 or np.linalg.matrix_rank(np.array(rows)) < 3:
        return Missing("fewer than four arms of it have memorised")
    return float(np.linalg.lstsq(np.array(rows), np.array(heights), rcond=None)[0][0])


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """For each optimiser, with decay and without, what each dose does beside its control."""
    found: list[Endpoint] = []
    for base in bases(budget):
        where = f"{base.optimiser}, {'decay' if base.has_decay else 'no decay'}"
        for a in DOSES[budget]:
            routed, random = base.at(a), base.at(a, "random")
            at = f"dose {a:g}, {where}"
            found += [
                _beside(f"waits-longer, {at}", LONGER, routed, random, Exceeds(0.1)),
                _beside(f"waits-longer-than-undisturbed, {at}", LONGER, routed, base, Exceeds(0.1)),
                Endpoint(f"lower-reach, {at}", "P18", LOWER, routed.name, Exceeds(0.05)),
                _beside(f"memorises-alike, {at}", LATER, routed, random, Within(0.1)),
            ]
        found.append(
            Endpoint(
                f"follows-reach, {where}",
                "P18",
                PROGRESS,
                base.name,
                Exceeds(0.05),
                measured=slope_on_reach,
            )
        )
    for name in dict.fromkeys(base.optimiser for base in bases(budget)):
        for a in (0.0, *DOSES[budget]):
            without, with_decay = (Dose(name, has_decay, a) for has_decay in (False, True))
            found.append(
                _beside(f"decay-shortens, dose {a:g}, {name}", LONGER, without, with_decay, Exceeds(0.1))
            )
    main = Dose(ADAM, has_decay=False)
    few, at = main.at(HIGHEST, "low_rank"), f"dose {HIGHEST:g}, {ADAM}, no decay"
    found += [
        _beside(
            f"waits-longer-than-in-few-directions, {at}", LONGER, main.at(HIGHEST), few, Exceeds(0.1)
        ),
        _beside(
            f"few-directions-wait-longer, {at}", LONGER, few, main.at(HIGHEST, "random"), Exceeds(0.1)
        ),
    ]
    if budget != "quick":
        found += [
            _beside(
                f"waits-longer, {size} examples a group",
                LONGER,
                replace(main.at(HIGHEST), group_size=size),
                main.at(HIGHEST, "random"),
                Exceeds(0.1),
            )
            for size in GROUPS
        ]
    return tuple(found)


def _beside(name: str, statistic: Statistic, dose: Dose, control: Dose, rule) -> Endpoint:
    """A dose beside a control of the same seed."""
    return Endpoint(name, "P18", statistic, dose.name, rule, control=control.name)


def predictions() -> tuple[Prediction, ...]:
    """What each hypothesis expects of the arms that every budget has."""
    where = f"{ADAM}, no decay"
    found = []
    for a in DOSES["quick"]:
        found += [
            Prediction(FREQUENCY, f"waits-longer, dose {a:g}, {where}", ">"),
            Prediction(EFFICIENCY, f"waits-longer, dose {a:g}, {where}", "none"),
            Prediction(SIMPLICITY, f"waits-longer, dose {a:g}, {where}", "none"),
            Prediction(EFFICIENCY, f"decay-shortens, dose {a:g}, {ADAM}", ">"),
            Prediction(TWO_CIRCUITS, f"decay-shortens, dose {a:g}, {ADAM}", ">"),
        ]
    few = f"waits-longer-than-in-few-directions, dose {HIGHEST:g}, {where}"
    return (
        *found,
        Prediction(FREQUENCY, few, ">"),
        Prediction(EFFICIENCY, few, "none"),
        Prediction(SIMPLICITY, few, "none"),
        Prediction(FREQUENCY, f"follows-reach, {where}", ">"),
        Prediction(EFFICIENCY, f"follows-reach, {where}", "none"),
        Prediction(SIMPLICITY, f"follows-reach, {where}", "none"),
    )


LINES: dict[Side, str] = {
    "routed": "routed",
    "random": "to a random side",
    "low_rank": "to a side of few directions",
}
LOOKS = {
    "routed": Look("#C2428A"),
    "to a random side": Look("#0A9A74", "6px,3px"),
    "to a side of few directions": Look("#2D7DB8", "2px,2px"),
}


def figures(table: Table) -> Iterator[Figure]:
    """The wait by dose, then validation accuracy and reach over steps."""
    there = [base for base in bases(table.budget) if table.has(base.name)]
    if not there:
        return
    yield _waits(table, there)
    for base in there[:1]:
        yield from _over_steps(table, base)


def _waits(table: Table, there: Sequence[Dose]) -> Figure:
    """Steps from memorised to grokked at each dose, every seed and the geometric mean."""
    rows = []
    for base in there:
        panel = f"{base.optimiser}, {'decay' if base.has_decay else 'no decay'}"
        for a in (0.0, *DOSES[table.budget]):
            for side, line in LINES.items():
                name = (base if a == 0 else base.at(a, side)).name
                for run in table.of(name):
                    found = wait(run)
                    if not isinstance(found, Missing):
                        steps, got = found
                        rows.append(
                            {
                                "panel": panel,
                                "line": line,
                                "dose": a,
                                "steps": steps,
                                "grokked": "yes" if got else "not by the end",
                                "run": run.id,
                                "seed": run.spec.seeds.model,
                            }
                        )
    return chart(
        "titration-waits",
        "Steps from memorised to grokked, by how much of the gradient is routed",
        "A dot is a seed; one that did not grok stands at the steps that it had. Dose: the share of the "
        "gradient that goes to each example's own weights; to a random side, or one of few directions: "
        "as much of the gradient lost, to no example. Seeds that never memorised are not drawn; the "
        "endpoints count them.",
        pd.DataFrame(rows),
        Layer("dots", "dose", "steps", series="line", tell=("run", "seed", "grokked")),
        x=Scale("dose"),
        y=Scale("steps", kind="log"),
        looks=LOOKS,
        across=2,
    )


def _over_steps(table: Table, base: Dose) -> Iterator[Figure]:
    """Validation accuracy and reach over steps, a panel for each dose."""
    for reading, title, scale in (
        ("val_accuracy", "Validation accuracy", SHARE),
        ("routed_reach_whole", "Reach of what the examples write", Scale("reach", kind="log")),
    ):
        panels = {}
        for a in DOSES[table.budget]:
            lines = {
                line: together(table.of(base.at(a, side).name), reading)
                for side, line in LINES.items()
                if table.has(base.at(a, side).name)
            }
            if lines:
                panels[f"dose {a:g}"] = lines
        if panels:
            yield panels_figure(
                f"titration-{reading}",
                f"{title} by dose: {base.optimiser}, {'decay' if base.has_decay else 'no decay'}",
                "Mean over seeds.",
                panels,
                looks=LOOKS,
                y=scale,
            )


STUDY = Study(
    name="titration",
    question="Does generalisation come as many examples reinforce the same weights?",
    claims=(GENERAL_REPLACES,),
    hypotheses={
        FREQUENCY: (
            "A network generalises because the pushes of many examples add up in the same weights. "
            "Where each example may change mostly weights of its own, validation comes later than "
            "where as much of the gradient is lost to nobody, and validation follows reach."
        ),
        EFFICIENCY: (
            "General circuits win because they cost less weight norm for the same logits. At equal "
            "descent it does not matter who changes which weights; decay shortens the wait at every "
            "dose."
        ),
        TWO_CIRCUITS: "Decay and the remaining gradient decide the wait; decay shortens it.",
        SIMPLICITY: (
            "What generalises is what most settings of the weights compute; which weights an example "
            "may change is of no matter at equal descent."
        ),
    },
    predictions=predictions(),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
