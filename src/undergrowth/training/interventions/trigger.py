"""Triggers: when to act. Each is a pure function of a run's history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import Field

from undergrowth.training.setup import Setup
from undergrowth.training.state import Curve
from undergrowth.values import Value


@dataclass(frozen=True, eq=False)
class History:
    """What a trigger knows of a run.

    step: where it is; curves: its scalar readings so far; fired: at which step each of its
    interventions (by position) fired; forked_at: where it left its parent, None where it has none, and
    to an intervention that it has from a parent where that one left its own.
    """

    step: int
    curves: Mapping[str, Curve] = field(default_factory=dict)
    fired: Mapping[int, int] = field(default_factory=dict)
    forked_at: int | None = None


class Trigger(Value):
    """A rule for when to act. It fires once; the engine asks it at every step of interest."""

    @abstractmethod
    def fires(self, history: History) -> bool:
        """Whether to act now."""

    def due(self, history: History) -> int | None:
        """The step at which it will fire, where that is known beforehand: the engine stops there."""
        return None

    def check(self, run: Setup, place: str) -> None:
        """Raise ValueError, in one line, where it cannot fire in this run; `place` is its field."""

    @abstractmethod
    def describe(self) -> str:
        """When, in a few words, to follow what is done."""


class AtStep(Trigger):
    """Fires before the update that leads from `step` to `step` + 1."""

    name: Literal["at_step"] = "at_step"
    step: int = Field(ge=0)

    def fires(self, history: History) -> bool:
        return history.step == self.step

    def due(self, history: History) -> int | None:
        return self.step

    def describe(self) -> str:
        return f"at step {self.step}"

    def check(self, run: Setup, place: str) -> None:
        if self.step >= run.steps:
            raise ValueError(
                f"{place}.step = {self.step} is past the last update, which "
                f"leads from step {run.steps - 1} to {run.steps}: take a step below {run.steps}, "
                "or more steps"
            )


class WhenCrosses(Trigger):
    """Fires when a scalar reading has been at or beyond a level for `evaluations` in a row.

    The resolution is the spacing of the evaluation schedule.
    """

    name: Literal["when_crosses"] = "when_crosses"
    reading: str
    direction: Literal["above", "below"] = "above"
    level: float
    evaluations: int = Field(default=1, ge=1)

    def fires(self, history: History) -> bool:
        return has_crossed(self, history)

    def describe(self) -> str:
        return f"at {crossing_in_words(self)}"

    def check(self, run: Setup, place: str) -> None:
        must_read(run, self.reading, f"{place}.reading")


class Crossing(Protocol):
    """A scalar reading at or beyond a level for `evaluations` in a row, by whatever rule asks for it."""

    reading: str
    direction: Literal["above", "below"]
    level: float
    evaluations: int


def has_crossed(wanted: Crossing, history: History, since: int = 0) -> bool:
    """Whether it is so at this very evaluation, with all of them at steps from `since` on."""
    recent = history.curves.get(wanted.reading, ())[-wanted.evaluations :]
    if len(recent) < wanted.evaluations or recent[-1][0] != history.step or recent[0][0] < since:
        return False
    sign = 1 if wanted.direction == "above" else -1
    return all(sign * value >= sign * wanted.level for _, value in recent)


def crossing_in_words(wanted: Crossing) -> str:
    """The reading, the level and how many times running."""
    sign = "≥" if wanted.direction == "above" else "≤"
    times = f" {wanted.evaluations} times running" if wanted.evaluations > 1 else ""
    return f"{wanted.reading} {sign} {wanted.level:.6g}{times}"


class OnOnset(Trigger):
    """Fires when validation starts to improve after memorisation, by a named rule.

    Memorised: train_accuracy >= `memorised`. rule = "accuracy": val_accuracy is above its level at that
    evaluation by more than `margin`. rule = "loss": val_loss is below its highest value since then by
    more than the share `margin` of it. Either must hold for `evaluations` in a row. The
    definition of onset affects conclusions, so the rule is part of the run.
    """

    name: Literal["on_onset"] = "on_onset"
    rule: Literal["accuracy", "loss"] = "accuracy"
    margin: float = Field(default=0.05, gt=0, lt=1)
    memorised: float = Field(default=0.99, gt=0, le=1)
    evaluations: int = Field(default=2, ge=1)

    def fires(self, history: History) -> bool:
        train = history.curves.get("train_accuracy", ())
        since = next((step for step, value in train if value >= self.memorised), None)
        curve = history.curves.get("val_accuracy" if self.rule == "accuracy" else "val_loss", ())
        if since is None or not curve or curve[-1][0] != history.step:
            return False
        after = [value for step, value in curve if step >= since]
        return len(after) > self.evaluations and all(
            self._has_set_off(after[:n])
            for n in range(len(after) - self.evaluations + 1, len(after) + 1)
        )

    def describe(self) -> str:
        return f"at onset by {self.rule}"

    def _has_set_off(self, values: list[float]) -> bool:
        if self.rule == "accuracy":
            return values[-1] > values[0] + self.margin
        return values[-1] < (1 - self.margin) * max(values)


class AfterIntervention(Trigger):
    """Fires `steps` steps after another intervention of the run, named by its position from 0."""

    name: Literal["after_intervention"] = "after_intervention"
    intervention: int = Field(ge=0)
    steps: int = Field(ge=1)

    def fires(self, history: History) -> bool:
        return self.due(history) == history.step

    def due(self, history: History) -> int | None:
        fired = history.fired.get(self.intervention)
        return None if fired is None else fired + self.steps

    def describe(self) -> str:
        return f"{self.steps} steps after intervention {self.intervention}"

    def check(self, run: Setup, place: str) -> None:
        own = int(place.split(".")[1])
        if self.intervention >= own:
            raise ValueError(
                f"{place}.intervention = {self.intervention} does not come before "
                f"interventions.{own} itself: name a position below {own}"
            )


class AfterFork(Trigger):
    """Fires `steps` steps after the run forked from its parent; 0: at the fork itself."""

    name: Literal["after_fork"] = "after_fork"
    steps: int = Field(default=0, ge=0)

    def fires(self, history: History) -> bool:
        return self.due(history) == history.step

    def due(self, history: History) -> int | None:
        return None if history.forked_at is None else history.forked_at + self.steps

    def describe(self) -> str:
        return f"{self.steps} steps after the fork" if self.steps else ""

    def check(self, run: Setup, place: str) -> None:
        if run.fork is None:
            raise ValueError(
                f"{place}.name = 'after_fork': this run is not a fork: give it a fork, "
                "or take { name = 'at_step', step = ... }"
            )


def first_step(trigger: Trigger, curves: Mapping[str, Curve], since: int = 0) -> int | None:
    """The first step from `since` on at which a trigger fires that looks at nothing but the step and the
    curves, on those of a whole run; None if at none.
    """
    if isinstance(trigger, AtStep):
        return trigger.step if trigger.step >= since else None
    so_far: dict[str, list[tuple[int, float]]] = {name: [] for name in curves}
    left = {name: list(reversed(curve)) for name, curve in curves.items()}
    for step in sorted({step for curve in curves.values() for step, _ in curve}):
        for name, rest in left.items():
            while rest and rest[-1][0] <= step:
                so_far[name].append(rest.pop())
        if step >= since and trigger.fires(History(step, so_far)):
            return step
    return None


def must_read(run: Setup, reading: str, place: str) -> None:
    """Raise ValueError, in one line, where no measure of a run reads a number; `place` is its field."""
    if reading not in run.scalars:
        raise ValueError(
            f"{place} = {reading!r}: no measure of this run gives such a number: "
            f"use one of {', '.join(sorted(run.scalars))}, or add the measure"
        )
