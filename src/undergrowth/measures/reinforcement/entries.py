"""Reinforcement: how far a change of the weights lowers which example's loss through which component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.losses import LOSSES, LossName
from undergrowth.measures.reading import Observed
from undergrowth.measures.reinforcement.example_gradients import (
    Chunk,
    example_gradients,
    in_chunks,
    slices,
)
from undergrowth.models import Model, parameter_names

REST, TWICE = "rest", "counted_twice"
"""What the components of all sites leave over in a budget, and what they have in common."""


def ledger(
    model: Model,
    data: Observed,
    changes: Mapping[str, Model],
    *,
    loss: LossName = "cross_entropy",
    temperature: float = 1.0,
) -> dict[str, Float[np.ndarray, "example part component"]]:
    r"""r_ic = -grad_c l_i . Delta_c: how far each part of a change lowers l_i through component c.

    l_i is the loss of example i, Delta_c what the change does to the weights that c reads and writes
    with (`Model.slices`). changes: by part, models with changes in the place of their arrays, as an
    `Update` has them. Returns the entries, in units of the loss, by site name; a group of components has
    the sum of theirs. Under `rest` (the weights that are nobody's) and `counted_twice` (negative: the
    weights that two sites' components share) are those that make an example's entries sum to the whole
    first-order fall of its loss.
    """
    at = jnp.asarray(temperature)
    found: dict[str, list[np.ndarray]] = {}
    for chunk in in_chunks(data, np.arange(len(data.labels))):
        for name, entries in _entries(model, chunk, tuple(changes.values()), at, loss).items():
            found.setdefault(name, []).append(np.asarray(entries))
    return {name: np.concatenate(chunks)[: len(data.labels)] for name, chunks in found.items()}


def effective_examples(
    reinforcement: Float[np.ndarray, "example *of"],  # noqa: UP037
) -> Float[np.ndarray, "*of"]:
    """(sum r+)^2 / sum r+^2 over examples: how many share the reinforcement; 0 where none has any.

    >>> effective_examples(np.array([[1.0, 2.0, -1.0], [1.0, 0.0, -2.0]])).tolist()
    [2.0, 1.0, 0.0]
    """
    positive = np.maximum(reinforcement.astype(np.float64), 0)
    largest = positive.max(axis=0)
    share = np.divide(positive, largest, out=np.zeros_like(positive), where=largest > 0)
    return ratio(share.sum(axis=0) ** 2, (share**2).sum(axis=0))


def owners(model: Model) -> Int[np.ndarray, " parameter"]:
    """Of each parameter, to how many sites' components its slices belong: to none, one or two."""
    owned = [slice_.parameter for slice_ in slices(model) if slice_.site is not None]
    return np.array([owned.count(name) for name in parameter_names(model.network)])


def moved(model: Model, *changes: Model) -> Model:
    """The model after changes of its weights; what is ablated stays so."""
    weights = jax.tree.map(lambda weight, *by: weight + sum(by), model.network, *changes)
    return model.with_network(weights)


class Sums(NamedTuple):
    """What a ledger comes to over n examples, the parts headed by their whole.

    total, positive, squared, n_positive: by site [part, component], the sums of r, of r+ = max(r, 0) and
    of r+^2, and the number of examples with r > 0. by_parameter: the sums of r. change: the sum of the
    losses after the changes, minus that before.
    """

    n: int
    total: dict[str, np.ndarray]
    positive: dict[str, np.ndarray]
    squared: dict[str, np.ndarray]
    n_positive: dict[str, np.ndarray]
    by_parameter: Float[np.ndarray, "part parameter"]
    change: float

    def effective_examples(self, site: str) -> Float[np.ndarray, "part component"]:
        """How many examples share each component's reinforcement; see `effective_examples`."""
        return ratio(self.positive[site] ** 2, self.squared[site])


def summed(
    model: Model,
    data: Observed,
    index: Int[np.ndarray, " picked"],
    changes: Mapping[str, Model],
    loss: LossName,
    temperature: Array,
) -> Sums:
    """The sums over the examples at these places, in float64 from one chunk to the next."""
    parts = tuple(changes.values())
    largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(parts)) or 1.0
    scaled = jax.tree.map(lambda leaf: leaf / largest, parts)
    after = moved(model, *parts)
    found = None
    for chunk in in_chunks(data, index):
        sums = _sums(model, after, chunk, scaled, temperature, loss)
        unit, by_site, by_parameter, change = jax.tree.map(lambda a: np.asarray(a, np.float64), sums)
        unit = float(unit) * largest
        in_nats = {site: _in_units(unit, each) for site, each in by_site.items()}
        here = in_nats, unit * by_parameter, change
        found = here if found is None else jax.tree.map(np.add, found, here)
    assert found is not None
    by_site, by_parameter, change = found
    total, positive, squared, n_positive = (
        {site: each[k] for site, each in by_site.items()} for k in range(4)
    )
    return Sums(len(index), total, positive, squared, n_positive, by_parameter, float(change))


