"""Does gradient descent find general functions more often than random sampling of weights? P19."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from undergrowth.analysis import Above, Exceeds, Within, estimate
from undergrowth.analysis.density_ratio import (
    log_ratio_slopes,
    pseudo_count_slopes,
    shuffled_within,
    strata,
)
from undergrowth.analysis.fitting_functions import FittingFunctions, fitting_functions, joined
from undergrowth.analysis.hypotheses import FREQUENCY, SIMPLICITY
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves, SampledFunctions, TrainedFunctions
from undergrowth.models import MLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import Layer, Scale
from undergrowth.report.figure import Figure, chart
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.statistic import Missing, Statistic, unit
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import BooleanFunction, LeakyRandom
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.optimisers import SGD, Adam

SAMPLED = "random sampling"
ONE, FULL, ADAM = "SGD, one at a time", "SGD, full batch", "Adam, full batch"
FIVE_BITS, RANDOM_LABELS = ", 5 bits", ", random labels"

TRAINED = {
    ONE: {"optimiser": SGD(lr=0.01, warmup_steps=0), "batch": MiniBatch(batch_size=1)},
    FULL: {"optimiser": SGD(lr=0.03, warmup_steps=0), "batch": FullBatch()},
    ADAM: {"optimiser": Adam(lr=1e-3, warmup_steps=0), "batch": FullBatch()},
}
"""Rates at which all of 1,000 networks fit, after 18 to 50 updates on average."""

N_TRAIN = 8
NETWORKS: dict[Budget, tuple[int, int]] = {
    "quick": (400_000, 2_048),
    "standard": (2_000_000, 8_192),
    "full": (16_000_000, 32_768),
}
"""How many networks are sampled, of which about 2^-8 fit, and how many are trained."""

ONCE = Schedule(every=1, until=1, per_decade=1)


def base(n_bits: int) -> RunSpec:
    """Networks of n_bits-40-40-2 on a fixed function; the seed chooses the 8 inputs trained on."""
    return RunSpec(
        task=BooleanFunction(n_bits=n_bits, n_terms=2, n_literals=2),
        split=LeakyRandom(frac_train=N_TRAIN / 2**n_bits),
        model=MLPSpec(d_mlp=40, n_hidden=2),
        steps=1,
        checkpoints=ONCE,
    )


def arms(budget: Budget) -> tuple[Arm, ...]:
    """All ways to find networks on 7 bits; sampling and SGD on 5 bits, and (not in quick) with random
    labels, which are another function for each seed.
    """
    n_sampled, n_trained = NETWORKS[budget]
    sampled = (Curves(schedule=ONCE), SampledFunctions(n_networks=n_sampled))
    trained = (Curves(schedule=ONCE), TrainedFunctions(n_networks=n_trained))
    random = base(7).replace(labels="random")
    kinds = {"": (base(7), TRAINED), FIVE_BITS: (base(5), {ONE: TRAINED[ONE]})}
    if budget != "quick":
        kinds[RANDOM_LABELS] = (random, {ONE: TRAINED[ONE]})
    return tuple(
        arm
        for suffix, (spec, ways) in kinds.items()
        for arm in (
            Arm(SAMPLED + suffix, spec.replace(measures=sampled), "control"),
            *(Arm(way + suffix, spec.replace(measures=trained, **how)) for way, how in ways.items()),
        )
    )


Features = Callable[[FittingFunctions], np.ndarray]
"""[function, feature]; the slope is that of the first, the others are held fixed."""


def of_fields(*names: str) -> Features:
    """Some of what functions are like, by the names of `FittingFunctions`."""
    return lambda found: np.column_stack([getattr(found, name) for name in names]).astype(float)


GENERALITY = of_fields("generality", "complexity")
NOT_VARIED = Missing("no two of the functions found differ in generality at fixed complexity")
NOT_READ = Missing("no functions were read")


def slope(run: Run, control: Run, features: Features = GENERALITY) -> float | Missing:
    """Of log P of the run - log P of its control, by logistic regression."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return NOT_READ
    return _known(log_ratio_slopes(features(p), p.total, features(q), q.total)[0])


def slope_within_strata(run: Run, control: Run) -> float | Missing:
    """Complexity taken away by tenths of the functions, whatever shape its effect has."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return NOT_READ
    of = strata(np.concatenate([p.complexity, q.complexity]), 10)
    dummies = (of[:, None] == np.unique(of)[1:]).astype(float)
    rows = np.column_stack([np.concatenate([p.generality, q.generality]), dummies])
    n = len(p.total)
    return _known(log_ratio_slopes(rows[:n], p.total, rows[n:], q.total)[0])


def slope_with_pseudo_count(added: float, run: Run, control: Run) -> float | Missing:
    """By least squares on the functions' own log shares."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return NOT_READ
    place, count_p, count_q = joined(p, q)
    features = np.concatenate([GENERALITY(p), GENERALITY(q)])[place]
    return _known(pseudo_count_slopes(features, count_p, count_q, added)[0])


