"""What is done to which runs: tasks, switches, boosts, and those of each budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from undergrowth.measures import Curves
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import preset
from undergrowth.studies.arm import Arm, Budget
from undergrowth.tasks import CommutationSafe, Group, Modular
from undergrowth.training.interventions import (
    AfterFork,
    Anneal,
    AnyAction,
    AnyForkPoint,
    AtStep,
    Intervention,
    NoOp,
    OnOnset,
    ResetMoments,
    ScaleLearningRate,
    SetTemperature,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import AdamW
from undergrowth.training.stopping import Stop

SPARSE = Schedule(every=1_000_000, until=1_000_000, per_decade=1)


def _own(name: str) -> RunSpec:
    """A set-up that the comments tell of, evaluated as often as its events need."""
    curves = Curves(schedule=Schedule(every=10, until=600, per_decade=60))
    return preset(name).replace(measures=(curves,), checkpoints=SPARSE)


SMALL_ADDITION = RunSpec(
    task=Modular(operation="x+y", p=31),
    split=CommutationSafe(frac_train=0.75),
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=64),
    optimiser=AdamW(lr=2e-3, weight_decay=1.0),
    steps=3_000,
    measures=(Curves(schedule=Schedule(every=10, until=600, per_decade=60)),),
    checkpoints=SPARSE,
)
"""Memorised near step 280, sets off near 500, groks near 2,000: the commenters' 300 and 2,000.

Tried beside it, p = 31 and the same width: 60 % of the pairs do not grok in 3,000 steps at rates of 1e-3
and 2e-3; a transformer of width 48 memorises in 200 steps and does not set off in 3,000.
"""

SMALL_GROUP = SMALL_ADDITION.replace(
    task=Group(group="S4"),
    split=CommutationSafe(frac_train=0.85),
    optimiser=AdamW(lr=3e-3, weight_decay=1.0),
    steps=4_000,
)
"""S4 in the place of S5. D5 and A4 have too few pairs: they memorise and never set off."""

TUNED_ADDITION = SMALL_ADDITION.replace(
    optimiser=AdamW(lr=8e-2, weight_decay=1.0),
    steps=1_000,
    measures=(Curves(schedule=Schedule(every=5, until=300, per_decade=60)),),
)
"""The same at the rate that groks soonest and stays: memorised near step 25, grokked near 150.

