"""Chunks: each run in one of them, forks after their trunks, of the length that was asked for."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, strategies as st

from tests import tiny
from undergrowth.spec import RunSpec
from undergrowth.sweep.chunks import GOAL, LEAST, MOST_RUNS, UNKNOWN, Chunks, families
from undergrowth.sweep.expecting import Rate, kind
from undergrowth.sweep.pace import Pace

BASE = tiny.spec()


def fork(of: RunSpec, step: int, threads: int = 1) -> RunSpec:
    at = {"of": of.id, "at": {"name": "at_step", "step": step}}
    return of.replace(fork=at, threads=threads)


def chunks(specs: list[RunSpec], seconds: float | None = None) -> Chunks:
    """seconds: what a run of `BASE` takes, if that is known."""
    rates = {} if seconds is None else {kind(BASE): Rate(seconds / BASE.steps, 0.0, 0.0, 1)}
    return Chunks(specs, Pace(specs, rates))


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int, int | None, int]]:
    """Runs in any order: a number, that of the run that it forks from, if it does, and threads."""
    n = draw(st.integers(1, 6))
    parents = [draw(st.none() | st.integers(0, i - 1)) if i else None for i in range(n)]
    runs = [(i, up, draw(st.sampled_from([1, 1, 2]))) for i, up in enumerate(parents)]
    return draw(st.permutations(runs))


def grown(tree: list[tuple[int, int | None, int]]) -> list[RunSpec]:
    found: dict[int, RunSpec] = {}
    for i, up, threads in sorted(tree):
        trunk = BASE.seeded(i).replace(threads=threads)
        found[i] = trunk if up is None else fork(found[up], i, threads)
    return [found[i] for i, *_ in tree]


@given(trees())
def test_a_fork_is_with_its_trunk_and_after_it(tree: list[tuple[int, int | None, int]]) -> None:
    specs = grown(tree)
    unique = {spec.id: spec for spec in specs}
    found = families(specs)
    assert sorted(spec.id for family in found for spec in family) == sorted(unique)
    for family in found:
        assert len({spec.threads for spec in family}) == 1
        before: set[str] = set()
        for spec in family:
            trunk = unique.get(spec.fork.of) if spec.fork else None
            is_with_it = trunk is not None and trunk.threads == spec.threads
            assert is_with_it == (spec is not family[0])
            assert trunk is None or not is_with_it or trunk.id in before
            before.add(spec.id)


@given(trees(), st.integers(0, 10**6))
def test_whatever_is_lost_each_run_comes_to_an_end_and_after_its_trunk(
    tree: list[tuple[int, int | None, int]], seed: int
) -> None:
    specs, chance = grown(tree), Random(seed)
    unique = {spec.id: spec for spec in specs}
    waiting = chunks(specs, 20.0)
    ended: list[str] = []
    under_way: list[list[RunSpec]] = []
    for _ in range(1000):
        if not (waiting or under_way):
            break
        if chunk := waiting.take(2):
            inside = {spec.id for spec in chunk}
            trunks = {spec.fork.of for spec in chunk if spec.fork} & unique.keys()
            assert trunks <= {*ended, *inside}
            assert len({spec.threads for spec in chunk}) == 1
            under_way.append(chunk)
        elif under_way:
            chunk = under_way.pop(chance.randrange(len(under_way)))
            n_here = chance.randint(0, len(chunk)) if chance.random() < 0.5 else len(chunk)
            for spec in chunk[:n_here]:
                ended.append(spec.id)
                waiting.end(spec.id)
            waiting.put_back(chunk[n_here:])
    assert sorted(ended) == sorted(unique)
    assert waiting.pace.seconds_left() == pytest.approx(0)


def test_chunks_are_as_long_as_they_should_be_and_shorter_towards_the_end() -> None:
    specs = [BASE.seeded(seed) for seed in range(120)]
    waiting, lengths = chunks(specs, 10.0), []
    while chunk := waiting.take(2):
        lengths.append(10.0 * len(chunk))
    assert sum(lengths) == 1200
    assert lengths[:10] == [GOAL] * 10
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 10.0  # a run is not cut
    tiny_ones = chunks(specs, 0.1)
    assert [len(tiny_ones.take(2)), len(tiny_ones.take(2))] == [30, 22]
    rest = []
    while chunk := tiny_ones.take(2):
        rest.append(0.1 * len(chunk))
    assert rest[-1] <= LEAST
    assert len(chunks([BASE.seeded(seed) for seed in range(MOST_RUNS + 9)], 1e-6).take(1)) == MOST_RUNS


def test_nothing_known_is_begun_with_few_and_goes_on_by_what_was_measured() -> None:
    specs = [BASE.seeded(seed) for seed in range(400)]
    waiting = chunks(specs)
    first = waiting.take(1)
    assert len(first) == UNKNOWN
    waiting.pace.learn(first, 8.0)
    second = waiting.take(1)
    assert len(second) == 30  # 2 s each
    waiting.pace.learn(second, 15.0)
    waiting.pace.learn(second, 15.0)
    assert len(waiting.take(1)) == 120  # the median of three: half a second each


def test_a_kind_that_is_not_known_takes_as_long_as_another_by_what_it_costs() -> None:
    wide = BASE.replace(model={**tiny.MLP.model_dump(), "d_mlp": 4000})
    pace = Pace([BASE, wide], {kind(BASE): Rate(1.0, 0.0, 0.0, 1)})
    assert pace.seconds([BASE]) == 30
    assert pace.seconds([wide]) > 30
    pace.learn([wide], 90.0)
    assert pace.seconds([wide]) == pytest.approx(90)
    pace.learn([BASE, wide], 240.0)  # twice what both were to take
    assert pace.seconds([BASE]) == pytest.approx(45)  # the median of 30 and 60
