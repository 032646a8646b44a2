"""Do noise and regularisation speed generalisation, and decay the most? P7 and P8.

The post reads both off figure 2a of Power et al. 2022 (arXiv:2201.02177): the best validation accuracy
within a budget, by intervention and fraction of the data trained on. Here are its nine interventions,
some at two strengths, and Muon and the orthogonal gradient beside them. Whether decay is ahead because
it degrades shallow circuits more is another question: decay to init degrades them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from undergrowth.analysis import (
    Estimate,
    Needed,
    Switched,
    Verdict,
    censored_estimate,
    censored_proportion,
    estimate,
    log_rank,
    needed,
)
from undergrowth.analysis.events import DEFAULT_RULES
from undergrowth.analysis.switches import log_ratio
from undergrowth.measures import Curves
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.report.figure import Figure
from undergrowth.report.fractions import (
    Tried,
    best_accuracy_figure,
    fraction_map_figure,
    steps_figure,
)
from undergrowth.report.numbers import told
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.study import Answer, Budget, Claim, Study
from undergrowth.tasks import CommutationSafe, Group, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.noise import Noise
from undergrowth.training.optimisers import AdamW, Muon, OrthogonalGradient

RULES = DEFAULT_RULES
SEEDS: dict[Budget, int] = {"quick": 4, "standard": 10, "full": 10}
FRACTIONS: dict[Budget, tuple[float, ...]] = {
    "quick": (0.75, 0.85, 0.95),
    "standard": (0.65, 0.75, 0.85, 0.95),
    "full": (0.3, 0.5, 0.7, 0.9),
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

PAPER = SMALL.replace(
    task=Group(group="S5"),
    model=TransformerSpec(
        n_layers=2,
        layer_norm="post",
        mlp_bias=False,
        prompt="<eos> x o y =",
        pos_embed="sinusoidal",
        logits="vocabulary",
        init_mode="torch_linear",
    ),
    optimiser=AdamW(lr=1e-3, weight_decay=0.0),
    steps=100_000,
    measures=(Curves(schedule=Schedule(every=100, until=2_000, per_decade=40)),),
)
"""Power et al.'s network, task, rate and budget, on a split that does not leak."""

FULL_BATCH, PLAIN = "full batch", "Adam"


def interventions(base: RunSpec) -> Mapping[str, RunSpec]:
    """What is tried, each on its own, at the base's fraction; `PLAIN`: Adam, each batch half of it."""
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


FAMILIES: Mapping[str, tuple[str, ...]] = {
    "mini-batches": (PLAIN, "batches of 32"),
    "gradient noise": ("gradient noise 0.001",),
    "weight noise": ("weight noise 0.01", "weight noise 0.1"),
    "dropout": ("dropout 0.1", "dropout 0.3"),
    "decay": ("decay 0.3", "decay 1"),
    "decay to init": ("decay 1 to init",),
}
"""Stochasticity and regularisation: the strengths of each."""

OTHERS = (
    "batches of 32",
    *(arm for family in ("gradient noise", "weight noise", "dropout") for arm in FAMILIES[family]),
    "lr × 0.3",
    "lr × 3",
    "Muon",
    "orthogonal gradient",
)
"""What decay has to beat: all that neither decays nor is the plain arm."""

QUICK = (FULL_BATCH, PLAIN, "weight noise 0.1", "dropout 0.1", "decay 1", "decay 1 to init")
CONTROLS = ("weight noise 0.1", "decay 1")
"""Whose runs are made with shuffled labels too, at the largest fraction: they must stay at chance."""


