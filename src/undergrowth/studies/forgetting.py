"""Does training on other examples undo a shallow circuit more than a general one? P6.

A network that generalises and holds some wrong labels by look-up goes on with half of its training
examples, drawn at random, then with all again. Nothing reinforces the look-up of a wrong label that is
withheld; the general circuit that answers a right one is reinforced by the others. With decay off, what
changes is what the other examples do. Predictions are compared at an equal lead of their label when the
examples are withheld, since whatever is ahead by more is lost later.

A neuron that is closed for an example neither acts on it nor learns from it, so look-ups behind gates
that close are out of the others' way. How far closed gates leak, the slope of relu below 0, is the dose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal, cast

import numpy as np
import xarray as xr

from undergrowth.analysis import Exceeds
from undergrowth.analysis.forgetting import ALIKE_WITHIN, LEAST_MATCHED, matched_difference
from undergrowth.analysis.hypotheses import COLLAPSE, EFFICIENCY, FREQUENCY
from undergrowth.analysis.predictions import Prediction
from undergrowth.measures import AnyMeasure, Curves, Ledger, Predictions
from undergrowth.models import TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.charts import Look
from undergrowth.report.charts.description import SHARE
from undergrowth.report.figure import Figure
from undergrowth.report.panels import panels_figure
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.arm import Arm, Budget, each_once
from undergrowth.studies.endpoint import Endpoint
from undergrowth.studies.statistic import Missing, Statistic, beside, points
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import CommutationSafe, Modular
from undergrowth.training.batches import Blocked, FullBatch, MiniBatch
from undergrowth.training.interventions import (
    AfterFork,
    AnyAction,
    AnyForkPoint,
    AtStep,
    Intervention,
    NoOp,
    SetBatch,
    SetData,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import AdamW
from undergrowth.training.state import Regime

CLOSED, LEAKY, WIDE = 0.0, 0.1, 0.3
LEAKS: Mapping[Budget, Sequence[float]] = {
    "quick": (CLOSED, WIDE),
    "standard": (CLOSED, LEAKY, WIDE),
    "full": (CLOSED, LEAKY, WIDE),
}
WRONG_SHARE = 0.04
KEEP = 0.5
AWAY, BACK = 300, 300
"""Steps for which examples are withheld, and for which their return is watched."""
GENERAL = WhenCrosses(reading="val_accuracy", level=0.9)
SHUFFLED_FORK = AtStep(step=800)
"""Shuffled labels do not generalise, so their fork cannot wait for it."""

STEPS, EVERY, SELDOM = 1_800, 20, 100
SMALL = RunSpec(
    task=Modular(operation="x+y", p=31),
    split=CommutationSafe(frac_train=0.9),
    label_noise=WRONG_SHARE,
    model=TwoTokenMLPSpec(d_embed=32, d_mlp=128),
    optimiser=AdamW(lr=5e-3, weight_decay=2.0),
    steps=STEPS - AWAY - BACK,
    measures=(Curves(schedule=Schedule(every=10, until=STEPS)),),
    checkpoints=Schedule(every=1_000_000, until=1_000_000, per_decade=1),
)
"""Memorised by step 300 and validation at 0.9 between 400 and 800, with every wrong label held, at
leaks of 0 to 0.3. Looked at: one seed; half as wide, it comes to 0.9 between 400 and 1,600.
"""
LARGE = SMALL.replace(
    task=Modular(operation="x+y", p=59),
    split=CommutationSafe(frac_train=0.8),
    model=TwoTokenMLPSpec(d_embed=64, d_mlp=256),
)
BATCH, REPEATS = 64, 20
What = Literal["withheld", "nothing", "full batch", "shuffled order", "blocked order"]
BATCHES: Mapping[What, AnyAction] = {
    "full batch": SetBatch(batch=FullBatch()),
    "shuffled order": SetBatch(batch=MiniBatch(batch_size=BATCH)),
    "blocked order": SetBatch(batch=Blocked(batch_size=BATCH, repeats=REPEATS)),
}
"""As many updates of as many examples, each example as often: only what lies in between differs."""


@dataclass(frozen=True)
class Forgetting:
    """What is done to a network that generalises and holds wrong labels.

    what: 'withheld' (half of its examples, then all again), 'nothing', or all examples in batches of an
    order; is_decayed: whether decay goes on, or is off from here on.
    """

    what: What = "withheld"
    leak: float = CLOSED
    is_decayed: bool = False
    labels: Literal["true", "shuffled"] = "true"

    @property
    def name(self) -> str:
        """The name of its arm."""
        decay = "on" if self.is_decayed else "off"
        return f"{self._trunk_name}: {self.what}, decay {decay}"

    @property
    def _trunk_name(self) -> str:
        return f"leak {self.leak:g}" + (", shuffled labels" if self.labels == "shuffled" else "")

    def trunk(self, budget: Budget) -> Arm:
        """The arm that it leaves."""
        base = LARGE if budget == "full" else SMALL
        assert isinstance(base.model, TwoTokenMLPSpec)
        model = base.model.model_copy(update={"leak": self.leak})
        few = 2 if self.labels == "shuffled" and budget == "quick" else None
        return Arm(self._trunk_name, base.replace(model=model, labels=self.labels), "trunk", seeds=few)

    def arm(self, budget: Budget) -> Arm:
        """Its runs."""
        trunk = self.trunk(budget)
        at: AnyForkPoint = GENERAL if self.labels == "true" else SHUFFLED_FORK
        evenly = Schedule(every=EVERY, until=STEPS)
        measures: tuple[AnyMeasure, ...] = (Curves(schedule=evenly), Predictions(schedule=evenly))
        if self.what == "withheld" and not self.is_decayed:
            seldom = Schedule(every=SELDOM, until=STEPS)
            measures = (*measures, Ledger(per_example=True, schedule=seldom))
        spec = trunk.spec.forked(at, *self._interventions(), steps=STEPS, measures=measures)
        is_control = self.what in ("nothing", "full batch") or self.labels == "shuffled"
        return Arm(self.name, spec, "control" if is_control else "treatment", trunk, trunk.seeds)

    def _interventions(self) -> Iterator[Intervention]:
        at_once = partial(Intervention, trigger=AfterFork())
        if not self.is_decayed:
            yield at_once(action=SetWeightDecay(weight_decay=0.0))
        if self.what == "withheld":
            yield at_once(action=SetData(keep=KEEP))
            yield Intervention(trigger=AfterFork(steps=AWAY), action=SetData(labels=self.labels))
        elif self.what == "nothing":
            yield at_once(action=NoOp())
        else:
            yield at_once(action=BATCHES[self.what])


def withheld(leak: float, *, is_decayed: bool = False) -> Forgetting:
    """Half of the examples withheld behind gates that leak so far."""
    return Forgetting("withheld", leak, is_decayed)


NO_OP = Forgetting("nothing", is_decayed=True)
SHUFFLED = Forgetting("withheld", labels="shuffled")
IN_ORDER = {what: Forgetting(what) for what in BATCHES}


def forgettings(budget: Budget) -> tuple[Forgetting, ...]:
    """Every dose; decay left on, nothing done, each order of batches, shuffled labels."""
    doses = tuple(withheld(leak) for leak in LEAKS[budget])
    return *doses, withheld(CLOSED, is_decayed=True), NO_OP, *IN_ORDER.values(), SHUFFLED


def arms(budget: Budget) -> tuple[Arm, ...]:
    """Every trunk before the forks that leave it."""
    return each_once(
        arm for each in forgettings(budget) for arm in (each.trunk(budget), each.arm(budget))
    )


TOO_LATE = "generalised too late"
NO_CLASS = "a class has no predictions at the fork"
FEW_MATCHED = f"fewer than {LEAST_MATCHED} predictions have a match of equal lead"


@dataclass(frozen=True, eq=False)
class Kept:
    """A fork from its first reading on.

    since [reading]: steps since the fork; margin [reading, example]: of the label; shallow, general:
    bool [example], the wrong and the right labels trained on, of those withheld where some are, that
    were predicted at the fork.
    """

    since: np.ndarray
    margin: np.ndarray
    shallow: np.ndarray
    general: np.ndarray

    def share_held(self, cls: Literal["shallow", "general"], after: int, until: int) -> np.ndarray:
        """Of each of a class, the share of the readings in (after, until] at which it is predicted."""
        when = (self.since > after) & (self.since <= until)
        return (self.margin[when][:, getattr(self, cls)] > 0).mean(axis=0)

    def gap(self, after: int, until: int) -> float | Missing:
        """That of general labels minus that of shallow ones with an equal lead at the fork."""
        lead = self.margin[0]
        found, _ = matched_difference(
            self.share_held("general", after, until),
            lead[self.general],
            self.share_held("shallow", after, until),
            lead[self.shallow],
        )
        return Missing(FEW_MATCHED) if np.isnan(found) else found


@lru_cache(maxsize=512)
def kept(run: Run) -> Kept | Missing:
    """What a fork's readings say."""
    if "prediction_margin" not in run.names or (at := run.forked_at) is None:
        return Missing(TOO_LATE)
    margin = run["prediction_margin"].sel(step=slice(at, None))
    since = margin["step"].values - at
    if not len(since) or since[-1] < AWAY + BACK:
        return Missing(TOO_LATE)
    data, away = run.spec.data(), _away(run)
    held = (margin.values[0] > 0) & (away if away.any() else data.is_train)
    shallow, general = held & data.is_noisy, held & ~data.is_noisy
    if not (shallow.any() and general.any()):
        return Missing(NO_CLASS)
    return Kept(since, margin.values, shallow, general)


