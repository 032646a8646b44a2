"""The policy gradient against the exact gradient of the expected return, by another road."""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.engine.test_loop import facts, observations
from undergrowth.engine import initial
from undergrowth.engine.facts import Measured
from undergrowth.measures import Context, ExpectedReturn, Observed
from undergrowth.measures.expected_return import returns, scaled_return
from undergrowth.spec import RunSpec, SpecError
from undergrowth.tasks import Gridworld, WholeGroups, World
from undergrowth.training.objectives.policy_gradient import policy_gradient

KEYS = 4000


def world_of(**fields: Any) -> World:
    task = Gridworld.model_validate({"side": 2, "horizon": 3, "discount": 0.8, **fields})
    return task.world(np.ones(len(task.examples()), bool))


def by_trajectories(logits: np.ndarray, world: World) -> float:
    """The expected return, summed over every sequence of actions: not by recursion, as the code's."""
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    total = 0.0
    for start in world.starts:
        for actions in product(range(4), repeat=len(world.discounts)):
            state, probability, earned = int(start), 1.0, 0.0
            for action, discount in zip(actions, world.discounts.astype(np.float64), strict=True):
                if state < 0:
                    probability *= 0.25  # whatever follows the end: all continuations add up to 1
                    continue
                probability *= policy[state, action]
                earned += discount * float(world.reward[state, action])
                state = int(world.next_state[state, action])
            total += probability * earned
    return total / len(world.starts)


def exact_gradient(logits: np.ndarray, world: World, h: float = 1e-5) -> np.ndarray:
    """By central differences in float64."""
    gradient = np.zeros_like(logits)
    for at in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += h
        down[at] -= h
        gradient[at] = (by_trajectories(up, world) - by_trajectories(down, world)) / (2 * h)
    return gradient


@pytest.mark.parametrize(
    "fields",
    [{}, {"start": "far_corner"}, {"start": "far_corner", "reward": "shaped"}],
    ids=["anywhere", "far corner", "shaped"],
)
def test_its_mean_over_many_draws_is_the_exact_gradient(fields: dict[str, Any]) -> None:
    """Within five standard errors at every logit, and within 4 % altogether."""
    world = world_of(**fields)
    logits = 0.7 * np.random.default_rng(0).standard_normal(world.next_state.shape)
    on_device = jax.tree.map(jnp.asarray, world)
    sampled = jax.jit(
        jax.vmap(jax.value_and_grad(policy_gradient), (None, None, 0)),
    )
    keys = jax.random.split(jax.random.key(0), KEYS)
    losses, gradients = map(np.asarray, sampled(jnp.asarray(logits, jnp.float32), on_device, keys))
    mean, error = gradients.mean(axis=0), gradients.std(axis=0) / np.sqrt(KEYS)
    expected = -exact_gradient(logits, world)
    assert (np.abs(mean - expected) <= 5 * error + 1e-6).all()
    assert np.linalg.norm(mean - expected) < 0.04 * np.linalg.norm(expected)
    loss_error = losses.std() / np.sqrt(KEYS)
    assert losses.mean() == pytest.approx(-by_trajectories(logits, world), abs=5 * loss_error)


def test_returns_by_recursion_are_those_of_all_trajectories() -> None:
    world = world_of(start="far_corner")
    logits = np.random.default_rng(1).standard_normal(world.next_state.shape)
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = returns(policy, world)[world.starts].mean()
    assert found == pytest.approx(by_trajectories(logits, world), rel=1e-6)


def test_an_endless_return_solves_the_linear_system() -> None:
    """With time enough V = (I - gamma P)^-1 r."""
    world = world_of(horizon=32, discount=0.5)
    policy = np.random.default_rng(2).dirichlet(np.ones(4), len(world.next_state))
    n = len(policy)
    moves = np.zeros((n, n))
    for state, action in np.argwhere(world.next_state >= 0):
        moves[state, world.next_state[state, action]] += policy[state, action]
    earned = (policy * world.reward).sum(axis=1)
    np.testing.assert_allclose(
        returns(policy, world), np.linalg.solve(np.eye(n) - 0.5 * moves, earned), rtol=1e-6
    )


