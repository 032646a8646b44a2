"""Is the wait from memorised to grokked memoryless, or does a clock run? P10, against stumbling.

Many forks of one checkpoint that has memorised go on with the same weights and other batches. If
generalisation has to be stumbled upon, each has the same small chance at every step, and their waits are
exponential: as spread out as they are long. If the general part grows all along, hidden by what is
memorised, all arrive together, and the order of the batches hardly matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from undergrowth.analysis import Exceeds, Value, events
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY, LAZY, TWO_CIRCUITS
from undergrowth.analysis.intervals import Estimate, P
from undergrowth.analysis.predictions import Prediction
from undergrowth.analysis.waiting import LEAST, estimated_variation, variation_between
from undergrowth.measures import Curves
from undergrowth.models import MLPSpec, TwoTokenMLPSpec
from undergrowth.report.estimates import by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate
from undergrowth.studies.shared_claims import BOTH_COEXIST
from undergrowth.studies.statistic import Missing, Statistic, unit
from undergrowth.studies.study import Study
from undergrowth.studies.table import Table
from undergrowth.tasks import CommutationSafe, LeakyRandom, Modular, SparseParity
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.interventions import WhenCrosses
from undergrowth.training.optimisers import SGD, AdamW
from undergrowth.training.stopping import Stop

ADDITION, PARITY, WHOLE, SHUFFLED = "addition", "parity", "full batch", "shuffled labels"
MEMORISED = WhenCrosses(reading="train_accuracy", level=RULES.memorised)

SMALL_ADDITION = RunSpec(
    task=Modular(operation="x+y", p=23),
    split=CommutationSafe(frac_train=0.75),
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=64, act_fn="square"),
    optimiser=AdamW(lr=2e-3, weight_decay=1.0),
    batch=MiniBatch(batch_size=16),
    steps=4_000,
    measures=(Curves(schedule=Schedule(every=10, until=4_000)),),
    stop=(Stop(level=RULES.grokked, evaluations=1),),
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
SMALL_PARITY = SMALL_ADDITION.replace(
    task=SparseParity(n_bits=24, k=3, n_examples=1_200),
    split=LeakyRandom(frac_train=0.4),
    model=MLPSpec(d_mlp=64, n_hidden=1),
    optimiser=SGD(lr=0.1, weight_decay=0.01),
    batch=MiniBatch(batch_size=32),
    steps=12_000,
    measures=(Curves(schedule=Schedule(every=20, until=12_000)),),
)
LARGE_ADDITION = SMALL_ADDITION.replace(
    task=Modular(operation="x+y", p=59),
    model=TwoTokenMLPSpec(d_embed=64, d_mlp=128, act_fn="square"),
    batch=MiniBatch(batch_size=256),
    steps=12_000,
    measures=(Curves(schedule=Schedule(every=20, until=12_000)),),
)
TRUNKS: Mapping[Budget, Mapping[str, RunSpec]] = {
    "quick": {ADDITION: SMALL_ADDITION},
    "standard": {ADDITION: SMALL_ADDITION, PARITY: SMALL_PARITY},
    "full": {ADDITION: LARGE_ADDITION, PARITY: SMALL_PARITY},
}
ORDERS: Mapping[Budget, int] = {"quick": 6, "standard": 12, "full": 24}
"""Forks of each checkpoint."""
CONTROL_ORDERS = LEAST
FIRST_ORDER = 1_000
"""Added to the noise seed of the first fork's batches: beyond all seeds of trunks."""


@dataclass(frozen=True)
class Reordered:
    """A fork of a trunk where it has memorised, with the batches of an order; 0: the trunk itself."""

    trunk: str
    order: int = 0

    @property
    def name(self) -> str:
        """The name of its arm."""
        return f"{self.trunk}, order {self.order}" if self.order else self.trunk

    def arm(self, budget: Budget) -> Arm:
        """Its runs."""
        base = TRUNKS[budget].get(self.trunk, TRUNKS[budget][ADDITION])
        if self.trunk == WHOLE:
            base = base.replace(batch=FullBatch())
        if self.trunk == SHUFFLED:
            base = base.replace(labels="shuffled")
        few = 2 if self.trunk in (WHOLE, SHUFFLED) and budget == "quick" else None
        role = "control" if few or self.trunk in (WHOLE, SHUFFLED) else "treatment"
        trunk = Arm(self.trunk, base, role, seeds=few)
        if not self.order:
            return trunk
        order = FIRST_ORDER * self.order
        return Arm(self.name, base.forked(MEMORISED), role, trunk, few, order)


