"""Every example's own gradient in float64, one weight at a time, by central differences.

Shares no code with the package: the losses are written here, the networks in `brute_force`, and which
weights are a component's is written out by name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import brute_force
from tests.brute_force import Weights

Losses = Callable[[Weights], np.ndarray]


def losses(name: str, logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The loss of each example: cross_entropy in nats, or mse."""
    scaled = logits / temperature
    if name == "mse":
        return ((scaled - np.eye(scaled.shape[1])[labels]) ** 2).mean(axis=1)
    assert name in ("ce", "cross_entropy"), f"no formula of {name!r} here: write it down"
    return -brute_force.score("log_prob", scaled, labels)


def gradients(of: Losses, weights: Weights, h: float = 1e-6) -> Weights:
    """The derivative of each example's loss by each weight: by parameter [example, *shape]."""
    exact = brute_force.in_float64(weights)
    found = {}
    for name, array in exact.items():
        rows = []
        for i in range(array.size):
            ends = []
            for step in (h, -h):
                shifted = array.copy()
                shifted.flat[i] += step
                ends.append(of({**exact, name: shifted}))
            rows.append((ends[0] - ends[1]) / (2 * h))
        found[name] = np.stack(rows, axis=1).reshape(-1, *array.shape)
    return found


def of_component(by_parameter: Weights, site: str, c: int, example_axis: bool = True) -> np.ndarray:
    """What belongs to one component, laid end to end: of gradients [example, weight], else [weight]."""
    skip = (slice(None),) * example_axis
    layer, what = site.split(".hook_")[0].rsplit(".", 1)[0], site.rsplit(".", 1)[1]
    if what == "hook_z":
        names = [f"{layer}.attn.{w}_{x}" for x in "QKVO" for w in "Wb" if (w, x) != ("b", "O")]
        taken = [by_parameter[name][*skip, c] for name in names if name in by_parameter]
    else:
        reads, writes = _mlp(site, by_parameter)
        taken = [by_parameter[f"{reads}.W_in"][*skip, :, c], by_parameter[writes][*skip, c]]
        if f"{reads}.b_in" in by_parameter:
            taken.append(by_parameter[f"{reads}.b_in"][*skip, c])
    if not example_axis:
        return np.concatenate([np.ravel(array) for array in taken])
    return np.concatenate([array.reshape(len(array), -1) for array in taken], axis=1)


def _mlp(site: str, by_parameter: Weights) -> tuple[str, str]:
    """The part that a neuron's input weights are in, and the matrix that it writes with."""
    reads = site.removesuffix(".hook_post")
    if reads.startswith("blocks"):
        return reads, f"{reads}.W_out"
    following = f"mlp.{int(reads[4:]) + 1}.W_in" if reads != "mlp" else ""
    return reads, following if following in by_parameter else "unembed.W_U"
