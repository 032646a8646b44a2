"""What is learned: operations given by their whole tables, and how they are split."""

from typing import Annotated

from pydantic import Field

from undergrowth.tasks.data import Data, EmptySplitError, Labels, make_data
from undergrowth.tasks.modular import Modular
from undergrowth.tasks.permutations import SymmetricGroup
from undergrowth.tasks.splits import CommutationSafe, LeakyRandom
from undergrowth.tasks.task import Examples, Features, InputSpace, Operation, Task, Tokens

AnyTask = Annotated[Modular | SymmetricGroup, Field(discriminator="name")]
AnySplit = Annotated[CommutationSafe | LeakyRandom, Field(discriminator="name")]

__all__ = [
    "AnySplit",
    "AnyTask",
    "CommutationSafe",
    "Data",
    "EmptySplitError",
    "Examples",
    "Features",
    "InputSpace",
    "Labels",
    "LeakyRandom",
    "Modular",
    "Operation",
    "SymmetricGroup",
    "Task",
    "Tokens",
    "make_data",
]
