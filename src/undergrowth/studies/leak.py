"""Does a random split leak a commutative operation's swaps into validation? C10."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from undergrowth.analysis import Above, Exceeds, Within
from undergrowth.analysis.leaked import share_with_swap
from undergrowth.analysis.means import median_events
from undergrowth.analysis.plateaus import RULE as PLATEAU, plateau
from undergrowth.analysis.predictions import Prediction
from undergrowth.analysis.stages import at_event, between_events
from undergrowth.measures import Curves, Swaps
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.spec.presets import preset
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.store.reader import together
from undergrowth.studies import confidence
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.own_scale import waits_for
from undergrowth.studies.statistic import Missing, Statistic, points
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import CommutationSafe, LeakyRandom, Modular

SAFE, LEAKY, LEAKY_HALF = "x+y safe", "x+y leaky", "x+y leaky, half trained on"
PRODUCT_SAFE, PRODUCT_LEAKY, DIFFERENCE = "x*y safe", "x*y leaky", "x-y"
HALF = 0.5
"""The training share at which half of the validation pairs have their swap in training, and the
validation accuracy that is claimed."""


OWN = preset("lieberum2021").replace(
    measures=(Curves(),), checkpoints=Schedule(every=3_000, until=3_000, per_decade=1)
)
"""The runs of the comment that tells of the plateau: x+y mod 97 from a plain random half of the pairs.
The full budget's other arms train on 30 %, where the plateau lasts."""


