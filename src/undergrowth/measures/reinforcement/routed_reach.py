"""How many examples write alike into the weights that routing leaves to each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.losses import LOSSES, LossName
from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.reading import COMPONENTS, LossMeasure, Observed, Reading, scalar
from undergrowth.measures.reinforcement.entries import ratio
from undergrowth.measures.reinforcement.ledger import families
from undergrowth.measures.reinforcement.preconditioner import preconditioner, refusal
from undergrowth.measures.reinforcement.pushes import PUSHED, PushedScore
from undergrowth.models import Model, state_dict
from undergrowth.models.room import CACHED
from undergrowth.schedules import Schedule
from undergrowth.training.interventions.actions.routing import own_part
from undergrowth.training.state import TrainState

Flat = Mapping[str, np.ndarray]
SUMS = ("scores", "own", "squares", "own_squares", "losses", "own_losses")


class RoutedReach(LossMeasure):
    r"""Reach under gradient routing: of what examples write that each write mostly their own weights.

    With T_i what `route_gradient` makes of example i's gradient, weight by weight: 1 without routing,
    (1 - a) + a s m_i at dose a, where m_i is 1 on its own weights and s the scale that the loss gradient
    has at this step. Example i writes u_i = T_i grad m_i for its `score` m_i, and

    .. math:: R = |P^{1/2} \sum_i u_i|^2 / \sum_i |P^{1/2} u_i|^2,

    which is `reach` without routing and 1 where no weight is written by two examples. P is that of the
    next update (`preconditioner`), 1 where not `preconditioned`. A gradient that is turned to a random
    side (`deviation = "random"`) is no example's: there R is that without routing.

    {prefix}_whole; {prefix}_{component} [layer, component]; {prefix}_unrouted: the whole's without
    routing; {prefix}_cosine: of the gradient that is followed, before the optimiser, with the loss's.
    With by_group also {prefix}_group [group]: the whole's, of the training examples of each of the
    task's groups alone (`Task.groups`); NaN where a group has none.
    """

    endings: ClassVar[tuple[str, ...]] = (*COMPONENTS, "whole", "unrouted", "cosine", "group")

    name: Literal["routed_reach"] = "routed_reach"
    prefix: str = Field(default="routed_reach", pattern=r"^[a-z][a-z0-9_]*$")
    score: PushedScore = "margin"
    preconditioned: bool = True
    by_group: bool = False
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}_{what}" for what in ("whole", "unrouted", "cosine"))

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the optimiser has no P."""
        super().check(run)
        if self.preconditioned and (why := refusal(run.optimiser)):
            raise ValueError(
                f"measure {self.key!r}: {why}, so it has no P: set preconditioned = false for P = 1"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        metric = preconditioner(at) if self.preconditioned else None
        P = {} if metric is None else _float64(metric)
        trained = np.flatnonzero(np.asarray(data.is_train))
        groups = at.spec.task.groups()[trained] if self.by_group else np.zeros(len(trained), int)
        of_groups = [
            _written(model, data, at.state, self.score, at.spec.loss, trained[groups == group], trained)
            for group in range(groups.max() + 1)
        ]
        written = _together([each for each in of_groups if each])
        together, alone = written.pushes(P)
        readings = {}
        for component, sites in families(model).items():
            of_sites = {site.name: model.slices(site) for site in model.sites}
            values = [
                ratio(*(_by_component(of, of_sites[site]) for of in (together, alone))) for site in sites
            ]
            readings[component] = Reading(("layer", component), np.stack(values).astype(np.float32))
        readings |= {
            "whole": scalar(written.reach(P)),
            "unrouted": scalar(replace(written, dose=0.0).reach(P)),
            "cosine": scalar(written.cosine),
        }
        if self.by_group:
            values = [each.among(written).reach(P) if each else np.nan for each in of_groups]
            readings["group"] = Reading(("group",), np.array(values, np.float32))
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}


