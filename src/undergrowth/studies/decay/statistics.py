"""How many memorised-only and general predictions are lost as the weights move or decay goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from undergrowth.analysis.forgetting import (
    ALIKE_WITHIN,
    LEAST_MATCHED,
    along,
    matched_difference,
    share_lost,
)
from undergrowth.store import Run
from undergrowth.studies.decay.arms import APART, PLACES, UPTO, WRONG, distance
from undergrowth.studies.statistic import Missing, Statistic, beside, points

Score = Literal["right", "confident"]
Class = Literal["general", "shallow"]
GRID = APART * np.arange(PLACES + 1)
NO_CLASS = "a class has no predictions at the fork"
TOO_LATE = "reached its switch too late"
SCORES: dict[Score, str] = {"right": "right", "confident": "held at p > ½"}


@dataclass(frozen=True, eq=False)
class Undone:
    """A fork from the reading on at which the gradient is taken away, to the end of the path.

    distance [reading]: of the weights from where they were; margin, log_prob [reading, example]: of the
    label, see `Predictions`; general, shallow: bool [example], the classes, fixed at the fork.
    val_accuracy: at the fork.
    """

    distance: np.ndarray
    margin: np.ndarray
    log_prob: np.ndarray
    general: np.ndarray
    shallow: np.ndarray
    val_accuracy: float

    def members(self, cls: Class, score: Score = "right") -> np.ndarray:
        """bool [example]: those of a class for which the score holds at the fork."""
        return getattr(self, cls) & self.holds(score)[0]

    def holds(self, score: Score) -> np.ndarray:
        """bool [reading, example]: whether it is right, or likelier right than not."""
        return self.margin > 0 if score == "right" else self.log_prob > np.log(0.5)

    def lost(self, cls: Class, score: Score = "right") -> np.ndarray:
        """Of each member of a class the share of the path on which it is lost."""
        return share_lost(self.distance, self.holds(score)[:, self.members(cls, score)], UPTO)

    def mean_lost(self, cls: Class, score: Score = "right") -> float:
        """The mean over a class; NaN where it has none."""
        lost = self.lost(cls, score)
        return float(lost.mean()) if len(lost) else float("nan")

    def excess(self, score: Score) -> float | Missing:
        """What is lost of shallow predictions minus what is lost of general ones."""
        found = self.mean_lost("shallow", score) - self.mean_lost("general", score)
        return Missing(NO_CLASS) if np.isnan(found) else found

    def matched(self) -> tuple[float, float]:
        """The same for right predictions with an equal margin at the fork, NaN where they are too few;
        and the share of the smaller class that has such a match.
        """
        shallow, general = (self.members(cls) for cls in ("shallow", "general"))
        margin = self.margin[0]
        found, n = matched_difference(
            self.lost("shallow"), margin[shallow], self.lost("general"), margin[general]
        )
        return found, n / max(1, min(int(shallow.sum()), int(general.sum())))

    def kept(self, cls: Class, score: Score) -> np.ndarray:
        """The share of a class that still holds at each distance of `GRID`; NaN where it has none."""
        return self._along(self.holds(score)[:, self.members(cls, score)] * 1.0, np.mean)

    def relative_margin(self, cls: Class) -> np.ndarray:
        """Likewise the median over a class of the margin as a share of that at the fork."""
        margin = self.margin[:, self.members(cls)]
        return self._along(margin / margin[0], np.median)

    def _along(self, values: np.ndarray, middle: Callable[..., np.ndarray]) -> np.ndarray:
        has_none = not values.size
        return np.full(len(GRID), np.nan) if has_none else along(self.distance, middle(values, 1), GRID)


@lru_cache(maxsize=512)
def undone(run: Run) -> Undone | Missing:
    """What a fork's readings say."""
    names = ("prediction_margin", "prediction_log_prob")
    if not set(names) <= set(run.names):
        return Missing(TOO_LATE)
    margin, log_prob = (run[name].sel(step=slice(run.forked_at, None)) for name in names)
    steps = margin["step"].values
    away = distance(run.spec, steps - steps[:1])
    if not len(away) or away[-1] < UPTO - 1e-9:
        return Missing(TOO_LATE)
    on_path = np.append(True, (np.diff(away) > 0) & (away[:-1] < UPTO))
    margin, log_prob = (each.values[on_path] for each in (margin, log_prob))
    data = run.spec.data()
    right = margin[0] > 0
    return Undone(
        away[on_path],
        margin,
        log_prob,
        general=data.is_val & right,
        shallow=(data.is_noisy if run.spec.label_noise else data.is_train) & right,
        val_accuracy=float(right[data.is_val].mean()),
    )


