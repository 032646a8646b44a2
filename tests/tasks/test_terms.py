"""Terms against truth tables written out by hand and against minimal DNFs by another way."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from undergrowth.tasks.terms import (
    all_terms,
    best_term,
    best_term_of_minimal_dnf,
    bits_of,
    minimal_dnf,
    prime_implicants,
)

OF_3_BITS = np.array(list(product([False, True], repeat=8)))


def covered(term: str) -> frozenset[int]:
    """The inputs of a term in the way of Quine and McCluskey: `1-0` asks for 1, nothing, 0."""
    ways = [("0", "1") if sign == "-" else (sign,) for sign in term]
    return frozenset(int("".join(bits), 2) for bits in product(*ways))


def merged(ones: frozenset[int], n_bits: int) -> set[str]:
    """Primes by merging terms that differ in one bit, until none do (McCluskey 1956)."""
    level, primes = {f"{i:0{n_bits}b}" for i in ones}, set[str]()
    while level:
        used, above = set[str](), set[str]()
        for a, b in combinations(sorted(level), 2):
            differ = [i for i in range(n_bits) if a[i] != b[i]]
            if len(differ) == 1 and "-" not in (a[differ[0]], b[differ[0]]):
                above.add(a[: differ[0]] + "-" + a[differ[0] + 1 :])
                used |= {a, b}
        primes |= level - used
        level = above
    return primes


def covers(ones: frozenset[int], n_bits: int) -> list[tuple[str, ...]]:
    """Every smallest set of primes that covers the ones, by trying all sets of each size."""
    primes = sorted(merged(ones, n_bits))
    for size in range(len(primes) + 1):
        fit = [
            sets
            for sets in combinations(primes, size)
            if frozenset[int]().union(*map(covered, sets)) == ones
        ]
        if fit:
            return fit
    raise AssertionError


def ones_of(table: np.ndarray) -> frozenset[int]:
    return frozenset(np.flatnonzero(table).tolist())


def test_terms_are_all_ways_to_ask_for_bits() -> None:
    expected = {covered("".join(signs)) for signs in product("01-", repeat=3)}
    found = [ones_of(term) for term in all_terms(3)]
    assert set(found) == expected
    assert len(found) == 27


def test_primes_are_those_that_merging_leaves_for_every_function_of_3_bits() -> None:
    for table in OF_3_BITS:
        expected = {covered(term) for term in merged(ones_of(table), 3)}
        assert {ones_of(prime) for prime in prime_implicants(table)} == expected


@pytest.mark.parametrize("n_bits", [3, 4])
def test_a_minimal_dnf_is_the_function_with_as_few_terms_as_any_set_of_primes(n_bits: int) -> None:
    drawn = np.random.default_rng(0).random((40, 2**n_bits)) < 0.6
    for table in OF_3_BITS if n_bits == 3 else drawn:
        found = minimal_dnf(table)
        assert (found.any(axis=0) == table).all()
        assert len(found) == len(covers(ones_of(table), n_bits)[0])


@pytest.mark.parametrize("n_bits", [3, 4])
def test_the_best_term_is_the_best_of_all_minimal_dnfs(n_bits: int) -> None:
    rng = np.random.default_rng(1)
    drawn = rng.random((40, 2**n_bits)) < 0.6
    alike = []
    for table in OF_3_BITS if n_bits == 3 else drawn:
        counted = rng.random(2**n_bits) < 0.5
        its = ones_of(counted)
        terms = [term for sets in covers(ones_of(table), n_bits) for term in sets]
        expected = max((len(covered(term) & its) for term in terms), default=0)
        assert best_term_of_minimal_dnf(table, counted) == expected
        any_prime = max((len(covered(term) & its) for term in merged(ones_of(table), n_bits)), default=0)
        assert best_term(table[None], counted)[0] == any_prime >= expected
        alike.append(any_prime == expected)
    assert np.mean(alike) > 0.9


def test_the_best_term_may_be_in_no_minimal_dnf() -> None:
    """x y or not-x z needs no term y z, which alone covers both y z inputs."""
    table = np.array([False, True, False, True, False, False, True, True])
    counted = np.zeros(8, bool)
    counted[[3, 7]] = True
    assert len(minimal_dnf(table)) == 2
    assert best_term_of_minimal_dnf(table, counted) == 1
    assert best_term(table[None], counted).tolist() == [2]


def test_many_functions_at_once_are_as_each_by_itself() -> None:
    rng = np.random.default_rng(2)
    tables, counted = rng.random((600, 32)) < 0.7, rng.random(32) < 0.4
    assert (best_term(tables, counted) == [best_term(t[None], counted)[0] for t in tables]).all()


def test_a_table_of_other_than_two_to_the_n_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="a table of 6 inputs is of no Boolean function"):
        bits_of(np.zeros((1, 6), bool))
