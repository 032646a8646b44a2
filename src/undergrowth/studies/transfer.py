"""Does reach order what is learned outside modular arithmetic too? P18, on many parities at once.

A network learns several parities of different bits, the subtasks (Michaud et al. 2023,
arXiv:2303.13506). Each costs as much norm and is as simple as any other. In an arm they differ in how
many examples a subtask has, in how much each of these counts, or in how many of them push the same
neurons; in two arms, two of these balance each other. If what decides is the summed push on the same
weights, the step at which a subtask is learned goes as one over it, and where two balance there is no
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import Exceeds, Value, Within
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves, GroupAccuracy, RoutedReach
from undergrowth.models import MLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure, chart
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.predicted import Numbers
from undergrowth.store.reader import together
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate
from undergrowth.studies.shared_claims import GENERAL_REPLACES
from undergrowth.studies.statistic import Missing, Statistic, beside, points, times, times_predicted
from undergrowth.studies.study import Study
from undergrowth.studies.table import Table
from undergrowth.tasks import LeakyRandom, MultitaskParity, OfGroups
from undergrowth.training.batches import MiniBatch
from undergrowth.training.interventions import AtStep, Intervention, PartsOfGroups, RouteGradient
from undergrowth.training.optimisers import SGD, AdamW

SGD_PLAIN = SGD(lr=0.1, momentum=0.9)
SGD_DECAY = SGD(lr=0.1, momentum=0.9, weight_decay=1e-3)
ADAM = AdamW(lr=5e-3, weight_decay=0.0)
OBSERVED = Schedule(every=10, until=200, per_decade=60)
WHILE_EARLY = 200
EARLY = Schedule(every=100, until=WHILE_EARLY, per_decade=1)
SMALL = RunSpec(
    task=MultitaskParity(n_tasks=6, n_bits=12, k=2, exponent=0.0, n_examples=6_000),
    split=LeakyRandom(frac_train=0.8),
    model=MLPSpec(n_hidden=1, d_mlp=96),
    optimiser=SGD_PLAIN,
    batch=MiniBatch(batch_size=256),
    steps=1_200,
    measures=(
        Curves(schedule=OBSERVED),
        GroupAccuracy(schedule=OBSERVED),
        RoutedReach(preconditioned=False, by_group=True, schedule=EARLY),
    ),
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
"""Looked at on seeds 0 and 1. All subtasks are learned by step 450 where they are alike, by 720 where
their examples go as 1/i, with half as many examples the last are memorised and not learned. Rates of
0.03 to 0.3 do (Adam: 5e-3, and 1e-3 takes three times as long). With all of the gradient dealt out, or
three quarters, the network diverges: what an example pushes up in its own neurons others do not push
down. With half of it dealt into 4 parts it learns."""
LARGE = SMALL.replace(
    task=MultitaskParity(n_tasks=12, n_bits=16, k=2, exponent=0.0, n_examples=20_000),
    model=MLPSpec(n_hidden=1, d_mlp=192),
    steps=3_000,
)
"""Looked at on seed 0: alike, all are learned by step 1,010; with more examples the last two are not by
3,000; with half of the gradient dealt out it learns."""
EXPONENT, PARTS = 1.0, 4
"""Of Zipf's law over subtasks; into how many parts the examples of the rarer half are dealt."""
DOSES: Mapping[Budget, tuple[float, ...]] = {
    "quick": (0.5,),
    "standard": (0.25, 0.5),
    "full": (0.25, 0.5),
}
HIGHEST = 0.5
DOUBLE = 2.0
"""What makes up for the highest dose: with orthogonal gradients of subtasks the rarer half then gets as
much push as the other (`pushes_of`)."""

ALIKE = "alike"
OFTEN = "more examples"
WEIGHED = "more weight"
BALANCED = "more examples of less weight"
BALANCED_DEALT = f"dealt out at dose {HIGHEST:g}, of twice the weight"
ASIDE = f"to a random side at dose {HIGHEST:g}"
SHUFFLED = f"{OFTEN}, shuffled labels"


def dealt(dose: float) -> str:
    """The arm in which so much of the rarer half's gradient is dealt out."""
    return f"dealt out at dose {dose:g}"


def base(budget: Budget) -> RunSpec:
    """Subtasks that are alike in everything."""
    return LARGE if budget == "full" else SMALL


def n_subtasks(spec: RunSpec) -> int:
    """How many subtasks a run learns."""
    assert isinstance(spec.task, MultitaskParity)
    return spec.task.n_tasks


