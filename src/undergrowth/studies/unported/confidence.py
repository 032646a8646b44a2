"""How sure is a network that has memorised, and does any gradient still flow? P4, C1, C2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import xarray as xr

from undergrowth.analysis import Verdict, estimate, events
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.analysis.stages import at_event, between_events
from undergrowth.measures import Confidence, Curves
from undergrowth.report.confidence import doubt_figure, push_figure
from undergrowth.report.numbers import told
from undergrowth.report.panels import Arm
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies import one_layer_addition
from undergrowth.studies.study import Answer, Budget, Claim, Study

SURE = 0.99
"""Of C1: the probability that memorising is said not to reach."""
FACTOR = 10
"""Of C2 and P4: a gradient that falls to less than one part in so many counts as gone."""
SHARED_BY = 0.1
"""Of P4: the share of the training examples above which the push is not that of a few."""

MEDIAN, SUREST_BUT_5 = "0.5", "0.95"
"""Quantiles of log10(1 - p): half of the examples, and all but 5 %, are at least that sure."""

ArmName = Literal["with decay", "without decay", "shuffled labels"]
ARMS: dict[ArmName, tuple[str, str]] = {
    "with decay": ("#1F77B4", "solid"),
    "without decay": ("#C2428A", "8px,3px"),
    "shuffled labels": ("#7D93A8", "3px,3px"),
}
"""Colour and dash of each arm."""

SEEDS: dict[Budget, tuple[int, int, int]] = {
    "quick": (4, 4, 2),
    "standard": (16, 12, 12),
    "full": (10, 10, 10),
}
"""Seeds with decay, without, and with decay and shuffled labels."""

WATCHED = Schedule(every=10, until=120, per_decade=16)
"""Close enough around memorisation that it falls on a reading."""

BASE = RunSpec(steps=1000, measures=(Curves(), Confidence(schedule=WATCHED)))
"""x+y mod 53 on a split that does not leak: memorised near step 60, grokked near step 650."""

PAPER = one_layer_addition.PAPER.replace(measures=BASE.measures)


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """True labels with decay and without; then shuffled labels, which can only be memorised."""
    n_decay, n_free, n_shuffled = SEEDS[budget] if seeds is None else (seeds,) * 3
    base = PAPER if budget == "full" else BASE
    free = base.replace(optimiser=base.optimiser.model_copy(update={"weight_decay": 0.0}))
    return (
        *(base.seeded(seed) for seed in range(n_decay)),
        *(free.seeded(seed) for seed in range(n_free)),
        *(base.replace(labels="shuffled").seeded(seed) for seed in range(n_shuffled)),
    )


def arm_of(run: Run) -> ArmName:
    """Which arm a run belongs to."""
    if run.spec.labels != "true":
        return "shuffled labels"
    return "with decay" if run.spec.optimiser.weight_decay else "without decay"


def doubt(run: Run, quantile: str = MEDIAN) -> xr.DataArray:
    """A quantile over training examples of log10(1 - p) [step]."""
    return run["confidence_doubt"].sel(side="train", quantile=quantile)


def when_memorised(run: Run) -> float:
    """The median of log10(1 - p) when the run had memorised."""
    found = at_event(run, doubt(run), "memorised")
    return np.nan if found is None else float(found)


def surest(run: Run, quantile: str = MEDIAN) -> float:
    """The lowest that a quantile of log10(1 - p) comes between memorised and onset."""
    stage = between_events(run, doubt(run, quantile), "memorised", "onset")
    return np.nan if stage is None else float(stage.min())


def decades_lost(run: Run, reading: str) -> float:
    """By how many decades a norm falls from memorised to its least before the onset."""
    stage = between_events(run, run[reading], "memorised", "onset")
    return np.nan if stage is None else float(np.log10(stage[0] / stage.min()))


def flow(run: Run) -> float:
    """log10 of the data part of the update over its decay part: median from memorised to grokked."""
    ratio = run["confidence_data_norm"] / run["confidence_decay_norm"]
    return _median_until_grokked(run, xr.apply_ufunc(np.log10, ratio))


def kept(run: Run) -> float:
    """log10 of the gradient norm over its value when memorised: median from memorised to grokked."""
    norm = run["confidence_gradient_norm"]
    start = at_event(run, norm, "memorised")
    if start is None:
        return np.nan
    return _median_until_grokked(run, xr.apply_ufunc(np.log10, norm / start))


def pushing(run: Run) -> float:
    """The effective share of the training examples that push: median from memorised to grokked."""
    share = run["confidence_pushing_train"] / run.spec.data().n_train
    return _median_until_grokked(run, share)


def _median_until_grokked(run: Run, reading: xr.DataArray) -> float:
    stage = between_events(run, reading, "memorised", "grokked")
    return np.nan if stage is None else float(stage.median())


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on C1, C2 and P4; the distribution of 1 - p, and what still pushes."""
    arms = [
        Arm(name, tuple(run for run in runs if arm_of(run) == name), colour, dash)
        for name, (colour, dash) in ARMS.items()
    ]
    present = [arm for arm in arms if arm.runs]
    return Answer(_verdicts(runs), (doubt_figure(present), push_figure(present)))


