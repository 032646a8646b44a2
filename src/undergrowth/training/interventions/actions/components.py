"""Ablating or freezing components, or freezing parameters by name."""

from __future__ import annotations

from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped
from pydantic import Field, model_validator

from undergrowth.gating.attribution import attribute, baselines
from undergrowth.models import Component, Hook, Model, Site, gated, mapped, state_dict
from undergrowth.training.interventions.action import Action
from undergrowth.training.interventions.actions.weights import OfParameters
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState, matches
from undergrowth.values import Value

Choice = Literal["given", "random", "largest_norm", "smallest_norm", "most_salient", "least_salient"]


class Components(Value):
    """Some neurons, heads or blocks of one layer: given by number, or n of them by a rule.

    The rules look at the run as the action finds it: the L2 norm of all weights of a component, or the
    median over the training examples of the |integrated gradients| of the centred logit (mean baseline).
    """

    component: Component = "neuron"
    layer: int = Field(default=0, ge=0)
    choice: Choice = "given"
    indices: tuple[Annotated[int, Field(ge=0)], ...] = ()
    n: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _names_some(self) -> Components:
        if self.choice == "given" and (not self.indices or self.n):
            raise ValueError(
                "components by choice = 'given' are named only by their indices: "
                "give indices = [...] and no n, or another choice"
            )
        if self.choice != "given" and (self.indices or not self.n):
            raise ValueError(
                f"components by choice = {self.choice!r} are counted: give n >= 1 and no indices"
            )
        return self

    def site(self, model: Model) -> Site:
        """Where they are; raises ValueError where the model has no such layer."""
        sites = [site for site in model.sites if site.component == self.component]
        if self.layer >= len(sites):
            raise ValueError(
                f"layer = {self.layer}: the model has {len(sites)} layers of {self.component}s, "
                f"counted from 0: take a layer below {len(sites)}"
            )
        return sites[self.layer]

    def chosen(self, moment: Moment, rng: np.random.Generator) -> np.ndarray:
        """bool [component]: True for those."""
        site = self.site(moment.state.model)
        if self.choice == "given":
            order = np.array(self.indices)
        elif self.choice == "random":
            order = rng.permutation(site.n_components)[: self.n]
        else:
            sign = -1 if self.choice in ("largest_norm", "most_salient") else 1
            order = np.argsort(sign * self._ranked(moment, site), kind="stable")[: self.n]
        mask = np.zeros(site.n_components, bool)
        mask[order] = True
        return mask

    def _ranked(self, moment: Moment, site: Site) -> np.ndarray:
        if self.choice.endswith("norm"):
            return component_norms(moment.state.model, site)
        model = moment.state.seen()
        data = moment.regime.data
        inputs, labels = (jnp.asarray(a[data.is_train]) for a in (data.inputs, data.labels))
        baseline = baselines(model, inputs, "mean")
        saliency = attribute(model, inputs, labels, site=site, baseline=baseline)
        return np.median(np.abs(np.asarray(saliency)), axis=0)


def component_norms(model: Model, site: Site) -> np.ndarray:
    """L2 norm of all weights that belong to each component of a site, float64 [component]."""
    squares = np.zeros(site.n_components)
    arrays = state_dict(model)
    for name, axis in model.slices(site).items():
        array = np.moveaxis(arrays[name].astype(np.float64), axis, 0)
        squares += (array.reshape(site.n_components, -1) ** 2).sum(axis=1)
    return np.sqrt(squares)


def of_weights(
    model: Model, site: Site, of_components: Shaped[np.ndarray, " component"]
) -> dict[str, np.ndarray]:
    """What each component of a site has, for each of the weights that are its own: by parameter name."""
    arrays, found = state_dict(model), {}
    for name, axis in model.slices(site).items():
        shape = [1] * arrays[name].ndim
        shape[axis] = len(of_components)
        found[name] = np.broadcast_to(of_components.reshape(shape), arrays[name].shape)
    return found


class OfComponents(Action):
    """An action on some components."""

    components: Components = Components(choice="random", n=1)

    def check(self, run: Setup, place: str) -> None:
        if self.components.component not in run.model.components:
            raise ValueError(
                f"{place}.components.component = {self.components.component!r}: a {run.model.name} "
                f"has none: take {' or '.join(map(repr, run.model.components))}"
            )
        try:
            site = self.components.site(run.blank_model())
        except ValueError as error:
            raise ValueError(f"{place}.components.{error}") from None
        highest = max((*self.components.indices, self.components.n - 1))
        if highest >= site.n_components:
            raise ValueError(
                f"{place}.components name at least {highest + 1} {site.component}s, but the model has "
                f"{site.n_components} at {site.name}: take fewer, counted from 0"
            )


class Ablate(OfComponents):
    """From here on some components are replaced by their baseline, in training too.

    baseline: zero, or the component's mean over the training examples at this moment.
    """

    name: Literal["ablate"] = "ablate"
    baseline: Literal["zero", "mean"] = "zero"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        state, data = moment.state, moment.regime.data
        site = self.components.site(state.model)
        chosen = jnp.asarray(self.components.chosen(moment, rng))
        gate = state.gates.get(site.name, jnp.ones(site.n_components))
        gates = {**state.gates, site.name: jnp.where(chosen, 0.0, gate)}
        means = baselines(state.seen(), jnp.asarray(data.inputs[data.is_train]), "mean")[site.name]
        fill = means if self.baseline == "mean" else jnp.zeros_like(means)
        mask = chosen.reshape(chosen.shape + (1,) * site.trailing)
        present = state.baselines.get(site.name, jnp.zeros_like(means))
        filled = {**state.baselines, site.name: jnp.where(mask, fill, present)}
        return moment.replace(state=state.replace(gates=gates, baselines=filled))

    @staticmethod
    def on_activations(hook: Hook, state: TrainState) -> Hook:
        if not state.gates:
            return hook
        gate = gated(state.model.sites, state.gates, state.baselines)
        return lambda name, activation: gate(name, hook(name, activation))


class _Freezing(Action):
    """From here on some weights stand still: those for which `state.frozen` has 0."""

    @staticmethod
    def on_update(change: Model, state: TrainState, step: Array) -> Model:
        frozen = state.frozen
        return mapped(lambda name, a: a * frozen[name] if name in frozen else a, change)


class Freeze(OfComponents, _Freezing):
    """From here on all weights of some components are fixed, against decay too."""

    name: Literal["freeze"] = "freeze"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        site = self.components.site(moment.state.model)
        moves = ~self.components.chosen(moment, rng)
        masks = of_weights(moment.state.model, site, moves)
        return moment.replace(state=_frozen(moment.state, masks))


class FreezeParameters(OfParameters, _Freezing):
    """From here on the parameters whose names match a pattern are fixed, against decay too."""

    name: Literal["freeze_parameters"] = "freeze_parameters"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        arrays = state_dict(moment.state.model)
        masks = {n: np.zeros(a.shape) for n, a in arrays.items() if matches(n, self.parameters)}
        return moment.replace(state=_frozen(moment.state, masks))


def _frozen(state: TrainState, masks: dict[str, np.ndarray]) -> TrainState:
    """A state in which what a mask has 0 for stands still, beside what already did."""
    frozen = dict(state.frozen)
    for name, mask in masks.items():
        new = jnp.asarray(mask, jnp.float32)
        frozen[name] = frozen[name] * new if name in frozen else new
    return state.replace(frozen=frozen)
