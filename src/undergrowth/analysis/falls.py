"""Which loss falls first: when each has come down by the same factor since validation's was highest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from undergrowth.store.events import DEFAULT_RULES, Rules, events

DROP = 0.5
"""Decades: a loss that is divided by 3 has fallen."""

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Falls:
    """When the two losses of a run fall, in steps.

    since: where validation loss is highest, of the least of three evaluations, so that no spike is taken
    for its height; train, val: bounds of the step at which the running minimum of each has fallen by the
    drop since then, the last evaluation before and the first at which it has; (last step, infinity)
    where it never does.
    """

    since: int
    train: Bounds
    val: Bounds

    @property
    def lead(self) -> Bounds:
        """Bounds of the steps by which validation loss falls earlier than the floor of train loss."""
        return self.train[0] - self.val[1], self.train[1] - self.val[0]

    @property
    def lead_in_decades(self) -> Bounds:
        """Bounds of log10(step of the train floor's fall / step of validation's)."""
        train, val = np.log10(np.maximum(self.train, 1)), np.log10(np.maximum(self.val, 1))
        return float(train[0] - val[1]), float(train[1] - val[0])


def falls(curves: xr.Dataset, drop: float = DROP, rules: Rules = DEFAULT_RULES) -> Falls | None:
    """From `train_accuracy`, `train_loss` and `val_loss`, dim (step); None where nothing is memorised.

    The same drop, in decades, is asked of both: validation loss from its highest since memorised, train
    loss from the lowest that it had been by then, its floor. A loss that has settled there within the
    drop, and only wiggles, spikes or rises afterwards, has no fall. One that still comes down from
    memorising when validation loss is highest falls at once.
    """
    memorised = events(curves, rules)["memorised"].first
    if memorised is None:
        return None
    train, val = (curves[f"{side}_loss"].dropna("step") for side in ("train", "val"))
    height = val.rolling(step=3, center=True, min_periods=1).min().sel(step=slice(memorised, None))
    since = int(height["step"][int(height.values.argmax())])
    floor = train.sel(step=slice(None, since)).min()
    return Falls(
        since,
        train=_below(train, since, float(floor) * 10**-drop),
        val=_below(val, since, float(height.max()) * 10**-drop),
    )


def _below(loss: xr.DataArray, since: int, level: float) -> Bounds:
    """Bounds of the first step after `since` at which a loss is below a level."""
    steps = loss["step"].values
    found = np.flatnonzero((steps > since) & (loss.values < level))
    if not len(found):
        return float(steps[-1]), np.inf
    return float(steps[found[0] - 1]), float(steps[found[0]])
