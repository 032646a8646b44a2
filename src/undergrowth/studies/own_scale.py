"""Claims of the post about settings of its own, of which cheaper stand-ins answered otherwise."""

from __future__ import annotations

from undergrowth.studies.arm import Budget

STAND_IN = "runs at the post's own settings (these are smaller stand-ins)"
"""Why the runs of a study cannot decide an endpoint yet."""


def waits_for(budget: Budget) -> str:
    """What a claim about the post's own settings waits for: nothing where a budget trains these."""
    return "" if budget == "full" else STAND_IN