def _in_units(unit: float, sums: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The sums that are in units of the peak, the one in its square, and the one without."""
    peak, total, positive, squared, n_positive = sums
    peak = unit * peak
    return peak * total, peak * positive, peak**2 * squared, n_positive


class _Entered(NamedTuple):
    """A chunk's ledger by site and by parameter, the entries of example i in units of unit[i]."""

    components: dict[str, Float[Array, "example part component"]]
    parameters: Float[Array, "example part parameter"]
    unit: Float[Array, " example"]


def _entered(
    model: Model, chunk: Chunk, changes: tuple[Model, ...], temperature: Array, loss: LossName
) -> _Entered:
    stacked = jax.tree.map(lambda *leaves: -jnp.stack(leaves), *changes)
    by_name = dict(zip(parameter_names(stacked), jax.tree.leaves(stacked), strict=True))
    gradients = example_gradients(model, chunk.inputs, chunk.labels, loss, temperature)
    components: dict[str, Array] = {}
    parameters: dict[str, Array] = {}
    for slice_ in slices(model):
        name = slice_.parameter
        entries = gradients.factors(slice_).along(gradients.laid_out(slice_, by_name[name]))
        parameters[name] = entries.sum(axis=2)
        if slice_.site is not None:
            site = slice_.site.name
            components[site] = components[site] + entries if site in components else entries
    in_order = jnp.stack([parameters[name] for name in by_name], axis=2)
    return _Entered(components, in_order, gradients.unit)


@eqx.filter_jit
def _entries(
    model: Model, chunk: Chunk, changes: tuple[Model, ...], temperature: Array, loss: LossName
) -> dict[str, Array]:
    """The entries in units of the loss, by site; those of the rest and of what is counted twice."""
    entered, n_owners = _entered(model, chunk, changes, temperature, loss), owners(model)
    rest, twice = (entered.parameters[..., n_owners == n].sum(axis=2, keepdims=True) for n in (0, 2))
    of_unit = {**entered.components, REST: rest, TWICE: -twice}
    return {name: entries * entered.unit[:, None, None] for name, entries in of_unit.items()}


@eqx.filter_jit
def _sums(
    model: Model,
    after: Model,
    chunk: Chunk,
    changes: tuple[Model, ...],
    temperature: Array,
    loss: LossName,
) -> tuple[Any, ...]:
    """A chunk's sums in its unit: by site (see `_in_units`), by parameter, and of the losses' change."""

    def losses(model: Model) -> Array:
        return LOSSES[loss](model(chunk.inputs) / temperature, chunk.labels)

    def of_site(of_unit: Array) -> tuple[Array, ...]:
        """In units of each component's largest entry, for the square of 1e-30 would be 0."""
        entries = with_whole(of_unit)
        peak = jnp.max(jnp.abs(entries), axis=0)
        r = entries / jnp.where(peak > 0, peak, 1)
        positive = jax.nn.relu(r)
        return peak, r.sum(axis=0), positive.sum(axis=0), (positive**2).sum(axis=0), (r > 0).sum(axis=0)

    def with_whole(of_unit: Array) -> Array:
        entries = of_unit * (units / unit)[:, None, None]
        return jnp.concatenate([entries.sum(axis=1, keepdims=True), entries], axis=1)

    entered = _entered(model, chunk, changes, temperature, loss)
    units = jnp.where(chunk.counts, entered.unit, 0)
    unit = jnp.where(jnp.any(units > 0), jnp.max(units), 1)
    by_site = {site: of_site(of_unit) for site, of_unit in entered.components.items()}
    by_parameter = with_whole(entered.parameters).sum(axis=0)
    change = jnp.sum(jnp.where(chunk.counts, losses(after) - losses(model), 0))
    return unit, by_site, by_parameter, change


def ratio(numerator: np.ndarray | float, denominator: np.ndarray | float) -> np.ndarray:
    """0 where both are."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
