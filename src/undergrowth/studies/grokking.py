"""Does validation follow long after training, which falls first, how long does it take? P1-P3, P14."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from undergrowth.analysis import Above, Estimate, Exceeds, Rule, Rules, Value, events
from undergrowth.analysis.falls import DROP, Falls, falls
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY, TWO_CIRCUITS
from undergrowth.analysis.intervals import unknown
from undergrowth.analysis.leaked import beyond_leak, describe_onset_beyond_leak, share_with_swap
from undergrowth.analysis.phases import LATE, delay
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves
from undergrowth.report.curves import accuracy_figure, loss_figure
from undergrowth.report.estimates import Numbers, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.schedules import Schedule
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES, onset_by_loss
from undergrowth.studies import one_layer_addition, replication
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, aggregate
from undergrowth.studies.one_layer_addition import SHUFFLED, TRUE
from undergrowth.studies.own_scale import waits_for
from undergrowth.studies.statistic import (
    Missing,
    Statistic,
    margin_of_parts,
    share,
    times,
)
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.training.stopping import Stop

FIGURE_1A, REPLICATION, TITLED = "figure 1a", "replication", "division, as its title says"
MEMORISING = "multiplication, shuffled labels"
SLOW = preset("power2022_figure1a").replace(
    measures=(Curves(schedule=Schedule(every=100, until=2_000, per_decade=200)),),
    checkpoints=Schedule(every=100_000, until=1_000_000, per_decade=1),
)
"""Figure 1a of Power et al. 2022 (arXiv:2201.02177), evaluated every 1.2 %."""
FEW = 3
"""Seeds of figure 1a, which may take a million steps each: a demonstration, not yet a claim."""


@cache
def arms(budget: Budget) -> tuple[Arm, ...]:
    """A one-layer transformer with true and with shuffled labels; at the post's own scale that is Nanda
    et al.'s, beside figure 1a's runs, which end once they stay at 99 %, and the replication's.
    """
    if budget != "full":
        return one_layer_addition.arms(budget)
    short = replication.trained(is_watched=False, labels="shuffled")
    return (
        Arm(FIGURE_1A, SLOW.replace(stop=(Stop(evaluations=10),)), seeds=FEW),
        Arm(REPLICATION, replication.trained()),
        Arm(TITLED, replication.trained(replication.TITLED, is_watched=False)),
        Arm(MEMORISING, short, "control", seeds=4),
        *one_layer_addition.arms(budget),
    )


NEAR_ZERO = 0.1
"""Train loss in nats below which it counts as near zero: a mean correct probability above 0.9."""
NEVER_MEMORISED = "never memorised"


def later(level: float) -> Callable[[Run], tuple[float, float] | Missing]:
    """Bounds of log10(steps to a validation accuracy / to the same of training), first times; 0 where
    validation is not later, open above where it is not there by the last evaluation.
    """

    def measured(run: Run) -> tuple[float, float] | Missing:
        times = events(run.curves, Rules(level, level))
        found = delay(times["memorised"].first, times["grokked"].first, times["grokked"].last)
        if found is None:
            return Missing(NEVER_MEMORISED)
        return float(np.log10(found[0])), float(np.log10(found[1]))

    return measured


def later_if_ever(values: Mapping[int, Value]) -> tuple[Estimate, Mapping[int, Value]]:
    """Of seeds none of which groks nothing is known: so would a network with nothing to learn do."""
    found = aggregate(list(values.values()))
    bounds = [value for value in values.values() if isinstance(value, tuple)]
    if any(np.isfinite(high) for _, high in bounds) or not bounds:
        return found, values
    return unknown(np.nan, found.level, found.n), values


def overfit_then_fall(run: Run) -> float:
    """The smallest of three margins in decades: the claim holds in full where it is positive."""
    curves = run.curves[["train_loss", "val_loss"]].dropna("step")  # others are read more rarely
    guessing = np.log(run.spec.task.n_labels)
    peak = int(curves["val_loss"].values.argmax())
    at_peak, end = curves.isel(step=peak), curves.isel(step=-1)
    ratios = (
        NEAR_ZERO / at_peak["train_loss"],
        at_peak["val_loss"] / guessing,
        guessing / end["val_loss"],
    )
    return float(min(np.log10(ratio) for ratio in ratios))


def much_later(level: float = RULES.grokked) -> Statistic:
    """P1's, by the accuracy that counts as near 1."""
    rules, at = Rules(level, level), f"{100 * level:g} %"
    return Statistic(
        f"log10(step of {at} validation accuracy / step of {at} train accuracy)",
        f"Train: {rules.describe('memorised')}; validation: {rules.describe('grokked')}; the first "
        "evaluation of each. A seed whose validation accuracy does not reach it takes more than it had.",
        later(level),
        says=times("later", "sooner"),
    )


NEAR_ONE = (0.9, 0.95)
"""Other accuracies that could be called near 1 than `RULES` has."""


