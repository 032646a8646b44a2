"""Does a network that has grokked stay general on a few of its examples? P18, against efficiency.

On few examples D' of its training side a general circuit is still reinforced by each of them, and a
look-up by one. So if what decides is how many examples reinforce a circuit, a network that has grokked
stays so. If what decides is how much norm a circuit's margin costs, look-ups of few examples are cheaper
than the general circuit: below a certain D' it is lost, and without decay, to which norm is no cost, it
is not (Varma et al. 2023, arXiv:2309.02390, who call the loss ungrokking).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from undergrowth.analysis import Exceeds, estimate
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY, SIMPLICITY
from undergrowth.analysis.means import columns_of
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Reach
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure, chart
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.store.reader import together
from undergrowth.studies import complexity
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.shared_claims import GENERAL_REPLACES
from undergrowth.studies.statistic import Missing, Statistic, beside, lost, points, times
from undergrowth.studies.study import Study
from undergrowth.studies.table import Table
from undergrowth.studies.threshold import moved
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.interventions import (
    AfterFork,
    AnyTrigger,
    AtStep,
    Intervention,
    NoOp,
    SetData,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import AdamW

GROKKED = WhenCrosses(reading="val_accuracy", level=RULES.grokked)
ALL = 1.0
SMALLEST, HELD = 0.1, 0.6
"""Shares of the training side at which endpoints look: few, and enough to stay general with decay."""
SHARES: Mapping[Budget, Sequence[float]] = {
    "quick": (SMALLEST, 0.3, HELD),
    "standard": (0.03, SMALLEST, 0.2, 0.3, 0.4, HELD),
    "full": (0.03, SMALLEST, 0.2, 0.3, 0.4, HELD),
}
WEAK, USUAL, STRONG = 0.3, 1.0, 3.0
DECAYS: Mapping[Budget, Sequence[float]] = {
    "quick": (0.0, USUAL),
    "standard": (0.0, WEAK, USUAL, STRONG),
    "full": (0.0, WEAK, USUAL, STRONG),
}

SELDOM = Schedule(every=1_000_000, until=1_000_000, per_decade=1)
REACH = Reach(preconditioned=False, schedule=SELDOM)
"""Of the margins of all examples of the training side, at the end of each run."""
SMALL = complexity.SMALL.replace(
    task=Modular(operation="x+y", p=31),
    split=CommutationSafe(frac_train=0.75),
    steps=2_500,
    measures=(*complexity.SMALL.measures, REACH),
    checkpoints=SELDOM,
)
"""Memorised near step 80 and grokked near 400. Looked at: one seed up to step 3,000, with shares of 0.03
to 0.6 at decay 0 and 1."""
LARGE = complexity.LARGE.replace(
    task=Modular(p=113),
    split=CommutationSafe(frac_train=0.4),
    measures=(*complexity.LARGE.measures, REACH),
    checkpoints=SELDOM,
)


@dataclass(frozen=True)
class Continued:
    """A network on a share of its training side at a decay: one that has grokked, or from scratch."""

    keep: float
    decay: float
    is_from_scratch: bool = False

    @property
    def name(self) -> str:
        """The name of its arm."""
        whence = "from scratch" if self.is_from_scratch else "grokked"
        return f"{whence}, {self.keep:.0%} of the examples, decay {self.decay:g}"

    def arm(self, budget: Budget) -> Arm:
        """Its runs."""
        whole = trunk(budget)
        role = "control" if self.keep == ALL or self.is_from_scratch else "treatment"
        if self.is_from_scratch:
            assert isinstance(whole.spec.optimiser, AdamW)
            fields = {**dict(whole.spec.optimiser), "weight_decay": self.decay}
            spec = whole.spec.replace(optimiser=fields, interventions=self._on(AtStep(step=0)))
            return Arm(self.name, spec, role)
        is_as_before = self.keep == ALL and self.decay == USUAL
        set_decay = Intervention(trigger=AfterFork(), action=SetWeightDecay(weight_decay=self.decay))
        actions = (*self._on(AfterFork()), *(() if is_as_before else (set_decay,)))
        no_op = (Intervention(trigger=AfterFork(), action=NoOp()),)
        return Arm(self.name, whole.spec.forked(GROKKED, *(actions or no_op)), role, whole)

    def _on(self, trigger: AnyTrigger) -> tuple[Intervention, ...]:
        if self.keep == ALL:
            return ()
        return (Intervention(trigger=trigger, action=SetData(keep=self.keep)),)


def trunk(budget: Budget) -> Arm:
    """All examples, the usual decay."""
    return Arm("all examples", LARGE if budget == "full" else SMALL, "trunk")


def continued(budget: Budget) -> tuple[Continued, ...]:
    """Every share at every decay, all examples at each as its control; from scratch at the ends."""
    forks = tuple(Continued(keep, decay) for decay in DECAYS[budget] for keep in (*SHARES[budget], ALL))
    scratch = tuple(
        Continued(keep, decay, is_from_scratch=True)
        for decay in (0.0, USUAL)
        for keep in (HELD,) * (budget == "quick") or SHARES[budget]
    )
    return *forks, *scratch


def arms(budget: Budget) -> tuple[Arm, ...]:
    """The trunk, the forks that leave it where it groks, and the same examples from scratch."""
    return trunk(budget), *(each.arm(budget) for each in continued(budget))


LAST = 0.1
"""The share of a run's steps over which its last accuracy is taken, so that no spike decides."""


