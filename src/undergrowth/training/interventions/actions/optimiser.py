"""Changing what the optimiser holds beside its learning rate: the decay and the moments."""

from __future__ import annotations

from typing import Literal

import numpy as np

from undergrowth.training.interventions.action import Action
from undergrowth.training.optimisers import NonNegative, reset_moments, with_hyperparams
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment


class SetWeightDecay(Action):
    """Replaces the weight decay."""

    name: Literal["set_weight_decay"] = "set_weight_decay"
    weight_decay: NonNegative

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        change = {"weight_decay": lambda decay: 0 * decay + self.weight_decay}
        opt_state = with_hyperparams(moment.state.opt_state, change)
        return moment.replace(state=moment.state.replace(opt_state=opt_state))


class ResetMoments(Action):
    """Makes the optimiser forget its running means of gradients, as if training began here.

    Hyper-parameters and the progress of warm-up and annealing are unchanged.
    """

    name: Literal["reset_moments"] = "reset_moments"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        opt_state = reset_moments(moment.state.opt_state)
        return moment.replace(state=moment.state.replace(opt_state=opt_state))
