"""Are algorithmic tasks learned in a jump, other ones smoothly, and why does RL jump? C13."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from undergrowth.analysis import Verdict, difference
from undergrowth.analysis.jumps import RULE, Jump, StepAxis, jump, noise_floor
from undergrowth.measures import SIDES, Curves, ExpectedReturn
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.report.by_arm import Panel, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.jumps import Learner, learning_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.study import Answer, Budget, Claim, Study
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
DIGITS, TEXT = "digits", "text"
IMITATION = "imitation"
RL, RL_SHAPED, RL_EXPLORING = "RL", "RL, shaped", "RL, exploring"
RL_SMALL = "RL, small"
GLOSSARY = (
    "Imitation, RL: the shortest ways of one gridworld, learned from labels, and by policy gradient "
    "from every state. Shaped, exploring: from the corner farthest from each goal, with a shaped and "
    "with the sparse reward. Small: a smaller world."
)

ALGORITHMIC = (ADDITION, GROUP, PARITY)
AXES: tuple[StepAxis, ...] = ("linear", "log")
SEEDS: dict[Budget, tuple[int, int]] = {"quick": (4, 2), "standard": (16, 10), "full": (10, 10)}
"""Seeds of each setting, and of each control with shuffled labels."""

OBSERVED = Schedule(every=1, until=20, per_decade=60)
"""No evaluation is later than the one before by more than 4 %: closer than the steepest stretch."""
SELDOM = Schedule(every=1000, until=1000, per_decade=1)

BASE = RunSpec(measures=(Curves(schedule=OBSERVED),), checkpoints=SELDOM)


def gridworlds(base: RunSpec, side: int, small: int) -> dict[str, RunSpec]:
    """The same network on the same table, imitated and by policy gradient; `small`: a smaller table."""
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
        RL_SMALL: rl.replace(task=Gridworld(side=small, horizon=3)),
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
        small=4,
    ),
}
"""Settings as small as they come.

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
    **gridworlds(WIDE.replace(steps=10_000), side=10, small=5),
}
"""The scale of Nanda et al. 2023 (arXiv:2301.05217) and Merrill et al. 2023 (arXiv:2303.11873)."""


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Every setting, then the algorithmic ones with shuffled labels: of `seeds`, half, at least 2."""
    n_true, n_control = SEEDS[budget] if seeds is None else (seeds, max(2, seeds // 2))
    arms = PAPER if budget == "full" else SMALL
    shuffled = [arms[task].replace(labels="shuffled") for task in ALGORITHMIC]
    return (
        *(arm.seeded(seed) for arm in arms.values() for seed in range(n_true)),
        *(arm.seeded(seed) for arm in shuffled for seed in range(n_control)),
    )


SETTINGS = {arm.without_seeds().id: name for arms in (SMALL, PAPER) for name, arm in arms.items()}
"""The setting of a run, by the id of its spec with true labels and without seeds."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """One side's learning curve of a run: its jumps on both axes, None where it learned nothing."""

    run: Run
    setting: str
    side: str
    jumps: Mapping[StepAxis, Jump | None]

    def size(self, axis: StepAxis) -> float:
        """The jump; NaN where there is none."""
        found = self.jumps[axis]
        return float("nan") if found is None else found.size

    @property
    def wait(self) -> float:
        """How long it waited before it rose; NaN where it did not."""
        found = self.jumps["linear"]
        return float("nan") if found is None else found.wait

    @cached_property
    def floors(self) -> dict[StepAxis, float]:
        """The mean jump of straight lines with its noise; NaN where there is none."""
        curve = self.run[reading(self.run, self.side)]
        return {axis: noise_floor(curve, axis, np.random.default_rng(0)) for axis in AXES}


def learnt(all_runs: Sequence[Run]) -> list[Learnt]:
    """Every run and side, in the order of the settings and of the seeds."""
    known = [(run, _setting(run)) for run in all_runs]
    ordered = sorted(
        ((run, setting) for run, setting in known if setting is not None),
        key=lambda pair: (list(SMALL).index(pair[1]), pair[0].spec.seeds.model, pair[0].spec.id),
    )
    return [
        Learnt(run, setting, side, {axis: _jump(run, side, axis) for axis in AXES})
        for run, setting in ordered
        for side in SIDES
    ]


def _setting(run: Run) -> str | None:
    return SETTINGS.get(run.spec.replace(labels="true").without_seeds().id)


