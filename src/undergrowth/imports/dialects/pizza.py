"""Zhong et al. 2023 ("the clock and the pizza"): refused for what is missing.

Their transformers read two tokens `x y` at the second, and mix attention as coef softmax + (1 - coef);
their linear networks embed both operands by one matrix. No model here does either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.imports.foreign import Beside, Dialect, Fields, Foreign, each_alone, state_dict_of


def is_transformer(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of their transformer: Nanda et al.'s layout, of two positions."""
    W_E, W_pos = arrays.get("embed.W_E"), arrays.get("pos_embed.W_pos")
    return W_E is not None and W_pos is not None and W_pos.shape == (2, len(W_E))


def is_linear(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a state dict is of their network without attention."""
    return {"embed.weight", "unembed.weight", "l1.weight", "l1.bias"} <= arrays.keys()


def read(group: Sequence[File], beside: Beside, fields: Fields) -> Foreign:
    """No run: what a model here would need for it."""
    if is_transformer(state_dict_of(group[0])):
        raise ForeignFileError(
            "a transformer of Zhong et al. 2023, which reads x y without = and mixes attention as coef "
            "softmax + (1 - coef): the transformer here has neither, so it cannot be imported"
        )
    raise ForeignFileError(
        "a network of Zhong et al. 2023, with one embedding for both operands side by side: the MLPs "
        "here have one for each, so it cannot be imported"
    )


DIALECT = Dialect(
    "pizza",
    "",
    each_alone(lambda arrays: is_transformer(arrays) or is_linear(arrays)),
    read,
)
