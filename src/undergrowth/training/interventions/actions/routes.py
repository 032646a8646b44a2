"""Which examples learn together, and which weights are theirs alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from undergrowth.models import Model, state_dict
from undergrowth.models.room import CACHED
from undergrowth.training.interventions.actions.components import Components, of_weights
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, Regime
from undergrowth.values import Value

Groups = Int[np.ndarray, " example"]
Owners = Mapping[str, np.ndarray]
EVERYBODY = -1
"""The owner of a weight that all examples change, and the group of an example that is not routed."""


class Routes(Value):
    """A rule for groups of examples and the weights that each owns. A final subclass is one."""

    def check(self, run: Setup, place: str) -> None:
        """Raise ValueError, in one line, where the model has no such weights."""

    def check_size(self, regime: Regime, run: Setup) -> None:
        """Raise ValueError, in one line, where a group would be left without a weight."""

    @abstractmethod
    def groups(self, regime: Regime, run: Setup, rng: np.random.Generator) -> Groups:
        """The group of each example of the task, from 0 on; -1 of those that are not trained on."""

    def n_parts(self, run: Setup) -> Groups | None:
        """Of each example: an owner counts for it modulo this number; None where as it is."""

    @abstractmethod
    def owners(self, moment: Moment, groups: Groups, rng: np.random.Generator) -> Owners:
        """Of the routed parameters, by name: the group that each weight belongs to."""


class _Dealt(Routes):
    """Groups of equally many training examples, drawn at random.

    group_size: how many examples a group has; the last one may have fewer.
    """

    group_size: int = Field(default=1, ge=1)

    def groups(self, regime: Regime, run: Setup, rng: np.random.Generator) -> Groups:
        found = np.full(len(regime.data.labels), EVERYBODY, np.int32)
        trained = np.flatnonzero(regime.data.is_train)
        found[rng.permutation(trained)] = np.arange(len(trained)) // self.group_size
        return found

    def _n_groups(self, regime: Regime) -> int:
        return -(-regime.data.n_train // self.group_size)

    def _fit(self, regime: Regime, n_owned: int, what: str) -> None:
        """Raise ValueError where there are more groups than things to own."""
        if (n_groups := self._n_groups(regime)) > n_owned:
            least = -(-regime.data.n_train // n_owned)
            raise ValueError(
                f"routes.group_size = {self.group_size} makes {n_groups} groups of examples and there "
                f"are {n_owned} {what}, so some examples would have none to learn with: use a "
                f"group_size of at least {least}, or a larger model"
            )


class RandomWeights(_Dealt):
    """Every weight belongs to one random group, of those whose examples have a gradient there.

    That is seen at the moment of the action, in a random projection of the logits. A weight which none
    has a gradient for belongs to any group.
    """

    name: Literal["random_weights"] = "random_weights"

    def check_size(self, regime: Regime, run: Setup) -> None:
        n_weights = sum(prod(leaf.shape) for leaf in jax.tree.leaves(run.blank_model()))
        self._fit(regime, n_weights, "weights")

    def owners(self, moment: Moment, groups: Groups, rng: np.random.Generator) -> Owners:
        """One draw for each weight and example; the largest among those with a gradient wins."""
        model, data = moment.state.model, moment.regime.data
        trained = np.flatnonzero(groups >= 0)
        best = {name: np.full(array.shape, -1.0) for name, array in state_dict(model).items()}
        n_groups = groups.max() + 1
        owners = {name: rng.integers(n_groups, size=a.shape, dtype=np.int32) for name, a in best.items()}
        toward = jnp.asarray(rng.standard_normal(model.n_logits), jnp.float32)
        size = max(1, CACHED // sum(a.size for a in best.values()))
        for start in range(0, len(trained), size):
            chosen = trained[start : start + size]
            slopes = state_dict(_slopes(model, jnp.asarray(data.inputs[chosen]), toward))
            for name, slope in slopes.items():
                draws = np.where(slope != 0, rng.random(slope.shape, np.float32), -1.0)
                first = draws.argmax(axis=0)
                draw = np.take_along_axis(draws, first[None], axis=0)[0]
                wins = draw > best[name]
                best[name] = np.where(wins, draw, best[name])
                owners[name] = np.where(wins, groups[chosen][first], owners[name])
        return owners


@jax.jit
def _slopes(model: Model, inputs: Array, toward: Float[Array, " label"]) -> Model:
    """The gradient of each example's logits along a direction; leaves are [example, ...]."""

    def one(inputs: Array) -> Model:
        return jax.grad(lambda model: model.plain(inputs[None])[0] @ toward)(model)

    return jax.vmap(one)(inputs)


class RandomComponents(_Dealt):
    """The components of a layer are dealt out among the groups; all other weights stay everybody's."""

    name: Literal["random_components"] = "random_components"
    component: Literal["neuron", "head"] = "neuron"
    layer: int = Field(default=0, ge=0)

    def check(self, run: Setup, place: str) -> None:
        _site(self.component, self.layer, run, place)

    def check_size(self, regime: Regime, run: Setup) -> None:
        n_components = _components(self.component, self.layer).site(run.blank_model()).n_components
        self._fit(regime, n_components, f"{self.component}s")

    def owners(self, moment: Moment, groups: Groups, rng: np.random.Generator) -> Owners:
        site = _components(self.component, self.layer).site(moment.state.model)
        dealt = rng.permutation(site.n_components) % (groups.max() + 1)
        return of_weights(moment.state.model, site, dealt.astype(np.int32))


