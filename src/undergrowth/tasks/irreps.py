"""Irreducible representations of the groups by name, and the Fourier basis that they give.

Sources: Serre 1977, Linear Representations of Finite Groups (cyclic and dihedral groups, products);
Young's orthogonal form for symmetric groups, and what is left of it on alternating ones (James & Kerber
1981, sections 3.4 and 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Complex, Float, Int

from undergrowth.tasks.groups import even_and_odd, factors, products


@dataclass(frozen=True, eq=False)
class Irrep:
    """A name and a unitary matrix for each element: matrices[xy] = matrices[x] @ matrices[y]."""

    name: str
    matrices: Complex[np.ndarray, "element d d"]

    @property
    def character(self) -> Complex[np.ndarray, " element"]:
        """The trace of each matrix."""
        return np.trace(self.matrices, axis1=1, axis2=2)


@dataclass(frozen=True, eq=False)
class Isotypic:
    """Real functions on a group, parted into what translations from left and right do not mix.

    basis: orthonormal columns, all functions on the group; part: to which part each belongs. Part 0 is
    the constants. A part is an irrep with real matrices, or one together with its complex conjugate, and
    is spanned by sqrt(d / n) rho_ij(g), or by sqrt(2 d / n) times their real and imaginary parts.
    """

    names: tuple[str, ...]
    basis: Float[np.ndarray, "element column"]
    part: Int[np.ndarray, " column"]


def irreps(group: str) -> tuple[Irrep, ...]:
    """All irreps over the complex numbers up to equivalence, the trivial one first.

    Elements are numbered as in `Group`. Names: of C{n} the k in exp(2 pi i k g / n); of D{n} Mulliken's
    A1, A2 (s is -1), B1, B2 (r is -1) and E{k} (r turns by 2 pi k / n); of S{n} the partition, as in
    "(4,1)", of which "(5)" is trivial and "(1,1,1,1,1)" the sign; of A{n} the first of two conjugate
    partitions, and of one that is its own conjugate two halves, "(3,1,1)+" and "(3,1,1)-": the first
    has the larger character (its real part, else its imaginary one) at the first element where they
    differ; of a product these joined by x.

    Raises ValueError for dicyclic groups.

    >>> [(irrep.name, irrep.matrices.shape[1]) for irrep in irreps("S3")]
    [('(3)', 1), ('(2,1)', 2), ('(1,1,1)', 1)]
    """
    unknown = sorted({kind for kind, _ in factors(group)} - set(_IRREPS))
    if unknown:
        raise ValueError(
            f"group = {group!r}: the irreps of {unknown[0]}'s are not known here: use a group of kind "
            "C, D, S or A, or a product of such"
        )
    return tuple(reduce(_outer, (list(_IRREPS[kind](n)) for kind, n in factors(group))))


@lru_cache(maxsize=4)
def isotypic(group: str) -> Isotypic:
    """The parts of the functions on a group, in the order of `irreps`; read-only."""
    found = irreps(group)
    characters = np.stack([irrep.character for irrep in found])
    conjugate = np.real(characters @ characters.T).argmax(axis=1)  # the one product that is not 0
    names, columns, part = [], [], []
    for i, irrep in enumerate(found):
        n, d, _ = irrep.matrices.shape
        entries = irrep.matrices.reshape(n, d * d)
        if conjugate[i] == i:
            spanning = (d / n) ** 0.5 * np.real(entries)
        elif conjugate[i] > i:
            both = np.concatenate([np.real(entries), np.imag(entries)], axis=1)
            spanning = (2 * d / n) ** 0.5 * both
        else:  # it stands in a pair already
            continue
        part += [len(names)] * spanning.shape[1]
        names.append(irrep.name)
        columns.append(spanning)
    basis = np.concatenate(columns, axis=1)
    basis.setflags(write=False)
    return Isotypic(tuple(names), basis, np.array(part))


def _cyclic(n: int) -> Iterator[Irrep]:
    for k in range(n):
        turned = np.exp(2j * np.pi * (k * np.arange(n) % n) / n)
        is_real = 2 * k % n == 0
        exact = np.real(turned).round().astype(complex) if is_real else turned
        yield Irrep(str(k), exact.reshape(n, 1, 1))


def _dihedral(n: int) -> Iterator[Irrep]:
    r, s = 1 % n, n
    signs = {"A1": (1, 1), "A2": (1, -1)} | ({"B1": (-1, 1), "B2": (-1, -1)} if n % 2 == 0 else {})
    for name, (of_r, of_s) in signs.items():
        yield _generated(name, f"D{n}", {r: np.eye(1) * of_r, s: np.eye(1) * of_s})
    for k in range(1, (n + 1) // 2):
        angle = 2 * np.pi * k / n
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        yield _generated(f"E{k}", f"D{n}", {r: turn, s: np.diag([1.0, -1.0])})


def _symmetric(n: int) -> Iterator[Irrep]:
    """Young's orthogonal form: the swap of i and i + 1 acts on standard tableaux.

    It maps T to T / r + sqrt(1 - 1 / r^2) T', where r is the content of i + 1 minus that of i, and T' is
    T with the two swapped.
    """
    rows = np.arange(n)
    place = np.cumprod([1, *range(1, n)])[::-1]  # what each entry's rank weighs, lexicographically
    for shape in _partitions(n):
        tableaux = list(_standard_tableaux(shape))
        generators = {}
        for i in range(n - 1):
            matrix = np.zeros((len(tableaux), len(tableaux)))
            for t, tableau in enumerate(tableaux):
                (row, column), (next_row, next_column) = tableau[i], tableau[i + 1]
                r = (next_column - next_row) - (column - row)
                matrix[t, t] = 1 / r
                swapped = (*tableau[:i], tableau[i + 1], tableau[i], *tableau[i + 2 :])
                if swapped in tableaux:
                    matrix[tableaux.index(swapped), t] = (1 - 1 / r**2) ** 0.5
            swap = rows.copy()
            swap[[i, i + 1]] = swap[[i + 1, i]]
            rank = [(swap[j + 1 :] < swap[j]).sum() for j in rows]
            generators[int(rank @ place)] = matrix
        yield _generated(f"({','.join(map(str, shape))})", f"S{n}", generators)


def _alternating(n: int) -> Iterator[Irrep]:
    """The irreps of the symmetric group on its even permutations.

    Two that differ by the sign are the same there. One that is its own product with the sign falls into
    two of half its size: the eigenspaces of a matrix that commutes with what is even and changes its
    sign under what is odd.
    """
    is_odd = even_and_odd(n)[1]
    for shape, irrep in zip(_partitions(n), _symmetric(n), strict=True):
        conjugate = tuple(sum(length > column for length in shape) for column in range(shape[0]))
        even = irrep.matrices[~is_odd]
        if shape > conjugate or n == 1:
            yield Irrep(irrep.name, even)
        elif shape == conjugate:
            halves = _halves(np.real(irrep.matrices), is_odd)
            parts = [half.conj().T @ even @ half for half in halves]
            for sign, part in zip("+-", _larger_first(parts), strict=True):
                yield Irrep(irrep.name + sign, part)


def _halves(matrices: np.ndarray, is_odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns of the two spaces that even elements keep and odd ones exchange."""
    d = matrices.shape[1]
    drawn = np.random.default_rng(0).standard_normal((d, d))  # any: it is averaged over the group
    signed = np.where(is_odd, -1, 1)[:, None, None] * matrices
    exchanged = np.einsum("gij,jk,glk->il", signed, drawn, matrices)
    symmetric, skew = exchanged + exchanged.T, exchanged - exchanged.T
    hermitian = symmetric if np.abs(symmetric).max() > np.abs(skew).max() else 1j * skew
    columns = np.linalg.eigh(hermitian)[1]
    return columns[:, : d // 2], columns[:, d // 2 :]


def _larger_first(parts: list[np.ndarray]) -> list[np.ndarray]:
    traces = np.stack([np.trace(part, axis1=1, axis2=2) for part in parts]).round(9)
    at = int((traces[0] != traces[1]).argmax())
    return sorted(parts, key=lambda part: _rank(np.trace(part[at])), reverse=True)


def _rank(number: complex) -> tuple[float, float]:
    return round(float(np.real(number)), 9), round(float(np.imag(number)), 9)


def _partitions(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """n as descending sums, from (n) to (1, .., 1)."""
    if n == 0:
        yield ()
    for first in range(min(n, largest or n), 0, -1):
        for rest in _partitions(n - first, first):
            yield (first, *rest)


def _standard_tableaux(shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Where 1, 2, .. n stand, as (row, column), in every tableau that ascends along both."""
    if sum(shape) == 0:
        yield ()
    for row, length in enumerate(shape):
        if length and (row + 1 == len(shape) or shape[row + 1] < length):
            smaller = (*shape[:row], length - 1, *shape[row + 1 :])
            for rest in _standard_tableaux(smaller):
                yield (*rest, (row, length - 1))


def _generated(name: str, group: str, generators: dict[int, np.ndarray]) -> Irrep:
    """The irrep in which some elements, that make the group, have these matrices."""
    table = products(group)
    d = len(next(iter(generators.values()))) if generators else 1
    matrices = np.zeros((len(table), d, d), complex)
    matrices[0] = np.eye(d)
    reached, seen = [0], {0}
    for element in reached:  # grows as it goes
        for generator, matrix in generators.items():
            after = int(table[generator, element])
            if after not in seen:
                seen.add(after)
                reached.append(after)
                matrices[after] = matrix @ matrices[element]
    return Irrep(name, matrices)


def _outer(first: list[Irrep], second: list[Irrep]) -> list[Irrep]:
    """All products of an irrep of each factor, which are the irreps of the direct product."""
    return [
        Irrep(
            f"{a.name}x{b.name}",
            np.einsum("gij,hkl->ghikjl", a.matrices, b.matrices).reshape(
                len(a.matrices) * len(b.matrices),
                a.matrices.shape[1] * b.matrices.shape[1],
                a.matrices.shape[1] * b.matrices.shape[1],
            ),
        )
        for a in first
        for b in second
    ]


_IRREPS: dict[str, Callable[[int], Iterator[Irrep]]] = {
    "C": _cyclic,
    "D": _dihedral,
    "S": _symmetric,
    "A": _alternating,
}
