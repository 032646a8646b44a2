"""Gradient routing: a dial from weights that all examples reinforce to weights that one does."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from undergrowth.models import Model, mapped, state_dict
from undergrowth.training.interventions.action import Action, ByExample
from undergrowth.training.interventions.actions.routes import EVERYBODY, AnyRoutes, RandomWeights
from undergrowth.training.noise import key_for
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, Regime, TrainState


class RouteGradient(Action):
    r"""From here on each example changes mostly its own weights: a dial of how many reinforce each.

    With g_i the gradient of example i in the mean loss and m_i 1 on the weights that it may change and 0
    elsewhere, the gradient G = sum_i g_i becomes

    .. math:: (1 - a) G + a \frac{|G|}{|\sum_i m_i g_i|} \sum_i m_i g_i,

    rescaled to the norm of G, where a is the `dose`. Forward pass, loss and length of the gradient stay
    as they are. At dose 0 nothing changes, not a bit; at 1 no weight that is owned is changed by two
    groups. Decay and noise act as before.

    deviation: `routed`; or a control, in which what routing adds across G is replaced by a vector of the
    same norm, so that as much of the gradient is lost, to nobody. `random`: it is random, drawn anew at
    every step. `low_rank`: it points from G to its projection on the columns of a random subspace of
    `rank` dimensions, drawn once for each matrix (of the axes after the first taken together; vectors
    stay whole), so that the updates gather in few directions, as under gradients of low rank (Zhao et
    al. 2024, arXiv:2403.03507).
    """

    takes_examples = True

    name: Literal["route_gradient"] = "route_gradient"
    dose: float = Field(default=1.0, ge=0, le=1)
    routes: AnyRoutes = RandomWeights()
    deviation: Literal["routed", "random", "low_rank"] = "routed"
    rank: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _has_a_use_for_the_rank(self) -> RouteGradient:
        if self.rank != 3 and self.deviation != "low_rank":
            raise ValueError(
                f"rank = {self.rank} is of deviation = 'low_rank', and deviation is {self.deviation!r}: "
                "leave the rank out, or take that deviation"
            )
        return self

    def check(self, run: Setup, place: str) -> None:
        self.routes.check(run, f"{place}.routes")

    def regime_after(self, regime: Regime, run: Setup) -> Regime:
        """The same; raises ValueError where a group of examples would have no weights."""
        self.routes.check_size(regime, run)
        return regime

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        if not self.dose:
            return moment
        groups = self.routes.groups(moment.regime, run, rng)
        owners = self.routes.owners(moment, groups, rng)
        state = moment.state.with_knobs(
            routing_dose=self.dose, routing_at_random=self.deviation != "routed"
        )
        is_low = self.deviation == "low_rank"
        state = state.replace(subspaces=_subspaces(state.model, self.rank, rng) if is_low else {})
        n_parts = self.routes.n_parts(run)
        parts = {} if n_parts is None else {"parts": jnp.asarray(n_parts)}
        state = state.replace(
            groups={"examples": jnp.asarray(groups), **parts},
            owners={name: jnp.asarray(of) for name, of in owners.items()},
        )
        return moment.replace(state=state)

    @staticmethod
    def on_examples(
        gradient: Model, state: TrainState, by_example: ByExample | None, noise: PRNGKeyArray
    ) -> Model:
        if "routing_dose" not in state.knobs:
            return gradient
        assert by_example is not None  # an objective of no examples refuses the action
        routed = by_example(lambda place, of_one: own_part(of_one, state, place))
        dose, length = state.knobs["routing_dose"], _norm(gradient)
        routed = _of_norm(length, routed)
        mixed = _of_norm(length, jax.tree.map(lambda g, r: (1 - dose) * g + dose * r, gradient, routed))
        toward = _elsewhere(gradient, state, key_for("routing", noise))
        at_random = _of_norm(length, _turned(gradient, mixed, toward))
        by_chance = state.knobs["routing_at_random"] > 0
        return jax.tree.map(lambda m, r: jnp.where(by_chance, r, m), mixed, at_random)


def own_part(gradient: Model, state: TrainState, place: Int[Array, ""]) -> Model:
    """What of an example's gradient falls on weights that it may change; place: its index."""
    if not state.owners:
        return gradient
    group = state.groups["examples"][place]
    n_parts = state.groups["parts"][place] if "parts" in state.groups else None

    def kept(name: str, array: Array) -> Array:
        if name not in state.owners:
            return array
        owner = state.owners[name]
        if n_parts is not None:
            owner = jnp.where(owner == EVERYBODY, owner, owner % n_parts)
        return jnp.where((owner == group) | (owner == EVERYBODY), array, 0)

    return mapped(kept, gradient)


def _subspaces(model: Model, rank: int, rng: np.random.Generator) -> dict[str, Array]:
    """Of each matrix `rank` random orthonormal columns, all where its first axis has no more."""
    found = {}
    for name, array in state_dict(model).items():
        if array.ndim > 1:
            drawn = rng.standard_normal((len(array), min(rank, len(array))))
            found[name] = jnp.asarray(np.linalg.qr(drawn).Q, jnp.float32)
    return found


def _elsewhere(gradient: Model, state: TrainState, key: PRNGKeyArray) -> Model:
    """Where a control is turned to: the projection on subspaces, or a random direction without any."""
    if not state.subspaces:
        return mapped(lambda name, a: jax.random.normal(key_for(name, key), a.shape, a.dtype), gradient)

    def projected(name: str, array: Array) -> Array:
        if (columns := state.subspaces.get(name)) is None:
            return array
        return jnp.tensordot(columns, jnp.tensordot(columns, array, (0, 0)), 1)

    return mapped(projected, gradient)


def _turned(gradient: Model, mixed: Model, toward: Model) -> Model:
    """As far from the gradient's direction as `mixed` is, but to the side of another direction."""
    along, across = _parts(gradient, mixed)
    return jax.tree.map(jnp.add, along, _of_norm(_norm(across), _parts(gradient, toward)[1]))


def _parts(gradient: Model, tree: Model) -> tuple[Model, Model]:
    """What of a tree lies along the gradient, and what across it."""
    unit = _of_norm(jnp.ones(()), gradient)
    share = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, unit, tree)))
    along = jax.tree.map(lambda u: share * u, unit)
    return along, jax.tree.map(jnp.subtract, tree, along)


def _norm(tree: Model) -> Float[Array, ""]:
    """The L2 norm of all numbers together; the squares of small ones would be 0 without the scale."""
    largest = _largest(tree)
    squares = jax.tree.map(lambda leaf: jnp.sum((leaf / largest) ** 2), tree)
    return largest * jnp.sqrt(sum(jax.tree.leaves(squares)))


def _of_norm(norm: Float[Array, ""], tree: Model) -> Model:
    """The tree scaled to a norm; one that is all 0 stays so."""
    largest = _largest(tree)
    of_unit = jax.tree.map(lambda leaf: leaf / largest, tree)
    factor = norm / jnp.maximum(_norm(of_unit), 1e-30)
    return jax.tree.map(lambda leaf: factor * leaf, of_unit)


def _largest(tree: Model) -> Float[Array, ""]:
    """The largest number in size; 1 where all are 0."""
    found = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))
    return jnp.where(found > 0, found, 1)