SHUFFLES = 20


def shuffled_slope(run: Run, control: Run) -> float | Missing:
    """The slope where each function has the generality of another of its tenth of complexity."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return NOT_READ
    place, count_p, count_q = joined(p, q)
    generality, complexity = np.concatenate([GENERALITY(p), GENERALITY(q)])[place].T
    rng, of = np.random.default_rng(run.spec.seeds.data), strata(complexity, 10)
    found = []
    for _ in range(SHUFFLES):
        features = np.column_stack([shuffled_within(generality, of, rng), complexity])
        found.append(log_ratio_slopes(features, count_p, features, count_q)[0])
    return _known(np.mean(found))


def slope_between_halves(run: Run) -> float | Missing:
    """Of a run's networks against its other networks."""
    found = fitting_functions(run)
    if found is None:
        return NOT_READ
    features = GENERALITY(found)
    return _known(log_ratio_slopes(features, found.count[0], features, found.count[1])[0])


def agreement(run: Run, control: Run) -> float | Missing:
    """How the shares of networks that answer 1 go together over validation inputs."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return NOT_READ
    return float(np.corrcoef(p.predicted[~p.is_train], q.predicted[~q.is_train])[0, 1])


def _known(value: float | np.floating) -> float | Missing:
    return NOT_VARIED if np.isnan(value) else float(value)


BEST = (
    "Generality: the training examples that the best term covers, mean of a term for label 1 (an "
    "implicant of the function) and one for label 0 (of its negation)."
)
REGRESSED = (
    "Logistic regression of whether a fit was trained or sampled; each fit counts once, so functions "
    "that only one of the two found count too. Complexity: Lempel-Ziv, in bits."
)


def by_regression(held: str, of: Callable[..., float | Missing] = slope, how: str = "") -> Statistic:
    """The slope with something held fixed."""
    return Statistic(
        f"slope of log P(trained) - log P(sampled) on generality, {held} held fixed, nats per example",
        f"{BEST} {how or REGRESSED}",
        of,
        says=unit("nats per training example that the best term covers"),
    )


SLOPE = by_regression("complexity")
WITHIN_STRATA = by_regression(
    "tenths of complexity",
    slope_within_strata,
    "As the primary, but with an intercept for each tenth of the functions by complexity.",
)
BY_BYTES = by_regression(
    "bytes of the table (zlib)",
    partial(slope, features=of_fields("generality", "bytes")),
    "As the primary, with the bytes of the compressed table as complexity.",
)
AT_EQUAL_MARGIN = by_regression(
    "complexity and margin",
    partial(slope, features=of_fields("generality", "complexity", "margin")),
    "As the primary; margin: the least lead of a right label on a training example, as a share of the "
    "lead's root mean square.",
)
OF_ONES = by_regression(
    "complexity",
    partial(slope, features=of_fields("generality_of_ones", "complexity")),
    "As the primary, but generality is that of terms for label 1 alone.",
)
OF_MINIMAL_DNF = by_regression(
    "complexity",
    partial(slope, features=of_fields("generality_of_minimal_dnf", "complexity")),
    "As the primary, but terms must be in a minimal DNF of the function or its negation.",
)
HALF_ADDED, ONE_ADDED = (
    by_regression(
        "complexity",
        partial(slope_with_pseudo_count, added),
        f"{added:g} added to both counts of every function that was found; least squares weighted by "
        "the sum of the counts.",
    )
    for added in (0.5, 1.0)
)
SHUFFLED = by_regression(
    "complexity",
    shuffled_slope,
    f"As the primary, with generality permuted within tenths of complexity, mean of {SHUFFLES} times.",
)
HALVES = by_regression(
    "complexity",
    slope_between_halves,
    "As the primary, of every other sampled network against the rest.",
)
ALIKE = Statistic(
    "correlation of the shares of trained and of sampled networks that answer 1",
    "Over validation inputs.",
    agreement,
    range=(-1.0, 1.0),
)

WORTH = Exceeds(0.1)
"""A tenth more probable for each training example that the best term covers."""
NONE = Within(0.1)


def acceptance(table: Table) -> str:
    """How many of the networks fitted, and how far the functions of the two are known."""
    found = [(run, its) for run in table.of(SAMPLED) if (its := fitting_functions(run))]
    if not found:
        return ""
    share = np.mean([float(run["sampled_functions_share"].isel(step=0)) for run, _ in found])
    fits = [its.total.sum() for _, its in found]
    distinct = np.mean([len(its.total) / its.total.sum() for _, its in found])
    return (
        f"{share:.2g} of the untrained networks fit {N_TRAIN} examples (2^-{N_TRAIN} = "
        f"{2.0**-N_TRAIN:.2g}): {min(fits):.0f} to {max(fits):.0f} fits a seed, with "
        f"{distinct:.2f} different functions a fit."
    )


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Those whose arms the budget has."""
    there = {arm.name for arm in arms(budget)}
    return tuple(each for each in ENDPOINTS if {each.arm, each.control or each.arm} <= there)


