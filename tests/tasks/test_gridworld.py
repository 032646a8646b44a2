"""The gridworld: its table against a walk by hand, and its decision process."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from undergrowth.tasks import Gridworld, WholeGroups, make_data
from undergrowth.tasks.gridworld import ACTIONS, OVER

SIDE = 4
WORLD = Gridworld(side=SIDE)


def states(task: Gridworld) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(agent, goal) of each example, read from its inputs."""
    places = task.examples().inputs.reshape(-1, 4, task.side).argmax(axis=-1)
    return [((int(a), int(b)), (int(c), int(d))) for a, b, c, d in places]


def step(cell: tuple[int, int], action: int, side: int = SIDE) -> tuple[int, int]:
    row, column = cell[0] + ACTIONS[action][0], cell[1] + ACTIONS[action][1]
    return (row, column) if 0 <= row < side and 0 <= column < side else cell


def way(start: tuple[int, int], goal: tuple[int, int]) -> int:
    """The fewest steps, by breadth-first search."""
    seen, queue = {start: 0}, deque([start])
    while goal not in seen:
        cell = queue.popleft()
        for action in range(4):
            if (after := step(cell, action)) not in seen:
                seen[after] = seen[cell] + 1
                queue.append(after)
    return seen[goal]


def test_every_pair_of_different_cells_is_a_state() -> None:
    found = states(WORLD)
    assert len(found) == len(set(found)) == SIDE**2 * (SIDE**2 - 1)
    assert all(agent != goal for agent, goal in found)


def test_the_label_is_the_first_step_on_a_shortest_way() -> None:
    for (agent, goal), label in zip(states(WORLD), WORLD.examples().labels, strict=True):
        nearer = [a for a in range(4) if way(step(agent, a), goal) == way(agent, goal) - 1]
        assert label == nearer[0]


def test_the_groups_are_the_goals() -> None:
    goals = [goal for _, goal in states(WORLD)]
    groups = WORLD.groups()
    assert len(set(groups)) == SIDE**2
    assert all(
        (groups[i] == groups[j]) == (goals[i] == goals[j])
        for i in range(0, 240, 7)
        for j in range(0, 240, 11)
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_world_of_the_training_goals_steps_as_by_hand(seed: int) -> None:
    is_train = make_data(WORLD, WholeGroups(frac_train=0.6), "true", seed).is_train
    world = WORLD.world(is_train)
    inside = [state for state, trained in zip(states(WORLD), is_train, strict=True) if trained]
    for i, (agent, goal) in enumerate(inside):
        for action in range(4):
            after = step(agent, action)
            if after == goal:
                assert world.next_state[i, action] == OVER
                assert world.reward[i, action] == 1
            else:
                assert inside[world.next_state[i, action]] == (after, goal)
                assert world.reward[i, action] == 0
    assert (world.starts == np.arange(len(inside))).all()
    np.testing.assert_allclose(world.discounts, 0.9 ** np.arange(4 * (SIDE - 1)), rtol=1e-6)


def test_from_afar_all_episodes_start_in_a_corner_that_none_is_farther_than() -> None:
    task = Gridworld(side=SIDE, start="far_corner")
    everything = np.ones(len(states(task)), bool)
    world, found = task.world(everything), states(task)
    corners = [(r, c) for r in (0, SIDE - 1) for c in (0, SIDE - 1)]
    for i, (_, goal) in enumerate(found):
        start, its_goal = found[world.starts[i]]
        assert its_goal == goal
        farthest = max(way(corner, goal) for corner in corners)
        assert start == next(corner for corner in corners if way(corner, goal) == farthest)


def test_the_shaping_of_any_loop_or_way_adds_up_to_a_potential() -> None:
    """Discounted, a way from s to its goal earns its reward plus the distance at the start over side."""
    task = Gridworld(side=SIDE, reward="shaped")
    world, rng = task.world(np.ones(len(states(task)), bool)), np.random.default_rng(0)
    for state in rng.integers(len(states(task)), size=20):
        agent, goal = states(task)[state]
        total, discount, reached, here = 0.0, 1.0, 0.0, int(state)
        while here != OVER:
            action = int(rng.integers(4))
            total += discount * float(world.reward[here, action])
            here, reached = int(world.next_state[here, action]), discount
            discount *= task.discount
        assert total == pytest.approx(reached + way(agent, goal) / SIDE, abs=1e-5)


def test_states_of_one_goal_on_both_sides_are_refused_in_one_line() -> None:
    half = np.arange(len(states(WORLD))) % 2 == 0
    with pytest.raises(ValueError, match=r"both sides.*whole_groups") as caught:
        WORLD.world(half)
    assert "\n" not in str(caught.value)
