"""Who carries the margin while a network groks, and what predicted it? P10, P11, P18.

The centred logit of every training example is exactly its general part, a function of the product in the
network's last key frequencies, plus the rest, which is memorised. P10: midway both are there. P11: one
example goes from one to the other faster than all of them do. P18: of each frequency and neuron, what is
known of it in the first tenth of training (reach, push on itself, norm, strength) is held against its
last share; of a seed nothing is fitted, so every seed is held out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import scipy
import xarray as xr

from undergrowth.analysis import Above, Exceeds
from undergrowth.analysis.areas import MIDWAY
from undergrowth.analysis.general_part import (
    MEAN_LOGITS,
    POWER,
    WHOLE,
    Parts,
    key_irreps,
    parts,
    switch_times,
)
from undergrowth.analysis.general_share import LEAST_WAY, wider_rise
from undergrowth.analysis.hypotheses import EFFICIENCY, FREQUENCY
from undergrowth.analysis.matching import MATCHED_WITHIN
from undergrowth.analysis.means import median_events
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves, Fourier, Reach, Shapley, TableMap
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import SHARE
from undergrowth.report.estimates import Effect, effects_figure
from undergrowth.report.figure import Figure
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES, events
from undergrowth.store.reader import together
from undergrowth.studies import small_arms
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, aggregate, values_of
from undergrowth.studies.shared_claims import BOTH_COEXIST, GENERAL_REPLACES
from undergrowth.studies.small_arms import CHEAP, control_of
from undergrowth.studies.statistic import Missing, Statistic, points, times, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table

SQUARES = "squares, no decay"
FEWEST = 16
"""Seeds that a claim takes."""
EARLY = 0.1
"""The part of the training from which a component's last share is predicted."""
LEAST_SHARE = 0.1
"""Of the centred logit: by less, one of the two parts is as good as absent."""
FASTER = 5.0
"""One example's switch is quick where the population's spread is more than so many times as wide."""
FEWEST_EXAMPLES = 20
"""Whose shares have to rise for their switches to be compared."""
SHAPLEY = "shapley_mean"

WATCHED = Schedule(every=20, until=1_000, per_decade=60)
STEPS = {CHEAP: 3_000, SQUARES: 1_000}
"""How long the small networks take to grok, and to settle."""


