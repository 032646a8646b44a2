"""Are algorithmic tasks learned in a jump, other ones smoothly, and why does RL jump? C13."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from undergrowth.analysis import Exceeds, difference, estimate
from undergrowth.analysis.hypotheses import FREQUENCY
from undergrowth.analysis.jumps import LEARNED, RULE, Jump, StepAxis, jump, mean_rise, noise_floor
from undergrowth.analysis.means import columns_of
from undergrowth.analysis.predictions import Expected, Prediction
from undergrowth.measures import SIDES, Curves, ExpectedReturn
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.axes import ZERO_ON_LOG
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.estimates import by_arm_figure
from undergrowth.report.figure import Figure, chart
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured, values_of
from undergrowth.studies.statistic import Missing, Statistic, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import (
    Characters,
    CommutationSafe,
    Digits,
    Gridworld,
    Group,
    LeakyRandom,
    Modular,
    SparseParity,
    WholeGroups,
)
from undergrowth.training.batches import MiniBatch
from undergrowth.training.optimisers import SGD, AdamW

ADDITION, GROUP, PARITY = "addition", "group", "parity"
ALGORITHMIC = (ADDITION, GROUP, PARITY)
DIGITS, TEXT = "digits", "text"
IMITATION = "imitation"
RL, RL_SHAPED, RL_EXPLORING = "RL", "RL, shaped", "RL, exploring"
OTHER_SIDE = ", side "
"""Between RL and the rows and columns of a world that has other ones."""
GLOSSARY = (
    "Imitation, RL: shortest paths in one gridworld, learned from labels, and by policy gradient "
    "from every state. Shaped, exploring: from the corner farthest from each goal, with a shaped or the "
    "sparse reward. Side: the same as RL in a world of that many rows and columns."
)

OBSERVED = Schedule(every=1, until=20, per_decade=60)
"""No evaluation is later than the one before by more than 4 %: closer than the steepest stretch."""
SELDOM = Schedule(every=1000, until=1000, per_decade=1)

BASE = RunSpec(measures=(Curves(schedule=OBSERVED),), checkpoints=SELDOM)


def gridworlds(base: RunSpec, side: int, other_sides: Sequence[int]) -> dict[str, RunSpec]:
    """The same network on the same table, imitated and by policy gradient; and on other tables."""
    measures = (Curves(schedule=OBSERVED), ExpectedReturn(schedule=OBSERVED))
    base = base.replace(
        task=Gridworld(side=side, horizon=3), split=WholeGroups(frac_train=0.8), measures=measures
    )
    rl = base.replace(loss="policy_gradient")
    return {
        IMITATION: base,
        RL: rl,
        RL_SHAPED: rl.replace(task=Gridworld(side=side, horizon=3, start="far_corner", reward="shaped")),
        RL_EXPLORING: rl.replace(task=Gridworld(side=side, horizon=3, start="far_corner")),
        **{
            f"{RL}{OTHER_SIDE}{each}": rl.replace(task=Gridworld(side=each, horizon=3))
            for each in other_sides
        },
    }


SMALL: dict[str, RunSpec] = {
    ADDITION: BASE.replace(
        task=Modular(p=31),
        split=CommutationSafe(frac_train=0.8),
        model=TwoTokenMLPSpec(d_embed=64, d_mlp=128),
        optimiser=AdamW(lr=5e-3, weight_decay=1.0),
        steps=1500,
    ),
    GROUP: BASE.replace(
        task=Group(group="S4"),
        split=CommutationSafe(frac_train=0.8),
        model=TwoTokenMLPSpec(d_embed=64, d_mlp=128),
        optimiser=AdamW(lr=5e-3, weight_decay=1.0),
        steps=2500,
    ),
    PARITY: BASE.replace(
        task=SparseParity(n_bits=30, k=3, n_examples=1200),
        split=LeakyRandom(frac_train=0.6),
        model=MLPSpec(d_mlp=128, n_hidden=1),
        optimiser=SGD(lr=0.1, weight_decay=0.01),
        batch=MiniBatch(batch_size=32),
        steps=6000,
    ),
    DIGITS: BASE.replace(
        task=Digits(),
        split=LeakyRandom(frac_train=0.6),
        model=MLPSpec(d_mlp=64, n_hidden=1),
        optimiser=AdamW(lr=2e-3, weight_decay=1.0),
        steps=1000,
    ),
    TEXT: BASE.replace(
        task=Characters(n_characters=8000),
        split=WholeGroups(frac_train=0.7),
        model=MLPSpec(d_mlp=64, n_hidden=1),
        optimiser=AdamW(lr=2e-3, weight_decay=1.0),
        batch=MiniBatch(batch_size=256),
        steps=2000,
    ),
    **gridworlds(
        BASE.replace(
            model=MLPSpec(d_mlp=64, n_hidden=1),
            optimiser=AdamW(lr=2e-3, weight_decay=1.0),
            steps=1000,
        ),
        side=6,
        other_sides=(3, 4, 5, 8),
    ),
}
"""Settings as small as possible.

