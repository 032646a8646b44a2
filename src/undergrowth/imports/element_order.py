"""How another laboratory numbers the elements of a group, read off what its network answers."""

from __future__ import annotations

from itertools import product

import numpy as np

from undergrowth.imports.errors import ForeignFileError


def numbering(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """int [element]: our number of each of their elements, so that their products are ours.

    theirs, ours: multiplication tables [x, y] of one group. Any automorphism gives another numbering,
    which no product tells apart; the first in lexicographic order of the generators' images is taken.
    Raises ForeignFileError where the tables are not of one group.
    """
    n = len(theirs)
    if theirs.shape != ours.shape or any(len(set(row)) != n for row in (*theirs, *theirs.T)):
        raise ForeignFileError(
            "what the network answers is not the table of that group: its order is unknown"
        )
    words = _words(theirs)
    generators = [x for x, parents in words.items() if parents is None]
    orders, our_orders = _orders(theirs), _orders(ours)
    candidates = [np.flatnonzero(our_orders == orders[x]) for x in generators]
    for images in product(*candidates):
        number = _extended(words, dict(zip(generators, map(int, images), strict=True)), ours, n)
        if number is not None and (ours[np.ix_(number, number)] == number[theirs]).all():
            return number
    raise ForeignFileError(
        "what the network answers is not the table of that group: its order is unknown"
    )


def _words(table: np.ndarray) -> dict[int, tuple[int, int] | None]:
    """Every element in an order in which it is a generator (None), or the product of two before it.

    The generators are taken by falling order, so there are few of them.
    """
    words: dict[int, tuple[int, int] | None] = {}
    orders = _orders(table)
    for x in sorted(range(len(table)), key=lambda x: -orders[x]):
        if x in words:
            continue
        words[x] = None
        generators = [g for g, parents in words.items() if parents is None]
        queue = list(words)
        for a in queue:
            for g in generators:
                reached = int(table[a, g])
                if reached not in words:
                    words[reached] = a, g
                    queue.append(reached)
    return words


def _orders(table: np.ndarray) -> np.ndarray:
    """int [element]: after how many factors an element's power is itself again, less one."""
    start = np.arange(len(table))
    power, order = table[start, start], np.ones(len(table), int)
    for k in range(1, len(table) + 1):
        order = np.where((power == start) & (order == 1), k, order)
        power = table[power, start]
    return order


def _extended(
    words: dict[int, tuple[int, int] | None], images: dict[int, int], ours: np.ndarray, n: int
) -> np.ndarray | None:
    """The numbering that the images of the generators lead to; None where two would have one number."""
    number = np.full(n, -1)
    for x, parents in words.items():
        number[x] = images[x] if parents is None else ours[number[parents[0]], number[parents[1]]]
    return number if len(set(number)) == n else None
