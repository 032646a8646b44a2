"""Lion (Chen et al. 2023, arXiv:2302.06675), by optax."""

from typing import Literal

import optax

from undergrowth.training.optimisers import NonNegative, Optimiser, Positive, Rate


class Lion(Optimiser):
    """Steps of one size along the sign of a mixture of the gradient and its moving average."""

    name: Literal["lion"] = "lion"
    lr: Positive = 3e-4
    b1: Rate = 0.9
    b2: Rate = 0.99
    weight_decay: NonNegative = 0.0

    def rule(self):
        return optax.inject_hyperparams(optax.lion)(
            learning_rate=self.lr, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay
        )
