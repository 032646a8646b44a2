"""Which examples are trained on: a split is a rule, a share and a seed, or a list."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from undergrowth.kinds import OneOf
from undergrowth.tasks.task import Operation, Task
from undergrowth.values import Value

FracTrain = Annotated[float, Field(gt=0, lt=1)]


class Split(Value):
    """A rule for the training side; a final subclass adds a literal field `name` and its parameters."""

    @abstractmethod
    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""


class CommutationSafe(Split):
    """(x, y) and (y, x) stay on one side whenever they have the same true label.

    With a plain random split of a commutative task, half of validation has its swap in training and
    can be answered without generalising. Here no validation example has a swap of equal label in
    training, whatever the task. The training side holds frac_train of all examples, rounded (one less
    if only pairs are left to choose from).
    """

    name: Literal["commutation_safe"] = "commutation_safe"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(_swap_groups(task), self.frac_train, rng)


class LeakyRandom(Split):
    """Each example independently at random: for a commutative task this **leaks** swaps to validation.

    Named so because most published runs use it (Nanda et al. 2023 among them): use it to reproduce
    them or to study the leak.
    """

    name: Literal["leaky_random"] = "leaky_random"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(np.arange(len(task.examples())), self.frac_train, rng)


class WholeGroups(Split):
    """All examples of a group of the task are on one side: a goal of a gridworld, a block of a text.

    Groups are defined by the task; if it has none, each example is one, as in `LeakyRandom`.
    """

    name: Literal["whole_groups"] = "whole_groups"
    frac_train: FracTrain = 0.7

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        return _take_groups(task.groups(), self.frac_train, rng)


class Shuffled(Split):
    """The first frac_train of all examples, rounded down, as another library shuffles them with `seed`.

    To train and measure on the very split of a published network; like `LeakyRandom` it **leaks** swaps.
    by: `python`, `random.seed(seed)` and `random.shuffle` of the list of examples (Nanda et al. 2023);
    `torch`, `torch.manual_seed(seed)` and `torch.randperm` on a CPU (Chughtai et al. 2023). The seed is
    this split's own: that of the run's data draws all else.
    """

    name: Literal["shuffled"] = "shuffled"
    frac_train: FracTrain = 0.3
    by: Literal["python", "torch"] = "python"
    seed: int = Field(default=0, ge=0)

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]: True where the example is trained on."""
        n = len(task.examples())
        order = _python_shuffle(n, self.seed) if self.by == "python" else _torch_randperm(n, self.seed)
        is_train = np.zeros(n, bool)
        is_train[list(order[: int(self.frac_train * n)])] = True
        return is_train


class GivenSplit(Split):
    """The examples that are listed are trained on, all others are validation.

    train: one bit an example of the task, in the order of `task.examples()`, in hexadecimal digits, the
    first example the highest bit of the first digit; the bits that fill the last byte are 0. `of` makes
    one from a list of inputs.
    """

    name: Literal["given"] = "given"
    train: str

    @field_validator("train", mode="after")
    @classmethod
    def _is_hexadecimal(cls, train: str) -> str:
        try:
            return bytes.fromhex(train).hex()
        except ValueError:
            raise ValueError(
                "train must be pairs of hexadecimal digits, one bit an example: make it with "
                "GivenSplit.of(task, inputs)"
            ) from None

    @classmethod
    def of(cls, task: Task, inputs: Iterable[Iterable[int | float]]) -> GivenSplit:
        """The split that trains on these inputs: pairs of tokens, or rows of numbers.

        Raises ValueError for one that is none of the task's.
        """
        place = {tuple(row): i for i, row in enumerate(task.examples().inputs.tolist())}
        is_train = np.zeros(len(place), bool)
        for row in inputs:
            if tuple(row) not in place:
                raise ValueError(
                    f"{str(tuple(row))[:60]} is no example of {task.describe()}: leave it out"
                )
            is_train[place[tuple(row)]] = True
        return cls.of_mask(is_train)

    @classmethod
    def of_mask(cls, is_train: np.ndarray) -> GivenSplit:
        """The split of bool [example]: True where the example is trained on."""
        return cls(train=np.packbits(is_train).tobytes().hex())

    @property
    def frac_train(self) -> float:
        """The share of the bits that are set."""
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.train), np.uint8))
        return float(bits.mean()) if len(bits) else 0.0

    def train_mask(self, task: Task, rng: np.random.Generator) -> np.ndarray:
        """bool [example]; raises ValueError where there is not a bit for each example."""
        n = len(task.examples())
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.train), np.uint8))
        if len(bits) != (n + 7) // 8 * 8 or bits[n:].any():
            raise ValueError(
                f"split.train has {len(bits)} bits, and {task.describe()} {n} examples: give one bit "
                "per example, in the order of task.examples(): GivenSplit.of makes it"
            )
        return bits[:n].astype(bool)


AnySplit = Annotated[
    CommutationSafe | LeakyRandom | WholeGroups | Shuffled | GivenSplit, OneOf(Split, "split")
]


@lru_cache(maxsize=64)
def _python_shuffle(n: int, seed: int) -> tuple[int, ...]:
    """`random.seed(seed); random.shuffle(list(range(n)))`, which no version of Python 3 has changed."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return tuple(order)


@lru_cache(maxsize=64)
def _torch_randperm(n: int, seed: int) -> tuple[int, ...]:
    """`torch.manual_seed(seed); torch.randperm(n)` on a CPU: a swap with what follows for each place,
    by the 32 bits of a Mersenne twister, modulo how much follows.
    """
    twister = np.random.MT19937()
    twister._legacy_seeding(seed)
    order = list(range(n))
    for place, bits in enumerate(twister.random_raw(max(n - 1, 0)).tolist()):
        other = place + bits % (n - place)
        order[place], order[other] = order[other], order[place]
    return tuple(order)


def _swap_groups(task: Task) -> np.ndarray:
    """int [example]: equal for two examples that are each other's swap and have the same label."""
    examples = task.examples()
    if not isinstance(task, Operation):
        return np.arange(len(examples))
    table = task.table()
    x, y = examples.inputs.T.astype(np.int64)
    swap_has_same_label = table[y, x] == table[x, y]
    x, y = np.where(swap_has_same_label & (x > y), (y, x), (x, y))
    return np.unique(x * task.n_operands + y, return_inverse=True)[1]


def _take_groups(group: np.ndarray, frac_train: float, rng: np.random.Generator) -> np.ndarray:
    """Whole groups in random order into training, each that still fits frac_train of all examples.

    Runs that differ only in their seeds thus have equally many training examples (and so share one
    compiled step), as long as there are groups of one.
    """
    sizes = np.bincount(group)
    room = int(frac_train * len(group) + 0.5)
    taken = np.zeros(len(sizes), bool)
    for candidate in rng.permutation(len(sizes)):
        if sizes[candidate] <= room:
            taken[candidate] = True
            room -= sizes[candidate]
    return taken[group]
