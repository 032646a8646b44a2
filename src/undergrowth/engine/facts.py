"""What happens in training, as values: the engine yields them, the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from undergrowth.measures import Reading
from undergrowth.training.state import Snapshot


@dataclass(frozen=True, eq=False)
class Measured:
    """Readings taken at a step."""

    step: int
    readings: Mapping[str, Reading]


@dataclass(frozen=True, eq=False)
class Stepped:
    """Updates made from `step` on: the loss that each went down, in the order made."""

    step: int
    losses: Float[np.ndarray, " update"]


@dataclass(frozen=True, eq=False)
class Saved:
    """A snapshot worth keeping."""

    snapshot: Snapshot


@dataclass(frozen=True)
class Fired:
    """An intervention that fired before the update from `step`, and what it changed: (before, after)."""

    step: int
    intervention: int
    changed: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Forked:
    """The run left its parent's trunk at `step`."""

    step: int


@dataclass(frozen=True)
class Branched:
    """The run has come to where others fork from it (by position among those); its snapshot is saved."""

    step: int
    branch: int


@dataclass(frozen=True, eq=False)
class Advanced:
    """The run has come to `step`; `snapshot` is how it now stands, to keep or to drop."""

    step: int
    snapshot: Snapshot


@dataclass(frozen=True)
class Diverged:
    """The training loss at `step` is not finite, or a weight that is to be kept: the run is over."""

    step: int


@dataclass(frozen=True)
class Stopped:
    """A rule of the spec, by position, has ended the run at `step`, before its last one."""

    step: int
    rule: int


@dataclass(frozen=True, eq=False)
class Over:
    """The run has left those that are under way at `step`: nothing more comes of it. `error` is what was
    raised in it, where something was.
    """

    step: int
    error: Exception | None = None


Fact = Measured | Stepped | Saved | Fired | Forked | Branched | Advanced | Diverged | Stopped | Over