def _verdicts(runs: Sequence[Run]) -> tuple[Verdict, ...]:
    by_arm: dict[str, list[Run]] = {name: [] for name in ARMS}
    for run in runs:
        by_arm[arm_of(run)].append(run)
    decayed, free, shuffled = by_arm.values()
    return (
        *_how_sure(decayed, free, shuffled),
        *_gone(decayed, free),
        *_flowing(decayed, shuffled),
    )


def _how_sure(
    decayed: Sequence[Run], free: Sequence[Run], shuffled: Sequence[Run]
) -> tuple[Verdict, ...]:
    what = "log10(1 - p) of the correct label, {} over training examples, {}"
    rule = (
        f"memorised: {DEFAULT_RULES.describe('memorised')}; onset: {DEFAULT_RULES.describe('onset')}. "
        f"Supported if the interval lies above log10(1 - {SURE}) = -2, so p < {SURE}; contradicted if "
        "below. A run that never sets off counts to its last step."
    )

    def verdict(arm: Sequence[Run], statistic: str, number: Callable[[Run], float]) -> Verdict:
        values, note = _over(arm, number)
        left = f"1 - p = {told(float(10 ** np.mean(values)))} in geometric mean. " if len(values) else ""
        return Verdict(
            claim="C1",
            study="confidence",
            statistic=statistic,
            estimate=estimate(values),
            threshold=float(np.log10(1 - SURE)),
            rule=rule,
            note=f"{left}{note}",
        )

    stage = "at its lowest from memorised to onset"
    return (
        verdict(decayed, what.format("median", "when memorised"), when_memorised),
        verdict(decayed, what.format("median", stage), surest),
        verdict(
            decayed,
            what.format("95th percentile", stage) + " (all but the 5 % least sure)",
            lambda run: surest(run, SUREST_BUT_5),
        ),
        verdict(free, what.format("median", f"{stage}, without decay"), surest),
        verdict(shuffled, what.format("median", f"{stage}, shuffled labels"), surest),
    )


def _gone(decayed: Sequence[Run], free: Sequence[Run]) -> tuple[Verdict, ...]:
    def verdict(arm: Sequence[Run], what: str, reading: str) -> Verdict:
        values, note = _over(arm, lambda run: decades_lost(run, reading))
        return Verdict(
            claim="C2",
            study="confidence",
            statistic=f"decades that the norm of {what} loses from memorised to its least before onset",
            estimate=estimate(values),
            threshold=float(np.log10(FACTOR)),
            rule=(
                f"Supported if the interval lies above log10({FACTOR}): the gradient dies out; "
                f"contradicted if below: it stays within a factor of {FACTOR} of what it was. A run "
                "that never sets off counts to its last step."
            ),
            note=note,
        )

    still = [run for run in free if events(run.curves, DEFAULT_RULES)["onset"].censored]
    data = verdict(free, "the gradient's part of the update, without decay", "confidence_data_norm")
    return (
        verdict(decayed, "the loss gradient, with decay", "confidence_gradient_norm"),
        verdict(free, "the loss gradient, without decay", "confidence_gradient_norm"),
        verdict(decayed, "the gradient's part of the update, with decay", "confidence_data_norm"),
        replace(data, note=f"{len(still)} of {len(free)} runs without decay never set off. {data.note}"),
    )