def arms(budget: Budget) -> tuple[Arm, ...]:
    """The products are left out of quick; x-y, whose swaps have other labels, is split alike by both
    rules.
    """
    safe = confidence.BASE
    if budget == "full":
        safe = OWN.replace(split=CommutationSafe(frac_train=0.3))
    frac_train = safe.split.frac_train
    short = safe if budget == "full" else safe.replace(measures=(Curves(),), steps=safe.steps * 6 // 10)
    leaky = short.replace(
        split=LeakyRandom(frac_train=frac_train),
        measures=(Curves(), Swaps(schedule=confidence.WATCHED)),
    )
    product, subtraction = (Modular(operation=name, p=safe.task.n_labels) for name in ("x*y", "x-y"))
    products = (
        Arm(PRODUCT_SAFE, short.replace(task=product), role="control"),
        Arm(PRODUCT_LEAKY, leaky.replace(task=product)),
    )
    return (
        Arm(SAFE, safe, role="control"),
        Arm(LEAKY, leaky),
        Arm(LEAKY_HALF, leaky.replace(split=LeakyRandom(frac_train=HALF))),
        *(products if budget != "quick" else ()),
        Arm(DIFFERENCE, short.replace(task=subtraction, split=leaky.split), role="control"),
    )


def when_memorised(run: Run, reading: str = "val_accuracy") -> float | Missing:
    """A scalar reading when the run had memorised."""
    found = at_event(run, run[reading], "memorised")
    return Missing("never memorised") if found is None else float(found)


def on_the_plateau(run: Run) -> float | Missing:
    """Validation accuracy where it dwells; when memorised, if it does not dwell anywhere."""
    since = between_events(run, run["val_accuracy"].dropna("step"), "memorised", None)
    found = None if since is None else plateau(since)
    return when_memorised(run) if found is None else found


def until_onset(run: Run) -> float | Missing:
    """The median of validation accuracy from memorised to onset; the first if the onset is immediate."""
    stage = between_events(run, run["val_accuracy"].dropna("step"), "memorised", "onset")
    return when_memorised(run) if stage is None else float(stage.median())


def beyond_commuting(run: Run, level: Callable[[Run], float | Missing]) -> float | Missing:
    """Of a level of validation accuracy: what commuting alone does not give."""
    found = level(run)
    return found if isinstance(found, Missing) else found - share_with_swap(run)


def beyond(level: float, run: Run) -> float | Missing:
    """Validation accuracy when memorised, above a level."""
    found = when_memorised(run)
    return found if isinstance(found, Missing) else found - level


def unseen(run: Run) -> float | Missing:
    """Accuracy when memorised on validation pairs whose swap is unseen: of a safe split, all of them."""
    leaks = "unseen_accuracy" in run.names
    return when_memorised(run, "unseen_accuracy" if leaks else "val_accuracy")


MEMORISED = f"Memorised: {RULES.describe('memorised')}."
ACCURACY = points("of accuracy")

COMMUTING = Statistic(
    "validation accuracy on the plateau minus the share of its pairs whose swap is in training",
    f"The plateau, from memorised on: {PLATEAU}; the value when memorised if it rises at once. "
    f"{MEMORISED}",
    partial(beyond_commuting, level=on_the_plateau),
    range=(-1.0, 1.0),
    says=ACCURACY,
)
UNTIL_ONSET = replace(
    COMMUTING,
    name="validation accuracy from memorised to onset, median, minus the share of its pairs whose swap "
    "is in training",
    how=f"The value when memorised if the onset is immediate. {MEMORISED} Onset: "
    f"{RULES.describe('onset')}: in a run that falls back later this is long after it has risen.",
    of=partial(beyond_commuting, level=until_onset),
)
"""What decided before it was seen to reach beyond the plateau."""
VALIDATION = Statistic(
    "validation accuracy when memorised", MEMORISED, when_memorised, range=(-1.0, 1.0), says=ACCURACY
)
NEAR_HALF = replace(
    VALIDATION,
    name="validation accuracy when memorised, minus a half",
    of=lambda run: beyond(HALF, run),
)
ABOVE_CHANCE = replace(
    VALIDATION,
    name="validation accuracy when memorised, minus chance",
    of=lambda run: beyond(1 / run.spec.task.n_labels, run),
)
UNSEEN = replace(
    VALIDATION,
    name="accuracy when memorised on validation pairs whose swap is unseen",
    how=f"{MEMORISED} In a safe split these are all validation pairs.",
    of=unseen,
)


def said_by_commuting(table: Table) -> str:
    """What the plateau is compared with."""
    shares = [share_with_swap(run) for run in table.of(LEAKY_HALF)]
    return f"Commutativity alone would give {np.mean(shares):.3f}." if shares else ""


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Those whose arms the budget has."""
    there = {arm.name for arm in arms(budget)}
    return tuple(
        replace(each, waits_for=waits_for(budget)) if each.is_primary else each
        for each in ENDPOINTS
        if {each.arm, each.control or each.arm} <= there
    )


NEAR, WORTH = Within(0.05), Exceeds(0.05)
More = partial(Endpoint, claim="C10", statistic=VALIDATION, rule=WORTH, paired=False)
Alike = partial(Endpoint, claim="C10", statistic=UNSEEN, rule=Above(-0.1), paired=False)

ENDPOINTS = (
    Endpoint(
        "as-commuting",
        "C10",
        COMMUTING,
        LEAKY_HALF,
        NEAR,
        is_primary=True,
        note=said_by_commuting,
    ),
    Endpoint("as-commuting-until-onset", "C10", UNTIL_ONSET, LEAKY_HALF, NEAR),
    Endpoint("as-commuting-base", "C10", COMMUTING, LEAKY, NEAR),
    Endpoint("as-commuting-product", "C10", COMMUTING, PRODUCT_LEAKY, NEAR),
    Endpoint("near-a-half", "C10", NEAR_HALF, LEAKY_HALF, Within(0.1)),
    Endpoint("near-a-half-base", "C10", NEAR_HALF, LEAKY, Within(0.1)),
    More("more-than-safe", arm=LEAKY, control=SAFE),
    More("more-than-safe-product", arm=PRODUCT_LEAKY, control=PRODUCT_SAFE),
    More("more-than-difference", arm=LEAKY, control=DIFFERENCE),
    Alike("unseen-no-better", arm=SAFE, control=LEAKY),
    Alike("unseen-no-better-product", arm=PRODUCT_SAFE, control=PRODUCT_LEAKY),
    Endpoint("nothing-else", "C10", ABOVE_CHANCE, SAFE, NEAR),
)
"""In a safe split no pair of validation has its swap in training: it stands for unseen pairs."""

CLASSES = {
    "train_accuracy": ("training", Look("#1F77B4")),
    "swap_in_train_accuracy": ("validation, swap in training", Look("#C2428A", "8px,3px")),
    "unseen_accuracy": ("validation, swap unseen", Look("#0A9A74", "2px,3px")),
    "val_accuracy": ("validation, all", Look("#D55E00", "6px,3px,2px,3px")),
}
"""Of each class of pairs: its name and look."""


def figures(table: Table) -> Iterator[Figure]:
    """Accuracy over steps by class of pair, a panel an arm."""
    by_arm = {arm: table.of(arm) for arm in table.among(table.arms)}
    panels = {
        arm: {
            name: values
            for reading, (name, _) in CLASSES.items()
            if (values := _all_have(runs, reading)) is not None
        }
        for arm, runs in by_arm.items()
    }
    caption = (
        "Mean over seeds: "
        + ", ".join(f"{len(found)} of {arm}" for arm, found in by_arm.items())
        + ". Leaky: each pair is assigned to a side by itself; safe: together with its swap, if both "
        "have the same label. The swap of (x, y) is (y, x). For x-y, whose swaps differ in label, the "
        "two rules coincide. Dotted: the median step of each event over the seeds in which it happened, "
        "if it happened in most."
    )
    if panels:
        yield panels_figure(
            "leak",
            "Accuracy by class of pair: what commutativity answers",
            caption,
            panels,
            looks=dict(CLASSES.values()),
            y=SHARE,
            marks={arm: median_events(runs) for arm, runs in by_arm.items()},
        )


def _all_have(runs: Sequence[Run], reading: str) -> xr.DataArray | None:
    return together(runs, reading) if all(reading in run.names for run in runs) else None


LEAK, EARLY, LOOK_UP = "the leak", "early generality", "look-up of ordered pairs"

STUDY = Study(
    name="leak",
    question="Does a random split leak a commutative operation's swaps into validation?",
    claims=(
        Claim(
            "C10",
            "With x+y in training and y+x in validation, validation accuracy is near 0.5 once training "
            "accuracy is 1: commutativity is learned, and nothing else about the function.",
        ),
    ),
    hypotheses={
        LEAK: (
            "When memorised, validation accuracy on a leaky split equals the share of pairs whose swap "
            "is in training. That is the training share, so 0.5 only if half is trained on. Pairs whose "
            "swap is unseen do as badly as those of a safe split; x-y, whose swaps have different "
            "labels, stays low."
        ),
        EARLY: (
            "Something about the operation itself is known when training accuracy is 1: unseen pairs of "
            "the leaky arm and all pairs of the safe arm are equally above chance."
        ),
        LOOK_UP: (
            "Memorisation keys on the ordered pair and knows nothing of swaps: leaky and safe splits "
            "have equal validation accuracy."
        ),
    },
    predictions=(
        Prediction(LEAK, "as-commuting", ">"),
        Prediction(LEAK, "as-commuting-base", ">"),
        Prediction(LEAK, "near-a-half-base", "<"),
        Prediction(LEAK, "unseen-no-better", ">"),
        Prediction(LEAK, "more-than-difference", ">"),
        Prediction(EARLY, "nothing-else", "<"),
        Prediction(EARLY, "unseen-no-better", ">"),
        Prediction(LOOK_UP, "as-commuting", "<"),
        Prediction(LOOK_UP, "more-than-safe", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
