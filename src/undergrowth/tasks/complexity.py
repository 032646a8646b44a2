"""How complex a task is: symbols of its formula, size of its compressed table, its group's irreps."""

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


def lempel_ziv(labels: np.ndarray) -> float:
    """The Lempel-Ziv complexity of a row of labels 0 and 1, in bits, read from either end.

    log2(n) (N(row) + N(row backwards)) / 2 for n labels, with N the number of words of Lempel & Ziv
    1976, and log2(n) for a constant row: Dingle et al. 2018 (doi:10.1038/s41467-018-03101-6, equation
    4), as Mingard et al. 2021 use it of Boolean functions. It depends on the order of the inputs.

    >>> lempel_ziv(np.array([0, 0, 0, 0])), lempel_ziv(np.array([0, 1, 1, 0]))
    (2.0, 6.0)
    """
    row = "".join("1" if label else "0" for label in labels)
    words = 1.0 if len(set(row)) == 1 else (n_words(row) + n_words(row[::-1])) / 2
    return float(np.log2(len(row)) * words)


def n_words(row: str) -> int:
    """How many words a text is made of, each the shortest that is not to be copied from before.

    A copy may overlap what it is copied from (Lempel & Ziv 1976); the last word may be a copy.

    >>> n_words("0001101001000101")
    6
    """
    count, start = 0, 0
    while start < len(row):
        end = start + 1
        while end < len(row) and row[start:end] in row[: end - 1]:
            end += 1
        count, start = count + 1, end
    return count


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
