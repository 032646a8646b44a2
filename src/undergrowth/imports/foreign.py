"""A run that was trained elsewhere, as the files tell of it, and what every layout of files is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.files import File
from undergrowth.tasks import Shuffled

Curve = Mapping[int, float]
"""A number by step."""


@dataclass(frozen=True, eq=False)
class State:
    """What a run was at a step: weights by our names and, where they are known, Adam's moments.

    means, squares: running means of the gradient and of its square; count: updates that they have seen.
    """

    weights: Mapping[str, np.ndarray]
    means: Mapping[str, np.ndarray] | None = None
    squares: Mapping[str, np.ndarray] | None = None
    count: int = 0


@dataclass(frozen=True)
class Claim:
    """What a file says of the weights at a step: a reading's name, and its value there.

    lags: by how many updates it was read before, where the files have no later value.
    """

    name: str
    step: int
    value: float
    lags: int = 0


@dataclass(frozen=True, eq=False)
class Foreign:
    """A run of another laboratory.

    fields: those of a `RunSpec`; states: by step; curves: the four curves at the steps at which the
    files have all of them; update_loss: the loss of each update from the first; recorded: other readings
    by name; assumed: what the files do not say; claims: what can be computed again; splits: the
    splits to choose from by what they claim, where the files do not say which it was.
    """

    name: str
    dialect: str
    files: Sequence[File]
    fields: Mapping[str, Any]
    states: Mapping[int, State] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    update_loss: np.ndarray | None = None
    recorded: Mapping[str, Curve] = field(default_factory=dict)
    assumed: Sequence[str] = ()
    claims: Sequence[Claim] = ()
    splits: Sequence[Shuffled] = ()


Beside = Callable[[str], File | None]
"""The file of a name in the folder of those that are imported; None where there is none."""


Fields = Mapping[str, Any]
"""Fields of a spec that whoever imports has given, which go over those that files tell."""


@dataclass(frozen=True)
class Dialect:
    """A layout of files: its name, what it looks like (empty: nothing to import), how it is read.

    groups: of some files those that are of this layout, each group a run's; read: the run of a group.
    """

    name: str
    looks: str
    groups: Callable[[Sequence[File]], Iterable[Sequence[File]]]
    read: Callable[[Sequence[File], Beside, Fields], Foreign]


def state_dict_of(file: File) -> Mapping[str, np.ndarray]:
    """The state dict in a file, itself or under `model`, without what is no array; else empty.

    A file that cannot be read at all has none either.
    """
    try:
        held = file.held
    except ForeignFileError:
        return {}
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict):
        return {}
    return {name: a for name, a in held.items() if isinstance(name, str) and isinstance(a, np.ndarray)}


def each_alone(has: Callable[[Mapping[str, np.ndarray]], bool]) -> Callable[..., Iterable[list[File]]]:
    """Groups of one file, each with a state dict that is so."""
    return lambda files: ([file] for file in files if has(state_dict_of(file)))


def as_curve(values: Any, every: int = 1) -> dict[int, float]:
    """A list of numbers as a curve, one every so many steps from 0 on; none where it is no such list."""
    if not isinstance(values, list | tuple) or not all(isinstance(v, int | float) for v in values):
        return {}
    return {i * every: float(value) for i, value in enumerate(values)}


def number(value: Any) -> float | None:
    """A number, also one in an array of one; None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
