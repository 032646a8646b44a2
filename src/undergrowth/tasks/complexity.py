"""How complex a task is: symbols of its formula, compressed size of its table, its group's irreps."""

from __future__ import annotations

import re
import zlib

import numpy as np

SYMBOL = re.compile(r"[xy]|[0-9]+|[-+*/^]|if|odd|else|\s+")
FACTORS = re.compile(r"(?<=[xy0-9])(?=[xy])")


def n_symbols(formula: str) -> int:
    """Operands, numbers, operators and words of a formula; a product that is not written counts too.

    >>> n_symbols("x+y"), n_symbols("x^2+xy+y^2"), n_symbols("x/y if y odd else x-y")
    (3, 11, 10)
    """
    left = SYMBOL.sub("", formula)
    if left:
        raise ValueError(
            f"formula {formula!r} has {left[0]!r}: write it with x, y, numbers and + - * / ^"
        )
    return sum(not found.isspace() for found in SYMBOL.findall(FACTORS.sub("*", formula)))


def table_bytes(table: np.ndarray) -> int:
    """Bytes of the table's labels, row by row, two bytes a cell, once compressed (zlib, level 9).

    An upper bound of what describes the table that needs no formula. It hangs on how the elements are
    numbered, which a network never sees, and on what zlib finds: it repeats what came before.
    """
    return len(zlib.compress(np.ascontiguousarray(table, "<i2").tobytes(), 9))


def conjugacy_classes(table: np.ndarray) -> np.ndarray:
    """The class of each element of a group, int [element], from its table of products; 0 is identity.

    There are as many irreps over the complex numbers as classes (Serre 1977, theorem 7).
    """
    inverse = table.argmin(axis=1)
    conjugates = table[table, inverse[:, None]]  # [g, x]: (g x) g^-1
    return np.unique(conjugates.min(axis=0), return_inverse=True)[1]


def irrep_degrees(table: np.ndarray) -> tuple[int, ...]:
    """The degrees of a group's irreps over the complex numbers, ascending (Burnside; Dixon 1967).

    The sums over classes multiply among themselves; what is an eigenvector of all those products gives
    an irrep's character, up to its degree d, by which d^2 sum |w|^2 / |class| = order.

    >>> from undergrowth.tasks.groups import products
    >>> irrep_degrees(products("A4"))
    (1, 1, 1, 3)
    """
    of = conjugacy_classes(table)
    sizes = np.bincount(of)
    counts = np.zeros((len(sizes),) * 3)
    np.add.at(counts, (of[:, None], of[None, :], of[table]), 1.0)
    products_of_classes = (
        counts / sizes
    )  # [j, i, l]: pairs of classes j and i that make one element of l
    mixed = np.tensordot(np.random.default_rng(0).standard_normal(len(sizes)), products_of_classes, 1)
    vectors = np.linalg.eig(mixed)[1]
    values = vectors / vectors[of[0]]
    degrees = np.sqrt(len(table) / (np.abs(values) ** 2 / sizes[:, None]).sum(axis=0))
    return tuple(sorted(int(d) for d in degrees.round()))
