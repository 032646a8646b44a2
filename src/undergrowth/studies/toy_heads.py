"""Does one head for all data points grow faster than a head for each, as the post pictures it? P5.

The post's Figure has a shallow head for each of two data points and a general one for both. The general
head is pushed by every point, but each point pushes weights of its own within it: only what the points
share adds up. So the dose is c, how much the tokens of two points have in common, and what theory says
is 1 + (n - 1) c.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from undergrowth.analysis import Exceeds, Within
from undergrowth.analysis.hypotheses import SIMPLICITY
from undergrowth.analysis.predictions import Prediction
from undergrowth.analysis.rivals import Rivals, descent
from undergrowth.measures import Curves
from undergrowth.models import Model, ToyHeadsSpec, recording
from undergrowth.report import theme
from undergrowth.report.charts import Layer, Look, Scale
from undergrowth.report.figure import Figure, chart
from undergrowth.schedules import Schedule
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.store.predicted import Numbers
from undergrowth.studies.arm import Arm, Budget
from undergrowth.studies.endpoint import Endpoint, Measured, aggregate, values_of
from undergrowth.studies.statistic import Missing, Statistic, points, times, times_predicted
from undergrowth.studies.study import Claim, Study
from undergrowth.studies.table import Table
from undergrowth.tasks import LeakyRandom, Table as TableTask
from undergrowth.training.batches import MiniBatch
from undergrowth.training.optimisers import SGD, AdamW

N = 8
"""Data points trained on, where the arm does not say otherwise; two more are held out."""
HELD_OUT = 2


def table_of_points(n: int) -> TableTask:
    """Data points (i, i) with label i mod 2."""
    rows = "".join(f"{i},{i},{i % 2}\n" for i in range(n))
    return TableTask(csv=f"x,y,label\n{rows}", title=f"{n} data points")


def run_of(n: int = N, steps: int = 100, lr: float = 0.1, **model: object) -> RunSpec:
    """n data points trained on by SGD; model: fields of its heads."""
    rows = n + HELD_OUT
    only_ends = Schedule(every=1_000_000, until=1_000_000, per_decade=1)
    return RunSpec(
        task=table_of_points(rows),
        split=LeakyRandom(frac_train=n / rows),
        model=ToyHeadsSpec(spread=0.005, **model),  # pyright: ignore[reportArgumentType]
        optimiser=SGD(lr=lr, warmup_steps=0),
        steps=steps,
        measures=(Curves(schedule=Schedule(every=1_000_000, until=10, per_decade=8)),),
        checkpoints=only_ends,
    )


ADAM = AdamW(lr=1e-3, weight_decay=0.0, warmup_steps=0)
STRENGTHS = run_of(trains="strengths")
SGD_ONE_NUMBER = "one strength a head, SGD"
ADAM_FULL = "one strength a head, Adam, full batch"
ADAM_ONE = "one strength a head, Adam, one at a time"
DRAWN, DRAWN_TWO = "as drawn, 8 points", "as drawn, 2 points"
FREE = "as drawn, weak attention, long"
REVERSE = "from the general head alone"
HALF = 0.5
DOSES: dict[Budget, tuple[tuple[int, float], ...]] = {
    "quick": ((8, 0.0), (8, 0.25), (8, 0.5), (8, 1.0), (2, 0.5), (16, 0.5)),
    "standard": tuple((n, c) for n in (2, 8, 16, 32) for c in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)),
    "full": tuple((n, c) for n in (2, 8, 16, 32, 64) for c in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)),
}


def dose_arm(n: int, sharing: float) -> str:
    """The name of an arm in which n points share so much."""
    return f"{n} points, sharing {sharing:g}"


def arms(budget: Budget) -> tuple[Arm, ...]:
    """The doses with routed gradients, the picture as drawn, one number a head, and the way back."""
    return (
        *(
            Arm(dose_arm(n, c), run_of(n, sharing=c, routed=True), role="treatment" if c else "control")
            for n, c in DOSES[budget]
        ),
        Arm(DRAWN, run_of()),
        Arm(DRAWN_TWO, run_of(2)),
        Arm(FREE, run_of(steps=2_000, attention=0.5)),
        Arm(SGD_ONE_NUMBER, STRENGTHS),
        Arm(ADAM_FULL, STRENGTHS.replace(optimiser=ADAM)),
        Arm(ADAM_ONE, STRENGTHS.replace(optimiser=ADAM, batch=MiniBatch(batch_size=1), steps=800)),
        Arm(REVERSE, run_of(steps=400, sharing=HALF, routed=True, shallow_strength=0.0)),
    )


def heads_of(spec: RunSpec) -> ToyHeadsSpec:
    """The heads of a run."""
    assert isinstance(spec.model, ToyHeadsSpec)
    return spec.model


def predicted(budget: Budget) -> Numbers:
    """By arm the ratio of gains: 1 + (n - 1) c, of one number a head n under SGD, and under Adam what
    descents of the same few numbers give.
    """
    return {arm.name: {"ratio": _predicted_ratio(arm.spec)} for arm in arms(budget)}


def _predicted_ratio(spec: RunSpec) -> float:
    heads, n = heads_of(spec), spec.data().n_train
    if heads.trains == "circuits":
        return 1 + (n - 1) * heads.sharing
    rivals = Rivals(n, spec.task.n_labels, heads.general_strength, heads.shallow_strength)
    if spec.optimiser.name == "sgd":
        return float(n)
    s, v = descent(rivals, "adamw", spec.optimiser.lr, [0, spec.steps], batch_size=spec.batch.batch_size)
    return float(rivals.ratio(s, v)[-1].mean())


class Margins(NamedTuple):
    """What is added to the margin of each training point: by the general head, by the point's own
    shallow head, and by all heads.
    """

    general: Float[np.ndarray, " point"]
    own: Float[np.ndarray, " point"]
    all: Float[np.ndarray, " point"]

    @property
    def share_of_general(self) -> float:
        """Of the mean margin."""
        return float(self.general.mean() / self.all.mean())


def margins(model: Model, spec: RunSpec) -> Margins:
    """The margin of each training point, by who adds it."""
    data = spec.data()
    inputs, labels = data.inputs[data.is_train], data.labels[data.is_train]
    seen: dict[str, Array] = {}
    model(jnp.asarray(inputs), recording(seen))
    (site,) = model.sites
    written = np.asarray(seen[site.name], np.float64)
    at = np.arange(len(labels))
    by_head = written[at, labels] - written[at, 1 - labels]
    return Margins(by_head[:, -1], by_head[at, inputs[:, 0]], by_head.sum(axis=1))


@lru_cache(maxsize=1024)
def ends(run: Run) -> tuple[Margins, Margins]:
    """The margins before training and after."""
    before, after = (margins(run.model(step), run.spec) for step in (0, run.checkpoints[-1]))
    return before, after


def ratio(run: Run) -> float | Missing:
    """Of the gains: general to shallow."""
    before, after = ends(run)
    general, own = (float((b - a).mean()) for a, b in zip(before[:2], after[:2], strict=True))
    return general / own if min(general, own) > 0 else Missing("one of both gained nothing")


def log_ratio(run: Run) -> float | Missing:
    """log10 of it."""
    found = ratio(run)
    return found if isinstance(found, Missing) else math.log10(found)


def change_of_share(run: Run) -> float:
    """Of the general head's part of the margin from first to last step."""
    before, after = ends(run)
    return after.share_of_general - before.share_of_general


