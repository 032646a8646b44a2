"""Does validation follow long after training, which falls first, how long does it take? P1-P3, P14."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from undergrowth.analysis import Above, Exceeds, Rules, Value, events
from undergrowth.analysis.events import DEFAULT_RULES as RULES, onset_by_loss
from undergrowth.analysis.falls import DROP, Falls, falls
from undergrowth.analysis.intervals import unknown
from undergrowth.analysis.predictions import Prediction
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.estimates import Numbers, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.store import Run
from undergrowth.studies.endpoint import Endpoint, Measured, measured_by_seed
from undergrowth.studies.one_layer_addition import SHUFFLED, TRUE, arms
from undergrowth.studies.own_scale import STAND_IN
from undergrowth.studies.statistic import Missing, Statistic, share, times, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table

NEAR_ZERO = 0.1
"""Train loss in nats below which it counts as near zero: a mean correct probability above 0.9."""
NEVER_MEMORISED = "never memorised"


def later(run: Run) -> tuple[float, float] | Missing:
    """Bounds of log10(grokked / memorised), first times; 0 where validation is not later, open above
    where it is not there by the last evaluation.
    """
    times = events(run.curves, RULES)
    memorised, grokked = times["memorised"].first, times["grokked"]
    if memorised is None:
        return Missing(NEVER_MEMORISED)
    end = grokked.last if grokked.first is None else grokked.first
    low = max(0.0, float(np.log10(max(end, 1) / max(memorised, 1))))
    return low, np.inf if grokked.censored else low


def later_if_ever(table: Table, endpoint: Endpoint) -> Measured:
    """Of seeds none of which groks nothing is known: so would a network with nothing to learn do."""
    found = measured_by_seed(table, endpoint)
    bounds = [value for value in found.values.values() if isinstance(value, tuple)]
    if any(np.isfinite(high) for _, high in bounds) or not bounds:
        return found
    return replace(found, estimate=unknown(np.nan, found.estimate.level, found.estimate.n))


def overfit_then_fall(run: Run) -> float:
    """The smallest of three margins in decades: the claim holds in full where it is positive."""
    curves = run.curves.dropna("step")
    guessing = np.log(run.spec.task.n_labels)
    peak = int(curves["val_loss"].values.argmax())
    at_peak, end = curves.isel(step=peak), curves.isel(step=-1)
    ratios = (
        NEAR_ZERO / at_peak["train_loss"],
        at_peak["val_loss"] / guessing,
        guessing / end["val_loss"],
    )
    return float(min(np.log10(ratio) for ratio in ratios))


LATER = Statistic(
    "log10(step of 99 % validation accuracy / step of 99 % train accuracy)",
    f"Train: {RULES.describe('memorised')}; validation: {RULES.describe('grokked')}; the first "
    "evaluation of each. A seed whose validation accuracy does not reach it takes more than it had.",
    later,
    says=times("later", "sooner"),
)
OVERFITS = Statistic(
    "smallest margin of the claim's three parts, in decades",
    f"Where validation loss is highest, train loss is below {NEAR_ZERO:g} nats and validation loss "
    "is above that of guessing; the last validation loss is below that of guessing.",
    overfit_then_fall,
    says=unit("decades to spare"),
)


def _of_falls(drop: float, of: Callable[[Falls], Value]) -> Callable[[Run], Value | Missing]:
    def measured(run: Run) -> Value | Missing:
        found = falls(run.curves, drop, RULES)
        if found is None:
            return Missing(NEVER_MEMORISED)
        return of(found) if np.isfinite(found.val[1]) else Missing("validation loss does not fall")

    return measured


def first_to_fall(drop: float) -> Statistic:
    """P3's."""
    return Statistic(
        "steps by which validation loss falls before the floor of train loss",
        f"Each has fallen when its running minimum is {drop:g} decades lower than where validation "
        "loss was highest since memorised (of the least of three evaluations); bounds are the "
        "evaluations around it. A train loss that never falls counts as falling after the last step.",
        _of_falls(drop, lambda found: found.lead),
        says=lambda steps: f"{unit('steps')(abs(steps))} {'earlier' if steps >= 0 else 'later'}",
    )


