"""Changing the noise of training, and the temperature of the loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from undergrowth.training.interventions.action import Action
from undergrowth.training.optimisers import Positive
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment


class SetNoise(Action):
    """Sets some of three noises, each as in the run's `noise`; those not given are unchanged."""

    name: Literal["set_noise"] = "set_noise"
    gradient: float | None = Field(default=None, ge=0)
    weight: float | None = Field(default=None, ge=0)
    dropout: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="after")
    def _sets_something(self) -> SetNoise:
        if self.gradient is self.weight is self.dropout is None:
            raise ValueError("set_noise sets nothing: give it gradient, weight or dropout")
        return self

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        given = {"gradient_noise": self.gradient, "weight_noise": self.weight, "dropout": self.dropout}
        knobs = {name: value for name, value in given.items() if value is not None}
        return moment.replace(state=moment.state.with_knobs(**knobs))


class SetTemperature(Action):
    """Divides the logits by another temperature before the loss."""

    name: Literal["set_temperature"] = "set_temperature"
    temperature: Positive

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        return moment.replace(state=moment.state.with_knobs(temperature=self.temperature))
