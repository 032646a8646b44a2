"""The engine: from run specs to a stream of facts. The only loop that trains.

`train` advances one run, or several of one shape side by side, in compiled stretches from one step
of interest to the next (evaluation, checkpoint, intervention, fork) and yields what happened as
values. It writes nothing: whoever consumes the facts decides where they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from undergrowth.engine.facts import Fact, Stepped
from undergrowth.engine.step import advance
from undergrowth.engine.under_way import UnderWay
from undergrowth.measures import Measure, Reading
from undergrowth.precision import products_in
from undergrowth.spec import RunSpec
from undergrowth.training.interventions import AnyForkPoint
from undergrowth.training.state import Snapshot

T = TypeVar("T")
Start = Snapshot | None
Branches = Sequence[AnyForkPoint]


def train(
    specs: Sequence[RunSpec],
    start: Sequence[Start],
    branches: Mapping[int, Branches] | None = None,
) -> Iterator[tuple[int, Fact]]:
    """Train runs of one shape from their snapshots (None: from the beginning) to their last step.

    Yields (position in `specs`, fact) in the order in which things happen. Facts of the step that a
    snapshot stands at are not repeated, except where a fork begins: its snapshot is its parent's. One
    run is stepped as it is; several are stacked and stepped under `vmap`, which is for accelerators: on
    a CPU it is slower, and other bits come out. branches: by position, where others will fork from a
    run: it saves a snapshot when it comes there, and says so at once where it has been there.

    Raises ValueError where the runs differ in shape or the snapshots in step.
    """
    branches = branches or {}
    runs = [
        UnderWay(spec, snapshot, branches.get(position, ()))
        for position, (spec, snapshot) in enumerate(zip(specs, start, strict=True))
    ]
    if len({run.shape for run in runs}) > 1 or len({run.step for run in runs}) > 1:
        raise ValueError("runs trained side by side must agree in shape and in the step they start at")
    for position, run in enumerate(runs):
        yield from ((position, fact) for fact in run.begin())
    under_way: list[UnderWay] = []
    stacks: list[_Stack] = []
    while now := [run for run in runs if not run.over]:
        acted = [(i, fact) for i, run in enumerate(runs) for fact in run.intervene()]
        yield from acted
        if acted or now != under_way:
            under_way, stacks = now, _stacked(now)
        until = min(run.next_stop() for run in under_way)
        for stack in stacks:
            for run, fact in stack.advance(until):
                yield runs.index(run), fact
        for position, run in enumerate(runs):
            yield from ((position, fact) for fact in run.arrive())


def readings_at(
    spec: RunSpec, snapshot: Snapshot, measures: Sequence[Measure]
) -> Iterator[Mapping[str, Reading]]:
    """What each measure reads of a run at a snapshot, as it would have read it in training."""
    run = UnderWay(spec, snapshot, ())
    return (run.readings(measure) for measure in measures)


class _Stack:
    """Runs of one shape at one time, stepped together; alone, a run is not stacked."""

    def __init__(self, runs: Sequence[UnderWay]) -> None:
        self.runs = runs
        self.train_set = _together([run.side.train_set for run in runs])
        self.state = _together([run.state for run in runs])

    def advance(self, until: int) -> Iterator[tuple[UnderWay, Stepped]]:
        """Bring all runs from the step that they are at to `until`."""
        first = self.runs[0]
        start = first.step
        with products_in(first.spec.precision):
            self.state, losses = advance(
                self.state,
                self.train_set,
                _together([run.side.batches(start, until) for run in self.runs]),
                start,
                until - start,
                optimiser=first.spec.optimiser.skeleton(),
                loss=first.spec.loss,
                has_gaps=first.side.regime.batch.has_gaps,
                stacked=len(self.runs) > 1,
            )
        for run, state in zip(self.runs, _apart(self.state, len(self.runs)), strict=True):
            run.state, run.step = state, until
        for run, of_run in zip(self.runs, np.atleast_2d(np.asarray(losses)), strict=True):
            yield run, Stepped(start, of_run[: until - start])


def _stacked(runs: Sequence[UnderWay]) -> list[_Stack]:
    """Runs in stacks of equal shape: an intervention may have changed that of some of them."""
    alike: dict[object, list[UnderWay]] = {}
    for run in runs:
        alike.setdefault(_shape_now(run), []).append(run)
    return [_Stack(group) for group in alike.values()]


def _shape_now(run: UnderWay) -> object:
    leaves, structure = jax.tree.flatten((run.state, run.side.train_set))
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves), run.side.regime.batch


def _together(trees: Sequence[T]) -> T:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _apart(tree: T, n: int) -> list[T]:
    return [tree] if n == 1 else [_one(tree, position) for position in range(n)]


@jax.jit
def _one(stacked: T, position: int) -> T:
    """One program for all leaves: leaf by leaf 256 runs would cost more to part than to step."""
    return jax.tree.map(lambda leaf: leaf[position], stacked)