FIRST_IN_DECADES = replace(
    first_to_fall(DROP),
    name="log10(step at which the floor of train loss falls / at which validation loss does)",
    of=_of_falls(DROP, lambda found: found.lead_in_decades),
    says=times("earlier", "later"),
)
DROPS: Mapping[str, float] = {"a factor of 2": 0.3, "a factor of 3": DROP, "a factor of 10": 1.0}
"""Possible definitions of a fall, in decades."""

Onset = Callable[[Run], int | None]


def _by_accuracy(level: float) -> Onset:
    rules = Rules(RULES.memorised, RULES.grokked, level)
    return lambda run: events(run.curves, rules)["onset"].first


def _by_loss(drop: float) -> Onset:
    return lambda run: onset_by_loss(run.curves, drop, RULES).first


MAIN_ONSET = f"accuracy + {RULES.onset:g}"
ONSETS: Mapping[str, tuple[str, Onset]] = {
    MAIN_ONSET: (RULES.describe("onset"), _by_accuracy(RULES.onset)),
    "accuracy + 0.02": ("validation accuracy, the same with + 0.02", _by_accuracy(0.02)),
    "accuracy + 0.2": ("validation accuracy, the same with + 0.2", _by_accuracy(0.2)),
    "loss - 5 %": ("validation loss stays 5 % below its highest since memorised", _by_loss(0.05)),
    "loss - 50 %": ("validation loss stays 50 % below its highest since memorised", _by_loss(0.5)),
}
"""Possible definitions of the onset: by name, the rule in words, and the step or None."""


def share_of_the_way(onset: Onset) -> Callable[[Run], tuple[float, float] | Missing]:
    """Bounds of (grokked - onset) / grokked; a run that groks after its last step has a larger share."""

    def measured(run: Run) -> tuple[float, float] | Missing:
        grokked, start = events(run.curves, RULES)["grokked"], onset(run)
        if start is None:
            return Missing("no onset")
        end = grokked.last if grokked.first is None else grokked.first
        after = max(0.0, (end - start) / end)
        return after, 1.0 if grokked.censored else after

    return measured


def most_of_the_way(name: str) -> Statistic:
    """P14's, by the name of the definition of onset."""
    says, onset = ONSETS[name]
    return Statistic(
        f"share of the steps up to 99 % that come after the onset (by {name})",
        f"Onset: {says}; 99 %: {RULES.describe('grokked')}.",
        share_of_the_way(onset),
        range=(0.0, 1.0),
        says=share("of the way"),
    )


def control_at_chance(table: Table) -> str:
    """Where the runs end that have nothing general to learn."""
    runs = [run for run in table.of(SHUFFLED) if run.status == "done"]
    if not runs:
        return ""
    ends = [float(run.curves["val_accuracy"].dropna("step")[-1]) for run in runs]
    chance = 1 / runs[0].spec.task.n_labels
    return (
        f"Shuffled labels end at {max(ends):.3f} validation accuracy or below; chance is {chance:.3f}."
    )


def control_falls(table: Table) -> str:
    """What the rule finds where nothing generalises."""
    found = [falls(run.curves, DROP, RULES) for run in table.of(SHUFFLED) if run.status == "done"]
    fallen = sum(each is not None and bool(np.isfinite(each.val[1])) for each in found)
    return f"Shuffled labels: validation loss falls in {fallen} of {len(found)} seeds." if found else ""


Deciding = partial(Endpoint, is_primary=True, waits_for=STAND_IN)
"""The claims are about runs without decay at the post's own sizes, which no budget trains."""

ENDPOINTS = (
    Deciding("later", "P1", LATER, TRUE, Above(1.0), measured=later_if_ever, note=control_at_chance),
    Deciding("overfits-then-falls", "P2", OVERFITS, TRUE, Exceeds(0.3)),
    Deciding("falls-first", "P3", first_to_fall(DROP), TRUE, Exceeds(1000.0), note=control_falls),
    *(
        Endpoint(f"falls-first-by-{what}", "P3", first_to_fall(drop), TRUE, Exceeds(1000.0))
        for what, drop in DROPS.items()
        if drop != DROP
    ),
    Endpoint("falls-first-in-decades", "P3", FIRST_IN_DECADES, TRUE, Exceeds(0.1)),
    Deciding("takes-most-of-the-way", "P14", most_of_the_way(MAIN_ONSET), TRUE, Above(0.5)),
    *(
        Endpoint(f"takes-most-of-the-way-by-{name}", "P14", most_of_the_way(name), TRUE, Above(0.5))
        for name in ONSETS
        if name != MAIN_ONSET
    ),
)


