"""Terms of Boolean functions: which of them are implicants, which are prime, and the minimal DNF."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

MOST_BITS = 10
"""Of a function whose terms are listed: there are 3^n_bits."""


@lru_cache(maxsize=16)
def all_terms(n_bits: int) -> Bool[np.ndarray, "term input"]:
    """Which inputs each term covers, for every term of n_bits variables; do not write into it.

    Inputs are counted up in binary, the first bit the highest. A term asks of each bit that it is 0,
    that it is 1, or nothing, so there are 3^n_bits; the empty term, which covers all inputs, is one.

    >>> all_terms(1).astype(int).tolist()
    [[1, 0], [0, 1], [1, 1]]
    """
    if not 1 <= n_bits <= MOST_BITS:
        raise ValueError(f"n_bits = {n_bits}: terms are listed for 1 to {MOST_BITS} bits")
    of_bit = np.array([[1, 0], [0, 1], [1, 1]], bool)
    terms = np.ones((1, 1), bool)
    for _ in range(n_bits):
        terms = np.kron(terms, of_bit)
    terms.setflags(write=False)
    return terms


def best_term(
    tables: Bool[np.ndarray, "function input"], counted: Bool[np.ndarray, " input"]
) -> Int[np.ndarray, " function"]:
    """How many of the counted inputs the implicant of each function that covers most of them covers.

    An implicant is a term that covers only inputs on which the function is 1: what a DNF of it may
    contain. 0 where the function is 1 on none of the counted inputs. No term of any DNF of the function
    covers more, and some DNF of prime implicants has one that covers as many.
    """
    terms = all_terms(bits_of(tables))
    by_size = terms[np.argsort(terms.sum(axis=1), kind="stable")]
    # Of terms that cover the same counted inputs the smallest is part of all others, so it is enough.
    smallest = by_size[np.unique(by_size[:, counted], axis=0, return_index=True)[1]]
    covered = smallest[:, counted].sum(axis=1)
    inputs_of = smallest.astype(np.float32).T
    found = np.zeros(len(tables), np.int64)
    for at in range(0, len(tables), 1024):  # bounds the memory
        is_implicant = (~tables[at : at + 1024]).astype(np.float32) @ inputs_of == 0
        found[at : at + 1024] = np.where(is_implicant, covered, 0).max(axis=1)
    return found


def prime_implicants(table: Bool[np.ndarray, " input"]) -> Bool[np.ndarray, "term input"]:
    """The implicants of a function that are part of no larger one, as rows of `all_terms`."""
    terms = all_terms(bits_of(table[None]))
    found = terms[~(terms & ~table).any(axis=1)]
    inside = found.astype(np.float32)
    shared = inside @ inside.T
    is_part = shared == inside.sum(axis=1)[:, None]  # [a, b]: a is part of b
    return found[is_part.sum(axis=1) == 1]  # of itself alone


def minimal_dnf(table: Bool[np.ndarray, " input"]) -> Bool[np.ndarray, "term input"]:
    """One DNF of the fewest terms, as the inputs that each term covers; no term for the function 0.

    Exact: the primes (Quine 1952) that cover the function's ones, by branch and bound. Takes
    milliseconds up to 5 bits, and may take very long beyond.
    """
    primes = prime_implicants(table)
    chosen = _fewest(_as_integer(table), [_as_integer(prime) for prime in primes])
    return primes[list(chosen)]


def best_term_of_minimal_dnf(
    table: Bool[np.ndarray, " input"], counted: Bool[np.ndarray, " input"]
) -> int:
    """How many of the counted inputs a term of a minimal DNF covers, the most over all minimal DNFs.

    A prime is in a minimal DNF if the rest can be covered with one term less. Never above `best_term`.
    """
    primes = prime_implicants(table)
    masks, ones = [_as_integer(prime) for prime in primes], _as_integer(table)
    size = len(_fewest(ones, masks))
    covers = primes @ counted.astype(int) if size else np.zeros(0, int)
    for place in np.argsort(-covers, kind="stable"):
        if len(_fewest(ones & ~masks[place], masks)) == size - 1:
            return int(covers[place])
    return 0


def bits_of(tables: np.ndarray) -> int:
    """The number of bits of functions given by their tables, [function, input].

    Raises ValueError where the number of inputs is no power of 2.
    """
    n_inputs = tables.shape[-1]
    if n_inputs < 2 or n_inputs & (n_inputs - 1):
        raise ValueError(f"a table of {n_inputs} inputs is of no Boolean function: it takes 2^n of them")
    return n_inputs.bit_length() - 1


def _fewest(ones: int, masks: list[int]) -> tuple[int, ...]:
    """Places of the fewest masks that cover all bits of `ones`; the first such in order of branching."""
    return _searched(ones, masks, (), tuple(range(len(masks))))


def _searched(
    left: int, masks: list[int], chosen: tuple[int, ...], best: tuple[int, ...]
) -> tuple[int, ...]:
    """The best cover known, once all with the chosen masks have been tried or cannot be better."""
    if not left:
        return chosen if len(chosen) < len(best) else best
    most = max((mask & left).bit_count() for mask in masks)
    if len(chosen) + -(-left.bit_count() // most) >= len(best):
        return best
    bit = _rarest(left, masks)
    at = [i for i, mask in enumerate(masks) if mask & bit]
    for i in sorted(at, key=lambda i: -(masks[i] & left).bit_count()):
        best = _searched(left & ~masks[i], masks, (*chosen, i), best)
    return best


def _rarest(left: int, masks: list[int]) -> int:
    """The bit of `left` that the fewest masks cover."""
    bits = [1 << i for i in range(left.bit_length()) if left >> i & 1]
    return min(bits, key=lambda bit: sum(1 for mask in masks if mask & bit))


def _as_integer(members: Bool[np.ndarray, " input"]) -> int:
    return int.from_bytes(np.packbits(members, bitorder="little").tobytes(), "little")
