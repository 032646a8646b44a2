"""Doing nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np

from undergrowth.training.interventions.action import Action
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment


class NoOp(Action):
    """Does nothing: the matched control for every other action, and a marker to count steps from."""

    name: Literal["no_op"] = "no_op"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        return moment
