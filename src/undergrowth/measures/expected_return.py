"""What a policy earns on average, exactly: the learning curve of reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.reading import SIDES, Measure, Observed, Reading, scalar
from undergrowth.models import Model
from undergrowth.tasks import Gridworld, World


class ExpectedReturn(Measure):
    r"""The expected discounted return of the softmax policy at the run's temperature, by side.

    A mean over the task's starts, of the sparse reward whatever is trained on, computed exactly: with h
    steps left

    .. math:: V_h(s) = \sum_a \pi(a | s) \, (r(s, a) + \gamma V_{h-1}(s'))

    from V_0 = 0, in float64. Scaled so that the uniform policy has 0 and an optimal one 1; below 0
    is worse than chance. train_return is over the goals of the training side, val_return
    over those held out.
    """

    name: Literal["expected_return"] = "expected_return"

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("train_return", "val_return")

    @property
    def names(self) -> tuple[str, ...]:
        return self.scalars

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the task has no episodes, or a goal has states on both sides."""
        if not isinstance(run.task, Gridworld):
            raise ValueError(
                f"measure 'expected_return' needs episodes, and {run.task.describe()} has none: use "
                "task = { name = 'gridworld' }, or 'curves'"
            )
        if run.split.name != "whole_groups":
            raise ValueError(
                f"measure 'expected_return' needs all states of a goal on one side, and split.name = "
                f"{run.split.name!r} divides them: use split = {{ name = 'whole_groups' }}"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        assert isinstance(at.spec.task, Gridworld)
        task = at.spec.task.model_copy(update={"reward": "sparse"})
        logits = np.asarray(model(data.inputs), np.float64) / float(at.state.knobs["temperature"])
        policy = np.exp(logits - logits.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        return {
            f"{side}_return": scalar(scaled_return(policy[is_in], task.world(is_in)))
            for side, is_in in zip(SIDES, data.sides(), strict=True)
        }


def scaled_return(policy: np.ndarray, world: World) -> float:
    """The mean return over the starts of a policy [state, action]: 0 if uniform, 1 if optimal."""
    uniform = np.full_like(policy, 1 / policy.shape[1])
    chance = returns(uniform, world)[world.starts].mean()
    best = returns(None, world)[world.starts].mean()
    return float((returns(policy, world)[world.starts].mean() - chance) / (best - chance))


def returns(policy: np.ndarray | None, world: World) -> np.ndarray:
    """float64 [state]: the expected discounted return of an episode from each state; of the best policy
    where none is given.
    """
    discount = float(world.discounts[1]) if len(world.discounts) > 1 else 1.0
    value = np.zeros(len(world.next_state) + 1)  # the last place is that of an episode that is over
    for _ in world.discounts:
        of_action = world.reward + discount * value[world.next_state]
        value[:-1] = of_action.max(axis=1) if policy is None else (policy * of_action).sum(axis=1)
    return value[:-1]
