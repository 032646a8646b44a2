"""The loss of every update: stored in rows of many updates, read as one curve over steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from undergrowth.store import rows
from undergrowth.store.errors import StoreError

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.engine.facts import Stepped

UPDATE_LOSS = "update_loss"
"""The reading: at step s the loss of the weights at s over the batch of the update made from there."""

GATHERED = 1000
"""Updates that are gathered before they are stored, where nothing asks for it sooner."""

Stretch = tuple[int, np.ndarray]
"""The step of the first of successive updates, and the loss of each."""


def stretch_row(run_id: str, facts: Sequence[Stepped]) -> tuple[object, ...]:
    """A row of `readings` for successive facts: where training was cut says nothing."""
    from undergrowth.measures import Reading

    losses = np.concatenate([fact.losses for fact in facts])
    return rows.reading_row(run_id, UPDATE_LOSS, facts[0].step, Reading(("update",), losses))


class Gathered:
    """The losses of updates, by run, that are not stored yet."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Stepped]] = {}

    def add(self, run_id: str, fact: Stepped) -> bool:
        """Whether there are enough of the run's now to store them."""
        facts = self.facts.setdefault(run_id, [])
        facts.append(fact)
        return sum(len(each.losses) for each in facts) >= GATHERED

    def taken(self, run_id: str) -> list[tuple[object, ...]]:
        """The row of those of a run, which are no longer here; none where there are none."""
        facts = self.facts.pop(run_id, None)
        return [stretch_row(run_id, facts)] if facts else []


def stretches_of(root: Path, run_id: str, below: int | None = None) -> list[Stretch]:
    """What a run itself has stored up to a step, in the order of `rows.of_run`."""
    found = rows.of_run(root, "readings", run_id, UPDATE_LOSS)
    stretches = [(row["step"], rows.reading_of(row).values) for row in found]
    return [
        (step, losses if below is None else losses[: below - step])
        for step, losses in stretches
        if below is None or step < below
    ]


def joined(stretches: Sequence[Stretch]) -> tuple[int, Float[np.ndarray, " update"], int | None]:
    """At least one stretch as one: its first step, its losses, and the first step that has none.

    Where stretches overlap the last one counts. The losses end before a gap, whose step is the third.

    >>> joined([(4, np.array([1.0, 2.0])), (5, np.array([3.0, 4.0])), (9, np.array([5.0]))])
    (4, array([1., 3., 4.], dtype=float32), 7)
    """
    first = min(step for step, _ in stretches)
    n = max(step + len(losses) for step, losses in stretches) - first
    whole, is_known = np.zeros(n, np.float32), np.zeros(n, bool)
    for step, losses in stretches:
        at = slice(step - first, step - first + len(losses))
        whole[at], is_known[at] = losses, True
    gap = None if is_known.all() else int(is_known.argmin())
    return first, whole[:gap], None if gap is None else first + gap


def span(row: sqlite3.Row) -> tuple[int, int]:
    """The steps of the updates in a row: from and below.

    Raises StoreError where the row is not what was written.
    """
    losses = rows.reading_of(row).values
    if losses.ndim != 1 or not isinstance(row["step"], int):
        raise StoreError(f"run {row['run_id']}: {UPDATE_LOSS} is no stretch: do not trust this store")
    return row["step"], row["step"] + len(losses)


def known_until(spans: Iterable[tuple[int, int]], since: int) -> int:
    """The first step from `since` on whose update is in none of the spans.

    >>> known_until([(8, 12), (0, 10), (13, 20)], since=0)
    12
    """
    until = since
    for first, below in sorted(spans):
        if first > until:
            break
        until = max(until, below)
    return until


def stored_until(root: Path, run_id: str, since: int) -> int:
    """The first step from `since` on whose update has no loss in the store that is whole."""
    found = rows.of_run(root, "readings", run_id, UPDATE_LOSS)
    return known_until([span(row) for row in found if rows.is_intact(row)], since)