def reading(run: Run, side: str) -> str:
    """The name of its learning curve: the expected return where there is one, else accuracy."""
    name = f"{side}_return"
    return name if name in run.names else f"{side}_accuracy"


def _jump(run: Run, side: str, axis: StepAxis) -> Jump | None:
    return jump(run[reading(run, side)], axis) if run.status == "done" else None


WAIT = "steps to a tenth of the rise over steps to nine tenths (a step 1, a straight line 0.11)"


@dataclass(frozen=True)
class Shape:
    """A number of a learning curve: what it is, how it is made, and of which axis of the steps."""

    name: str
    rule: str
    of: Callable[[Learnt], float]
    axis: StepAxis = "linear"


SHAPES = (
    *(
        Shape(f"jump on {axis} steps", f"Jump: {RULE}.", lambda one, axis=axis: one.size(axis), axis)
        for axis in AXES
    ),
    Shape("wait", f"Wait: {WAIT}, which tells a jump from a steep beginning.", lambda one: one.wait),
)


@dataclass(frozen=True)
class Arm:
    """The settings on one side of a comparison, and in how many words."""

    name: str
    settings: tuple[str, ...]

    def values(self, found: Sequence[Learnt], side: str, shape: Shape) -> list[float]:
        """By seed, the mean of a number over the settings that were learned with it."""
        by_seed: dict[int, list[float]] = {}
        for one in self.of(found, side):
            value = shape.of(one)
            if np.isfinite(value):
                by_seed.setdefault(one.run.spec.seeds.model, []).append(value)
        return [float(np.mean(by_seed[seed])) for seed in sorted(by_seed)]

    def of(self, found: Sequence[Learnt], side: str) -> list[Learnt]:
        """Its runs with true labels, that side of them."""
        true = (one for one in found if one.run.spec.labels == "true")
        return [one for one in true if one.setting in self.settings and one.side == side]


def arm(*settings: str, name: str = "") -> Arm:
    """An arm of some settings."""
    return Arm(name or settings[0], settings)


TASKS = arm(*ALGORITHMIC, name="algorithmic tasks")
COMPARED: tuple[tuple[Arm, Arm, str], ...] = (
    (TASKS, arm(DIGITS), "grokking is weird"),
    (TASKS, arm(TEXT), "grokking is weird"),
    (arm(RL_EXPLORING), arm(RL_SHAPED), "exploration"),
    (arm(RL_EXPLORING), arm(RL), "exploration"),
    (arm(RL), arm(DIGITS), "few features"),
    (arm(RL), arm(TEXT), "few features"),
    (arm(RL), arm(IMITATION), "reinforcement by itself"),
    (arm(RL_SMALL), arm(RL), "few features"),
)
"""What is held against what, and what a larger jump of the first would speak for."""


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on C13, the learning curves on one axis, and the jumps of all settings."""
    found = learnt(runs)
    return Answer(tuple(_verdicts(found)), tuple(_figures(found)))


def _verdicts(found: Sequence[Learnt]) -> Iterator[Verdict]:
    for first, second, speaks_for in COMPARED:
        for shape in SHAPES:
            mine, others = (one.values(found, "val", shape) for one in (first, second))
            yield Verdict(
                claim="C13",
                study="smoothness",
                statistic=(
                    f"{speaks_for}: {shape.name} of the validation curve, {first.name} minus "
                    f"{second.name}"
                ),
                estimate=difference(mine, others),
                threshold=0.0,
                rule=(
                    f"{shape.rule} Curve: accuracy, in gridworlds the exact expected return. Supported "
                    "if the interval of the difference over seeds lies above 0, contradicted if below. "
                    f"{GLOSSARY}"
                ),
                note=_note(found, first, second, shape),
            )


def _note(found: Sequence[Learnt], first: Arm, second: Arm, shape: Shape) -> str:
    told = [_told(found, one, shape.axis) for one in (first, second)]
    train = [one.values(found, "train", shape) for one in (first, second)]
    if all(train):
        told.append(f"Training curves: {np.mean(train[0]) - np.mean(train[1]):+.2f}.")
    for one in (first, second):
        n = len(one.values(found, "val", shape))
        if n < 2:
            told.append(f"An interval needs 2 seeds of each, and {one.name} has {n}.")
    return " ".join(told)


def _told(found: Sequence[Learnt], of: Arm, axis: StepAxis) -> str:
    """An arm's mean jump, the floor of its noise, where it lies and what is censored."""
    members = of.of(found, "val")
    known = [(one, one.jumps[axis]) for one in members]
    jumps = [(one, of_it) for one, of_it in known if of_it is not None]
    if not jumps:
        return f"{of.name}: none of {plural(len(members), 'run')} learned, so there is no jump."
    floor = np.mean([one.floors[axis] for one, _ in jumps])
    early = sum(of_it.start < 0.1 * of_it.learned for _, of_it in jumps)
    parts = [
        f"{of.name}: jump {np.mean([one.size(axis) for one, _ in jumps]):.2f} (straight lines with its "
        f"noise {floor:.2f}), within the first tenth of its steps in {early} of "
        f"{plural(len(jumps), 'run')}; "
        f"wait {np.mean([of_it.wait for _, of_it in jumps]):.2f}; it ends at "
        f"{np.mean([of_it.level + of_it.rise for _, of_it in jumps]):.2f}"
    ]
    if censored := len(members) - len(jumps):
        parts.append(f"{censored} learned nothing on validation, or failed, and have no jump")
    if coarse := sum(not of_it.is_resolved for _, of_it in jumps):
        parts.append(f"{coarse} are lower bounds, for evaluations are too far apart there")
    return f"{'; '.join(parts)}."


