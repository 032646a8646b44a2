"""A walk to a goal on a small square of cells: as small as reinforcement learning comes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from undergrowth.tasks.task import Examples, Features, Task

ACTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right, as changes of (row, column)."""
OVER = -1
"""In the place of the next state: the goal is reached."""


class World(NamedTuple):
    """The states of some goals as a decision process; a state is a place among their examples.

    next_state: int32 [state, action], `OVER` where the goal is reached; reward: float32 [state,
    action], as trained on; starts: int32 [episode], where each episode of an update begins; discounts:
    float32 [step], what a reward counts at each step of an episode, which has no further ones.
    """

    next_state: np.ndarray
    reward: np.ndarray
    starts: np.ndarray
    discounts: np.ndarray


class Gridworld(Task):
    """The path to a goal cell on side x side cells without walls, by steps up, down, left or right.

    An example is a state: where the agent is and where its goal is, two different cells, as four
    one-hot vectors laid end to end: float32 [example, 4 side], the agent's row and column and the
    goal's. (As tokens, a held-out goal would have an embedding that nothing trains.) Its label, to
    imitate, is the first in the order up, down, left, right of the steps that come nearer to the goal.
    The goals are the groups. A step into the border stays in place.

    `start`, `reward`, `discount` and `horizon` matter only to the loss `policy_gradient` and the measure
    `expected_return`. An episode ends at the goal, or after horizon x (side - 1) steps. start:
    `anywhere`, one episode from every state, so no exploration is needed; `far_corner`, all
    episodes from the corner farthest from their goal (the first in the order of cells). Both have the
    same number of episodes per update. reward: `sparse`, 1 on reaching the goal; `shaped`, besides the
    discounted gain in nearness, which changes no optimal policy (Ng, Harada & Russell 1999).
    """

    name: Literal["gridworld"] = "gridworld"
    side: int = Field(default=5, ge=2, le=32)
    start: Literal["anywhere", "far_corner"] = "anywhere"
    reward: Literal["sparse", "shaped"] = "sparse"
    discount: float = Field(default=0.9, gt=0, le=1)
    horizon: int = Field(default=4, ge=2, le=32)

    @property
    def input_space(self) -> Features:
        return Features(4 * self.side)

    @property
    def n_labels(self) -> int:
        return len(ACTIONS)

    def describe(self) -> str:
        kind = " from the far corner" if self.start == "far_corner" else ""
        shaped = ", shaped reward" if self.reward == "shaped" else ""
        return f"{self.side}x{self.side} gridworld{kind}{shaped}"

    def examples(self) -> Examples:
        agent, goal = self._states()
        where = np.concatenate([agent, goal], axis=1)
        inputs = np.eye(self.side, dtype=np.float32)[where].reshape(len(where), -1)
        nearer = _distance(self._moved(agent), goal[:, None]) < _distance(agent, goal)[:, None]
        return Examples(inputs, nearer.argmax(axis=1).astype(np.int32))

    def groups(self) -> np.ndarray:
        _, goal = self._states()
        return self._cell(goal)

    def world(self, among: np.ndarray) -> World:
        """The decision process of the goals of some examples (bool [example]), numbered among them.

        Raises ValueError where a goal has some of its states there and others not.
        """
        agent, goal = self._states()
        cells = self.side**2
        key = self._cell(goal) * cells
        place = np.full(cells * cells, OVER)
        place[(key + self._cell(agent))[among]] = np.arange(among.sum())
        agent, goal, key = agent[among], goal[among], key[among]
        moved = self._moved(agent)
        reached = (moved == goal[:, None]).all(axis=-1)
        next_state = np.where(reached, OVER, place[key[:, None] + self._cell(moved)])
        if ((next_state == OVER) & ~reached).any():
            raise ValueError(
                "states of one goal are on both sides, so an episode would leave the training side: "
                "take split = { name = 'whole_groups' }"
            )
        far = _distance(agent, goal)
        reward = reached.astype(np.float64)
        if self.reward == "shaped":
            reward += (far[:, None] - self.discount * _distance(moved, goal[:, None])) / self.side
        starts = np.arange(len(agent))
        if self.start == "far_corner":
            starts = place[key + self._cell(_farthest_corner(goal, self.side))]
        discounts = self.discount ** np.arange(self.horizon * (self.side - 1))
        return World(
            next_state.astype(np.int32),
            reward.astype(np.float32),
            starts.astype(np.int32),
            discounts.astype(np.float32),
        )

    def _states(self) -> tuple[np.ndarray, np.ndarray]:
        """int [state, 2]: (row, column) of agent and of goal, goal by goal."""
        cells = np.indices((self.side, self.side)).reshape(2, -1).T
        goal, agent = np.repeat(cells, len(cells), axis=0), np.tile(cells, (len(cells), 1))
        apart = (goal != agent).any(axis=1)
        return agent[apart], goal[apart]

    def _cell(self, where: np.ndarray) -> np.ndarray:
        """int [...]: the number of a cell [..., 2]."""
        return where[..., 0] * self.side + where[..., 1]

    def _moved(self, agent: np.ndarray) -> np.ndarray:
        """int [state, action, 2]: where each step leads."""
        return np.clip(agent[:, None] + np.array(ACTIONS), 0, self.side - 1)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).sum(axis=-1)


def _farthest_corner(goal: np.ndarray, side: int) -> np.ndarray:
    """int [state, 2]; rows and columns are apart, and the first of two that are equally far is 0."""
    return np.where(goal * 2 >= side - 1, 0, side - 1)