def kinds(budget: Budget) -> dict[str, RunSpec]:
    """By name what is trained by the usual optimiser: alike, and what differs from one subtask to the
    next, most for the first.
    """
    spec = base(budget)
    n = n_subtasks(spec)
    ranks = np.arange(1.0, n + 1)
    half = np.arange(n) >= n // 2
    often = spec.replace(task={**dict(spec.task), "exponent": EXPONENT})
    twice = OfGroups(values=tuple(np.where(half, DOUBLE, 1.0).tolist()))
    return {
        ALIKE: spec,
        OFTEN: often,
        WEIGHED: spec.replace(weights=OfGroups(values=tuple((ranks**-EXPONENT).tolist()))),
        BALANCED: often.replace(weights=OfGroups(values=tuple((ranks**EXPONENT).tolist()))),
        **{dealt(dose): _routed(spec, dose) for dose in DOSES[budget]},
        BALANCED_DEALT: _routed(spec, HIGHEST).replace(weights=twice),
        ASIDE: _routed(spec, HIGHEST, deviation="random"),
    }


def _routed(spec: RunSpec, dose: float, **fields: str) -> RunSpec:
    """With the examples of the rarer half of the subtasks dealt into parts."""
    n = n_subtasks(spec)
    parts = (1,) * (n // 2) + (PARTS,) * (n - n // 2)
    action = RouteGradient(dose=dose, routes=PartsOfGroups(parts=parts), **fields)  # pyright: ignore[reportArgumentType]
    return spec.replace(interventions=(Intervention(trigger=AtStep(step=0), action=action),))


ELSEWHERE = {"decay": SGD_DECAY, "Adam": ADAM}
"""Optimisers under which some of it is repeated."""


def under(optimiser: str, kind: str) -> str:
    """The name of a kind's arm under another optimiser."""
    return f"{optimiser}: {kind}"


def arms(budget: Budget) -> tuple[Arm, ...]:
    """All kinds; some of them with decay and under Adam; and with shuffled labels."""
    found = kinds(budget)
    controls = (ALIKE, ASIDE)
    of_adam = (ALIKE, OFTEN) if budget == "quick" else (ALIKE, OFTEN, WEIGHED, BALANCED)
    elsewhere = (
        *(("decay", kind) for kind in (ALIKE, OFTEN)),
        *(("Adam", kind) for kind in of_adam),
    )
    return (
        *(Arm(k, spec, "control" if k in controls else "treatment") for k, spec in found.items()),
        *(
            Arm(
                under(name, kind),
                found[kind].replace(optimiser=ELSEWHERE[name]),
                "control" if kind == ALIKE else "treatment",
            )
            for name, kind in elsewhere
        ),
        Arm(SHUFFLED, found[OFTEN].replace(labels="shuffled"), "control"),
    )


LEVEL = 0.9


def learned(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Of each subtask the first step at which validation accuracy is at the level, and whether that
    came; the last step where not.
    """
    accuracy = run["group_accuracy_val"].dropna("step", how="all").transpose("step", "group")
    is_there: np.ndarray = accuracy.values >= LEVEL
    got = np.asarray(is_there.any(axis=0))
    steps = accuracy["step"].values
    return np.maximum(np.where(got, steps[is_there.argmax(axis=0)], run.last_step), 1), got


NEITHER = "has subtasks of both halves that are not learned by the end"


def later(run: Run) -> tuple[float, float] | Missing:
    """Bounds of the mean log10(steps) of the last half of the subtasks minus that of the first half."""
    steps, got = learned(run)
    half = len(steps) // 2
    first, last = slice(None, half), slice(len(steps) - half, None)
    found = float(np.log10(steps[last]).mean() - np.log10(steps[first]).mean())
    low = found if got[first].all() else -np.inf
    high = found if got[last].all() else np.inf
    return Missing(NEITHER) if np.isinf([low, high]).all() else (low, high)


def later_beside(run: Run, control: Run) -> tuple[float, float] | Missing:
    """The same minus the control's."""
    mine, its = later(run), later(control)
    if isinstance(mine, Missing) or isinstance(its, Missing):
        return Missing(NEITHER)
    low, high = mine[0] - its[1], mine[1] - its[0]
    return Missing(NEITHER) if np.isinf([low, high]).all() else (low, high)


def more_reach(run: Run) -> float | Missing:
    """Mean log10(reach) of the first half of the subtasks minus that of the last half, early on."""
    early = run["routed_reach_group"].dropna("step", how="all").sel(step=slice(1, WHILE_EARLY))
    if not early.size:
        return Missing("has no reading of reach early on")
    decades = np.log10(early.transpose("step", "group").values).mean(axis=0)
    half = len(decades) // 2
    return float(decades[:half].mean() - decades[len(decades) - half :].mean())


def share_learned(run: Run) -> float:
    """The share of the subtasks that are learned."""
    return float(learned(run)[1].mean())


def pushes_of(spec: RunSpec) -> np.ndarray:
    """float64 [subtask]: the push that its examples together give to each weight, up to a factor.

    Its examples times their weight; where a share a of the gradient is dealt into p parts, times
    (1 - a) + a s / p, for a weight then gets one in p of these pushes. s rescales what is dealt out to
    the length of the gradient, where those of subtasks are orthogonal and go with their push.
    """
    assert isinstance(spec.task, MultitaskParity)
    alone = spec.task.counts().astype(float)
    if isinstance(spec.weights, OfGroups):
        alone *= spec.weights.values
    for intervention in spec.interventions:
        action = intervention.action
        if isinstance(action, RouteGradient) and action.deviation == "routed":
            assert isinstance(action.routes, PartsOfGroups)
            parts = np.array(action.routes.parts)
            scale = np.linalg.norm(alone) / np.linalg.norm(alone / parts)
            return alone * (1 - action.dose + action.dose * scale / parts)
    return alone


def predicted_later(spec: RunSpec) -> float:
    """The mean log10(steps) of the last half minus the first where steps go as one over the push."""
    steps = -np.log10(pushes_of(spec))
    half = len(steps) // 2
    return float(steps[len(steps) - half :].mean() - steps[:half].mean())


def predicted(budget: Budget) -> Numbers:
    """By arm how much later the last half is learned, in decades; of gradient descent without decay."""
    return {name: {"later": predicted_later(spec)} for name, spec in kinds(budget).items()}


def beside_predicted(table: Table, endpoint: Endpoint) -> Measured:
    """What an arm's subtasks are later by, its control's taken away, minus what was predicted."""
    said = table.predicts(endpoint.arm, "later")
    values: dict[int, Value] = {}
    missing: Counter[str] = Counter()
    assert endpoint.control is not None
    for seed, pair in table.pairs(endpoint.arm, endpoint.control).items():
        found = later_beside(*pair)
        if any(run.status == "failed" for run in pair):
            missing.update(["diverged"])
        elif said is None:
            missing.update(["no number was predicted before the runs"])
        elif isinstance(found, Missing):
            missing.update([found.why])
        else:
            values[seed] = found[0] - said, found[1] - said
    return Measured(aggregate(list(values.values())), values, missing=missing)


HOW = (
    f"A subtask is learned at the first step with a validation accuracy of {LEVEL:g}; one that is not "
    "by the end is censored there. Geometric means over the half of the subtasks that has less of what "
    "differs and over the half that has more, minus the same of the control, where subtasks are alike, "
    "of the same seed."
)
LATER = Statistic(
    "log10(steps to learn, last half of the subtasks / first half), minus the control's",
    HOW,
    later_beside,
    says=times("later", "sooner"),
)
AS_SAID = Statistic(
    "log10(steps to learn, last half of the subtasks / first half), observed minus predicted",
    f"Predicted: steps go as one over the push. {HOW}",
    later_beside,
    says=times_predicted,
)
REACH = Statistic(
    "log10(reach of the margins, first half of the subtasks / last half), minus the control's",
    "Of what the examples of a subtask write, at P = 1: how many of them push the same weights alike "
    f"(`routed_reach`). Geometric means over subtasks and the evaluations up to step {WHILE_EARLY}.",
    beside(more_reach),
    says=times("more", "less"),
)
LEARNED = Statistic(
    "share of the subtasks that are learned",
    f"A validation accuracy of {LEVEL:g} at any evaluation.",
    share_learned,
    range=(0.0, 1.0),
    says=points("of the subtasks"),
)
WORTH = Exceeds(0.1)
Later = partial(Endpoint, claim="P18", statistic=LATER, rule=WORTH)
As = partial(
    Endpoint,
    claim="P18",
    statistic=AS_SAID,
    rule=Within(0.2),
    control=ALIKE,
    measured=beside_predicted,
    note=lambda table: table.said_of_predictions,
)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Of each kind, whether subtasks are learned in order; in the predicted order of size; elsewhere."""
    treated = [kind for kind in kinds(budget) if kind not in (ALIKE, ASIDE)]
    elsewhere = [arm.name for arm in arms(budget) if ": " in arm.name and arm.role == "treatment"]
    return (
        *(Later(f"in order: {kind}", arm=kind, control=ALIKE) for kind in (*treated, ASIDE)),
        *(As(f"as predicted: {kind}", arm=kind) for kind in treated),
        *(
            Endpoint(f"more reach: {kind}", "P18", REACH, kind, WORTH, control=ALIKE)
            for kind in (*treated, ASIDE)
        ),
        *(
            Later(f"in order: {name}", arm=name, control=under(name.partition(": ")[0], ALIKE))
            for name in elsewhere
        ),
        Later("decay sharpens the order", arm=under("decay", OFTEN), control=OFTEN),
        Endpoint("learned from shuffled labels", "P18", LEARNED, SHUFFLED, WORTH),
    )


def figures(table: Table) -> Iterator[Figure]:
    """Steps to learn each subtask by arm; accuracy over steps, a line a subtask."""
    there = [arm for arm in kinds(table.budget) if table.has(arm)]
    if not there:
        return
    yield _steps(table, there)
    n = n_subtasks(base(table.budget))
    names = [f"subtask {i}" for i in range(1, n + 1)]
    panels: dict[str, dict[str, xr.DataArray]] = {}
    for arm in there:
        values = together(table.of(arm), "group_accuracy_val")
        panels[arm] = {name: values.isel(group=i, drop=True) for i, name in enumerate(names)}
    yield panels_figure(
        "transfer-accuracy",
        "Validation accuracy of each subtask",
        "Mean over seeds. The first subtask has most examples or weight; in arms where gradients are "
        "dealt out, those of the last half are.",
        panels,
        looks={n: Look(*look) for n, look in zip(names, theme.looks(len(names)), strict=True)},
        y=SHARE,
    )


MARKS = (20, 50, 100, 200, 500, 1000, 2000)


def _steps(table: Table, there: list[str]) -> Figure:
    """Steps to learn a subtask by its number: a dot a seed."""
    rows = []
    for arm in there:
        for run in table.of(arm):
            for i, (steps, got) in enumerate(zip(*learned(run), strict=True)):
                its = {"run": run.id, "seed": run.spec.seeds.model}
                is_there = "yes" if got else "not by the end"
                rows.append(
                    {"panel": arm, "subtask": i + 1, "steps": int(steps), "learned": is_there, **its}
                )
    frame = pd.DataFrame(rows).assign(series="one seed")
    limits = 0.8 * float(np.min(frame["steps"])), 1.25 * float(np.max(frame["steps"]))
    return chart(
        "transfer-steps",
        "Steps until a subtask is learned",
        f"A dot is a seed; a subtask is learned at the first step with a validation accuracy of "
        f"{LEVEL:g}, and one that is not stands at the last step. {table.said_of_predictions}",
        frame,
        Layer("dots", "subtask", "steps", tell=("run", "seed", "learned")),
        x=Scale("subtask", ticks={i: str(i) for i in frame["subtask"].unique()}),
        y=Scale("steps", kind="log", limits=limits, log_limits=limits, marks=MARKS),
        looks={"one seed": Look(theme.SIDES["val"], opacity=0.6)},
    )


COUNT = "number of examples as such"
STUDY = Study(
    name="transfer",
    question="Does reach order what is learned outside modular arithmetic, in many parities at once?",
    claims=(GENERAL_REPLACES,),
    hypotheses={
        FREQUENCY: (
            "A circuit is learned as fast as the pushes of its examples add up in the same weights: "
            "more examples, more weight and pushes that are not dealt out among neurons bring a subtask "
            "forward, each in proportion; where two of them balance there is no order. Decay does not "
            "matter."
        ),
        COUNT: (
            "What counts is how many examples push the same weights, however hard: the order follows "
            "the number of examples also where each counts for less, not their weight, and pushes that "
            "are dealt out set a subtask back also where each counts for more."
        ),
        EFFICIENCY: (
            "Under decay circuits win by their cost in norm. All subtasks cost the same, so it says "
            "nothing of their order without decay; with it, what more examples ask for is worth more of "
            "the norm."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, f"in order: {OFTEN}", ">"),
        Prediction(FREQUENCY, f"in order: {WEIGHED}", ">"),
        Prediction(FREQUENCY, f"in order: {BALANCED}", "none"),
        Prediction(FREQUENCY, f"in order: {dealt(HIGHEST)}", ">"),
        Prediction(FREQUENCY, f"in order: {BALANCED_DEALT}", "none"),
        Prediction(FREQUENCY, f"in order: {ASIDE}", "none"),
        Prediction(FREQUENCY, f"as predicted: {OFTEN}", ">"),
        Prediction(FREQUENCY, f"as predicted: {WEIGHED}", ">"),
        Prediction(FREQUENCY, f"as predicted: {dealt(HIGHEST)}", ">"),
        Prediction(FREQUENCY, f"in order: {under('Adam', OFTEN)}", ">"),
        Prediction(FREQUENCY, "decay sharpens the order", "none"),
        Prediction(COUNT, f"in order: {OFTEN}", ">"),
        Prediction(COUNT, f"in order: {WEIGHED}", "none"),
        Prediction(COUNT, f"in order: {BALANCED}", ">"),
        Prediction(COUNT, f"in order: {dealt(HIGHEST)}", ">"),
        Prediction(COUNT, f"in order: {BALANCED_DEALT}", ">"),
        Prediction(EFFICIENCY, f"in order: {under('decay', OFTEN)}", ">"),
        Prediction(EFFICIENCY, "decay sharpens the order", ">"),
    ),
    arms=arms,
    endpoints=endpoints,
    predicted=predicted,
    figures=figures,
)
