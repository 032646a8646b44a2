"""Runs as they are published: specs, what happened to them, and their curves, without a store."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from undergrowth.spec import RunSpec
from undergrowth.store import Part, Run

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SIDES_OF_RUNS = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
"""The readings that every published run has."""


class PublishedRun(Run):
    """A run that is read from published results: it answers as a stored one does, for its curves alone.

    Other readings, the losses of single updates and checkpoints were not published: they are KeyErrors.
    """

    def __init__(
        self,
        spec: RunSpec,
        parts: tuple[Part, ...],
        curves: xr.Dataset,
        happened: pd.DataFrame,
        about: Mapping[str, Any],
    ) -> None:
        trunks = tuple((trunk, step) for trunk, step in about["trunks"])
        self.__dict__.update(
            spec=spec,
            parts=parts,
            given_names=(),
            status=about["status"],
            message=about["message"],
            environment={},
            began=0.0,
            ended=float(about["seconds"]),
            trunks=trunks,
            events=happened,
            curves=curves,
            names=tuple(map(str, curves.data_vars)),
        )

    def __getitem__(self, name: str) -> xr.DataArray:
        """A curve, dim (step); raises KeyError with the curves there are."""
        if name not in self.names:
            there = ", ".join(self.names)
            raise KeyError(f"run {self.id} was published without {name!r}; it has {there}")
        return self.curves[name].dropna("step")

    @cached_property
    def checkpoints(self) -> tuple[int, ...]:
        """None: weights are not published."""
        return ()


def account(run: Run) -> dict[str, Any]:
    """What `runs.json` has of a run."""
    events = run.events.to_dict("records")
    spec = run.spec
    return {
        "id": run.id,
        "parts": [[part.arm, part.role, part.seed] for part in run.parts],
        "seeds": spec.seeds.model_dump(),
        "fork_of": spec.fork.of if spec.fork else None,
        "status": run.status,
        "message": run.message,
        "seconds": round((run.ended or run.began) - run.began, 1),
        "trunks": [list(trunk) for trunk in run.trunks],
        "events": [[int(e["step"]), e["kind"], e["detail"]] for e in events],
    }


def from_account(
    told: Mapping[str, Any], arm: RunSpec, curves: xr.Dataset, study: str, budget: str
) -> PublishedRun:
    """The run of an account; raises ValueError where its spec is not the one that its id is of."""
    import pandas as pd

    changed: dict[str, Any] = {"seeds": told["seeds"]}
    if arm.fork is not None:
        changed["fork"] = arm.fork.model_copy(update={"of": told["fork_of"]})
    spec = arm.replace(**changed)
    if spec.id != told["id"]:
        raise ValueError(f"run {told['id']} has a spec whose id is {spec.id}")
    parts = tuple(Part(study, budget, name, role, seed) for name, role, seed in told["parts"])
    events = pd.DataFrame(told["events"], columns=["step", "kind", "detail"])
    return PublishedRun(spec, parts, curves, events, told)


def as_columns(runs: Sequence[Run], names: Sequence[str], most_steps: int | None) -> bytes:
    """Curves of runs below one another in one compressed .npz: `run` (its place), `step`, and a column
    for each reading, NaN where a run has none at that step.

    most_steps: of each run so many steps at most, evenly spread over the logarithm, its first and its
    last among them; None for all.
    """
    place, step, columns = [], [], {name: [] for name in names}
    for i, run in enumerate(runs):
        curves = run.curves
        kept = _spread(curves["step"].values, most_steps)
        place.append(np.full(len(kept), i, np.uint16))
        step.append(curves["step"].values[kept].astype(np.uint32))
        for name in names:
            values = curves[name].values[kept] if name in curves else np.full(len(kept), np.nan)
            columns[name].append(values.astype(np.float32))
    out = io.BytesIO()
    together: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez_compressed(out, run=np.concatenate(place), step=np.concatenate(step), **together)
    return out.getvalue()


def _spread(steps: np.ndarray, most: int | None) -> np.ndarray:
    """The places of at most so many steps, evenly spread over log(1 + step)."""
    if most is None or len(steps) <= most:
        return np.arange(len(steps))
    wanted = np.linspace(np.log1p(steps[0]), np.log1p(steps[-1]), most)
    return np.unique(np.clip(np.searchsorted(np.log1p(steps), wanted - 1e-9), 0, len(steps) - 1))


def from_columns(data: bytes) -> list[xr.Dataset]:
    """The curves of each run, dim (step), in the order in which they were written."""
    import xarray as xr

    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files}
    place, step = columns.pop("run"), columns.pop("step").astype(np.int64)
    bounds = np.searchsorted(place, np.arange(int(place[-1]) + 2)) if len(place) else [0]
    found = []
    for first, end in pairwise(bounds):
        its = {name: values[first:end] for name, values in columns.items()}
        had = {n: ("step", v) for n, v in its.items() if not np.isnan(v).all()}
        found.append(xr.Dataset(had, {"step": step[first:end]}))
    return found


def readings_of(runs: Iterable[Run]) -> list[str]:
    """The names of all curves of some runs: what every run has first, the others by the alphabet."""
    names = {str(name) for run in runs for name in run.curves.data_vars}
    return [*(n for n in SIDES_OF_RUNS if n in names), *sorted(names - set(SIDES_OF_RUNS))]