Trained = partial(Endpoint, claim="P19", control=SAMPLED, rule=WORTH)
ENDPOINTS = (
    Trained("slope-one", statistic=SLOPE, arm=ONE, is_primary=True, note=acceptance),
    Trained("slope-full", statistic=SLOPE, arm=FULL),
    Trained("slope-adam", statistic=SLOPE, arm=ADAM),
    Trained("slope-5-bits", statistic=SLOPE, arm=ONE + FIVE_BITS, control=SAMPLED + FIVE_BITS),
    Trained(
        "slope-random-labels",
        statistic=SLOPE,
        arm=ONE + RANDOM_LABELS,
        control=SAMPLED + RANDOM_LABELS,
    ),
    Trained("minimal-dnf", statistic=OF_MINIMAL_DNF, arm=ONE + FIVE_BITS, control=SAMPLED + FIVE_BITS),
    Trained("within-strata", statistic=WITHIN_STRATA, arm=ONE),
    Trained("by-bytes", statistic=BY_BYTES, arm=ONE),
    Trained("equal-margin", statistic=AT_EQUAL_MARGIN, arm=ONE),
    Trained("terms-for-ones", statistic=OF_ONES, arm=ONE),
    Trained("half-added", statistic=HALF_ADDED, arm=ONE + FIVE_BITS, control=SAMPLED + FIVE_BITS),
    Trained("one-added", statistic=ONE_ADDED, arm=ONE + FIVE_BITS, control=SAMPLED + FIVE_BITS),
    Trained("one-against-full", statistic=SLOPE, arm=ONE, control=FULL),
    Trained("one-against-adam", statistic=SLOPE, arm=ONE, control=ADAM),
    Trained("predicts-alike", statistic=ALIKE, arm=ONE, rule=Above(0.9)),
    Trained("shuffled", statistic=SHUFFLED, arm=ONE, rule=NONE),
    Endpoint("halves", "P19", HALVES, SAMPLED, NONE),
)
"""Pseudo-counts are for 5 bits, where functions are found more than once: on 7 bits nearly all are found
once, and any constant added decides the slope.
"""

SEEN = 4
"""Fits of a function, in both together, from which the scatter shows it."""


def figures(table: Table) -> Iterator[Figure]:
    """Shares of single functions, and the log ratio by generality."""
    pairs = table.pairs(ONE + FIVE_BITS, SAMPLED + FIVE_BITS)
    if found := [_scattered(seed, *pair) for seed, pair in list(pairs.items())[:4]]:
        yield _scatter(pd.concat(found, ignore_index=True))
    if len(by_generality := _by_generality(table)):
        yield _ratios(by_generality)


def _scattered(seed: int, run: Run, control: Run) -> pd.DataFrame:
    """A row a function that was found often enough, with its shares of the fits."""
    p, q = fitting_functions(run), fitting_functions(control)
    if p is None or q is None:
        return pd.DataFrame()
    place, count_p, count_q = joined(p, q)
    generality, complexity = np.concatenate([GENERALITY(p), GENERALITY(q)])[place].T
    seen = count_p + count_q >= SEEN
    shares = [(count_q[seen] + 0.5) / count_q.sum(), (count_p[seen] + 0.5) / count_p.sum()]
    rows = pd.DataFrame(
        {
            "layer": "function",
            "panel": f"seed {seed}",
            "series": [_bin(value) for value in generality[seen]],
            "seed": seed,
            "run": run.id,
            "sampled": shares[0],
            "trained": shares[1],
            "generality": generality[seen],
            "complexity": complexity[seen],
        }
    ).sort_values("generality", ignore_index=True)
    ends = [np.min(shares, initial=1.0), np.max(shares, initial=0.0)]
    equal = {"layer": "equal", "panel": f"seed {seed}", "series": "equally often"}
    return pd.concat([rows, pd.DataFrame({**equal, "sampled": ends, "trained": ends})])


BINS = {
    "covers up to 2": Look("#7371DE", symbol="diamond", size=6),
    "covers 2.5": Look("#1F77B4", symbol="square", size=6),
    "covers 3": Look("#B8860B", symbol="circle", size=6),
    "covers 3.5": Look("#D55E00", symbol="cross", size=7),
    "covers 4": Look("#C2428A", symbol="triangle-up", size=7),
}
"""By what is at most half of the training examples, the mean over both labels."""


