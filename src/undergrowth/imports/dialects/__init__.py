"""Layouts of files that are known: one file each; the first that knows a file as its own reads it."""

from undergrowth.imports.dialects import (
    curves,
    fused_qkv,
    nanda,
    one_hot_mlp,
    pizza,
    rep_theory,
    transformer_lens,
)

DIALECTS = (
    nanda.DIALECT,
    one_hot_mlp.DIALECT,
    rep_theory.DIALECT,
    transformer_lens.DIALECT,
    fused_qkv.DIALECT,
    pizza.DIALECT,
    curves.DIALECT,
)
"""Curves come last: those that belong to weights are read with them."""

__all__ = ["DIALECTS"]
