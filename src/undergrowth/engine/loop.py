"""The engine: from run specs to a stream of facts. The only loop that trains.

`train` advances one run, or several of one shape side by side, in compiled stretches from one step
of interest to the next (evaluation, checkpoint, intervention, fork) and yields what happened as
values. It writes nothing: whoever consumes the facts decides where they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from undergrowth.engine.facts import (
    Advanced,
    Branched,
    Diverged,
    Fact,
    Fired,
    Forked,
    Measured,
    Saved,
    Stepped,
    Stopped,
)
from undergrowth.engine.step import STRETCH, advance, update_in_parts
from undergrowth.measures import Context, Measure, Observed, Reading, Update
from undergrowth.models import Model
from undergrowth.precision import products_in
from undergrowth.rng import stream
from undergrowth.spec import RunSpec
from undergrowth.training.interventions import AnyForkPoint, History, first_step
from undergrowth.training.interventions.account import account
from undergrowth.training.objectives import OBJECTIVES, TrainSet
from undergrowth.training.optimisers import AnyOptimiser
from undergrowth.training.state import Moment, Regime, Snapshot, TrainState, Upto

T = TypeVar("T")
Start = Snapshot | None
Branches = Sequence[AnyForkPoint]


def initial(spec: RunSpec) -> Snapshot:
    """The untrained run."""
    space, rng = spec.task.input_space, stream(spec.seeds.model, "init")
    model = spec.model.init(space, spec.task.n_labels, rng)
    optimiser, knobs = spec.optimiser, {**spec.noise.knobs(), "temperature": spec.temperature}
    return Snapshot(0, _begun(model, optimiser.skeleton(), optimiser.traced(), knobs))


@partial(jax.jit, static_argnames="optimiser")
def _begun(
    model: Model, optimiser: AnyOptimiser, traced: dict[str, Any], knobs: dict[str, float]
) -> TrainState:
    """The state that training begins with, compiled as one: array by array it takes a second."""
    tx = optimiser.with_traced(traced).build()
    state = TrainState(model, tx.init(cast(optax.Params, model)), {}).with_knobs(**knobs)
    return jax.tree.map(_strongly_typed, state)


def shape_key(spec: RunSpec, n_train: int) -> tuple[object, ...]:
    """Runs with equal keys may be trained side by side in one compiled step."""
    size = spec.task.input_space, spec.task.n_labels, n_train
    noise = tuple(spec.noise.knobs())
    by = getattr(spec.weights, "by", None)
    how = spec.model, spec.loss, spec.precision, spec.optimiser.skeleton(), spec.batch, noise, by
    return size, how, spec.steps


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
        _Run(spec, snapshot, branches.get(position, ()))
        for position, (spec, snapshot) in enumerate(zip(specs, start, strict=True))
    ]
    if len({run.shape for run in runs}) > 1 or len({run.step for run in runs}) > 1:
        raise ValueError("runs trained side by side must agree in shape and in the step they start at")
    for position, run in enumerate(runs):
        yield from ((position, fact) for fact in run.begin())
    under_way: list[_Run] = []
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
    run = _Run(spec, snapshot, ())
    return (run.readings(measure) for measure in measures)


class _Run:
    """One run under way: its state, and what is due when."""

    def __init__(self, spec: RunSpec, start: Start, branches: Branches) -> None:
        self.spec = spec
        data = spec.data()
        self.shape = shape_key(spec, data.n_train)
        self.is_new = start is None
        snapshot = start or initial(spec)
        self.step, self.state = snapshot.step, snapshot.state
        self.forks_here = spec.fork is not None and snapshot.forked_at is None
        self.forked_at = snapshot.step if self.forks_here else snapshot.forked_at
        self.inherited = dict(snapshot.inherited)
        self.fired = dict(snapshot.fired)
        self.curves = {name: list(curve) for name, curve in snapshot.curves.items()}
        self.branches = dict(enumerate(branches))
        self.measured_at = [frozenset(m.schedule.steps(spec.steps)) for m in spec.measures]
        self.saved_at = frozenset(spec.checkpoints.steps(spec.steps))
        self.stops = sorted(self.saved_at.union(*self.measured_at))
        self.over = self.step >= spec.steps or (not self.is_new and self._stop() is not None)
        self.updated: tuple[TrainState, Update] | None = None
        self._take_up(Regime(data, spec.batch))
        self.good = snapshot.good or self.snapshot()

    def _take_up(self, regime: Regime) -> None:
        """The regime at this step: what those who fired have made of the first."""
        for position in sorted(self.fired, key=lambda p: (self.fired[p], p)):
            regime = self.spec.interventions[position].action.regime_after(regime, self.spec)
        self._train_on(regime)

    def _train_on(self, regime: Regime) -> None:
        self.regime = regime
        self.observed = Observed.of(regime.data)
        side = np.flatnonzero(regime.data.is_train)
        by = getattr(self.spec.weights, "by", None)
        data = regime.data
        inputs, labels, weights = jax.device_put(
            (data.inputs[side], data.labels[side], data.weights[side] if by == "loss" else None)
        )
        world = OBJECTIVES[self.spec.loss].world(self.spec.task, data.is_train)
        noise_seed = jax.device_put(np.uint32(self.spec.seeds.noise))
        self.train_set = TrainSet(inputs, labels, weights, noise_seed, jax.device_put(world))
        self.drawn_by = data.weights[side] if by == "sampling" else None

    def _stop(self) -> int | None:
        """Which rule of the spec ends the run here, if any."""
        if self.step >= self.spec.steps:
            return None
        fire = (i for i, stop in enumerate(self.spec.stop) if stop.fires(self.history()))
        return next(fire, None)

    def snapshot(self, good: Snapshot | None = None) -> Snapshot:
        """The run as it stands; `good` is how it last was seen to be sound, where that was before."""
        curves = {name: Upto(curve, len(curve)) for name, curve in self.curves.items()}
        fired, inherited = dict(self.fired), dict(self.inherited)
        return Snapshot(self.step, self.state, fired, curves, self.forked_at, inherited, good)

    def history(self, position: int | None = None) -> History:
        """What a trigger looks at, that of an intervention by its position."""
        forked_at = self.forked_at if position is None else self.inherited.get(position, self.forked_at)
        return History(self.step, self.curves, self.fired, forked_at)

    def next_stop(self) -> int:
        """The next step of interest, or the end of the stretch."""
        due = [
            intervention.trigger.due(self.history(position))
            for position, intervention in enumerate(self.spec.interventions)
            if position not in self.fired
        ]
        due += [point.due(self.history()) for point in self.branches.values()]
        ahead = [stop for stop in due if stop is not None and stop > self.step]
        ahead.append(next((stop for stop in self.stops if stop > self.step), self.spec.steps))
        return min(*ahead, self.step + STRETCH)

    def batches(self, start: int, until: int) -> np.ndarray | None:
        """The batches of a stretch, filled up to the longest stretch so that it compiles once."""
        n_train, seed = len(self.train_set.labels), self.spec.seeds.noise
        batches = self.regime.batch.indices(n_train, seed, start, until - start, self.drawn_by)
        return None if batches is None else np.pad(batches, [(0, STRETCH - len(batches)), (0, 0)])

    def begin(self) -> Iterator[Fact]:
        """What is due where the run begins: a new one, or a fork at its parent's snapshot. Of one that
        is taken up, which branches it has passed already.
        """
        if self.is_new:
            yield from self.arrive()
        elif self.forks_here:
            yield Forked(self.step)
            yield from self._observe()
            yield from self._end_early(self._stop())
            yield from self._keep(self._branches_here(), is_due=True)
        else:
            yield from (Branched(self.step, branch) for branch in self._leave(self._branches_passed()))

    def intervene(self) -> Iterator[Fact]:
        """Act where a trigger fires, once for each intervention."""
        if self.over:
            return
        for position, intervention in enumerate(self.spec.interventions):
            if position in self.fired or not intervention.trigger.fires(self.history(position)):
                continue
            before = Moment(self.step, self.state, self.regime)
            index = (position << 32) + self.step
            rng = stream(self.spec.seeds.noise, "interventions", index)
            after = intervention.action.act(before, self.spec, rng)
            self.fired[position] = self.step
            changed = {} if after is before else account(before, after)
            self.state = jax.tree.map(_strongly_typed, after.state)
            if after.regime is not before.regime:
                self._train_on(after.regime)
            yield Fired(self.step, position, changed)

    def arrive(self) -> Iterator[Fact]:
        """All that is due at the step that the run has come to."""
        if self.over:
            return
        self.over = self.step >= self.spec.steps
        yield from self._observe()
        here = self._branches_here()
        rule = self._stop()
        is_due = bool(here) or self.step in self.saved_at or rule is not None
        if self._is_sound(is_due):
            yield from self._end_early(
                rule
            )  # told before it is kept, so that what is kept needs no telling
            yield from self._keep(here, is_due)
        else:
            yield from self._diverge()

    def _end_early(self, rule: int | None) -> Iterator[Fact]:
        """That a rule of the spec ends the run here, where one does."""
        if rule is not None:
            self.over = True
            yield Stopped(self.step, rule)

    def _is_sound(self, is_due: bool) -> bool:
        """Whether the training loss is finite where it was read here; where the state is to be kept,
        every weight as well. What is found sound is remembered.
        """
        step, loss = self.curves["train_loss"][-1]
        if step == self.step and not np.isfinite(loss):
            return False
        weights = jax.tree.leaves(self.state.model) if is_due else ()
        if not all(np.isfinite(array).all() for array in map(np.asarray, weights)):
            return False
        if is_due or step == self.step:
            self.good = self.snapshot()
        return True

    def _keep(self, here: Sequence[int], is_due: bool) -> Iterator[Fact]:
        """Where the run stands, and that it has come to the branches that leave it here."""
        if is_due:
            yield Saved(self.snapshot())
        yield from (Branched(self.step, branch) for branch in self._leave(here))
        earlier = self.good if self.good.step < self.step else None
        yield Advanced(self.step, self.snapshot(earlier))

    def _branches_here(self) -> list[int]:
        return [branch for branch, point in self.branches.items() if point.fires(self.history())]

    def _branches_passed(self) -> list[int]:
        since = self.forked_at or 0
        came = {b: first_step(point, self.curves, since) for b, point in self.branches.items()}
        return [branch for branch, step in came.items() if step is not None and step <= self.step]

    def _leave(self, branches: Sequence[int]) -> Sequence[int]:
        """The same branches, which are not come to again."""
        self.branches = {b: point for b, point in self.branches.items() if b not in branches}
        return branches

    def readings(self, measure: Measure) -> Mapping[str, Reading]:
        """What a measure reads here."""
        rng = stream(self.spec.seeds.noise, "measures", self.step)
        at = Context(self.step, rng, self.spec, self.state, self.next_update)
        with products_in("float32"):  # an instrument is exact, whatever the network trains in
            return measure.observe(self.state.seen(), self.observed, at)

    def next_update(self) -> Update:
        """The update that the run makes from here, unless an intervention changes it."""
        if self.updated is None or self.updated[0] is not self.state:
            self.updated = self.state, self._update()
        return self.updated[1]

    def _update(self) -> Update:
        batches = self.batches(self.step, self.step + 1)
        chosen = self.train_set
        if batches is not None:
            has_gaps = self.regime.batch.has_gaps
            chosen = self.train_set.of(jax.device_put(batches[0]), has_gaps=has_gaps)
        how = {"optimiser": self.spec.optimiser.skeleton(), "loss": self.spec.loss}
        with products_in(self.spec.precision):
            parts = update_in_parts(self.state, chosen, self.step, **how)
        side = np.flatnonzero(self.regime.data.is_train)
        batch = side if batches is None else side[batches[0]]
        of_mean_one = np.ones(len(batch)) if chosen.weights is None else np.asarray(chosen.weights)
        there = np.ones(len(batch), bool) if batches is None else batches[0] >= 0
        data, decay, clamp = parts
        return Update(data, decay, clamp, batch[there], of_mean_one[there] / len(batch))

    def _observe(self) -> Iterator[Fact]:
        for measure, steps in zip(self.spec.measures, self.measured_at, strict=True):
            if self.step in steps:
                readings = self.readings(measure)
                for name, reading in readings.items():
                    if not reading.dims:
                        self._append(name, float(reading.values))
                yield Measured(self.step, readings)

    def _diverge(self) -> Iterator[Fact]:
        """The end, with the last state that was seen to be sound where it is not kept already."""
        self.over = True
        if self.good.step not in self.saved_at:
            yield Saved(self.good)
        yield Diverged(self.step)

    def _append(self, name: str, value: float) -> None:
        curve = self.curves.setdefault(name, [])
        if curve and curve[-1][0] == self.step:  # its parent read it too
            curve.pop()
        curve.append((self.step, value))


class _Stack:
    """Runs of one shape at one time, stepped together; alone, a run is not stacked."""

    def __init__(self, runs: Sequence[_Run]) -> None:
        self.runs = runs
        self.train_set = _together([run.train_set for run in runs])
        self.state = _together([run.state for run in runs])

    def advance(self, until: int) -> Iterator[tuple[_Run, Stepped]]:
        """Bring all runs from the step that they are at to `until`."""
        first = self.runs[0]
        start = first.step
        with products_in(first.spec.precision):
            self.state, losses = advance(
                self.state,
                self.train_set,
                _together([run.batches(start, until) for run in self.runs]),
                start,
                until - start,
                optimiser=first.spec.optimiser.skeleton(),
                loss=first.spec.loss,
                has_gaps=first.regime.batch.has_gaps,
                stacked=len(self.runs) > 1,
            )
        for run, state in zip(self.runs, _apart(self.state, len(self.runs)), strict=True):
            run.state, run.step = state, until
        for run, of_run in zip(self.runs, np.atleast_2d(np.asarray(losses)), strict=True):
            yield run, Stepped(start, of_run[: until - start])


def _stacked(runs: Sequence[_Run]) -> list[_Stack]:
    """Runs in stacks of equal shape: an intervention may have changed that of some of them."""
    alike: dict[object, list[_Run]] = {}
    for run in runs:
        alike.setdefault(_shape_now(run), []).append(run)
    return [_Stack(group) for group in alike.values()]


def _shape_now(run: _Run) -> object:
    leaves, structure = jax.tree.flatten((run.state, run.train_set))
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves), run.regime.batch


def _together(trees: Sequence[T]) -> T:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _apart(tree: T, n: int) -> list[T]:
    return [tree] if n == 1 else [_one(tree, position) for position in range(n)]


@jax.jit
def _one(stacked: T, position: int) -> T:
    """One program for all leaves: leaf by leaf 256 runs would cost more to part than to step."""
    return jax.tree.map(lambda leaf: leaf[position], stacked)


def _strongly_typed(array: Array) -> Array:
    """A Python number in the state would be weakly typed before a checkpoint and not after it."""
    return jax.lax.convert_element_type(array, array.dtype)
