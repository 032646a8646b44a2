"""Does deleting the k most salient neurons hurt more as training goes on? P17."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial

import xarray as xr

from undergrowth.analysis import Exceeds
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.matching import MATCHED_WITHIN, is_matched
from undergrowth.analysis.predictions import Prediction
from undergrowth.report.ablation import deletion_by_k_figure, deletion_over_steps_figure
from undergrowth.report.estimates import effects_figure
from undergrowth.report.figure import Figure
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.studies import small_arms
from undergrowth.studies.arm import Budget
from undergrowth.studies.changes import Change, against_shuffled
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.small_arms import ARMS, MAIN, control_of
from undergrowth.studies.statistic import Statistic, points, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table

SIDE = "train"
"""Validation predictions are wrong before grokking, so only the training side can be harmed early."""
MATCHED = "norm_matched"
NORM_SHARE = "deletion_norm_share"
WORTH = 0.05
"""The smallest damage of interest: 5 points of accuracy; in nats, 5 % of the probability."""


@lru_cache(maxsize=8192)
def damage(reading: str, beyond: str | None, run: Run) -> xr.DataArray:
    """The drop from deleting the top k, or its excess over another deletion, dims (step, k),
    k > 0.

    NaN where the other is to carry the same norm and cannot: see `analysis.matching`.
    """
    after = run[reading].sel(side=SIDE)
    top = after.sel(strategy="top", drop=True)
    drop = (after.sel(strategy=beyond, drop=True) if beyond else top.sel(k=0, drop=True)) - top
    if beyond == MATCHED:
        drop = drop.where(is_matched(run[NORM_SHARE]))
    return drop.sel(k=[k for k in drop["k"].values if k > 0])


@dataclass(frozen=True)
class Growth:
    """How the damage by the top k grows in an arm.

    of: what is damaged, the ending of the reading; beyond: the other deletion, whose damage is
    subtracted, None for the drop itself.
    """

    of: str
    beyond: str | None = None
    arm: str = MAIN
    since: EventName = "memorised"

    @property
    def endpoint(self) -> Endpoint:
        """Whether it grows by more than with shuffled labels."""
        reading, readings = f"deletion_{self.of}", {f"deletion_{self.of}"}
        name, less = f"drop-{self.of}", ""
        how = f"On training examples, k by powers of two, from {self.since} to the end."
        if self.beyond:
            name, less = f"{name}-beyond-{self.beyond}", f" beyond that by {BEYOND[self.beyond]}"
        if self.beyond == MATCHED:
            readings |= {NORM_SHARE}
            how += f" Only k whose norms match within {MATCHED_WITHIN:.0%} at both ends count."
        statistic = Statistic(
            f"drop in {MEASURED[self.of]} by the k most salient neurons{less}, mean over log k, change",
            how,
            Change(tuple(readings), partial(damage, reading, self.beyond), self.since),
            says=points("of accuracy") if self.of == "accuracy" else unit("nats"),
        )
        return against_shuffled(
            name.replace("_", "-") + ("" if self.arm == MAIN else f", {self.arm}"),
            "P17",
            statistic,
            self.arm,
            Exceeds(WORTH),
            is_primary=self == Growth("accuracy"),
        )


MEASURED = {"accuracy": "accuracy", "log_prob": "correct log-probability"}
BEYOND = {"random": "k at random", "least": "the k least", MATCHED: "others of equal norm"}
GROWTHS = tuple(
    Growth(of, beyond, arm) for arm in (MAIN, *ARMS) for of in MEASURED for beyond in (None, *BEYOND)
)
LATE = replace(
    Growth("accuracy", since="grokked").endpoint, name="drop-accuracy-after-grokked", control=None
)
"""The control never groks."""


@cache
def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """The growth of the damage in every network; in the main one also once it has grokked."""
    return small_arms.of_budget(budget, (*(each.endpoint for each in GROWTHS), LATE), PREDICTIONS)


def figures(table: Table) -> Iterator[Figure]:
    """The damage over steps and over k, and its growth in each network."""
    main = [run for arm in (MAIN, control_of(MAIN)) for run in table.of(arm)]
    if main := [run for run in main if NORM_SHARE in run.names]:
        yield deletion_over_steps_figure(main, relative=True)
        yield deletion_by_k_figure(main)
        yield deletion_over_steps_figure(main)
    if table.has(MAIN) or table.among(ARMS):
        yield effects_figure(
            "deletion_by_arm",
            "Whether deleting the k most salient neurons hurts more later, by network and by control",
            [
                (
                    f"drop in {MEASURED[each.of]}: growth",
                    each.arm,
                    f"beyond {BEYOND[each.beyond]}" if each.beyond else "by the k most salient",
                    each.endpoint.verdict(table).estimate,
                )
                for each in sorted(GROWTHS, key=lambda each: each.of)
                if table.has(each.arm)
            ],
            "Drop on training examples from deleting the top k, or its excess over the other deletion, "
            "mean over log k: its growth from memorised to the last step, minus that in the arm's own "
            "runs with shuffled labels. The claim expects it to the right of 0.",
        )


COLLECTIVE, NORM = "a collective general circuit", "norm alone"
SQUARES = "squares, no decay"
PREDICTIONS = (
    Prediction(FREQUENCY, "drop-accuracy", ">"),
    Prediction(FREQUENCY, "drop-accuracy-beyond-random", ">"),
    Prediction(FREQUENCY, f"drop-accuracy-beyond-random, {SQUARES}", ">"),
    Prediction(FREQUENCY, "drop-accuracy-beyond-random, Muon", ">"),
    Prediction(COLLECTIVE, "drop-accuracy-after-grokked", "<"),
    Prediction(EFFICIENCY, "drop-accuracy", ">"),
    Prediction(EFFICIENCY, f"drop-accuracy, {SQUARES}", "none"),
    Prediction(NORM, "drop-accuracy-beyond-norm-matched", "none"),
)

STUDY = Study(
    name="ablation",
    question="Does deleting the k most salient neurons hurt more as training goes on?",
    claims=(
        Claim(
            "P17", "Deleting the k most salient neurons damages more predictions as training goes on."
        ),
    ),
    hypotheses={
        FREQUENCY: (
            "Single circuits carry a growing share of the predictions: the damage grows through "
            "grokking, by more than that of random deletion, also without decay and under Muon."
        ),
        COLLECTIVE: (
            "Many neurons carry the same few frequencies redundantly: once the general circuit is "
            "complete, losing k of them hurts less again."
        ),
        EFFICIENCY: (
            "Decay removes what backs up the general circuit: the damage grows only with decay."
        ),
        NORM: "Deleting random neurons of equal total norm comes to hurt as much as deleting the top k.",
    },
    predictions=PREDICTIONS,
    arms=small_arms.arms,
    endpoints=endpoints,
    figures=figures,
)
