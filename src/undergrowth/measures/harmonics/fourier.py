"""Frequencies on a cyclic group: in weights, neurons and logits, and what the loss owes to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.harmonics.group_tables import (
    GroupTable,
    group_table_or_refuse,
    needs_neurons,
    neuron_weights,
)
from undergrowth.measures.harmonics.spectra import SpectralMeasure, Spectrum
from undergrowth.measures.reading import Observed, Reading
from undergrowth.models import Model
from undergrowth.tasks.irreps import Isotypic


class Fourier(SpectralMeasure):
    """The discrete Fourier transform of a network on a cyclic group of n elements.

    That is x + y, x - y mod p; x * y, x / y mod a prime p on the nonzero numbers, ordered by discrete
    logarithm; and xy in C{n}. Frequencies k are 1 .. n // 2, w_k = 2 pi k / n.

    Key frequencies: `key_frequencies` if given; else, by `neurons`, those that are some neuron's best
    with a share of at least `neuron_threshold` (Nanda et al. 2023, arXiv:2301.05217), or by
    `logits`, those whose logit_power is at least `logit_threshold`.

    {prefix}_weight_power [matrix, frequency], _weight_constant [matrix]: squared norm of each matrix at
    each frequency, in an orthonormal basis.
    _neuron_frequency, _neuron_share [neuron]: the frequency that explains most of a neuron's variance
    over the table by its linear and quadratic terms, and its share (0 for a constant neuron).
    _neurons [direction, frequency]: share of the variance of all neurons together in functions of
    x, of y, of x + y and of x - y.
    _logit_power [frequency]: share of the logits' variance in cos, sin w_k(x + y).
    _logit_similarity [frequency]: correlation of the logits with cos w_k(x + y - c).
    _key [frequency], _n_key: which frequencies are key, 1 or 0, and how many.
    _restricted_loss, _restricted_train_loss, _restricted_val_loss: with only the key
    frequencies' cos, sin w_k(x + y) in the logits, and their means; NaN where a side has no such pair.
    _excluded_loss: over the training side, without them. _excluded_loss_by_frequency: without each.
    _ipr [neuron]: inverse participation ratio of its weights, mean over inputs and outputs (Doshi
    et al. 2024, arXiv:2310.13061); only where neurons have a weight for each element.
    """

    axis: ClassVar[str] = "frequency"
    directions: ClassVar[tuple[str, ...]] = ("x", "y", "x+y", "x-y")

    endings: ClassVar[tuple[str, ...]] = ("ipr",)

    name: Literal["fourier"] = "fourier"
    prefix: str = Field(default="fourier", pattern=r"^[a-z][a-z0-9_]*$")
    key_by: Literal["neurons", "logits"] = "neurons"
    neuron_threshold: float = Field(default=0.5, gt=0, le=1)
    logit_threshold: float = Field(default=0.01, gt=0, le=1)
    key_frequencies: tuple[Annotated[int, Field(ge=1)], ...] = ()

    def check(self, run: MeasuredRun) -> None:
        needs_neurons(run, self.name)
        table = group_table_or_refuse(run.task, self.name, "a cyclic group")
        if not re.fullmatch("C[0-9]+", table.group):
            raise ValueError(
                f"measure 'fourier' needs a cyclic group, and {table.group} is not written as one: take "
                "'representations'"
            )
        highest = len(table.x) // 2
        if any(k > highest for k in self.key_frequencies):
            raise ValueError(
                f"key_frequencies = {list(self.key_frequencies)}: {run.task.describe()} has frequencies "
                f"1 to {highest}"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        table = group_table_or_refuse(at.spec.task, self.name, "a cyclic group")
        readings = self.spectral_readings(model, data, table)
        weights = neuron_weights(model, table)
        if weights:
            ipr = np.mean([inverse_participation_ratio(w) for w in weights], axis=0)
            readings[f"{self.prefix}_ipr"] = Reading(("neuron",), ipr.astype(np.float32))
        return readings

    def labels(self, parts: Isotypic) -> tuple[int, ...]:
        return tuple(range(1, len(parts.names)))

    def is_key(self, spectrum: Spectrum) -> Bool[np.ndarray, " frequency"]:
        frequencies = np.arange(1, len(spectrum.parts.names))
        if self.key_frequencies:
            return np.isin(frequencies, self.key_frequencies)
        if self.key_by == "logits":
            return spectrum.logit_power >= self.logit_threshold
        best, share = spectrum.best()
        return np.isin(frequencies, best[share >= self.neuron_threshold])

    def written(
        self, spectrum: Spectrum, table: GroupTable, part: int
    ) -> Float[np.ndarray, "column d_vocab_out"]:
        return spectrum.parts.basis[:, spectrum.parts.part == part].T @ spectrum.logits


def inverse_participation_ratio(
    weights: Float[np.ndarray, "element neuron"],
) -> Float[np.ndarray, " neuron"]:
    """sum_k |F_k|^4 / (sum_k |F_k|^2)^2 of the one-sided discrete Fourier transform, k = 0 .. n // 2.

    1 for a cosine, 1 / (n // 2 + 1) where all |F_k| are alike, as of a one-hot vector; 0 of zeros.

    >>> wave = np.cos(2 * np.pi * 3 * np.arange(7) / 7 + 0.4)
    >>> inverse_participation_ratio(np.stack([wave, np.eye(7)[2]], axis=1)).round(6).tolist()
    [1.0, 0.25]
    """
    power = np.abs(np.fft.rfft(weights, axis=0)) ** 2
    total = power.sum(axis=0) ** 2
    return np.divide((power**2).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