def _figures(found: Sequence[Learnt]) -> Iterator[Figure]:
    learned = [one for one in found if one.side == "val" and one.run.spec.labels == "true"]
    shown = [one for one in learned if one.jumps["linear"] is not None]
    if not shown:
        return
    yield learning_figure(list(_learners(shown)), GLOSSARY)
    for side, name in zip(SIDES[::-1], ("validation", "training"), strict=True):
        yield _jumps_figure([one for one in found if one.side == side], side, name)


def _learners(shown: Iterable[Learnt]) -> Iterator[Learner]:
    by_setting: dict[str, list[Learnt]] = {}
    for one in shown:
        by_setting.setdefault(one.setting, []).append(one)
    for setting, members in by_setting.items():
        jumps = [found for one in members if (found := one.jumps["linear"]) is not None]
        curves = [one.run[reading(one.run, "val")] for one in members]
        yield Learner(setting, curves, jumps)


def _jumps_figure(found: Sequence[Learnt], side: str, name: str) -> Figure:
    def values(number: Callable[[Learnt], float]) -> dict[str, list[float]]:
        by_row: dict[str, list[float]] = {}
        for one in found:
            is_control = one.run.spec.labels != "true"
            if is_control and side == "val":
                continue
            row = f"{one.setting}, shuffled" if is_control else one.setting
            by_row.setdefault(row, []).append(number(one))
        return dict(sorted(by_row.items(), key=lambda item: item[0].endswith("shuffled")))

    panels = [Panel(shape.name, values(shape.of)) for shape in SHAPES]
    control = " Shuffled labels: the control, which can only be memorised." if side == "train" else ""
    return by_arm_figure(
        f"jumps_{side}",
        f"How much of the {name} curve is one jump, by setting",
        panels,
        f"Jump: {RULE}. Curve: accuracy, in gridworlds the exact expected return between a uniform "
        f"policy and an optimal one. Wait: {WAIT}; it tells a jump after a wait from a steep beginning. "
        f"Runs that learned nothing have none. {GLOSSARY}{control}",
    )


STUDY = Study(
    name="smoothness",
    question="Are algorithmic tasks learned in a jump, and is it few features or exploration?",
    claims=(
        Claim(
            "C13",
            "Grokking is weird: images and language are learned smoothly. Curves of reinforcement "
            "learning are jumpy because its environments have few features, or because of exploration.",
        ),
    ),
    predictions={
        "few features": (
            "Algorithmic tasks jump more than digits and text; so does a gridworld without exploration, "
            "a smaller one more than a larger one, and no more by reward than by imitation."
        ),
        "exploration": (
            "Only where the reward must be found is the curve jumpy: more than from the same starts "
            "with a shaped reward, and more than from every state."
        ),
        "frequency of reinforcement": (
            "Shallow circuits unify bit by bit in every setting: normalised by its own length no "
            "setting jumps more than another."
        ),
        "the axis makes the look": (
            "What is smooth on linear steps jumps on logarithmic ones: the order of the settings turns "
            "over with the axis."
        ),
    },
    runs=runs,
    answer=answer,
)