Tried beside them: addition from 70 % at lr 3e-3 and decay 2 and S4 from 70 % at 3e-3 are not done by
2,000 steps; parity of 20 bits by AdamW on full batches stays near chance on validation at 600 and 1,000
examples. Of worlds from afar with the sparse reward, a uniform walk reaches the goal in 3 % of the
episodes in this one (from every state in 21 %); in 7 x 7 with twice the shortest way, 0.6 %, policies
are stuck at a third to a half of the optimal return, and in 5 x 5 with four times that way, 10 %, there
is little to explore.
"""

WIDE = BASE.replace(model=MLPSpec(d_mlp=512, n_hidden=2), optimiser=AdamW(lr=1e-3, weight_decay=1.0))
PAPER: dict[str, RunSpec] = {
    ADDITION: BASE.replace(
        task=Modular(p=113),
        split=CommutationSafe(frac_train=0.3),
        model=TransformerSpec(),
        optimiser=AdamW(lr=1e-3, weight_decay=1.0),
        steps=40_000,
    ),
    GROUP: BASE.replace(
        task=Group(group="S5"),
        split=CommutationSafe(frac_train=0.5),
        model=TransformerSpec(),
        optimiser=AdamW(lr=1e-3, weight_decay=1.0),
        steps=40_000,
    ),
    PARITY: SMALL[PARITY].replace(
        task=SparseParity(), model=MLPSpec(d_mlp=1000, n_hidden=1), steps=40_000
    ),
    DIGITS: WIDE.replace(task=Digits(), split=LeakyRandom(frac_train=0.6), steps=10_000),
    TEXT: WIDE.replace(
        task=Characters(window=8, n_characters=21_699),
        split=WholeGroups(frac_train=0.7),
        batch=MiniBatch(batch_size=512),
        steps=20_000,
    ),
    **gridworlds(WIDE.replace(steps=10_000), side=10, other_sides=(4, 5, 6, 8)),
}
"""The scale of Nanda et al. 2023 (arXiv:2301.05217) and Merrill et al. 2023 (arXiv:2303.11873)."""


def shuffled(task: str) -> str:
    """The name of a task's control."""
    return f"{task}, shuffled labels"


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Every setting, then the algorithmic ones with shuffled labels, which can only be memorised."""
    specs = PAPER if budget == "full" else SMALL
    controls = ((shuffled(task), specs[task].replace(labels="shuffled")) for task in ALGORITHMIC)
    return (
        *(Arm(name, spec) for name, spec in specs.items()),
        *(Arm(name, spec, "control", seeds=10) for name, spec in controls),
    )


Curve = Literal["score", "loss"]


@lru_cache(maxsize=8192)
def rising(run: Run, side: str, curve: Curve):
    """What rises as a run learns.

    `score`: accuracy, in gridworlds the exact expected return. `loss`: the loss that is trained on, with
    its sign turned: cross-entropy, and with a policy gradient the expected return.
    """
    if run.spec.loss == "policy_gradient" or (curve == "score" and f"{side}_return" in run.names):
        return run[f"{side}_return"]
    return run[f"{side}_accuracy"] if curve == "score" else -run[f"{side}_loss"]


@lru_cache(maxsize=8192)
def jump_of(run: Run, side: str, curve: Curve, axis: StepAxis) -> Jump | None:
    """The jump of one side's curve; None where it learned nothing, or diverged."""
    return jump(rising(run, side, curve), axis) if run.status == "done" else None