def of_fork(number: Callable[[Undone], float | Missing]) -> Callable[..., float | Missing]:
    """A number of a fork, or of a fork minus its control's."""

    def of(run: Run) -> float | Missing:
        fork = undone(run)
        return fork if isinstance(fork, Missing) else number(fork)

    return beside(of)


PATH = (
    f"Lost: the share of the path to {UPTO:g} of the norm on which a prediction is no longer {{}}; mean."
)
DILUTED = (
    "Some of the right training predictions are general too (a share a, the validation accuracy at the "
    "fork), so the difference between memorised-only and general ones is this one times 1 / (1 - a)."
)
MATCHED = (
    "Each prediction of the smaller class is paired with the one of the other class with the nearest "
    f"margin at the fork, within {ALIKE_WITHIN:.0%}."
)


def excess(setup: str, score: Score = "right", minus: str = "") -> Statistic:
    """What is lost of shallow predictions minus of general ones; minus: beside which other way."""
    classes = f"{'wrong labels' if setup == WRONG else 'right training'} - right validation predictions"
    return Statistic(
        f"lost: {classes} ({SCORES[score]}), as a share of the path{minus}",
        PATH.format(SCORES[score]) + ("" if setup == WRONG else f" {DILUTED}"),
        of_fork(lambda fork: fork.excess(score)),
        range=(-2.0, 2.0) if minus else (-1.0, 1.0),
        says=points("of the path, memorised lost more than general"),
    )


def matched(setup: str) -> Statistic:
    """The same among predictions of equal margin."""
    every = excess(setup)
    few = Missing(f"fewer than {LEAST_MATCHED} predictions have a match of equal margin")

    def of(fork: Undone) -> float | Missing:
        found, _ = fork.matched()
        return few if np.isnan(found) else found

    return replace(
        every, name=f"{every.name}, of equal margin", how=f"{every.how} {MATCHED}", of=of_fork(of)
    )


def earlier(score: Score) -> Statistic:
    """What a network that has memorised loses of its training predictions more than a grokked one."""
    return Statistic(
        f"lost: training predictions ({SCORES[score]}), memorised - grokked, as a share of the path",
        PATH.format(SCORES[score]),
        of_fork(lambda fork: fork.mean_lost("shallow", score)),
        range=(-1.0, 1.0),
        says=points("of the path, lost more when memorised"),
    )


def lag(run: Run) -> float | Missing:
    """By how much the median margin of wrong labels is short of the right ones', as a share of it: mean
    over the readings since the fork.
    """
    if "prediction_margin" not in run.names:
        return Missing(TOO_LATE)
    margin = run["prediction_margin"].sel(step=slice(run.forked_at, None)).values
    if not len(margin):
        return Missing(TOO_LATE)
    data, right = run.spec.data(), margin[0] > 0
    classes = (data.is_noisy & right, data.is_train & ~data.is_noisy & right)
    if not all(members.any() for members in classes):
        return Missing(NO_CLASS)
    wrong_margin, right_margin = (np.median(margin[:, members], axis=1) for members in classes)
    if (right_margin <= 0).any():
        return Missing("half of the right labels are lost at some point")
    return float(np.mean(1 - wrong_margin / right_margin))


LAGGING = Statistic(
    "relative margin deficit of wrong labels against right ones, decay switched on - off",
    "The gradient stays on. Among training labels predicted right at the fork, 1 - (median margin of "
    "wrong ones / median margin of right ones), mean over the readings since; scaling all margins alike "
    "changes nothing.",
    beside(lag),
    says=points("of the right labels' margin more deficit"),
)
