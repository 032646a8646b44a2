"""The papers' formulas, in float64 numpy, one parameter at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.training.optimisers.suite import GRADIENTS, HIDDEN, WEIGHTS
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    AnyOptimiser,
    Constant,
    GrokfastEMA,
    Muon,
    NoFilter,
    OrthogonalGradient,
    SignSGD,
)

Step = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""The update of one parameter, from t = 1, 2, ..., its gradient and its weights."""


def rate(o: AnyOptimiser, t: int) -> float:
    """What the t-th update is multiplied by."""
    rise = min(t / o.warmup_steps, 1) if o.warmup_steps else 1
    if isinstance(o.annealing, Constant):
        return rise
    share = min(max(t - o.warmup_steps, 0) / o.annealing.steps, 1)
    return rise * (o.annealing.final + (1 - o.annealing.final) * (1 + np.cos(np.pi * share)) / 2)


def adam_direction(betas: tuple[float, float], eps: float) -> Callable[[int, np.ndarray], np.ndarray]:
    """Kingma & Ba 2015, algorithm 1, without its step size."""
    m: Any = 0.0
    v: Any = 0.0

    def direction(t: int, g: np.ndarray) -> np.ndarray:
        nonlocal m, v
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        return m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return direction


def adamw_by_hand(o: AdamW, w0: np.ndarray) -> Step:
    """Loshchilov & Hutter 2019, algorithm 2."""
    direction = adam_direction(o.betas, o.eps)
    end = w0 if o.decay_to == "init" else 0
    return lambda t, g, w: -o.lr * (direction(t, g) + o.weight_decay * (w - end))


def adam_by_hand(o: Adam) -> Step:
    """torch.optim.Adam's documented rule: the decay is in the gradient."""
    direction = adam_direction(o.betas, o.eps)
    return lambda t, g, w: -o.lr * direction(t, g + o.weight_decay * w)


def sgd_by_hand(o: SGD) -> Step:
    """torch.optim.SGD's documented rule, dampening 0."""
    buffer: Any = 0.0

    def step(t: int, g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal buffer
        g = g + o.weight_decay * w
        buffer = o.momentum * buffer + g
        return -o.lr * (g + o.momentum * buffer if o.nesterov else buffer)

    return step


def sign_sgd_by_hand(o: SignSGD) -> Step:
    return lambda t, g, w: -o.lr * (np.sign(g) + o.weight_decay * w)


def orthogonalised(m: np.ndarray, eps: float, ns_steps: int) -> np.ndarray:
    """Newton-Schulz by singular values: each goes through the quintic, and the vectors stay."""
    u, s, v = np.linalg.svd(m, full_matrices=False)
    s = s / (np.sqrt((m**2).sum(axis=(-2, -1)))[..., None] + eps)
    for _ in range(ns_steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ (s[..., None] * v)


def muon_by_hand(o: Muon) -> Step:
    """Jordan et al. 2024, with moments corrected for their start as in NAdam (Dozat 2016)."""
    m: Any = 0.0

    def step(t: int, g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal m
        m = o.beta * m + (1 - o.beta) * g
        seen = m / (1 - o.beta**t)
        if o.nesterov:
            ahead = m / (1 - o.beta ** (t + 1))
            seen = o.beta * ahead + (1 - o.beta) * g / (1 - o.beta**t)
        shape = np.sqrt(max(1, w.shape[-1] / w.shape[-2]))
        return -o.lr * (shape * orthogonalised(seen, o.eps, o.ns_steps) + o.weight_decay * w)

    return step


def step_by_hand(o: AnyOptimiser, name: str, w0: np.ndarray) -> Step:
    if isinstance(o, Muon):
        adamw = {"lr": o.adam_lr, "betas": o.adam_betas, "weight_decay": o.adam_weight_decay}
        return muon_by_hand(o) if name in HIDDEN else adamw_by_hand(AdamW(**adamw, eps=o.eps), w0)
    if isinstance(o, AdamW):
        return adamw_by_hand(o, w0)
    if isinstance(o, Adam):
        return adam_by_hand(o)
    return sgd_by_hand(o) if isinstance(o, SGD) else sign_sgd_by_hand(o)


def filter_by_hand(o: AnyOptimiser) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """From (gradient, weights) to the gradient that the rule sees."""
    ema: Any = None

    def grokfast(g: np.ndarray, w: np.ndarray) -> np.ndarray:
        nonlocal ema
        assert isinstance(o.filter, GrokfastEMA)
        ema = g if ema is None else o.filter.alpha * ema + (1 - o.filter.alpha) * g
        return g + o.filter.lamb * ema

    def orthogonal(g: np.ndarray, w: np.ndarray) -> np.ndarray:
        rest = g - (w * g).sum() / (w * w).sum() * w
        return rest * np.sqrt((g * g).sum() / (rest * rest).sum())

    by_hand = {GrokfastEMA: grokfast, OrthogonalGradient: orthogonal, NoFilter: lambda g, w: g}
    return by_hand[type(o.filter)]


def by_hand(o: AnyOptimiser, name: str) -> list[np.ndarray]:
    """The weights of one parameter after each step, in float64."""
    w, path = WEIGHTS[name].astype(np.float64), []
    step, filtered = step_by_hand(o, name, w), filter_by_hand(o)
    for t, gradients in enumerate(GRADIENTS, start=1):
        w = w + rate(o, t) * step(t, filtered(gradients[name].astype(np.float64), w), w)
        path.append(w)
    return path
