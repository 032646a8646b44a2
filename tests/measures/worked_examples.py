"""Tiny networks under several optimisers, each with every example's gradient by brute force."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from tests import brute_force, brute_gradients, tiny
from tests.brute_force import Weights
from undergrowth.measures import Context
from undergrowth.models import MLPSpec, Model, TransformerSpec, state_dict

DEEP = TransformerSpec(
    d_model=4,
    n_heads=2,
    d_head=2,
    d_mlp=4,
    n_layers=2,
    layer_norm="pre",
    attn_bias=True,
    prompt="x o y =",
)
ADAMW = {"name": "adamw", "lr": 0.01, "weight_decay": 1.0, "warmup_steps": 0}
TWO_HIDDEN = MLPSpec(d_mlp=6)


@dataclass(frozen=True)
class Worked:
    """A model and what of a run's spec matters to its gradients."""

    model: Model
    fields: dict[str, Any]

    def context(self, seed: int = 0) -> Context:
        return tiny.context(self.model, seed, **self.fields)

    @cached_property
    def weights(self) -> Weights:
        return brute_force.in_float64(state_dict(self.model))

    @cached_property
    def gradients(self) -> Weights:
        return brute_gradients.gradients(self.losses, self.weights)

    def losses(self, weights: Weights) -> np.ndarray:
        data = tiny.observed()
        inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
        logits = self.logits(weights, inputs)
        loss, temperature = (self.fields.get(n, d) for n, d in (("loss", "ce"), ("temperature", 1.0)))
        return brute_gradients.losses(loss, logits, labels, temperature)

    def logits(self, weights: Weights, inputs: np.ndarray) -> np.ndarray:
        kind = self.fields.get("model", {})
        if kind.get("name") == "mlp":
            return brute_force.deep_mlp(weights, inputs)
        if kind.get("n_layers") == 2:
            return brute_force.deep_transformer(
                weights, inputs, prompt="x o y =", layer_norm="pre", act=kind["act_fn"]
            )
        if "blocks.0.attn.W_Q" in weights:
            return brute_force.transformer(weights, inputs)
        return brute_force.mlp(weights, inputs, act=kind.get("act_fn", "relu"))


@cache
def worked(name: str) -> Worked:
    """transformer: AdamW with decay, at a temperature; two_token_mlp: SGD with momentum and decay on a
    mini-batch; mlp: two hidden layers, Adam, mse; deep: two layers, pre-norm, AdamW.
    """
    sgd = {"name": "sgd", "lr": 0.3, "momentum": 0.9, "weight_decay": 0.1, "warmup_steps": 0}
    adam = {"name": "adam", "lr": 0.01, "weight_decay": 0.1, "warmup_steps": 0}
    return {
        "transformer": lambda: Worked(tiny.transformer(), {"optimiser": ADAMW, "temperature": 0.7}),
        "two_token_mlp": lambda: Worked(
            tiny.mlp(), {"optimiser": sgd, "batch": {"name": "mini", "batch_size": 4}}
        ),
        "mlp": lambda: Worked(
            tiny.made(TWO_HIDDEN, seed=4),
            {"model": TWO_HIDDEN.model_dump(), "optimiser": adam, "loss": "mse"},
        ),
        "deep": lambda: Worked(
            tiny.made(DEEP, seed=3), {"model": DEEP.model_dump(), "optimiser": ADAMW}
        ),
    }[name]()


NAMES = ("transformer", "two_token_mlp", "mlp", "deep")