def orders(trunk: str, budget: Budget) -> tuple[Reordered, ...]:
    """The forks of a trunk."""
    n = CONTROL_ORDERS if trunk == WHOLE else ORDERS[budget]
    return tuple(Reordered(trunk, order) for order in range(1, n + 1))


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Each trunk and its forks; full batches, which no order changes; shuffled labels."""
    trunks = (*TRUNKS[budget], WHOLE)
    forked = tuple(each.arm(budget) for t in trunks for each in (Reordered(t), *orders(t, budget)))
    return *forked, Reordered(SHUFFLED).arm(budget)


def wait(run: Run) -> tuple[float, bool] | Missing:
    """Steps from memorised to grokked, the middle of two evaluations; or, and True, how long it had
    lasted by the end.
    """
    if run.status == "failed":
        return Missing("diverged")
    found = events(run.curves)
    memorised, grokked = found["memorised"], found["grokked"]
    if memorised.first is None:
        return Missing("never memorised")
    if grokked.first is None:
        return float(grokked.last - memorised.first), True
    middle = (grokked.first + (grokked.before or 0)) / 2
    return max(0.0, middle - memorised.first), False


def waits(
    found: Iterable[tuple[float, bool] | Missing], missing: Counter[str]
) -> tuple[list[float], list[float]]:
    """Those that were over, and how long the others had lasted."""
    over: list[float] = []
    still: list[float] = []
    for each in found:
        if isinstance(each, Missing):
            missing[each.why] += 1
        else:
            (still if each[1] else over).append(each[0])
    return over, still


def of_orders(table: Table, endpoint: Endpoint) -> Measured:
    """Of each seed 1 minus the coefficient of variation of the forks of its checkpoint."""
    missing: Counter[str] = Counter()
    forks = orders(endpoint.arm, table.budget)
    values = {}
    for seed in sorted({s for each in forks for s in table.runs.get(each.name, {})}):
        its = [table.runs[f.name][seed] for f in forks if seed in table.runs.get(f.name, {})]
        found = variation_between(*waits(map(wait, its), Counter()))
        if found is None:
            missing[f"fewer than {LEAST} forks, or none that grokked"] += 1
            continue
        low, high = found
        values[seed] = 1 - low if low == high else (1 - high, 1 - low)
    return Measured(aggregate(list(values.values())), values, missing=missing)


def of_seeds(table: Table, endpoint: Endpoint) -> Measured:
    """1 minus the coefficient of variation of the trunks, one a seed."""
    missing: Counter[str] = Counter(table.absent.get(endpoint.arm, {}).values())
    runs = table.runs.get(endpoint.arm, {})
    each = {seed: wait(run) for seed, run in sorted(runs.items())}
    found = _from_one(estimated_variation(*waits(each.values(), missing)))
    bounds: dict[int, Value] = {
        seed: (steps[0], np.inf if steps[1] else steps[0])
        for seed, steps in each.items()
        if not isinstance(steps, Missing)
    }
    return Measured(found, by_arm={endpoint.arm: bounds}, missing=missing)


def _from_one(found: Estimate) -> Estimate:
    its = found.p
    p: P | None = its and (lambda threshold: its(1 - threshold))
    return replace(found, effect=1 - found.effect, low=1 - found.high, high=1 - found.low, p=p)


HOW = (
    f"Memorised: {RULES.describe('memorised')}; grokked: {RULES.describe('grokked')}. Standard "
    "deviation / mean of the waits, its bias taken away by the jackknife: 1 where the wait has no "
    "memory, 0 where all are equal. A wait that was not over at the end may be any that is longer."
)


def statistic(of: str, how: str) -> Statistic:
    """1 minus a coefficient of variation."""
    return Statistic(
        f"1 - coefficient of variation of the steps from memorised to grokked, {of}",
        f"{HOW} {how}",
        lambda run: Missing("is of many runs"),
        range=(-np.inf, 1.0),
        says=unit("short of memoryless (1: a clock)"),
    )


OF_ORDERS = statistic(
    "of forks of one checkpoint with other batches", "Of each seed's checkpoint, mean over seeds."
)
OF_SEEDS = statistic("of fresh seeds", "Weights, split and batches are all new.")
RULE = Exceeds(0.5)
"""A coefficient below a half is a clock's; one between a half and one and a half is memoryless."""
NOT_HERE = "a larger budget, which trains these arms"


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Of each task over orders and over seeds, and over orders that change nothing."""
    there = TRUNKS[budget]
    return tuple(
        Endpoint(
            f"{task.replace(' ', '-')}-{over}",
            "P10",
            OF_ORDERS if over == "orders" else OF_SEEDS,
            task,
            RULE,
            measured=of_orders if over == "orders" else of_seeds,
            waits_for="" if task in there or task == WHOLE else NOT_HERE,
            note=shuffled_labels if task == ADDITION else None,
        )
        for task, over in (
            (ADDITION, "orders"),
            (ADDITION, "seeds"),
            (PARITY, "orders"),
            (PARITY, "seeds"),
            (WHOLE, "orders"),
        )
    )


def shuffled_labels(table: Table) -> str:
    """How many of the control's waits are ever over."""
    over, still = waits(map(wait, table.of(SHUFFLED)), Counter())
    n = len(over) + len(still)
    return f"With shuffled labels {len(over)} of {n} that memorised grok." if n else ""


