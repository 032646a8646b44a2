"""The gradient of every example's own loss, or another number, as factors that are never multiplied out.

A weight matrix reads x and writes x W. Where the slope of example i's loss at what is written is g, its
gradient with respect to W is the sum over positions of the outer products of x and g. What one asks of
such gradients (along a change, a norm, a sum over examples, an inner product) is a product of matrices
in x and g, for all examples at once, and one backward pass has them all (Goodfellow 2015,
arXiv:1510.01799; for several positions Li et al. 2022, arXiv:2110.05679, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from undergrowth.losses import LOSSES, LossName
from undergrowth.measures.reading import Observed
from undergrowth.models import Inputs, Model, Site, parameter_names

EXAMPLES_AT_ONCE = 512
"""Bounds the memory; with 512 neurons 1,024 at a time take half as long again, for a cache is full."""


class Factors(NamedTuple):
    """A parameter's gradients: that of example i at [m, c, k] is sum_p shared[i, p, m] own[i, p, c, k].

    c counts the components whose slices of the parameter these are (one, where it is nobody's), p the
    positions, and m and k are the parameter's other axes.
    """

    shared: Float[Array, "example position m"]
    own: Float[Array, "example position component k"]

    def along(
        self, changes: Float[Array, "part m component k"]
    ) -> Float[Array, "example part component"]:
        """The derivative of each example's loss along changes of the parameter."""
        n, n_positions, m = self.shared.shape
        flat = jnp.moveaxis(changes, 1, 0).reshape(m, -1)
        slopes = (self.shared.reshape(-1, m) @ flat).reshape(
            n, n_positions, len(changes), *self.own.shape[2:]
        )
        return jnp.sum(slopes * self.own[:, :, None], axis=(1, 4))

    def products(self, others: Factors) -> Factors:
        """Each example's gradient times that of its partner in `others`, weight by weight: factors too,
        over the pairs of their positions.
        """
        n, _, m = self.shared.shape
        shared = self.shared[:, :, None] * others.shared[:, None]
        own = self.own[:, :, None] * others.own[:, None]
        return Factors(shared.reshape(n, -1, m), own.reshape(n, -1, *self.own.shape[2:]))

    def dots(
        self, others: Factors, metric: Float[Array, "m component k"] | None = None
    ) -> Float[Array, "example component"]:
        """The inner product of each example's gradient with that of its partner in `others`, each
        weight's part of it times what the metric has there.
        """
        if metric is not None:
            return self.products(others).along(metric[None])[:, 0]
        shared = jnp.einsum("npm,nqm->npq", self.shared, others.shared)
        return jnp.einsum("npq,npck,nqck->nc", shared, self.own, others.own)

    def squares(
        self, metric: Float[Array, "m component k"] | None = None
    ) -> Float[Array, "example component"]:
        """The squared norm of each example's gradient, in a metric as `dots` takes it."""
        if metric is not None:
            return jax.nn.relu(self.dots(self, metric))
        if self.shared.shape[1] > 1:
            return jax.nn.relu(self.dots(self))  # positions may cancel, to below 0 by rounding
        return jnp.sum(self.shared**2, axis=(1, 2))[:, None] * jnp.sum(self.own**2, axis=(1, 3))

    def summed(
        self, weights: Float[Array, "sum example component"]
    ) -> Float[Array, "sum m component k"]:
        """Sums of the gradients over examples, each component's weighted by itself."""
        n_rows = self.shared.shape[0] * self.shared.shape[1]
        weighted = self.own[:, :, None] * jnp.moveaxis(weights, 0, 1)[:, None, :, :, None]
        flat = self.shared.reshape(n_rows, -1).T @ weighted.reshape(n_rows, -1)
        return jnp.moveaxis(flat.reshape(-1, *weighted.shape[2:]), 1, 0)


class Slice(NamedTuple):
    """What a site's components have of a parameter: slice c along an axis. Both None: it is nobody's."""

    parameter: str
    site: Site | None
    axis: int | None


class ExampleGradients(eqx.Module):
    """The gradients of a number of each example. They are `unit` times what the factors multiply out to.

    unit: the largest slope of the number by a logit, which may be 1e-30 for a loss. reads, slopes: by
    parameter, what it reads and the slope at what it writes, in units of `unit`.
    """

    unit: Float[Array, " example"]
    reads: dict[str, Array | None]
    slopes: dict[str, Array]
    shapes: Mapping[str, tuple[int, ...]] = eqx.field(static=True)

    def factors(self, of: Slice) -> Factors:
        """The factors of a parameter's gradients, parted into the components' slices."""
        read, slope, shape = (
            self.reads[of.parameter],
            self.slopes[of.parameter],
            self.shapes[of.parameter],
        )
        n, n_components = len(slope), 1 if of.axis is None else shape[of.axis]
        if read is None or len(shape) == 1:  # a bias, or scales
            own = slope if read is None else read * slope
            own = own.reshape(n, -1, n_components, prod(shape) // n_components)
            return Factors(jnp.ones((*own.shape[:2], 1)), own)
        shared, own = (slope, read) if self._owns_what_is_read(of) else (read, slope)
        shared = shared.reshape(n, -1, shared.shape[-1])
        return Factors(shared, own.reshape(n, shared.shape[1], n_components, -1))

    def laid_out(
        self, of: Slice, arrays: Float[Array, "part ..."]
    ) -> Float[Array, "part m component k"]:
        """Arrays in the shape of a parameter, with their axes as the factors have them."""
        n_components = 1 if of.axis is None else self.shapes[of.parameter][of.axis]
        if self.reads[of.parameter] is None or arrays.ndim == 2:
            return arrays.reshape(len(arrays), 1, n_components, -1)
        moved = jnp.moveaxis(arrays, -1 if self._owns_what_is_read(of) else -2, 1)
        return moved.reshape(*moved.shape[:2], n_components, -1)

    def _owns_what_is_read(self, of: Slice) -> bool:
        """Whether a component is what the parameter reads from, not what it writes to."""
        read, slope = self.reads[of.parameter], self.slopes[of.parameter]
        if len(self.shapes[of.parameter]) == 2:
            return of.axis == 0
        return read is not None and read.ndim > slope.ndim  # heads apart: W_O reads from them


class Chunk(NamedTuple):
    """As many examples as are looked at together; the last is filled up with some that do not count."""

    inputs: Inputs
    labels: Int[Array, " example"]
    counts: Bool[Array, " example"]


def in_chunks(data: Observed, index: Int[np.ndarray, " picked"]) -> Iterator[Chunk]:
    """The examples at these places, so many at a time that memory does not grow with their number."""
    at_once = min(EXAMPLES_AT_ONCE, len(data.labels))
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)  # picked by numpy: no program each
    for start in range(0, len(index), at_once):
        places = np.arange(start, start + at_once)
        picked = index[places % len(index)]
        yield Chunk(*jax.device_put((inputs[picked], labels[picked], places < len(index))))


def slices(model: Model) -> tuple[Slice, ...]:
    """Whose slices all parameters are: a plain MLP's matrix between two layers is the slices of both."""
    owned = [
        Slice(parameter, site, axis)
        for site in model.sites
        for parameter, axis in model.slices(site).items()
    ]
    names = {slice_.parameter for slice_ in owned}
    rest = [name for name in parameter_names(model.network) if name not in names]
    return (*owned, *(Slice(name, None, None) for name in rest))


def example_gradients(
    model: Model, inputs: Inputs, labels: Int[Array, " example"], loss: LossName, temperature: Array
) -> ExampleGradients:
    """The gradient of every example's loss with respect to all weights, by one backward pass."""
    (gradients,) = gradients_of(model, inputs, lambda z: LOSSES[loss](z / temperature, labels))
    return gradients


def gradients_of(
    model: Model, inputs: Inputs, *functions: Callable[[Array], Float[Array, " example"]]
) -> tuple[ExampleGradients, ...]:
    """The gradients of some functions of every example's logits, by one forward pass and a backward pass
    for each.
    """
    spots: list[Any] = []

    def note(written: Array, reads: Mapping[str, Array | None]) -> Array:
        spots.append(jax.ShapeDtypeStruct(written.shape, written.dtype))
        return written

    jax.eval_shape(lambda: model.plain(inputs, write_hook=note))

    def shifted(shifts: list[Array]) -> tuple[Array, list[dict[str, Array | None]]]:
        seen: list[dict[str, Array | None]] = []

        def shift(written: Array, reads: Mapping[str, Array | None]) -> Array:
            seen.append(dict(reads))
            return written + shifts[len(seen) - 1]

        return model.plain(inputs, write_hook=shift), seen

    nothing = [jnp.zeros(spot.shape, spot.dtype) for spot in spots]
    logits, pull, seen = jax.vjp(shifted, nothing, has_aux=True)
    weights = model.network
    shapes = {
        name: leaf.shape
        for name, leaf in zip(parameter_names(weights), jax.tree.leaves(weights), strict=True)
    }
    read_by = {name: read for reads in seen for name, read in reads.items() if name in shapes}

    def sloped(function: Callable[[Array], Array]) -> ExampleGradients:
        values, by_logit = jax.vjp(function, logits)
        (slope,) = by_logit(jnp.ones_like(values))
        unit = jnp.max(jnp.abs(slope), axis=1)
        (slopes,) = pull(slope / jnp.where(unit > 0, unit, 1)[:, None])
        written = zip(seen, slopes, strict=True)
        sloped_by = {name: slope for reads, slope in written for name in reads if name in shapes}
        return ExampleGradients(unit, read_by, sloped_by, shapes)

    return tuple(sloped(function) for function in functions)