def taken_back(run: Run) -> float:
    """What shallow heads have of the margin at the last step."""
    return 1 - ends(run)[1].share_of_general


def beside_predicted(table: Table, endpoint: Endpoint) -> Measured:
    """log10 of an arm's ratio over the one stated before; of all doses the one that is furthest off."""
    doses = [dose_arm(n, c) for n, c in DOSES[table.budget]]
    names = doses if endpoint.arm == ALL_DOSES else [endpoint.arm]
    missing: Counter[str] = Counter()
    off: dict[int, list[float]] = {}
    for name in names:
        said = table.predicts(name, "ratio")
        values = values_of(table, name, endpoint.statistic, missing)
        if said is None:
            missing.update(["no number was predicted before the runs"] * len(values))
            continue
        for seed, value in values.items():
            assert isinstance(value, float)
            off.setdefault(seed, []).append(value - math.log10(said))
    worst = {seed: max(its, key=abs) for seed, its in off.items() if len(its) == len(names)}
    return Measured(aggregate(list(worst.values())), worst, missing=missing)


def as_drawn(table: Table) -> str:
    """What the picture itself shows, and when the numbers were predicted."""
    ratios = [found for run in table.of(DRAWN) if not isinstance(found := ratio(run), Missing)]
    drawn = (
        f"As the post draws it, with tokens that have nothing in common, the ratio is "
        f"{np.mean(ratios):.2f}, not {N}: the general head grows no faster. "
        if ratios
        else ""
    )
    return f"{drawn}{table.said_of_predictions}"


ALL_DOSES = "all doses"
TENTH = math.log10(1.1)
HOW = (
    "A head's gain: by how much what it writes adds more to the margin than before training; of the "
    "general head the mean over training points, of shallow ones that on their own points."
)
RATIO = Statistic("log10 of gain, general to shallow", HOW, log_ratio, says=times("more", "less"))
AS_SAID = replace(
    RATIO,
    name="log10 of gain, general to shallow, minus that predicted",
    says=times_predicted,
)
SHARE = Statistic(
    "change of the general head's share of the margin",
    "What it adds to the margin over what all heads add, last step minus first.",
    change_of_share,
    range=(-1.0, 1.0),
    says=points("of the margin"),
)
BACK = Statistic(
    "share of the margin that shallow heads take when only the general one is there",
    "One minus the general head's share at the last step; it begins at 1.",
    taken_back,
    says=points("of the margin"),
)
Faster = partial(Endpoint, claim="P5", statistic=RATIO, rule=Exceeds(TENTH))
As = partial(Endpoint, claim="P5", statistic=AS_SAID, rule=Within(TENTH), measured=beside_predicted)