@dataclass(frozen=True)
class Shape:
    """A number of a learning curve: its name, how it is made, of which curve and axis of the steps."""

    name: str
    how: str
    curve: Curve = "score"
    axis: StepAxis = "linear"
    number: Callable[[Jump], float] = lambda found: found.size

    def of(self, run: Run, side: str = "val") -> float | Missing:
        """Of a run."""
        found = jump_of(run, side, self.curve, self.axis)
        return Missing("learned nothing") if found is None else self.number(found)

    @property
    def statistic(self) -> Statistic:
        """Of a run's validation curve, and of differences of means."""
        how = f"{self.how} Curve: {WHICH[self.curve]}. {GLOSSARY}"
        return Statistic(f"{self.name} of the validation curve", how, self.of, range=(-1.0, 1.0))


WHICH: dict[Curve, str] = {
    "score": "accuracy, in gridworlds the exact expected return",
    "loss": "the negated training loss (with a policy gradient, the expected return)",
}
JUMP = f"Jump: {RULE}."
WAIT = (
    "Wait: steps to a tenth of the rise over steps to nine tenths (1 for a step, 0.11 for a straight "
    "line); it distinguishes a jump from a steep beginning."
)
SHAPES = {
    "linear": Shape("jump on linear steps", JUMP),
    "log": Shape("jump on log steps", JUMP, axis="log"),
    "wait": Shape("wait", WAIT, number=lambda found: found.wait),
    "loss": Shape("jump of the loss on linear steps", JUMP, "loss"),
}


@dataclass(frozen=True)
class Comparison:
    """Settings of which the mean is taken, held against another, and what a larger jump speaks for."""

    name: str
    first: tuple[str, ...]
    second: str

    def measured(self, table: Table, endpoint: Endpoint) -> Measured:
        """The difference of the means over seeds: a seed counts that learned every one of the first."""
        missing: Counter[str] = Counter()
        each = [values_of(table, arm, endpoint.statistic, missing) for arm in self.first]
        seeds = sorted(set.intersection(*map(set, each)))
        mine = {seed: float(np.mean([values[seed] for values in each])) for seed in seeds}
        its = values_of(table, self.second, endpoint.statistic, missing)
        found = difference([*mine.values()], [float(value) for value in its.values()])  # pyright: ignore[reportArgumentType]
        return Measured(found, mine, its, missing=missing)

    def endpoint(self, shape: Shape, ending: str) -> Endpoint:
        """Of a shape."""
        return Endpoint(
            f"{self.name}-{ending}",
            "C13",
            shape.statistic,
            self.first[0],
            Exceeds(SESOI),
            control=self.second,
            measured=self.measured,
            note=lambda table: " ".join(_told(table, arm, shape) for arm in (*self.first, self.second)),
        )


SESOI = 0.1
"""Of a jump, which is from 0 to 1."""
COMPARED = (
    Comparison("algorithmic-digits", ALGORITHMIC, DIGITS),
    Comparison("algorithmic-text", ALGORITHMIC, TEXT),
    Comparison("exploring-shaped", (RL_EXPLORING,), RL_SHAPED),
    Comparison("exploring-everywhere", (RL_EXPLORING,), RL),
    Comparison("rl-digits", (RL,), DIGITS),
    Comparison("rl-text", (RL,), TEXT),
    Comparison("rl-imitation", (RL,), IMITATION),
)


@lru_cache(maxsize=8192)
def _floor(run: Run, shape: Shape) -> float:
    return noise_floor(rising(run, "val", shape.curve), shape.axis, np.random.default_rng(0))


def _told(table: Table, arm: str, shape: Shape) -> str:
    """What noise makes of straight lines, where an arm's jumps lie, and lower bounds among them."""
    known = {run: jump_of(run, "val", shape.curve, shape.axis) for run in table.of(arm)}
    jumps = {run: found for run, found in known.items() if found is not None}
    if not jumps:
        return f"{arm}: no run learned."
    floor = np.mean([_floor(run, shape) for run in jumps])
    early = sum(found.start < 0.1 * found.learned for found in jumps.values())
    coarse = sum(not found.is_resolved for found in jumps.values())
    bounds = f", {coarse} lower bounds because evaluations are too far apart" if coarse else ""
    return (
        f"{arm}: a straight line with its noise has a jump of {floor:.2f}; the steepest stretch is in "
        f"the first tenth in {early} of {len(jumps)}{bounds}."
    )


