"""How a run ended beside its status: diverged, stopped, interventions that never fired."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from undergrowth.store.stored import Happened, Stored

if TYPE_CHECKING:  # runs are listed without JAX
    from undergrowth.spec import RunSpec


def of_kind(happened: Sequence[Happened], kind: str) -> list[tuple[int, dict[str, Any]]]:
    """The steps and details of those of a run's events that are of one kind."""
    return [(step, detail) for step, its, detail in happened if its == kind]


def diverged_at(run: Stored) -> int | None:
    """The step at which its loss was no longer finite; None where it did not diverge."""
    if run.status != "failed":
        return None
    found = of_kind(run.happened, "diverged")
    return found[-1][0] if found else None


def never_fired(run: Stored) -> tuple[str, ...]:
    """The interventions that a run that has ended did not come to, each in a few words."""
    if not run.has_ended or not run.spec.interventions:
        return ()
    fired = {detail["intervention"] for _, detail in of_kind(run.happened, "fired")}
    return not_among(fired, run.spec)


def not_among(fired: Collection[int], spec: RunSpec) -> tuple[str, ...]:
    """A run's interventions but for those of these positions, each in a few words."""
    return tuple(
        intervention.describe()
        for position, intervention in enumerate(spec.interventions)
        if position not in fired
    )


def in_words(run: Stored) -> tuple[str, ...]:
    """What there is to say of how it ended, a few words each; of a whole and done run often nothing."""
    return told(run.message, diverged_at(run), run.stopped, never_fired(run))


def told(
    message: str, diverged: int | None, stopped: tuple[int, str] | None, never: Collection[str]
) -> tuple[str, ...]:
    """The same from its parts: why it failed, when it diverged, the step and reason of a stop, and the
    interventions that never fired.
    """
    head = (f"diverged at step {diverged:,}",) if diverged is not None else (message,)
    stop = (f"stopped at step {stopped[0]:,}: {stopped[1]}",) if stopped else ()
    return *filter(None, head), *stop, *(f"never fired: {each}" for each in never)
