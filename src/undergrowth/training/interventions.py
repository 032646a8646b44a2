"""Interventions: a trigger (when) and an action (what), two separate values.

An action changes only what is traced (hyper-parameters in the optimiser's state, weights), so every
arm of an experiment runs the same compiled step, and an action that does nothing changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import optax
from pydantic import Field

from undergrowth.training.optimisers import NonNegative, Positive
from undergrowth.values import Value

Curve = Sequence[tuple[int, float]]


class AtStep(Value):
    """Fires once, before the update that leads from `step` to `step` + 1."""

    name: Literal["at_step"] = "at_step"
    step: int = Field(ge=0)

    def fires(self, step: int, curves: Mapping[str, Curve]) -> bool:
        """Whether to act now, given the curves read so far."""
        return step == self.step


class WhenCrosses(Value):
    """Fires once, when a scalar reading has been at or beyond a level for `evaluations` in a row.

    The resolution is the spacing of the evaluation schedule.
    """

    name: Literal["when_crosses"] = "when_crosses"
    reading: Literal["train_loss", "val_loss", "train_accuracy", "val_accuracy"]
    direction: Literal["above", "below"] = "above"
    level: float
    evaluations: int = Field(default=1, ge=1)

    def fires(self, step: int, curves: Mapping[str, Curve]) -> bool:
        """Whether to act now, given the curves read so far."""
        recent = curves.get(self.reading, ())[-self.evaluations :]
        if len(recent) < self.evaluations or recent[-1][0] != step:
            return False
        sign = 1 if self.direction == "above" else -1
        return all(sign * value >= sign * self.level for _, value in recent)


class NoOp(Value):
    """Does nothing: the matched control of every other action."""

    name: Literal["no_op"] = "no_op"

    def act(self, opt_state: optax.OptState) -> optax.OptState:
        """The optimiser's state after the action."""
        return opt_state


class ScaleLearningRate(Value):
    """Multiplies the learning rate.

    Under AdamW this also multiplies the pull of the decay, lr * weight_decay, unless
    `keep_decay_pull` divides the weight decay by the same factor.
    """

    name: Literal["scale_learning_rate"] = "scale_learning_rate"
    factor: Positive
    keep_decay_pull: bool = False

    def act(self, opt_state: optax.OptState) -> optax.OptState:
        """The optimiser's state after the action."""
        scaled: dict[str, Callable[[Any], Any]] = {"learning_rate": lambda lr: lr * self.factor}
        if self.keep_decay_pull:
            scaled["weight_decay"] = lambda decay: decay / self.factor
        return _with_hyperparams(opt_state, scaled)


class SetWeightDecay(Value):
    """Puts another weight decay in place of the present one."""

    name: Literal["set_weight_decay"] = "set_weight_decay"
    weight_decay: NonNegative

    def act(self, opt_state: optax.OptState) -> optax.OptState:
        """The optimiser's state after the action."""
        return _with_hyperparams(
            opt_state, {"weight_decay": lambda decay: 0 * decay + self.weight_decay}
        )


class Intervention(Value):
    """One action at one trigger."""

    trigger: Annotated[AtStep | WhenCrosses, Field(discriminator="name")]
    action: Annotated[NoOp | ScaleLearningRate | SetWeightDecay, Field(discriminator="name")]


def hyperparams(opt_state: optax.OptState) -> dict[str, float]:
    """The optimiser's hyper-parameters as they stand, such as learning_rate and weight_decay."""
    return {name: float(value) for name, value in _injected(opt_state).hyperparams.items()}


def _injected(opt_state: optax.OptState) -> Any:
    def is_injected(node: object) -> bool:
        return hasattr(node, "hyperparams")

    return next(n for n in jax.tree.leaves(opt_state, is_leaf=is_injected) if is_injected(n))


def _with_hyperparams(
    opt_state: optax.OptState, change: Mapping[str, Callable[[Any], Any]]
) -> optax.OptState:
    injected = _injected(opt_state)
    changed = {
        name: change[name](value) if name in change else value
        for name, value in injected.hyperparams.items()
    }

    def replace(node: Any) -> Any:
        return node._replace(hyperparams=changed) if node is injected else node

    return jax.tree.map(replace, opt_state, is_leaf=lambda node: node is injected)
