"""What a switch in mid-run did: to when validation got there, and to how both sides went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy
import xarray as xr

from undergrowth.store.events import DEFAULT_RULES, Event, Rules, events

LASTING = 0.1
"""For how much of the steps after a switch, at their end, validation is to be there to have stayed."""


@dataclass(frozen=True, eq=False)
class Switched:
    """A run from the step at which it was switched.

    curves: its whole curves, dim (step); at: the step of the switch; horizon: the last step that it
    was to be trained to, where a rule stopped it that of its stop, after which nothing is known;
    is_complete: whether it came there, or diverged before; was_there: whether it was stopped because
    validation had been there for as long as the rule asks, which is taken for having stayed.
    """

    curves: xr.Dataset
    at: int
    horizon: int
    is_complete: bool = True
    rules: Rules = DEFAULT_RULES
    was_there: bool = False

    @cached_property
    def grokked(self) -> Event:
        """When validation got there, in steps of the whole run."""
        return events(self.curves, self.rules)["grokked"]

    @property
    def is_too_late(self) -> bool:
        """Whether it had got there before it was switched, so that the switch could speed up nothing."""
        first = self.grokked.first
        return first is not None and first <= self.at

    @property
    def reaches_threshold(self) -> bool:
        """Whether validation ever got there."""
        return not self.grokked.censored

    @property
    def retains(self) -> bool:
        """Whether validation was there over all of the last `LASTING` of the steps after the switch, or
        for as long as the rule asks that stopped the run.
        """
        stable = self.grokked.stable
        has_lasted = stable is not None and (self.was_there or stable <= self._lasts_from)
        return self.is_complete and has_lasted

    @property
    def _lasts_from(self) -> float:
        """The last evaluation that leaves `LASTING` of the steps after the switch; -inf without one."""
        evaluated = self.curves["val_accuracy"].dropna("step")["step"].values
        allowed = evaluated[evaluated <= self.horizon - LASTING * (self.horizon - self.at)]
        return float(allowed[-1]) if len(allowed) else -float("inf")

    @property
    def remaining(self) -> int:
        """Steps from the switch until validation got there, or as many as it was watched."""
        first = self.grokked.first
        return max(1, (self.horizon if first is None else first) - self.at)

    def steps_since(self, start: int | None) -> tuple[int, bool]:
        """Steps from a start until validation got there, at least what evaluations can resolve, and
        whether it did. None, a start that never came: counted from the switch.
        """
        end = self.grokked.first
        resolution = 1 if end is None else end - (self.grokked.before or 0)
        steps = (self.horizon if end is None else end) - (self.at if start is None else start)
        return max(steps, resolution, 1), end is not None

    def after(self, name: str, until: int | None = None) -> xr.DataArray:
        """A curve from the switch on, up to a step."""
        return self.curves[name].dropna("step").sel(step=slice(self.at, until))

    @property
    def fall(self) -> float:
        """How far train accuracy fell below where it stood at the switch."""
        train = self.after("train_accuracy").values
        return float(train[0] - train.min()) if len(train) else float("nan")

    @property
    def steps_below(self) -> float:
        """Steps after the switch that ended with a train accuracy below the level of memorisation."""
        train = self.after("train_accuracy")
        lasted = np.diff(train["step"].values, prepend=self.at)
        return float(lasted[train.values < self.rules.memorised].sum())

    @property
    def climbed_while_below(self) -> float:
        """The share of validation's way to the level of grokking that it had made before train accuracy
        was back at the level of memorisation until validation got there, or to the end; 0 where that
        never fell below it.

        NaN where validation was at its level at the switch.
        """
        until = self.grokked.first
        train, val = (self.after(f"{side}_accuracy", until).values for side in ("train", "val"))
        if not len(val) or val[0] >= self.rules.grokked:
            return float("nan")
        below = np.flatnonzero(train < self.rules.memorised)
        reached = val[below[-1]] if len(below) else val[0]
        return float(np.clip((reached - val[0]) / (self.rules.grokked - val[0]), 0, 1))

    @property
    def correlation(self) -> float:
        """Spearman's correlation of the changes of both sides' log loss, from the switch until
        validation got there, or to the end.

        Changes are from one evaluation to the next; NaN with fewer than 5, or where a loss stands still.
        """
        until = self.grokked.first
        train, val = (
            self.after(f"{side}_loss", until).values.astype(np.float64) for side in ("train", "val")
        )
        if len(train) < 6:
            return float("nan")
        mine, its = (np.diff(np.log(np.maximum(loss, 1e-30))) for loss in (train, val))
        if np.ptp(mine) == 0 or np.ptp(its) == 0:
            return float("nan")
        found: Any = scipy.stats.spearmanr(mine, its)
        return float(found.statistic)


def speed_up(switched: Switched, control: Switched) -> tuple[float, float]:
    """Bounds of log10(control's remaining steps / the switched run's); see `log_ratio`."""
    return log_ratio(
        (switched.remaining, switched.reaches_threshold), (control.remaining, control.reaches_threshold)
    )


def log_ratio(switched: tuple[int, bool], control: tuple[int, bool]) -> tuple[float, float]:
    """Bounds of log10(control's steps / the switched run's), each with whether it got there.

    Equal where both did. A switched run that did not takes more steps than it had, so the ratio is open
    below; a control that did not leaves it open above; where neither did nothing is known.

    >>> log_ratio((100, True), (1000, True))
    (1.0, 1.0)
    >>> log_ratio((1000, False), (1000, True))
    (-inf, 0.0)
    """
    (steps, got), (its_steps, it_got) = switched, control
    ratio = float(np.log10(its_steps / steps))
    return ratio if got else -np.inf, ratio if it_got else np.inf


def median_speed_up(pairs: Sequence[tuple[Switched, Switched]]) -> tuple[float, str]:
    """The median, over pairs of a switched run and its control, of the control's remaining steps / its.

    And '<' where the run at the median had not got there, '>' where its control had not. NaN without a
    pair.
    """
    ratios = sorted(
        (c.remaining / r.remaining, r.reaches_threshold, c.reaches_threshold) for r, c in pairs
    )
    ratio, got, its_got = ratios[len(ratios) // 2] if ratios else (float("nan"), True, True)
    return ratio, {(False, True): "<", (True, False): ">"}.get((got, its_got), "")


def narrowing(switched: Switched, control: Switched) -> float:
    """By how much the gap between train and validation accuracy is narrower than the control's.

    The mean over the steps from the switch to when the first of the two runs gets there, in accuracy.
    NaN where nothing lies between.
    """
    ends = [run.grokked.first or run.horizon for run in (switched, control)]
    gaps = [
        run.after("train_accuracy", min(ends)) - run.after("val_accuracy", min(ends))
        for run in (switched, control)
    ]
    mine, its = xr.align(*gaps, join="inner")
    steps = mine["step"].values
    if len(steps) < 2:
        return float("nan")
    return float(np.trapezoid((its - mine).values, steps) / (steps[-1] - steps[0]))
