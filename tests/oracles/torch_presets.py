"""The published set-ups in PyTorch, float32: models, losses, optimisers, from their descriptions.

Shares no code with the package: textbook modules, every position of every example, causal masks, torch's
own optimisers and layer norms. Weights come from the package by name, or as torch draws them.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Style:
    """What one set-up's decoder is like. Defaults: Lieberum's, x-transformers 0.21.1."""

    d_head: int = 64
    norm: str = "pre"
    act: Callable[[Tensor], Tensor] = functional.gelu
    prompt: tuple[str, ...] = ("x", "o", "y", "=")
    qkv_bias: bool = False
    out_bias: bool = True
    mlp_bias: bool = True
    head_bias: bool = True
    positions: str = "scaled"
    adds_to_norm: bool = False
    fused: bool = False  # attention drawn as by nn.MultiheadAttention


LIEBERUM = Style()
REPLICATION = Style(
    d_head=32, qkv_bias=True, head_bias=False, positions="learned", adds_to_norm=True, fused=True
)
POWER = Style(
    d_head=32,
    norm="post",
    act=functional.relu,
    prompt=("<eos>", "x", "o", "y", "="),
    out_bias=False,
    mlp_bias=False,
    head_bias=False,
    positions="sinusoidal",
)


class Block(nn.Module):
    """Attention and an MLP, normed before or after."""

    def __init__(self, style: Style, width: int, n_heads: int, d_mlp: int) -> None:
        super().__init__()
        inner = n_heads * style.d_head
        self.style, self.n_heads = style, n_heads
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=style.qkv_bias) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=style.out_bias)
        self.up = nn.Linear(width, d_mlp, bias=style.mlp_bias)
        self.down = nn.Linear(d_mlp, width, bias=style.mlp_bias)
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        if style.fused:
            for linear in (self.q, self.k, self.v):
                nn.init.uniform_(linear.weight, *(s * (6 / (4 * width)) ** 0.5 for s in (-1, 1)))
                nn.init.zeros_(linear.bias)
            nn.init.zeros_(self.o.bias)

    def attention(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (
            f(x).view(n, length, self.n_heads, self.style.d_head).transpose(1, 2)
            for f in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.style.d_head)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
        return self.o(mixed.transpose(1, 2).reshape(n, length, -1))

    def forward(self, x: Tensor) -> Tensor:
        if self.style.norm == "post":
            x = self.ln1(x + self.attention(x))
            return self.ln2(x + self.down(self.style.act(self.up(x))))
        read = self.ln1(x)
        x = (read if self.style.adds_to_norm else x) + self.attention(read)
        return x + self.down(self.style.act(self.up(self.ln2(x))))


class Decoder(nn.Module):
    """Two blocks over `x o y =`, read at the last token: logits of the whole vocabulary."""

    def __init__(self, style: Style, n_operands: int, width: int = 128, n_heads: int = 4) -> None:
        super().__init__()
        special = sorted({t for t in style.prompt if t not in "xy"}, key=("=", "o", "<eos>").index)
        self.style, self.width, self.n_operands, self.special = style, width, n_operands, special
        n_tokens = n_operands + len(special)
        self.tokens = nn.Embedding(n_tokens, width)
        if style.positions == "sinusoidal":
            self.positions = None
        else:
            self.positions = nn.Embedding(len(style.prompt), width)
        self.blocks = nn.ModuleList(Block(style, width, n_heads, 4 * width) for _ in range(2))
        self.norm = nn.LayerNorm(width) if style.norm == "pre" else None
        self.head = nn.Linear(width, n_tokens, bias=style.head_bias)
        if style.positions == "scaled":
            nn.init.kaiming_normal_(self.tokens.weight)

    def sequence(self, pairs: Tensor) -> Tensor:
        """[example, position]: the tokens' numbers."""
        columns = {"x": pairs[:, 0], "y": pairs[:, 1]}
        for i, token in enumerate(self.special):
            columns[token] = torch.full_like(pairs[:, 0], self.n_operands + i)
        return torch.stack([columns[token] for token in self.style.prompt], dim=1)

    def places(self) -> Tensor:
        """[position, width]."""
        if self.positions is not None:
            scale = self.width**-0.5 if self.style.positions == "scaled" else 1.0
            return self.positions.weight * scale
        where = torch.arange(len(self.style.prompt), dtype=torch.float64)[:, None]
        pair = torch.arange(self.width) // 2
        angle = where / 10000 ** (2 * pair / self.width)
        is_even = torch.arange(self.width) % 2 == 0
        return torch.where(is_even, angle.sin(), angle.cos()).float()

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.tokens(self.sequence(pairs)) + self.places()
        for block in self.blocks:
            x = block(x)
        last = x[:, -1]
        return self.head(last if self.norm is None else self.norm(last))


