"""The models in PyTorch, in float64, on the package's weights, run from what is embedded.

Shares no code with the package. Every block's `z` [example, position, head, d_head] and `post` [example,
position, neuron] (the MLP's [example, neuron]) are modules, where Captum can look.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = Mapping[str, np.ndarray]


def tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


class Block(nn.Module):
    """Causal attention and an MLP on what layer norms read, each adding to the residual stream."""

    def __init__(self, weights: Weights, within: str) -> None:
        super().__init__()
        here = {
            name.removeprefix(within): tensor(a)
            for name, a in weights.items()
            if name.startswith(within)
        }
        self.w = here
        self.z, self.post = nn.Identity(), nn.ReLU()

    def normed(self, resid: Tensor, name: str) -> Tensor:
        if f"{name}.w" not in self.w:
            return resid
        w, b = self.w[f"{name}.w"], self.w[f"{name}.b"]
        return functional.layer_norm(resid, w.shape, w, b)

    def forward(self, resid: Tensor) -> Tensor:
        w, read = self.w, self.normed(resid, "ln1")
        q, k, v = (torch.einsum("npm,hmd->nhpd", read, w[f"attn.W_{name}"]) for name in "QKV")
        future = torch.ones(resid.shape[1], resid.shape[1]).triu(1).bool()
        scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -torch.inf)
        z = self.z((scores.softmax(-1) @ v).transpose(1, 2))
        resid = resid + torch.einsum("nphd,hdm->npm", z, w["attn.W_O"])
        post = self.post(self.normed(resid, "ln2") @ w["mlp.W_in"] + w["mlp.b_in"])
        return resid + post @ w["mlp.W_out"] + w["mlp.b_out"]


class Transformer(nn.Module):
    """Of Nanda et al. 2023, with any number of layers and with layer norms before each part, or none."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.W_E, self.W_pos = tensor(weights["embed.W_E"]), tensor(weights["pos_embed.W_pos"])
        self.W_U = tensor(weights["unembed.W_U"])
        n_layers = sum(name.endswith("attn.W_Q") for name in weights)
        self.blocks = nn.ModuleList(Block(weights, f"blocks.{i}.") for i in range(n_layers))
        ends_normed = "ln_final.w" in weights
        self.ln_final = [tensor(weights[f"ln_final.{n}"]) for n in "wb"] if ends_normed else None

    def embedded(self, inputs: np.ndarray) -> Tensor:
        """[example, position, d_model] of `x y =`."""
        equals = np.full(len(inputs), len(self.W_E) - 1)
        return self.W_E[torch.from_numpy(np.stack([*inputs.T, equals], axis=1).astype(np.int64))]

    def forward(self, embedded: Tensor) -> Tensor:
        resid = embedded + self.W_pos
        for block in self.blocks:
            resid = block(resid)
        last = resid[:, -1]
        if self.ln_final is not None:
            w, b = self.ln_final
            last = functional.layer_norm(last, w.shape, w, b)
        return last @ self.W_U


class MLP(nn.Module):
    """Of Chughtai et al. 2023: one hidden layer over two embeddings laid end to end."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.W_x, self.W_y = tensor(weights["embed.W_x"]), tensor(weights["embed.W_y"])
        self.W_in, self.b_in = tensor(weights["mlp.W_in"]), tensor(weights["mlp.b_in"])
        self.W_U = tensor(weights["unembed.W_U"])
        self.post = nn.ReLU()

    def embedded(self, inputs: np.ndarray) -> Tensor:
        """[example, operand, d_embed]."""
        x, y = torch.from_numpy(inputs.astype(np.int64)).T
        return torch.stack([self.W_x[x], self.W_y[y]], dim=1)

    def forward(self, embedded: Tensor) -> Tensor:
        return self.post(embedded.flatten(1) @ self.W_in + self.b_in) @ self.W_U


def score(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """correct_logit, centred logit, log_prob or accuracy, one number an example."""
    correct = logits.gather(1, labels[:, None])[:, 0]
    if name == "correct_logit":
        return correct
    if name == "centred_logit":
        return correct - (logits.sum(1) - correct) / (logits.shape[1] - 1)
    if name == "log_prob":
        return -functional.cross_entropy(logits, labels, reduction="none")
    return (logits.argmax(1) == labels).double()
