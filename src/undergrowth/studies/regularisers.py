"""Do noise and regularisation speed generalisation, and decay the most? P7 and P8.

The post reads both off figure 2a of Power et al. 2022 (arXiv:2201.02177): the best validation accuracy
within a budget, by intervention and fraction of the data trained on. The full budget has its nine
interventions as they were; the others have them in a stand-in, some at two strengths, and Muon and the
orthogonal gradient beside them. Whether decay is ahead because it degrades shallow circuits more is
another question: decay to init degrades them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import scipy

from undergrowth.analysis import (
    Above,
    Exceeds,
    Needed,
    Value,
    censored_proportion,
    estimate,
    needed,
    speed_up,
    survival,
)
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY
from undergrowth.analysis.means import columns_of
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Colours, Layer, Look, Scale
from undergrowth.report.figure import Figure, chart
from undergrowth.report.numbers import format_number
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.spec.presets import FIGURE_2A_NAME, preset
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.studies.arm import SEEDS, Arm, Budget
from undergrowth.studies.best_of import held_out
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate
from undergrowth.studies.lr_boost.statistics import switched
from undergrowth.studies.own_scale import waits_for
from undergrowth.studies.shared_claims import DECAY_IS_BEST
from undergrowth.studies.statistic import Missing, Statistic, points, share, times
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import NOT_THERE, Table
from undergrowth.tasks import CommutationSafe, LeakyRandom, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.noise import Noise
from undergrowth.training.optimisers import AdamW, Muon, OrthogonalGradient
from undergrowth.training.stopping import Stop

FRACTIONS: dict[Budget, tuple[float, ...]] = {
    "quick": (0.75, 0.85, 0.95),
    "standard": (0.65, 0.75, 0.85, 0.95),
    "full": (0.5, 0.7),
}
SPARSE = Schedule(every=1_000_000, until=1_000_000, per_decade=1)

SMALL = RunSpec(
    task=Modular(operation="x+y", p=31),
    split=CommutationSafe(frac_train=0.95),
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=64, combine="summed"),
    optimiser=AdamW(lr=3e-3, weight_decay=0.0),
    steps=4_000,
    measures=(Curves(schedule=Schedule(every=20, until=400, per_decade=40)),),
    checkpoints=SPARSE,
)
"""Memorised near step 350 by all but the orthogonal gradient. Grokked near 1,100 at 95 % of the pairs
with decay, near 2,000 at 80 %; plain Adam comes to 0.8 at 95 % and to 0.3 at 85 %, and stays there.