def at_the_end(run: Run) -> float | Missing:
    """Validation accuracy: the mean over the last tenth of the steps."""
    accuracy = run["val_accuracy"].sel(step=slice((1 - LAST) * run.spec.steps, None)).dropna("step")
    return float(accuracy.mean()) if accuracy.size else Missing("stopped too early")


BESIDE = beside(at_the_end)
ENDS = (
    "The mean over the last tenth of the steps, minus the control's of the same seed. Forked where "
    f"{RULES.describe('grokked')}; the share is of the training side, drawn at random."
)
KEPT = Statistic(
    "validation accuracy at the end, minus that with all examples at the same decay",
    ENDS,
    BESIDE,
    range=(-1.0, 1.0),
    says=points("of accuracy"),
)
BY_DECAY = Statistic(
    "validation accuracy at the end on the same few examples, with decay minus without",
    ENDS,
    BESIDE,
    range=(-1.0, 1.0),
    says=points("of accuracy"),
)
HYSTERESIS = Statistic(
    "validation accuracy at the end, grokked before minus from scratch, on the same examples",
    f"{ENDS} From scratch for as many steps in all.",
    BESIDE,
    range=(-1.0, 1.0),
    says=points("of accuracy"),
)


def decades_of_reach(run: Run) -> float | Missing:
    """log10 of the reach of all weights at the last step."""
    if "reach_whole" not in run.names:
        return Missing("its reach was not measured")
    last = float(run["reach_whole"][-1])
    return float(np.log10(last)) if np.isfinite(last) and last > 0 else Missing("nothing is pushed")


LOST = Statistic(
    "log10(reach at the end with all examples / with few, at the same decay)",
    "On how many examples of the whole training side a step on one of them pushes the margin, P = 1, "
    "all weights (measure `reach`), at the last step.",
    lost(decades_of_reach),
    says=times("less reach", "more reach"),
)


def at_decays(table: Table) -> list[dict[float, str]]:
    """The arms by share, at the strong decay and at the weak."""
    shares = (*SHARES[table.budget], ALL)
    return [{keep: Continued(keep, decay).name for keep in shares} for decay in (STRONG, WEAK)]


THRESHOLD = Statistic(
    f"log10(share of the examples at which half of validation is lost, decay {STRONG:g} / {WEAK:g})",
    "Read off the straight line, in the logarithm of the share, between the two shares about it; below "
    "the smallest share where half is never lost.",
    lambda run: Missing("is of many arms"),
    says=times("more examples", "fewer examples"),
)

