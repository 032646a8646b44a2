"""Circuits in closed form on the table of a group: look-ups, strips of any generality, and general ones.

Each is a block of neurons that read the two operands, act(W_x[x] + W_y[y] + b), and write logits. On a
cell of the table that it serves, a block's logits are 1 at the label of the cell and 0 elsewhere, up to
one number on all labels alike, which no probability sees; on all other cells they are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from undergrowth.tasks.groups import factors, products
from undergrowth.tasks.irreps import irreps

General = Literal["fourier", "irreps", "none"]
PHASES = 6
"""Neurons a frequency that the quadratic circuit takes at least for all terms but one to cancel."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of one block or of several, one after the other.

    act: quadratic where is_square, else ReLU; block: whose each neuron is.
    """

    W_x: Float[np.ndarray, "operand neuron"]
    W_y: Float[np.ndarray, "operand neuron"]
    b: Float[np.ndarray, " neuron"]
    is_square: Bool[np.ndarray, " neuron"]
    W_out: Float[np.ndarray, "neuron label"]
    block: Int[np.ndarray, " neuron"]

    def of(self, block: int) -> Neurons:
        """One block's neurons."""
        its = self.block == block
        return Neurons(
            self.W_x[:, its],
            self.W_y[:, its],
            self.b[its],
            self.is_square[its],
            self.W_out[its],
            self.block[its],
        )

    def activations(self) -> Float[np.ndarray, "cell neuron"]:
        """Of every cell of the table, in row-major order."""
        pre = self.W_x[:, None] + self.W_y[None] + self.b
        post = np.where(self.is_square, pre**2, np.maximum(pre, 0))
        return post.reshape(-1, post.shape[-1])


@dataclass(frozen=True)
class Circuits:
    """Which blocks are planted on the table xy of a group, in this order.

    has_lookups: one block a cell, in row-major order; strips: of consecutive cells in row-major order,
    as many in each as a number says; general: one block that serves all cells.

    Raises ValueError where they do not fit the table, or there is none.

    >>> Circuits("C5", has_lookups=False, strips=(5, 5)).generality
    (5, 5, 25)
    """

    group: str
    has_lookups: bool = True
    strips: tuple[int, ...] = ()
    general: General = "fourier"

    def __post_init__(self) -> None:
        order = len(products(self.group))
        if sum(self.strips) > order**2:
            raise ValueError(
                f"strips of {sum(self.strips)} cells in all do not fit: the table of {self.group} has "
                f"{order**2}: make them shorter or fewer, or take a larger group"
            )
        if self.general == "fourier" and (not self._is_cyclic or order % 2 == 0):
            raise ValueError(
                f"general = 'fourier' does not fit {self.group}: it takes a cyclic group of odd order, "
                "as C5: take that, or general = 'irreps'"
            )
        if self.general == "irreps":
            irreps(self.group)
        if not (self.has_lookups or self.strips or self.general != "none"):
            raise ValueError("no block is planted: take lookups = true, some strips, or a general one")

    @property
    def _is_cyclic(self) -> bool:
        return [kind for kind, _ in factors(self.group)] == ["C"]

    @property
    def cells(self) -> tuple[tuple[int, ...], ...]:
        """Of each block the cells that it serves, by their places in row-major order."""
        n = len(products(self.group)) ** 2
        ends = np.cumsum((0, *self.strips))
        lookups = [(i,) for i in range(n)] if self.has_lookups else []
        strips = [tuple(range(a, b)) for a, b in pairwise(ends.tolist())]
        general = [] if self.general == "none" else [tuple(range(n))]
        return (*lookups, *strips, *general)

    @property
    def generality(self) -> tuple[int, ...]:
        """Of each block how many cells it serves."""
        return tuple(map(len, self.cells))

    def neurons(self) -> Neurons:
        """All blocks' neurons, float64; read-only."""
        return _neurons(self)