def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Each intervention at each fraction, then shuffled labels: of `seeds`, half and at least 2."""
    n = SEEDS[budget] if seeds is None else seeds
    n_control = max(2, n // 2)
    return tuple(
        spec.seeded(seed)
        for spec, kind in _kinds(budget).items()
        if budget != "quick" or kind.arm in QUICK
        for seed in range(n_control if kind.is_shuffled else n)
    )


@dataclass(frozen=True)
class Kind:
    """What a run is for."""

    arm: str
    fraction: float
    is_shuffled: bool = False


@lru_cache
def _kinds(budget: Budget) -> Mapping[RunSpec, Kind]:
    """What each spec of a budget is for; their seeds are 0. Labels that are true come first."""
    base, fractions = (PAPER if budget == "full" else SMALL), FRACTIONS[budget]
    at = {f: interventions(base.replace(split=CommutationSafe(frac_train=f))) for f in fractions}
    true = {spec: Kind(arm, f) for f, arms in at.items() for arm, spec in arms.items()}
    last = fractions[-1]
    shuffled = {at[last][arm].replace(labels="shuffled"): Kind(arm, last, True) for arm in CONTROLS}
    return {**true, **shuffled}


@dataclass(frozen=True, eq=False)
class Found:
    """The stored runs.

    tried: by arm and seeds, at each fraction; shuffled: by arm, those with shuffled labels.
    """

    tried: Mapping[str, Mapping[object, Mapping[float, Switched]]]
    shuffled: Mapping[str, Sequence[Run]]

    @property
    def fractions(self) -> tuple[float, ...]:
        """All fractions that there are runs of, ascending."""
        return tuple(sorted({f for arm in self.tried.values() for runs in arm.values() for f in runs}))

    def present(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Those of some arms that there are runs of."""
        return tuple(arm for arm in arms if arm in self.tried)


def found_in(runs: Sequence[Run]) -> Found:
    """The runs as this study's; those of no arm are left out."""
    kinds = {spec.id: kind for budget in SEEDS for spec, kind in _kinds(budget).items()}
    tried: dict[str, dict[object, dict[float, Switched]]] = {}
    shuffled: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.id):
        kind = kinds.get(run.spec.without_seeds().id)
        if kind is None or "val_accuracy" not in run.names:
            continue
        if kind.is_shuffled:
            shuffled.setdefault(kind.arm, []).append(run)
        else:
            watched = Switched(run.curves, 0, run.spec.steps, run.status == "done", RULES)
            of_arm = tried.setdefault(kind.arm, {})
            of_arm.setdefault(run.spec.seeds, {})[kind.fraction] = watched
    order = list(interventions(SMALL))
    return Found({arm: tried[arm] for arm in order if arm in tried}, shuffled)


def best_accuracy(run: Switched) -> float:
    """The highest validation accuracy within the budget, as in Power et al.'s figure."""
    return float(run.curves["val_accuracy"].max())


def fraction_needed(runs: Mapping[float, Switched]) -> Needed:
    """Of one seed, the least fraction tried from which on all get to 99 % within the budget."""
    return needed({fraction: run.gets_there for fraction, run in runs.items()})


@dataclass(frozen=True, eq=False)
class Pair:
    """Two interventions on one seed, at the fractions that both were tried at."""

    mine: Mapping[float, Switched]
    control: Mapping[float, Switched]
    names: tuple[str, str]

    @property
    def gain(self) -> float:
        """How much higher the best validation accuracy is, mean over fractions."""
        gains = [best_accuracy(run) - best_accuracy(self.control[f]) for f, run in self.mine.items()]
        return float(np.mean(gains))

    @property
    def needs_less(self) -> tuple[bool, bool]:
        """Whether it certainly, and whether it possibly, needs less data than the control."""
        return fraction_needed(self.mine).is_less_than(fraction_needed(self.control))

    @property
    def saved(self) -> tuple[float, float]:
        """Bounds of the fraction of the data that the control needs beyond it."""
        mine, control = fraction_needed(self.mine), fraction_needed(self.control)
        return control.low - mine.high, control.high - mine.low

    def decades(self, fraction: float) -> tuple[float, float]:
        """Bounds of log10(the control's steps to 99 % / its own) at a fraction."""
        mine, control = self.mine[fraction], self.control[fraction]
        return log_ratio(
            (mine.remaining, mine.gets_there), (control.remaining, control.gets_there), UNKNOWN
        )


UNKNOWN = 0.5
"""The decades that an open side of a ratio is taken to have where it is not known to be more."""


