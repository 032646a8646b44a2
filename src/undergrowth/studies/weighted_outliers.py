"""Which wrong labels does a network unlearn, by how much each of them counts? P18, against efficiency.

A wrong label among right ones can only be looked up, and its look-up is reinforced by one example, as
much as that example counts. If what decides is who reinforces more, an outlier that counts enough is
kept whatever the decay, one that counts little is overrun by the other examples also without decay, and
the weight in between is that of the competition. If what decides is how much norm a look-up costs, decay
sets the price: nothing is unlearned without it, and the weight that protects grows with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import xarray as xr

from undergrowth.analysis import Exceeds
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY, TWO_CIRCUITS
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import Curves, Predictions
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.store import Run
from undergrowth.store.events import DEFAULT_RULES as RULES
from undergrowth.studies import complexity
from undergrowth.studies.arm import Arm, Budget, each_once
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.shared_claims import GENERAL_REPLACES
from undergrowth.studies.statistic import Missing, Statistic, beside, points, times
from undergrowth.studies.study import Study
from undergrowth.studies.table import Table
from undergrowth.studies.threshold import moved
from undergrowth.tasks import CommutationSafe, Modular, OfNoisy
from undergrowth.training.batches import MiniBatch
from undergrowth.training.interventions import (
    AfterFork,
    AnyAction,
    Intervention,
    NoOp,
    SetBatch,
    SetWeightDecay,
    WhenCrosses,
)

WRONG_SHARE = 0.05
LIGHT, EVEN, HEAVY = 0.25, 1.0, 16.0
WEIGHTS = (LIGHT, EVEN, 4.0, HEAVY)
USUAL = 1.0
WEAK, STRONG = 4.0, 5.0
DECAYS: Mapping[Budget, Sequence[float]] = {
    "quick": (0.0, WEAK, STRONG),
    "standard": (0.0, 2.0, 3.0, WEAK, STRONG),
    "full": (0.0, 2.0, 3.0, WEAK, STRONG),
}
"""After memorising, at the usual one."""
MEMORISED = WhenCrosses(reading="train_accuracy", level=RULES.memorised)

STEPS = 1_500
OBSERVED = Schedule(every=50, until=STEPS)
SMALL = complexity.SMALL.replace(
    task=Modular(operation="x+y", p=31),
    split=CommutationSafe(frac_train=0.85),
    label_noise=WRONG_SHARE,
    measures=(Curves(schedule=Schedule(every=10, until=600, per_decade=60)),),
    steps=600,
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
"""Memorised by step 200. Looked at from scratch, a seed each, with 5 % and 10 % wrong labels: at decays
of 0 to 2 all are held by step 2,000 at any weight from 1/4 to 16; at 3 those of 1/4 are lost by step 200
and held again by 800; at 4 those of 1/4 are lost and half of those of 1; at 5 those of 1 are lost and a
part of those of 4, and at 8 the network no longer learns.
"""
LARGE = SMALL.replace(
    task=Modular(operation="x+y", p=59),
    model=TwoTokenMLPSpec(d_embed=64, d_mlp=128, act_fn="square"),
    split=CommutationSafe(frac_train=0.7),
)
BATCH = 64
What = Literal["decay", "nothing", "batches"]


@dataclass(frozen=True)
class Outliers:
    """What is done, once it has memorised, to a network whose outliers have a weight.

    what: 'decay' (another one from here on), 'nothing' (a fork that does nothing) or 'batches' (small
    ones, and the decay).
    """

    weight: float
    decay: float
    what: What = "decay"
    labels: Literal["true", "shuffled"] = "true"

    @property
    def name(self) -> str:
        """The name of its arm."""
        how = {"decay": "", "nothing": ", no-op", "batches": f", batches of {BATCH}"}[self.what]
        return f"{self._trunk_name}: decay {self.decay:g}{how}"

    @property
    def _trunk_name(self) -> str:
        shuffled = ", shuffled labels" if self.labels == "shuffled" else ""
        return f"weight {self.weight:g}{shuffled}"

    def trunk(self, budget: Budget) -> Arm:
        """The arm that it leaves."""
        base = LARGE if budget == "full" else SMALL
        spec = base.replace(weights=OfNoisy(weight=self.weight), labels=self.labels)
        return Arm(self._trunk_name, spec, "trunk")

    def arm(self, budget: Budget) -> Arm:
        """Its runs."""
        actions: tuple[AnyAction, ...] = (NoOp(),)
        if self.what != "nothing":
            actions = (SetWeightDecay(weight_decay=self.decay),)
        if self.what == "batches":
            actions = (SetBatch(batch=MiniBatch(batch_size=BATCH)), *actions)
        trunk = self.trunk(budget)
        spec = trunk.spec.forked(
            MEMORISED,
            *(Intervention(trigger=AfterFork(), action=action) for action in actions),
            steps=STEPS * (3 if budget == "full" else 1),
            measures=(Curves(schedule=OBSERVED), Predictions(schedule=OBSERVED)),
        )
        is_control = self.what == "nothing" or self.labels == "shuffled"
        return Arm(self.name, spec, "control" if is_control else "treatment", trunk)


BATCHED = Outliers(LIGHT, 0.0, "batches")
SHUFFLED = Outliers(LIGHT, WEAK, labels="shuffled")


def outliers(budget: Budget) -> tuple[Outliers, ...]:
    """Every weight at every decay and with none changed, small batches, and shuffled labels."""
    return (
        *(Outliers(weight, decay) for weight in WEIGHTS for decay in DECAYS[budget]),
        *(Outliers(weight, USUAL, "nothing") for weight in WEIGHTS),
        BATCHED,
        SHUFFLED,
    )


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Every trunk before the forks that leave it."""
    return each_once(arm for each in outliers(budget) for arm in (each.trunk(budget), each.arm(budget)))