@dataclass
class Trained:
    """A model, its optimiser, and the warm-up of ten updates: the t-th is t / 10 in size."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    lr: float = 1e-3
    warmup: int = 10
    done: int = field(default=0)

    def step(self, pairs: Tensor, labels: Tensor) -> float:
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * min(self.done / self.warmup, 1)
        loss = functional.cross_entropy(self.model(pairs), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def trained(model: Decoder, decay: float | None, lr: float = 1e-3) -> Trained:
    """AdamW with a decay on everything, or Adam without (None)."""
    how: dict[str, Any] = {"lr": lr, "betas": (0.9, 0.98)}
    if decay is None:
        return Trained(model, torch.optim.Adam(model.parameters(), **how), lr)
    return Trained(model, torch.optim.AdamW(model.parameters(), weight_decay=decay, **how), lr)


def epochs(n: int, batch_size: int, seed: int) -> Any:
    """Shuffled epochs of all n examples, the last batch smaller, for ever."""
    chance = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(n, generator=chance).split(batch_size)


def named(model: Decoder) -> dict[str, Tensor]:
    """The weights by the package's names and in its shapes, as views."""
    found = {"embed.W_E": model.tokens.weight, "unembed.W_U": model.head.weight.T}
    if model.positions is not None:
        found["pos_embed.W_pos"] = model.positions.weight
    if model.head.bias is not None:
        found["unembed.b_U"] = model.head.bias
    if model.norm is not None:
        found |= {"ln_final.w": model.norm.weight, "ln_final.b": model.norm.bias}
    for i, block in enumerate(model.blocks):
        found |= {f"blocks.{i}.{name}": tensor for name, tensor in _of_block(block).items()}
    return found


def _of_block(block: Any) -> dict[str, Tensor]:
    heads, d_head = block.n_heads, block.style.d_head
    found = {"ln1.w": block.ln1.weight, "ln1.b": block.ln1.bias}
    found |= {"ln2.w": block.ln2.weight, "ln2.b": block.ln2.bias}
    for name, linear in (("Q", block.q), ("K", block.k), ("V", block.v)):
        found[f"attn.W_{name}"] = linear.weight.view(heads, d_head, -1).transpose(1, 2)
        if linear.bias is not None:
            found[f"attn.b_{name}"] = linear.bias.view(heads, d_head)
    found["attn.W_O"] = block.o.weight.T.view(heads, d_head, -1)
    found |= {"mlp.W_in": block.up.weight.T, "mlp.W_out": block.down.weight.T}
    biases = {"attn.b_O": block.o.bias, "mlp.b_in": block.up.bias, "mlp.b_out": block.down.bias}
    return found | {name: bias for name, bias in biases.items() if bias is not None}


def with_weights(model: Decoder, arrays: Arrays) -> Decoder:
    """The model with the package's weights in it; KeyError or ValueError where they do not fit."""
    into = named(model)
    if into.keys() != arrays.keys():
        raise KeyError(f"{sorted(into.keys() ^ arrays.keys())} differ")
    with torch.no_grad():
        for name, tensor in into.items():
            if tuple(tensor.shape) != arrays[name].shape:
                raise ValueError(f"{name} is {tuple(tensor.shape)}, not {arrays[name].shape}")
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))
    return model
