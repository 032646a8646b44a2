"""Readings of a run over its steps: of all attempts at it, of its trunk, and measured afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from sqlite3 import Row
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from undergrowth.store import measured, rows
from undergrowth.store.errors import StoreError
from undergrowth.store.rows import Axes, Stored
from undergrowth.store.updates import joined, stretches_of

if TYPE_CHECKING:
    import xarray as xr

    from undergrowth.measures import Reading
    from undergrowth.measures.reading import Coordinate

OF_RUN = "readings WHERE run_id = ?1 AND step < ?2"

Sources = Sequence[tuple[str, int]]
"""Whose readings are a run's, by id, the oldest first, each with the step below which they are."""
ByStep = dict[int, Stored]


class Series(NamedTuple):
    """A reading over its steps as plain numbers, values[step, ...].

    An array with labels takes a tenth of a millisecond to make: in a large store few runs are asked for
    one.
    """

    steps: tuple[int, ...] | range
    values: np.ndarray
    axes: Axes

    def labelled(self, name: str) -> xr.DataArray:
        """The same numbers as an array, dims (step, ...)."""
        import xarray as xr

        coords = _coordinates(self.steps, self.axes.labels)
        return xr.DataArray(self.values, dims=("step", *self.axes.dims), coords=coords, name=name)

    def copied(self) -> Series:
        """The same with numbers of its own."""
        return self._replace(values=self.values.copy())


def read(root: Path, sources: Sources, name: str) -> Series | None:
    """A reading over steps; None where the run has none of that name."""
    parts = [rows.attempts(root, f"{OF_RUN} AND name = ?3", (*source, name)) for source in sources]
    afterwards = measured.rows_of(root, sources[-1][0], name)
    by_step = _joined(map(_by_step, parts), _by_step(afterwards))
    return _stacked(name, by_step) if by_step else None


def read_scalars(root: Path, sources: Sources) -> dict[str, Series]:
    """By name, all readings of a run that have no axes, as `read` gives each; in few queries."""
    parts = [rows.attempts(root, f"{OF_RUN} AND shape = '[]'", source) for source in sources]
    counts = Counter[str](row["name"] for part in parts for row in part)
    names = sorted(counts)
    sql = f"SELECT name, COUNT(*) AS n FROM {OF_RUN} GROUP BY name"
    for row in (row for source in sources for row in rows.query(root, sql, source)):
        counts[row["name"]] -= row["n"]
    by_name = [_by_name(part) for part in parts]
    afterwards = _by_name(measured.scalar_rows_of(root, sources[-1][0]))
    found: dict[str, Series] = {}
    for name in names:
        its = (part.get(name, {}) for part in by_name)
        by_step = _joined(its, afterwards.get(name, {}))
        has_axes_elsewhere = counts[name] != 0
        whole = read(root, sources, name) if has_axes_elsewhere else _stacked(name, by_step)
        found |= {} if whole is None else {name: whole}
    return found


def together(series: Mapping[str, Series]) -> xr.Dataset:
    """Readings by name as one dataset; those that share their steps, as most do, are not aligned."""
    import xarray as xr

    first = next(iter(series.values()), None)
    if first is None or any(each.axes.dims or each.steps != first.steps for each in series.values()):
        return xr.Dataset({name: each.labelled(name) for name, each in series.items()})
    variables = {name: ("step", each.values.copy()) for name, each in series.items()}
    return xr.Dataset(variables, coords=_coordinates(first.steps, ()))


def read_updates(root: Path, sources: Sources) -> tuple[Series, int | None]:
    """The loss of every update that is stored, up to the first gap, and that gap's step."""
    stretches = [stretch for source in sources for stretch in stretches_of(root, *source)]
    first, losses, gap = joined(stretches)
    return Series(range(first, first + len(losses)), losses, Axes((), (), ())), gap


def _by_step(found: Iterable[Row]) -> ByStep:
    """By step, in its order, what the latest attempt read."""
    latest = {row["step"]: row for row in found}
    return {step: rows.stored_in(row) for step, row in sorted(latest.items())}


def _by_name(found: Iterable[Row]) -> dict[str, ByStep]:
    by_name: dict[str, list[Row]] = {}
    for row in found:
        by_name.setdefault(row["name"], []).append(row)
    return {name: _by_step(its) for name, its in by_name.items()}


def _joined(parts: Iterable[ByStep], afterwards: ByStep) -> ByStep:
    """What is a run's own, with what its trunk has on the same axes, and what was measured since."""
    by_step: ByStep = {}
    for mine in parts:
        if mine and not _has_axes(by_step, next(iter(mine.values()))):
            by_step = {}
        by_step |= mine
    for step, stored in afterwards.items():
        if _has_axes(by_step, stored):
            by_step.setdefault(step, stored)
    return dict(sorted(by_step.items()))


def _has_axes(by_step: ByStep, stored: Stored) -> bool:
    """Whether a reading can go on one array with those that there are."""
    return not by_step or next(reversed(by_step.values())).axes == stored.axes


def _stacked(name: str, by_step: ByStep) -> Series:
    stored = list(by_step.values())
    axes, dtype = stored[0].axes, stored[0].dtype
    _check_alike(name, {step: each.axes for step, each in by_step.items()})
    if all(each.dtype is dtype for each in stored):
        content = b"".join([each.content for each in stored])
        flat = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
        values = flat.reshape(len(stored), *axes.shape)
    else:
        values = np.stack([each.values for each in stored])
    return Series(tuple(by_step), values, axes)


def over_steps(name: str, by_step: Mapping[int, Reading]) -> xr.DataArray:
    """Readings of one name and equal axes as one array, dims (step, ...)."""
    axes = {step: Axes(r.dims, r.values.shape, tuple(r.coords.items())) for step, r in by_step.items()}
    _check_alike(name, axes)
    values = np.stack([reading.values for reading in by_step.values()])
    return Series(tuple(by_step), values, next(iter(axes.values()))).labelled(name)


def _check_alike(name: str, by_step: Mapping[int, Axes]) -> None:
    first = next(iter(by_step.values()))
    for step, axes in by_step.items():
        if axes is not first and axes != first:
            raise StoreError(
                f"{name} at step {step} has different axes than before: do not trust this store"
            )


@lru_cache(maxsize=256)
def _coordinates(
    steps: tuple[int, ...] | range, labels: tuple[tuple[str, Coordinate], ...]
) -> xr.Coordinates:
    """Those that many arrays share, since they cannot be changed in place."""
    import xarray as xr

    return xr.Coordinates({"step": list(steps)} | {dim: list(its) for dim, its in labels})
