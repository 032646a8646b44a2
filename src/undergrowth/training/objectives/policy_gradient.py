"""The loss of reinforcement learning: episodes of the policy itself, and what each action led to."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from undergrowth.models import Model
from undergrowth.tasks import Equal, Gridworld, Task, WholeGroups, World
from undergrowth.training.batches import FullBatch
from undergrowth.training.interventions.action import RegimeAction
from undergrowth.training.noise import key_for
from undergrowth.training.objectives.objective import Forward, IntervenedRun, Objective, TrainSet


class PolicyGradient(Objective):
    """Minus the mean return of sampled episodes: of all states at once, for one leads to another, and of
    no label.
    """

    unit = "whole episodes"

    def check(self, run: IntervenedRun) -> None:
        """Raise ValueError where a run has no whole episodes, or says what has no effect on them."""
        if not isinstance(run.task, Gridworld):
            raise ValueError(
                f"loss = 'policy_gradient' needs a task with episodes, and {run.task.describe()} has "
                "none: use task = { name = 'gridworld' }"
            )
        if not isinstance(run.split, WholeGroups):
            raise ValueError(
                f"loss = 'policy_gradient' needs all states of a goal on one side, and split.name = "
                f"{run.split.name!r} divides them: use split = {{ name = 'whole_groups' }}"
            )
        if not isinstance(run.batch, FullBatch):
            raise ValueError(
                f"loss = 'policy_gradient' plays episodes through all states, not batch.name = "
                f"{run.batch.name!r} of them: use batch = {{ name = 'full' }}"
            )
        unread = {"labels": run.labels != "true", "label_noise": run.label_noise > 0}
        unread["weights"] = not isinstance(run.weights, Equal)
        for field in (field for field, is_set in unread.items() if is_set):
            raise ValueError(f"loss = 'policy_gradient' ignores {field}: leave it at its default")
        for i, intervention in enumerate(run.interventions):
            if isinstance(intervention.action, RegimeAction) or intervention.action.takes_examples:
                raise ValueError(
                    f"interventions.{i}.action.name = {intervention.action.name!r} would divide the "
                    "states that loss = 'policy_gradient' plays through: remove it, or use another loss"
                )

    def world(self, task: Task, is_train: np.ndarray) -> World:
        assert isinstance(task, Gridworld)
        return task.world(is_train)

    def gradient(
        self, model: Model, examples: TrainSet, forward: Forward, noise: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Model]:
        world = examples.world
        assert world is not None

        def of_episodes(model: Model) -> Array:
            logits = forward(model, examples.inputs, noise)
            return policy_gradient(logits, world, key_for("episodes", noise))

        return eqx.filter_value_and_grad(of_episodes)(model)


def policy_gradient(
    logits: Float[Array, "state action"], world: World, key: PRNGKeyArray
) -> Float[Array, ""]:
    r"""Minus the mean discounted return of one sampled episode from each start; its gradient is
    REINFORCE's (Williams 1992), an unbiased one of the expected return.

    Logits are those of all states of the world, so an episode is played from the table. With G_t the
    discounted rewards from step t on, counted from the start of the episode, and b_t their mean over
    the other episodes, of which an episode that is over has none,

    .. math:: -\frac{1}{n} \sum_{\text{episodes}} \sum_t \nabla \log \pi(a_t | s_t) (G_t - b_t).
    """
    table = jax.nn.log_softmax(logits, axis=1)
    states, actions, rewards = _played(jax.lax.stop_gradient(table), world, key)
    to_go = jnp.cumsum((rewards * world.discounts[:, None])[::-1], axis=0)[::-1]
    n = len(world.starts)
    others = (jnp.sum(to_go, axis=1, keepdims=True) - to_go) / max(n - 1, 1)
    advantage = jnp.where(states >= 0, to_go - others, 0) / n
    # One sum by state and action, so that the gradient of the table is an array and no scatter.
    pull = jnp.zeros_like(table).at[states, actions].add(advantage)
    surrogate = jnp.sum(pull * table)
    return jax.lax.stop_gradient(surrogate - jnp.mean(to_go[0])) - surrogate


def _played(
    table: Float[Array, "state action"], world: World, key: PRNGKeyArray
) -> tuple[Int[Array, "step episode"], Int[Array, "step episode"], Float[Array, "step episode"]]:
    """States (negative once it is over), actions and rewards of one episode from each start."""

    def step(state: Array, key: PRNGKeyArray) -> tuple[Array, tuple[Array, Array, Array]]:
        action = jax.random.categorical(key, table[state])
        is_on = state >= 0
        reward = jnp.where(is_on, world.reward[state, action], 0)
        after = jnp.where(is_on, world.next_state[state, action], state)
        return after, (state, action, reward)

    keys = jax.random.split(key, len(world.discounts))
    return jax.lax.scan(step, jnp.asarray(world.starts), keys)[1]