class Route(Value):
    """Examples with some labels, and the components that learn from no others."""

    labels: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    components: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)


class ByLabel(Routes):
    """Each route's components learn from the examples with its labels alone (Cloud et al. 2024,
    arXiv:2410.04332); components of no route, and all other weights, stay everybody's.

    An example whose label is in no route changes what is everybody's only.
    """

    name: Literal["by_label"] = "by_label"
    component: Literal["neuron", "head"] = "neuron"
    layer: int = Field(default=0, ge=0)
    routes: tuple[Route, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_partition(self) -> ByLabel:
        for what in ("labels", "components"):
            named = [item for route in self.routes for item in getattr(route, what)]
            if twice := sorted({item for item in named if named.count(item) > 1}):
                raise ValueError(f"{what[:-1]} {twice[0]} is in two routes: leave it in one of them")
        return self

    def check(self, run: Setup, place: str) -> None:
        n_components = _site(self.component, self.layer, run, place)
        for what, n in (("labels", run.task.n_labels), ("components", n_components)):
            highest = max(item for route in self.routes for item in getattr(route, what))
            if highest >= n:
                raise ValueError(
                    f"{place}.routes name {what[:-1]} {highest}, and there are {n} {what}, counted "
                    f"from 0: use numbers below {n}"
                )

    def groups(self, regime: Regime, run: Setup, rng: np.random.Generator) -> Groups:
        group_of = {label: k for k, route in enumerate(self.routes) for label in route.labels}
        data = regime.data
        found = np.array([group_of.get(int(y), len(self.routes)) for y in data.labels], np.int32)
        return np.where(data.is_train, found, EVERYBODY)

    def owners(self, moment: Moment, groups: Groups, rng: np.random.Generator) -> Owners:
        site = _components(self.component, self.layer).site(moment.state.model)
        dealt = np.full(site.n_components, EVERYBODY, np.int32)
        for k, route in enumerate(self.routes):
            dealt[list(route.components)] = k
        return of_weights(moment.state.model, site, dealt)


class PartsOfGroups(Routes):
    """Each of the task's groups (`Task.groups`, such as the subtasks of `multitask_parity`) is dealt
    into parts, each with its share of the components of a layer; other weights stay everybody's.

    parts: of each group, into how many. Its training examples are dealt at random into equal parts, and
    of p parts the q-th, from 0 on, changes components q, q + p, q + 2p, ... So at dose 1 a component
    learns from one in p of the group's examples, whatever it learns from others.
    """

    name: Literal["parts_of_groups"] = "parts_of_groups"
    component: Literal["neuron", "head"] = "neuron"
    layer: int = Field(default=0, ge=0)
    parts: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)

    def check(self, run: Setup, place: str) -> None:
        n_components = _site(self.component, self.layer, run, place)
        n_groups = int(run.task.groups().max()) + 1
        if len(self.parts) != n_groups:
            raise ValueError(
                f"{place}.parts has {len(self.parts)} numbers, and {run.task.describe()} {n_groups} "
                "groups of examples: give one for each, 1 where a group is not to be dealt out"
            )
        if (most := max(self.parts)) > n_components:
            raise ValueError(
                f"{place}.parts asks for {most} parts, and there are {n_components} {self.component}s, "
                f"so some would have none to learn with: use at most {n_components}, or a larger model"
            )

    def check_size(self, regime: Regime, run: Setup) -> None:
        counts = np.bincount(run.task.groups()[regime.data.is_train], minlength=len(self.parts))
        for group, (count, n_parts) in enumerate(zip(counts, self.parts, strict=True)):
            if count < n_parts:
                raise ValueError(
                    f"routes.parts deals the {count} training examples of group {group} into {n_parts} "
                    f"parts, so some components would learn from none: use at most {count} there"
                )

    def groups(self, regime: Regime, run: Setup, rng: np.random.Generator) -> Groups:
        of_task = run.task.groups()
        found = np.full(len(of_task), EVERYBODY, np.int32)
        for group, n_parts in enumerate(self.parts):
            members = rng.permutation(np.flatnonzero(regime.data.is_train & (of_task == group)))
            found[members] = np.arange(len(members)) % n_parts
        return found

    def n_parts(self, run: Setup) -> Groups:
        return np.array(self.parts, np.int32)[run.task.groups()]

    def owners(self, moment: Moment, groups: Groups, rng: np.random.Generator) -> Owners:
        site = _components(self.component, self.layer).site(moment.state.model)
        return of_weights(moment.state.model, site, np.arange(site.n_components, dtype=np.int32))


AnyRoutes = Annotated[
    RandomWeights | RandomComponents | ByLabel | PartsOfGroups, Field(discriminator="name")
]


def _components(component: Literal["neuron", "head"], layer: int) -> Components:
    """A choice of components of a layer, for the site that they are at."""
    return Components(component=component, layer=layer, indices=(0,))


def _site(component: Literal["neuron", "head"], layer: int, run: Setup, place: str) -> int:
    """How many components a layer has; raises ValueError where the model has no such layer."""
    if component not in run.model.components:
        raise ValueError(
            f"{place}.component = {component!r}: a {run.model.name} has none: "
            f"use {' or '.join(map(repr, run.model.components))}"
        )
    try:
        return _components(component, layer).site(run.blank_model()).n_components
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from None