def _flowing(decayed: Sequence[Run], shuffled: Sequence[Run]) -> tuple[Verdict, ...]:
    def verdict(statistic: str, number: Callable[[Run], float], threshold: float, rule: str) -> Verdict:
        values, note = _over(decayed, number)
        control, _ = _over(shuffled, number)
        if len(control):
            note = f"Shuffled labels, to their last step: {told(float(np.mean(control)))}. {note}"
        return Verdict(
            claim="P4",
            study="confidence",
            statistic=f"{statistic}: median over the readings from memorised to grokked",
            estimate=estimate(values),
            threshold=threshold,
            rule=f"grokked: {DEFAULT_RULES.describe('grokked')}; readings are log-spaced. {rule}",
            note=note,
        )

    tenth = f"1/{FACTOR}"
    return (
        verdict(
            "log10(norm of the gradient's part of the update / of its decay part)",
            flow,
            -float(np.log10(FACTOR)),
            f"Supported if the interval lies above log10({tenth}): the gradient moves the weights at "
            f"least {tenth} as far as decay does; contradicted if below.",
        ),
        verdict(
            "log10(norm of the loss gradient / its value when memorised)",
            kept,
            -float(np.log10(FACTOR)),
            f"Supported if the interval lies above log10({tenth}); contradicted if below. Adam divides "
            "by the gradient's size, so the update may go on where this dies out.",
        ),
        verdict(
            "share of the training examples that push, (sum |g|)^2 / (n sum |g|^2)",
            pushing,
            SHARED_BY,
            f"Supported if the interval lies above {SHARED_BY}: what flows comes from many examples, "
            "not from a few not yet learned; contradicted if below.",
        ),
    )


def _over(arm: Sequence[Run], number: Callable[[Run], float]) -> tuple[np.ndarray, str]:
    """A number of each run that has it, and in words how many have not."""
    values = np.array([number(run) for run in arm], float)
    known = np.sort(values[np.isfinite(values)])
    if not arm:
        return known, "No runs of this arm."
    without = len(values) - len(known)
    told_without = f"{without} of {len(arm)} runs failed, never memorised, or set off at once."
    return known, told_without if without else ""


STUDY = Study(
    name="confidence",
    question="How sure is a network that has memorised, and does any gradient still flow?",
    claims=(
        Claim(
            "C1",
            "Each memorised pair is reinforced by one data point, so memorisation stops at p ~ 0.95, "
            "not 0.99.",
        ),
        Claim("C2", "If what is memorised had p ~ 1, the gradients would be zero and nothing change."),
        Claim("P4", "The gradient keeps flowing after memorisation, at near-zero training loss."),
    ),
    predictions={
        "two circuits and tiny gradients": (
            "Memorising stops short of p = 0.99, with and without decay, and with shuffled labels; "
            "where p does come near 1, the gradient and what it does to the weights die out."
        ),
        "frequency of reinforcement": (
            "The gradient keeps flowing, and from many examples: P4's shares stay high until grokking. "
            "With shuffled labels, where no circuit serves many, less so."
        ),
        "circuit efficiency": (
            "p stops where decay undoes what the gradient does, so the two parts of the update are of "
            "a size; without decay nothing stops p, and nothing groks."
        ),
        "softmax collapse": (
            "Without decay the gradient only scales the weights up: p goes to 1, the gradient to 0."
        ),
    },
    runs=runs,
    answer=answer,
    needs={"confidence_doubt": "confidence"},
)
