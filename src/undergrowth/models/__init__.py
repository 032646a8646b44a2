"""What learns: models whose components stand behind named gates."""

from typing import Annotated

from pydantic import Field

from undergrowth.models.model import Model, load_state_dict, state_dict
from undergrowth.models.sites import Site, Tap, gated, recording, untapped
from undergrowth.models.transformer import Transformer, TransformerSpec
from undergrowth.models.two_token_mlp import TwoTokenMLP, TwoTokenMLPSpec

AnyModel = Annotated[TransformerSpec | TwoTokenMLPSpec, Field(discriminator="name")]

__all__ = [
    "AnyModel",
    "Model",
    "Site",
    "Tap",
    "Transformer",
    "TransformerSpec",
    "TwoTokenMLP",
    "TwoTokenMLPSpec",
    "gated",
    "load_state_dict",
    "recording",
    "state_dict",
    "untapped",
]
