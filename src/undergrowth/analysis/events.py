"""When a run memorised, began to generalise (onset) and grokked: times that may be censored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr

EventName = Literal["memorised", "onset", "grokked"]


@dataclass(frozen=True)
class Rules:
    """The levels that define the events; stated with every number that depends on them.

    memorised: train accuracy at or above this; grokked: validation accuracy at or above this; onset:
    validation accuracy this far above its level when the run had memorised.
    """

    memorised: float = 0.99
    grokked: float = 0.99
    onset: float = 0.05

    def describe(self, event: EventName) -> str:
        """The rule of an event in words."""
        return {
            "memorised": f"train accuracy ≥ {self.memorised:g}",
            "onset": f"validation accuracy stays > its level when memorised + {self.onset:g}",
            "grokked": f"validation accuracy ≥ {self.grokked:g}",
        }[event]


DEFAULT_RULES = Rules()


@dataclass(frozen=True)
class Event:
    """When something happened in a run, in steps.

    first: the first evaluation at which the rule held; stable: the first from which it held to the
    end; before: the evaluation before `first`, so the true time lies in (before, first]; each None
    where it never did, which is not a missing value but a censored one: later than `last`, the last
    evaluation. Of a run that a rule stopped that is its stop: `first` is what it would have been,
    `stable` holds up to there, and a fall that would have come later is not seen.
    """

    name: EventName
    first: int | None
    stable: int | None
    before: int | None
    last: int

    @property
    def censored(self) -> bool:
        """Whether the run ended before the event."""
        return self.first is None

    @property
    def collapsed(self) -> bool:
        """Whether the rule held at some time but no longer at the end."""
        return self.first is not None and self.stable is None


def events(curves: xr.Dataset, rules: Rules = DEFAULT_RULES) -> dict[EventName, Event]:
    """The three events of a run from its `train_accuracy` and `val_accuracy`, dim (step)."""
    train = curves["train_accuracy"].dropna("step")
    val = curves["val_accuracy"].dropna("step")
    if not (train.size and val.size):  # it diverged before it was evaluated, or has only begun
        last = int(curves["step"][-1]) if curves["step"].size else 0
        return {name: Event(name, None, None, None, last) for name in get_args(EventName)}
    memorised = _reached("memorised", train, train.values >= rules.memorised)
    grokked = _reached("grokked", val, val.values >= rules.grokked)
    return {
        "memorised": memorised,
        "onset": _onset(val, memorised, rules),
        "grokked": grokked,
    }


def _onset(val: xr.DataArray, memorised: Event, rules: Rules) -> Event:
    """Validation leaves its chance or leak level for good: only the stable time counts."""
    steps = val["step"].values
    if memorised.first is None:
        return Event("onset", None, None, None, int(steps[-1]))
    level = float(val.sel(step=memorised.first, method="nearest"))
    above = (val.values > level + rules.onset) & (steps >= memorised.first)
    reached = _reached("onset", val, above)
    if reached.stable is None:
        return Event("onset", None, None, None, reached.last)
    at = int(np.searchsorted(steps, reached.stable))
    return Event("onset", reached.stable, reached.stable, int(steps[max(at - 1, 0)]), reached.last)


def onset_by_loss(curves: xr.Dataset, drop: float, rules: Rules = DEFAULT_RULES) -> Event:
    """Validation loss is for good below its highest value since memorised by more than a share `drop`.

    From `train_accuracy` and `val_loss`, dim (step); only the stable time counts, as in the onset by
    accuracy.
    """
    memorised, loss = events(curves, rules)["memorised"].first, curves["val_loss"].dropna("step")
    last = int(loss["step"][-1])
    if memorised is None:
        return Event("onset", None, None, None, last)
    since = loss.sel(step=slice(memorised, None))
    highest = np.maximum.accumulate(since.values)
    reached = _reached("onset", since, since.values < (1 - drop) * highest)
    if reached.stable is None:
        return Event("onset", None, None, None, last)
    at = int(np.searchsorted(since["step"].values, reached.stable))
    return Event("onset", reached.stable, reached.stable, int(since["step"][max(at - 1, 0)]), last)


def _reached(name: EventName, curve: xr.DataArray, holds: np.ndarray) -> Event:
    steps = curve["step"].values
    last = int(steps[-1])
    if not holds.any():
        return Event(name, None, None, None, last)
    first = int(holds.argmax())
    fails = np.flatnonzero(~holds)
    stable = 0 if not len(fails) else int(fails[-1]) + 1
    return Event(
        name,
        first=int(steps[first]),
        stable=int(steps[stable]) if stable < len(steps) else None,
        before=int(steps[first - 1]) if first else None,
        last=last,
    )
