"""How robust P8 is by its mechanism: what decay destroys first, alone and with the gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from undergrowth.analysis import Exceeds
from undergrowth.report.numbers import format_number
from undergrowth.store import Run
from undergrowth.studies.arm import Budget
from undergrowth.studies.decay.arms import (
    ALONE,
    MLP,
    SETUPS,
    STAYS_OFF,
    SWITCHED_ON,
    TRANSFORMER,
    WRONG,
    Undoing,
    What,
    undoings,
)
from undergrowth.studies.decay.statistics import LAGGING, Score, Undone, earlier, excess, matched, undone
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.table import Table

WORTH = Exceeds(0.05)
"""A twentieth: of the path, or of a margin."""
SHORT = {TRANSFORMER: "transformer", MLP: "mlp", WRONG: "wrong"}


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Those whose arms the budget has; that decay is the best regulariser is asked in another study."""
    there = {undoing.name for undoing in undoings(budget)}
    each: tuple[Score, ...] = ("right", "confident")
    found = (
        Endpoint("switched-on", "P8", LAGGING, SWITCHED_ON.name, WORTH, control=STAYS_OFF.name),
        *(_alone(setup, "decay", score) for setup in SETUPS for score in each),
        *(_alone(setup, "noise", "right") for setup in SETUPS),
        *(_against_noise(setup, "right") for setup in (TRANSFORMER, WRONG)),
        _against_noise(MLP, "confident"),
        *(_matched(setup, "decay") for setup in (TRANSFORMER, WRONG)),
        *(_matched(setup, "noise") for setup in SETUPS),
        _earlier(TRANSFORMER, "decay", "right"),
        _earlier(MLP, "decay", "confident"),
        _earlier(MLP, "noise", "right"),
    )
    return tuple(e for e in found if e.arm in there and (e.control is None or e.control in there))


def _alone(setup: str, what: What, score: Score) -> Endpoint:
    arm = Undoing(setup, what).name
    name = f"{SHORT[setup]}-{what}-{score}"
    return Endpoint(name, "P8", excess(setup, score), arm, WORTH, note=_at_the_fork(arm))


def _against_noise(setup: str, score: Score) -> Endpoint:
    decay, noise = (Undoing(setup, what).name for what in ALONE)
    statistic = excess(setup, score, ", minus under random kicks of equal distance")
    return Endpoint(f"{SHORT[setup]}-decay-noise", "P8", statistic, decay, WORTH, control=noise)


def _matched(setup: str, what: What) -> Endpoint:
    arm = Undoing(setup, what).name
    name = f"{SHORT[setup]}-{what}-matched"
    return Endpoint(name, "P8", matched(setup), arm, WORTH, note=_at_the_fork(arm))


def _earlier(setup: str, what: What, score: Score) -> Endpoint:
    early, late = (Undoing(setup, what, switch).name for switch in ("memorised", "grokked"))
    name = f"{SHORT[setup]}-{what}-earlier"
    return Endpoint(name, "P8", earlier(score), early, WORTH, control=late)


def forks_of(table: Table, arm: str) -> dict[Run, Undone]:
    """The forks of an arm that went the whole way."""
    found = {run: undone(run) for run in table.of(arm) if run.status == "done"}
    return {run: fork for run, fork in found.items() if isinstance(fork, Undone)}


def _at_the_fork(arm: str) -> Callable[[Table], str]:
    """What the classes start from, and how far they can be compared at an equal margin."""

    def note(table: Table) -> str:
        forks = [
            fork for fork in forks_of(table, arm).values() if fork.general.any() and fork.shallow.any()
        ]
        if not forks:
            return ""
        shallow, general = (
            float(np.mean([np.median(fork.margin[0, fork.members(cls)]) for fork in forks]))
            for cls in ("shallow", "general")
        )
        accuracy, share = (
            np.mean([number(fork) for fork in forks])
            for number in (lambda fork: fork.val_accuracy, lambda fork: fork.matched()[1])
        )
        return (
            f"Median margins at the fork {format_number(shallow)} and {format_number(general)}; a = "
            f"{accuracy:.2f}; {share:.0%} of the smaller class has a match of equal margin."
        )

    return note
