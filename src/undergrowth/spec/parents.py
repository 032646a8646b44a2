"""Whether a run can be a fork of another."""

from __future__ import annotations

from undergrowth.spec.fork import Fork
from undergrowth.spec.run import RunSpec
from undergrowth.spec_errors import SpecError
from undergrowth.training.interventions import AfterFork, AtStep
from undergrowth.values import essence

OWN = ("fork", "interventions", "steps", "measures", "checkpoints", "stop")
"""Fields in which an arm may differ from its parent; and seeds.noise, and further interventions."""


def check_parent(run: RunSpec, parent: RunSpec) -> None:
    """Raise SpecError, in one line, where `run` cannot be a fork of `parent`."""
    assert run.fork is not None
    mine, its = dict(run), dict(parent)
    mine["seeds"], its["seeds"] = (
        (run.seeds.model, run.seeds.data),
        (parent.seeds.model, parent.seeds.data),
    )
    differing = [name for name in mine if name not in OWN and essence(mine[name]) != essence(its[name])]
    if differing:
        raise SpecError(
            f"{differing[0]} differs from that of the parent {parent.id}, whose trunk the run shares: "
            "make it equal, and change it by an intervention after the fork"
        )
    shared = run.interventions[: len(parent.interventions)]
    if shared != parent.interventions:
        raise SpecError(
            f"interventions do not start with those of the parent {parent.id}, whose trunk the run "
            "shares: put the run's own after them"
        )
    _check_the_parent_comes_there(run.fork, parent)
    for i in range(len(parent.interventions), len(run.interventions)):
        _check_it_is_after_the_fork(run, run.fork, i)


def _check_the_parent_comes_there(fork: Fork, parent: RunSpec) -> None:
    if not isinstance(fork.at, AtStep):
        try:
            fork.at.check(parent, "fork.at")
        except ValueError as error:
            raise SpecError(f"{error} to those of the parent {parent.id}") from None
        return
    step = fork.at.step
    if step > parent.steps:
        raise SpecError(
            f"fork.at.step = {step} is never reached by the parent {parent.id}: "
            f"fork at {parent.steps} or earlier"
        )
    if parent.fork is not None and isinstance(parent.fork.at, AtStep) and step < parent.fork.at.step:
        raise SpecError(
            f"fork.at.step = {step} is before the parent {parent.id} forks from its own parent at step "
            f"{parent.fork.at.step}: fork there or later, or from the parent's parent"
        )


def _check_it_is_after_the_fork(run: RunSpec, fork: Fork, position: int) -> None:
    """Raise SpecError where a run's own intervention has no step between the fork and the end."""
    trigger, place = run.interventions[position].trigger, f"interventions.{position}.trigger"
    first = getattr(fork.at, "step", 0)
    if isinstance(trigger, AtStep) and trigger.step < first:
        raise SpecError(
            f"{place}.step = {trigger.step} is before the fork at step {first}, while the run is "
            "still its parent: use that step or a later one"
        )
    if isinstance(trigger, AfterFork) and first + trigger.steps >= run.steps:
        raise SpecError(
            f"{place}.steps = {trigger.steps} after the fork at step {first} is past the run's last "
            f"update ({run.steps}): use fewer, or give the run more steps"
        )
