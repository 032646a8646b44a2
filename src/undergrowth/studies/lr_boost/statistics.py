"""What is measured of a boosted run against its control: how much sooner, whether for good, how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from undergrowth.analysis import Rules, Switched, events, narrowing, speed_up
from undergrowth.analysis.switches import LASTING, log_ratio
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.store.outcomes import of_kind
from undergrowth.studies.statistic import Missing, Statistic, format_number, points, share, times

Bounds = tuple[float, float]
TOO_LATE = "grokked before its switch"

SPEED = (
    f"Steps are from the switch to the first evaluation with {RULES.describe('grokked')}, of the "
    "boosted fork and of the no-op fork of the same trunk; a seed that never does is censored at its "
    "last step."
)


@lru_cache(maxsize=4096)
def switched(run: Run) -> Switched:
    """A run from its switch on; from step 0 where it was boosted from the start."""
    is_complete, at = run.status == "done", run.forked_at or 0
    return Switched(run.curves, at, run.last_step, is_complete, RULES, _was_there(run))


def _was_there(run: Run) -> bool:
    """Whether a rule stopped it for a validation accuracy at the level of grokking, or above."""
    if run.stopped is None:
        return False
    rule = of_kind(run.happened, "stopped")[-1][1]
    is_high = rule["reading"] == "val_accuracy" and rule["direction"] == "above"
    return is_high and rule["level"] >= RULES.grokked


def in_time(of: Callable[..., object]) -> Callable:
    """A statistic of runs that the switch could still speed up."""

    def measured(*runs: Run):
        mine = [switched(run) for run in runs]
        if runs[0].spec.fork is not None and mine[0].is_too_late:
            return Missing(TOO_LATE)
        return of(*mine)

    return measured


def faster(run: Switched, control: Switched) -> Bounds:
    """Bounds of log10(steps of the no-op / steps)."""
    return speed_up(run, control)


def slower(run: Switched, control: Switched) -> Bounds:
    """The inverse."""
    low, high = speed_up(run, control)
    return -high, -low


STARTS: Mapping[str, Callable[[Switched], int | None]] = {
    "step 0": lambda run: 0,
    "memorised": lambda run: events(run.curves, RULES)["memorised"].first,
    "the switch": lambda run: run.at,
    "validation +0.02": lambda run: _onset(run, 0.02),
    "validation +0.05": lambda run: _onset(run, 0.05),
    "validation +0.2": lambda run: _onset(run, 0.2),
}
"""Possible definitions of the start of grokking; onsets are lasting, in each run's own curve."""


def _onset(run: Switched, level: float) -> int | None:
    return events(run.curves, Rules(RULES.memorised, RULES.grokked, level))["onset"].first


def proportion_of_rate(factor: float, start: str, run: Switched, control: Switched) -> Bounds:
    """Bounds of log(speed-up) / log(multiplier) from a start on: 1 is in proportion, 0 no speed-up."""
    its, control_s = (each.steps_since(STARTS[start](each)) for each in (run, control))
    low, high = log_ratio(its, control_s)
    decades = float(np.log10(factor))
    return low / decades, high / decades


def straddle(factor: float, run: Switched, control: Switched) -> Bounds:
    """Bounds of how far the starts lie to both sides of one half: the lesser of the two distances."""
    slopes = [proportion_of_rate(factor, start, run, control) for start in STARTS]
    lows, highs = zip(*slopes, strict=True)
    return min(max(lows) - 0.5, 0.5 - min(highs)), min(max(highs) - 0.5, 0.5 - min(lows))


def proportional(factor: float) -> Statistic:
    """C3's."""
    return Statistic(
        f"log(speed-up) / log({factor:g})",
        f"{SPEED} 1: proportional to the rate; 0: no speed-up at all.",
        in_time(lambda run, control: proportion_of_rate(factor, "the switch", run, control)),
        says=lambda slope: f"{factor:g} × the rate, × {format_number(factor**slope)} sooner",
        takes_failed=True,
    )


def straddles(factor: float) -> Statistic:
    """C14's."""
    return Statistic(
        f"how far log(speed-up) / log({factor:g}) extends to both sides of ½, over definitions of start",
        f"Starts: {', '.join(STARTS)}. For each seed the smaller of (highest - ½) and (½ - lowest).",
        in_time(lambda run, control: straddle(factor, run, control)),
        takes_failed=True,
    )


FASTER = Statistic(
    "log10(steps without the boost / steps)",
    SPEED,
    in_time(faster),
    says=times("sooner", "later"),
    takes_failed=True,
)
SLOWER = Statistic(
    "log10(steps / steps without the boost)",
    SPEED,
    in_time(slower),
    says=times("later", "sooner"),
    takes_failed=True,
)
LOST = Statistic(
    "share of seeds that do not end at a lasting 99 %",
    f"{RULES.describe('grokked').capitalize()} over the last {LASTING:.0%} of the steps after the "
    "switch. A run that diverged does not.",
    in_time(lambda run: not run.retains),
    says=share("of the seeds do not end at a lasting 99 %"),
    takes_failed=True,
)
NEVER = Statistic(
    "share of seeds that never reach 99 %",
    f"{RULES.describe('grokked').capitalize()} at no evaluation.",
    in_time(lambda run: not run.reaches_threshold),
    says=share("of the seeds never reach 99 %"),
    takes_failed=True,
)
GETS_THERE = Statistic(
    "share of seeds that reach 99 %",
    f"{RULES.describe('grokked').capitalize()} at some evaluation.",
    in_time(lambda run: run.reaches_threshold),
    says=share("of the seeds reach 99 %"),
    takes_failed=True,
)
NARROWER = Statistic(
    "narrowing of the gap between train and validation accuracy, compared with the no-op",
    "Mean over the steps from the switch until the first of the two reaches 99 %.",
    in_time(narrowing),
    range=(-1.0, 1.0),
    says=points("narrower"),
)
CLIMBS = Statistic(
    "share of validation's climb made while train accuracy is below 0.99",
    f"The climb is from validation's level at the switch to {RULES.grokked:g}; train accuracy is back "
    f"once it stays ≥ {RULES.memorised:g} until validation is first there, or to the end; at once if it "
    "never falls.",
    in_time(lambda run: run.climbed_while_below),
    range=(0.0, 1.0),
    says=share("of the climb"),
)
CORRELATED = Statistic(
    "correlation of the changes of both losses, minus the no-op's",
    "Spearman's, of the changes of the logarithms of train and validation loss between evaluations, "
    "from the switch until validation is at 99 %, or to the end.",
    in_time(lambda run, control: run.correlation - control.correlation),
    range=(-2.0, 2.0),
)
