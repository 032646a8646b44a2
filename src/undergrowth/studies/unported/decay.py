"""Does weight decay work because it degrades shallow circuits more than general ones? P8, its mechanism.

The post: weight decay is the most effective regulariser, because it degrades shallow circuits more. Here
the gradient of the loss is taken away from networks that have memorised, half grokked or grokked, and
decay or noise goes on alone: what is lost first, predictions that are only memorised or generalised
ones?

What decay alone does is a straight line: every weight is multiplied by one number. A network without
biases whose logits are homogeneous in all weights (the two-token MLP here: of degree 3) then has all
logits multiplied by one number too, so no prediction can change, whatever circuit it rests on; it loses
confidence alone. Attention, or biases, make a network inhomogeneous, and predictions change: the
transformer here. So both are set side by side, and accuracy and confidence are both read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import xarray as xr
from undergrowth.studies.boost_arms import TRUNKS

from undergrowth.analysis import Verdict, estimate
from undergrowth.analysis.forgetting import ALIKE_WITHIN, along, matched_difference, share_lost
from undergrowth.measures import Curves, Predictions
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.report import theme
from undergrowth.report.by_arm import Panel, by_arm_figure
from undergrowth.report.figure import Figure
from undergrowth.report.forgetting import Cell, Line, kept_figure
from undergrowth.report.groups import plural
from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.studies.study import Answer, Budget, Claim, Study
from undergrowth.tasks import CommutationSafe
from undergrowth.training.interventions import (
    AfterIntervention,
    AnyForkPoint,
    Intervention,
    Kick,
    NoOp,
    ResetMoments,
    ScaleGradient,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import AdamW
from undergrowth.training.schedules import Schedule

SEEDS: dict[Budget, tuple[int, int]] = {"quick": (4, 2), "standard": (16, 10), "full": (10, 10)}
"""Seeds with true labels, and seeds of the control with shuffled labels."""

TRANSFORMER, MLP, WRONG = "transformer", "two-token MLP", "transformer, wrong labels"
WRONG_SHARE = 0.03
"""Of the training labels made wrong where memorised-only examples are known by construction."""

SMALL_TRANSFORMER = TRUNKS["small"]["addition"].replace(
    split=CommutationSafe(frac_train=0.8),
    model=TransformerSpec(d_model=32, n_heads=2, d_head=16, d_mlp=128),
    optimiser=AdamW(lr=5e-3, weight_decay=1.0),
    steps=3_500,
)
"""Memorised near step 100, validation at 0.5 between 500 and 1,000, at 0.9 by 2,500. 4 s on a core.