@lru_cache(maxsize=16)
def _neurons(circuits: Circuits) -> Neurons:
    table = products(circuits.group)
    shallow = circuits.cells if circuits.general == "none" else circuits.cells[:-1]
    found = [_lookups(table, cells, block) for block, cells in enumerate(shallow)]
    if circuits.general == "fourier":
        found.append(_fourier(len(table), len(shallow)))
    if circuits.general == "irreps":
        found.append(_irreps(circuits.group, len(shallow)))
    return Neurons(
        np.concatenate([each.W_x for each in found], axis=1),
        np.concatenate([each.W_y for each in found], axis=1),
        np.concatenate([each.b for each in found]),
        np.concatenate([each.is_square for each in found]),
        np.concatenate([each.W_out for each in found]),
        np.concatenate([each.block for each in found]),
    )


def _lookups(table: np.ndarray, cells: Sequence[int], block: int) -> Neurons:
    """A neuron a cell, ReLU(1[x] + 1[y] - 3/2), which is 1/2 there and 0 at all others."""
    one_hot = np.eye(len(table))
    x, y = np.unravel_index(np.asarray(cells), table.shape)
    return Neurons(
        one_hot[:, x],
        one_hot[:, y],
        np.full(len(x), -1.5),
        np.zeros(len(x), bool),
        2 * one_hot[table[x, y]],
        np.full(len(x), block),
    )


def _fourier(p: int, block: int) -> Neurons:
    """Gromov 2023 (arXiv:2301.02679), with even phases in the place of random ones.

    (cos(w x + a) + cos(w y - 2 a))^2 is read by cos(w c - a), for w = 2 pi k / p with all k from 1 to
    (p - 1) / 2; of its terms the sum over the phases leaves cos(w (x + y - c)) alone, and the sum over k
    is (p 1[c = x + y] - 1) / 2.
    """
    n = (p - 1) // 2
    phase = np.tile(2 * math.pi * np.arange(PHASES) / PHASES, n)
    w = np.repeat(2 * math.pi * np.arange(1, n + 1) / p, PHASES)
    at = np.arange(p)[:, None]
    return Neurons(
        np.cos(w * at + phase),
        np.cos(w * at - 2 * phase),
        np.zeros(len(w)),
        np.ones(len(w), bool),
        2 / p * 2 / PHASES * np.cos(w * at - phase).T,
        np.full(len(w), block),
    )


def _irreps(group: str, block: int) -> Neurons:
    """sum over irreps of d tr(rho(x) rho(y) rho(c)^-1) / n = 1[c = xy], of products of two numbers each.

    As in Chughtai et al. 2023 (arXiv:2302.03025), with all irreps. A product is two quadratic neurons:
    4 a b = (a + b)^2 - (a - b)^2.
    """
    left, right, read = [], [], []
    for irrep in irreps(group):
        n, d, _ = irrep.matrices.shape
        parts = (np.real(irrep.matrices), np.imag(irrep.matrices))
        for of_x, of_y, of_c, sign in ((0, 0, 0, 1), (1, 1, 0, -1), (0, 1, 1, 1), (1, 0, 1, 1)):
            for i, j, k in np.ndindex(d, d, d):
                a, b = parts[of_x][:, i, j], parts[of_y][:, j, k]
                c = sign * d / n * parts[of_c][:, i, k]  # rho is unitary: that of c^-1 is its conjugate
                if np.abs(a).max() * np.abs(b).max() * np.abs(c).max() > 1e-12:
                    left.append(a)
                    right.append(b)
                    read.append(c)
    a, b, c = (np.stack(each, axis=1) for each in (left, right, read))
    n_neurons = 2 * a.shape[1]
    return Neurons(
        np.concatenate([a, a], axis=1),
        np.concatenate([b, -b], axis=1),
        np.zeros(n_neurons),
        np.ones(n_neurons, bool),
        np.concatenate([c, -c], axis=1).T / 4,
        np.full(n_neurons, block),
    )
