"""How much of a network lies in each part of the functions on a group, and what the loss owes to it.

A part is a frequency of a cyclic group, or an irrep of another (`tasks.irreps.Isotypic`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import Field

from undergrowth.gating.attribution import site_of
from undergrowth.losses import cross_entropy
from undergrowth.measures.harmonics.group_tables import Cells, GroupTable, element_weights, quotients
from undergrowth.measures.reading import Coordinate, Measure, Observed, Reading, scalar
from undergrowth.models import Model, recording
from undergrowth.models.micro_batches import micro_batched, rows_at_once
from undergrowth.models.room import CACHED
from undergrowth.schedules import Schedule
from undergrowth.tasks.groups import products
from undergrowth.tasks.irreps import Isotypic, isotypic


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Of one model on one group's table; parts are counted without the constant one.

    weights: by name, squared norm in each part, the constant first; neurons: the share of each neuron's
    variance over the table in functions of x, of y, of xy (and of x y^-1); variance: of each neuron;
    logits: mean logits where the product is g; logit_power: share of the logits' variance in functions
    of xy; projection: of the logits on tr rho(a) rho(b) rho(c^-1), as a multiple of the part's
    projector; logit_similarity: their correlation.
    """

    parts: Isotypic
    weights: Mapping[str, Float[np.ndarray, " part_or_constant"]]
    neurons: Float[np.ndarray, "direction part neuron"]
    variance: Float[np.ndarray, " neuron"]
    logits: Float[np.ndarray, "element d_vocab_out"]
    logit_power: Float[np.ndarray, " part"]
    projection: Float[np.ndarray, " part"]
    logit_similarity: Float[np.ndarray, " part"]

    def best(self) -> tuple[Int[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
        """Each neuron's part with the largest share, counted from 1, and the share; 0 if constant."""
        share = self.neurons.sum(axis=0)
        best = np.where(self.variance > 0, share.argmax(axis=0) + 1, 0)
        return best, share.max(axis=0)


OF_SPECTRUM = (
    *("weight_power", "weight_constant", "neurons", "neuron_share", "logit_power", "logit_similarity"),
    *("key", "n_key", "restricted_loss", "restricted_train_loss", "restricted_val_loss"),
    *("excluded_loss", "mean_logits"),
)


class SpectralMeasure(Measure):
    """What `Fourier` and `Representations` have in common: the readings of a spectrum.

    exclude_each: whether the loss without each single part is measured, which is most of the cost;
    mean_logits: whether {prefix}_mean_logits [product, label] is read, the logits' means over the cells
    ab of a product, elements numbered as in `Group`: of these `analysis.general_part` computes what any
    parts, known only later, contribute to each example.
    """

    axis: ClassVar[str]
    directions: ClassVar[tuple[str, ...]]

    prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    exclude_each: bool = True
    mean_logits: bool = False
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def names(self) -> tuple[str, ...]:
        of_axis = (f"neuron_{self.axis}", f"excluded_loss_by_{self.axis}")
        return tuple(f"{self.prefix}_{name}" for name in (*OF_SPECTRUM, *of_axis, *self.endings))

    @property
    def scalars(self) -> tuple[str, ...]:
        losses = ("restricted_loss", "restricted_train_loss", "restricted_val_loss", "excluded_loss")
        return tuple(f"{self.prefix}_{name}" for name in ("n_key", *losses))

    @abstractmethod
    def labels(self, parts: Isotypic) -> Coordinate:
        """What the parts are called, without the constant one."""

    @abstractmethod
    def is_key(self, spectrum: Spectrum) -> Bool[np.ndarray, " part"]:
        """The parts by which the network computes, by the measure's rule."""

    @abstractmethod
    def written(
        self, spectrum: Spectrum, table: GroupTable, part: int
    ) -> Float[np.ndarray, "column d_vocab_out"]:
        """What each column of a part's basis contributes to each logit."""

    def spectral_readings(self, model: Model, data: Observed, table: GroupTable) -> dict[str, Reading]:
        """All readings but those that a measure adds of its own."""
        cells = Cells.of(table, data)
        spectrum = spectrum_of(model, cells, table, with_inverse="x-y" in self.directions)
        is_key = self.is_key(spectrum)
        parts = range(1, len(spectrum.parts.names))
        columns = [spectrum.parts.basis[:, spectrum.parts.part == part] for part in parts]
        written = [self.written(spectrum, table, part) for part in parts]
        of_keys = sum(
            (c @ w for c, w, key in zip(columns, written, is_key, strict=True) if key),
            np.zeros_like(spectrum.logits),
        )
        named = {self.axis: self.labels(spectrum.parts)}
        readings = self._shares(spectrum, named)
        readings["key"] = Reading((self.axis,), is_key.astype(np.float32), named)
        readings["n_key"] = scalar(float(is_key.sum()))
        restricted = of_keys + spectrum.logits.mean(axis=0)
        losses = _restricted_losses(restricted, cells, products(table.group))
        for name, loss in zip(("", "train_", "val_"), losses, strict=True):
            readings[f"restricted_{name}loss"] = scalar(loss)
        each = list(zip(columns, written, strict=True)) if self.exclude_each else []
        excluded = _excluded_losses(model, cells, products(table.group), of_keys, each)
        readings["excluded_loss"] = scalar(float(excluded[0]))
        if self.exclude_each:
            by_part = excluded[1:].astype(np.float32)
            readings[f"excluded_loss_by_{self.axis}"] = Reading((self.axis,), by_part, named)
        if self.mean_logits:
            mean = spectrum.logits.astype(np.float32)
            readings["mean_logits"] = Reading(("product", "label"), mean)
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}

    def _shares(self, spectrum: Spectrum, named: dict[str, Coordinate]) -> dict[str, Reading]:
        best, share = spectrum.best()
        power = np.array(list(spectrum.weights.values())).reshape(-1, len(spectrum.parts.names))
        matrices = {"matrix": tuple(spectrum.weights)}
        total = spectrum.variance.sum()
        of_all = (spectrum.neurons @ spectrum.variance) / (total if total > 0 else 1)
        arrays = {
            "weight_power": (("matrix", self.axis), power[:, 1:], matrices | named),
            "weight_constant": (("matrix",), power[:, 0], matrices),
            "neurons": (("direction", self.axis), of_all, {"direction": self.directions} | named),
            "neuron_share": (("neuron",), share, {}),
            f"neuron_{self.axis}": (("neuron",), best, {}),
            "logit_power": ((self.axis,), spectrum.logit_power, named),
            "logit_similarity": ((self.axis,), spectrum.logit_similarity, named),
        }
        return {
            name: Reading(dims, values.astype(np.float32), coords)
            for name, (dims, values, coords) in arrays.items()
        }


def spectrum_of(model: Model, cells: Cells, table: GroupTable, with_inverse: bool) -> Spectrum:
    """One pass over the group's table, and transforms of what it adds up to.

    with_inverse: whether functions of x y^-1 count among those of a neuron, apart from what they share
    with functions of xy (which is so where the part is one column, a sign).
    """
    parts, n = isotypic(table.group), len(table.x)
    of_product, of_inverse = quotients(table.group)
    by_column = np.stack([np.broadcast_to(np.arange(n), (n, n)), of_product])
    if with_inverse:
        by_column = np.concatenate([by_column, of_inverse[None]])
    sums = _summed(model, cells, by_column, table.label)
    neurons, variance = _of_neurons(parts, sums, with_inverse)
    logits = sums.logits / n
    power, projection, similarity = _of_logits(parts, logits[:, table.label], sums.logit_squares)
    weights = {
        name: _by_part(parts, ((parts.basis.T @ array) ** 2).sum(axis=1))
        for name, array in element_weights(model, table).items()
    }
    return Spectrum(parts, weights, neurons, variance, logits, power, projection, similarity)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the table, float64: of neurons by x and along other directions, of logits by product.

    logit_squares: of the labels' logits less their mean.
    """

    of_x: Float[np.ndarray, "element neuron"]
    along: Float[np.ndarray, "direction element neuron"]
    squares: Float[np.ndarray, " neuron"]
    logits: Float[np.ndarray, "element d_vocab_out"]
    logit_squares: float


def _of_neurons(
    parts: Isotypic, sums: _Sums, with_inverse: bool
) -> tuple[Float[np.ndarray, "direction part neuron"], Float[np.ndarray, " neuron"]]:
    """The share of each neuron's variance in each direction and part, and the variance."""
    n = len(parts.basis)
    means = np.stack([sums.of_x, *sums.along]) / n
    mean_square = sums.squares / n**2
    variance = mean_square - means[0].mean(axis=0) ** 2
    variance = np.where(variance > 1e-6 * mean_square, variance, 0)  # else it is rounding
    power = _by_part(parts, np.einsum("gc,dgn->cdn", parts.basis, means) ** 2)[1:] / n
    if with_inverse:
        is_sign = np.bincount(parts.part)[1:] == 1
        power[is_sign, -1] = 0
    shares = np.divide(power, variance, out=np.zeros_like(power), where=variance > 0)
    return np.moveaxis(shares, 1, 0), variance


def _of_logits(
    parts: Isotypic, logits: Float[np.ndarray, "element label"], squares: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """logit_power, projection and logit_similarity [part] of mean logits where the product is g."""
    n = len(logits)
    centred = logits - logits.mean(axis=1, keepdims=True)
    total = squares - n**2 * (centred.mean(axis=0) ** 2).sum()
    total = total if total > 0 else 1.0  # all logits are alike, and the shares 0
    within = parts.basis.T @ (centred - centred.mean(axis=0))
    power = _by_part(parts, (within**2).sum(axis=1))[1:] * n / total
    trace = _by_part(parts, np.einsum("cl,lc->c", within, parts.basis))[1:]
    n_columns = np.bincount(parts.part)[1:]
    return power, trace / n_columns, trace * np.sqrt(n / (n_columns * total))


def _summed(model: Model, cells: Cells, by_column: np.ndarray, label: np.ndarray) -> _Sums:
    """One forward pass over the table, some of its rows at a time."""
    site = site_of(model, "neuron").name
    n = len(cells.inputs)
    size = min(n, max(1, _at_once(model, n) // n))
    of_x, sums = [], None
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)
        counts = jnp.asarray(np.arange(start, start + size) < n)
        inputs, columns = jnp.asarray(cells.inputs[rows]), jnp.asarray(by_column[:, rows])
        of_rows, *added = _row_sums(model, site, inputs, columns, counts, jnp.asarray(label))
        of_x.append(of_rows)
        added = [np.asarray(a, np.float64) for a in added]
        sums = added if sums is None else [a + b for a, b in zip(sums, added, strict=True)]
    assert sums is not None
    along, squares, logits, logit_squares = sums
    x = np.concatenate([np.asarray(a, np.float64) for a in of_x])[:n]
    return _Sums(x, along, squares, logits, float(logit_squares))


@eqx.filter_jit
def _row_sums(
    model: Model,
    site: str,
    inputs: Int[Array, "row element 2"],
    columns: Int[Array, "direction row element"],
    counts: Bool[Array, " row"],
    label: Int[Array, " element"],
) -> tuple[Array, Array, Array, Array, Array]:
    """What `_Sums` adds up, over some rows."""
    recorded: dict[str, Array] = {}
    shape = inputs.shape[:2]
    logits = model(inputs.reshape(-1, 2), recording(recorded)).reshape(*shape, -1)
    post = recorded[site].reshape(*shape, -1)
    post, logits = (jnp.where(counts[:, None, None], a, 0) for a in (post, logits))

    def along(values: Array, column: Array) -> Array:
        return jnp.sum(jax.vmap(lambda row, index: row[index])(values, column), axis=0)

    is_label = jnp.zeros(logits.shape[2]).at[label].set(1)
    centred = is_label * (logits - (logits @ is_label / len(label))[:, :, None])
    return (
        jnp.sum(post, axis=1),
        jnp.stack([along(post, column) for column in columns]),
        jnp.sum(post**2, axis=(0, 1)),
        along(logits, columns[1]),
        jnp.sum(centred**2),
    )


def _by_part(parts: Isotypic, values: np.ndarray) -> np.ndarray:
    """The sum of values [column, ...] over the columns of each part, the constant first."""
    starts = np.flatnonzero(np.diff(parts.part, prepend=-1))
    return np.add.reduceat(values, starts, axis=0)


def _restricted_losses(
    logits: Float[np.ndarray, "element d_vocab_out"], cells: Cells, product: np.ndarray
) -> tuple[float, float, float]:
    """Mean cross-entropy over all cells, train and val of logits that depend on the product alone."""
    n_outputs = logits.shape[1]
    said, which = np.unique(product * n_outputs + cells.labels, return_inverse=True)
    rows = (logits[said // n_outputs].astype(np.float32), (said % n_outputs).astype(np.int32))
    losses = micro_batched(_losses, rows, max(1, 4 * CACHED // n_outputs)).astype(np.float64)
    of_cell = losses[which.reshape(product.shape)]
    train, val = (_mean(of_cell, side) for side in cells.sides)
    return float(of_cell.mean()), train, val


_losses = eqx.filter_jit(cross_entropy)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def _excluded_losses(
    model: Model,
    cells: Cells,
    product: np.ndarray,
    of_keys: Float[np.ndarray, "element d_vocab_out"],
    each: list[tuple[np.ndarray, np.ndarray]],
) -> Float[np.ndarray, " key_parts_then_each"]:
    """Mean cross-entropy over training cells without what the key parts write, and without each one.

    each: of each part its columns [element, column] and what they write [column, d_vocab_out].
    """
    is_train = cells.sides[0]
    width = max((columns.shape[1] for columns, _ in each), default=1)  # others are filled up with 0
    left = np.zeros((len(each), len(of_keys), width), np.float32)
    right = np.zeros((len(each), width, of_keys.shape[1]), np.float32)
    for i, (columns, written) in enumerate(each):
        left[i, :, : columns.shape[1]], right[i, : len(written)] = columns, written
    subtracted = (jnp.asarray(of_keys, jnp.float32), jnp.asarray(left), jnp.asarray(right))
    rows = (cells.inputs[is_train], product[is_train], cells.labels[is_train])
    excluded = partial(_without, model, *subtracted)
    return micro_batched(excluded, rows, _at_once(model, len(product))).mean(axis=0, dtype=np.float64)


def _at_once(model: Model, n_labels: int) -> int:
    """How many examples to compute at a time: their logits are several times in memory, 16 MiB each."""
    return max(1, min(rows_at_once(model), 4 * CACHED // n_labels))


@eqx.filter_jit
def _without(
    model: Model, of_keys: Array, left: Array, right: Array, inputs: Array, product: Array, labels: Array
) -> Float[Array, "example key_parts_then_each"]:
    logits = model(inputs)

    def without(factors: tuple[Array, Array]) -> Array:
        return cross_entropy(logits - (factors[0] @ factors[1])[product], labels)

    all_keys = cross_entropy(logits - of_keys[product], labels)
    return jnp.concatenate([all_keys[None], jax.lax.map(without, (left, right))]).T
