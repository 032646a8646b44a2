"""The compiled engine: from run specs to a stream of facts. The only loop that trains.

`train` advances one run, or several of one shape side by side, in compiled stretches from one step
of interest to the next (evaluation, checkpoint, intervention) and yields what happened as values. It
writes nothing: whoever consumes the facts decides where they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from undergrowth.chance import stream
from undergrowth.measures import Observed, Reading
from undergrowth.models import AnyModel, Model
from undergrowth.spec import RunSpec
from undergrowth.tasks import InputSpace
from undergrowth.training.interventions import AtStep, hyperparams
from undergrowth.training.losses import LOSSES, LossName
from undergrowth.training.optimisers import AnyOptimiser

T = TypeVar("T")

STRETCH = 250
"""Most steps between two returns to Python: bounds memory and the wait for progress."""


class TrainState(eqx.Module):
    """Everything that one step changes."""

    model: Model
    opt_state: optax.OptState


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run between two steps: enough to go on exactly as if it had never stopped.

    step: updates made so far; fired: at which step each intervention (by position) has fired; curves:
    the scalar readings so far, which triggers read.
    """

    step: int
    state: TrainState
    fired: Mapping[int, int] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measured:
    """Readings taken at a step."""

    step: int
    readings: Mapping[str, Reading]


@dataclass(frozen=True, eq=False)
class Saved:
    """A snapshot worth keeping."""

    snapshot: Snapshot


@dataclass(frozen=True)
class Fired:
    """An intervention that fired before the update from `step`, and what it changed: (before, after)."""

    step: int
    intervention: int
    changed: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Advanced:
    """The run has come to `step`."""

    step: int


@dataclass(frozen=True)
class Diverged:
    """The training loss at `step` is not finite: the run is over."""

    step: int


Fact = Measured | Saved | Fired | Advanced | Diverged


def initial(spec: RunSpec) -> Snapshot:
    """The untrained run."""
    key = jax.random.key(spec.seeds.model)
    model = _drawn(spec.model, spec.task.input_space, spec.task.n_labels, key)
    state = TrainState(model, spec.optimiser.build().init(cast(optax.Params, model)))
    return Snapshot(0, jax.tree.map(_strongly_typed, state))


@partial(jax.jit, static_argnames=("model", "inputs", "n_labels"))
def _drawn(model: AnyModel, inputs: InputSpace, n_labels: int, key: PRNGKeyArray) -> Model:
    """The untrained model, compiled as one: drawn array by array it takes seconds to start."""
    return model.init(inputs, n_labels, key)


def shape_key(spec: RunSpec, n_train: int) -> tuple[object, ...]:
    """Runs with equal keys may be trained side by side in one compiled step."""
    size = spec.task.input_space, spec.task.n_labels, n_train
    return size, spec.model, spec.loss, spec.optimiser.skeleton(), spec.batch, spec.steps


def train(specs: Sequence[RunSpec], start: Sequence[Snapshot | None]) -> Iterator[tuple[int, Fact]]:
    """Train runs of one shape from their snapshots (None: from the beginning) to their last step.

    Yields (position in `specs`, fact) in the order in which things happen. Facts of the step that a
    snapshot stands at are not repeated. One run is stepped as it is; several are stacked and stepped
    under `vmap`, which is for accelerators: on a CPU it is slower, and other bits come out.

    Raises ValueError where the runs differ in shape or the snapshots in step.
    """
    runs = [_Run(spec, snapshot) for spec, snapshot in zip(specs, start, strict=True)]
    if len({run.shape for run in runs}) > 1 or len({run.step for run in runs}) > 1:
        raise ValueError("runs trained side by side must agree in shape and in the step they start at")
    for position, (run, snapshot) in enumerate(zip(runs, start, strict=True)):
        if snapshot is None:
            yield from ((position, fact) for fact in run.arrive())
    pack = _Pack(runs)
    while runs[0].step < specs[0].steps:
        acted = [(i, fact) for i, run in enumerate(runs) for fact in run.intervene()]
        yield from acted
        pack.advance(min(run.next_stop() for run in runs), changed=bool(acted))
        for position, run in enumerate(runs):
            yield from ((position, fact) for fact in run.arrive())
        if all(run.diverged for run in runs):
            return