def features_of_worlds(table: Table) -> dict[str, int]:
    """The number of features of each world that is learned by reward from everywhere, fewest first."""
    specs = {name: arm.spec for name, arm in table.arms.items() if name == RL or OTHER_SIDE in name}
    features = {name: spec.task.input_space.n_features for name, spec in specs.items()}  # pyright: ignore[reportAttributeAccessIssue]
    return {name: features[name] for name in sorted(features, key=lambda name: features[name])}


def by_dose(table: Table, endpoint: Endpoint) -> Measured:
    """Of each seed that learned in every world the slope over log2 of the features, turned round."""
    missing: Counter[str] = Counter()
    worlds = features_of_worlds(table)
    each = [values_of(table, arm, endpoint.statistic, missing) for arm in worlds]
    dose = np.log2([*worlds.values()])
    slopes = {
        seed: -float(np.polyfit(dose, [float(values[seed]) for values in each], 1)[0])  # pyright: ignore[reportArgumentType]
        for seed in sorted(set.intersection(*map(set, each)))
    }
    return Measured(estimate([*slopes.values()]), slopes, missing=missing)


DOSED = Statistic(
    "increase of the jump of the expected return, on linear steps, when the features are halved",
    f"{JUMP} Curve: {WHICH['loss']}. For each seed the negated slope over log2 of the number of "
    "features (a gridworld's rows and columns, of agent and goal).",
    SHAPES["loss"].of,
    says=unit("more of the rise in one jump with half the features"),
)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """The dose, then every comparison; of worlds that are learned by reward score and loss are one."""
    dosed = Endpoint("dose", "C13", DOSED, RL, Exceeds(SESOI), is_primary=True, measured=by_dose)
    by_reward = {RL, RL_SHAPED, RL_EXPLORING}
    compared = (
        each.endpoint(shape, ending)
        for each in COMPARED
        for ending, shape in SHAPES.items()
        if ending != "loss" or not {*each.first, each.second} <= by_reward
    )
    return (dosed, *compared)


def figures(table: Table) -> Iterator[Figure]:
    """The learning curves on one axis, the dose, and the shapes of all settings; nothing where nobody
    learned.
    """
    learned = [
        mean_rise(curves).assign(setting=arm, n=len(curves), series=f"{arm} (n = {len(curves)})")
        for arm in table.among(_settings(table))
        if OTHER_SIDE not in arm and (curves := _learned(table, arm))
    ]
    if not learned:
        return
    yield _learning_figure(pd.concat(learned, ignore_index=True))
    if (features := _jumps_by_features(table)) is not None:
        yield _dose_figure(features)
    for side, name in zip(SIDES[::-1], ("validation", "training"), strict=True):
        yield _jumps_figure(table, side, name)


def _settings(table: Table) -> list[str]:
    """The arms that are no controls."""
    return [name for name, arm in table.arms.items() if arm.role != "control"]


def _learned(table: Table, arm: str) -> list[tuple[xr.DataArray, Jump]]:
    """The curves of the seeds that learned, with their jumps."""
    jumps = {run: jump_of(run, "val", "score", "linear") for run in table.of(arm)}
    return [(rising(run, "val", "score"), found) for run, found in jumps.items() if found is not None]


def _learning_figure(learned: pd.DataFrame) -> Figure:
    return chart(
        "learning_curves",
        "Every setting's validation curve, normalised by its length and rise",
        "Mean over the seeds that learned. Each seed's curve is scaled from the first level of its "
        "isotonic fit, 0, to the last, 1, and its steps by the number that it took to reach "
        f"{LEARNED:.0%} of that. A mean over seeds that jump at different times is smoother than each "
        f"of them: the jumps are of single runs. {GLOSSARY} {ZERO_ON_LOG}",
        learned,
        Layer("lines", "steps", "rise"),
        x=Scale(f"share of the steps up to {LEARNED:.0%} of the rise", is_switchable=True),
        y=Scale("share of the rise", limits=(-0.15, 1.15)),
        tall=360,
    )