@pytest.mark.parametrize("start", ["anywhere", "far_corner"])
def test_the_optimal_return_has_its_closed_form(start: str) -> None:
    """discount^(distance - 1): the labels' own policy earns it."""
    task = Gridworld.model_validate({"side": 4, "start": start})
    examples = task.examples()
    world = task.world(np.ones(len(examples), bool))
    places = examples.inputs.reshape(-1, 4, 4).argmax(axis=-1)
    distance = np.abs(places[:, :2] - places[:, 2:]).sum(axis=1)
    np.testing.assert_allclose(returns(None, world), 0.9 ** (distance - 1.0), rtol=1e-6)
    labels = np.eye(4)[examples.labels]
    np.testing.assert_allclose(returns(labels, world), returns(None, world), rtol=1e-12)
    assert scaled_return(labels, world) == pytest.approx(1)
    assert scaled_return(np.full((len(labels), 4), 0.25), world) == pytest.approx(0)


def spec(**fields: Any) -> RunSpec:
    every = {"every": 10, "until": 1000, "per_decade": 1}
    return RunSpec.from_dict(
        {
            "task": {"name": "gridworld", "side": 3},
            "split": {"name": "whole_groups", "frac_train": 0.7},
            "model": {"name": "mlp", "d_mlp": 8, "n_hidden": 1},
            "loss": "policy_gradient",
            "optimiser": {"name": "adamw", "lr": 0.02, "weight_decay": 0.1},
            "steps": 30,
            "measures": [
                {"name": "curves", "schedule": every},
                {"name": "expected_return", "schedule": every},
            ],
            "checkpoints": every,
            **fields,
        }
    )


def test_a_policy_learns_and_its_return_is_measured_on_both_sides() -> None:
    whole = facts(spec(steps=200))
    readings = [fact.readings for fact in whole if isinstance(fact, Measured)]
    measured = [of_step for of_step in readings if "train_return" in of_step]
    first, last = measured[0], measured[-1]
    assert abs(float(first["train_return"].values)) < 0.5
    assert float(last["train_return"].values) > 0.8
    assert set(last) == {"train_return", "val_return"}


def never() -> Any:
    raise AssertionError("a return needs no update and no gradient")


def test_the_measure_reads_the_sparse_return_at_the_runs_temperature() -> None:
    run = spec(task={"name": "gridworld", "side": 3, "reward": "shaped"}, temperature=2.0)
    state, data = initial(run).state, run.data()
    model, at = state.model, Context(0, np.random.default_rng(0), run, state, never, never)
    found = ExpectedReturn().observe(model, Observed.of(data), at)
    logits = np.asarray(model(jnp.asarray(data.inputs)), np.float64) / 2
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    world = Gridworld(side=3).world(data.is_val)
    assert float(found["val_return"].values) == pytest.approx(
        scaled_return(policy[data.is_val], world), rel=1e-4
    )


def test_the_same_run_twice_is_the_same_to_the_bit_and_another_noise_seed_is_not() -> None:
    one, again = (observations(facts(spec())) for _ in range(2))
    assert one == again
    assert one != observations(facts(spec(seeds={"model": 0, "data": 0, "noise": 1})))


REFUSED: dict[str, dict[str, Any]] = {
    "a task with episodes": {"task": {"name": "digits"}, "measures": [{"name": "curves"}]},
    "all states of a goal on one side": {
        "split": {"name": "leaky_random"},
        "measures": [{"name": "curves"}],
    },
    "use batch = ": {"batch": {"name": "mini", "batch_size": 4}},
    "ignores labels": {"labels": "shuffled"},
    "ignores label_noise": {"label_noise": 0.1},
    "ignores weights": {"weights": {"name": "power_law"}},
    "'sharpness' needs losses of examples": {"measures": [{"name": "curves"}, {"name": "sharpness"}]},
    "measure 'ledger' needs losses of examples": {"measures": [{"name": "curves"}, {"name": "ledger"}]},
    "would divide the states": {
        "interventions": [
            {"trigger": {"name": "at_step", "step": 3}, "action": {"name": "set_data", "keep": 0.5}}
        ]
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_policy_gradient_cannot_be_taken_of_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        spec(**REFUSED[message])
    assert "\n" not in str(caught.value)


def test_the_return_of_what_has_no_episodes_is_refused() -> None:
    with pytest.raises(SpecError, match="needs episodes, and 8x8 digits has none"):
        spec(loss="cross_entropy", task={"name": "digits"})
    with pytest.raises(SpecError, match="'expected_return' needs all states of a goal on one side"):
        spec(loss="cross_entropy", split={"name": "leaky_random"})


def test_split_keeps_whole_goals() -> None:
    run = spec(split={"name": "whole_groups", "frac_train": 0.7})
    assert isinstance(run.split, WholeGroups)
    goals = Gridworld(side=3).groups()
    data = run.data()
    assert not set(goals[data.is_train]) & set(goals[data.is_val])
    assert data.n_train == 6 * 8
