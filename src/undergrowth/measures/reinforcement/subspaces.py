"""Subspaces of parameters: what is looked at of a weight matrix where its components are directions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undergrowth.measures.harmonics.group_tables import GroupTable
from undergrowth.measures.reinforcement.example_gradients import Factors
from undergrowth.models import Model, parameter_names
from undergrowth.tasks.irreps import isotypic


class Directions(eqx.Module):
    """Some directions along one axis of a parameter, all else about it left free.

    parameter: a matrix, by its name in the state dict; axis: 0, what it reads, or 1, what it writes;
    projector: onto the directions, symmetric [row, row]. What is there of an array is its
    projection along the axis.
    """

    parameter: str = eqx.field(static=True)
    axis: int = eqx.field(static=True)
    projector: Float[Array, "row row"]

    @classmethod
    def spanned(
        cls, parameter: str, columns: Float[np.ndarray, "row column"], axis: int = 0
    ) -> Directions:
        """The directions that some columns span, which need be neither orthogonal nor independent."""
        left, size, _ = np.linalg.svd(columns.astype(np.float64), full_matrices=False)
        kept = left[:, size > 1e-9 * size.max(initial=0)]
        return cls(parameter, axis, jnp.asarray(kept @ kept.T, jnp.float32))

    def complement(self) -> Directions:
        """All others along the same axis."""
        return Directions(self.parameter, self.axis, jnp.eye(len(self.projector)) - self.projector)

    def of_gradients(self, factors: Factors) -> Factors:
        """What is there of each example's gradient of the parameter, not parted into components."""
        if self.axis == 0:
            return Factors(factors.shared @ self.projector, factors.own)
        return Factors(factors.shared, factors.own @ self.projector)

    def of_array(self, laid_out: Float[np.ndarray, "m 1 k"]) -> Float[np.ndarray, "m 1 k"]:
        """What is there of an array that has its axes as the factors have them."""
        projector = np.asarray(self.projector, np.float64)
        if self.axis == 0:
            return np.einsum("rm,mck->rck", projector, laid_out)
        return laid_out @ projector

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ValueError where it is of no parameter of these, or of another length."""
        if self.parameter not in shapes:
            raise ValueError(f"no parameter {self.parameter!r} in this model: take {', '.join(shapes)}")
        shape = shapes[self.parameter]
        if len(shape) != 2 or self.axis not in (0, 1):
            raise ValueError(
                f"{self.parameter} has shape {list(shape)}, so it has no directions along axis "
                f"{self.axis}: take axis 0 or 1 of a matrix"
            )
        if shape[self.axis] != len(self.projector):
            raise ValueError(
                f"{self.parameter} has {shape[self.axis]} rows along axis {self.axis}, its directions "
                f"{len(self.projector)}: give them as many"
            )


Subspace = tuple[Directions, ...]
"""Directions of different parameters, taken together as one component."""


def complement(subspace: Subspace) -> Subspace:
    """All else of the same parameters."""
    return tuple(directions.complement() for directions in subspace)


def of_irreps(model: Model, table: GroupTable, names: Collection[str]) -> Subspace:
    """Functions of the operands in some irreps of a group, in the weights that are the operands'.

    names: as `tasks.irreps.irreps` has them; of a cyclic group they are frequencies, "1", "2", ...,
    each a cosine and a sine over the tokens in the order of the group. Raises ValueError for a name that
    is none.
    """
    parts = isotypic(table.group)
    if unknown := sorted(set(names) - set(parts.names)):
        raise ValueError(f"{table.group} has no irrep {unknown[0]!r}: take {', '.join(parts.names)}")
    chosen = np.isin(np.array(parts.names)[parts.part], list(names))
    columns = parts.basis[:, chosen]
    found = []
    shapes = parameter_shapes(model)
    for parameter, of_operand in model.element_rows().items():
        n_rows, blocks = shapes[parameter][0], []
        for operand, rows in of_operand.items():
            block = np.zeros((n_rows, columns.shape[1]))
            block[rows.start + table.operand(operand)] = columns
            blocks.append(block)
        found.append(Directions.spanned(parameter, np.concatenate(blocks, axis=1)))
    return tuple(found)


def parameter_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by its name in the state dict."""
    weights = model.network
    leaves = jax.tree.leaves(weights)
    return {name: leaf.shape for name, leaf in zip(parameter_names(weights), leaves, strict=True)}