def pairs(found: Found, mine: Sequence[str], control: Sequence[str]) -> list[Pair]:
    """Seed by seed two interventions; of several, the one that was best for the other seeds.

    To take the best and to judge it on the same seeds would favour it.
    """
    mine, control = found.present(mine), found.present(control)
    if not mine or not control:
        return []
    both = [found.tried[arm] for arm in (*mine, *control)]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in both)), key=str)
    made = []
    for seed in seeds:
        names = tuple(_best_for_others(found, arms, seed, seeds) for arms in (mine, control))
        if None in names:
            continue
        a, b = (found.tried[name][seed] for name in names if name)
        shared = sorted(set(a) & set(b))
        if shared:
            by_fraction = ({f: runs[f] for f in shared} for runs in (a, b))
            made.append(Pair(*by_fraction, names=(str(names[0]), str(names[1]))))
    return made


def _best_for_others(
    found: Found, arms: Sequence[str], seed: object, seeds: Sequence[object]
) -> str | None:
    """Which arm has the highest best accuracy over the other seeds and the fractions of all."""
    if len(arms) == 1:
        return arms[0]
    others = [other for other in seeds if other != seed]
    tried = [found.tried[arm][other] for arm in arms for other in others]
    shared = set.intersection(*map(set, tried)) if tried else set()
    if not shared:
        return None
    return max(
        arms,
        key=lambda arm: float(
            np.mean([best_accuracy(found.tried[arm][other][f]) for other in others for f in shared])
        ),
    )


@dataclass(frozen=True)
class Comparison:
    """Two interventions, or two sets of them, of which one is claimed to be ahead."""

    claim: str
    what: str
    than: str
    mine: tuple[str, ...]
    control: tuple[str, ...]


COMPARISONS = (
    Comparison("P7", "mini-batches", "the full batch", FAMILIES["mini-batches"], (FULL_BATCH,)),
    *(
        Comparison("P7", family, "plain Adam", arms, (PLAIN,))
        for family, arms in FAMILIES.items()
        if PLAIN not in arms
    ),
    Comparison("P8", "decay", "the best of the others", FAMILIES["decay"], OTHERS),
    Comparison("P8", "decay 1", "decay 1 to init", ("decay 1",), ("decay 1 to init",)),
)

GROKKED = RULES.describe("grokked").capitalize()
CHOICE = (
    "Of several strengths or kinds, for each seed the one with the best validation accuracy on the "
    "other seeds."
)


def verdicts(found: Found) -> tuple[Verdict, ...]:
    """On P7 and P8: data needed, best accuracy and steps of each comparison; missing ones once."""
    return tuple(
        verdict(found, comparison)
        for comparison in COMPARISONS
        for verdict in (_data_needed, _accuracy, _speed)
        if verdict is _data_needed or pairs(found, comparison.mine, comparison.control)
    )


def _verdict(
    found: Found, of: Comparison, what: str, estimate: Estimate, threshold: float, rule: str, note: str
) -> Verdict:
    missing = [arm for arms in (of.mine, of.control) if not found.present(arms) for arm in arms]
    absent = f"No runs of {', '.join(missing)}. " if missing else ""
    few = "" if estimate.n > 1 else f" An interval needs 2 seeds, and there are {estimate.n}."
    return Verdict(
        claim=of.claim,
        study="regularisers",
        statistic=f"{of.what} against {of.than}: {what}",
        estimate=estimate,
        threshold=threshold,
        rule=f"{rule} {CHOICE}",
        note=" ".join(f"{absent}{note}{few}".split()),
    )


def _data_needed(found: Found, of: Comparison) -> Verdict:
    both = pairs(found, of.mine, of.control)
    certain, possible = ([pair.needs_less[i] for pair in both] for i in (0, 1))
    return _verdict(
        found,
        of,
        "share of seeds in which it needs a smaller fraction of the data",
        censored_proportion(certain, possible),
        0.5,
        f"{GROKKED} within the budget; needed is the least fraction tried from which on all get there, "
        "so it is known up to the next smaller one, and 1 at most. Exact interval; a seed in which both "
        "lie between the same fractions counts against in the lower bound and for in the upper one. "
        "Supported if it lies above ½; contradicted if below. It takes 6 seeds that all agree.",
        f"{_saved(both)} {_chosen(both)} {_by_fraction(found, of)} {_control_note(found, of.mine)}",
    )


