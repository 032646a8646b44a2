"""Noise in training: on gradients, on weights, on updates, on activations."""

from __future__ import annotations

import zlib

import jax
from jaxtyping import PRNGKeyArray
from pydantic import Field

from undergrowth.values import Value


class Noise(Value):
    """How much noise every step sees; 0 is none. All of it is a function of (noise seed, step).

    gradient: standard deviation of the normal noise added to every number of the gradient. weight: the
    same, added to every weight for the forward and backward pass of one step (Power et al. 2022).
    dropout: the probability with which each neuron's and each head's output is zero, the others scaled
    by 1 / (1 - dropout) (Srivastava et al. 2014); measures see the model without any of it.
    residual_dropout: the same for every number that a transformer's MLP writes to the residual stream,
    and nothing else (openai/grok). update: standard deviation of the normal noise added to every
    number of the update before it is multiplied by the learning rate: W <- W + rate (update + noise),
    with warm-up and annealing in the rate (openai/grok). Adam's updates are near 1 in size.
    """

    gradient: float = Field(default=0.0, ge=0)
    weight: float = Field(default=0.0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    residual_dropout: float = Field(default=0.0, ge=0, lt=1)
    update: float = Field(default=0.0, ge=0)

    def knobs(self) -> dict[str, float]:
        """The traced scalars of the noises that there are."""
        named = {
            "gradient_noise": self.gradient,
            "weight_noise": self.weight,
            "dropout": self.dropout,
            "residual_dropout": self.residual_dropout,
            "update_noise": self.update,
        }
        return {name: value for name, value in named.items() if value}


def key_for(name: str, key: PRNGKeyArray) -> PRNGKeyArray:
    """The key of one of the noises of a step."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