def figures(table: Table) -> Iterator[Figure]:
    """The curves, and how P14 and P3 depend on the definitions of an onset and a fall."""
    yield accuracy_figure(table.all, RULES)
    yield loss_figure(table.all, RULES)
    true, control = table.of(TRUE), table.of(SHUFFLED)
    if not true:
        return
    onsets = " ".join(f"{name}: {says}." for name, (says, _) in ONSETS.items())
    yield by_arm_figure(
        "onset_rules",
        "How much of the way to grokking comes after the onset, by definition of onset",
        {
            "share of the steps up to grokking that come after the onset": {
                name: _middles(most_of_the_way(name), true) for name in ONSETS
            }
        },
        f"P14 asks whether the share is above a half, the dotted line. {onsets}",
        lines=(0.0, 0.5),
    )
    leads = {
        f"{what}{labels}": _middles(first_to_fall(drop), runs)
        for labels, runs in (("", true), (", shuffled labels", control))
        for what, drop in DROPS.items()
    }
    yield by_arm_figure(
        "fall_rules",
        "Which loss falls first, by the size of fall required",
        {first_to_fall(DROP).name: leads},
        f"To the right of 0, validation loss falls first. {first_to_fall(DROP).how} Only seeds in which "
        "both fall are drawn; the verdicts count the others by their bounds.",
    )


def _middles(statistic: Statistic, runs: Sequence[Run]) -> Numbers:
    """Between the bounds of each run; NaN where one is open or there are none."""
    found = [statistic.of(run) for run in runs]
    middles = [np.mean(bounds) if isinstance(bounds, tuple) else np.nan for bounds in found]
    known = [float(middle) if np.isfinite(middle) else np.nan for middle in middles]
    return list(zip(runs, known, strict=True))


FREQUENT, TINY = "frequency of reinforcement", "two circuits and tiny gradients"
EFFICIENT = "circuit efficiency"

STUDY = Study(
    name="grokking",
    question="Does validation accuracy follow long after training accuracy, and is the change sudden?",
    claims=(
        Claim("P1", "Train accuracy is near 1 early, validation accuracy only much later."),
        Claim(
            "P2",
            "Train loss is near zero while validation loss shows overfitting; then validation falls.",
        ),
        Claim(
            "P3",
            "Validation loss starts falling long before the floor of train loss does: generalisation is "
            "not driven by lowering train loss.",
        ),
        Claim(
            "P14",
            "Grokking takes most of the way; it only looks sudden because the step axis is logarithmic.",
        ),
    ),
    hypotheses={
        FREQUENT: (
            "Shallow circuits unify gradually, whatever train loss does: validation falls first (P3), "
            "and generalising takes long (P14's share is large)."
        ),
        TINY: (
            "Small gradients of the train loss build the general circuit, so the floor of train loss "
            "falls when validation does (P3 fails). Once it is found, only they delay it: P14's share "
            "is small compared with the wait before the onset."
        ),
        EFFICIENT: (
            "The cheaper circuit wins in the end, long after the data are memorised: P1 and P2 hold; P3 "
            "may hold."
        ),
    },
    predictions=(
        Prediction(FREQUENT, "falls-first", ">"),
        Prediction(FREQUENT, "takes-most-of-the-way", ">"),
        Prediction(TINY, "falls-first", "none"),
        Prediction(TINY, "takes-most-of-the-way", "<"),
        Prediction(EFFICIENT, "later", ">"),
        Prediction(EFFICIENT, "overfits-then-falls", ">"),
    ),
    arms=arms,
    endpoints=lambda budget: ENDPOINTS,
    figures=figures,
)
