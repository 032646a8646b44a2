"""What is learned: operations and lists of examples, how they are split, labelled and weighted."""

from typing import Annotated

from undergrowth.kinds import OneOf
from undergrowth.tasks.boolean_function import BooleanFunction
from undergrowth.tasks.characters import Characters
from undergrowth.tasks.data import Data, EmptySplitError, Labels, kept, make_data
from undergrowth.tasks.digits import Digits
from undergrowth.tasks.gridworld import Gridworld, World
from undergrowth.tasks.groups import Group
from undergrowth.tasks.modular import Modular
from undergrowth.tasks.multitask_parity import MultitaskParity
from undergrowth.tasks.sparse_parity import SparseParity
from undergrowth.tasks.splits import (
    AnySplit,
    CommutationSafe,
    GivenSplit,
    LeakyRandom,
    Shuffled,
    Split,
    WholeGroups,
)
from undergrowth.tasks.tables import FeatureTable, Table
from undergrowth.tasks.task import Examples, Features, InputSpace, Operation, Task, Tokens
from undergrowth.tasks.weights import AnyWeights, Equal, Given, OfGroups, OfNoisy, PowerLaw

AnyTask = Annotated[
    Modular
    | Group
    | SparseParity
    | MultitaskParity
    | BooleanFunction
    | Digits
    | Characters
    | Gridworld
    | Table
    | FeatureTable,
    OneOf(Task, "task"),
]

__all__ = [
    "AnySplit",
    "AnyTask",
    "AnyWeights",
    "BooleanFunction",
    "Characters",
    "CommutationSafe",
    "Data",
    "Digits",
    "EmptySplitError",
    "Equal",
    "Examples",
    "FeatureTable",
    "Features",
    "Given",
    "GivenSplit",
    "Gridworld",
    "Group",
    "InputSpace",
    "Labels",
    "LeakyRandom",
    "Modular",
    "MultitaskParity",
    "OfGroups",
    "OfNoisy",
    "Operation",
    "PowerLaw",
    "Shuffled",
    "SparseParity",
    "Split",
    "Table",
    "Task",
    "Tokens",
    "WholeGroups",
    "World",
    "kept",
    "make_data",
]
