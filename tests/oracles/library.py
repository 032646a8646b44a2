"""Lieberum's network as his library makes it: x-transformers 0.21.1, with its defaults."""
# pyright: reportMissingImports=false

from __future__ import annotations

from torch import nn

SPECIAL = 2
"""Tokens beside the operands: the operator and `=`."""


def decoder_of_library(n_operands: int, width: int = 128, n_heads: int = 4) -> nn.Module:
    """From tokens [example, position] to logits at each: two layers, room for 5 positions."""
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=width, depth=2, heads=n_heads)
    return TransformerWrapper(num_tokens=n_operands + SPECIAL, max_seq_len=5, attn_layers=layers)