WORTH = Exceeds(0.1)
NOT_HERE = "a larger budget, which trains these arms"


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Against all examples, between decays, against from scratch, and where the threshold is."""
    few, few_undecayed = Continued(SMALLEST, USUAL).name, Continued(SMALLEST, 0.0).name
    some = {decay: Continued(HELD, decay) for decay in (0.0, USUAL)}
    scratch = {decay: Continued(HELD, decay, is_from_scratch=True) for decay in some}
    whole = {decay: Continued(ALL, decay).name for decay in some}
    is_here = {WEAK, STRONG} <= set(DECAYS[budget])
    return (
        Endpoint("few-decayed", "P18", KEPT, few, WORTH, control=whole[USUAL]),
        Endpoint("few-undecayed", "P18", KEPT, few_undecayed, WORTH, control=whole[0.0]),
        Endpoint("reach-lost-decayed", "P18", LOST, few, Exceeds(0.1), control=whole[USUAL]),
        Endpoint("reach-lost-undecayed", "P18", LOST, few_undecayed, Exceeds(0.1), control=whole[0.0]),
        Endpoint("some-decayed", "P18", KEPT, some[USUAL].name, WORTH, control=whole[USUAL]),
        Endpoint("decay-decides", "P18", BY_DECAY, few, WORTH, control=few_undecayed),
        Endpoint(
            "hysteresis-decayed",
            "P18",
            HYSTERESIS,
            some[USUAL].name,
            WORTH,
            control=scratch[USUAL].name,
        ),
        Endpoint(
            "hysteresis-undecayed", "P18", HYSTERESIS, some[0.0].name, WORTH, control=scratch[0.0].name
        ),
        Endpoint(
            "threshold-by-decay",
            "P18",
            THRESHOLD,
            f"grokked, every share, decay {STRONG:g}",
            Exceeds(0.3),
            control=f"grokked, every share, decay {WEAK:g}",
            measured=moved(at_the_end, at_decays),
            waits_for="" if is_here else NOT_HERE,
        ),
    )


FROM_SCRATCH, CONTINUED = "from scratch", "grokked before"
WHENCE = {
    CONTINUED: Look(theme.SIDES["val"]),
    FROM_SCRATCH: Look(theme.SIDES["train"], "4px,3px", "square"),
}


def figures(table: Table) -> Iterator[Figure]:
    """Accuracy at the end by share and decay, and over steps."""
    there = [each for each in continued(table.budget) if table.has(each.name)]
    if not there:
        return
    yield _by_share(table, there)
    panels: dict[str, dict] = {}
    for each in there:
        if not each.is_from_scratch:
            lines = panels.setdefault(f"decay {each.decay:g} from grokked on", {})
            lines[f"{each.keep:.0%}"] = together(table.of(each.name), "val_accuracy")
    names = list(dict.fromkeys(f"{each.keep:.0%}" for each in there))
    looks = {n: Look(*look) for n, look in zip(names, theme.looks(len(names)), strict=True)}
    yield panels_figure(
        "ungrokking",
        "Validation accuracy of networks that have grokked, by the share of the examples that is left",
        "Mean over seeds. Each leaves its trunk where it groks.",
        panels,
        looks=looks,
        y=SHARE,
    )


def _by_share(table: Table, there: Sequence[Continued]) -> Figure:
    rows = []
    for each in there:
        ends = [at_the_end(run) for run in table.of(each.name) if run.status != "failed"]
        mean = estimate([end for end in ends if not isinstance(end, Missing)])
        whence = FROM_SCRATCH if each.is_from_scratch else CONTINUED
        panel = f"decay {each.decay:g}"
        rows.append({"panel": panel, "keep": each.keep, "series": whence, **columns_of(mean)})
    return chart(
        "ungrokking-by-share",
        "Validation accuracy at the end, by the share of the training side that is left",
        "Mean over seeds with its 95 % interval (none for one seed or for fewer than six that are all "
        "equal).",
        pd.DataFrame(rows),
        Layer("intervals", "keep", "value", tell=("n", "method")),
        x=Scale("share of the training side", kind="log", is_switchable=True),
        y=SHARE,
        looks=WHENCE,
    )


STUDY = Study(
    name="ungrokking",
    question="Does a network that has grokked stay general when only a few of its examples are left?",
    claims=(GENERAL_REPLACES,),
    hypotheses={
        FREQUENCY: (
            "Every example that is left reinforces the general circuit, and one of them each look-up: "
            "the general circuit stays at any share and any decay, also where the same examples from "
            "scratch do not bring it about."
        ),
        EFFICIENCY: (
            "Below a certain number of examples look-ups of them cost less norm than the general "
            "circuit, which decay then removes; that number is the same at any decay above 0, and "
            "without decay nothing is lost."
        ),
        SIMPLICITY: (
            "What is found is what fits the examples that are left, whatever was there before: a "
            "network that has grokked ends where one from scratch does."
        ),
        COLLAPSE: (
            "Generalisation comes where the softmax does not round the gradient away; once it is there, "
            "fewer examples do not undo it."
        ),
    },
    predictions=(
        Prediction(FREQUENCY, "few-decayed", "none"),
        Prediction(FREQUENCY, "few-undecayed", "none"),
        Prediction(FREQUENCY, "decay-decides", "none"),
        Prediction(FREQUENCY, "hysteresis-decayed", ">"),
        Prediction(FREQUENCY, "hysteresis-undecayed", ">"),
        Prediction(EFFICIENCY, "few-decayed", "<"),
        Prediction(EFFICIENCY, "few-undecayed", "none"),
        Prediction(EFFICIENCY, "decay-decides", "<"),
        Prediction(EFFICIENCY, "threshold-by-decay", "none"),
        Prediction(SIMPLICITY, "hysteresis-decayed", "none"),
        Prediction(SIMPLICITY, "hysteresis-undecayed", "none"),
        Prediction(COLLAPSE, "few-decayed", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
