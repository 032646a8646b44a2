"""Attention heads side by side against one head at a time in numpy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from undergrowth.models.mixing import by_head, mixed

rng = np.random.default_rng(0)


def test_sums_by_head() -> None:
    values = rng.standard_normal((5, 12)).astype(np.float32)
    expected = np.stack([values[:, 4 * h : 4 * h + 4].sum(axis=1) for h in range(3)], axis=1)
    np.testing.assert_allclose(by_head(jnp.asarray(values), 3), expected, rtol=1e-5)


def test_values_are_mixed_by_the_softmax_of_their_scores_and_one_row_stands_for_all() -> None:
    scores = [rng.standard_normal((rows, 2)).astype(np.float32) for rows in (5, 1, 5)]
    values = [rng.standard_normal((rows, 6)).astype(np.float32) for rows in (5, 1, 5)]
    found = np.asarray(mixed([*map(jnp.asarray, scores)], [*map(jnp.asarray, values)]))
    for row in range(5):
        for head in range(2):
            weight = np.exp([score[row % len(score), head] for score in scores])
            parts = [value[row % len(value), 3 * head : 3 * head + 3] for value in values]
            expected = np.average(parts, axis=0, weights=weight)
            np.testing.assert_allclose(found[row, 3 * head : 3 * head + 3], expected, rtol=1e-5)