Tried with four seeds each: 0.01 (grokked near 450), 0.02 (350), 0.04 (180), 0.06 (180), 0.08 (160), 0.12
(170, two of four not for good before the run's end), 0.16 and more (most fall back).
"""


TUNED = "addition, tuned rate"
SAFE = "addition, safe split"
REPLICATION = "multiplication"
"""Pope's runs, which are taken to be the replication's as its code has it."""
TRUNKS: dict[str, dict[str, RunSpec]] = {
    "small": {
        "addition": SMALL_ADDITION,
        TUNED: TUNED_ADDITION,
        "division": SMALL_ADDITION.replace(task=Modular(operation="x/y", p=31)),
        "group": SMALL_GROUP,
    },
    "own": {
        "addition": _own("lieberum2021"),
        SAFE: _own("lieberum2021").replace(split=CommutationSafe(frac_train=0.5)),
        "division": _own("lieberum2021_division"),
        "group": _own("lieberum2021_s5"),
        REPLICATION: _own("pope2022"),
    },
}
"""By scale and task: `small` stands in for the runs of the post's comments, `own` is these."""
SCALE: dict[Budget, str] = {"quick": "small", "standard": "small", "full": "own"}

SWITCHES: dict[str, AnyForkPoint] = {
    "memorised": WhenCrosses(reading="train_accuracy", level=0.99),
    "onset": OnOnset(),
    "onset by loss": OnOnset(rule="loss"),
    "step 300": AtStep(step=300),
    "step 1,000": AtStep(step=1000),
}
FROM_START = "step 0"
"""Not a fork: the same run with the rate multiplied throughout."""

HELD = "lr, rate x decay held"
"""The rate multiplied and the decay divided by as much: C3 is of the rate alone."""

THERE = Stop(evaluations=10)
"""Ends a run at the post's own scale that has got there; not one that is asked whether it stays."""

ANNEALED = Intervention(
    trigger=WhenCrosses(reading="val_accuracy", level=0.99), action=Anneal(factor=0.1, steps=200)
)
TEMPERATURE = 2.0


@dataclass(frozen=True)
class Boost:
    """What is done to a task's run, and when.

    what: 'trunk' (nothing), 'no-op' (a fork that does nothing), 'lr' (its rate multiplied), 'lr, rate x
    decay held' (its decay divided by as much), 'lr, annealed' (back down at 99 %), 'decay' (multiplied
    in its place), 'moments reset', 'temperature'; factor: the multiplier, 1 where there is none.
    """

    task: str
    what: str
    factor: float = 1.0
    switch: str = FROM_START

    @property
    def label(self) -> str:
        """What is done, in a few words."""
        return {
            "lr": f"lr × {self.factor:g}",
            HELD: f"lr × {self.factor:g}, rate × decay held",
            "lr, annealed": f"lr × {self.factor:g}, annealed at 99 %",
            "decay": f"decay × {self.factor:g}",
            "temperature": f"temperature {TEMPERATURE:g}",
        }.get(self.what, self.what)

    @property
    def name(self) -> str:
        """The name of its arm."""
        return f"{self.task}: {self.label}" + ("" if self.what == "trunk" else f" at {self.switch}")

    @property
    def control(self) -> Boost:
        """The runs beside it to which nothing is done."""
        return Boost(self.task, "trunk" if self.switch == FROM_START else "no-op", 1.0, self.switch)

    @property
    def is_watched_to_the_end(self) -> bool:
        """Whether it is asked if the run stays there: not to be stopped once it is there."""
        return self.what == "lr" and (
            self.factor >= 50 or (self.factor, self.switch) == (10, FROM_START)
        )

    def arm(self, scale: str) -> Arm:
        """Its runs."""
        trunk = TRUNKS[scale][self.task]
        stop = (THERE,) if scale == "own" else ()
        its_trunk = Arm(Boost(self.task, "trunk").name, trunk.replace(stop=stop), "control")
        if self.what == "trunk":
            return its_trunk
        stop = () if self.is_watched_to_the_end else stop
        if self.switch == FROM_START:
            optimiser = dict(trunk.optimiser)
            faster = {**optimiser, "lr": optimiser["lr"] * self.factor}
            return Arm(self.name, trunk.replace(optimiser=faster, stop=stop))
        fork = trunk.forked(SWITCHES[self.switch], *self._interventions(trunk)).replace(stop=stop)
        role = "control" if self == self.control else "treatment"
        return Arm(self.name, fork, role, its_trunk)

    def _interventions(self, trunk: RunSpec) -> tuple[Intervention, ...]:
        action = Intervention(trigger=AfterFork(), action=self._action(trunk))
        return (action, ANNEALED) if self.what == "lr, annealed" else (action,)

    def _action(self, trunk: RunSpec) -> AnyAction:
        match self.what:
            case "no-op":
                return NoOp()
            case "decay":
                assert isinstance(trunk.optimiser, AdamW)
                return SetWeightDecay(weight_decay=trunk.optimiser.weight_decay * self.factor)
            case "moments reset":
                return ResetMoments()
            case "temperature":
                return SetTemperature(temperature=TEMPERATURE)
            case _:
                return ScaleLearningRate(factor=self.factor, keep_decay_pull=self.what == HELD)


def _lr(task: str, switch: str, *factors: float) -> Iterator[Boost]:
    """The rate multiplied at a switch, and the control beside it."""
    found = [Boost(task, "lr", factor, switch) for factor in factors]
    yield found[0].control
    yield from found


QUICK = (
    *_lr("addition", FROM_START, 5, 10),
    *_lr(TUNED, FROM_START, 5, 10),
    *_lr(TUNED, "memorised", 5),
    *_lr(TUNED, "onset", 10),
    *_lr("addition", "memorised", 0.3, 5, 10, 100),
    Boost("addition", HELD, 10, "memorised"),
    Boost("addition", HELD, 10, "onset"),
    Boost("addition", "lr, annealed", 10, "memorised"),
    Boost("addition", "decay", 10, "memorised"),
    Boost("addition", "moments reset", 1, "memorised"),
    Boost("addition", "temperature", 1, "memorised"),
    *_lr("addition", "onset", 5, 10, 100),
    *_lr("addition", "step 1,000", 10, 50),
    *_lr("division", FROM_START, 5, 10),
    *_lr("division", "memorised", 10),
    *_lr("division", "onset", 3, 5, 10),
    *_lr("group", FROM_START, 5),
    *_lr("group", "memorised", 5, 10),
    *_lr("group", "onset", 5, 10),
)
FACTORS = (0.3, 2, 3, 5, 10, 50, 100)
STANDARD = (
    *(
        arm
        for task in ("addition", TUNED, "division", "group")
        for switch in (FROM_START, "memorised", "onset")
        for arm in _lr(task, switch, *FACTORS)
    ),
    *(
        arm
        for switch in ("step 300", "step 1,000", "onset by loss")
        for arm in _lr("addition", switch, *FACTORS)
    ),
    *(
        Boost("addition", what, factor, switch)
        for switch in ("memorised", "onset")
        for what in (HELD, "lr, annealed", "decay")
        for factor in (3, 10, 100)
    ),
    *(
        Boost("addition", what, 1, switch)
        for switch in ("memorised", "onset")
        for what in ("moments reset", "temperature")
    ),
)
FULL = (
    *_lr("addition", FROM_START, 5, 10),
    *_lr("addition", "step 300", 3, 5, 10, 100),
    Boost("addition", HELD, 10, "step 300"),
    Boost("addition", "decay", 10, "step 300"),
    *_lr("addition", "onset", 10),
    Boost("addition", HELD, 10, "onset"),
    Boost(REPLICATION, "trunk"),
    *_lr(REPLICATION, "step 1,000", 10, 50),
    *_lr("group", FROM_START, 5, 10),
    *_lr("group", "memorised", 3, 5, 10),
    *_lr("group", "onset", 3, 5, 10),
    *_lr("division", FROM_START, 5, 10),
    *_lr("division", "memorised", 10),
    *_lr("division", "onset", 3, 5, 10),
)
BOOSTS: dict[Budget, tuple[Boost, ...]] = {"quick": QUICK, "standard": STANDARD, "full": FULL}


@cache
def arms(budget: Budget) -> tuple[Arm, ...]:
    """The arms of a budget, each once."""
    return tuple(boost.arm(SCALE[budget]) for boost in dict.fromkeys(BOOSTS[budget]))


BY_NAME: Mapping[str, Boost] = {boost.name: boost for each in BOOSTS.values() for boost in each}
"""What is done in the arms of all budgets."""
