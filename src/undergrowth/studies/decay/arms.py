"""What is done to which networks: decay or noise alone, without the gradient; or decay beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from undergrowth.measures import Curves, Predictions
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.studies.arm import Arm, Budget, each_once
from undergrowth.studies.lr_boost.arms import SPARSE, TRUNKS
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.interventions import (
    AfterFork,
    AfterIntervention,
    AnyForkPoint,
    Intervention,
    Kick,
    NoOp,
    ResetMoments,
    ScaleGradient,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import AdamW

TRANSFORMER, MLP, WRONG = "transformer", "two-token MLP", "transformer, wrong labels"
UNDECAYED = "transformer, wrong labels, no decay"
SETUPS = (TRANSFORMER, MLP, WRONG)
"""Those whose gradient is taken away."""
WRONG_SHARE = 0.03
"""Of the training labels made wrong where memorised-only examples are known by construction."""

SMALL_TRANSFORMER = TRUNKS["small"]["addition"].replace(
    split=CommutationSafe(frac_train=0.8),
    model=TransformerSpec(d_model=32, n_heads=2, d_head=16, d_mlp=128),
    optimiser=AdamW(lr=5e-3, weight_decay=1.0),
    steps=3_500,
)
"""Memorised near step 100, validation at 0.5 between 500 and 1,000, at 0.9 by 2,500. 4 s on a core.

