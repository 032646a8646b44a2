"""When a run memorised, began to generalise (onset) and grokked: times that may be censored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

if TYPE_CHECKING:  # a worker starts without xarray
    import xarray as xr

EventName = Literal["memorised", "onset", "grokked"]


@dataclass(frozen=True)
class Rules:
    """The levels that define the events; stated with every number that depends on them.

    memorised: train accuracy at or above this; grokked: validation accuracy at or above this; onset:
    validation accuracy this far above its level when the run had memorised, and from then on until it
    has grokked, or to the end where it never does; leaked: a level that an onset must be as far above as
    well, which is reached without generalising (see `beyond_leak`).
    """

    memorised: float = 0.99
    grokked: float = 0.99
    onset: float = 0.05
    leaked: float = 0.0

    def describe(self, event: EventName) -> str:
        """The rule of an event in words."""
        beyond = f" and > {self.leaked:.3g} + {self.onset:g}" if self.leaked else ""
        return {
            "memorised": f"train accuracy ≥ {self.memorised:g}",
            "onset": f"validation accuracy stays > its level when memorised + {self.onset:g}"
            f"{beyond} until the run has grokked",
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
    train, val = (_known(curves, f"{side}_accuracy") for side in ("train", "val"))
    steps = curves.variables["step"].values
    last = int(steps[-1]) if len(steps) else 0
    return events_between(train, val, last, rules)


def events_between(
    train: Curve, val: Curve, last: int, rules: Rules = DEFAULT_RULES
) -> dict[EventName, Event]:
    """The same from accuracy on both sides; last: the last evaluation of the run, of anything."""
    if not (len(train.steps) and len(val.steps)):  # it diverged before it was evaluated, or just began
        return {name: Event(name, None, None, None, last) for name in get_args(EventName)}
    memorised = _reached("memorised", train.steps, train.values >= rules.memorised)
    grokked = _reached("grokked", val.steps, val.values >= rules.grokked)
    return {
        "memorised": memorised,
        "onset": _onset(val, memorised, grokked, rules),
        "grokked": grokked,
    }


class Curve(NamedTuple):
    """Where it was evaluated; plain arrays, since a report asks for all events dozens of times."""

    steps: np.ndarray
    values: np.ndarray


def _known(curves: xr.Dataset, name: str) -> Curve:
    """A curve where it was evaluated."""
    values, steps = curves.variables[name].values, curves.variables["step"].values  # no arrays: dear
    is_known = ~np.isnan(values)
    return Curve(steps[is_known], values[is_known])


def _onset(val: Curve, memorised: Event, grokked: Event, rules: Rules) -> Event:
    """Validation leaves where it was when memorised for good: only the stable time counts."""
    if memorised.first is None:
        return Event("onset", None, None, None, int(val.steps[-1]))
    level = max(float(val.values[_nearest(val.steps, memorised.first)]), rules.leaked)
    above = (val.values > level + rules.onset) & (val.steps >= memorised.first)
    return _for_good("onset", val.steps, above, memorised.first, grokked.first)


def _nearest(steps: np.ndarray, step: int) -> int:
    return int(np.argmin(np.abs(steps - step)))


def _for_good(
    name: EventName, steps: np.ndarray, holds: np.ndarray, memorised: int, grokked: int | None
) -> Event:
    """From when a rule held until a run grokked, whatever it lost after; to the end where it never did,
    or before it memorised.
    """
    last = int(steps[-1])
    if grokked is not None and grokked >= memorised:
        steps, holds = steps[steps <= grokked], holds[steps <= grokked]
    reached = _reached(name, steps, holds)
    if reached.stable is None:
        return Event(name, None, None, None, last)
    before = int(steps[max(int(np.searchsorted(steps, reached.stable)) - 1, 0)])
    return Event(name, reached.stable, reached.stable, before, last)


def onset_by_loss(curves: xr.Dataset, drop: float, rules: Rules = DEFAULT_RULES) -> Event:
    """Validation loss is for good below its highest value since memorised by more than a share `drop`.

    From `train_accuracy` and `val_loss`, dim (step); only the stable time counts, as in the onset by
    accuracy.
    """
    times, loss = events(curves, rules), _known(curves, "val_loss")
    memorised, grokked = (times[name].first for name in ("memorised", "grokked"))
    if memorised is None:
        return Event("onset", None, None, None, int(loss.steps[-1]))
    since = loss.steps >= memorised
    steps, values = loss.steps[since], loss.values[since]
    has_fallen = values < (1 - drop) * np.maximum.accumulate(values)
    return _for_good("onset", steps, has_fallen, memorised, grokked)


def _reached(name: EventName, steps: np.ndarray, holds: np.ndarray) -> Event:
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
