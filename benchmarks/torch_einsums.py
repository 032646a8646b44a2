"""The reference of `nanda2023`: one layer, by einsums over heads, as its published code has it."""
# pyright: reportMissingImports=false
# PyTorch is here for `make bench` only.

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, einsum, nn

from benchmarks.torch_transformer import Shape, put


class EinsumTransformer(nn.Module):
    """Weights have TransformerLens's names and shapes."""

    causal: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d_model, heads = shape.d_model, (shape.n_heads, shape.d_model, shape.d_model // shape.n_heads)
        self.W_E, self.W_pos = _drawn(shape.n_vocab, d_model), _drawn(shape.n_ctx, d_model)
        self.W_Q, self.W_K, self.W_V = _drawn(*heads), _drawn(*heads), _drawn(*heads)
        self.W_O = _drawn(heads[0], heads[2], d_model)
        self.W_in, self.W_out = _drawn(d_model, shape.d_mlp), _drawn(shape.d_mlp, d_model)
        self.b_in = nn.Parameter(torch.zeros(shape.d_mlp))
        self.b_out = nn.Parameter(torch.zeros(d_model))
        self.W_U = _drawn(d_model, shape.n_labels)
        self.register_buffer("causal", torch.ones(shape.n_ctx, shape.n_ctx).tril())

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [example, label] at the last position, from those at all positions."""
        x = self.W_E[tokens] + self.W_pos
        x = x + self._attention(x)
        post = (einsum("bpd,dm->bpm", x, self.W_in) + self.b_in).relu()
        x = x + einsum("bpm,md->bpd", post, self.W_out) + self.b_out
        return (x @ self.W_U)[:, -1]

    def _attention(self, x: Tensor) -> Tensor:
        q, k, v = (einsum("bpd,idh->biph", x, W) for W in (self.W_Q, self.W_K, self.W_V))
        scores = einsum("biqh,bikh->biqk", q, k) / q.shape[-1] ** 0.5
        pattern = (scores.tril() - 1e10 * (1 - self.causal)).softmax(-1)
        z = einsum("biqk,bikh->biqh", pattern, v)
        return einsum("biqh,ihd->bqd", z, self.W_O)

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Put weights with TransformerLens's names in place of the model's."""
        state = {name.rsplit(".", 1)[-1]: torch.from_numpy(array) for name, array in weights.items()}
        put(self, state)


def _drawn(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) / 128**0.5)
