"""What a run is between two steps: the traced state, what it trains on, and both with the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array

from undergrowth.models import Ablated, Model
from undergrowth.tasks import Data
from undergrowth.training.batches import AnyBatch


class TrainState(eqx.Module):
    """Everything that one step reads or changes, all of it traced.

    knobs: scalars by name: `temperature` always, others (`gradient_noise`, `weight_noise`, `dropout`,
    `gradient_scale`, those of a clamp or an annealing) from when they are first set. gates, baselines:
    by site, of ablated components. frozen: by parameter name, 0 where a weight stands still, else 1.
    groups: under `examples`, the group of each example of the task whose gradients are routed, -1 of
    others; under `parts`, where there is that, modulo what an owner counts for it. owners: by parameter
    name, the group whose examples may change each weight, -1 for all. subspaces: by parameter name, the
    orthonormal columns that a gradient is turned towards.
    scales: by what is scaled and a parameter's name, as `gradient/embed.W_E`, the factor of each of its
    components; `share` is of the steps at which they have a gradient, and `decay` of weight decay.
    """

    model: Model
    opt_state: optax.OptState
    knobs: dict[str, Array]
    gates: dict[str, Array] = eqx.field(default_factory=dict)
    baselines: dict[str, Array] = eqx.field(default_factory=dict)
    frozen: dict[str, Array] = eqx.field(default_factory=dict)
    groups: dict[str, Array] = eqx.field(default_factory=dict)
    owners: dict[str, Array] = eqx.field(default_factory=dict)
    subspaces: dict[str, Array] = eqx.field(default_factory=dict)
    scales: dict[str, Array] = eqx.field(default_factory=dict)

    def seen(self) -> Model:
        """The model as it now predicts, for measures: with its ablated components ablated."""
        return Ablated(self.model, self.gates, self.baselines) if self.gates else self.model

    @property
    def scales_decay(self) -> bool:
        """Whether weight decay differs from weight to weight."""
        return any(of.startswith("decay/") for of in self.scales)

    def with_knobs(self, **values: float) -> TrainState:
        """This state with some knobs set."""
        set_ = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
        return self.replace(knobs={**self.knobs, **set_})

    def replace(self, **fields: Any) -> TrainState:
        """This state with some fields replaced."""
        return replace(self, **fields)


@dataclass(frozen=True, eq=False)
class Regime:
    """What a run is trained on, and in which batches: it decides shapes, so it is not traced."""

    data: Data
    batch: AnyBatch


@dataclass(frozen=True, eq=False)
class Moment:
    """A run between two updates, as an action finds and leaves it."""

    step: int
    state: TrainState
    regime: Regime

    def replace(self, **fields: Any) -> Moment:
        """This moment with some fields replaced."""
        return replace(self, **fields)


Curve = Sequence[tuple[int, float]]


class Upto(Sequence[tuple[int, float]]):
    """The first n points of a curve that may still grow: a snapshot of it that costs nothing."""

    def __init__(self, curve: list[tuple[int, float]], n: int) -> None:
        self.curve, self.n = curve, n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return islice(self.curve, self.n)

    def __getitem__(self, index: Any) -> Any:
        return self.curve[: self.n][index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run between two steps: enough to go on exactly as if it had never stopped.

    step: updates made so far; fired: at which step each intervention (by position) has fired; curves:
    the scalar readings so far, which triggers read; forked_at: where the run left its parent; inherited:
    by position of an intervention that it has from a parent, where the parent had left its own; good:
    the last snapshot before that was seen to be sound, where this one was not looked at.
    """

    step: int
    state: TrainState
    fired: Mapping[int, int] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    forked_at: int | None = None
    inherited: Mapping[int, int] = field(default_factory=dict)
    good: Snapshot | None = None

    def as_trunk(self, n_interventions: int) -> Snapshot:
        """How a fork of this run begins, which has its `n_interventions` before those of its own.

        Of the curves it has what lies before: what is read at the fork itself is the fork's to read.
        """
        left = {} if self.forked_at is None else dict.fromkeys(range(n_interventions), self.forked_at)
        curves = {
            name: [point for point in curve if point[0] < self.step]
            for name, curve in self.curves.items()
        }
        return replace(
            self, curves=curves, forked_at=None, inherited={**left, **self.inherited}, good=None
        )


def matches(name: str, pattern: str) -> bool:
    """Whether a parameter's name fits a pattern with `*`, such as `blocks.*` or `*.W_U`."""
    return fnmatchcase(name, pattern)