class _Run:
    """One run under way: its state, and what is due when."""

    def __init__(self, spec: RunSpec, start: Snapshot | None) -> None:
        self.spec = spec
        data = spec.data()
        self.shape = shape_key(spec, data.n_train)
        self.observed = Observed.of(data)
        train_side = np.flatnonzero(data.is_train)
        self.train_set = self.observed.inputs[train_side], self.observed.labels[train_side]
        snapshot = start or initial(spec)
        self.step, self.state = snapshot.step, snapshot.state
        self.fired = dict(snapshot.fired)
        self.curves = {name: list(curve) for name, curve in snapshot.curves.items()}
        self.measured_at = [frozenset(m.schedule.steps(spec.steps)) for m in spec.measures]
        self.saved_at = frozenset(spec.checkpoints.steps(spec.steps))
        self.acts_at = frozenset(
            i.trigger.step for i in spec.interventions if isinstance(i.trigger, AtStep)
        )
        self.stops = sorted(self.saved_at.union(self.acts_at, *self.measured_at))
        self.diverged = False

    def next_stop(self) -> int:
        """The next step of interest, or the end of the stretch."""
        ahead = next((stop for stop in self.stops if stop > self.step), self.spec.steps)
        return min(ahead, self.step + STRETCH)

    def batches(self, start: int, until: int) -> np.ndarray | None:
        """The batches of a stretch, filled up to the longest stretch so that it compiles once."""
        n_train, noise_seed = len(self.train_set[1]), self.spec.seeds.noise
        batches = self.spec.batch.indices(n_train, noise_seed, start, until - start)
        return None if batches is None else np.pad(batches, [(0, STRETCH - len(batches)), (0, 0)])

    def intervene(self) -> Iterator[Fact]:
        """Act where a trigger fires, once for each intervention."""
        if self.diverged:
            return
        for position, intervention in enumerate(self.spec.interventions):
            if position in self.fired or not intervention.trigger.fires(self.step, self.curves):
                continue
            before = hyperparams(self.state.opt_state)
            acted = intervention.action.act(self.state.opt_state)
            self.state = TrainState(self.state.model, acted)
            self.fired[position] = self.step
            after = hyperparams(acted)
            changed = {k: (before[k], after[k]) for k in before if before[k] != after[k]}
            yield Fired(self.step, position, changed)

    def arrive(self) -> Iterator[Fact]:
        """All that is due at the step that the run has come to."""
        if self.diverged:
            return
        yield Advanced(self.step)
        for measure, steps in zip(self.spec.measures, self.measured_at, strict=True):
            if self.step in steps:
                rng = stream(self.spec.seeds.noise, "measures", self.step)
                readings = measure.observe(self.state.model, self.observed, rng)
                for name, reading in readings.items():
                    if not reading.dims:
                        self.curves.setdefault(name, []).append((self.step, float(reading.values)))
                yield Measured(self.step, readings)
        train_loss = self.curves["train_loss"][-1]
        if train_loss[0] == self.step and not np.isfinite(train_loss[1]):
            self.diverged = True
            yield Diverged(self.step)
        elif self.step in self.saved_at:
            curves = {name: tuple(curve) for name, curve in self.curves.items()}
            yield Saved(Snapshot(self.step, self.state, dict(self.fired), curves))


class _Pack:
    """Runs of one shape that are stepped together; alone, a run is not stacked."""

    def __init__(self, runs: Sequence[_Run]) -> None:
        self.runs = runs
        self.train_set = _together([run.train_set for run in runs])
        self.state = _together([run.state for run in runs])

    def advance(self, until: int, *, changed: bool) -> None:
        """Bring all runs from the step that they are at to `until`."""
        first = self.runs[0]
        start = first.step
        if changed:
            self.state = _together([run.state for run in self.runs])
        self.state = _advance(
            self.state,
            self.train_set,
            _together([run.batches(start, until) for run in self.runs]),
            until - start,
            optimiser=first.spec.optimiser.skeleton(),
            loss=first.spec.loss,
            stacked=len(self.runs) > 1,
        )
        for run, state in zip(self.runs, _apart(self.state, len(self.runs)), strict=True):
            run.state, run.step = state, until


def _together(trees: Sequence[T]) -> T:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _apart(tree: T, n: int) -> list[T]:
    return [tree] if n == 1 else [_one(tree, position) for position in range(n)]


def _one(stacked: T, position: int) -> T:
    return jax.tree.map(lambda leaf: leaf[position], stacked)


@partial(jax.jit, static_argnames=("optimiser", "loss", "stacked"))
def _advance(
    state: TrainState,
    train_set: tuple[Array, Array],
    batches: Array | None,
    n_steps: int,
    *,
    optimiser: AnyOptimiser,
    loss: LossName,
    stacked: bool,
) -> TrainState:
    """n_steps updates in one compiled loop; n_steps is traced, so a shape compiles once."""
    tx = optimiser.build()

    def run(state: TrainState, train_set: tuple[Array, Array], batches: Array | None) -> TrainState:
        def step(k: Array, state: TrainState) -> TrainState:
            chosen = train_set if batches is None else tuple(a[batches[k]] for a in train_set)
            return update(state, tx, loss, *chosen)

        return jax.lax.fori_loop(0, n_steps, step, state)

    return (jax.vmap(run) if stacked else run)(state, train_set, batches)


def update(
    state: TrainState,
    tx: optax.GradientTransformation,
    loss: LossName,
    inputs: Array,
    labels: Array,
) -> TrainState:
    """One step of gradient descent on the mean loss of the given examples."""

    def mean_loss(model: Model) -> Array:
        return jnp.mean(LOSSES[loss](model(inputs), labels))

    gradient = eqx.filter_grad(mean_loss)(state.model)
    change, opt_state = tx.update(gradient, state.opt_state, cast(optax.Params, state.model))
    return TrainState(eqx.apply_updates(state.model, change), opt_state)


def _strongly_typed(array: Array) -> Array:
    """A Python number in the state would be weakly typed before a checkpoint and not after it."""
    return jax.lax.convert_element_type(array, array.dtype)
