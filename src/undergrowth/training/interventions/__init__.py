"""Interventions: a trigger (when) and an action (what), two separate values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from undergrowth.kinds import OneOf
from undergrowth.training.interventions.action import Action
from undergrowth.training.interventions.actions.components import (
    Ablate,
    Components,
    Freeze,
    FreezeParameters,
)
from undergrowth.training.interventions.actions.examples import SetBatch, SetData
from undergrowth.training.interventions.actions.gradient import ScaleGradient
from undergrowth.training.interventions.actions.learning_rate import Anneal, ScaleLearningRate
from undergrowth.training.interventions.actions.no_op import NoOp
from undergrowth.training.interventions.actions.noise import SetNoise, SetTemperature
from undergrowth.training.interventions.actions.optimiser import ResetMoments, SetWeightDecay
from undergrowth.training.interventions.actions.rates import ScaleComponents
from undergrowth.training.interventions.actions.routes import (
    AnyRoutes,
    ByLabel,
    PartsOfGroups,
    RandomComponents,
    RandomWeights,
    Route,
)
from undergrowth.training.interventions.actions.routing import RouteGradient
from undergrowth.training.interventions.actions.weights import ClampNorm, Kick, RescaleNorm
from undergrowth.training.interventions.trigger import (
    AfterFork,
    AfterIntervention,
    AtStep,
    History,
    OnOnset,
    Trigger,
    WhenCrosses,
    first_step,
)
from undergrowth.values import Value, in_brief

AnyTrigger = Annotated[
    AtStep | WhenCrosses | OnOnset | AfterIntervention | AfterFork, OneOf(Trigger, "trigger")
]
AnyForkPoint = Annotated[AtStep | WhenCrosses | OnOnset, Field(discriminator="name")]
AnyAction = Annotated[
    NoOp
    | ScaleLearningRate
    | Anneal
    | SetWeightDecay
    | ResetMoments
    | ScaleGradient
    | RouteGradient
    | ScaleComponents
    | SetBatch
    | SetNoise
    | SetTemperature
    | SetData
    | RescaleNorm
    | ClampNorm
    | Kick
    | Ablate
    | Freeze
    | FreezeParameters,
    OneOf(Action, "action"),
]


class Intervention(Value):
    """One action at one trigger, performed once."""

    trigger: AnyTrigger
    action: AnyAction

    def describe(self) -> str:
        """What is done and when, in a few words.

        >>> Intervention(trigger=AtStep(step=300), action=ScaleLearningRate(factor=10)).describe()
        'scale_learning_rate factor=10 at step 300'
        """
        return f"{in_brief(self.action)} {self.trigger.describe()}".rstrip()


__all__ = [
    "Ablate",
    "Action",
    "AfterFork",
    "AfterIntervention",
    "Anneal",
    "AnyAction",
    "AnyForkPoint",
    "AnyRoutes",
    "AnyTrigger",
    "AtStep",
    "ByLabel",
    "ClampNorm",
    "Components",
    "Freeze",
    "FreezeParameters",
    "History",
    "Intervention",
    "Kick",
    "NoOp",
    "OnOnset",
    "PartsOfGroups",
    "RandomComponents",
    "RandomWeights",
    "RescaleNorm",
    "ResetMoments",
    "Route",
    "RouteGradient",
    "ScaleComponents",
    "ScaleGradient",
    "ScaleLearningRate",
    "SetBatch",
    "SetData",
    "SetNoise",
    "SetTemperature",
    "SetWeightDecay",
    "Trigger",
    "WhenCrosses",
    "first_step",
]
