"""The reference: a decoder transformer as it is usually written in PyTorch, every position computed."""
# pyright: reportMissingImports=false
# PyTorch is here for `make bench` only.

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """n_ctx: positions; layer_norm: after each residual sum (Power et al. 2022), or nowhere; positions:
    a fixed table [n_ctx, d_model], None where they are learned.
    """

    n_vocab: int
    n_labels: int
    n_ctx: int
    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    layer_norm: bool
    mlp_bias: bool
    positions: np.ndarray | None = None


class Attention(nn.Module):
    future: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.n_heads = shape.n_heads
        self.Q, self.K, self.V, self.O = (
            nn.Linear(shape.d_model, shape.d_model, bias=False) for _ in range(4)
        )
        future = torch.ones(shape.n_ctx, shape.n_ctx, dtype=torch.bool).triu(1)
        self.register_buffer("future", future)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = (W(x).view(n, t, self.n_heads, -1).transpose(1, 2) for W in (self.Q, self.K, self.V))
        scores = q @ k.transpose(-2, -1) / math.sqrt(d // self.n_heads)
        pattern = scores.masked_fill(self.future, -torch.inf).softmax(-1)
        return self.O((pattern @ v).transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn = Attention(shape)
        self.mlp = nn.Sequential(
            nn.Linear(shape.d_model, shape.d_mlp, bias=shape.mlp_bias),
            nn.ReLU(),
            nn.Linear(shape.d_mlp, shape.d_model, bias=shape.mlp_bias),
        )
        norms = (nn.LayerNorm(shape.d_model) if shape.layer_norm else nn.Identity() for _ in range(2))
        self.ln1, self.ln2 = norms

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln1(x + self.attn(x))
        return self.ln2(x + self.mlp(x))


class Transformer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.n_vocab, shape.d_model)
        if shape.positions is None:
            self.pos_embed = nn.Parameter(torch.zeros(shape.n_ctx, shape.d_model))
        else:
            self.register_buffer("pos_embed", torch.from_numpy(shape.positions))
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.n_layers)))
        self.unembed = nn.Linear(shape.d_model, shape.n_labels, bias=False)
        nn.init.normal_(self.embed.weight, std=shape.d_model**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [example, label] at the last position, from those at all positions."""
        return self.unembed(self.blocks(self.embed(tokens) + self.pos_embed))[:, -1]

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Put weights with TransformerLens's names and shapes in place of the model's."""
        put(self, dict(_as_linear(name, array) for name, array in weights.items()))


def put(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Replace all parameters of a model by name; raises ValueError where they are not the same ones."""
    left = {name for name, _ in model.named_parameters()} ^ state.keys()
    if left:
        raise ValueError(f"these weights are not those of the reference: {sorted(left)}")
    model.load_state_dict(state, strict=False)


def _as_linear(name: str, weight: np.ndarray) -> tuple[str, Tensor]:
    *path, last = name.split(".")
    array = torch.from_numpy(weight)
    if last in ("W_Q", "W_K", "W_V"):  # [head, d_model, d_head]
        array = array.permute(0, 2, 1).reshape(-1, array.shape[1])
    elif last == "W_O":  # [head, d_head, d_model]
        array = array.reshape(-1, array.shape[2]).T
    elif last in ("W_in", "W_out", "W_U"):
        array = array.T
    return _name(path, last), array


def _name(path: list[str], last: str) -> str:
    if last in ("W_Q", "W_K", "W_V", "W_O"):
        return ".".join([*path, last[-1], "weight"])
    if last.endswith(("_in", "_out")):
        kind = "weight" if last.startswith("W") else "bias"
        return ".".join([*path, "0" if last.endswith("_in") else "2", kind])
    ends = {"W_E": "embed.weight", "W_pos": "pos_embed", "W_U": "unembed.weight"}
    if last in ends:
        return ends[last]
    return ".".join([*path, {"w": "weight", "b": "bias"}[last]])
