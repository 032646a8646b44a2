"""The cast: which stored runs a story is about, whatever else they were trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run, Store
from undergrowth.store.events import DEFAULT_RULES, Event, events

MOST_SEEDS = 4
"""Of which a page carries the runs: more make it large, and a reader turns to a few."""


def training(spec: RunSpec, stored: Mapping[str, RunSpec]) -> str:
    """A hash of what decides a run's weights: all of its spec but what is measured and kept.

    The evaluations stay, since events wait for them; a fork's parent counts as its own training. Runs
    with the same hash have the same weights at the same steps.
    """
    curves = tuple(measure for measure in spec.measures if measure.name == "curves")
    plain = spec.replace(measures=curves, checkpoints=Schedule())
    if spec.fork is not None and spec.fork.of in stored:
        parent = training(stored[spec.fork.of], stored)
        plain = plain.replace(fork=spec.fork.model_copy(update={"of": parent}))
    return plain.id


@dataclass(frozen=True, eq=False)
class Cast:
    """The finished runs of a store by what decides their weights."""

    store: Store

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Of runs with equal weights the one of which most was measured and kept."""
        done = [run for run in self.store.runs if run.status == "done"]
        found: dict[str, Run] = {}
        for run in sorted(done, key=lambda run: run.id):
            place = training(run.spec, self._specs)
            if place not in found or _rich(run) > _rich(found[place]):
                found[place] = run
        return found

    @cached_property
    def _specs(self) -> dict[str, RunSpec]:
        return {run.id: run.spec for run in self.store.runs}

    def of(self, spec: RunSpec) -> dict[int, Run]:
        """By seed the stored runs with the weights of a spec, whatever its seeds; the first few."""
        whole = training(spec, self._specs)
        found = {
            seed: run
            for run in self.runs.values()
            if run.spec.fork is None and run.spec == run.spec.seeded(seed := run.spec.seeds.model)
            if training(run.spec.seeded(spec.seeds.model), self._specs) == whole
        }
        return dict(sorted(found.items())[:MOST_SEEDS])

    def forks(self, trunk: Run) -> list[Run]:
        """The runs that branch off a run, or off one with its weights."""
        whole = training(trunk.spec, self._specs)
        return [
            run
            for run in self.runs.values()
            if run.spec.fork is not None and run.spec.fork.of in self._specs
            if training(self._specs[run.spec.fork.of], self._specs) == whole
        ]


def _rich(run: Run) -> tuple[int, int]:
    return len(run.names), len(run.checkpoints)


def events_of(run: Run) -> dict[str, Event]:
    """When it memorised, set off and grokked, by the usual rules."""
    return {str(name): event for name, event in events(run.curves, DEFAULT_RULES).items()}
