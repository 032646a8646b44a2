"""When a run ends before its last step: once what it is watched for has been decided."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undergrowth.training.interventions.trigger import (
    History,
    crossing_in_words,
    has_crossed,
    must_read,
)
from undergrowth.training.setup import Setup
from undergrowth.values import Value


class Stop(Value):
    """Ends a run where a scalar reading has been at or beyond a level for `evaluations` in a row.

    after: evaluations before this step are not looked at, of the run or of its trunk; those of the trunk
    from there on count, so that a fork which changes nothing stops where its parent does. By default:
    when validation accuracy has been at 99 % ten times. A collapse after memorisation is
    `Stop(reading="train_accuracy", direction="below", level=0.5, evaluations=20, after=1000)`.

    A stopped run is, bit for bit, the beginning of the run without the rule. It is censored at its last
    step: what it would have done later is not known, a time that had come by then is.
    """

    reading: str = "val_accuracy"
    direction: Literal["above", "below"] = "above"
    level: float = 0.99
    evaluations: int = Field(default=10, ge=1)
    after: int = Field(default=0, ge=0)

    def fires(self, history: History) -> bool:
        """Whether a run ends here; only an evaluation can end it."""
        return has_crossed(self, history, self.after)

    def check(self, run: Setup, place: str) -> None:
        """Raise ValueError, in one line, where it cannot end this run; `place` is its field."""
        must_read(run, self.reading, f"{place}.reading")
        if self.after >= run.steps:
            raise ValueError(
                f"{place}.after = {self.after} is not before the last step, {run.steps}, so it would "
                "stop nothing: use an earlier step, or more steps"
            )

    def describe(self) -> str:
        """Why the run ended, in a few words."""
        return crossing_in_words(self)