OVERFITS = Statistic(
    "smallest margin of the claim's three parts, in decades",
    f"Where validation loss is highest, train loss is below {NEAR_ZERO:g} nats and validation loss "
    "is above that of guessing; the last validation loss is below that of guessing.",
    overfit_then_fall,
    says=margin_of_parts,
)


def _of_falls(drop: float, of: Callable[[Falls], Value]) -> Callable[[Run], Value | Missing]:
    def measured(run: Run) -> Value | Missing:
        found = falls(run.curves, drop, RULES)
        if found is None:
            return Missing(NEVER_MEMORISED)
        fell = np.isfinite([found.train[1], found.val[1]])
        return of(found) if fell.any() else Missing("neither loss falls")

    return measured


def first_to_fall(drop: float) -> Statistic:
    """P3's."""
    return Statistic(
        "steps by which validation loss falls before the floor of train loss",
        f"Each has fallen when its running minimum is {drop:g} decades lower than where validation "
        "loss was highest since memorised (of the least of three evaluations); bounds are the "
        "evaluations around it. A loss that never falls counts as falling after the last step.",
        _of_falls(drop, lambda found: found.lead),
        says=lambda steps: (
            f"validation loss falls {abs(steps):,.0f} steps "
            f"{'before' if steps >= 0 else 'after'} train loss does"
        ),
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


def _beyond_leak(run: Run) -> int | None:
    return events(run.curves, beyond_leak(run, RULES))["onset"].first


def _by_loss(drop: float) -> Onset:
    return lambda run: onset_by_loss(run.curves, drop, RULES).first


MAIN_ONSET = f"accuracy + {RULES.onset:g}"
ONSETS: Mapping[str, tuple[str, Onset]] = {
    MAIN_ONSET: (RULES.describe("onset"), _by_accuracy(RULES.onset)),
    "accuracy + 0.02": ("validation accuracy, the same with + 0.02", _by_accuracy(0.02)),
    "accuracy + 0.2": ("validation accuracy, the same with + 0.2", _by_accuracy(0.2)),
    f"{MAIN_ONSET} beyond swaps": (describe_onset_beyond_leak(RULES), _beyond_leak),
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


def beyond_swaps(arm: str) -> Callable[[Table], str]:
    """How far P14's answer is one about leaked swaps, to which accuracy climbs first."""

    def note(table: Table) -> str:
        shares = [share_with_swap(run) for run in table.of(arm)]
        if not any(shares):
            return ""
        found = map(share_of_the_way(_beyond_leak), table.of(arm))
        known = [each[0] for each in found if not isinstance(each, Missing) and each[0] == each[1]]
        alone = f"swaps of training pairs alone answer ({np.mean(shares):.0%} of validation)"
        if not known:
            return f"No seed groks from {100 * RULES.onset:.0f} points above what {alone}."
        return (
            f"From {100 * RULES.onset:.0f} points above what {alone} on it is {np.mean(known):.0%} of "
            f"the way (grokked: {plural(len(known), 'seed')})."
        )

    return note


def highest(arm: str, control: str) -> Callable[[Table], str]:
    """How near runs that never are at 99 % come to it, and where those of a control end, which have
    nothing general to learn.
    """

    def note(table: Table) -> str:
        told = []
        runs, memorising = (
            [run for run in table.of(name) if run.status == "done"] for name in (arm, control)
        )
        never = [run for run in runs if events(run.curves, RULES)["grokked"].censored]
        if never:
            best = [float(run.curves["val_accuracy"].max()) for run in never]
            told.append(
                f"{len(never)} of {plural(len(runs), 'seed')} never at {100 * RULES.grokked:g} %, but "
                f"at {min(best):.1%} to {max(best):.1%}."
            )
        if memorising:
            ends = [float(run.curves["val_accuracy"].dropna("step")[-1]) for run in memorising]
            told.append(
                f"Shuffled labels end at {max(ends):.3f} validation accuracy or below; chance is "
                f"{1 / memorising[0].spec.task.n_labels:.3f}."
            )
        return " ".join(told)

    return note


def control_falls(control: str) -> Callable[[Table], str]:
    """What the rule finds in the runs of a control, where nothing generalises."""

    def note(table: Table) -> str:
        found = [falls(run.curves, DROP, RULES) for run in table.of(control) if run.status == "done"]
        fallen = sum(each is not None and bool(np.isfinite(each.val[1])) for each in found)
        return (
            f"Shuffled labels: validation loss falls in {fallen} of {len(found)} seeds." if found else ""
        )

    return note


Of = tuple[str, str]
"""An arm, and the shuffled labels beside it."""
STAND_INS: Mapping[str, tuple[Of, ...]] = dict.fromkeys(("P1", "P2", "P3", "P14"), ((TRUE, SHUFFLED),))
OWN: Mapping[str, tuple[Of, ...]] = {
    "P1": ((REPLICATION, MEMORISING), (FIGURE_1A, MEMORISING), (TRUE, SHUFFLED)),
    "P2": ((REPLICATION, MEMORISING), (TITLED, MEMORISING), (TRUE, SHUFFLED)),
    "P3": ((REPLICATION, MEMORISING), (TITLED, MEMORISING), (TRUE, SHUFFLED)),
    "P14": ((TRUE, SHUFFLED), (FIGURE_1A, MEMORISING), (REPLICATION, MEMORISING)),
}
"""In which runs each claim is decided, then those that say how robust the answer is. Three seeds of
figure 1a decide nothing: the replication is in its regime, without decay, and `nanda2023` surely groks.
"""


@cache
def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """The claims are about curves at the post's own settings, which the full budget has."""
    of = OWN if budget == "full" else STAND_INS
    found = []
    for claim, ((first, _), *_) in of.items():
        for arm, control in of[claim]:
            suffix = "" if arm == first else f", {arm}"
            found += [
                replace(each, name=f"{each.name}{suffix}", is_primary=each.is_primary and not suffix)
                for each in _of_claim(claim, arm, control)
            ]
    return tuple(
        replace(each, waits_for=waits_for(budget)) if each.is_primary else each for each in found
    )


def _of_claim(claim: str, arm: str, control: str) -> Iterator[Endpoint]:
    """What decides a claim, and how it depends on the definitions."""

    def one(name: str, statistic: Statistic, rule: Rule, **more) -> Endpoint:
        return Endpoint(name, claim, statistic, arm, rule, **more)

    falls_control = control_falls(control)
    if claim == "P1":
        rule, note = Above(float(np.log10(LATE))), highest(arm, control)
        yield one("later", much_later(), rule, is_primary=True, pooled=later_if_ever, note=note)
        for level in NEAR_ONE:
            name = f"later-at-{100 * level:g} %"
            yield one(name, much_later(level), rule, pooled=later_if_ever)
    if claim == "P2":
        yield one("overfits-then-falls", OVERFITS, Exceeds(0.3), is_primary=True)
    if claim == "P3":
        by = first_to_fall(DROP), Exceeds(1000.0)
        yield one("falls-first", *by, is_primary=True, note=falls_control)
        for what, drop in DROPS.items():
            if drop != DROP:
                yield one(f"falls-first-by-{what}", first_to_fall(drop), Exceeds(1000.0))
        yield one("falls-first-in-decades", FIRST_IN_DECADES, Exceeds(0.1))
    if claim == "P14":
        yield one(
            "takes-most-of-the-way",
            most_of_the_way(MAIN_ONSET),
            Above(0.5),
            is_primary=True,
            note=beyond_swaps(arm),
        )
        for name in ONSETS:
            if name != MAIN_ONSET:
                yield one(f"takes-most-of-the-way-by-{name}", most_of_the_way(name), Above(0.5))


def figures(table: Table) -> Iterator[Figure]:
    """The curves, and how P14 and P3 depend on the definitions of an onset and a fall."""
    yield accuracy_figure(table.all, RULES)
    yield loss_figure(table.all, RULES)
    of = OWN if table.budget == "full" else STAND_INS
    slow, (falling, memorising) = table.of(of["P14"][0][0]), of["P3"][0]
    if slow:
        yield _onsets_figure(slow)
    if table.has(falling):
        yield _falls_figure(table.of(falling), table.of(memorising))


def _onsets_figure(runs: Sequence[Run]) -> Figure:
    onsets = " ".join(f"{name}: {says}." for name, (says, _) in ONSETS.items())
    return by_arm_figure(
        "onset_rules",
        "How much of the way to grokking comes after the onset, by definition of onset",
        {
            "share of the steps up to grokking that come after the onset": {
                name: _middles(most_of_the_way(name), runs) for name in ONSETS
            }
        },
        f"P14 asks whether the share is above a half, the dotted line. {onsets}",
        lines=(0.0, 0.5),
    )


def _falls_figure(runs: Sequence[Run], control: Sequence[Run]) -> Figure:
    leads = {
        f"{what}{labels}": _middles(first_to_fall(drop), its)
        for labels, its in (("", runs), (", shuffled labels", control))
        for what, drop in DROPS.items()
    }
    return by_arm_figure(
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
        FREQUENCY: (
            "Shallow circuits unify gradually, whatever train loss does: validation falls first (P3), "
            "and generalising takes long (P14's share is large)."
        ),
        TWO_CIRCUITS: (
            "Small gradients of the train loss build the general circuit, so the floor of train loss "
            "falls when validation does (P3 fails). Once it is found, only they delay it: P14's share "
            "is small compared with the wait before the onset."
        ),
        EFFICIENCY: (
            "The cheaper circuit wins in the end, long after the data are memorised: P1 and P2 hold; P3 "
            "may hold."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, "falls-first", ">"),
        Prediction(FREQUENCY, "takes-most-of-the-way", ">"),
        Prediction(TWO_CIRCUITS, "falls-first", "none"),
        Prediction(TWO_CIRCUITS, "takes-most-of-the-way", "<"),
        Prediction(EFFICIENCY, "later", ">"),
        Prediction(EFFICIENCY, "overfits-then-falls", ">"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