def _accuracy(found: Found, of: Comparison) -> Verdict:
    both = pairs(found, of.mine, of.control)
    fractions = sorted({f for pair in both for f in pair.mine})
    return _verdict(
        found,
        of,
        "best validation accuracy within the budget, higher by",
        estimate([pair.gain for pair in both]),
        0.0,
        "Mean over fractions, seed by seed. Supported if the interval lies above 0; contradicted if "
        "below.",
        f"Fractions {', '.join(f'{f:g}' for f in fractions)}. {_memorised(both)}" if both else "",
    )


def _speed(found: Found, of: Comparison) -> Verdict:
    largest = found.fractions[-1] if found.fractions else float("nan")
    both = [pair for pair in pairs(found, of.mine, of.control) if largest in pair.mine]
    bounds = [pair.decades(largest) for pair in both]
    return _verdict(
        found,
        of,
        f"log10(steps of {of.than} to 99 % / its own), at a fraction of {largest:g}",
        censored_estimate([low for low, _ in bounds], [high for _, high in bounds]),
        0.0,
        f"{GROKKED}, first time. A seed that does not get there is at most as fast as if it had at its "
        f"last step; the open side of such an interval is taken to be {UNKNOWN:g} decades. Supported if "
        "the interval lies above 0, faster; contradicted if below.",
        _times(both, largest),
    )


def _saved(both: Sequence[Pair]) -> str:
    if not both:
        return ""
    low, high = np.mean([pair.saved for pair in both], axis=0)
    jumbled = sum(
        not fraction_needed(runs).is_monotone for pair in both for runs in (pair.mine, pair.control)
    )
    told_so = (
        f" In {jumbled} of {2 * len(both)} cases a larger fraction failed after a smaller had sufficed."
        if jumbled
        else ""
    )
    return f"Fraction saved, mean over seeds: between {told(low)} and {told(high)}.{told_so}"


def _chosen(both: Sequence[Pair]) -> str:
    told_of = []
    for side in (0, 1):
        counts = Counter(pair.names[side] for pair in both)
        if len(counts) == 1:
            told_of.append(next(iter(counts)))
        elif counts:
            told_of.append(", ".join(f"{name} ({n})" for name, n in sorted(counts.items())))
    return f"Compared: {' against '.join(told_of)}." if told_of else ""


def _by_fraction(found: Found, of: Comparison) -> str:
    """How many seeds of each arm get to 99 %, by fraction."""
    parts = []
    for arm in dict.fromkeys(found.present((*of.mine, *of.control))):
        there: dict[float, list[bool]] = {}
        for runs in found.tried[arm].values():
            for fraction, run in runs.items():
                there.setdefault(fraction, []).append(run.gets_there)
        counts = ", ".join(f"{sum(got)} of {len(got)} at {f:g}" for f, got in sorted(there.items()))
        parts.append(f"{arm} {counts}")
    return f"At 99 %: {'; '.join(parts)}." if parts else ""


def _memorised(both: Sequence[Pair]) -> str:
    sides = ([run for pair in both for run in side(pair).values()] for side in (_mine, _control))
    mine, control = (f"{sum(map(_has_memorised, runs))} of {len(runs)}" for runs in sides)
    return f"Memorised: {mine} runs against {control}."


def _mine(pair: Pair) -> Mapping[float, Switched]:
    return pair.mine


def _control(pair: Pair) -> Mapping[float, Switched]:
    return pair.control


def _has_memorised(run: Switched) -> bool:
    return float(run.curves["train_accuracy"].max()) >= RULES.memorised


