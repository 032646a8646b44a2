"""How sure is a network that has memorised, and does any gradient still flow? P4, C1, C2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from undergrowth.analysis import Above, Exceeds, events
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY, TWO_CIRCUITS
from undergrowth.analysis.leaked import beyond_leak, describe_onset_beyond_leak
from undergrowth.analysis.predictions import Prediction
from undergrowth.analysis.stages import at_event, between_events
from undergrowth.measures import Confidence, Curves
from undergrowth.report.charts import Look
from undergrowth.report.confidence import error_probability_figure, push_figure
from undergrowth.report.figure import Figure
from undergrowth.report.numbers import format_number
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES, EventName
from undergrowth.studies import replication
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.own_scale import waits_for
from undergrowth.studies.statistic import Missing, Statistic, Words, share
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.training.batches import MiniBatch

WATCHED = Schedule(every=10, until=120, per_decade=16)
"""Close enough around memorisation that it falls on a reading."""

BASE = RunSpec(steps=1000, measures=(Curves(), Confidence(schedule=WATCHED)))
"""x+y mod 53 on a split that does not leak: memorised near step 60, grokked near step 650."""

DECAY, FREE, MINI = "with decay", "without decay", "mini-batches, without decay"
EXACT = "exact loss, without decay"
SHUFFLED = "shuffled labels"
DRAWN = {
    DECAY: Look("#1F77B4"),
    FREE: Look("#C2428A", "8px,3px"),
    MINI: Look("#B8860B", "2px,2px"),
    EXACT: Look("#0A9A74", "9px,3px,2px,3px"),
    SHUFFLED: Look("#7D93A8", "3px,3px"),
}
"""Of each arm."""


def arms(budget: Budget) -> tuple[Arm, ...]:
    """With decay and without, without it in mini-batches too, and labels that can only be memorised.

    At the post's own scale, the replication's, all runs have mini-batches and the float32 loss; the
    exact one is beside it. All examples at once would take nine times as long.
    """
    if budget == "full":
        return (
            Arm(DECAY, replication.trained(decay=1.0, is_watched=False)),
            Arm(MINI, replication.trained()),
            Arm(EXACT, replication.trained(is_watched=False, loss="cross_entropy")),
            Arm(
                SHUFFLED,
                replication.trained(decay=1.0, is_watched=False, labels="shuffled"),
                "control",
            ),
        )
    base = BASE
    free = base.replace(optimiser=base.optimiser.model_copy(update={"weight_decay": 0.0}))
    few = 2 if budget == "quick" else None
    return (
        Arm(DECAY, base),
        Arm(FREE, free),
        Arm(MINI, free.replace(batch=MiniBatch(batch_size=512))),
        Arm(SHUFFLED, base.replace(labels="shuffled"), "control", seeds=few),
    )


LEAST = -38.0
"""Of log10(1 - p): no lesser 1 - p is a float32."""
MEDIAN, SUREST_BUT_5 = "0.5", "0.95"
"""Quantiles of log10(1 - p): half of the examples, and all but 5 %, are at least that sure."""
TOO_SHORT = "never memorised, or nothing to measure from there on"


def error_probability(run: Run, quantile: str = MEDIAN) -> xr.DataArray:
    """A quantile over training examples of log10(1 - p) [step]."""
    return run["confidence_error_probability"].sel(side="train", quantile=quantile).clip(min=LEAST)


def stage(
    reading: Callable[[Run], xr.DataArray],
    until: EventName | None,
    number: Callable[[xr.DataArray], float | Missing],
) -> Callable[[Run], float | Missing]:
    """A number of a reading [step] from memorised until an event, or to the end."""

    def of(run: Run) -> float | Missing:
        found = between_events(run, reading(run), "memorised", until, beyond_leak(run))
        return Missing(TOO_SHORT) if found is None else number(found)

    return of


def median_in_time(reading: xr.DataArray) -> float:
    """The median over steps of a reading [step], linear between those at which it was taken."""
    steps = reading["step"].values
    return float(np.median(np.interp(np.arange(steps[0], steps[-1] + 1), steps, reading.values)))


def decades_lost(norm: xr.DataArray) -> float:
    """By how many decades a norm [step] falls from its first to its least."""
    return float(np.log10(norm[0] / norm.min()))


LEAST_CHANGE = np.log10(2)


def slope(run: Run) -> float | Missing:
    """Least squares of log10(gradient norm) on log10(1 - p) over the readings since memorised."""
    error_probabilities = between_events(run, error_probability(run), "memorised", None)
    norms = between_events(run, run["confidence_gradient_norm"], "memorised", None)
    if error_probabilities is None or norms is None:
        return Missing(TOO_SHORT)
    is_seen = (norms.values > 0) & (error_probabilities.values > LEAST)
    x, y = error_probabilities.values[is_seen], np.log10(norms.values[is_seen])
    if not len(x) or np.ptp(x) < LEAST_CHANGE:
        return Missing("1 - p changes by less than a factor of 2, so there is no slope")
    return float(np.polyfit(x, y, 1)[0])


def when_memorised(run: Run) -> float | Missing:
    """The median of log10(1 - p) when the run had memorised."""
    found = at_event(run, error_probability(run), "memorised")
    return Missing("never memorised") if found is None else float(found)


def part_ratio(run: Run) -> xr.DataArray:
    """log10(norm of the gradient's part of the update / of decay's part) [step]."""
    ratio = run["confidence_data_norm"] / run["confidence_decay_norm"]
    return xr.apply_ufunc(np.log10, ratio)


def kept(run: Run) -> xr.DataArray:
    """log10(norm of the loss gradient / its value when memorised) [step]."""
    norm = run["confidence_gradient_norm"]
    start = at_event(run, norm, "memorised")
    return xr.apply_ufunc(np.log10, norm / (np.nan if start is None else float(start)))


def effective_examples(run: Run) -> xr.DataArray:
    """The effective share of the training examples that push [step]."""
    return run["confidence_effective_examples_train"] / run.spec.data().n_train


def probability(error_probability: float) -> str:
    """Of log10(1 - p), p in words."""
    left = 10**error_probability
    return f"p = {format_number(1 - left)}" if left > 2e-3 else f"p = 1 − {format_number(left)}"


def fold(what: str) -> Words:
    """Of a decimal logarithm, its number in words."""
    return lambda decades: f"× {format_number(10**decades)} {what}"


MEMORISED = f"Memorised: {RULES.describe('memorised')}."
TO_ONSET = (
    f"{MEMORISED} Onset: {describe_onset_beyond_leak()}; a run without an onset counts to its last step."
)
TO_GROKKED = (
    f"Median over the readings, which are log-spaced. {MEMORISED} Grokked: "
    f"{RULES.describe('grokked')}; a run that never groks counts to its last step."
)
DOUBT = "log10(1 - p) of the label"


def surest(which: str, quantile: str) -> Statistic:
    """The lowest that a quantile comes."""
    return Statistic(
        f"{DOUBT}, {which} over training examples, lowest value before the onset",
        TO_ONSET,
        stage(
            lambda run: error_probability(run, quantile),
            "onset",
            lambda error_probabilities: float(error_probabilities.min()),
        ),
        says=probability,
    )


def dies(what: str, reading: str) -> Statistic:
    """How far a norm falls before the onset."""
    return Statistic(
        f"decades by which the norm of {what} falls from memorised to its minimum before the onset",
        TO_ONSET,
        stage(lambda run: run[reading], "onset", decades_lost),
        says=lambda decades: f"÷ {format_number(10**decades)}",
    )


def lasts(what: str, reading: Callable[[Run], xr.DataArray], says: Words, how: str = "") -> Statistic:
    """What a reading is until grokking."""
    until = stage(reading, "grokked", lambda values: float(values.median()))
    return Statistic(f"{what}, median from memorised to grokked", f"{how}{TO_GROKKED}", until, says=says)


TYPICAL = Statistic(
    f"{DOUBT}, median over training examples and steps from memorised to onset",
    f"At each step the median over examples, then the median of those over steps. {TO_ONSET}",
    stage(error_probability, "onset", median_in_time),
    says=probability,
)
WHEN_MEMORISED = Statistic(
    f"{DOUBT}, median over training examples, when memorised",
    MEMORISED,
    when_memorised,
    says=probability,
)
SLOPE = Statistic(
    "slope of log10(norm of the loss gradient) on log10(1 - p)",
    "Least squares within a run over the readings from memorised to its end; p: the median over "
    f"training examples. {MEMORISED} 1: the gradient is proportional to 1 - p; 0: it does not depend "
    "on it.",
    slope,
    says=lambda slope: f"gradient × {format_number(10**-slope)} where 1 − p is × 0.1",
)
DYING = {
    "gradient": dies("the loss gradient", "confidence_gradient_norm"),
    "update": dies("the gradient's part of the update", "confidence_data_norm"),
}
FLOW = lasts(
    "log10(norm of the gradient's part of the update / of its decay part)",
    part_ratio,
    fold("as far as decay moves the weights"),
)
KEPT = lasts(
    "log10(norm of the loss gradient / its value when memorised)",
    kept,
    fold("the gradient at memorisation"),
)
PUSHING = replace(
    lasts(
        "share of the training examples that push",
        effective_examples,
        share("of the training examples"),
        "(sum |g|)^2 / (n sum |g|^2), with g the gradient of an example's own loss. ",
    ),
    range=(0.0, 1.0),
)


def never_set_off(arm: str) -> Callable[[Table], str]:
    """How many runs of an arm have no onset."""

    def note(table: Table) -> str:
        runs = table.of(arm)
        never = sum(events(run.curves, beyond_leak(run))["onset"].censored for run in runs)
        return f"{never} of {len(runs)} runs have no onset." if runs else ""

    return note


UNSURE = Above(float(np.log10(1 - 0.99)))
"""p < 0.99."""
TENFOLD, A_TENTH = Above(1.0), Above(-1.0)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """C1 and C2 in mini-batches without decay, the setting in question; P4 beside decay."""
    of_free = never_set_off(FREE)
    has = {arm.name for arm in arms(budget)}
    found = (
        Endpoint("stops-short", "C1", TYPICAL, MINI, UNSURE, is_primary=True, note=never_set_off(MINI)),
        Endpoint("stops-short-decay", "C1", TYPICAL, DECAY, UNSURE),
        Endpoint("stops-short-free", "C1", TYPICAL, FREE, UNSURE, note=of_free),
        Endpoint("stops-short-exact", "C1", TYPICAL, EXACT, UNSURE, note=never_set_off(EXACT)),
        Endpoint("stops-short-shuffled", "C1", TYPICAL, SHUFFLED, UNSURE),
        Endpoint("unsure-when-memorised", "C1", WHEN_MEMORISED, MINI, UNSURE),
        Endpoint("unsure-when-memorised-decay", "C1", WHEN_MEMORISED, DECAY, UNSURE),
        *(
            Endpoint(f"never-sure{suffix}", "C1", surest("median", MEDIAN), arm, UNSURE)
            for suffix, arm in (("", MINI), ("-decay", DECAY), ("-free", FREE), ("-shuffled", SHUFFLED))
        ),
        Endpoint("never-sure-of-95", "C1", surest("95th percentile", SUREST_BUT_5), DECAY, UNSURE),
        Endpoint("vanishes-with-error-probability", "C2", SLOPE, MINI, Above(0.8), is_primary=True),
        Endpoint("vanishes-with-error-probability-free", "C2", SLOPE, FREE, Above(0.8)),
        Endpoint("vanishes-with-error-probability-exact", "C2", SLOPE, EXACT, Above(0.8)),
        *(
            Endpoint(f"{what}-dies{suffix}", "C2", statistic, arm, TENFOLD, note=note)
            for arm, suffix, note in (
                (MINI, "", None),
                (DECAY, "-decay", None),
                (FREE, "-free", of_free),
            )
            for what, statistic in DYING.items()
        ),
        Endpoint("flows", "P4", FLOW, DECAY, A_TENTH, is_primary=True, waits_for=waits_for(budget)),
        Endpoint("gradient-stays", "P4", KEPT, DECAY, A_TENTH),
        Endpoint("many-push", "P4", PUSHING, DECAY, Above(0.1)),
        Endpoint("more-push", "P4", PUSHING, DECAY, Exceeds(0.1), control=SHUFFLED, paired=False),
    )
    predicted = {prediction.endpoint for prediction in PREDICTIONS}
    return tuple(
        each if each.arm in has else replace(each, waits_for=f"runs {each.arm}, of all examples at once")
        for each in found
        if each.arm in has or (each.name in predicted and budget == "full")
    )


def figures(table: Table) -> Iterator[Figure]:
    """The distribution of 1 - p, and what still pushes."""
    drawn = {arm: table.of(arm) for arm in table.among(DRAWN)}
    if drawn:
        yield error_probability_figure(drawn)
        yield push_figure(drawn, DRAWN)


PREDICTIONS = (
    Prediction(TWO_CIRCUITS, "stops-short", ">"),
    Prediction(TWO_CIRCUITS, "stops-short-decay", ">"),
    Prediction(TWO_CIRCUITS, "stops-short-shuffled", ">"),
    Prediction(TWO_CIRCUITS, "vanishes-with-error-probability", ">"),
    Prediction(TWO_CIRCUITS, "update-dies-free", ">"),
    Prediction(FREQUENCY, "flows", ">"),
    Prediction(FREQUENCY, "many-push", ">"),
    Prediction(FREQUENCY, "more-push", ">"),
    Prediction(EFFICIENCY, "flows", ">"),
    Prediction(EFFICIENCY, "stops-short", "<"),
    Prediction(EFFICIENCY, "stops-short-free", "<"),
    Prediction(COLLAPSE, "stops-short", "<"),
    Prediction(COLLAPSE, "gradient-dies-free", ">"),
    Prediction(COLLAPSE, "vanishes-with-error-probability", ">"),
)

STUDY = Study(
    name="confidence",
    question="How confident is a network that has memorised, and does any gradient still flow?",
    claims=(
        Claim(
            "C1",
            "Each memorised pair is reinforced by only one data point, so memorisation stops at p ~ "
            "0.95, not 0.99.",
        ),
        Claim(
            "C2", "If memorised examples had p ~ 1, gradients would be zero and nothing would change."
        ),
        Claim("P4", "The gradient keeps flowing after memorisation, at near-zero training loss."),
    ),
    hypotheses={
        TWO_CIRCUITS: (
            "Memorisation stops short of p = 0.99, with and without decay and with shuffled labels; "
            "where p does come near 1, the gradient and its effect on the weights vanish."
        ),
        FREQUENCY: (
            "The gradient keeps flowing, from many examples, until grokking. With shuffled labels, "
            "where no circuit serves many examples, it comes from fewer."
        ),
        EFFICIENCY: (
            "p stops where decay undoes what the gradient does, so the two parts of the update are "
            "about equal; without decay nothing stops p."
        ),
        COLLAPSE: (
            "Without decay the gradient only scales the weights up: p goes to 1, and the gradient to 0 "
            "in proportion to 1 - p."
        ),
    },
    predictions=PREDICTIONS,
    arms=arms,
    endpoints=endpoints,
    figures=figures,
    needs={"confidence_error_probability": "confidence"},
)