Tried beside it, one seed each: S4 at 85 % and two embeddings laid end to end, where nothing but decay
leaves chance; 10,000 steps, in which plain Adam gains nothing, and dropout of 0.1 gets there at 95 %; a
square for the ReLU (the same ladder); weight noise of 0.2 and decay of 3, which prevent memorising.
At 95 % validation has 48 pairs, so 99 % is all of them.
"""

NOT_HERE = "the standard budget, which trains it"
FULL_BATCH, PLAIN = "full batch", "Adam"


def interventions(base: RunSpec) -> Mapping[str, RunSpec]:
    """What is tried, each on its own, at the base's fraction; `PLAIN`: Adam, half the data a batch."""
    n_train = round(base.split.frac_train * len(base.task.examples()))
    plain = base.replace(batch=MiniBatch(batch_size=min(512, n_train // 2)))
    lr = dict(base.optimiser)["lr"]

    def adam(**fields) -> RunSpec:
        return plain.replace(optimiser=AdamW(**{"lr": lr, "weight_decay": 0.0, **fields}))

    def noisy(**fields) -> RunSpec:
        return plain.replace(noise=Noise(**fields))

    return {
        FULL_BATCH: plain.replace(batch=FullBatch()),
        PLAIN: plain,
        "batches of 32": plain.replace(batch=MiniBatch(batch_size=32)),
        "gradient noise 0.001": noisy(gradient=1e-3),
        "weight noise 0.01": noisy(weight=0.01),
        "weight noise 0.1": noisy(weight=0.1),
        "dropout 0.1": noisy(dropout=0.1),
        "dropout 0.3": noisy(dropout=0.3),
        "decay 0.3": adam(weight_decay=0.3),
        "decay 1": adam(weight_decay=1.0),
        "decay 1 to init": adam(weight_decay=1.0, decay_to="init"),
        "lr × 0.3": adam(lr=0.3 * lr),
        "lr × 3": adam(lr=3 * lr),
        "Muon": plain.replace(optimiser=Muon(weight_decay=0.0, adam_lr=lr, adam_weight_decay=0.0)),
        "orthogonal gradient": adam(filter=OrthogonalGradient()),
    }


FIGURE_2A: Mapping[str, str] = {
    FULL_BATCH: "_full_batch",
    PLAIN: "",
    "update noise 1": "_update_noise",
    "weight noise 0.01": "_weight_noise",
    "residual dropout 0.1": "_dropout",
    "decay 1": "_decay",
    "decay 1 to init": "_decay_to_init",
    "lr × 0.3": "_low_rate",
    "lr × 3": "_high_rate",
}
"""The nine interventions of the figure, each by how its preset's name ends."""


def of_figure_2a(fraction: float) -> Mapping[str, RunSpec]:
    """The figure's interventions at a fraction of S5, for 20,000 of its 100,000 steps: stopped once they
    stay at 99 %, to which their best accuracy is then known.
    """
    return {
        each: preset(f"{FIGURE_2A_NAME}{ending}").replace(
            split=LeakyRandom(frac_train=fraction),
            steps=20_000,
            measures=(Curves(schedule=Schedule(every=100, until=2_000, per_decade=100)),),
            checkpoints=SPARSE,
            stop=(Stop(evaluations=10),),
        )
        for each, ending in FIGURE_2A.items()
    }


BATCHES, DECAY, TO_INIT = (PLAIN, "batches of 32"), ("decay 0.3", "decay 1"), "decay 1 to init"
NOISES = {
    "gradient-noise": ("gradient noise 0.001", "update noise 1"),
    "weight-noise": ("weight noise 0.01", "weight noise 0.1"),
    "dropout": ("dropout 0.1", "dropout 0.3", "residual dropout 0.1"),
}
"""Noise on top of mini-batches: the strengths and kinds of each. Figure 2a scales the gradient's to the
update, and drops out what a layer writes."""
NOISE = tuple(strength for strengths in NOISES.values() for strength in strengths)
OTHER = ("lr × 0.3", "lr × 3", "Muon", "orthogonal gradient")
RIVALS = ("batches of 32", *NOISE, *OTHER)
"""What decay has to beat: everything that neither decays nor is the plain arm."""

QUICK = (FULL_BATCH, PLAIN, "weight noise 0.1", "dropout 0.1", "decay 1", TO_INIT)
SHUFFLED: Mapping[Budget, tuple[str, ...]] = {
    "quick": ("weight noise 0.1", "decay 1"),
    "standard": ("weight noise 0.1", "decay 1"),
    "full": ("weight noise 0.01", "decay 1"),
}
"""Trained with shuffled labels too, at the largest fraction: they must stay at chance."""


def tried(budget: Budget) -> tuple[str, ...]:
    """The interventions of a budget."""
    if budget == "full":
        return tuple(FIGURE_2A)
    return QUICK if budget == "quick" else tuple(interventions(SMALL))


def arm_of(intervention: str, fraction: float) -> str:
    """The name of an arm."""
    return f"{intervention} at {fraction:.0%}"


def shuffled_arm(intervention: str, fraction: float) -> str:
    """The name of the arm with shuffled labels."""
    return f"{arm_of(intervention, fraction)}, shuffled labels"


@cache
def arms(budget: Budget) -> tuple[Arm, ...]:
    """Each intervention at each fraction, then shuffled labels, on half of the seeds."""
    at = {
        f: of_figure_2a(f)
        if budget == "full"
        else interventions(SMALL.replace(split=CommutationSafe(frac_train=f)))
        for f in FRACTIONS[budget]
    }
    last, half = FRACTIONS[budget][-1], len(SEEDS[budget]) // 2
    true = (
        Arm(arm_of(each, f), specs[each], "control" if each in (FULL_BATCH, PLAIN) else "treatment")
        for f, specs in at.items()
        for each in tried(budget)
    )
    shuffled = {each: at[last][each].replace(labels="shuffled") for each in SHUFFLED[budget]}
    return (
        *true,
        *(Arm(shuffled_arm(each, last), spec, "control", seeds=half) for each, spec in shuffled.items()),
    )


Runs = Mapping[float, Run]
"""One seed's runs of an intervention, by fraction."""


@lru_cache(maxsize=8192)
def best_accuracy(run: Run) -> float:
    """The highest validation accuracy within the budget, as in Power et al.'s figure."""
    return float(run.curves["val_accuracy"].max())


def _mean_best(runs: Runs) -> float:
    return float(np.mean([best_accuracy(run) for run in runs.values()]))


def fraction_needed(runs: Runs) -> Needed:
    """The smallest fraction tried from which on all reach 99 % within the budget."""
    return needed({fraction: switched(run).reaches_threshold for fraction, run in runs.items()})


def _needs_less(mine: Runs, control: Runs) -> tuple[float, float]:
    certain, possible = fraction_needed(mine).is_less_than(fraction_needed(control))
    return float(certain), float(possible)


def _sooner(mine: Runs, control: Runs) -> tuple[float, float] | Missing:
    runs = [switched(side[max(side)]) for side in (mine, control)]
    return (
        speed_up(*runs)
        if any(run.reaches_threshold for run in runs)
        else Missing("neither reaches 99 %")
    )


CHOICE = "Of several strengths or kinds, each seed uses the one that was best for the other seeds."
GROKKED = RULES.describe("grokked").capitalize()
BETTER = Statistic(
    "increase of the best validation accuracy",
    f"The highest at any evaluation within the budget, mean over the fractions of the data. {CHOICE}",
    lambda mine, control: _mean_best(mine) - _mean_best(control),
    range=(-1.0, 1.0),
    says=points("of accuracy"),
    takes_failed=True,
)
LESS_DATA = Statistic(
    "share of seeds in which it needs a smaller fraction of the data",
    f"{GROKKED} within the budget; needed: the smallest fraction tried from which on all reach it. A "
    "seed in which both lie between the same fractions counts against in the lower bound and for in the "
    f"upper one. {CHOICE}",
    _needs_less,
    range=(0.0, 1.0),
    says=share("of the seeds"),
    takes_failed=True,
)
SOONER = Statistic(
    "log10(steps of the control to 99 % / its own), at the largest fraction",
    f"{GROKKED}, first time; a seed that never does is censored at its last step. {CHOICE}",
    _sooner,
    says=times("sooner", "later"),
    takes_failed=True,
)
RULES_OF = {"better": Exceeds(0.05), "less-data": Above(0.5), "sooner": Exceeds(0.1)}
STATISTICS = {"better": BETTER, "less-data": LESS_DATA, "sooner": SOONER}


@dataclass(frozen=True)
class Comparison:
    """Interventions of which the best is claimed to beat the best of some others."""

    name: str
    claim: str
    mine: tuple[str, ...]
    control: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """The interventions of both sides."""
        return (*self.mine, *self.control)

    def within(self, budget: Budget) -> Comparison:
        """Of the interventions of a budget, where a side has any of them."""
        sides = (
            tuple(i for i in side if i in tried(budget)) or side for side in (self.mine, self.control)
        )
        return Comparison(self.name, self.claim, *sides)

    def chosen(self, table: Table, missing: Counter[str]) -> Iterator[tuple[int, dict[str, Runs]]]:
        """Seed by seed the best for the other seeds of either side, mine first, and their runs.

        A seed counts where every intervention has it at every fraction trained on; `missing` counts the
        others. A fraction at which no run was trained is left out.
        """
        found = _by_seed(table, self.all, missing)
        scores = {i: {seed: _mean_best(runs[i]) for seed, runs in found.items()} for i in self.all}
        best = [held_out({i: scores[i] for i in side}, max) for side in (self.mine, self.control)]
        for seed, runs in found.items():
            if all(seed in side for side in best):
                yield seed, {side[seed]: runs[side[seed]] for side in best}
            else:
                missing["no other seed from which to choose the best"] += 1

    def measured(self, table: Table, endpoint: Endpoint) -> Measured:
        """An endpoint's statistic of each seed."""
        missing: Counter[str] = Counter()
        values: dict[int, Value] = {}
        for seed, sides in self.chosen(table, missing):
            value = endpoint.statistic.of(*sides.values())
            if isinstance(value, Missing):
                missing[value.why] += 1
            else:
                values[seed] = value
        found = list(values.values())
        if endpoint.statistic is LESS_DATA:
            certain, possible = np.reshape(found, (-1, 2)).T == 1
            return Measured(censored_proportion(certain, possible), values, missing=missing)
        return Measured(aggregate(found), values, missing=missing)

    def note(self, table: Table) -> str:
        """What was compared, and what shuffled labels came to under it."""
        both = [list(sides) for _, sides in self.chosen(table, Counter())]
        sides = [Counter(names) for names in zip(*both, strict=True)]
        told = " against ".join(", ".join(f"{i} ({n})" for i, n in sorted(s.items())) for s in sides)
        return " ".join(filter(None, (told and f"Compared, by seeds: {told}.", *self._leaks(table))))

    def _leaks(self, table: Table) -> Iterator[str]:
        last = FRACTIONS[table.budget][-1]
        for each in SHUFFLED[table.budget]:
            if each in self.mine and (runs := table.of(shuffled_arm(each, last))):
                ends = [float(run.curves["val_accuracy"].dropna("step")[-1]) for run in runs]
                leaks = sum(end > _by_chance(run) for end, run in zip(ends, runs, strict=True))
                yield (
                    f"With shuffled labels, {each} ends at {np.mean(ends):.3f} validation accuracy, "
                    f"{leaks} of {len(runs)} above the level that guessing exceeds once in 1,000."
                )


def _by_seed(table: Table, tried: tuple[str, ...], missing: Counter[str]) -> dict[int, dict[str, Runs]]:
    trained = [f for f in FRACTIONS[table.budget] if any(arm_of(i, f) in table.arms for i in tried)]
    arms = {i: {f: arm_of(i, f) for f in trained} for i in tried}
    names = [name for by_fraction in arms.values() for name in by_fraction.values()]
    seeds = {seed for by in (table.runs, table.absent) for name in names for seed in by.get(name, ())}
    found: dict[int, dict[str, Runs]] = {}
    for seed in sorted(seeds):
        if lacking := [name for name in names if seed not in table.runs.get(name, {})]:
            missing[table.absent.get(lacking[0], {}).get(seed, NOT_THERE)] += 1
        else:
            found[seed] = {i: {f: table.runs[n][seed] for f, n in of.items()} for i, of in arms.items()}
    return found


def _by_chance(run: Run) -> float:
    """The validation accuracy that guessing stays below, but for one in a thousand."""
    data = run.spec.data()
    n_val = len(data.labels) - data.n_train
    return float(scipy.stats.binom.ppf(0.999, n_val, 1 / run.spec.task.n_labels)) / n_val


COMPARISONS = (
    Comparison("noise", "P7", NOISE, (FULL_BATCH,)),
    Comparison("mini-batches", "P7", BATCHES, (FULL_BATCH,)),
    *(Comparison(noise, "P7", strengths, (PLAIN,)) for noise, strengths in NOISES.items()),
    Comparison("decay", "P7", DECAY, (PLAIN,)),
    Comparison("decay-to-init", "P7", (TO_INIT,), (PLAIN,)),
    Comparison("orthogonal-gradient", "P7", ("orthogonal gradient",), (PLAIN,)),
    Comparison("decay-over-rivals", "P8", DECAY, RIVALS),
    Comparison("decay-over-init", "P8", ("decay 1",), (TO_INIT,)),
)
PRIMARY = ("better-noise", "better-decay-over-rivals")


@cache
def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Accuracy, data and steps of each comparison; an intervention is all its arms, over fractions."""
    return tuple(
        _endpoint(budget, comparison, kind) for comparison in COMPARISONS for kind in STATISTICS
    )


def _endpoint(budget: Budget, of: Comparison, kind: str) -> Endpoint:
    there, name = of.within(budget), f"{kind}-{of.name}"
    waiting = waits_for(budget) if name in PRIMARY else ""
    return Endpoint(
        name,
        of.claim,
        STATISTICS[kind],
        _best_of(there.mine),
        RULES_OF[kind],
        control=_best_of(there.control),
        is_primary=name in PRIMARY,
        waits_for=waiting if set(there.all) <= set(tried(budget)) else NOT_HERE,
        measured=there.measured,
        note=there.note if kind == "better" else None,
    )


def _best_of(tried: tuple[str, ...]) -> str:
    return tried[0] if len(tried) == 1 else f"the best of {', '.join(tried)}"


PANELS: Mapping[str, tuple[str, ...]] = {
    "stochasticity": (FULL_BATCH, "batches of 32", *NOISES["gradient-noise"], *NOISES["weight-noise"]),
    "regularisation": (*NOISES["dropout"], *DECAY, TO_INIT),
    "optimiser": OTHER,
}
"""Which arms are drawn together, each time beside plain Adam."""


FEWER_TO_MORE = Colours([(0.0, "#f1f1ee"), (1.0, "#86b8e8")], (0.0, 1.0))
OF_PAIRS = "fraction of the pairs trained on"
THERE = RULES.describe("grokked")


def figures(table: Table) -> Iterator[Figure]:
    """Accuracy by fraction, times, and who gets there."""
    runs = {
        (each, fraction): table.of(arm_of(each, fraction))
        for each in tried(table.budget)
        for fraction in FRACTIONS[table.budget]
        if table.has(arm_of(each, fraction))
    }
    if runs:
        points = pd.DataFrame([_point(*place, its) for place, its in runs.items()])
        counts = sorted({len(its) for its in runs.values()})
        seeds = f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds a point"
        yield _accuracy_figure(points, seeds)
        yield _steps_figure(runs, points, seeds)
        yield _map_figure(points, seeds)


def _point(arm: str, fraction: float, runs: Sequence[Run]) -> dict[str, object]:
    """An intervention at a fraction: the mean of its best accuracies, who gets to 99 %, and when."""
    watched = [switched(run) for run in runs]
    there = [each.reaches_threshold for each in watched]
    median = survival([each.remaining for each in watched], there).median
    best = columns_of(estimate([best_accuracy(run) for run in runs]).within(0.0, 1.0))
    steps = f" ({format_number(median, 2)})" if np.isfinite(median) else ""
    return {
        "arm": arm,
        "fraction": fraction,
        "trained_on": f"{fraction:.0%}",
        "seeds": len(runs),
        "best_val_accuracy": best["value"],
        "low": best["low"],
        "high": best["high"],
        "get_there": sum(there),
        "share": sum(there) / len(runs),
        "stay": sum(each.retains for each in watched),
        "median_steps": median,
        "text": f"{sum(there)}/{len(runs)}{steps}",
    }


def _accuracy_figure(points: pd.DataFrame, seeds: str) -> Figure:
    """Panels of arms, the plain one in each."""
    present = set(points["arm"])
    panels = {name: arms for name, arms in PANELS.items() if present & set(arms)} or {PLAIN: ()}
    drawn = [points[points["arm"].isin((PLAIN, *arms))].assign(panel=p) for p, arms in panels.items()]
    return chart(
        "fraction-accuracy",
        "Best validation accuracy within the budget, by fraction of the data",
        "Points: mean over seeds of the highest validation accuracy at any evaluation, with its 95 % "
        "interval (Student's t, corrected for skewness); arms of one fraction are side by side. "
        f"Grey in every panel: {PLAIN}. {seeds}.",
        pd.concat(drawn, ignore_index=True),
        Layer("intervals", "fraction", "best_val_accuracy", series="arm", tell=("seeds",)),
        x=Scale(OF_PAIRS, ticks={f: f"{f:.0%}" for f in sorted(set(points["fraction"]))}),
        y=Scale("best", limits=(-0.05, 1.08), ticks={0: "0", 0.5: "0.5", 1: "1"}),
        looks={PLAIN: Look(theme.NEUTRAL)},
    )


def _steps_figure(
    runs: Mapping[tuple[str, float], Sequence[Run]], points: pd.DataFrame, seeds: str
) -> Figure:
    """Steps to 99 % of every seed by arm, the largest fraction first; censored seeds are open."""
    rows = []
    for (arm, fraction), its in sorted(runs.items(), key=lambda item: -item[0][1]):
        for run in its:
            each, about = switched(run), {"run": run.id, "seed": run.spec.seeds.model}
            series = "one seed" if each.reaches_threshold else "not there"
            about |= {"arm": arm, "trained_on": f"{fraction:.0%}", "layer": "seed", "series": series}
            ends = {
                "steps": each.remaining,
                "is_censored": not each.reaches_threshold,
                "stays": each.retains,
            }
            rows.append(about | ends)
    known: Any = points[np.isfinite(points["median_steps"])]
    medians = known.rename(columns={"median_steps": "steps"})
    medians = medians[["arm", "trained_on", "steps", "get_there", "seeds"]]
    table = pd.concat(
        [pd.DataFrame(rows), medians.assign(layer="median", series="median")], ignore_index=True
    )
    table["arm"] = pd.Categorical(table["arm"], list(dict.fromkeys(points["arm"])), ordered=True)
    return chart(
        "fraction-steps",
        "How many steps validation takes to reach 99 %, by intervention",
        f"{THERE.capitalize()}, first time. Dots are seeds; ▷ seeds that had not "
        "reached it by their last step (censored, not dropped); the diamond is the Kaplan-Meier median, "
        "missing if half had not. The buttons choose the fraction of the pairs trained on. "
        f"{seeds}.",
        table,
        {
            "seed": Layer("dots", "steps", "arm", each="seed", tell=("seed", "stays")),
            "median": Layer("dots", "steps", "arm", tell=("get_there", "seeds")),
        },
        x=Scale("steps to 99 %", "log"),
        y=Scale(kind="rows"),
        choose="trained_on",
        looks={
            "one seed": Look(theme.SIDES["train"], opacity=0.6),
            "not there": Look(theme.NEUTRAL, symbol="triangle-right-open"),
            "median": Look(theme.STRATEGIES["top"], symbol="diamond", size=11),
        },
    )


def _map_figure(points: pd.DataFrame, seeds: str) -> Figure:
    return chart(
        "fraction-map",
        "Which interventions reach 99 % from which fraction of the data",
        f"In each cell, how many seeds reach {THERE} within the budget and, in brackets, the "
        f"Kaplan-Meier median of their steps, if half do. Full blue: all seeds. {seeds}.",
        points.sort_values("fraction", kind="stable"),
        Layer("cells", "trained_on", "arm", shade="share", label="text", tell=MAP_TELLS),
        x=Scale(OF_PAIRS, kind="rows"),
        y=Scale(kind="rows"),
        colours=FEWER_TO_MORE,
    )


MAP_TELLS = ("get_there", "stay", "seeds", "best_val_accuracy", "median_steps")


FLAT = "flat minima"

STUDY = Study(
    name="regularisers",
    question="Do noise and regularisation speed up generalisation, and weight decay most of all?",
    claims=(
        Claim(
            "P7",
            "Stochasticity and regularisation speed up generalisation: less data, fewer steps.",
        ),
        DECAY_IS_BEST,
    ),
    hypotheses={
        FREQUENCY: (
            "Whatever degrades circuits favours those that more examples restore: mini-batches, noise, "
            "dropout and decay all do better than training without. Decay to init degrades what was "
            "learned just as decay to zero does, so both do equally well."
        ),
        EFFICIENCY: (
            "Only a penalty on the size of weights favours the general circuit: decay does better than "
            "all others, including decay to init, and noise or smaller batches alone change nothing."
        ),
        FLAT: (
            "Noise on weights or activations penalises sharpness, unlike decay: weight noise and "
            "dropout of the right strength do as well as decay; smaller batches help too."
        ),
        COLLAPSE: (
            "In exact arithmetic plain training does not stall, so regularisation is not needed and the "
            "orthogonal gradient beats plain Adam."
        ),
    },
    predictions=tuple(
        Prediction(hypothesis, f"better-{name}", expects)
        for hypothesis, expected in {
            FREQUENCY: {
                ">": ("noise", "mini-batches", *NOISES, "decay"),
                "none": ("decay-over-init",),
            },
            EFFICIENCY: {
                ">": ("decay-over-rivals", "decay-over-init", "decay"),
                "none": ("noise", "mini-batches"),
            },
            FLAT: {
                ">": ("noise", "mini-batches", "weight-noise", "dropout"),
                "none": ("decay-over-rivals",),
            },
            COLLAPSE: {">": ("orthogonal-gradient",), "none": ("decay",)},
        }.items()
        for expects, names in expected.items()
        for name in names
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