Tried beside it, two seeds each: p = 23 with 75 % of the pairs and decay 1 or 2 (one seed of two does not
come to 0.5 in 2,500 steps), width 64 at lr 3e-3 (640 and 1,280), 85 % of the pairs (300 and 260). With
5 % wrong labels and 85 % of the pairs 820 and 2,460; the MLP with 10 % of them does not come to 0.5 in
3,000.
"""

TRUNK: dict[str, dict[str, RunSpec]] = {
    "small": {
        TRANSFORMER: SMALL_TRANSFORMER,
        MLP: TRUNKS["small"]["addition"],
        WRONG: SMALL_TRANSFORMER.replace(
            split=CommutationSafe(frac_train=0.85), label_noise=WRONG_SHARE
        ),
    },
    "large": {
        TRANSFORMER: TRUNKS["large"]["addition"],
        MLP: TRUNKS["large"]["addition"].replace(
            model=TwoTokenMLPSpec(d_embed=128, d_mlp=512), split=CommutationSafe(frac_train=0.5)
        ),
        WRONG: TRUNKS["large"]["addition"].replace(
            split=CommutationSafe(frac_train=0.5), label_noise=WRONG_SHARE
        ),
    },
}
SCALE: dict[Budget, str] = {"quick": "small", "standard": "small", "full": "large"}

Switch = Literal["memorised", "half grokked", "grokked"]
SWITCHES: dict[Switch, AnyForkPoint] = {
    "memorised": WhenCrosses(reading="train_accuracy", level=0.99),
    "half grokked": WhenCrosses(reading="val_accuracy", level=0.5),
    "grokked": WhenCrosses(reading="val_accuracy", level=0.9),
}
AT_A_READING = WhenCrosses(reading="train_accuracy", level=0.0)
"""When the gradient is taken away: at the first reading from the switch on, which fixes the classes."""

STEPS: dict[str, dict[Switch, int]] = {
    "small": {"memorised": 800, "half grokked": 2_500, "grokked": 3_500},
    "large": {"memorised": 5_000, "half grokked": 20_000, "grokked": 20_500},
}
"""How long forks go on: past the path's end where they begin as late as any was seen to. Those with
wrong labels, which begin between 460 and 2,300, as long as their trunk."""

EVERY, PLACES, APART = 20, 16, 0.05
"""Readings along the path: every so many steps, so many of them, so far apart as a share of the norm."""
UPTO = PLACES * APART
"""The end of the path: weights have moved by this share of their norm at the fork."""
SHRINKS = 0.005
"""lr x decay of decay alone: the path is the same straight line at any rate; at 0.8 by step 322."""

What = Literal["trains on", "nothing", "decay", "noise"]
Score = Literal["right", "confident"]


def kicks() -> tuple[Intervention, ...]:
    """A random walk that is `APART`, 2 `APART`, ... away after every `EVERY` steps.

    Kicks in independent directions add up as their squares, and each is told as a share of the norm
    that the weights have by then.
    """
    away = APART * np.arange(PLACES + 1)
    squares = np.diff(away**2) / (1 + away[:-1] ** 2)
    each = [Kick(norm=float(np.sqrt(square)), relative=True) for square in squares]
    return tuple(
        Intervention(
            trigger=AfterIntervention(intervention=0, steps=EVERY * k) if k else AT_A_READING,
            action=kick,
        )
        for k, kick in enumerate(each)
    )


@dataclass(frozen=True)
class Arm:
    """What is done to a set-up's run from a switch on.

    what: 'trains on' (a fork that does nothing); without the loss's gradient 'nothing', 'decay' or
    'noise' alone; 'trunk': the run that all leave.
    """

    setup: str
    what: What | Literal["trunk"]
    switch: Switch = "half grokked"
    labels: Literal["true", "shuffled"] = "true"

    @property
    def trunk(self) -> Arm:
        """The arm that it leaves."""
        return Arm(self.setup, "trunk", labels=self.labels)

    def spec(self, scale: str, seed: int = 0) -> RunSpec:
        """Its run."""
        trunk = TRUNK[scale][self.setup].replace(labels=self.labels).seeded(seed)
        if self.what == "trunk":
            return trunk
        assert isinstance(trunk.optimiser, AdamW)
        decay = SHRINKS / trunk.optimiser.lr if self.what == "decay" else 0.0
        alone = (ScaleGradient(factor=0.0), ResetMoments(), SetWeightDecay(weight_decay=decay))
        actions = (NoOp(),) if self.what == "trains on" else alone
        walk = kicks() if self.what == "noise" else ()
        steps = trunk.steps if self.setup == WRONG else STEPS[scale][self.switch]
        evenly = Schedule(every=EVERY, until=steps)
        return trunk.forked(
            SWITCHES[self.switch],
            *(Intervention(trigger=AT_A_READING, action=action) for action in actions),
            *walk,
            steps=steps,
            measures=(Curves(schedule=evenly), Predictions(schedule=evenly)),
        )

    def distance(self, steps: np.ndarray) -> np.ndarray:
        """How far the weights are from where they began so many steps before, as a share of their norm.

        Of an arm whose way is not known beforehand, as decay alone would have it.
        """
        if self.what != "noise":
            return 1 - (1 - SHRINKS) ** steps
        return APART * np.minimum(np.ceil(steps / EVERY), PLACES)


ALONE: tuple[What, ...] = ("decay", "noise")
ARMS = (
    *(Arm(setup, "trunk") for setup in (TRANSFORMER, MLP, WRONG)),
    *(Arm(setup, what) for setup in (TRANSFORMER, MLP) for what in ("trains on", "nothing", *ALONE)),
    *(Arm(WRONG, what) for what in ALONE),
    *(
        Arm(setup, what, switch)
        for setup in (TRANSFORMER, MLP)
        for switch in ("memorised", "grokked")
        for what in ALONE
    ),
)
SHUFFLED = (
    Arm(TRANSFORMER, "trunk", labels="shuffled"),
    *(Arm(TRANSFORMER, what, "memorised", "shuffled") for what in ALONE),
)


LEFT_OUT: dict[Budget, tuple[Arm, ...]] = {
    "quick": tuple(Arm(TRANSFORMER, what, "grokked") for what in ALONE),
    "standard": (),
    "full": (),
}


@lru_cache
def runs(budget: Budget, seeds: int | None = None) -> tuple[RunSpec, ...]:
    """Every arm's runs, seed by seed; then those with shuffled labels: of `seeds`, half as many."""
    n_true, n_control = SEEDS[budget] if seeds is None else (seeds, max(2, seeds // 2))
    scale = SCALE[budget]
    return (
        *(
            arm.spec(scale, seed)
            for seed in range(n_true)
            for arm in ARMS
            if arm not in LEFT_OUT[budget]
        ),
        *(arm.spec(scale, seed) for seed in range(n_control) for arm in SHUFFLED),
    )


@lru_cache
def _arms_by_kind() -> Mapping[str, Arm]:
    return {
        arm.spec(scale).without_seeds().id: arm
        for scale in ("large", "small")
        for arm in (*ARMS, *SHUFFLED)
    }


@dataclass(frozen=True, eq=False)
class Undone:
    """A fork from the reading on at which the gradient is taken away.

    distance [reading]: of the weights from where they were; lead, log_prob [reading, example]: of the
    label, see `Predictions`; general, shallow: bool [example], the classes, fixed at the fork.
    val_accuracy: at the fork.
    """

    distance: np.ndarray
    lead: np.ndarray
    log_prob: np.ndarray
    general: np.ndarray
    shallow: np.ndarray
    val_accuracy: float

    def members(self, cls: Literal["general", "shallow"], score: Score = "right") -> np.ndarray:
        """bool [example]: those of a class for which the score holds at the fork."""
        return getattr(self, cls) & self.holds(score)[0]

    def holds(self, score: Score) -> np.ndarray:
        """bool [reading, example]: whether it is right, or likelier right than not."""
        return self.lead > 0 if score == "right" else self.log_prob > np.log(0.5)

    def lost(self, cls: Literal["general", "shallow"], score: Score = "right") -> np.ndarray:
        """Of each member of a class the share of the path on which it is lost."""
        return share_lost(self.distance, self.holds(score)[:, self.members(cls, score)], UPTO)

    def mean_lost(self, cls: Literal["general", "shallow"], score: Score = "right") -> float:
        """The mean over a class; NaN where it has none, or the run ends before the path."""
        lost = self.lost(cls, score)
        return float(lost.mean()) if len(lost) else float("nan")

    def excess(self, score: Score) -> float:
        """What is lost of shallow predictions minus what is lost of general ones."""
        return self.mean_lost("shallow", score) - self.mean_lost("general", score)

    def matched_excess(self, score: Score) -> tuple[float, float]:
        """The same for predictions with an equal lead at the fork; and the share of the smaller class
        that has such a match.
        """
        shallow, general = (self.members(cls, score) for cls in ("shallow", "general"))
        lead = self.lead[0]
        found, n = matched_difference(
            self.lost("shallow", score), lead[shallow], self.lost("general", score), lead[general]
        )
        return found, n / max(1, min(int(shallow.sum()), int(general.sum())))

    @property
    def is_whole(self) -> bool:
        """Whether its readings go to the path's end."""
        return bool(self.distance[-1] >= UPTO - 1e-9)

    def kept(self, cls: Literal["general", "shallow"], score: Score, grid: np.ndarray) -> np.ndarray:
        """The share of a class that still holds at each distance."""
        holds = self.holds(score)[:, self.members(cls, score)]
        return along(self.distance, holds.mean(axis=1) if holds.size else _none(holds), grid)

    def relative_lead(self, cls: Literal["general", "shallow"], grid: np.ndarray) -> np.ndarray:
        """The median over a class of the lead as a share of that at the fork, at each distance."""
        mine = self.members(cls)
        share = self.lead[:, mine] / self.lead[0, mine]
        return along(self.distance, np.median(share, axis=1) if mine.any() else _none(share), grid)


def _none(values: np.ndarray) -> np.ndarray:
    return np.full(len(values), np.nan)


def undone(arm: Arm, run: Run) -> Undone | None:
    """What a fork's readings say; None where it never left its trunk, or not before its own end."""
    names = ("prediction_lead", "prediction_log_prob")
    if run.forked_at is None or run.forked_at > run.spec.steps or not set(names) <= set(run.names):
        return None
    lead, log_prob = (run[n].sel(step=slice(run.forked_at, None)) for n in names)
    if not lead.sizes["step"]:
        return None
    distance = arm.distance(lead["step"].values - int(lead["step"][0]))
    on_path = np.append(True, np.diff(distance) > 0)
    lead, log_prob = (each.values[on_path] for each in (lead, log_prob))
    data = run.spec.data()
    right = lead[0] > 0
    return Undone(
        distance[on_path],
        lead,
        log_prob,
        general=data.is_val & right,
        shallow=(data.is_noisy if run.spec.label_noise else data.is_train) & right,
        val_accuracy=float(right[data.is_val].mean()),
    )


@dataclass(frozen=True, eq=False)
class Found:
    """The stored forks by arm and seeds.

    absent: by arm that there is a run of, for how many of the seeds that its trunk was forked with
    nothing can be said: it did not come to the switch, or not in time, or failed, or was not trained.
    """

    arms: Mapping[Arm, Mapping[object, Undone]]
    absent: Mapping[Arm, int]

    def of(self, arm: Arm) -> list[Undone]:
        """An arm's forks in the order of their seeds."""
        found = self.arms.get(arm, {})
        return [found[seeds] for seeds in sorted(found, key=str)]

    def pairs(self, arm: Arm, other: Arm) -> list[tuple[Undone, Undone]]:
        """The forks of two arms that have the same seeds."""
        mine, its = self.arms.get(arm, {}), self.arms.get(other, {})
        return [(mine[seeds], its[seeds]) for seeds in sorted(mine, key=str) if seeds in its]


def found_in(runs: Sequence[Run]) -> Found:
    """The runs as this study's arms; runs of no arm are left out."""
    arms: dict[Arm, dict[object, Undone]] = {}
    seeds: dict[Arm, set[object]] = {}
    kinds = _arms_by_kind()
    for run in sorted(runs, key=lambda run: run.id):
        arm = kinds.get(run.spec.without_seeds().id)
        if arm is None or arm.what == "trunk":
            continue
        seeds.setdefault(arm, set()).add(run.spec.seeds)
        found = undone(arm, run) if run.status == "done" else None
        if found is not None and found.is_whole:
            arms.setdefault(arm, {})[run.spec.seeds] = found
    forked: dict[Arm, set[object]] = {}
    for arm, mine in seeds.items():
        forked.setdefault(arm.trunk, set()).update(mine)
    absent = {arm: len(forked[arm.trunk] - set(arms.get(arm, ()))) for arm in seeds}
    return Found(arms, absent)


CLASSES = {
    TRANSFORMER: "right training − right validation predictions",
    MLP: "right training − right validation predictions",
    WRONG: "memorised wrong labels − right validation predictions",
}
SCORES: dict[Score, str] = {"right": "right", "confident": "held at p > ½"}
PATH = (
    f"Lost: the share of the way to {UPTO:g} of the norm on which a prediction is no longer {{score}}, "
    "mean over those that were at the fork. "
)
DILUTED = (
    "Of right training predictions a part is general too (validation accuracy a at the fork), so the "
    "difference between memorised-only and general ones is this one by 1 / (1 − a), of the same sign. "
)
DECISION = "Supported if the interval lies above 0, memorised-only lost sooner; contradicted if below."


def _rule(setup: str, score: Score, decision: str = DECISION, matched: bool = False) -> str:
    alike = (
        "Each prediction of the smaller class beside that of the other with the nearest lead at the "
        f"fork, within {ALIKE_WITHIN:.0%}. "
        if matched
        else ""
    )
    diluted = "" if setup == WRONG else DILUTED
    return PATH.format(score=SCORES[score]) + diluted + alike + decision


def _verdict(
    arms: Sequence[Arm], found: Found, statistic: str, values: Sequence[float], rule: str, note: str
) -> Verdict:
    known = [value for value in values if np.isfinite(value)]
    return Verdict("P8", "decay", statistic, estimate(known), 0.0, rule, _told(arms, found, known, note))


def _told(arms: Sequence[Arm], found: Found, known: Sequence[float], note: str) -> str:
    """The note, and what is missing of the arms."""
    gone = sum(found.absent.get(arm, 0) for arm in arms)
    absent = (
        f" {plural(gone, 'fork')} left out: at the switch never or too late to go the whole way, "
        "failed, or not trained."
        if gone
        else ""
    )
    missing = [arm.what for arm in arms if not found.arms.get(arm) and not found.absent.get(arm)]
    lacks = f" No run of: {', '.join(missing)}." if missing else ""
    few = f" An interval needs 2 seeds, and there are {len(known)}." if len(known) < 2 else ""
    alike = (
        " All seeds are equal, so there is no interval." if len(known) > 1 and np.ptp(known) == 0 else ""
    )
    return f"{note}{absent}{lacks}{few}{alike}".strip()


def _alone(found: Found, setup: str, what: What, score: Score) -> Verdict:
    arm = Arm(setup, what)
    forks = found.of(arm)
    shallow, general = ([fork.mean_lost(cls, score) for fork in forks] for cls in ("shallow", "general"))
    note = (
        f"Lost: {_mean(shallow)} and {_mean(general)}; leads at the fork {_leads(forks)}; a = "
        f"{_mean([fork.val_accuracy for fork in forks])}.{_controls(found, setup, score)}"
    )
    return _verdict(
        [arm],
        found,
        f"{setup}, half grokked, {what} alone: lost of {CLASSES[setup]} ({SCORES[score]})",
        [fork.excess(score) for fork in forks],
        _rule(setup, score),
        note,
    )


def _leads(forks: Sequence[Undone]) -> str:
    medians = (
        _mean([np.median(fork.lead[0, fork.members(cls)]) for fork in forks if fork.members(cls).any()])
        for cls in ("shallow", "general")
    )
    return " and ".join(medians)


def _controls(found: Found, setup: str, score: Score) -> str:
    """What is lost where nothing acts, which must be nothing, and where training goes on."""
    told = []
    beside: dict[What, str] = {"nothing": "with neither", "trains on": "while training goes on"}
    for what, says in beside.items():
        lost = [fork.mean_lost("shallow", score) for fork in found.of(Arm(setup, what))]
        lost = [value for value in lost if np.isfinite(value)]
        if lost:
            told.append(f"{says} {_mean(lost)}")
    return f" Of training {', '.join(told)}." if told else ""


def _matched(found: Found, setup: str, what: What, score: Score) -> Verdict:
    arm = Arm(setup, what)
    matched = [fork.matched_excess(score) for fork in found.of(arm)]
    note = f"Matched: {_mean([share for _, share in matched])} of the smaller class."
    return _verdict(
        [arm],
        found,
        f"{setup}, half grokked, {what} alone, matched on their lead: lost of {CLASSES[setup]} "
        f"({SCORES[score]})",
        [difference for difference, _ in matched],
        _rule(setup, score, matched=True),
        note,
    )


def _against_noise(found: Found, setup: str, score: Score) -> Verdict:
    arms = [Arm(setup, what) for what in ALONE]
    return _verdict(
        arms,
        found,
        f"{setup}, half grokked, decay alone − noise alone: lost of {CLASSES[setup]} ({SCORES[score]})",
        [mine.excess(score) - its.excess(score) for mine, its in found.pairs(arms[0], arms[1])],
        _rule(
            setup,
            score,
            "Noise: random kicks that lead equally far. Supported if the interval lies above 0, decay "
            "tells them apart more than noise does; contradicted if below.",
        ),
        "",
    )


def _before_and_after(found: Found, setup: str, score: Score, what: What = "decay") -> Verdict:
    early, late = Arm(setup, what, "memorised"), Arm(setup, what, "grokked")
    pairs = found.pairs(early, late)
    lost = [(mine.mean_lost("shallow", score), its.mean_lost("shallow", score)) for mine, its in pairs]
    shuffled = found.of(Arm(TRANSFORMER, what, "memorised", "shuffled")) if setup == TRANSFORMER else []
    told = (
        f"; {_mean([f.mean_lost('shallow', score) for f in shuffled])} with shuffled labels"
        if shuffled
        else ""
    )
    means = [_mean([pair[i] for pair in lost]) for i in (0, 1)]
    return _verdict(
        [early, late],
        found,
        f"{setup}, {what} alone: lost of right training predictions when memorised − when grokked "
        f"({SCORES[score]})",
        [mine - its for mine, its in lost],
        PATH.format(score=SCORES[score])
        + "Supported if the interval lies above 0, the network that has only memorised loses more; "
        "contradicted if below.",
        f"Lost: {means[0]} and {means[1]}{told}.",
    )


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    return f"{np.mean(known):.3f}" if known else "unknown"


def verdicts(found: Found) -> tuple[Verdict, ...]:
    """On P8: decay alone, noise alone, one against the other, matched on leads, before and after."""
    each: tuple[Score, ...] = ("right", "confident")
    inhomogeneous = (TRANSFORMER, WRONG)
    return (
        *(_alone(found, setup, "decay", score) for setup in inhomogeneous for score in each),
        _alone(found, MLP, "decay", "confident"),
        *(_alone(found, setup, "noise", "right") for setup in TRUNK["small"]),
        *(_against_noise(found, setup, "right") for setup in inhomogeneous),
        _against_noise(found, MLP, "confident"),
        *(_matched(found, setup, "decay", "right") for setup in inhomogeneous),
        *(_matched(found, setup, "noise", "right") for setup in TRUNK["small"]),
        _before_and_after(found, TRANSFORMER, "right"),
        _before_and_after(found, MLP, "confident"),
        _before_and_after(found, MLP, "right", "noise"),
    )


def answer(runs: Sequence[Run]) -> Answer:
    """Verdicts on P8; what is kept by class over the distance, leads, and what is lost by arm."""
    found = found_in(runs)
    return Answer(verdicts(found), figures(found))


GRID = APART * np.arange(PLACES + 1)
NAMES = {"shallow": "training (memorised, in part general)", "general": "validation (general)"}
WRONG_NAME = "wrong labels (memorised)"


def figures(found: Found) -> tuple[Figure, ...]:
    """Nothing where no fork went the whole way."""
    if not any(found.of(arm) for arm in found.arms):
        return ()
    rule = (
        "Classes are fixed at the fork, where all their predictions are right; memorised ones of "
        "training and of wrong labels, general ones of validation. Without the gradient of the loss."
    )
    kept = {
        score: _cells(found, lambda fork, cls, score=score: fork.kept(cls, score, GRID))
        for score in SCORES
    }
    return (
        kept_figure(
            "decay_kept_right",
            "What predictions decay and noise alone leave right in a half-grokked network",
            f"{rule} A homogeneous network (the MLP) keeps every prediction under decay alone.",
            "still right",
            kept["right"],
            (0, 1.03),
        ),
        kept_figure(
            "decay_kept_confident",
            "What predictions decay and noise alone leave likelier right than not",
            f"{rule} Of those whose probability was above ½ at the fork, the share for which it "
            "still is.",
            "still p > ½",
            kept["confident"],
            (0, 1.03),
        ),
        kept_figure(
            "decay_leads",
            "How the lead of the correct label falls under decay and noise alone",
            f"{rule} Lead: its logit less the largest other one; median over the class of its share of "
            "that at the fork.",
            "lead / lead at the fork",
            _cells(found, lambda fork, cls: fork.relative_lead(cls, GRID)),
            (-0.3, 1.05),
        ),
        _by_arm(found),
    )


def _cells(
    found: Found, number: Callable[[Undone, Literal["general", "shallow"]], np.ndarray]
) -> list[Cell]:
    cells = []
    for setup in TRUNK["small"]:
        for what in ALONE:
            forks = found.of(Arm(setup, what))
            lines = [_line(forks, setup, cls, number) for cls in ("shallow", "general")]
            if forks:
                cells.append(Cell(f"{what} alone", setup, tuple(lines)))
    return cells


def _line(
    forks: Sequence[Undone],
    setup: str,
    cls: Literal["general", "shallow"],
    number: Callable[[Undone, Literal["general", "shallow"]], np.ndarray],
) -> Line:
    values = np.array([number(fork, cls) for fork in forks])
    array = xr.DataArray(values.reshape(-1, len(GRID)), {"distance": GRID}, ["run", "distance"])
    if cls == "general":
        return Line(NAMES[cls], array, theme.SIDES["val"], "4px,3px")
    if setup == WRONG:
        return Line(WRONG_NAME, array, theme.STRATEGIES["top"])
    return Line(NAMES[cls], array, theme.SIDES["train"])


def _by_arm(found: Found) -> Figure:
    panels = []
    for what in ALONE:
        for score, says in SCORES.items():
            values = {}
            for arm in (*ARMS, *SHUFFLED):
                if arm.what == what and found.of(arm):
                    values |= _rows(arm, found.of(arm), score)
            if values:
                panels.append(Panel(f"{what} alone: lost of those {says}", values))
    return by_arm_figure(
        "decay_lost_by_arm",
        "How much of each class is lost under decay or noise alone, by when the gradient is taken away",
        panels,
        f"Lost: mean over a class of the share of the way to {UPTO:g} of the norm on which a prediction "
        "does not hold.",
    )


def _rows(arm: Arm, forks: Sequence[Undone], score: Score) -> dict[str, list[float]]:
    where = f"{arm.setup}, {arm.switch}" + (", shuffled" if arm.labels == "shuffled" else "")
    first = "wrong labels" if arm.setup == WRONG else "training"
    rows = {f"{where}: {first}": [fork.mean_lost("shallow", score) for fork in forks]}
    if arm.switch != "memorised":
        rows[f"{where}: validation"] = [fork.mean_lost("general", score) for fork in forks]
    return rows


STUDY = Study(
    name="decay",
    question="Do decay and noise alone undo shallow circuits sooner than general ones?",
    claims=(
        Claim(
            "P8",
            "Of all regularisers weight decay is the most effective, because it degrades shallow "
            "circuits more than general ones.",
        ),
    ),
    predictions={
        "frequency of reinforcement": (
            "Without the gradient shallow circuits go first: memorised-only predictions are lost sooner "
            "than general ones, also where their leads are equal, and under decay more than under noise "
            "of the same length."
        ),
        "circuit efficiency": (
            "General circuits buy more lead by the same norm (Varma et al. 2023, arXiv:2309.02390), so "
            "decay costs memorised-only predictions their confidence sooner, as far as their lead is "
            "smaller; among predictions of equal lead there is no difference."
        ),
        "scaling alone": (
            "Decay alone multiplies all weights by one number. In a homogeneous network no prediction "
            "changes and all leads fall alike; what decay does to circuits it does with the gradient, "
            "which rebuilds some of them. Where attention makes a network inhomogeneous, what goes "
            "first is a matter of depth, not of shallow or general."
        ),
    },
    runs=runs,
    answer=answer,
)
