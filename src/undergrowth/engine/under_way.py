"""One run under way: how it begins, what is due when, and what happens there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import jax
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
    Stopped,
)
from undergrowth.engine.fork_points import ForkPoints
from undergrowth.engine.step import STRETCH
from undergrowth.engine.training_side import TrainingSide
from undergrowth.measures import Context, Measure, Reading, Update
from undergrowth.models import Model
from undergrowth.precision import products_in
from undergrowth.rng import stream
from undergrowth.spec import RunSpec
from undergrowth.training.batches import AnyBatch
from undergrowth.training.interventions import AnyForkPoint, History
from undergrowth.training.interventions.account import account
from undergrowth.training.optimisers import AnyOptimiser
from undergrowth.training.state import Moment, Regime, Snapshot, TrainState, Upto


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
    """Runs with equal keys begin in one compiled step, so they are worth training side by side.

    What is not in it is a number in the traced state or decided outside of the step: rates, decay,
    temperature, the size of a noise, seeds, steps, schedules, interventions, stops, how a model is
    initialised, how a batch is drawn.
    """
    leaves, structure = jax.tree.flatten(spec.blank_model())
    model = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    size = spec.task.input_space, spec.task.n_labels, n_train
    noise = tuple(spec.noise.knobs())
    by = getattr(spec.weights, "by", None) == "loss"
    return size, model, noise, by, static_part(spec, spec.batch), spec.batch.batch_size


def static_part(spec: RunSpec, batch: AnyBatch) -> tuple[object, ...]:
    """What a step is compiled for besides shapes."""
    return spec.optimiser.skeleton(), spec.loss, spec.precision, batch.has_gaps


class UnderWay:
    """One run under way: its state, and what is due when."""

    def __init__(self, spec: RunSpec, start: Snapshot | None, branches: Sequence[AnyForkPoint]) -> None:
        self.spec = spec
        data = spec.data()
        self.is_new = start is None
        snapshot = start or initial(spec)
        self.step, self.state = snapshot.step, snapshot.state
        self.forks_here = spec.fork is not None and snapshot.forked_at is None
        self.forked_at = snapshot.step if self.forks_here else snapshot.forked_at
        self.inherited = dict(snapshot.inherited)
        self.fired = dict(snapshot.fired)
        self.curves = {name: list(curve) for name, curve in snapshot.curves.items()}
        self.branches = ForkPoints(branches)
        self.measured_at = [frozenset(m.schedule.steps(spec.steps)) for m in spec.measures]
        self.saved_at = frozenset(spec.checkpoints.steps(spec.steps))
        self.stops = sorted(self.saved_at.union(*self.measured_at))
        self.over = self.step >= spec.steps or (not self.is_new and self._stop() is not None)
        self.updated: tuple[TrainState, Update] | None = None
        self.side = TrainingSide.of(spec, _regime_after(spec, Regime(data, spec.batch), self.fired))
        self.good = snapshot.good or self.snapshot()

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
        due += self.branches.due(self.history())
        ahead = [stop for stop in due if stop is not None and stop > self.step]
        ahead.append(next((stop for stop in self.stops if stop > self.step), self.spec.steps))
        return min(*ahead, self.step + STRETCH)

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
            yield from self._keep(self.branches.here(self.history()), is_due=True)
        else:
            passed = self.branches.passed(self.history())
            yield from (Branched(self.step, branch) for branch in self.branches.leave(passed))

    def intervene(self) -> Iterator[Fact]:
        """Act where a trigger fires, once for each intervention."""
        if self.over:
            return
        for position, intervention in enumerate(self.spec.interventions):
            if position in self.fired or not intervention.trigger.fires(self.history(position)):
                continue
            before = Moment(self.step, self.state, self.side.regime)
            index = (position << 32) + self.step
            rng = stream(self.spec.seeds.noise, "interventions", index)
            after = intervention.action.act(before, self.spec, rng)
            self.fired[position] = self.step
            changed = {} if after is before else account(before, after)
            self.state = jax.tree.map(_strongly_typed, after.state)
            if after.regime is not before.regime:
                self.side = TrainingSide.of(self.spec, after.regime)
            yield Fired(self.step, position, changed)

    def arrive(self) -> Iterator[Fact]:
        """All that is due at the step that the run has come to."""
        if self.over:
            return
        self.over = self.step >= self.spec.steps
        yield from self._observe()
        here = self.branches.here(self.history())
        rule = self._stop()
        is_due = bool(here) or self.step in self.saved_at or rule is not None
        if self._is_sound(is_due):
            # told before it is kept, so that what is kept needs no telling
            yield from self._end_early(rule)
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
        read = self.curves.get("train_loss") or [(-1, 0.0)]  # a fork of an imported run may have none
        step, loss = read[-1]
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
        yield from (Branched(self.step, branch) for branch in self.branches.leave(here))
        earlier = self.good if self.good.step < self.step else None
        yield Advanced(self.step, self.snapshot(earlier))

    def readings(self, measure: Measure) -> Mapping[str, Reading]:
        """What a measure reads here."""
        rng = stream(self.spec.seeds.noise, "measures", self.step)
        gradient = partial(self.side.gradient, self.state, self.step)
        at = Context(self.step, rng, self.spec, self.state, self.next_update, gradient)
        with (
            products_in("float32"),  # an instrument is exact, whatever the network trains in
            np.errstate(over="ignore"),  # infinity is what it reads of weights that are about to be none
        ):
            return measure.observe(self.state.seen(), self.side.observed, at)

    def next_update(self) -> Update:
        """The update that the run makes from here, unless an intervention changes it.

        Raises ValueError for an imported run at a step from which it cannot go on.
        """
        if self.spec.origin is not None and self.spec.fork is None:
            self.spec.origin.check_goes_on(self.step)
        if self.updated is None or self.updated[0] is not self.state:
            self.updated = self.state, self.side.update(self.state, self.step)
        return self.updated[1]

    def _observe(self) -> Iterator[Fact]:
        for measure, steps in zip(self.spec.measures, self.measured_at, strict=True):
            if self.step in steps:
                readings = self.readings(measure)
                for name, reading in readings.items():
                    if not reading.dims:
                        curve = self.curves.setdefault(name, [])
                        if curve and curve[-1][0] == self.step:  # its parent read it too
                            curve.pop()
                        curve.append((self.step, float(reading.values)))
                yield Measured(self.step, readings)

    def _diverge(self) -> Iterator[Fact]:
        """The end, with the last state that was seen to be sound where it is not kept already."""
        self.over = True
        if self.good.step not in self.saved_at:
            yield Saved(self.good)
        yield Diverged(self.step)


def _regime_after(spec: RunSpec, regime: Regime, fired: Mapping[int, int]) -> Regime:
    """What those interventions that have fired have made of the first regime."""
    for position in sorted(fired, key=lambda p: (fired[p], p)):
        regime = spec.interventions[position].action.regime_after(regime, spec)
    return regime


def _strongly_typed(array: Array) -> Array:
    """A Python number in the state would be weakly typed before a checkpoint and not after it."""
    return jax.lax.convert_element_type(array, array.dtype)
