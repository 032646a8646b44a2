"""Spikes of a loss: where they are, what they coincide with, and what changed across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from jaxtyping import Float, Int

Level = Float[np.ndarray, " step"]
Steps = Int[np.ndarray, " reading"]


def spikes(
    curve: xr.DataArray,
    *,
    height: float = math.log(2),
    deviations: float = 6.0,
    window: int = 500,
    foot: float = 0.1,
    apart: int = 20,
    log: bool = True,
    floor: float = 1e-8,
) -> pd.DataFrame:
    """The spikes of a curve, dim (step), over evenly spaced steps: one row each, in order.

    A spike is a peak that stands above its base, and above the higher of its two sides in the window of
    `window` steps around it, by at least `height` and by at least `deviations` times the noise; at half
    its prominence it is no wider than a quarter of the window. The base is where the curve stood before:
    the running median of the half window before, or of the window around if that is lower, as it is
    on a falling curve. The noise is the curve's standard deviation from step to step, 1.4826 / sqrt 2
    times the running median of its absolute changes. A loss that jumps often oscillates: peaks with less
    than `apart` steps from the right of one to the left of the next are one spike, the highest.

    log: heights are of the natural logarithm, so in nats (log 2: a doubling); else in the curve's unit.
    floor: on a log scale, values below count as this, zeros too; the default is about where float32
    losses that round to zero begin to chatter.

    Columns: peak, its step; left, right, the last step before and the first after it (and any peaks
    merged with it) at which the curve is down to `foot` of the height, or of the prominence if that is
    less; value, of the curve at the peak; base; height, prominence, above the base and above the
    higher side; width, in steps, of the one peak at half its prominence (scipy.signal.peak_widths).

    Raises ValueError where steps are not evenly spaced, fewer than 5 of them are in a window, or a value
    is not finite, or negative on a log scale.
    """
    spacing = _spacing(curve)
    level = _level(curve, floor if log else None)
    half = _half(window, spacing, len(level))
    base, noise = _base(level, half), _noise(level, half)
    least, across = np.maximum(height, deviations * noise), 2 * half + 1
    peaks, found = scipy.signal.find_peaks(level, base + least, prominence=(None, None), wlen=across)
    prominences, *sides = (found[name] for name in ("prominences", "left_bases", "right_bases"))
    heights = level[peaks] - base[peaks]
    widths = scipy.signal.peak_widths(level, peaks, 0.5, prominence_data=(prominences, *sides))[0]
    lesser = np.minimum(heights, prominences), *sides
    _, _, left, right = scipy.signal.peak_widths(level, peaks, 1 - foot, prominence_data=lesser)
    steps = curve["step"].values
    table = pd.DataFrame(
        {
            "peak": steps[peaks],
            "left": steps[np.floor(left).astype(int)],
            "right": steps[np.ceil(right).astype(int)],
            "value": curve.values[peaks].astype(np.float64),
            "base": np.exp(base[peaks]) if log else base[peaks],
            "height": heights,
            "prominence": prominences,
            "width": widths * spacing,
        }
    )
    stands = (prominences >= least[peaks]) & (2 * widths <= half)
    return _as_one(table.loc[stands], apart)


def _as_one(peaks: pd.DataFrame, apart: int) -> pd.DataFrame:
    """The highest of peaks whose sides are less than so many steps apart, with the sides of them all."""
    reached = peaks["right"].cummax().shift(fill_value=-apart)
    groups = peaks.groupby((peaks["left"] - reached >= apart).cumsum())
    sides = _outer(groups)
    highest = peaks.loc[groups["value"].idxmax()].reset_index(drop=True)
    return highest.assign(**{side: sides[side].to_numpy() for side in sides})


def _outer(groups: Any) -> pd.DataFrame:
    """The first left and the last right of each."""
    return groups.agg(left=("left", "min"), right=("right", "max"))


def separated(windows: pd.DataFrame, steps: Steps) -> pd.DataFrame:
    """Windows between which there is a reading: those that none of `steps` separates, so that what
    changed across one cannot be told from what changed across the next, are one.

    windows: columns left and right, in order of left.
    """
    reached = windows["right"].cummax().shift(fill_value=-1).to_numpy()
    between = np.searchsorted(steps, windows["left"]) - np.searchsorted(steps, reached, side="right")
    return _outer(windows.groupby((between > 0).cumsum())).reset_index(drop=True)


def _base(level: Level, half: int) -> Level:
    """Where a curve stands without what rises from it.

    Before its first step it stood where it began; after its last one it is its own mirror image.
    """
    padded = np.concatenate([np.full(half, level[0]), level, level[: -half - 1 : -1]])
    before = scipy.ndimage.median_filter(padded, half, origin=(half - 1) // 2)
    return np.minimum(before, scipy.ndimage.median_filter(padded, 2 * half + 1))[half:-half]


def _noise(level: Level, half: int) -> Level:
    """The standard deviation of white noise, from step to step, to which leaps add nothing."""
    changes = np.abs(np.diff(level))
    noise = 1.4826 / math.sqrt(2) * scipy.ndimage.median_filter(changes, 2 * half + 1, mode="reflect")
    return np.append(noise, noise[-1])


def _half(window: int, spacing: int, n: int) -> int:
    """Values in half a window, of a curve of n."""
    half = min(window // spacing, n) // 2
    if half < 2:
        raise ValueError(f"window = {window}: less than 5 steps of a curve with one every {spacing}")
    return half


def _spacing(curve: xr.DataArray) -> int:
    """Steps from one value to the next."""
    if curve.dims != ("step",):
        raise ValueError(f"a curve has only the axis 'step', not {curve.dims}: select one curve")
    steps = curve["step"].values
    gaps = np.diff(steps)
    if len(gaps) < 4:
        raise ValueError(f"a curve of {len(steps)} steps is too short to have spikes: use 5 or more")
    if (gaps != gaps[0]).any():
        at = int((gaps != gaps[0]).argmax())
        raise ValueError(
            f"steps {steps[at]} and {steps[at + 1]} are not {gaps[0]} apart like those before: use "
            "an evenly spaced part, curve.sel(step=slice(first, last)), or update_loss"
        )
    return int(gaps[0])


def _level(curve: xr.DataArray, floor: float | None) -> Level:
    """The curve itself, or with a floor its logarithm."""
    values = curve.values.astype(np.float64)
    wrong = ~np.isfinite(values) if floor is None else ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(
            f"the curve is {values[at]:g} at step {curve['step'].values[at]}: spikes need finite values"
            f"{'' if floor is None else ', none below 0 on a log scale'}: cut it before, or fix it"
        )
    return values if floor is None else np.log(np.maximum(values, floor))


@dataclass(frozen=True)
class Coincidence:
    """How often events of one kind lie beside events of another.

    rate: the share of the n events that have one of the n_others beside them; expected: its mean when
    the events are shifted against the others; p: the share of the n_shifts shifts, none at all among
    them, at which the rate is as high or higher. Without events rate and p are NaN.
    """

    rate: float
    expected: float
    p: float
    n: int
    n_others: int
    n_shifts: int


def coincidence(
    events: Sequence[int] | np.ndarray,
    others: Sequence[int] | np.ndarray,
    *,
    within: int,
    steps: tuple[int, int],
    n_shifts: int | None = None,
    rng: np.random.Generator | None = None,
) -> Coincidence:
    """Whether events have others at most `within` steps away more often than if they were elsewhere.

    All events are shifted together, circularly from the first to the last of `steps`, which preserves
    their spacing: by every number of steps, or by `n_shifts` drawn from `rng` and by none. If the two
    are unrelated, p is at most a in a share a of cases. If both merely crowd into one part of the run,
    that alone makes them coincide: pass that part as `steps`, with the events in it.

    Raises ValueError for a step outside `steps`, and where only one of n_shifts and rng is given.
    """
    first, last = steps
    mine, theirs = (np.asarray(each, np.int64) - first for each in (events, others))
    period = last - first + 1
    for step in (*mine, *theirs):
        if not 0 <= step < period:
            raise ValueError(f"step {step + first} is not from {first} to {last}: omit it")
    if (n_shifts is None) != (rng is None):
        raise ValueError("n_shifts and rng go together: give both, or none for every shift")
    beside = np.zeros(period, bool)
    for lag in range(-within, within + 1):
        beside[(theirs + lag) % period] = True
    shifts = np.arange(period) if rng is None else np.array([0, *rng.integers(1, period, n_shifts)])
    counts = np.zeros(len(shifts), np.int64)
    for step in mine:
        counts += beside[(step + shifts) % period]
    n = len(mine)
    rate, p = (counts[0] / n, np.mean(counts >= counts[0])) if n else (np.nan, np.nan)
    expected = float(counts.mean() / n) if n else float(beside.mean())
    return Coincidence(float(rate), expected, float(p), n, len(theirs), len(shifts))


def across(reading: xr.DataArray, windows: pd.DataFrame, *, within: int) -> xr.Dataset:
    """A stored reading [step, ...] before and after each of some windows, such as spikes.

    windows: columns left and right. before, after [window, ...]: at the nearest step strictly before
    left and strictly after right, NaN if none is within `within` steps; change: after minus before;
    before_step, after_step [window]: those steps, or NaN.
    """
    sides = _beside(reading, windows, within)
    dims = ("window", *reading.dims[1:])
    return xr.Dataset(
        {
            "before": (dims, sides.before),
            "before_step": ("window", sides.before_step),
            "after": (dims, sides.after),
            "after_step": ("window", sides.after_step),
            "change": (dims, sides.after - sides.before),
        },
        coords={**_without_step(reading), "window": windows.index.to_numpy()},
    )


class _Sides(NamedTuple):
    """Plain arrays: a study of spikes asks for those of some thousand windows."""

    before: np.ndarray
    before_step: np.ndarray
    after: np.ndarray
    after_step: np.ndarray


def _beside(reading: xr.DataArray, windows: pd.DataFrame, within: int) -> _Sides:
    """What `across` says of each window, the windows first."""
    steps, values = reading["step"].values, reading.values
    left, right = (windows[side].to_numpy() for side in ("left", "right"))
    found = []
    for at, edge in (
        (np.searchsorted(steps, left) - 1, left),
        (np.searchsorted(steps, right, side="right"), right),
    ):
        nearest = np.clip(at, 0, len(steps) - 1)
        is_there = (at == nearest) & (np.abs(steps[nearest] - edge) <= within)
        its = values[nearest].astype(np.float64)
        its[~is_there] = np.nan
        found += [its, np.where(is_there, steps[nearest], np.nan)]
    return _Sides(*found)


def _without_step(reading: xr.DataArray) -> dict[Any, xr.DataArray]:
    return {name: its for name, its in reading.coords.items() if "step" not in its.dims}


def matched_windows(
    spikes: pd.DataFrame,
    *,
    steps: tuple[int, int],
    rng: np.random.Generator,
    within: int,
    n: int = 10,
    ratio: float = 1.25,
) -> pd.DataFrame:
    """Windows without a spike to compare each spike with: columns spike, left, right.

    For each spike up to `n` different windows of its own length, drawn at random among those of similar
    phase, which start at most a factor of `ratio` later or earlier in log-step, lie between the first
    and the last of `steps`, and touch no spike with up to `within` steps on either side, where readings
    are taken for theirs. A spike without such a window has no row.
    """
    first, last = steps
    taken = spikes[["left", "right"]].to_numpy()
    rows = []
    for spike, (left, right) in zip(spikes.index, taken, strict=True):
        length = right - left
        earliest, latest = math.ceil(left / ratio), math.floor(left * ratio)
        starts = np.arange(max(earliest, first), min(latest, last - length) + 1)
        for its_left, its_right in taken:
            is_clear = (starts - within > its_right) | (starts + length + within < its_left)
            starts = starts[is_clear]
        chosen = np.sort(rng.choice(starts, min(n, len(starts)), replace=False))
        rows += [(spike, start, start + length) for start in chosen]
    return pd.DataFrame(rows, columns=["spike", "left", "right"])


def against_matched(
    reading: xr.DataArray, spikes: pd.DataFrame, matched: pd.DataFrame, *, within: int
) -> xr.Dataset:
    """How much more a stored reading [step, ...] changes across each spike than across its matches.

    change [spike, ...]: across the spike; matched [spike, ...]: the mean across those of its
    `matched_windows` with readings on both sides; excess: change minus matched; n_matched [spike]: their
    number. NaN where there is none, or the spike itself lacks readings on both sides.
    """
    mine, others = (_beside(reading, each, within) for each in (spikes, matched))
    change, changes = mine.after - mine.before, others.after - others.before
    is_known = np.isfinite(others.before_step + others.after_step)
    its = matched["spike"].to_numpy()
    sets = [is_known & (its == spike) for spike in spikes.index]
    means = [changes[known].sum(axis=0) / (known.sum() or np.nan) for known in sets]
    mean, dims = np.reshape(means, change.shape), ("spike", *reading.dims[1:])
    found = {"change": (dims, change), "matched": (dims, mean), "excess": (dims, change - mean)}
    counts = np.array([known.sum() for known in sets], int)
    coords = {**_without_step(reading), "spike": spikes.index.to_numpy()}
    return xr.Dataset({**found, "n_matched": ("spike", counts)}, coords=coords)


def who_flips(correct: xr.DataArray, windows: pd.DataFrame, *, within: int) -> pd.DataFrame:
    """Which examples go from wrong to right or from right to wrong across each window.

    correct: 1 or 0 (or bool) [step, example]. Columns window, example, change: +1 learned, -1 forgotten.
    A window without readings on both sides has no row.
    """
    change = across(correct, windows, within=within)["change"].transpose("window", "example")
    at, example = np.nonzero(np.nan_to_num(change.values))
    return pd.DataFrame(
        {
            "window": change["window"].values[at],
            "example": change["example"].values[example] if "example" in change.coords else example,
            "change": change.values[at, example].astype(int),
        }
    )
