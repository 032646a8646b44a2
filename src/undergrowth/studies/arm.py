"""An arm of a study: what is trained, under which name, with which seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from undergrowth.rng import Seeds
from undergrowth.spec import Fork, RunSpec
from undergrowth.store import Part
from undergrowth.values import unchecked

Budget = Literal["quick", "standard", "full"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)
Role = Literal["treatment", "control", "trunk"]

EXPLORE, CONFIRM = range(4), range(100, 116)
"""Seeds on which settings, rates and rules are chosen, and those kept for what is reported."""
SEEDS: dict[Budget, Sequence[int]] = {"quick": EXPLORE, "standard": CONFIRM, "full": CONFIRM}


@dataclass(frozen=True)
class Arm:
    """Runs that differ in their seeds only.

    name: unique in a study, in words that a legend can use; spec: with any seeds; trunk: of forks, the
    arm that they leave; role: what it is beside the others; seeds: at most so many of the budget's, None
    for all; order: of a fork, added to its noise seed: forks of one trunk can differ in their batches.

    >>> trunk = Arm("no boost", RunSpec(), role="control")
    >>> trunk.seeded(3).seeds.model
    3
    """

    name: str
    spec: RunSpec
    role: Role = "treatment"
    trunk: Arm | None = None
    seeds: int | None = None
    order: int = 0

    def seeded(self, seed: int) -> RunSpec:
        """Its run with a seed: a fork of its trunk's run with that seed."""
        spec = self.spec
        if self.trunk is not None:
            assert spec.fork is not None
            fork = Fork(of=self.trunk.seeded(seed).id, at=spec.fork.at)
            spec = unchecked(spec, fork=fork)  # a possible one, as that of any trunk is
        spec = spec.seeded(seed)
        if self.order:
            spec = spec.replace(seeds=Seeds(model=seed, data=seed, noise=seed + self.order))
        return spec


def each_once(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """Arms by their names, each where it comes first: a trunk that many forks leave is one arm."""
    found: dict[str, Arm] = {}
    for arm in arms:
        found.setdefault(arm.name, arm)
    return tuple(found.values())


@dataclass(frozen=True)
class Planned:
    """A run that a study asks for, and the part that it plays there."""

    spec: RunSpec
    part: Part


def planned(
    study: str, budget: Budget, arms: Sequence[Arm], seeds: int | Sequence[int] | None = None
) -> tuple[Planned, ...]:
    """The runs of arms, seed by seed, so that forks come beside their trunks; `seeds`: the first so many
    of the budget's, or which; all of the budget's by default.

    An arm of a few seeds has the budget's first few, in whatever portions these are trained.
    """
    start = SEEDS[budget][0]
    if seeds is None:
        seeds = SEEDS[budget]
    elif isinstance(seeds, int):
        seeds = range(start, start + seeds)
    first = min(start, seeds[0])
    return tuple(
        Planned(arm.seeded(seed), Part(study, budget, arm.name, arm.role, seed))
        for seed in seeds
        for arm in arms
        if arm.seeds is None or seed - first < arm.seeds
    )


def of_arms(planned: Sequence[Planned], naming: Sequence[str]) -> tuple[Planned, ...]:
    """Those of arms whose names have one of some texts in them, and the trunks that these leave.

    Raises ValueError for a text that no arm's name has in it.
    """
    names = dict.fromkeys(each.part.arm for each in planned)
    for text in naming:
        if not any(text in name for name in names):
            raise ValueError(f"{text!r} is in no arm's name; arms: {', '.join(names)}")
    asked = {e.spec.id for e in planned if any(text in e.part.arm for text in naming)}
    by_id = {each.spec.id: each.spec for each in planned}
    for run_id in list(asked):
        while (fork := by_id[run_id].fork) is not None and fork.of in by_id:
            asked.add(run_id := fork.of)
    return tuple(each for each in planned if each.spec.id in asked)