TOO_LATE = "memorised too late"
NO_OUTLIER = "no outlier was held at the fork"


def held(run: Run, *, wrong: bool = True) -> np.ndarray | Missing:
    """bool [reading, example]: of the training examples with a wrong label, or of those with a right
    one, that were held at the fork, which are at each reading since.
    """
    if "prediction_margin" not in run.names:
        return Missing(TOO_LATE)
    margin = run["prediction_margin"].sel(step=slice(run.forked_at, None)).values
    if len(margin) < 2:
        return Missing(TOO_LATE)
    data = run.spec.data()
    asked = data.is_noisy if wrong else data.is_train & ~data.is_noisy
    members = asked & (margin[0] > 0)
    return margin[:, members] > 0 if members.any() else Missing(NO_OUTLIER)


def kept(run: Run) -> float | Missing:
    """The share of the outliers held at the fork that are held at the end."""
    found = held(run)
    return found if isinstance(found, Missing) else float(found[-1].mean())


def unlearned(run: Run) -> float | Missing:
    """The share of them that is not, minus the like share of right labels."""
    found, right = held(run), held(run, wrong=False)
    if isinstance(found, Missing) or isinstance(right, Missing):
        return found if isinstance(found, Missing) else right  # pyright: ignore[reportReturnType]
    return float(right[-1].mean() - found[-1].mean())


HOW = (
    "Of the training examples predicted as labelled at the first reading after the fork, the share that "
    "is not at the end, of wrong labels minus of right ones."
)
UNLEARNED = Statistic(
    "share of wrong labels unlearned minus that of right ones, decay changed minus unchanged",
    HOW,
    beside(unlearned),
    range=(-2.0, 2.0),
    says=points("more unlearned"),
)
ALONE = Statistic(
    "share of wrong labels unlearned minus that of right ones",
    HOW,
    unlearned,
    range=(-1.0, 1.0),
    says=points("more unlearned"),
)
PROTECTED = Statistic(
    f"share of wrong labels unlearned minus that of right ones, at weight {LIGHT:g} minus at {HEAVY:g}",
    HOW,
    beside(unlearned),
    range=(-2.0, 2.0),
    says=points("more unlearned"),
)
THRESHOLD = Statistic(
    f"log10(weight below which half of the wrong labels are unlearned, decay {STRONG:g} / {WEAK:g})",
    "Read off the straight line, in the logarithm of the weight, between the two weights about it; "
    "beyond the weights where half are unlearned at all of them or at none.",
    kept,
    says=times("more weight", "less weight"),
)
WORTH = Exceeds(0.1)
PROPORTIONAL = Exceeds(float(np.log10(STRONG / WEAK)))
"""A threshold that moves by less than the decay does hardly depends on it."""