def _jumps_by_features(table: Table) -> pd.DataFrame | None:
    """A row for each run of each world that learned, and one for their mean; None where none did."""
    rows = []
    for arm, n_features in features_of_worlds(table).items():
        sizes = {run: SHAPES["loss"].of(run) for run in table.of(arm)}
        known = {run: size for run, size in sizes.items() if not isinstance(size, Missing)}
        its = {"features": n_features, "world": arm}
        seed = its | {"layer": "seed", "series": "one seed"}
        mean = its | {"layer": "mean", "series": "mean"}
        rows += [
            seed | {"value": size, "run": run.id, "seed": run.spec.seeds.model}
            for run, size in known.items()
        ]
        if known:
            rows.append(mean | columns_of(estimate([*known.values()])))
    return pd.DataFrame(rows) if rows else None


def _dose_figure(features: pd.DataFrame) -> Figure:
    return chart(
        "jump_by_features",
        "How much of the rise of the expected return is one jump, by the number of features",
        f"{JUMP} On linear steps, of validation. A dot is a seed that learned; beside them their mean "
        "with its 95 % interval. Features: the rows and columns of a gridworld, of agent and of goal. "
        "The claim expects a fall to the right.",
        features,
        {
            "seed": Layer("dots", "features", "value", tell=("world", "run", "seed")),
            "mean": Layer("intervals", "features", "value", tell=("world", "n", "method")),
        },
        x=Scale("features", kind="log"),
        y=Scale("jump"),
        looks={
            "one seed": Look(theme.SIDES["train"], opacity=0.6),
            "mean": Look(theme.SIDES["val"]),
        },
    )


def _jumps_figure(table: Table, side: str, name: str) -> Figure:
    def number(shape: Shape, run: Run) -> float:
        found = shape.of(run, side)
        return float("nan") if isinstance(found, Missing) else found

    settings = _settings(table)
    shown = [arm for arm in table.among(table.arms) if side == "train" or arm in settings]
    panels = {
        shape.name: {arm: [(run, number(shape, run)) for run in table.of(arm)] for arm in shown}
        for shape in SHAPES.values()
    }
    control = " Shuffled labels: the control, which can only be memorised." if side == "train" else ""
    return by_arm_figure(
        f"jumps_{side}",
        f"How much of the {name} curve is one jump, by setting",
        panels,
        f"{JUMP} Curve: {WHICH['score']}; where so labelled, {WHICH['loss']}. {WAIT} Runs that learned "
        f"nothing have no value. {GLOSSARY}{control}",
    )


FEW, EXPLORING, AXIS = "few features", "exploration", "the axis makes the look"
ORDERS: tuple[tuple[StepAxis, Expected], ...] = (("linear", "<"), ("log", ">"))
STUDY = Study(
    name="smoothness",
    question="Are algorithmic tasks learned in a jump; is RL jumpy from few features or exploration?",
    claims=(
        Claim(
            "C13",
            "Grokking is weird: images and language are learned smoothly. Learning curves in "
            "reinforcement learning are jumpy because environments have few features, or because of "
            "exploration.",
        ),
    ),
    hypotheses={
        FEW: (
            "Algorithmic tasks jump more than digits and text; so does a gridworld without exploration, "
            "a smaller one more than a larger one, and no more with reward than by imitation."
        ),
        EXPLORING: (
            "The curve is jumpy only where the reward must be found: more than from the same starts "
            "with a shaped reward, and more than from every state."
        ),
        FREQUENCY: (
            "Shallow circuits unify bit by bit in every setting: with curves normalised by their "
            "length, no setting jumps more than another."
        ),
        AXIS: (
            "What is smooth on linear steps jumps on logarithmic ones: the order of the settings "
            "reverses with the axis."
        ),
    },
    predictions=(
        Prediction(FEW, "algorithmic-digits-linear", ">"),
        Prediction(FEW, "algorithmic-text-linear", ">"),
        Prediction(FEW, "rl-digits-linear", ">"),
        Prediction(FEW, "rl-text-linear", ">"),
        Prediction(FEW, "dose", ">"),
        Prediction(FEW, "rl-imitation-linear", "none"),
        Prediction(EXPLORING, "exploring-shaped-linear", ">"),
        Prediction(EXPLORING, "exploring-everywhere-linear", ">"),
        *(Prediction(FREQUENCY, f"{each.name}-linear", "none") for each in COMPARED),
        *(
            Prediction(AXIS, f"algorithmic-{other}-{axis}", expected)
            for other in (DIGITS, TEXT)
            for axis, expected in ORDERS
        ),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