def _times(both: Sequence[Pair], fraction: float) -> str:
    if not both:
        return ""
    mine, control = ([side(pair)[fraction] for pair in both] for side in (_mine, _control))
    p = log_rank(
        [run.remaining for run in mine],
        [run.gets_there for run in mine],
        [run.remaining for run in control],
        [run.gets_there for run in control],
    )
    return f"{_there(mine)} against {_there(control)}; log-rank p = {p:.2g}."


def _there(runs: Sequence[Switched]) -> str:
    there, stay = sum(run.gets_there for run in runs), sum(run.stays for run in runs)
    return f"{there} of {len(runs)} get there, {stay} stay"


def _control_note(found: Found, arms: Sequence[str]) -> str:
    """What shuffled labels came to under some arms: those above chance at the end are leaks."""
    controls = [arm for arm in CONTROLS if arm in arms]
    runs = [run for arm in controls for run in found.shuffled.get(arm, ())]
    if not runs:
        return "No control runs." if controls else ""
    ends = [float(run.curves["val_accuracy"].dropna("step")[-1]) for run in runs]
    leaks = sum(end > _highest_by_chance(run) for end, run in zip(ends, runs, strict=True))
    return (
        f"Control: {len(runs)} with shuffled labels ({', '.join(controls)}) end at "
        f"{np.mean(ends):.3f} validation accuracy (highest {max(ends):.3f}), {leaks} above the "
        f"{LEAK_LEVEL:.1%} quantile of guessing."
    )


LEAK_LEVEL = 0.999


def _highest_by_chance(run: Run) -> float:
    """The validation accuracy that guessing stays below, but for one in a thousand."""
    data = run.spec.data()
    n_val = len(data.labels) - data.n_train
    return float(stats.binom.ppf(LEAK_LEVEL, n_val, 1 / run.spec.task.n_labels)) / n_val


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P7 and P8; accuracy by fraction, times, and who gets there."""
    found = found_in(runs)
    return Answer(verdicts(found), tuple(_figures(found)))


PANELS: Mapping[str, tuple[str, ...]] = {
    "stochasticity": (
        FULL_BATCH,
        "batches of 32",
        *FAMILIES["gradient noise"],
        *FAMILIES["weight noise"],
    ),
    "regularisation": (*FAMILIES["dropout"], *FAMILIES["decay"], *FAMILIES["decay to init"]),
    "optimiser": ("lr × 0.3", "lr × 3", "Muon", "orthogonal gradient"),
}
"""Which arms are drawn together, each time beside plain Adam."""


def _figures(found: Found) -> Iterator[Figure]:
    tried = [
        Tried(arm, fraction, tuple(runs[fraction] for runs in by_seed.values() if fraction in runs))
        for arm, by_seed in found.tried.items()
        for fraction in sorted({f for runs in by_seed.values() for f in runs})
    ]
    if not tried:
        return
    yield best_accuracy_figure(tried, PANELS, PLAIN)
    yield steps_figure(tried, RULES)
    yield fraction_map_figure(tried, RULES)


STUDY = Study(
    name="regularisers",
    question="Do noise and regularisation speed generalisation, and does weight decay do most?",
    claims=(
        Claim(
            "P7",
            "Stochasticity and regularisation speed generalisation: they need less data, fewer steps.",
        ),
        Claim(
            "P8",
            "Weight decay is the most effective of them, because it degrades shallow circuits more.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Whatever degrades circuits lets those win that more examples restore: mini-batches, noise, "
            "dropout and decay all need less data than plain training. Decay to init degrades what was "
            "learned as decay to zero does, so both need equally much."
        ),
        "circuit efficiency": (
            "Only a price on the size of weights favours the general circuit: decay needs less data "
            "than all others, and noise or smaller batches by themselves change nothing."
        ),
        "flat minima": (
            "Noise on weights or activations prices sharpness, as decay does not: weight noise and "
            "dropout of the right strength need as little data as decay; smaller batches help too."
        ),
        "softmax collapse": (
            "In exact arithmetic plain training does not stop, so regularisation is not needed and the "
            "orthogonal gradient is ahead of plain Adam."
        ),
    },
    runs=runs,
    answer=answer,
)
