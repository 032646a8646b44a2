"""The loss of reinforcement learning: episodes of the policy itself, and what each action led to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from undergrowth.tasks import World


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