Tried beside it, two seeds each: p = 23 with 75 % of the pairs and decay 1 or 2 (one seed of two does not
come to 0.5 in 2,500 steps), width 64 at lr 3e-3 (640 and 1,280), 85 % of the pairs (300 and 260). With
5 % wrong labels and 85 % of the pairs 820 and 2,460; the MLP with 10 % of them does not come to 0.5 in
3,000.
"""
SMALL = SMALL_TRANSFORMER
LARGE = RunSpec(
    task=Modular(operation="x+y", p=113),
    split=CommutationSafe(frac_train=0.3),
    optimiser=AdamW(lr=1e-3, weight_decay=1.0),
    steps=20_000,
    measures=(Curves(schedule=Schedule(every=20, until=2_000, per_decade=60)),),
    checkpoints=SPARSE,
)
"""The one-layer transformer of Nanda et al. 2023 (arXiv:2301.05217), on a split that does not leak."""
SCALE: dict[Budget, str] = {"quick": "small", "standard": "small", "full": "large"}
HALF, MORE = CommutationSafe(frac_train=0.5), CommutationSafe(frac_train=0.85)
TRUNK: dict[str, dict[str, RunSpec]] = {
    "small": {
        TRANSFORMER: SMALL,
        MLP: TRUNKS["small"]["addition"],
        WRONG: SMALL.replace(split=MORE, label_noise=WRONG_SHARE),
    },
    "large": {
        TRANSFORMER: LARGE,
        MLP: LARGE.replace(model=TwoTokenMLPSpec(d_embed=128, d_mlp=512), split=HALF),
        WRONG: LARGE.replace(split=HALF, label_noise=WRONG_SHARE),
    },
}
Switch = Literal["memorised", "half grokked", "grokked"]
SWITCHES: dict[Switch, AnyForkPoint] = {
    "memorised": WhenCrosses(reading="train_accuracy", level=0.99),
    "half grokked": WhenCrosses(reading="val_accuracy", level=0.5),
    "grokked": WhenCrosses(reading="val_accuracy", level=0.9),
}
AT_A_READING = WhenCrosses(reading="train_accuracy", level=0.0)
"""When the gradient is taken away: at the first reading from the switch on, which fixes the classes."""

STEPS: dict[str, dict[Switch, int]] = {
    "small": {"memorised": 800, "half grokked": 2_500, "grokked": 3_500},
    "large": {"memorised": 5_000, "half grokked": 20_000, "grokked": 20_500},
}
"""How long forks go on: past the path's end where they begin as late as any was seen to. Those with
wrong labels, which begin between 460 and 2,300, as long as their trunk."""

EVERY, PLACES, APART = 20, 16, 0.05
"""Readings along the path: every so many steps, so many of them, so far apart as a share of the norm."""
UPTO = PLACES * APART
"""The end of the path: weights have moved by this share of their norm at the fork."""
SHRINKS = 0.005
"""lr x decay of decay alone: the path is the same straight line at any rate; at 0.8 by step 322."""


def kicks() -> tuple[Intervention, ...]:
    """A random walk that is `APART`, 2 `APART`, ... away after every `EVERY` steps.

    Kicks in independent directions add up as their squares, and each is told as a share of the norm
    that the weights have by then.
    """
    away = APART * np.arange(PLACES + 1)
    squares = np.diff(away**2) / (1 + away[:-1] ** 2)
    return tuple(
        Intervention(
            trigger=AfterIntervention(intervention=0, steps=EVERY * k) if k else AT_A_READING,
            action=Kick(norm=float(np.sqrt(square)), relative=True),
        )
        for k, square in enumerate(squares)
    )


def distance(spec: RunSpec, steps: np.ndarray) -> np.ndarray:
    """How far a fork's weights are from where they began so many steps before, as a share of their norm.

    Of a fork whose way is not known beforehand, as decay alone would have it.
    """
    if not any(isinstance(intervention.action, Kick) for intervention in spec.interventions):
        return 1 - (1 - SHRINKS) ** steps
    return APART * np.minimum(np.ceil(steps / EVERY), PLACES)


What = Literal["trains on", "nothing", "decay", "noise", "decay switched on"]
ALONE: tuple[What, ...] = ("decay", "noise")


@dataclass(frozen=True)
class Undoing:
    """What is done to a set-up's run from a switch on.

    what: 'trains on' (a fork that does nothing); without the loss's gradient 'nothing', 'decay' or
    'noise' alone; 'decay switched on', beside the gradient, where there was none.
    """

    setup: str
    what: What
    switch: Switch = "half grokked"
    labels: Literal["true", "shuffled"] = "true"

    @property
    def name(self) -> str:
        """The name of its arm."""
        shuffled = ", shuffled labels" if self.labels == "shuffled" else ""
        alone = {"decay": "decay alone", "noise": "noise alone", "nothing": "neither"}
        return f"{self.setup}{shuffled}: {alone.get(self.what, self.what)}, {self.switch}"

    def trunk(self, budget: Budget) -> Arm:
        """The arm that it leaves."""
        scale, is_shuffled = TRUNK[SCALE[budget]], self.labels == "shuffled"
        spec = scale[WRONG if self.setup == UNDECAYED else self.setup].replace(labels=self.labels)
        if self.setup == UNDECAYED:
            spec = spec.replace(optimiser={**dict(spec.optimiser), "weight_decay": 0.0})
        seeds = 2 if is_shuffled and budget == "quick" else None
        return Arm(self.name.split(":")[0], spec, "trunk", seeds=seeds)

    def arm(self, budget: Budget) -> Arm:
        """Its runs."""
        trunk = self.trunk(budget)
        steps = trunk.spec.steps if trunk.spec.label_noise else STEPS[SCALE[budget]][self.switch]
        evenly = Schedule(every=steps // 50 if self.setup == UNDECAYED else EVERY, until=steps)
        fork = trunk.spec.forked(
            SWITCHES[self.switch],
            *self._interventions(trunk.spec),
            steps=steps,
            measures=(Curves(schedule=evenly), Predictions(schedule=evenly)),
        )
        is_control = self.what in ("trains on", "nothing") or self.labels == "shuffled"
        return Arm(self.name, fork, "control" if is_control else "treatment", trunk, trunk.seeds)

    def _interventions(self, trunk: RunSpec) -> tuple[Intervention, ...]:
        assert isinstance(trunk.optimiser, AdamW)
        if self.what == "decay switched on":
            return (Intervention(trigger=AfterFork(), action=SetWeightDecay(weight_decay=1.0)),)
        decay = SHRINKS / trunk.optimiser.lr if self.what == "decay" else 0.0
        alone = (ScaleGradient(factor=0.0), ResetMoments(), SetWeightDecay(weight_decay=decay))
        actions = (NoOp(),) if self.what == "trains on" else alone
        at_once = (Intervention(trigger=AT_A_READING, action=action) for action in actions)
        return (*at_once, *(kicks() if self.what == "noise" else ()))


SWITCHED_ON = Undoing(UNDECAYED, "decay switched on", "memorised")
STAYS_OFF = Undoing(UNDECAYED, "trains on", "memorised")
UNDOINGS = (
    *(Undoing(setup, what) for setup in (TRANSFORMER, MLP) for what in ("trains on", "nothing", *ALONE)),
    *(Undoing(WRONG, what) for what in ALONE),
    *(
        Undoing(setup, what, switch)
        for setup in (TRANSFORMER, MLP)
        for switch in ("memorised", "grokked")
        for what in ALONE
    ),
    *(Undoing(TRANSFORMER, what, "memorised", "shuffled") for what in ALONE),
    STAYS_OFF,
    SWITCHED_ON,
)


def undoings(budget: Budget) -> tuple[Undoing, ...]:
    """Those of a budget: quick goes without the transformer's late forks."""
    late = {Undoing(TRANSFORMER, what, "grokked") for what in ALONE}
    return tuple(each for each in UNDOINGS if budget != "quick" or each not in late)


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Every trunk before the forks that leave it."""
    return each_once(
        arm for undoing in undoings(budget) for arm in (undoing.trunk(budget), undoing.arm(budget))
    )
