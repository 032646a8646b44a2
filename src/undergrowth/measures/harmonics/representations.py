"""Irreps of a group: in weights, neurons and logits, and what the loss owes to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.harmonics.group_tables import GroupTable, group_table_or_refuse, needs_neurons
from undergrowth.measures.harmonics.spectra import SpectralMeasure, Spectrum
from undergrowth.measures.reading import Observed, Reading
from undergrowth.models import Model
from undergrowth.tasks.irreps import Isotypic, irreps, isotypic


class Representations(SpectralMeasure):
    """The Fourier transform of a network on a group (Chughtai et al. 2023, arXiv:2302.03025).

    For xy in groups of kind C, D, S and A and their products, and for the operations that `Fourier`
    takes. Irreps are named as in `tasks.irreps.irreps`; one with a complex character counts together
    with its conjugate, and the trivial one counts as the constant, not as an irrep.

    Key irreps: `key_irreps` where given, else those whose logit_similarity is at least `threshold`.

    {prefix}_weight_power [matrix, irrep], _weight_constant [matrix]: squared norm of each matrix in each
    irrep's isotypic component, (d / n) sum_g chi(g^-1) g.
    _neuron_irrep, _neuron_share [neuron]: the irrep, counted from 1 on the axis `irrep`, that explains
    most of a neuron's variance over the table by functions of x, of y and of xy, and its share (0 for a
    constant neuron).
    _neurons [direction, irrep]: share of the variance of all neurons together in such functions.
    _logit_similarity [irrep]: correlation of the logits with tr rho(a) rho(b) rho(c^-1) over all a, b
    and c; its square is the share of their variance.
    _logit_power [irrep]: share in all functions of ab in the isotypic component.
    _key [irrep], _n_key: which irreps are key, 1 or 0, and how many.
    _restricted_loss, _restricted_train_loss, _restricted_val_loss: with only the key irreps'
    trace direction in the logits, and their means; NaN where a side has no such pair.
    _excluded_loss: over the training side, without it. _excluded_loss_by_irrep: without each irrep's.
    """

    axis: ClassVar[str] = "irrep"
    directions: ClassVar[tuple[str, ...]] = ("x", "y", "xy")

    name: Literal["representations"] = "representations"
    prefix: str = Field(default="representations", pattern=r"^[a-z][a-z0-9_]*$")
    threshold: float = Field(default=0.005, gt=0, le=1)
    key_irreps: tuple[str, ...] = ()

    def check(self, run: MeasuredRun) -> None:
        needs_neurons(run, self.name)
        table = group_table_or_refuse(run.task, self.name)
        try:
            irreps(table.group)
        except ValueError as error:
            raise ValueError(f"measure 'representations': {error}; or take measure 'areas'") from None
        known = isotypic(table.group).names[1:]
        unknown = [name for name in self.key_irreps if name not in known]
        if unknown:
            raise ValueError(
                f"key_irreps = {list(self.key_irreps)}: {table.group} has no {unknown[0]!r} but "
                f"{', '.join(known)}"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        return self.spectral_readings(model, data, group_table_or_refuse(at.spec.task, self.name))

    def labels(self, parts: Isotypic) -> tuple[str, ...]:
        return parts.names[1:]

    def is_key(self, spectrum: Spectrum) -> Bool[np.ndarray, " irrep"]:
        if self.key_irreps:
            return np.isin(spectrum.parts.names[1:], self.key_irreps)
        return spectrum.logit_similarity >= self.threshold

    def written(
        self, spectrum: Spectrum, table: GroupTable, part: int
    ) -> Float[np.ndarray, "column d_vocab_out"]:
        columns = spectrum.parts.basis[:, spectrum.parts.part == part]
        found = np.zeros((columns.shape[1], spectrum.logits.shape[1]))
        found[:, table.label] = spectrum.projection[part - 1] * columns.T
        return found
