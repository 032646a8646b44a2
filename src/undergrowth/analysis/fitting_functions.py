"""The functions that networks of a run were found to compute, and what these functions are like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from undergrowth.store import Run
from undergrowth.tasks.complexity import lempel_ziv, table_bytes
from undergrowth.tasks.terms import best_term, best_term_of_minimal_dnf

MEASURES = ("sampled_functions", "trained_functions")


@dataclass(frozen=True, eq=False)
class FittingFunctions:
    """Functions that fit a run's training side, the most frequent first.

    tables: bool [function, input], the labels; count: [half, function], networks that computed each, in
    two halves drawn independently; margin: [function], see `measures`; is_train: bool [input].
    """

    tables: np.ndarray
    count: np.ndarray
    margin: np.ndarray
    is_train: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """float [function]: the networks of both halves."""
        return self.count.sum(axis=0)

    @cached_property
    def generality_of_ones(self) -> np.ndarray:
        """int [function]: the training examples that the best implicant of the function covers."""
        return best_term(self.tables, self.is_train)

    @cached_property
    def generality(self) -> np.ndarray:
        """float [function]: the training examples that the best term for a label covers, mean of both
        labels: the best implicants of the function and of its negation.
        """
        return (self.generality_of_ones + best_term(~self.tables, self.is_train)) / 2

    @cached_property
    def generality_of_minimal_dnf(self) -> np.ndarray:
        """float [function]: the same of terms that are in a minimal DNF; slow beyond 5 bits."""
        return np.array(
            [
                sum(best_term_of_minimal_dnf(side, self.is_train) for side in (table, ~table)) / 2
                for table in self.tables
            ]
        )

    @cached_property
    def complexity(self) -> np.ndarray:
        """float [function]: Lempel-Ziv, in bits."""
        return np.array([lempel_ziv(table) for table in self.tables])

    @cached_property
    def bytes(self) -> np.ndarray:
        """float [function]: of the compressed table."""
        return np.array([table_bytes(table[None]) for table in self.tables], float)

    @property
    def predicted(self) -> np.ndarray:
        """float [input]: the share of the networks that answer 1."""
        return self.total @ self.tables / self.total.sum()


@lru_cache(maxsize=256)
def fitting_functions(run: Run) -> FittingFunctions | None:
    """Those that a run read before its first step, sampled or trained; None where it read none."""
    key = next((name for name in MEASURES if f"{name}_table" in run.names), None)
    if key is None:
        return None
    packed, count, margin = (
        np.asarray(run[f"{key}_{name}"].isel(step=0)) for name in ("table", "count", "margin")
    )
    is_train = run.spec.data().is_train
    tables = np.unpackbits(packed.astype(np.uint8), axis=1)[:, : len(is_train)].astype(bool)
    return FittingFunctions(tables, count.astype(float), margin.astype(float), is_train)


def joined(p: FittingFunctions, q: FittingFunctions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each function of either: its place among p's then q's functions, and its count in each."""
    both = np.packbits(np.concatenate([p.tables, q.tables]), axis=1)
    _, place, of = np.unique(both, axis=0, return_index=True, return_inverse=True)
    n = len(p.tables)
    count_p = np.bincount(of[:n], p.total, len(place))
    count_q = np.bincount(of[n:], q.total, len(place))
    return place, count_p, count_q
