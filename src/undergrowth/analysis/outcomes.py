"""How a run ended beside its status: diverged, stopped, interventions that never fired."""

from __future__ import annotations

from undergrowth.store import Run
from undergrowth.store.reader import of_kind


def diverged_at(run: Run) -> int | None:
    """The step at which its loss was no longer finite; None where it did not diverge."""
    if run.status != "failed":
        return None
    steps = of_kind(run.events, "diverged")["step"]
    return int(steps.iloc[-1]) if len(steps) else None


def never_fired(run: Run) -> tuple[str, ...]:
    """The interventions that a run that has ended did not come to, each in a few words."""
    if not run.has_ended or not run.spec.interventions:
        return ()
    fired = {detail["intervention"] for detail in of_kind(run.events, "fired")["detail"]}
    return tuple(
        intervention.describe()
        for position, intervention in enumerate(run.spec.interventions)
        if position not in fired
    )


def in_words(run: Run) -> tuple[str, ...]:
    """What there is to say of how it ended, a few words each; of a whole and done run often nothing."""
    step = diverged_at(run)
    message = (f"diverged at step {step:,}",) if step is not None else (run.message,)
    stop = (f"stopped at step {run.stopped[0]:,}: {run.stopped[1]}",) if run.stopped else ()
    return *filter(None, message), *stop, *(f"never fired: {told}" for told in never_fired(run))
