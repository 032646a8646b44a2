"""Named places in a forward pass, and what a tool may put there.

A model knows no tool. Wherever a component's activation is made, the model hands it to a *hook*, a
function (site name, activation) -> activation. Gating, recording and patching are hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

Hook = Callable[[str, Array], Array]

Component = Literal["neuron", "head", "block"]
"""The axes that count a site's components."""

HOOK_EMBED = "hook_embed"
"""As what the textbook pass hands a hook the embedded tokens, or the numbers that a model reads.

It is the input and no site: nothing there is a component, and the fast pass, which computes a row a
token, never makes it.
"""
HOOK_Z = "blocks.{}.attn.hook_z"
HOOK_POST = "blocks.{}.mlp.hook_post"
"""The names of a transformer's sites in a layer."""

HOOK_MLP_OUT = "blocks.{}.hook_mlp_out"
"""As what a transformer hands a hook what the MLP writes to the residual stream, where it is made at
all: no site, for nothing there is a component; residual dropout is its only use."""


@dataclass(frozen=True)
class Site:
    """One family of components: where it is, what it is called, how many there are.

    name: TransformerLens's hook name; component: the axis name of readings (`Component`);
    axis: which axis of the activation counts the components (from the end, so that any leading
    example and position axes may come before).
    """

    name: str
    component: str
    n_components: int
    axis: int

    @property
    def trailing(self) -> int:
        """Number of activation axes behind the component axis (d_head for a head, none for a neuron)."""
        return -1 - self.axis


def no_hook(site: str, activation: Array) -> Array:
    """The hook that changes nothing."""
    return activation


def is_mlp_out(name: str) -> bool:
    """Whether a hook of this name is handed what an MLP writes to the residual stream."""
    return name.endswith(HOOK_MLP_OUT.rpartition(".")[2])


@dataclass(frozen=True)
class BlockHooks:
    """A hook at each place of one layer: the heads' values, the neurons, and what the MLP writes."""

    z: Callable[[Array], Array]
    post: Callable[[Array], Array]
    mlp_out: Callable[[Array], Array]

    @classmethod
    def of(cls, hook: Hook, layer: int) -> BlockHooks:
        """The hook as it is in a layer."""
        places = (HOOK_Z, HOOK_POST, HOOK_MLP_OUT)
        return cls(*(partial(hook, place.format(layer)) for place in places))


def gated(
    sites: tuple[Site, ...],
    gates: Mapping[str, Float[Array, "*batch component"]],
    baselines: Mapping[str, Float[Array, ...]] | None = None,
) -> Hook:
    """The hook `activation = baseline + gate * (activation - baseline)` at every gated site.

    gates: by site name, [component] or [example, component] (1 leaves a component unchanged, 0 replaces
    it by its baseline). baselines: by site name, in the shape of one activation, zero where none is
    given. A gate acts at every position that the model computes.
    """
    by_name = {site.name: site for site in sites}
    unknown = sorted(set(gates) - set(by_name))
    if unknown:
        raise ValueError(f"no site {unknown[0]!r} in this model: its sites are {', '.join(by_name)}")

    def hook(name: str, activation: Array) -> Array:
        if name not in gates:
            return activation
        site, gate = by_name[name], gates[name]
        gate = gate.reshape(gate.shape + (1,) * site.trailing)
        missing = activation.ndim - gate.ndim
        if gate.ndim > 1 + site.trailing and missing:  # per example, with positions in between
            gate = jnp.expand_dims(gate, tuple(range(1, 1 + missing)))
        baseline = (baselines or {}).get(name, 0.0)
        return baseline + gate * (activation - baseline)

    return hook


def recording(into: dict[str, Array]) -> Hook:
    """The hook that keeps every activation in `into` by site name and changes nothing."""

    def hook(name: str, activation: Array) -> Array:
        into[name] = activation
        return activation

    return hook