def endpoints(budget: Budget) -> tuple[Endpoint, ...]:
    """The doses together decide; each by itself, and the picture as drawn, say how robust that is."""
    return (
        As("as-sharing-says", arm=ALL_DOSES, is_primary=True, note=as_drawn),
        Faster("as-drawn", arm=DRAWN),
        Faster("as-drawn-two", arm=DRAWN_TWO),
        Faster("half-shared", arm=dose_arm(8, HALF)),
        Faster("wholly-shared", arm=dose_arm(8, 1.0)),
        Faster("one-strength", arm=SGD_ONE_NUMBER),
        Faster("adam-full-batch", arm=ADAM_FULL),
        Faster("adam-one-at-a-time", arm=ADAM_ONE),
        *(As(f"as predicted: {arm}", arm=arm) for arm in (SGD_ONE_NUMBER, ADAM_FULL, ADAM_ONE)),
        *(As(f"as predicted: {dose_arm(*dose)}", arm=dose_arm(*dose)) for dose in DOSES[budget]),
        Endpoint("share-as-drawn", "P5", SHARE, FREE, Exceeds(0.02)),
        Endpoint("shallow-come-back", "P5", BACK, REVERSE, Exceeds(0.02)),
    )


def figures(table: Table) -> Iterator[Figure]:
    """The ratio of gains by how much is shared, beside 1 + (n - 1) c."""
    rows = []
    for n, c in DOSES[table.budget]:
        arm = dose_arm(n, c)
        for run in table.of(arm):
            found = ratio(run)
            if not isinstance(found, Missing):
                its = {"run": run.id, "seed": run.spec.seeds.model, "layer": "seed"}
                rows.append({"n": f"{n} points", "sharing": c, "ratio": found, **its})
        if table.has(arm) and (said := table.predicts(arm, "ratio")) is not None:
            rows.append({"n": f"{n} points", "sharing": c, "ratio": said, "layer": "theory"})
    if rows:
        yield _doses_figure(rows, table)


def _doses_figure(rows: Sequence[dict[str, object]], table: Table) -> Figure:
    frame = pd.DataFrame(rows).assign(series=lambda f: f["layer"].map(NAMED), panel=lambda f: f["n"])
    return chart(
        "toy_heads_doses",
        "How much faster the general head grows, by what the data points share",
        "Gain of the general head over that of a shallow head on its own point. A dot a seed; the line "
        "is 1 + (n − 1) c, with c the product of two points' tokens. At c = 0, as the post draws it, "
        f"each point pushes weights of its own in the general head. {table.said_of_predictions}",
        frame,
        {
            "seed": Layer("dots", "sharing", "ratio", tell=("run", "seed")),
            "theory": Layer("lines", "sharing", "ratio"),
        },
        x=Scale("sharing c"),
        y=Scale("gain, general to shallow"),
        looks=LOOKS,
        across=2,
    )


NAMED = {"seed": "one seed", "theory": "predicted"}
LOOKS = {
    "one seed": Look(theme.SIDES["train"], opacity=0.6),
    "predicted": Look(theme.SIDES["val"], dash="6px,3px"),
}
SHARING, DRAWN_RIGHT = "push in proportion to sharing", "push by the count alone"

STUDY = Study(
    name="toy-heads",
    question="Does one head for all data points grow faster than a head for each, as pictured?",
    claims=(
        Claim(
            "P5",
            "Of two points that are memorised by two shallow heads or by one general head, gradient "
            "descent prefers the general head, for it is reinforced twice as often.",
        ),
    ),
    hypotheses={
        SHARING: (
            "Pushes add up only where they reach the same weights: the general head gains 1 + (n - 1) c "
            "times as much as a shallow one, c being what two points share. As the post draws it, with "
            "tokens that have nothing in common, the general head grows no faster. With one strength a "
            "head it gains n times as much under SGD and about as much under full-batch Adam."
        ),
        DRAWN_RIGHT: (
            "The post's picture as drawn: a head that n points use is reinforced n times as often and "
            "grows faster, whatever the points share."
        ),
        SIMPLICITY: (
            "One head is simpler than many, whatever pushes it: the general head grows faster in every "
            "arm, under full-batch Adam too."
        ),
    },
    predictions=(
        Prediction(SHARING, "as-sharing-says", ">"),
        Prediction(SHARING, "as-drawn", "none"),
        Prediction(SHARING, "as-drawn-two", "none"),
        Prediction(SHARING, "half-shared", ">"),
        Prediction(SHARING, "adam-full-batch", "none"),
        Prediction(DRAWN_RIGHT, "as-drawn", ">"),
        Prediction(DRAWN_RIGHT, "as-drawn-two", ">"),
        Prediction(DRAWN_RIGHT, "as-sharing-says", "<"),
        Prediction(SIMPLICITY, "as-drawn", ">"),
        Prediction(SIMPLICITY, "adam-full-batch", ">"),
    ),
    predicted=predicted,
    arms=arms,
    endpoints=endpoints,
    figures=figures,
)