def _away(run: Run) -> np.ndarray:
    """bool [example]: those withheld, of the data that the fork's first action leaves."""
    data = run.spec.data()
    for intervention in run.spec.interventions:
        action = intervention.action
        if isinstance(action, SetData) and action.keep < 1:
            left = action.regime_after(Regime(data, run.spec.batch), run.spec).data
            return data.is_train & ~left.is_train
    return np.zeros(len(data.labels), bool)


def of_kept(number: Callable[[Kept], float | Missing]) -> Callable[..., float | Missing]:
    """A number of a fork, or of a fork minus its control's."""

    def of(run: Run) -> float | Missing:
        found = kept(run)
        return found if isinstance(found, Missing) else number(found)

    return beside(of)


def cross_terms(run: Run) -> tuple[np.ndarray, np.ndarray] | Missing:
    """Of each shallow and each general label that is withheld: how far the updates that are made without
    it lower its loss through all neurons, summed over the readings while it is away.
    """
    found = kept(run)
    if isinstance(found, Missing):
        return found
    if "ledger_neuron_entries" not in run.names or run.forked_at is None:
        return Missing("has no ledger of examples")
    entries = run["ledger_neuron_entries"].sel(part="data")
    since = entries["step"].values - run.forked_at
    away = entries.isel(step=(since >= 0) & (since < AWAY))
    by_example = away.sum(["step", "layer", "neuron"]).values
    return by_example[found.shallow], by_example[found.general]


