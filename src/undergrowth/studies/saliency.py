"""Do few neurons become salient for many examples, and do general ones take over? P15, P16, P10.

A neuron's saliency is |attribution| of an example's centred logit. P15 and P16 are of its distribution
over neurons and examples; P10 of who carries the centred logit midway, which another study decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
import xarray as xr

from undergrowth.analysis import Above, Exceeds, Value, gini, skewness
from undergrowth.analysis.areas import MIDWAY
from undergrowth.analysis.general_share import general_share, least_of_both_midway, wider_rise
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.means import median_events
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import SIDES
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import SHARE
from undergrowth.report.estimates import Effect, effects_figure
from undergrowth.report.figure import Figure
from undergrowth.report.groups import plural
from undergrowth.report.panels import panels_figure
from undergrowth.report.saliency import breadth_figure, concentration_figure, saliency_histogram
from undergrowth.store import Run
from undergrowth.store.events import EventName
from undergrowth.store.reader import together
from undergrowth.studies import small_arms
from undergrowth.studies.arm import Budget
from undergrowth.studies.changes import Change, against_shuffled
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.shared_claims import BOTH_COEXIST
from undergrowth.studies.small_arms import ARMS, ATTRIBUTIONS, MAIN, control_of
from undergrowth.studies.statistic import Missing, Statistic, Words, format_number, points, share
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table

MARGIN = "saliency"
"""The attribution of the primary endpoints, by the prefix of its readings."""
SHAPLEY = "shapley_centred_logit_mean"
LEAST_SHARE = 0.1
"""Of the training centred logit: below it, one of the two kinds of parts is as good as absent."""

OverNeurons = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Quantity:
    """What is claimed to rise: a statistic over the neurons of a reading, or a reading without them.

    ending: of the reading's name; of: over the last axis; sesoi: in its unit; bound: its greatest size.
    """

    name: str
    claim: str
    what: str
    ending: str
    sesoi: float
    of: OverNeurons | None = None
    says: Words = format_number
    bound: float = np.inf


BY_FEW = Quantity(
    "by-few",
    "P15",
    "share of examples with 90 % of their centred logit in the most salient 5 % of neurons",
    "by_few",
    0.1,
    says=points("of the examples"),
    bound=1.0,
)
BREADTH = Quantity(
    "breadth",
    "P15",
    "share of examples for which the median neuron is salient, by participation ratio",
    "breadth",
    0.1,
    partial(np.median, axis=-1),
    points("of the examples"),
    bound=1.0,
)
SKEWNESS = Quantity(
    "skewness", "P16", "skewness of the neurons' median saliency", "median", 0.5, skewness
)
UNEQUAL = Quantity(
    "gini", "P16", "Gini of the neurons' median saliency", "median", 0.05, gini, bound=1.0
)


@lru_cache(maxsize=8192)
def over_steps(reading: str, side: str, of: OverNeurons | None, run: Run) -> xr.DataArray:
    """A statistic over neurons at each step, dim (step)."""
    values = run[reading].sel(side=side)
    if of is None:
        return values
    return xr.apply_ufunc(of, values, input_core_dims=[[str(values.dims[-1])]])


@dataclass(frozen=True)
class Rise:
    """A quantity on a side of the split, in an arm, by an attribution, from memorised to an event."""

    quantity: Quantity
    side: str
    arm: str = MAIN
    attribution: str = MARGIN
    until: EventName | None = None
    is_primary: bool = False

    @property
    def endpoint(self) -> Endpoint:
        """Whether it rises by more than with shuffled labels."""
        quantity, reading = self.quantity, f"{self.attribution}_{self.quantity.ending}"
        span = "-when-grokked" if self.until else ""
        name = f"{quantity.name}-{self.side}{span}" + "".join(
            f", {part}"
            for part, usual in ((self.arm, MAIN), (self.attribution, MARGIN))
            if part != usual
        )
        end = f"{self.until}, or to the end with shuffled labels" if self.until else "the end"
        statistic = Statistic(
            f"{quantity.what} ({self.side}), change",
            f"From memorised to {end}. Saliency: |attribution|, of {ATTRIBUTIONS[self.attribution]}.",
            Change((reading,), partial(over_steps, reading, self.side, quantity.of), until=self.until),
            range=(-quantity.bound, quantity.bound),
            says=quantity.says,
        )
        rule = Exceeds(quantity.sesoi)
        return against_shuffled(
            name, quantity.claim, statistic, self.arm, rule, is_primary=self.is_primary
        )


OF_MAIN = (
    Rise(BY_FEW, "train", is_primary=True),
    Rise(BREADTH, "train"),
    Rise(BREADTH, "val"),
    Rise(SKEWNESS, "train", until="grokked", is_primary=True),
    Rise(SKEWNESS, "val", until="grokked"),
    Rise(SKEWNESS, "train"),
    Rise(SKEWNESS, "val"),
    Rise(UNEQUAL, "val"),
)
OF_ARMS = (
    *(Rise(BY_FEW, "train", arm) for arm in ARMS),
    *(
        Rise(quantity, side, arm, attribution)
        for arm in ARMS
        for attribution in ATTRIBUTIONS
        for quantity in (BREADTH, SKEWNESS)
        for side in SIDES
    ),
)
"""`BY_FEW` is of training examples alone: before grokking the centred logits of unseen ones are near 0,
sums that nearly cancel, of which a few neurons hold 90 % by chance.
"""

GENERAL_PART = (
    "A neuron's general part: of its mean contribution to the centred logit of training examples, as "
    "much as it contributes to that of unseen ones."
)


def _of_share(of: Callable[[Run, xr.DataArray], Value | None], otherwise: str) -> Callable:
    def measured(run: Run) -> Value | Missing:
        if SHAPLEY not in run.names:
            return Missing(f"has no {SHAPLEY}")
        found = of(run, general_share(run[SHAPLEY]))
        return Missing(otherwise) if found is None or np.isnan(found).any() else found

    return measured


BOTH_MIDWAY = Statistic(
    "smaller of the general share of the training centred logit and the rest, mean over the steps "
    "midway",
    f"{GENERAL_PART} Midway: memorised, and validation accuracy {MIDWAY[0]:.0%} to {MIDWAY[1]:.0%} of "
    "the way from chance to 1.",
    _of_share(least_of_both_midway, "no reading midway"),
    range=(0.0, 0.5),
    says=share("of the centred logit"),
)
GRADUAL = Statistic(
    "log10(steps of the general share's rise / steps of validation accuracy's rise)",
    f"{GENERAL_PART} A rise: from 10 % to 90 % of the way from the level when memorised to that at the "
    "end, both at the same evaluations. If accuracy rises and the share does not, the share counts as "
    "no wider.",
    _of_share(wider_rise, "validation accuracy does not rise"),
    says=lambda decades: f"over × {10**decades:.2g} the steps of accuracy's rise",
)


@cache
def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """P15 and P16 in every network, by every attribution that its runs have; P10 in the small ones."""
    general = (
        endpoint
        for arm in ARMS
        for endpoint in (
            Endpoint(f"both-midway, {arm}", "P10", BOTH_MIDWAY, arm, Above(LEAST_SHARE)),
            Endpoint(f"gradual, {arm}", "P10", GRADUAL, arm, Exceeds(0.1)),
        )
    )
    rises = (rise.endpoint for rise in (*OF_MAIN, *OF_ARMS))
    return small_arms.of_budget(budget, (*rises, *general), PREDICTIONS)


def figures(table: Table) -> Iterator[Figure]:
    """How saliency spreads over neurons and examples, in each network."""
    main = [run for arm in (MAIN, control_of(MAIN)) for run in table.of(arm)]
    main = [run for run in main if f"{MARGIN}_median" in run.names]
    if main:
        yield saliency_histogram(main, f"{MARGIN}_median")
        yield concentration_figure(main, f"{MARGIN}_median")
        yield breadth_figure(main, f"{MARGIN}_breadth")
    arms = table.among(ARMS)
    shown = [rise for rise in (*OF_MAIN, *OF_ARMS) if _is_drawn(rise) and table.has(rise.arm)]
    if arms:
        yield effects_figure(
            "saliency_by_arm",
            "How the breadth and skewness of saliency change, by network and by attribution",
            [_effect(rise, table) for rise in sorted(shown, key=_by_quantity)],
            "Change from memorised to the last step, minus that of the arm's own runs with shuffled "
            "labels; the claims expect it to the right of 0. Attributed: the centred logit, on which "
            "all methods agree in these networks, or the log-probability by three methods.",
        )
    measured = {
        arm: [r for part in (arm, control_of(arm)) for r in table.of(part) if SHAPLEY in r.names]
        for arm in arms
    }
    if measured := {arm: runs for arm, runs in measured.items() if runs}:
        yield _general_share_figure(measured)


def _general_share_figure(arms: Mapping[str, Sequence[Run]]) -> Figure:
    """A panel an arm: the general share with true and with shuffled labels, and validation accuracy."""
    true, control = (
        {arm: [run for run in runs if run.spec.labels == labels] for arm, runs in arms.items()}
        for labels in ("true", "shuffled")
    )
    panels: dict[str, dict[str, xr.DataArray]] = {arm: {} for arm in arms}
    for arm, lines in panels.items():
        if true[arm]:
            lines["validation accuracy"] = together(true[arm], "val_accuracy")
            lines["general share"] = _shares(true[arm])
        if control[arm]:
            lines["general share, shuffled"] = _shares(control[arm])
    numbers = [f"{arm}: {plural(len(runs), 'run')}" for arm, runs in arms.items()]
    return panels_figure(
        "general_share",
        "How much of the training centred logit comes from parts that also serve unseen examples",
        "A neuron's general part is its mean contribution to the centred logit of unseen examples, up "
        "to its contribution to that of training examples (exact Shapley values). Drawn: the sum of "
        "these parts over the sum of contributions to training centred logits; 1 where unseen examples "
        f"get as much. {'; '.join(numbers)}.",
        panels,
        looks={
            "validation accuracy": Look(theme.SIDES["val"], "2px,3px"),
            "general share": Look(theme.STRATEGIES["least"]),
            "general share, shuffled": Look(theme.CONTROL_SIDES["train"], "4px,3px"),
        },
        y=SHARE,
        marks={arm: median_events(runs) for arm, runs in true.items()},
    )


def _shares(runs: Sequence[Run]) -> xr.DataArray:
    return general_share(together(runs, SHAPLEY).transpose("run", "step", "side", ...))


def _is_drawn(rise: Rise) -> bool:
    return rise.quantity in (BY_FEW, BREADTH, SKEWNESS) and rise.until is None


def _by_quantity(rise: Rise) -> tuple[int, bool]:
    return (BY_FEW, BREADTH, SKEWNESS).index(rise.quantity), rise.side == "val"


def _effect(rise: Rise, table: Table) -> Effect:
    endpoint = rise.endpoint
    panel = f"{endpoint.statistic.name}, minus the control's"
    return panel, rise.arm, ATTRIBUTIONS[rise.attribution], endpoint.verdict(table).estimate


COLLECTIVE = "a collective general circuit"
BROAD, SKEWED, FEW = "breadth-train", "skewness-train", "by-few-train"
PREDICTIONS = (
    Prediction(FREQUENCY, FEW, ">"),
    Prediction(FREQUENCY, BROAD, ">"),
    Prediction(FREQUENCY, f"{SKEWED}-when-grokked", ">"),
    Prediction(FREQUENCY, "gini-val", ">"),
    Prediction(FREQUENCY, f"{SKEWED}, squares, no decay", ">"),
    Prediction(FREQUENCY, f"{SKEWED}, Muon", ">"),
    Prediction(FREQUENCY, "both-midway, two-token MLP", ">"),
    Prediction(FREQUENCY, "gradual, two-token MLP", ">"),
    Prediction(EFFICIENCY, FEW, ">"),
    Prediction(EFFICIENCY, f"{SKEWED}-when-grokked", ">"),
    Prediction(EFFICIENCY, f"{SKEWED}, squares, no decay", "none"),
    Prediction(COLLECTIVE, BROAD, ">"),
    Prediction(COLLECTIVE, FEW, "none"),
    Prediction(COLLECTIVE, f"{FEW}, sparse parity", ">"),
)

STUDY = Study(
    name="saliency",
    question="Do a few neurons gradually become salient for many examples as the network groks?",
    claims=(
        Claim(
            "P15",
            "Early, each neuron is salient for few outputs; later, a few neurons are salient for many.",
        ),
        Claim(
            "P16",
            "The histogram of the neurons' median saliency grows more right-skewed with training, on "
            "train and test examples.",
        ),
        BOTH_COEXIST,
    ),
    hypotheses={
        FREQUENCY: (
            "A few neurons come to carry the centred logit of many examples; breadth, skewness and Gini "
            "rise with grokking but not with shuffled labels, also without decay and under Muon; "
            "midway, both kinds of circuits carry the centred logit, and the general share rises over "
            "more steps than accuracy."
        ),
        EFFICIENCY: (
            "The same under weight decay, which removes what is not needed; no rise without it, even "
            "where the network generalises."
        ),
        COLLECTIVE: (
            "In modular addition nearly all neurons join the general circuit (Doshi et al. 2024, "
            "arXiv:2310.13061): breadth rises, but the centred logit is not concentrated in a few "
            "neurons; parity needs few."
        ),
    },
    predictions=PREDICTIONS,
    arms=small_arms.arms,
    endpoints=endpoints,
    figures=figures,
)
