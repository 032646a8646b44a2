"""Functions of examples, computed for so many at a time that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from undergrowth.models.model import Model
from undergrowth.models.room import CACHED, ROOM


def rows_at_once(model: Model, passes: int = 1) -> int:
    """How many examples to compute at a time where each takes so many forward passes."""
    widest = max(site.n_components for site in model.sites)
    return max(1, min(CACHED // (widest * passes), ROOM // (model.n_logits * passes)))


def rows_that_fit(model: Model) -> int:
    """How many examples there is room for in one forward pass, in the cache or not."""
    widest = max(site.n_components for site in model.sites)
    return max(1, ROOM // max(widest, model.n_logits))


def micro_batched(function: Callable[..., Any], rows: Sequence[Any], at_once: int) -> Any:
    """function(*rows), row by row independent, for `at_once` rows at a time; its arrays laid end to end.

    The last batch is filled up with its last row, so that one shape is compiled however many rows there
    are. Returns numpy arrays, in the tree that the function returns.
    """
    arrays = [np.asarray(array) for array in rows]
    n_rows = len(arrays[0])
    size = min(n_rows, at_once)
    found = []
    for start in range(0, n_rows, size):
        index = np.minimum(np.arange(start, start + size), n_rows - 1)
        part = function(*(jnp.asarray(array[index]) for array in arrays))
        found.append(jax.tree.map(np.asarray, part))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:n_rows], *found)