def figures(table: Table) -> Iterator[Figure]:
    """The waits of every fork about their trunk's, and of the trunks."""
    panels: dict[str, dict[str, list[tuple[Run, float]]]] = {}
    for trunk in (*TRUNKS[table.budget], WHOLE):
        rows: dict[str, list[tuple[Run, float]]] = {}
        for seed in sorted(table.runs.get(trunk, {})):
            forks = [
                table.runs[f.name][seed]
                for f in orders(trunk, table.budget)
                if seed in table.runs.get(f.name, {})
            ]
            rows[f"checkpoint of seed {seed}"] = [(run, _over(run)) for run in forks]
        rows["fresh seeds"] = [(run, _over(run)) for run in table.of(trunk)]
        panels[f"steps from memorised to grokked: {trunk}"] = rows
    if table.among(table.arms):
        yield by_arm_figure(
            "clock",
            "Waits from memorised to grokked: other batches from one checkpoint, and fresh seeds",
            panels,
            "A dot of a checkpoint is a fork of it. Waits that were not over are left out.",
        )


def _over(run: Run) -> float:
    found = wait(run)
    return float("nan") if isinstance(found, Missing) or found[1] else found[0]


CLOCKS = {
    FREQUENCY: "The general circuit is reinforced at every step from the first on: a clock runs.",
    EFFICIENCY: "Norm passes from look-ups to the general circuit as decay has it: a clock runs.",
    LAZY: "Features form as the norm comes down or the kernel moves: a clock runs.",
    COLLAPSE: "The margin that decides whether gradients are rounded away grows steadily: a clock runs.",
}

STUDY = Study(
    name="clock",
    question="Is the wait from memorised to grokked memoryless, or does a clock run?",
    claims=(BOTH_COEXIST,),
    hypotheses={
        **CLOCKS,
        TWO_CIRCUITS: (
            "Gradients are tiny once the network has memorised, and the general circuit is stumbled "
            "upon: the wait has no memory, also from one checkpoint."
        ),
    },
    predictions=(
        *(Prediction(name, "addition-orders", ">") for name in CLOCKS),
        Prediction(TWO_CIRCUITS, "addition-orders", "none"),
        *(Prediction(name, "parity-orders", ">") for name in (FREQUENCY, EFFICIENCY)),
        Prediction(TWO_CIRCUITS, "parity-orders", "none"),
        Prediction(TWO_CIRCUITS, "addition-seeds", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