def _base(arm: str) -> RunSpec:
    steps = STEPS[arm]
    early = Schedule(every=steps // 30, until=int(EARLY * steps), per_decade=1)
    return small_arms.ARMS[arm].replace(
        steps=steps,
        measures=(
            Curves(schedule=Schedule(every=10, until=200, per_decade=60)),
            Fourier(exclude_each=False, mean_logits=True, schedule=WATCHED),
            TableMap(schedule=WATCHED),
            Reach(each_irrep=True, schedule=early),
            Shapley(
                score="centred_logit",
                n_examples=1_000,
                schedule=Schedule(every=steps, until=steps, per_decade=1),
            ),
        ),
    )


def arms(budget: Budget) -> tuple[Arm, ...]:
    """The two-token MLP that groks by decay, one that groks without, and each with shuffled labels."""
    return tuple(
        each
        for arm in (CHEAP, SQUARES)
        for each in (
            Arm(arm, _base(arm)),
            Arm(control_of(arm), _base(arm).replace(labels="shuffled"), "control"),
        )
    )


@lru_cache(maxsize=512)
def parted(run: Run, n: int | None = None) -> Parts:
    """A run's centred logits by its own last key frequencies, or by its n strongest ones."""
    return parts(run, key_irreps(run, n))


def lesser_midway(run: Run, control: Run) -> float | Missing:
    """The smaller of both distances midway, its mean over the steps there."""
    found = distances_midway(run, control)
    return found if isinstance(found, Missing) else float(found.min(axis=1).mean())


def distance_midway(from_: int, run: Run, control: Run) -> float | Missing:
    """The mean distance midway from memorised, 0, or from final, 1."""
    found = distances_midway(run, control)
    return found if isinstance(found, Missing) else float(found[:, from_].mean())


@lru_cache(maxsize=512)
def distances_midway(run: Run, control: Run) -> np.ndarray | Missing:
    """How far the general share is above a memorising network's, and below the run's own last one, at
    each step midway, [step, 2].

    What a network that only memorises has by chance is what the control has in as many of its own
    strongest frequencies, at the step at which its mean centred logit is the nearest, within
    `MATCHED_WITHIN`.
    """
    for each in (run, control):
        if lacking := {MEAN_LOGITS, POWER, WHOLE} - set(each.names):
            return Missing(f"has no {min(lacking)}")
    memorised = events(run.curves, DEFAULT_RULES)["memorised"].first
    if memorised is None:
        return Missing("never memorised")
    mine = parted(run)
    its = parted(control, len(key_irreps(run)))
    accuracy = run["val_accuracy"].dropna("step").sel(step=mine.steps, method="nearest").values
    chance = 1 / run.spec.task.n_labels
    way = (accuracy - chance) / (1 - chance)
    is_midway = (way >= MIDWAY[0]) & (way <= MIDWAY[1]) & (mine.steps >= memorised)
    if not is_midway.any():
        return Missing("no reading midway")
    share, of_control = mine.share.values, its.share.values
    found = []
    for place in np.flatnonzero(is_midway):
        ratio = np.abs(np.log(np.maximum(its.mean.values, 1e-9) / mine.mean.values[place]))
        nearest = int(ratio.argmin())
        if ratio[nearest] <= np.log1p(MATCHED_WITHIN):
            found.append((share[place] - of_control[nearest], share[-1] - share[place]))
    return np.array(found) if found else Missing("no step of its control has such a centred logit")


def wider(run: Run) -> tuple[float, float] | Missing:
    """Bounds of log10(steps of the general share's rise / steps of validation accuracy's)."""
    if lacking := {MEAN_LOGITS, POWER, WHOLE} - set(run.names):
        return Missing(f"has no {min(lacking)}")
    found = wider_rise(run, parted(run).share)
    return Missing("validation accuracy does not rise") if found is None else found


def quicker(run: Run) -> float | Missing:
    """log10(spread of the examples' switches / width of the median example's switch)."""
    if lacking := {MEAN_LOGITS, POWER, WHOLE} - set(run.names):
        return Missing(f"has no {min(lacking)}")
    memorised = events(run.curves, DEFAULT_RULES)["memorised"].first
    if memorised is None:
        return Missing("never memorised")
    found = parted(run)
    when, widths = switch_times(found, memorised, least=LEAST_WAY)
    if len(when) < FEWEST_EXAMPLES:
        return Missing(f"the general share of fewer than {FEWEST_EXAMPLES} examples rises")
    resolved = float(np.median(np.diff(found.steps)))
    spread = max(float(np.subtract(*np.quantile(when, (0.9, 0.1)))), resolved)
    return float(np.log10(spread / max(float(np.median(widths)), 1e-9)))


PREDICTORS: dict[str, tuple[str, float]] = {
    "reach": ("", 1.0),
    "own push": ("_own_push", 1.0),
    "low norm": ("_squared_norm", -1.0),
    "strength": ("_strength", 1.0),
}
"""By what is known early: the ending of its reading, and its sign where it is claimed to win."""
COMPONENTS = {"frequencies": "irrep", "neurons": "neuron"}


@lru_cache(maxsize=512)
def known_early(run: Run, component: str) -> np.ndarray:
    """What the first `EARLY` of training says of each component, [predictor, component]: means over the
    readings there, without that of the untrained network.
    """
    found = []
    for ending, sign in PREDICTORS.values():
        reading = run[f"reach_{component}{ending}"].sel(step=slice(1, EARLY * run.spec.steps))
        if "layer" in reading.dims:
            reading = reading.isel(layer=-1)
        found.append(sign * reading.mean("step").values.astype(np.float64))
    return np.stack(found)


@lru_cache(maxsize=512)
def last_share(run: Run, component: str) -> np.ndarray:
    """Each component's part of the training examples' centred logit at the last step, [component]."""
    if component == "neuron":
        carried = run[SHAPLEY].isel(step=-1).sel(side="train").values.astype(np.float64)
        return carried / np.abs(carried).sum()
    names = [str(name) for name in run["reach_irrep"]["irrep"].values]
    of_each = [parts(run, (name,), slice(-1, None)) for name in names]
    return np.array([of.general.mean() / of.whole.mean() for of in of_each])


def partial_rank_correlation(target: np.ndarray, predictors: np.ndarray, k: int) -> float:
    """Spearman's correlation of a target with predictor k, the others held; NaN where nothing is left.

    It is of the ranks' residuals on the ranks of the others. predictors: [predictor, component].

    >>> x = np.arange(6.0)
    >>> other = np.array([1.0, 0, 1, 0, 1, 0])
    >>> round(partial_rank_correlation(x**3, np.stack([x, other]), 0), 6)
    1.0
    """
    ranks = scipy.stats.rankdata(np.concatenate([target[None], predictors]), axis=1)
    others = np.delete(ranks, (0, k + 1), axis=0)
    design = np.stack([np.ones(len(target)), *others], axis=1)
    y = ranks[[0, k + 1]].T
    fitted, *_ = np.linalg.lstsq(design, y, rcond=None)
    mine, its = (y - design @ fitted).T
    size = float(np.linalg.norm(mine) * np.linalg.norm(its))
    return float(mine @ its) / size if size > 1e-9 * len(target) else float("nan")


def _given_the_others(predictor: str, component: str, run: Run) -> float | Missing:
    if lacking := _lacking(run, component):
        return Missing(f"has no {lacking}")
    place = list(PREDICTORS).index(predictor)
    return partial_rank_correlation(last_share(run, component), known_early(run, component), place)


def rank_correlation(predictor: str, component: str, run: Run) -> float | Missing:
    """Spearman's correlation, over components, of what is known early with the last share."""
    if lacking := _lacking(run, component):
        return Missing(f"has no {lacking}")
    place = list(PREDICTORS).index(predictor)
    early, last = known_early(run, component)[place], last_share(run, component)
    if np.ptp(early) == 0 or np.ptp(last) == 0:
        return Missing("all components are alike")
    found = scipy.stats.spearmanr(early, last)
    return float(found.statistic)  # pyright: ignore[reportAttributeAccessIssue]


def _lacking(run: Run, component: str) -> str:
    of = {SHAPLEY} if component == "neuron" else {MEAN_LOGITS, WHOLE}
    needed = of | {f"reach_{component}{ending}" for ending, _ in PREDICTORS.values()}
    return min(needed - set(run.names), default="")


GENERAL = (
    "General part: the logits' part that is a function of x + y in the key frequencies, the fewest with "
    "90 % of the last logit power."
)
COEXIST = Statistic(
    "distance of the general share of the training centred logit from memorised and from final, the "
    "smaller, mean midway",
    f"{GENERAL} Midway: memorised, and validation accuracy {MIDWAY[0]:.0%} to {MIDWAY[1]:.0%} of the "
    "way from chance to 1. Memorised: the share that as many of its own strongest frequencies have in "
    "the run with shuffled labels, at equal mean centred logit. Final: the run's own last share.",
    lesser_midway,
    says=points("of the centred logit"),
)
GENERAL_MIDWAY, MEMORISED_MIDWAY = (
    Statistic(
        f"general share of the training centred logit midway, {than}",
        f"{GENERAL} Midway and both comparisons: as for the smaller of both.",
        partial(distance_midway, place),
        says=points("of the centred logit"),
    )
    for place, than in enumerate(("minus that of a memorising network", "below the last one"))
)
GRADUAL = Statistic(
    "log10(steps of the general share's rise / steps of validation accuracy's rise)",
    f"{GENERAL} A rise: from 10 % to 90 % of the way from the level when memorised to that at the end, "
    "both at the same evaluations.",
    wider,
    says=times("the steps of accuracy's rise", "fewer steps than accuracy's rise"),
)
QUICK = Statistic(
    "log10(spread of the examples' switches / width of one's switch)",
    f"{GENERAL} A switch: an example's general share rises from memorised to the end; its width: from "
    "10 to 90 % of the way, the median over training examples, unsmoothed. Spread: of the times at "
    "which half is done, from the 10th to the 90th percentile.",
    quicker,
    says=times("as wide as one's switch", "narrower than one's switch"),
)


@dataclass(frozen=True)
class Predictor:
    """Something known early of each component of a kind, in an arm, that may predict its last share."""

    name: str
    kind: str
    arm: str

    @property
    def endpoint(self) -> Endpoint:
        """Whether it does, the others held."""
        component = COMPONENTS[self.kind]
        others = ", ".join(name for name in PREDICTORS if name != self.name)
        statistic = Statistic(
            f"rank correlation of early {self.name} with the last share over {self.kind}, the rest held",
            f"Means over the readings in the first {EARLY:.0%} of training; share of the training "
            f"centred logit at the end. Held: {others}. Each seed by itself, nothing fitted.",
            partial(_given_the_others, self.name, component),
            range=(-1.0, 1.0),
            says=unit("in rank correlation"),
        )
        return Endpoint(
            f"{self.name.replace(' ', '-')}, {self.kind}, {self.arm}", "P18", statistic, self.arm, WORTH
        )


WORTH = Exceeds(0.1)
OF_COMPONENTS = tuple(
    Predictor(name, kind, arm) for arm in (CHEAP, SQUARES) for kind in COMPONENTS for name in PREDICTORS
)
Coexist = partial(Endpoint, claim="P10", statistic=COEXIST, rule=Above(LEAST_SHARE))
Quick = partial(Endpoint, claim="P11", statistic=QUICK, rule=Above(float(np.log10(FASTER))))
ENDPOINTS = (
    Coexist("coexist", arm=CHEAP, control=control_of(CHEAP), is_primary=True, at_least=FEWEST),
    Coexist(f"coexist, {SQUARES}", arm=SQUARES, control=control_of(SQUARES)),
    *(
        Endpoint(f"{name} midway, {arm}", "P10", of, arm, Exceeds(LEAST_SHARE), control_of(arm))
        for arm in (CHEAP, SQUARES)
        for name, of in (("general", GENERAL_MIDWAY), ("memorised", MEMORISED_MIDWAY))
    ),
    *(Endpoint(f"gradual, {arm}", "P10", GRADUAL, arm, Exceeds(0.1)) for arm in (CHEAP, SQUARES)),
    Quick("quick", arm=CHEAP, is_primary=True, at_least=FEWEST),
    Quick(f"quick, {SQUARES}", arm=SQUARES),
    *(each.endpoint for each in OF_COMPONENTS),
)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """The same for every budget: two primaries, and what says how robust they are."""
    return ENDPOINTS


def figures(table: Table) -> Iterator[Figure]:
    """Who carries the centred logit over steps, and what early readings say of the last shares."""
    there = table.among((CHEAP, SQUARES))
    measured = {arm: [run for run in table.of(arm) if MEAN_LOGITS in run.names] for arm in there}
    if measured := {arm: runs for arm, runs in measured.items() if runs}:
        yield _shares_figure(measured)
    shown = [each for each in OF_COMPONENTS if table.has(each.arm)]
    if shown:
        yield effects_figure(
            "predictors_of_the_last_share",
            "What of a component, known in the first tenth of training, goes with its last share",
            [_effect(each, held, table) for held in (True, False) for each in shown],
            "Rank correlation over components, of each seed by itself, with the share of the training "
            "centred logit at the end; the others held, or alone.",
        )


def _effect(each: Predictor, held: bool, table: Table) -> Effect:
    component = COMPONENTS[each.kind]
    of = each.endpoint.statistic.of if held else partial(rank_correlation, each.name, component)
    statistic = replace(each.endpoint.statistic, of=of)
    values = values_of(table, each.arm, statistic, Counter())
    panel = f"{each.kind}, {'the others held' if held else 'alone'}"
    return panel, each.name, each.arm, aggregate(list(values.values()))


def _shares_figure(arms: Mapping[str, Sequence[Run]]) -> Figure:
    """A panel an arm: validation accuracy, and the general share of the training centred logit."""
    panels = {
        arm: {
            "validation accuracy": together(runs, "val_accuracy"),
            "general share": xr.concat([parted(run).share for run in runs], "run"),
        }
        for arm, runs in arms.items()
    }
    return panels_figure(
        "general_part",
        "How much of the training centred logit is a function of x + y in the key frequencies",
        f"{GENERAL} Its share of the sum over training examples; the rest is memorised.",
        panels,
        looks={
            "validation accuracy": Look(theme.SIDES["val"], "2px,3px"),
            "general share": Look(theme.STRATEGIES["least"]),
        },
        y=SHARE,
        marks={arm: median_events(runs) for arm, runs in arms.items()},
    )


HEAD_START, PHASE = "head start", "one transition for all"
OF_FREQUENCIES = f"frequencies, {CHEAP}"
WITHOUT_DECAY = f"frequencies, {SQUARES}"
PREDICTIONS = (
    Prediction(FREQUENCY, "coexist", ">"),
    Prediction(FREQUENCY, "quick", ">"),
    Prediction(FREQUENCY, f"gradual, {CHEAP}", ">"),
    Prediction(FREQUENCY, f"reach, {OF_FREQUENCIES}", ">"),
    Prediction(FREQUENCY, f"reach, {WITHOUT_DECAY}", ">"),
    Prediction(FREQUENCY, f"reach, neurons, {CHEAP}", ">"),
    Prediction(EFFICIENCY, f"low-norm, {OF_FREQUENCIES}", ">"),
    Prediction(EFFICIENCY, f"low-norm, {WITHOUT_DECAY}", "none"),
    Prediction(EFFICIENCY, f"reach, {OF_FREQUENCIES}", "none"),
    Prediction(HEAD_START, f"strength, {OF_FREQUENCIES}", ">"),
    Prediction(HEAD_START, f"strength, {WITHOUT_DECAY}", ">"),
    Prediction(HEAD_START, f"reach, {OF_FREQUENCIES}", "none"),
    Prediction(PHASE, "coexist", ">"),
    Prediction(PHASE, "quick", "<"),
)

STUDY = Study(
    name="ledger",
    question="Who carries the margin while a network groks, and which early number predicts it?",
    claims=(
        BOTH_COEXIST,
        Claim("P11", "For a subset of the data the switch to the general circuit is quick."),
        GENERAL_REPLACES,
    ),
    hypotheses={
        FREQUENCY: (
            "Both parts carry the centred logit midway, each example switches quickly and the general "
            "share rises slowly, since examples switch one after the other. What wins is what more "
            "examples push alike: at equal push of an example on itself, norm and strength, early reach "
            "predicts the last share, also without decay."
        ),
        EFFICIENCY: (
            "What wins is what is cheap: at equal strength a small norm predicts the last share under "
            "decay, not without; reach adds nothing."
        ),
        HEAD_START: (
            "What wins is what is ahead: early strength predicts the last share, and reach adds nothing."
        ),
        PHASE: (
            "All examples switch together, over as many steps as the network: one's switch is no "
            "quicker than all."
        ),
    },
    predictions=PREDICTIONS,
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