def harmed(cls: Literal["shallow", "general"]) -> Callable[[Run], float | Missing]:
    """The share of a class that the others' updates push down, minus a half."""

    def of(run: Run) -> float | Missing:
        found = cross_terms(run)
        if isinstance(found, Missing):
            return found
        return float((found[cls == "general"] < 0).mean() - 0.5)

    return of


GAP = points("more of the general labels kept")
MATCHED = (
    "Of the examples withheld that are predicted at the fork, each of the fewer (wrong ones) is paired "
    f"with the right one whose lead, the margin of its label, is nearest, within {ALIKE_WITHIN:.0%}."
)
RETENTION = Statistic(
    "share of the time away for which labels are kept, general minus shallow, of equal lead",
    f"{MATCHED} Readings every {EVERY} steps over the {AWAY} steps for which they are withheld.",
    of_kept(lambda found: found.gap(0, AWAY)),
    range=(-1.0, 1.0),
    says=GAP,
)
RECOVERY = replace(
    RETENTION,
    name="share of the time since their return for which labels are held, general - shallow, equal lead",
    how=f"{MATCHED} Readings every {EVERY} steps over the {BACK} steps after all examples are back.",
    of=of_kept(lambda found: found.gap(AWAY, AWAY + BACK)),
)
BY_LEAK = replace(
    RETENTION,
    name=f"{RETENTION.name}, leak {WIDE:g} minus leak {CLOSED:g}",
    range=(-2.0, 2.0),
)
IN_BATCHES = replace(
    RETENTION,
    name="share of the time for which labels are held, general minus shallow, equal lead, minus control",
    how=(
        "Nothing is withheld. Each wrong label is paired with the right one whose lead at the fork is "
        f"nearest, within {ALIKE_WITHIN:.0%}; over {AWAY + BACK} steps, in each of which as many "
        "examples are seen, and each as often."
    ),
    of=of_kept(lambda found: found.gap(0, AWAY + BACK)),
    range=(-2.0, 2.0),
)
PUSHED = Statistic(
    "share of the withheld {} that the others' updates push down, minus a half",
    "To first order: -gradient of the example's loss times the data part of the update, through all "
    f"neurons (`ledger`), summed over readings every {SELDOM} steps while it is withheld.",
    harmed("shallow"),
    range=(-0.5, 0.5),
    says=points("more pushed down than up"),
)
PUSHED_SHALLOW = replace(PUSHED, name=PUSHED.name.format("wrong labels"))
PUSHED_GENERAL = replace(PUSHED, name=PUSHED.name.format("right labels"), of=harmed("general"))
WORTH = Exceeds(0.1)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """P6 by retention at an equal lead; its dose, recovery, cross-terms; decay on, and orders."""
    End = partial(Endpoint, claim="P6", statistic=RETENTION, rule=WORTH)
    main = withheld(CLOSED).name
    full, mixed, blocked = (each.name for each in IN_ORDER.values())
    return (
        End("retention", arm=main, is_primary=True),
        End("retention-leaky", arm=withheld(WIDE).name),
        End("leak", statistic=BY_LEAK, arm=withheld(WIDE).name, control=main),
        End("recovery", statistic=RECOVERY, arm=main),
        End("cross-terms", statistic=PUSHED_SHALLOW, arm=main),
        End("cross-terms-general", statistic=PUSHED_GENERAL, arm=main),
        End("retention-decayed", arm=withheld(CLOSED, is_decayed=True).name),
        End("retention-no-op", arm=NO_OP.name),
        End("retention-shuffled", arm=SHUFFLED.name),
        End("batches", statistic=IN_BATCHES, arm=mixed, control=full),
        End("blocked", statistic=IN_BATCHES, arm=blocked, control=mixed),
    )


