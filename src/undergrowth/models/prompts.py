"""How two operands become a sequence of tokens."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

Prompt = Literal["x y =", "x y", "x o y =", "<eos> x o y ="]
Operands = frozenset[int]
"""Which operands a position's state depends on: of nothing, of x (0), of y (1), or of both."""

SPECIAL = ("=", "o", "<eos>")
"""The tokens after the operands, in the order of their indices; a prompt has the first few of them."""


def n_special(prompt: Prompt) -> int:
    """Number of tokens of a prompt that are not operands: its vocabulary is n_operands and these.

    >>> [n_special(prompt) for prompt in ("x y", "x y =", "x o y =", "<eos> x o y =")]
    [0, 1, 2, 3]
    """
    return len(set(prompt.split()) & set(SPECIAL))


def positions(prompt: Prompt) -> list[int | str]:
    """What stands at each position: 0 for x, 1 for y, or a token that is always the same.

    >>> positions("x o y =")
    [0, 'o', 1, '=']
    """
    return ["xy".index(token) if token in ("x", "y") else token for token in prompt.split()]


def sinusoids(n_positions: int, d_model: int) -> Float[np.ndarray, "position d_model"]:
    """The fixed positions of Vaswani et al. 2017 (arXiv:1706.03762), section 3.5.

    Columns 2i and 2i + 1 are sine and cosine of position / 10000^(2i / d_model).
    """
    column = np.arange(d_model)
    angle = np.arange(n_positions)[:, None] / 10000 ** ((column - column % 2) / d_model)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
