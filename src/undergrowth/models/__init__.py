"""What learns: models whose components stand behind named gates."""

from typing import Annotated

from undergrowth.kinds import OneOf
from undergrowth.models.ablated import Ablated
from undergrowth.models.mlp import MLP, MLPSpec
from undergrowth.models.model import (
    Inputs,
    Model,
    load_state_dict,
    mapped,
    parameter_names,
    state_dict,
)
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.planted import Planted, PlantedSpec
from undergrowth.models.planted_weights import PlantedWeights
from undergrowth.models.sites import HOOK_EMBED, Component, Hook, Site, gated, no_hook, recording
from undergrowth.models.toy_heads import ToyHeads, ToyHeadsSpec
from undergrowth.models.transformer import Transformer, TransformerSpec
from undergrowth.models.two_token_mlp import TwoTokenMLP, TwoTokenMLPSpec
from undergrowth.precision import multiply_in_full

multiply_in_full()  # whoever calls a model, in a notebook too, gets what was measured

AnyModel = Annotated[
    TransformerSpec | TwoTokenMLPSpec | MLPSpec | PlantedSpec | ToyHeadsSpec, OneOf(ModelSpec, "model")
]

__all__ = [
    "HOOK_EMBED",
    "MLP",
    "Ablated",
    "AnyModel",
    "Component",
    "Hook",
    "Inputs",
    "MLPSpec",
    "Model",
    "ModelSpec",
    "Planted",
    "PlantedSpec",
    "PlantedWeights",
    "Site",
    "ToyHeads",
    "ToyHeadsSpec",
    "Transformer",
    "TransformerSpec",
    "TwoTokenMLP",
    "TwoTokenMLPSpec",
    "gated",
    "load_state_dict",
    "mapped",
    "no_hook",
    "parameter_names",
    "recording",
    "state_dict",
]
