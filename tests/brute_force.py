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


def deep_transformer(
    weights: Weights,
    inputs: np.ndarray,
    *,
    prompt: str = "x y =",
    layer_norm: str = "none",
    act: str = "relu",
    residual_from_layer_norm: bool = False,
    scales_positions: bool = False,
) -> np.ndarray:
    """Logits [example, d_vocab_out] of Vaswani et al. 2017's decoder at the last token of a prompt."""
    w = in_float64(weights)
    special = [token for token in ("=", "o", "<eos>") if token in prompt.split()]
    n_operands = len(w["embed.W_E"]) - len(special)
    indices = {token: np.full(len(inputs), n_operands + i) for i, token in enumerate(special)}
    tokens = {"x": inputs[:, 0], "y": inputs[:, 1], **indices}
    resid = []
    for i, token in enumerate(prompt.split()):
        place = (
            w["pos_embed.W_pos"][i] if "pos_embed.W_pos" in w else sinusoid(i, w["embed.W_E"].shape[1])
        )
        if scales_positions:
            place = place / math.sqrt(len(place))
        resid.append(w["embed.W_E"][tokens[token]] + place)
    for layer in range(1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks"))):
        within = f"blocks.{layer}."
        block = {n.removeprefix(within): a for n, a in w.items() if n.startswith(within)}
        read = [norm(block, "ln1", r) for r in resid] if layer_norm == "pre" else resid
        written = [attention(block, read[: i + 1]) for i in range(len(read))]
        base = read if residual_from_layer_norm else resid
        resid = [b + a for b, a in zip(base, written, strict=True)]
        resid = [norm(block, "ln1", r) for r in resid] if layer_norm == "post" else resid
        read = [norm(block, "ln2", r) for r in resid] if layer_norm == "pre" else resid
        for i, r in enumerate(read):
            post = ACTS[act](r @ block["mlp.W_in"] + block.get("mlp.b_in", 0))
            resid[i] = resid[i] + post @ block["mlp.W_out"] + block.get("mlp.b_out", 0)
        resid = [norm(block, "ln2", r) for r in resid] if layer_norm == "post" else resid
    last = norm(w, "ln_final", resid[-1]) if "ln_final.w" in w else resid[-1]
    return last @ w["unembed.W_U"] + w.get("unembed.b_U", 0)


def attention(block: Weights, up_to_here: list[np.ndarray]) -> np.ndarray:
    """What the last of these positions writes, having looked at all of them, head by head."""

    def projected(resid: np.ndarray, name: str, head: int) -> np.ndarray:
        bias = block[f"attn.b_{name}"][head] if f"attn.b_{name}" in block else 0.0
        return resid @ block[f"attn.W_{name}"][head] + bias

    written = block.get("attn.b_O", np.zeros(up_to_here[0].shape[1]))
    for head, W_O in enumerate(block["attn.W_O"]):
        query = projected(up_to_here[-1], "Q", head)
        keys = [projected(r, "K", head) for r in up_to_here]
        scores = np.stack([(query * key).sum(axis=1) / math.sqrt(len(W_O)) for key in keys])
        weight = np.exp(scores) / np.exp(scores).sum(axis=0)
        values = np.stack([projected(r, "V", head) for r in up_to_here])
        written = written + (weight[:, :, None] * values).sum(axis=0) @ W_O
    return written


def norm(weights: Weights, name: str, resid: np.ndarray) -> np.ndarray:
    """Layer norm as PyTorch documents it, eps 1e-5."""
    mean, variance = resid.mean(axis=1, keepdims=True), resid.var(axis=1, keepdims=True)
    return (resid - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.w"] + weights[f"{name}.b"]


def sinusoid(position: int, d_model: int) -> np.ndarray:
    """Vaswani et al. 2017, section 3.5."""
    found = np.empty(d_model)
    for i in range(d_model):
        angle = position / 10000 ** (2 * (i // 2) / d_model)
        found[i] = math.cos(angle) if i % 2 else math.sin(angle)
    return found


ACTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda a: np.maximum(a, 0),
    "gelu": lambda a: a * 0.5 * (1 + np.vectorize(math.erf)(a / math.sqrt(2))),
    "square": lambda a: a**2,
}


def mlp(
    weights: Weights,
    inputs: np.ndarray,
    *,
    neuron_gates: np.ndarray | float = 1.0,
    neuron_baseline: np.ndarray | float = 0.0,
    keep: dict[str, np.ndarray] | None = None,
    act: str = "relu",
    summed: bool = False,
) -> np.ndarray:
    """Logits [example, label] of Chughtai et al. 2023, section 3: relu([E_x(x), E_y(y)] W) U."""
    w = in_float64(weights)
    x, y = w["embed.W_x"][inputs[:, 0]], w["embed.W_y"][inputs[:, 1]]
    pair = x + y if summed else np.concatenate([x, y], axis=1)
    post = ACTS[act](pair @ w["mlp.W_in"] + w.get("mlp.b_in", 0))
    if keep is not None:
        keep.update(post=post)
    return (neuron_baseline + neuron_gates * (post - neuron_baseline)) @ w["unembed.W_U"]


def deep_mlp(weights: Weights, inputs: np.ndarray, *, act: str = "relu") -> np.ndarray:
    """Logits [example, label] of a plain MLP; two tokens become two one-hot vectors."""
    w = in_float64(weights)
    n_hidden = sum(name.endswith("W_in") for name in w)
    if inputs.dtype.kind == "i":
        inputs = np.concatenate(list(np.eye(len(w["mlp.0.W_in"]) // 2)[inputs.T]), axis=1)
    for i in range(n_hidden):
        inputs = ACTS[act](inputs @ w[f"mlp.{i}.W_in"] + w.get(f"mlp.{i}.b_in", 0))
    return inputs @ w["unembed.W_U"] + w.get("unembed.b_U", 0)


def score(name: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """correct_logit, centred logit, log_prob or accuracy, one number an example."""
    n, n_labels = logits.shape
    correct = np.array([z[y] for z, y in zip(logits, labels, strict=True)])
    others = np.array([np.delete(z, y) for z, y in zip(logits, labels, strict=True)])
    if name == "correct_logit":
        return correct
    if name == "centred_logit":
        return correct - others.mean(axis=1)
    if name == "accuracy":
        return np.array([float(z > max(rest)) for z, rest in zip(correct, others, strict=True)])
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
