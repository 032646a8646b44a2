"""What a task is: a finite table of inputs and labels, every cell of which can be enumerated."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from undergrowth.values import Value

UNDEFINED = -1


@dataclass(frozen=True)
class Tokens:
    """Inputs are two operand tokens, each in [0, n_operands): int32 [example, 2]."""

    n_operands: int

    def describe(self) -> str:
        """The inputs in words, for messages."""
        return f"two tokens out of {self.n_operands}"


@dataclass(frozen=True)
class Features:
    """Inputs are real numbers: float32 [example, n_features]."""

    n_features: int

    def describe(self) -> str:
        """The inputs in words, for messages."""
        return f"{self.n_features} numbers"


InputSpace = Tokens | Features


@dataclass(frozen=True, eq=False)
class Examples:
    """Every input of a task, in a fixed order, with its true label; do not write into them.

    inputs: int32 [example, 2], two operand tokens, or float32 [example, feature]; labels: int32
    [example], in [0, n_labels).
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


class Task(Value):
    """A finite list of examples; a final subclass adds a literal field `name` and its parameters."""

    @property
    @abstractmethod
    def input_space(self) -> InputSpace:
        """What an input is, which decides the models that can learn the task."""

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """Number of labels, which are 0 .. n_labels - 1; chance accuracy is 1 / n_labels."""

    @abstractmethod
    def describe(self) -> str:
        """The task in the words of a figure's title, such as `x+y mod 59`."""

    @abstractmethod
    def examples(self) -> Examples:
        """All inputs with their true labels, the same ones in the same order at each call."""

    def groups(self) -> np.ndarray:
        """int [example]: equal for examples that belong together, such as those of one piece of text."""
        return np.arange(len(self.examples()))


class Operation(Task):
    """A binary operation given by its whole table."""

    @abstractmethod
    def table(self) -> np.ndarray:
        """Labels, int32 [n_operands, n_operands]; `UNDEFINED` (-1) where the operation has none."""

    @property
    @abstractmethod
    def n_operands(self) -> int:
        """Number of operand tokens, which are 0 .. n_operands - 1."""

    @property
    def input_space(self) -> Tokens:
        return Tokens(self.n_operands)

    def examples(self) -> Examples:
        """All defined cells of the table in row-major order."""
        table = self.table()
        inputs = np.argwhere(table != UNDEFINED).astype(np.int32)
        return Examples(inputs, table[inputs[:, 0], inputs[:, 1]].astype(np.int32))
