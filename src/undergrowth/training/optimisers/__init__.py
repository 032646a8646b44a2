"""Optimisers as values. optax does the arithmetic; the hyper-parameters live in its traced state."""

from typing import Annotated

from undergrowth.kinds import OneOf
from undergrowth.training.optimisers.adam import Adam, AdamW
from undergrowth.training.optimisers.filters import AnyFilter, GrokfastEMA, NoFilter, OrthogonalGradient
from undergrowth.training.optimisers.muon import Muon
from undergrowth.training.optimisers.optimiser import NonNegative, Optimiser, Positive, Rate
from undergrowth.training.optimisers.rates import AnyAnnealing, Constant, Cosine
from undergrowth.training.optimisers.sgd import SGD, SignSGD
from undergrowth.training.optimisers.state import (
    has_hyperparam,
    hyperparams,
    reset_moments,
    with_hyperparams,
)

AnyOptimiser = Annotated[AdamW | Adam | SGD | SignSGD | Muon, OneOf(Optimiser, "optimiser")]

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AnyAnnealing",
    "AnyFilter",
    "AnyOptimiser",
    "Constant",
    "Cosine",
    "GrokfastEMA",
    "Muon",
    "NoFilter",
    "NonNegative",
    "Optimiser",
    "OrthogonalGradient",
    "Positive",
    "Rate",
    "SignSGD",
    "has_hyperparam",
    "hyperparams",
    "reset_moments",
    "with_hyperparams",
]
