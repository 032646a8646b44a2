"""How much of a learning curve is one jump: 0 for a straight line, 1 for a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy
import xarray as xr

StepAxis = Literal["linear", "log"]

WIDTH = 0.05
"""The steepest stretch is this share of the steps that it took to learn."""
LEARNED = 0.99
"""What was learned by the time that this share of the rise is reached is the curve that is judged."""
LEAST_RISE = 0.1
"""A curve that rises by less, or by less than LEAST_RATIO times its noise, has learned nothing."""
LEAST_RATIO = 10.0
SMOOTHED = 5
"""Evaluations whose running median is taken first: of a curve that only rises it changes nothing."""

RULE = (
    f"the share of its rise in its steepest stretch of {WIDTH:.0%} of the steps up to {LEARNED:.0%} of "
    "the rise, normalised so that a straight line has 0 and a step 1 (after a running median of "
    f"{SMOOTHED} evaluations and an isotonic fit)"
)


@dataclass(frozen=True)
class Jump:
    """The steepest stretch of a learning curve.

    size: from 0 (a straight line) to 1 (a step); start, stop: the steps between which it lies;
    learned: the step at which `LEARNED` of the rise was reached; level, rise: where the isotonic fit
    begins, and by how much it rises; is_resolved: whether evaluations are closer than the stretch is
    long, else `size` is a lower bound; wait: the steps to a tenth of the rise over those to nine tenths:
    1 for a step, 1/9 for a straight line, less for what rises at once and then ever more slowly.
    """

    size: float
    start: float
    stop: float
    learned: float
    level: float
    rise: float
    is_resolved: bool
    wait: float


def jump(curve: xr.DataArray, axis: StepAxis = "linear") -> Jump | None:
    r"""The jump of a curve over `step` that rises when something is learned; None where nothing is.

    With F the isotonic fit to the running median, scaled to rise from 0 to 1, u the position on the
    axis (the step t, or log(1 + t)) counted so that it runs from 0 to 1 where F reaches `LEARNED`, and
    w = `WIDTH`,

    .. math:: J = \frac{\max_u [F(u + w) - F(u)] / F(1) - w}{1 - w}.

    It is the same for a + b y with b > 0; on the linear axis for t -> c t. Another rule of counting
    steps, t -> g(t), gives another J: a straight line has 0 on the linear axis and more on the log one.
    A curve that falls again later counts up to the level of the fit.
    """
    return _jump(*_known(curve), axis)


def _jump(steps: np.ndarray, values: np.ndarray, axis: StepAxis) -> Jump | None:
    if len(steps) < 3:
        return None
    fit = _rising(values)
    rise = fit[-1] - fit[0]
    noise = float(np.std(np.diff(values) - np.diff(fit)) / np.sqrt(2))
    if not rise >= max(LEAST_RISE, LEAST_RATIO * noise):
        return None
    return _steepest(_positions(steps, axis), fit, axis)


PLACES = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1.5, 70), np.linspace(0.02, 1.5, 75)]))
"""Shares of the steps that it took to learn, dense enough for a linear axis and for a log one."""


def mean_rise(curves: Sequence[tuple[xr.DataArray, Jump]]) -> pd.DataFrame:
    """The mean of learning curves, each counted by its own length and rise: columns steps, rise.

    steps: `PLACES`, as shares of `Jump.learned`; rise: 0 at the level where the isotonic fit begins and
    1 where it ends, NaN beyond the end of all curves.
    """
    found = []
    for curve, jump in curves:
        steps, values = _known(curve)
        scaled = (values - jump.level) / jump.rise
        found.append(np.interp(PLACES, steps / jump.learned, scaled, right=np.nan))
    known = np.isfinite(found).sum(axis=0)
    rise = np.where(known > 0, np.nansum(found, axis=0) / np.maximum(known, 1), np.nan)
    return pd.DataFrame({"steps": PLACES, "rise": rise})


def noise_floor(curve: xr.DataArray, axis: StepAxis, rng: np.random.Generator, draws: int = 20) -> float:
    """The mean jump of straight lines with the rise, the evaluations and the noise of a curve.

    The noise is what the isotonic fit leaves of the curve, in random order. NaN where there is no jump.
    """
    steps, values = _known(curve)
    found = _jump(steps, values, axis)
    if found is None:
        return float("nan")
    end = float(_positions(np.array([found.learned]), axis)[0])
    line = found.rise * np.clip(_positions(steps, axis) / end, 0, 1)
    residuals = values - _rising(values)
    noisy = (_jump(steps, line + rng.permutation(residuals), axis) for _ in range(draws))
    sizes = [one.size for one in noisy if one is not None]
    return float(np.mean(sizes)) if sizes else float("nan")


def _known(curve: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, where there is one."""
    steps, values = (np.asarray(array, np.float64) for array in (curve["step"], curve))
    is_known = ~np.isnan(values)
    return steps[is_known], values[is_known]


def _rising(values: np.ndarray) -> np.ndarray:
    """The curve that never falls and is nearest to the running median."""
    smooth = scipy.ndimage.median_filter(values, size=SMOOTHED, mode="nearest")
    return np.asarray(scipy.optimize.isotonic_regression(smooth).x)


def _positions(steps: np.ndarray, axis: StepAxis) -> np.ndarray:
    return np.log1p(steps) if axis == "log" else steps


def _steps(positions: np.ndarray, axis: StepAxis) -> np.ndarray:
    return np.expm1(positions) if axis == "log" else positions


def _steepest(at: np.ndarray, fit: np.ndarray, axis: StepAxis) -> Jump:
    """The stretch of `WIDTH` with most of the rise; the curve is taken to be straight in between."""
    rise = fit[-1] - fit[0]
    share = (fit - fit[0]) / rise
    tenth, most, learned = (_reached(at, share, level) for level in (0.1, 0.9, LEARNED))
    length = WIDTH * (learned - at[0])
    knots = at[at < learned]
    starts = np.clip(
        np.concatenate([knots, knots - length, [learned - length]]), at[0], learned - length
    )
    gains = np.interp(starts + length, at, share) - np.interp(starts, at, share)
    best = starts[int(np.argmax(gains))]
    steepest = float(gains.max()) / LEARNED
    around = slice(max(int(np.searchsorted(at, best, "right")) - 1, 0), None)
    near = at[around][: int(np.searchsorted(at[around], best + length)) + 1]
    first, last, end, tenth, most = _steps(np.array([best, best + length, learned, tenth, most]), axis)
    return Jump(
        size=float(np.clip((steepest - WIDTH) / (1 - WIDTH), 0, 1)),
        start=float(first),
        stop=float(last),
        learned=float(end),
        level=float(fit[0]),
        rise=float(rise),
        is_resolved=bool(np.diff(near).max(initial=0) <= length * (1 + 1e-9)),
        wait=float(tenth / most),
    )


def _reached(at: np.ndarray, share: np.ndarray, level: float) -> float:
    """Where a share that begins at 0 and ends at 1 first comes to a level between."""
    after = int(np.argmax(share >= level))
    part = (level - share[after - 1]) / (share[after] - share[after - 1])
    return float(at[after - 1] + part * (at[after] - at[after - 1]))