LINES = {
    "wrong labels": Look(theme.SIDES["train"]),
    "right labels": Look(theme.SIDES["val"], "4px,3px"),
}


def figures(table: Table) -> Iterator[Figure]:
    """Over steps since the fork the share of each class that is held, a panel an arm."""
    panels: dict[str, dict[str, xr.DataArray]] = {}
    for each in forgettings(table.budget):
        forks = [(run, kept(run)) for run in table.of(each.name) if run.status != "failed"]
        known = [(run, found) for run, found in forks if isinstance(found, Kept)]
        if known:
            panels[each.name] = {
                line: _over_steps(known, cls)
                for line, cls in zip(LINES, ("shallow", "general"), strict=True)
            }
    if panels:
        yield panels_figure(
            "forgetting",
            "Labels kept while their examples are withheld, and after they are back",
            f"Of those predicted at the fork; where examples are withheld, of these, for {AWAY} steps. "
            "Steps are counted from the fork on. Mean over seeds.",
            panels,
            looks=LINES,
            y=SHARE,
        )


def _over_steps(forks: Sequence[tuple[Run, Kept]], cls: Literal["shallow", "general"]) -> xr.DataArray:
    curves = []
    for run, found in forks:
        share = (found.margin[:, getattr(found, cls)] > 0).mean(axis=1)
        upto = found.since <= AWAY + BACK
        curve = xr.DataArray(share[upto], {"step": found.since[upto]}, ["step"])
        curves.append(curve.expand_dims(run=[run.id]))
    return cast(xr.DataArray, xr.concat(curves, "run", join="outer"))


STUDY = Study(
    name="forgetting",
    question="Does training on other examples undo a shallow circuit more than a general one?",
    claims=(
        Claim(
            "P6",
            "Training on other examples degrades a shallow circuit, as in catastrophic forgetting, more "
            "than a general one.",
        ),
    ),
    hypotheses={
        FREQUENCY: (
            "What is learned without an example pushes its look-up down and the general circuit up: at "
            "an equal lead wrong labels are forgotten sooner and come back later, the more so the more "
            "closed gates leak, without decay, and more so where other examples come in blocks."
        ),
        EFFICIENCY: (
            "Only norm that pays for nothing is lost, and only by decay: without it a look-up whose "
            "example is withheld stays, and the order of examples does not matter."
        ),
        COLLAPSE: "What has been memorised has no gradient that the order of examples could change.",
    },
    predictions=(
        Prediction(FREQUENCY, "retention", ">"),
        Prediction(FREQUENCY, "leak", ">"),
        Prediction(FREQUENCY, "recovery", ">"),
        Prediction(FREQUENCY, "cross-terms", ">"),
        Prediction(FREQUENCY, "cross-terms-general", "<"),
        Prediction(FREQUENCY, "retention-decayed", ">"),
        Prediction(FREQUENCY, "blocked", ">"),
        Prediction(EFFICIENCY, "retention", "none"),
        Prediction(EFFICIENCY, "leak", "none"),
        Prediction(EFFICIENCY, "retention-decayed", ">"),
        Prediction(EFFICIENCY, "blocked", "none"),
        Prediction(COLLAPSE, "blocked", "none"),
    ),
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
