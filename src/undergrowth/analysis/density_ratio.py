"""How the ratio of two distributions over things depends on what the things are like."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

MOST_STEPS, CONVERGED = 100, 1e-6
LEAST_INFORMATION = 1e-3
"""In draws, features being of size 1: with less, the standard error of some slope is above 30 nats."""


def log_ratio_slopes(
    features_p: Float[np.ndarray, "thing_p feature"],
    count_p: Num[np.ndarray, " thing_p"],
    features_q: Float[np.ndarray, "thing_q feature"],
    count_q: Num[np.ndarray, " thing_q"],
) -> Float[np.ndarray, " feature"]:
    r"""The slopes b of log p(thing) / q(thing) = a + b . features(thing), from draws of p and of q.

    Maximum likelihood of which of the two each draw came from, given its features: a logistic
    regression whose intercept absorbs how many were drawn of each (Prentice & Pyke 1979). Every draw
    counts once, so a thing counts as often as it was drawn, and one that only p or only q had is as good
    as any: no logarithm of 0 is taken.

    Things may be listed twice. NaN where the draws do not determine the slopes: a feature that is
    constant or follows from the others, or features that separate the two perfectly.
    """
    features = np.concatenate([features_p, features_q]).astype(np.float64)
    weights = np.concatenate([count_p, count_q]).astype(np.float64)
    is_p = np.repeat([1.0, 0.0], [len(count_p), len(count_q)])
    unknown = np.full(features.shape[1], np.nan)
    if not count_p.sum() or not count_q.sum():
        return unknown
    centred = features - np.average(features, axis=0, weights=weights)
    size = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    if not (size > 1e-9 * np.maximum(1, np.abs(features).max(axis=0))).all():
        return unknown
    design = np.column_stack([np.ones(len(weights)), centred / size])
    found = _logistic(design, is_p, weights)
    return unknown if found is None else found[1:] / size


def _logistic(design: np.ndarray, is_one: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """Newton's method with step halving; None where the likelihood has no maximum."""
    beta = np.zeros(design.shape[1])
    loss = _loss(design, is_one, weights, beta)
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        slope = design.T @ (weights * (is_one - p))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design
        if np.linalg.eigvalsh(curvature)[0] < LEAST_INFORMATION:
            return None
        step = np.linalg.solve(curvature, slope)
        if slope @ step < CONVERGED:  # twice what the step would still gain, in nats
            return beta + step
        while (after := _loss(design, is_one, weights, beta + step)) > loss:
            step = step / 2
        beta, loss = beta + step, after
    return None


def _loss(design: np.ndarray, is_one: np.ndarray, weights: np.ndarray, beta: np.ndarray) -> float:
    score = design @ beta
    return float(weights @ (np.logaddexp(0, score) - is_one * score))


def pseudo_count_slopes(
    features: Float[np.ndarray, "thing feature"],
    count_p: Num[np.ndarray, " thing"],
    count_q: Num[np.ndarray, " thing"],
    added: float,
) -> Float[np.ndarray, " feature"]:
    """The same slopes by least squares on log (count_p + added) - log (count_q + added).

    A thing weighs as much as it was drawn. What was drawn seldom is pulled towards equal counts, so the
    slopes are biased towards 0, the more the larger `added`. NaN where the features do not determine
    them.
    """
    weights = np.sqrt(count_p + count_q)
    ratio = np.log(count_p + added) - np.log(count_q + added)
    design = np.column_stack([np.ones(len(features)), features]) * weights[:, None]
    found, _, rank, _ = np.linalg.lstsq(design, ratio * weights, rcond=1e-10)
    return found[1:] if rank == design.shape[1] else np.full(features.shape[1], np.nan)


def strata(values: Float[np.ndarray, " thing"], n: int) -> np.ndarray:
    """int [thing]: into which of n equally frequent ranges each value falls; equal values together."""
    edges = np.unique(np.quantile(values, np.arange(1, n) / n))
    return np.searchsorted(edges, values)


def shuffled_within(
    values: Float[np.ndarray, " thing"], group: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, " thing"]:
    """The values permuted among the things of each group."""
    at_random = np.lexsort((rng.random(len(values)), group))
    in_order = np.argsort(group, kind="stable")
    shuffled = np.empty_like(values)
    shuffled[at_random] = values[in_order]
    return shuffled
