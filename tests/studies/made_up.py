"""Runs with hand-made readings: what a study must say of them is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import xarray as xr

from undergrowth.spec import RunSpec
from undergrowth.store import Run
from undergrowth.tasks import Labels

STEPS = (0, 100, 200, 400, 800, 1600)
KS = (0, 1, 4)
STRATEGIES = ("top", "random", "least", "norm_matched", "complement")
BASE = RunSpec()


class MadeUpRun(Run):
    """Answers as a stored run does, from arrays given."""

    readings: Mapping[str, xr.DataArray]

    def __init__(
        self,
        spec: RunSpec,
        curves: Mapping[str, Sequence[float]],
        steps: Sequence[int] = STEPS,
        /,
        **readings: xr.DataArray,
    ) -> None:
        arrays = xr.Dataset({n: ("step", list(v)) for n, v in curves.items()}, {"step": list(steps)})
        self.__dict__.update(spec=spec, status="done", curves=arrays, names=(*curves, *readings))
        self.__dict__.update(readings=readings, happened=(), given_names=(), message="", parts=())

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.readings[name] if name in self.readings else self.curves[name]


def made_up(
    seed: int,
    labels: str = "true",
    *,
    grokked: int | None = 3,
    base: RunSpec = BASE,
    level: float = 0.02,
    **readings: object,
) -> Run:
    """A run that has memorised at step 100 and groks at STEPS[grokked], or never.

    base: its spec but for labels and seeds; level: its validation accuracy before the onset.
    """
    spec = base.replace(labels=cast(Labels, labels)).seeded(seed)
    at = len(STEPS) if grokked is None else grokked
    val_accuracy = [level if i < at - 1 else 0.5 if i < at else 1.0 for i in range(len(STEPS))]
    if grokked is None:
        val_accuracy = [level] * len(STEPS)
    val_loss = [4.0, 16.0, 14.0, *([0.01 if grokked is not None else 20.0] * 3)]
    curves = {
        "train_accuracy": [0.02, 1, 1, 1, 1, 1],
        "val_accuracy": val_accuracy,
        "train_loss": [4.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
        "val_loss": [loss * (1 + seed / 100) for loss in val_loss],
    }
    return MadeUpRun(spec, curves, STEPS, **cast("dict[str, xr.DataArray]", readings))


def over_neurons(by_step: Sequence[Sequence[float]]) -> xr.DataArray:
    """A reading [step, side, neuron], the same on both sides."""
    values = np.repeat(np.asarray(by_step, float)[:, None, :], 2, axis=1)
    coords = {"step": list(STEPS), "side": ["train", "val"]}
    return xr.DataArray(values, dims=("step", "side", "neuron"), coords=coords)


def deletion(damage_by_top: Sequence[float], damage_by_others: float = 0.0) -> xr.DataArray:
    """A reading [step, side, strategy, k] that drops from 1 by the given damage for every k > 0."""
    values = np.ones((len(STEPS), 2, len(STRATEGIES), len(KS)))
    values[:, :, 0, 1:] -= np.asarray(damage_by_top)[:, None, None]
    values[:, :, 1:, 1:] -= damage_by_others
    coords = {"step": list(STEPS), "side": ["train", "val"], "strategy": list(STRATEGIES), "k": list(KS)}
    return xr.DataArray(values, dims=("step", "side", "strategy", "k"), coords=coords)


def norm_share(matched_until: int) -> xr.DataArray:
    """A reading [step, strategy, k] where norm-matched sets match the top k for the first few k."""
    values = np.ones((len(STEPS), len(STRATEGIES), len(KS)))
    values[:, STRATEGIES.index("norm_matched"), matched_until:] = 0.5
    coords = {"step": list(STEPS), "strategy": list(STRATEGIES), "k": list(KS)}
    return xr.DataArray(values, dims=("step", "strategy", "k"), coords=coords)
