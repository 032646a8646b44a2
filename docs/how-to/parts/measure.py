"""How often each neuron is active."""

from typing import Literal

import numpy as np

from undergrowth.gating import site_of
from undergrowth.measures import Measure, Reading, scalar
from undergrowth.models import recording


class Activity(Measure):
    """activity_share [neuron]: the share of training examples on which a neuron is above 0;
    activity_mean: the mean over neurons.
    """

    endings = ("share", "mean")

    name: Literal["activity"] = "activity"

    @property
    def scalars(self):
        return ("activity_mean",)

    def observe(self, model, data, at):
        activations = {}
        model(data.train_inputs(), recording(activations))
        of_layer = np.asarray(activations[site_of(model, "neuron").name])
        share = (of_layer > 0).mean(axis=0).astype(np.float32)
        return {"activity_share": Reading(("neuron",), share), "activity_mean": scalar(share.mean())}
