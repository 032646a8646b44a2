"""Weights whose gradients are looked at together: of components, modules, masks, and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from undergrowth.measures.reinforcement.example_gradients import Slice, slices
from undergrowth.models import Model

WHOLE, MODULE = "whole", "module"
Masks = Mapping[str, tuple[str, Bool[Array | np.ndarray, " component"]]]
"""By name, a site's name and which of its components are one group."""


@dataclass(frozen=True)
class Grouping:
    """Groups of weights that do not overlap.

    members: by slice, [component, group], 1 where a component is of a group; None where each component
    is one. labels: of the groups, where they have any but their number.
    """

    members: Mapping[Slice, Array | np.ndarray | None]
    labels: tuple[str, ...] = ()

    def summed(self, of_slices: Mapping[Slice, Array]) -> Float[Array, "example group"]:
        """The sums over each group of what is [example, component] for each slice."""
        members = self.members.items()
        return sum(
            (of_slices[each] if of is None else of_slices[each] @ of for each, of in members),
            start=jnp.zeros(()),
        )

    def spread(
        self, each: Slice, of_groups: Float[Array, "example group"]
    ) -> Float[Array, "example component"]:
        """What a group has, for each component of a slice that is in it."""
        of = self.members[each]
        return of_groups if of is None else of_groups @ of.T


def groupings(model: Model, masks: Masks) -> dict[str, Grouping]:
    """By name: the components of each site, the model's modules, all weights; and masks of components.

    A module is what holds a parameter: `blocks.0.mlp` that of `blocks.0.mlp.W_in`.
    """
    owned = slices(model)
    of_all = {each.parameter: each for each in reversed(owned)}  # of two owners the first
    once = [each for each in owned if of_all[each.parameter] is each]
    modules = tuple(dict.fromkeys(_module(each) for each in once))
    found = {}
    for site in model.sites:
        found[site.name] = Grouping({each: None for each in owned if each.site == site})
    of_module = {each: _column(each, modules.index(_module(each)), len(modules)) for each in once}
    found[MODULE] = Grouping(of_module, modules)
    found[WHOLE] = Grouping({each: _column(each, 0, 1) for each in once}, (WHOLE,))
    for name, (site_name, mask) in masks.items():
        column = jnp.asarray(mask, jnp.float32)[:, None]
        members = {each: column for each in owned if _is_of(each, site_name)}
        if not members:
            known = ", ".join(site.name for site in model.sites)
            raise ValueError(f"masks[{name!r}]: no site {site_name!r} in this model: take {known}")
        found[name] = Grouping(members, (name,))
    return found


def _module(each: Slice) -> str:
    return each.parameter.rpartition(".")[0]


def _is_of(each: Slice, site_name: str) -> bool:
    return each.site is not None and each.site.name == site_name


def _column(each: Slice, group: int, n_groups: int) -> Float[np.ndarray, "component group"]:
    """All components of a slice in one group."""
    n_components = 1 if each.site is None else each.site.n_components
    members = np.zeros((n_components, n_groups), np.float32)
    members[:, group] = 1
    return members
