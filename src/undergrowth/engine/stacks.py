"""Runs under way in stacks of equal shape, each stack one compiled step, each run at a step of its own.

A run has a slot in a stack, which has its state from one of its stops (evaluation, checkpoint,
intervention, fork) to the next. All runs of a stack are advanced by as many steps as the first of them
has left to its stop, so none waits for another and no step is made in vain. A run that is over, or of
another shape since an intervention, leaves its slot, which the next run of the shape takes: the program
stays the same. Where there is none to take it, the empty slot steps on unread, until half of the slots
are empty and a stack of half as many takes over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from undergrowth.engine.facts import Stepped
from undergrowth.engine.step import STRETCH, advance, advance_together
from undergrowth.engine.under_way import UnderWay, static_part
from undergrowth.precision import Precision, products_in

T = TypeVar("T")
AtStop = list[tuple[UnderWay, Stepped]]
"""Runs with the losses of the updates that they have made since they were heard of last."""


def shape_of(run: UnderWay) -> object:
    """Runs that are equal in it now are stepped by one program."""
    leaves, structure = jax.tree.flatten((run.state, run.side.train_set))
    arrays = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    batch = run.side.regime.batch
    return structure, arrays, batch.batch_size, static_part(run.spec, batch)


class Stacks:
    """All that is under way, at most `width` runs of any shapes."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.of_shape: dict[object, Stack] = {}
        self.joining: list[UnderWay] = []

    def __len__(self) -> int:
        return len(self.joining) + sum(len(stack.held()) for stack in self.of_shape.values())

    def __iter__(self) -> Iterator[Stack]:
        return iter(tuple(self.of_shape.values()))

    def settle(self, *, may_narrow: bool) -> AtStop:
        """Give each run that joins a slot; what those have stepped whose stack is remade meanwhile.

        may_narrow: whether a stack that is half empty gives up the empty half, as nobody waits for it.
        """
        told: AtStop = []
        joining: dict[object, list[UnderWay]] = {}
        for run in self.joining:
            joining.setdefault(shape_of(run), []).append(run)
        self.joining = []
        for shape in dict.fromkeys((*self.of_shape, *joining)):
            new, stack = joining.get(shape, []), self.of_shape.get(shape)
            held = stack.held() if stack else []
            slots = self._slots(len(held) + len(new))
            if not held and not new:
                del self.of_shape[shape]
            elif stack and (slots == len(stack) or (slots < len(stack) and not may_narrow)):
                for run in new:
                    stack.seat(run)
            else:
                told += stack.part() if stack else []
                self.of_shape[shape] = _stack_of([*held, *new], slots)
        return told

    def _slots(self, n_runs: int) -> int:
        """The least of width, half of it, a quarter ... that so many runs fit into: few programs do."""
        slots = self.width
        while n_runs <= -(-slots // 2) < slots:
            slots = -(-slots // 2)
        return slots


class Stack(ABC):
    """Slots, each empty or with a run."""

    def __init__(self, runs: Sequence[UnderWay], slots: int) -> None:
        self.runs: list[UnderWay | None] = [*runs, *[None] * (slots - len(runs))]

    def __len__(self) -> int:
        """How many slots it has."""
        return len(self.runs)

    def held(self) -> list[UnderWay]:
        """The runs in its slots."""
        return [run for run in self.runs if run is not None]

    def leave(self, run: UnderWay) -> None:
        """Empty the slot of a run that is at a stop."""
        self.runs[self.runs.index(run)] = None

    def seat(self, run: UnderWay) -> None:
        """Give a run an empty slot."""
        self.runs[self.runs.index(None)] = run
        self.go_on(run)

    @abstractmethod
    def advance(self) -> AtStop:
        """Bring all runs on until one or more are at their next stop: these, with what they stepped."""

    @abstractmethod
    def go_on(self, run: UnderWay) -> None:
        """Take a run over as it now stands, on the way to its next stop."""

    @abstractmethod
    def part(self) -> AtStop:
        """Hand all runs back as they stand, between two stops."""


class _Alone(Stack):
    """One slot: its run is not stacked but stepped as it is."""

    def advance(self) -> AtStop:
        (run,) = self.held()
        start, until = run.step, run.next_stop()
        batches = run.side.batches(start, until)
        with products_in(run.spec.precision):
            run.state, losses = advance(
                run.state, run.side.train_set, batches, start, until - start, **_compiled_for(run)
            )
        run.step = until
        return [(run, Stepped(start, np.asarray(losses)[: until - start]))]

    def go_on(self, run: UnderWay) -> None:
        pass

    def part(self) -> AtStop:
        return []


class _Together(Stack):
    """Two or more slots, stepped under `vmap`.

    since, at, until: of each slot, the step at which its run was taken over, the one that it is at, and
    that of its next stop; losses: those of its updates since.
    """

    def __init__(self, runs: Sequence[UnderWay], slots: int) -> None:
        super().__init__(runs, slots)
        self.since, self.at, self.until = np.zeros((3, slots), np.int32)
        self.losses = np.zeros((slots, STRETCH), np.float32)
        self.how = _compiled_for(runs[0])
        self.precision: Precision = runs[0].spec.precision
        filled = [*runs, *[runs[0]] * (slots - len(runs))]  # an empty slot has something in it too
        self.taken_over = [(run.state, run.side) for run in filled]
        self.states = _together([run.state for run in filled])
        self.train_sets = _together([run.side.train_set for run in filled])
        self.batches = _together([self._batches(slot, run) for slot, run in enumerate(filled)])

    def advance(self) -> AtStop:
        slots = np.array([slot for slot, run in enumerate(self.runs) if run is not None])
        n = int((self.until - self.at)[slots].min())
        seen = np.zeros_like(self.at)
        seen[slots] = (self.at - self.since)[slots]
        with products_in(self.precision):
            self.states, losses = advance_together(
                self.states, self.train_sets, self.batches, self.at, seen, n, **self.how
            )
        self.losses[slots[:, None], seen[slots, None] + np.arange(n)] = np.asarray(losses)[slots, :n]
        self.at += n
        return [self._handed_back(slot) for slot in slots if self.at[slot] == self.until[slot]]

    def go_on(self, run: UnderWay) -> None:
        slot = self.runs.index(run)
        state, side = self.taken_over[slot]
        if run.state is not state:
            self.states = _put(self.states, slot, run.state)
        if run.side is not side:
            self.train_sets = _put(self.train_sets, slot, run.side.train_set)
        batches = self._batches(slot, run)
        if batches is not None:
            self.batches = _put(self.batches, slot, batches)
        self.taken_over[slot] = run.state, run.side

    def part(self) -> AtStop:
        back = [self._handed_back(slot) for slot, run in enumerate(self.runs) if run is not None]
        return [(run, stepped) for run, stepped in back if len(stepped.losses)]

    def _handed_back(self, slot: int) -> tuple[UnderWay, Stepped]:
        run, since, n = self.runs[slot], int(self.since[slot]), int(self.at[slot] - self.since[slot])
        assert run is not None
        run.state, run.step = _one(self.states, slot), since + n
        self.taken_over[slot] = run.state, run.side
        return run, Stepped(since, self.losses[slot, :n].copy())

    def _batches(self, slot: int, run: UnderWay) -> np.ndarray | None:
        """The batches of a run on the way to its next stop, from where it stands."""
        self.since[slot] = self.at[slot] = run.step
        self.until[slot] = run.next_stop()
        return run.side.batches(run.step, int(self.until[slot]))


def _stack_of(runs: Sequence[UnderWay], slots: int) -> Stack:
    return _Alone(runs, 1) if slots == 1 else _Together(runs, slots)


def _compiled_for(run: UnderWay) -> dict[str, Any]:
    has_gaps = run.side.regime.batch.has_gaps
    return {"optimiser": run.spec.optimiser.skeleton(), "loss": run.spec.loss, "has_gaps": has_gaps}


def _together(trees: Sequence[T]) -> T:
    """Stacked by way of the host, where nothing has to be compiled for so many."""
    return jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *trees))


@jax.jit
def _one(stacked: T, slot: int) -> T:
    """One program for all leaves: leaf by leaf 256 runs would cost more to part than to step."""
    return jax.tree.map(lambda leaf: leaf[slot], stacked)


@partial(jax.jit, donate_argnums=0)
def _put(stacked: T, slot: int, tree: T) -> T:
    return jax.tree.map(lambda leaf, one: leaf.at[slot].set(one), stacked, tree)