def at_decays(table: Table) -> list[dict[float, str]]:
    """The arms by weight, at the strong decay and at the weak."""
    return [{w: Outliers(w, decay).name for w in WEIGHTS} for decay in (STRONG, WEAK)]


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """Light outliers at a decay, without one, in small batches; against heavy ones; the threshold."""
    before = Outliers(LIGHT, USUAL, "nothing").name
    light = Outliers(LIGHT, WEAK).name
    Beside = partial(Endpoint, claim="P18", statistic=UNLEARNED, rule=WORTH, control=before)
    return (
        Beside("light-decayed", arm=light),
        Beside("light-undecayed", arm=Outliers(LIGHT, 0.0).name),
        Beside("light-batches", arm=BATCHED.name),
        Endpoint("light-kept", "P18", ALONE, before, WORTH),
        Endpoint("light-shuffled", "P18", ALONE, SHUFFLED.name, WORTH),
        Endpoint("weight-protects", "P18", PROTECTED, light, WORTH, control=Outliers(HEAVY, WEAK).name),
        Endpoint(
            "threshold-by-decay",
            "P18",
            THRESHOLD,
            f"every weight, decay {STRONG:g}",
            PROPORTIONAL,
            control=f"every weight, decay {WEAK:g}",
            measured=moved(kept, at_decays),
        ),
    )


RIGHT = "right labels, weight 1/4 run"


def figures(table: Table) -> Iterator[Figure]:
    """Over steps which share is held: a panel a decay, a line a weight."""
    panels: dict[str, dict[str, xr.DataArray]] = {}
    for each in outliers(table.budget):
        for line, wrong in ((f"wrong, weight {each.weight:g}", True), (RIGHT, False)):
            if each.labels == "true" and (wrong or each.weight == LIGHT):
                found = _over_steps(table.of(each.name), wrong)
                if found is not None:
                    panels.setdefault(each.name.partition(": ")[2], {})[line] = found
    if not panels:
        return
    lines = [*(f"wrong, weight {weight:g}" for weight in WEIGHTS), RIGHT]
    looks = {n: Look(*look) for n, look in zip(lines, theme.looks(len(lines)), strict=True)}
    yield panels_figure(
        "weighted-outliers",
        "Wrong labels held, by how much each counts",
        "Mean over seeds of the share of the labels held at the fork, where the network had memorised "
        "with decay 1, that are predicted.",
        panels,
        looks=looks,
        y=SHARE,
    )


def _over_steps(runs: Sequence[Run], wrong: bool) -> xr.DataArray | None:
    """Dims (run, step) of the share held since the fork."""
    curves: list[xr.DataArray] = []
    for run in runs:
        found = held(run, wrong=wrong)
        if not isinstance(found, Missing):
            steps = run["prediction_margin"].sel(step=slice(run.forked_at, None))["step"]
            share = xr.DataArray(found.mean(axis=1), {"step": steps.values}, ["step"])
            curves.append(share.expand_dims(run=[run.id]))
    return cast(xr.DataArray, xr.concat(curves, "run", join="outer")) if curves else None


STUDY = Study(
    name="weighted-outliers",
    question="Which wrong labels are unlearned, by how much each counts and by the decay?",
    claims=(GENERAL_REPLACES,),
    hypotheses={
        FREQUENCY: (
            "An outlier is unlearned where the other examples push harder than it does: at a weight "
            "that hardly depends on decay, and without decay too where batches let others push alone; "
            "but only where there is something general to replace it."
        ),
        EFFICIENCY: (
            "An outlier is unlearned where its look-up costs more norm than its loss is worth: never "
            "without decay, and the weight that protects it grows with the decay, also where nothing "
            "general is there to replace it (shuffled labels)."
        ),
        TWO_CIRCUITS: "Look-ups and the general circuit stand side by side: nothing is unlearned.",
        COLLAPSE: "What has been memorised has no gradient left that could undo it.",
    },
    predictions=(
        Prediction(FREQUENCY, "light-decayed", ">"),
        Prediction(FREQUENCY, "light-batches", ">"),
        Prediction(FREQUENCY, "weight-protects", ">"),
        Prediction(FREQUENCY, "threshold-by-decay", "none"),
        Prediction(FREQUENCY, "light-shuffled", "none"),
        Prediction(EFFICIENCY, "light-decayed", ">"),
        Prediction(EFFICIENCY, "light-undecayed", "none"),
        Prediction(EFFICIENCY, "light-batches", "none"),
        Prediction(EFFICIENCY, "weight-protects", ">"),
        Prediction(EFFICIENCY, "threshold-by-decay", ">"),
        Prediction(EFFICIENCY, "light-shuffled", ">"),
        Prediction(TWO_CIRCUITS, "light-decayed", "none"),
        Prediction(TWO_CIRCUITS, "light-undecayed", "none"),
        Prediction(COLLAPSE, "light-decayed", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
