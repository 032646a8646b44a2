"""The models and scores in float64 numpy, written from the papers' formulas.

Shares no code with the package, and is meant to be slow and plain: everything position by position
and head by head, on weights read by their TransformerLens names. `gates` are [example, component] or
[component]; a gate g puts baseline + g * (activation - baseline) in the activation's place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np

Weights = dict[str, np.ndarray]
Score = Callable[[np.ndarray], np.ndarray]
"""From gates [example, component] to one number an example."""


def in_float64(arrays: Weights) -> Weights:
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


def transformer(
    weights: Weights,
    inputs: np.ndarray,
    *,
    neuron_gates: np.ndarray | float = 1.0,
    neuron_baseline: np.ndarray | float = 0.0,
    head_gates: np.ndarray | float = 1.0,
    head_baseline: np.ndarray | float = 0.0,
    keep: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Logits [example, label] of Nanda et al. 2023, section 3: x_0 -> x_1 = x_0 + attention -> ... .

    head_baseline: [head, d_head]. `keep` receives `z` [example, head, d_head] and `post`
    [example, neuron] at the last position, before gating.
    """
    w = in_float64(weights)
    n_vocab = len(w["embed.W_E"])
    n_heads, _, d_head = w["blocks.0.attn.W_Q"].shape
    tokens = [inputs[:, 0], inputs[:, 1], np.full(len(inputs), n_vocab - 1)]
    resid = [w["embed.W_E"][t] + w["pos_embed.W_pos"][i] for i, t in enumerate(tokens)]
    last = resid[2].copy()
    z = np.empty((len(inputs), n_heads, d_head))
    for head in range(n_heads):
        W_Q, W_K, W_V = (w[f"blocks.0.attn.W_{name}"][head] for name in "QKV")
        query = resid[2] @ W_Q
        scores = np.stack([(query * (r @ W_K)).sum(axis=1) / math.sqrt(d_head) for r in resid])
        weight = np.exp(scores - scores.max(axis=0))
        weight /= weight.sum(axis=0)
        z[:, head] = sum(weight[i][:, None] * (resid[i] @ W_V) for i in range(3))
    gates = np.broadcast_to(head_gates, (len(inputs), n_heads))[:, :, None]
    gated_z = head_baseline + gates * (z - head_baseline)
    for head in range(n_heads):
        last += gated_z[:, head] @ w["blocks.0.attn.W_O"][head]
    post = np.maximum(last @ w["blocks.0.mlp.W_in"] + w["blocks.0.mlp.b_in"], 0)
    if keep is not None:
        keep.update(z=z, post=post)
    gated_post = neuron_baseline + neuron_gates * (post - neuron_baseline)
    last = last + gated_post @ w["blocks.0.mlp.W_out"] + w["blocks.0.mlp.b_out"]
    return last @ w["unembed.W_U"]


def mlp(
    weights: Weights,
    inputs: np.ndarray,
    *,
    neuron_gates: np.ndarray | float = 1.0,
    neuron_baseline: np.ndarray | float = 0.0,
    keep: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Logits [example, label] of Chughtai et al. 2023, section 3: relu([E_x(x), E_y(y)] W) U."""
    w = in_float64(weights)
    pair = np.concatenate([w["embed.W_x"][inputs[:, 0]], w["embed.W_y"][inputs[:, 1]]], axis=1)
    post = np.maximum(pair @ w["mlp.W_in"] + w.get("mlp.b_in", 0), 0)
    if keep is not None:
        keep.update(post=post)
    return (neuron_baseline + neuron_gates * (post - neuron_baseline)) @ w["unembed.W_U"]


def score(name: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """correct_logit, margin or log_prob, one number an example."""
    n, n_labels = logits.shape
    correct = np.array([z[y] for z, y in zip(logits, labels, strict=True)])
    others = np.array([np.delete(z, y) for z, y in zip(logits, labels, strict=True)])
    if name == "correct_logit":
        return correct
    if name == "margin":
        return correct - others.mean(axis=1)
    assert others.shape == (n, n_labels - 1)
    return -np.log1p(np.exp(others - correct[:, None]).sum(axis=1))


def slopes(of: Score, gates: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """d score / d gate [example, component] at `gates`, by central differences."""
    found = np.empty_like(gates)
    for j in range(gates.shape[1]):
        up, down = gates.copy(), gates.copy()
        up[:, j] += h
        down[:, j] -= h
        found[:, j] = (of(up) - of(down)) / (2 * h)
    return found


def gradient_x_activation(of: Score, shape: tuple[int, int]) -> np.ndarray:
    """Slopes with all gates open."""
    return slopes(of, np.ones(shape))


def integrated_gradients(of: Score, shape: tuple[int, int], n: int = 200) -> np.ndarray:
    """Mean slope on the way from all gates closed to all open: a midpoint Riemann sum."""
    return sum((slopes(of, np.full(shape, (i + 0.5) / n)) for i in range(n)), np.zeros(shape)) / n


def ablation(of: Score, shape: tuple[int, int]) -> np.ndarray:
    """What the score loses when one gate closes."""
    found = np.empty(shape)
    whole = of(np.ones(shape))
    for j in range(shape[1]):
        gates = np.ones(shape)
        gates[:, j] = 0
        found[:, j] = whole - of(gates)
    return found


def shapley(of: Score, shape: tuple[int, int]) -> np.ndarray:
    """Shapley 1953: the mean marginal contribution, over all 2^n coalitions of open gates."""
    n = shape[1]

    def worth(coalition: tuple[int, ...]) -> np.ndarray:
        gates = np.zeros(shape)
        gates[:, list(coalition)] = 1
        return of(gates)

    coalitions = [c for size in range(n + 1) for c in combinations(range(n), size)]
    worths = {c: worth(c) for c in coalitions}
    found = np.zeros(shape)
    for c in coalitions:
        for j in set(range(n)) - set(c):
            share = math.factorial(len(c)) * math.factorial(n - len(c) - 1) / math.factorial(n)
            found[:, j] += share * (worths[tuple(sorted((*c, j)))] - worths[c])
    return found
