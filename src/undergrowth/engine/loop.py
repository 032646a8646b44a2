"""The engine: from run specs to a stream of facts. The only loop that trains.

`train` advances one run, or several side by side, in compiled stretches from one step of interest to the
next (evaluation, checkpoint, intervention, fork) and yields what happened as values; `side_by_side` puts
a waiting run in the place of each that is over. They write nothing: whoever consumes the facts decides
where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from undergrowth.engine.facts import Fact, Over
from undergrowth.engine.stacks import Stack, Stacks, shape_of
from undergrowth.engine.under_way import UnderWay
from undergrowth.measures import Measure, Reading
from undergrowth.spec import RunSpec
from undergrowth.training.interventions import AnyForkPoint
from undergrowth.training.state import Snapshot

Start = Snapshot | None
Branches = Sequence[AnyForkPoint]


@dataclass(frozen=True, eq=False)
class Beginning:
    """A run that can begin: from a snapshot (None: untrained), and where others will fork from it."""

    spec: RunSpec
    start: Start = None
    branches: Branches = ()


def train(
    specs: Sequence[RunSpec],
    start: Sequence[Start],
    branches: Mapping[int, Branches] | None = None,
) -> Iterator[tuple[int, Fact]]:
    """Train runs from their snapshots (None: from the beginning) to their last step, all at once.

    Yields (position in `specs`, fact) in the order in which things happen. Facts of the step that a
    snapshot stands at are not repeated, except where a fork begins: its snapshot is its parent's.
    branches: by position, where others will fork from a run: it saves a snapshot when it comes there,
    and says so at once where it has been there. An error in a run is raised.
    """
    branches = branches or {}
    runs = [
        Beginning(spec, snapshot, branches.get(position, ()))
        for position, (spec, snapshot) in enumerate(zip(specs, start, strict=True))
    ]
    position_of = {run: position for position, run in enumerate(runs)}
    waiting = iter([runs])
    for run, fact in side_by_side(lambda _: next(waiting, []), max(1, len(runs))):
        if not isinstance(fact, Over):
            yield position_of[run], fact
        elif fact.error is not None:
            raise fact.error


def side_by_side(
    more: Callable[[int], Sequence[Beginning]], width: int
) -> Iterator[tuple[Beginning, Fact]]:
    """Train at most `width` runs at a time, each by its own steps, until there are no more.

    more: asked for at most so many runs whenever slots are empty; it gives none where none can begin
    now, and there are no more when it gives none though nothing is under way. Yields (run, fact), at
    last `Over` of each. A run that is alone in its shape is stepped as it is; those of a shape are
    stacked and stepped under `vmap`, which is for accelerators: on a CPU it is slower, and other bits
    come out. An error ends the run that raised it; one in a compiled step, all that are stepped by it.
    """
    stacks = Stacks(width)
    beginning: dict[UnderWay, Beginning] = {}
    while True:
        while len(stacks) < width and (new := more(width - len(stacks))):
            for run in new:
                yield from ((run, fact) for fact in _begun(run, stacks, beginning))
        for run, stepped in stacks.settle(may_narrow=len(stacks) < width):
            yield beginning[run], stepped
        if not len(stacks):
            return
        for stack in stacks:
            for run, fact in _stretch(stack, stacks):
                yield beginning[run], fact
                if isinstance(fact, Over):
                    del beginning[run]


def _begun(run: Beginning, stacks: Stacks, beginning: dict[UnderWay, Beginning]) -> Iterator[Fact]:
    """What is due where a run begins."""
    try:
        under_way = UnderWay(run.spec, run.start, run.branches)
        yield from under_way.begin()
        yield from under_way.intervene()
    except Exception as error:
        yield Over(run.start.step if run.start else 0, error)
        return
    if under_way.over:
        yield Over(under_way.step)
    else:
        beginning[under_way] = run
        stacks.joining.append(under_way)


def _stretch(stack: Stack, stacks: Stacks) -> Iterator[tuple[UnderWay, Fact]]:
    """All runs of a stack on to the first stop of any, and what is due there."""
    try:
        at_stop = stack.advance()
    except Exception as error:
        for run in stack.held():
            stack.leave(run)
            yield run, Over(run.step, error)
        return
    for run, stepped in at_stop:
        yield run, stepped
        before = shape_of(run)
        try:
            for fact in run.arrive():
                yield run, fact
            for fact in run.intervene():
                yield run, fact
        except Exception as error:
            run.over = True
            yield run, Over(run.step, error)
            stack.leave(run)
            continue
        if run.over:
            stack.leave(run)
            yield run, Over(run.step)
        elif shape_of(run) == before:
            stack.go_on(run)
        else:
            stack.leave(run)
            stacks.joining.append(run)


def readings_at(
    spec: RunSpec, snapshot: Snapshot, measures: Sequence[Measure]
) -> Iterator[Mapping[str, Reading]]:
    """What each measure reads of a run at a snapshot, as it would have read it in training."""
    run = UnderWay(spec, snapshot, ())
    return (run.readings(measure) for measure in measures)
