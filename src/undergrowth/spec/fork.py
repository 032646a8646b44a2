"""Where a run branches off another."""

from __future__ import annotations

from pydantic import Field

from undergrowth.training.interventions import AnyForkPoint, AtStep
from undergrowth.values import Value


class Fork(Value):
    """Where a run branches off another: they share the trunk up to there, which is computed once.

    of: the parent's id; at: a step or an event of the parent, from which on updates are the run's own.
    """

    of: str = Field(pattern=r"^[0-9a-f]{16}$")
    at: AnyForkPoint

    def check(self, steps: int) -> None:
        """Raise ValueError where a run of so many steps has none left: what can be said without the
        parent. `parents.check_parent` says the rest.
        """
        if isinstance(self.at, AtStep) and self.at.step >= steps:
            raise ValueError(
                f"fork.at.step = {self.at.step} leaves nothing to do in this run of {steps} steps: "
                f"fork before step {steps}, or give it more steps"
            )