def _bin(generality: float) -> str:
    return list(BINS)[int(np.searchsorted([2, 2.5, 3, 3.5], generality))]


DECADES = (1e-4, 1e-3, 1e-2, 1e-1)


def _scatter(rows: pd.DataFrame) -> Figure:
    n = np.count_nonzero(rows["layer"].to_numpy() == "function")
    return chart(
        "sampler_scatter",
        "How often training and sampling find a function that fits",
        f"A dot for each function of 5 bits that fits and was found at least {SEEN} times, in both "
        f"together ({n} functions, one panel a seed): its share of the networks that fit, trained by "
        "SGD one example at a time against untrained. Half a network is added to each count, so that "
        "what one of the two never found has a place. Colour: training examples that the best term "
        "covers, mean of both labels. Above the line: found more often by training.",
        rows,
        {
            "equal": Layer("lines", "sampled", "trained"),
            "function": Layer(
                "dots", "sampled", "trained", tell=("generality", "complexity", "seed", "run")
            ),
        },
        x=Scale("share of sampled fits", "log", marks=DECADES),
        y=Scale("share of trained fits", "log", marks=DECADES),
        looks={"equally often": Look(theme.NEUTRAL, "2px,3px"), **BINS},
        across=2,
        tall=320,
    )


LEAST_SEEDS = 3


def _by_generality(table: Table) -> pd.DataFrame:
    """The mean log ratio over seeds of how often functions of each generality are found."""
    rows = []
    for way in table.among(TRAINED):
        by_value: dict[float, list[float]] = {}
        for run, control in table.pairs(way, SAMPLED).values():
            p, q = fitting_functions(run), fitting_functions(control)
            if p is None or q is None:
                continue
            for value in np.intersect1d(p.generality, q.generality):
                shares = [its.total[its.generality == value].sum() / its.total.sum() for its in (p, q)]
                by_value.setdefault(float(value), []).append(float(np.log(shares[0] / shares[1])))
        for value, ratios in sorted(by_value.items()):
            if len(ratios) < LEAST_SEEDS:
                continue
            found = estimate(ratios)
            rows.append(
                {
                    "series": way,
                    "generality": value,
                    "log_ratio": found.effect,
                    "low": found.low,
                    "high": found.high,
                    "seeds": len(ratios),
                }
            )
    return pd.DataFrame(rows)


def _ratios(rows: pd.DataFrame) -> Figure:
    return chart(
        "sampler_generality",
        "How often training finds functions of each generality, against sampling",
        "Logarithm of the share of trained networks over the share of untrained networks whose function "
        "has this generality, of those that fit; mean over the seeds in which both occur, at least "
        f"{LEAST_SEEDS}, with 95 % intervals. Complexity is not held fixed here. Functions of 7 bits.",
        rows,
        Layer("intervals", "generality", "log_ratio", tell=("seeds",)),
        x=Scale("training examples that the best term covers, mean of both labels"),
        y=Scale("log P(trained) - log P(sampled), nats", lines=(0.0,)),
        tall=320,
    )


STUDY = Study(
    name="sampler",
    question="Does gradient descent find general functions more often than random sampling does?",
    claims=(
        Claim(
            "P19",
            "Randomly sampled networks that fit the training set predict like those that SGD trains, "
            "for both find the patterns that are common in the data; beyond that, gradient descent "
            "favours functions whose circuits are reinforced by many examples.",
        ),
    ),
    hypotheses={
        FREQUENCY: (
            "A term that covers many training examples is pushed by all of them, so among functions of "
            "equal complexity training finds those with such terms more often than sampling does. The "
            "effect is larger where each example has its own update than in full batches, and larger "
            "than under full-batch Adam, which moves every weight equally however many examples push it."
        ),
        SIMPLICITY: (
            "What trained networks generalise by is the parameter-function map: P(f | trained) is "
            "nearly P(f | sampled) (Mingard et al. 2021, arXiv:2006.15191), which complexity explains, "
            "so at equal complexity generality makes no difference, and predictions agree."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, "slope-one", ">"),
        Prediction(FREQUENCY, "slope-full", ">"),
        Prediction(FREQUENCY, "equal-margin", ">"),
        Prediction(FREQUENCY, "one-against-full", ">"),
        Prediction(FREQUENCY, "one-against-adam", ">"),
        Prediction(SIMPLICITY, "slope-one", "none"),
        Prediction(SIMPLICITY, "slope-full", "none"),
        Prediction(SIMPLICITY, "slope-adam", "none"),
        Prediction(SIMPLICITY, "equal-margin", "none"),
        Prediction(SIMPLICITY, "one-against-full", "none"),
        Prediction(SIMPLICITY, "predicts-alike", ">"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