@dataclass(frozen=True, eq=False)
class _Written:
    """Sums over the training examples, float64 by parameter: of the scores' gradients and of their own
    parts, of the squares of both, and of the losses' gradients and their own parts. dose: 0 without
    routing; is_random: whether the gradient is turned to a random side instead.
    """

    scores: Flat
    own: Flat
    squares: Flat
    own_squares: Flat
    losses: Flat
    own_losses: Flat
    dose: float
    is_random: bool

    @property
    def scale(self) -> float:
        """What makes the routed gradient of the loss as long as the gradient."""
        return float(np.sqrt(ratio(_total(_squared(self.losses)), _total(_squared(self.own_losses)))))

    @property
    def cosine(self) -> float:
        """Of the gradient that is followed with that of the loss."""
        a, s = self.dose, self.scale
        mixed = {n: (1 - a) * g + a * s * self.own_losses[n] for n, g in self.losses.items()}
        lengths = _total(_squared(mixed)) * _total(_squared(self.losses))
        along = _total({n: g * mixed[n] for n, g in self.losses.items()})
        return float(ratio(along, np.sqrt(lengths)))

    def pushes(self, P: Flat) -> tuple[Flat, Flat]:
        """By weight, |P^(1/2) sum_i u_i|^2 and sum_i |P^(1/2) u_i|^2."""
        a, s = (0.0, 0.0) if self.is_random else (self.dose, self.scale)
        together, alone = {}, {}
        for name, total in self.scores.items():
            of = P.get(name, 1.0)
            together[name] = of * ((1 - a) * total + a * s * self.own[name]) ** 2
            own = (2 * (1 - a) * a * s + (a * s) ** 2) * self.own_squares[name]
            alone[name] = of * ((1 - a) ** 2 * self.squares[name] + own)
        return together, alone

    def reach(self, P: Flat) -> float:
        """R of all weights together."""
        return float(ratio(*map(_total, self.pushes(P))))

    def among(self, whole: _Written) -> _Written:
        """These as part of more examples, which decide the scale."""
        return replace(self, losses=whole.losses, own_losses=whole.own_losses)


def _together(of_groups: Sequence[_Written]) -> _Written:
    """The sums over all groups."""
    first = of_groups[0]
    sums = [[getattr(each, name) for name in SUMS] for each in of_groups]
    return replace(first, **dict(zip(SUMS, jax.tree.map(lambda *a: sum(a), *sums), strict=True)))


def _written(
    model: Model,
    data: Observed,
    state: TrainState,
    score: PushedScore,
    loss: LossName,
    members: np.ndarray,
    trained: np.ndarray,
) -> _Written | None:
    """The sums of a run as it stands over some of those that it trains on, a few at a time; None over
    none.
    """
    total = None
    for places in _in_chunks(model, members, len(trained)):
        chosen = jnp.maximum(places, 0)
        at = jnp.asarray(places)
        found = _of_chunk(model, data.inputs[chosen], data.labels[chosen], at, state, score, loss)
        here = [_float64(tree) for tree in found]
        total = here if total is None else jax.tree.map(np.add, total, here)
    if total is None:
        return None
    knobs = state.knobs
    dose = float(knobs.get("routing_dose", 0.0))
    is_random = float(knobs.get("routing_at_random", 0.0)) > 0
    return _Written(**dict(zip(SUMS, total, strict=True)), dose=dose, is_random=is_random)


def _in_chunks(model: Model, places: np.ndarray, n_train: int) -> Iterator[np.ndarray]:
    """Places of equally many examples, filled up with -1, so that each written-out gradient fits."""
    n_numbers = sum(prod(leaf.shape) for leaf in jax.tree.leaves(model.network))
    size = min(n_train, max(1, CACHED // n_numbers))
    for start in range(0, len(places), size):
        here = places[start : start + size]
        yield np.pad(here, (0, size - len(here)), constant_values=-1)


@eqx.filter_jit
def _of_chunk(
    model: Model,
    inputs: Array,
    labels: Array,
    places: Array,
    state: TrainState,
    score: PushedScore,
    loss: LossName,
) -> tuple[Model, ...]:
    """The sums of `_Written` over some examples; one at place -1 is none."""

    def of_example(x: Array, y: Array, place: Array) -> tuple[Model, ...]:
        def scored(network: Model, of: object) -> Array:
            z = model.with_network(network).plain(x[None])
            counted = jnp.where(place >= 0, 1.0, 0.0)
            if of == "score":
                return counted * PUSHED[score](z, y[None])[0]
            return counted * LOSSES[loss](z / state.knobs["temperature"], y[None])[0]

        of_score, of_loss = (jax.grad(scored)(model.network, of) for of in ("score", "loss"))
        own, own_loss = (own_part(of, state, jnp.maximum(place, 0)) for of in (of_score, of_loss))
        squared = jax.tree.map(jnp.square, of_score), jax.tree.map(jnp.square, own)
        return of_score, own, *squared, of_loss, own_loss

    each = jax.vmap(of_example)(inputs, labels, places)
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), each)


def _by_component(by_weight: Flat, slices: Mapping[str, int]) -> Float[np.ndarray, " component"]:
    """The sums over the weights of each component."""
    found = 0.0
    for name, axis in slices.items():
        array = np.moveaxis(by_weight[name], axis, 0)
        found = found + array.reshape(len(array), -1).sum(axis=1)
    return np.asarray(found)


def _float64(tree: Model) -> Flat:
    return {name: array.astype(np.float64) for name, array in state_dict(tree).items()}


def _squared(arrays: Flat) -> Flat:
    return {name: array**2 for name, array in arrays.items()}


def _total(by_weight: Flat) -> float:
    return float(sum(array.sum() for array in by_weight.values()))
