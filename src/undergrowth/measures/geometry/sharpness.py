"""How sharply the training loss is curved, and how near that is to what the optimiser can descend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from pydantic import Field, model_validator

from undergrowth.measures.context import Context, MeasuredRun
from undergrowth.measures.geometry.stability import (
    coupled_decay,
    edge,
    has_preconditioner,
    preconditioner,
)
from undergrowth.measures.reading import LossMeasure, Observed, Reading, scalar
from undergrowth.measures.training_loss import TrainingLoss, hessian_product, loss_and_gradient
from undergrowth.models import Model
from undergrowth.schedules import Schedule

Vector = Float[np.ndarray, " weight"]


class Sharpness(LossMeasure):
    r"""The largest eigenvalues of the Hessian of the training loss, by Lanczos's method.

    The loss is the run's own, over the whole training side (`TrainingLoss`). `preconditioned`: of
    P^-1/2 H P^-1/2 instead of H, with P what Adam divides by (`stability.preconditioner`; under
    Adam, whose L2 term is part of the gradient, H has it too).

    sharpness: the largest eigenvalue; sharpness_eigenvalues [eigenvalue]: the `n_eigenvalues` largest,
    descending; sharpness_lowest: the smallest, negative at a saddle. After `n_products` products with H
    they are Ritz values: up to rounding, never above the true largest nor below the true smallest.
    sharpness_residual [eigenvalue]: |H v - value v| of their vectors: a true eigenvalue lies within this
    of the value. NaN in the two where H has fewer, and in all where the loss is not finite.
    sharpness_edge_ratio: sharpness over the largest at which the optimiser is stable
    (`stability.edge`), only where there is one: for SGD if not preconditioned, for Adam and AdamW if
    so. If preconditioned, all names begin with preconditioned_sharpness.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "",
        "eigenvalues",
        "lowest",
        "residual",
        "edge_ratio",
    )

    name: Literal["sharpness"] = "sharpness"
    preconditioned: bool = False
    n_eigenvalues: int = Field(default=1, ge=1, le=20)
    n_products: int = Field(default=30, ge=2, le=200)
    schedule: Schedule = Schedule(every=100, until=100, per_decade=6)

    @property
    def key(self) -> str:
        return "preconditioned_sharpness" if self.preconditioned else "sharpness"

    @property
    def scalars(self) -> tuple[str, ...]:
        return (self.key, f"{self.key}_lowest")

    @model_validator(mode="after")
    def _can_tell_them_apart(self) -> Sharpness:
        if self.n_eigenvalues > self.n_products:
            raise ValueError(
                f"n_products = {self.n_products} give at most as many eigenvalues, but n_eigenvalues = "
                f"{self.n_eigenvalues}: set n_products = {10 * self.n_eigenvalues}"
            )
        return self

    def check(self, run: MeasuredRun) -> None:
        """Raise ValueError where the optimiser has no preconditioner."""
        super().check(run)
        if self.preconditioned and not has_preconditioner(run.optimiser):
            raise ValueError(
                f"measure 'sharpness' with preconditioned = true needs Adam's moments, which "
                f"optimiser.name = {run.optimiser.name!r} lacks: set preconditioned = false"
            )

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        weights, objective = model.network, TrainingLoss.of(model, data, at)
        scale, ridge = np.ones(1), 0.0
        if self.preconditioned:
            _, gradient = loss_and_gradient(objective, weights)
            scale, ridge = preconditioner(at, gradient) ** -0.5, coupled_decay(at)

        def product(v: Vector) -> Vector:
            direction = scale * v
            curved = hessian_product(objective, weights, jnp.asarray(direction, jnp.float32))
            return scale * (np.asarray(curved, np.float64) + ridge * direction)

        start = at.rng.standard_normal(ravel_pytree(weights)[0].size)
        values, residuals = lanczos(product, start, self.n_products)
        return self._readings(values, residuals, edge(at) if self._meets_the_edge(at) else None)

    def _meets_the_edge(self, at: Context) -> bool:
        return has_preconditioner(at.spec.optimiser) == self.preconditioned

    def _readings(
        self, values: np.ndarray, residuals: np.ndarray, edge: float | None
    ) -> dict[str, Reading]:
        largest, top = float(values[-1]), np.full((2, self.n_eigenvalues), np.nan, np.float32)
        found = np.stack([values, residuals])[:, ::-1][:, : self.n_eigenvalues]
        top[:, : found.shape[1]] = found
        readings = {
            self.key: scalar(largest),
            f"{self.key}_lowest": scalar(float(values[0])),
            f"{self.key}_eigenvalues": Reading(("eigenvalue",), top[0]),
            f"{self.key}_residual": Reading(("eigenvalue",), top[1]),
        }
        if edge is not None:
            readings[f"{self.key}_edge_ratio"] = scalar(largest / edge)
        return readings


def lanczos(
    product: Callable[[Vector], Vector], start: Vector, n_products: int
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Ritz values of a symmetric matrix, ascending, and for each the norm of A v - value v.

    After n products the values are the eigenvalues of A within the span of start, A start, ...,
    A^(n-1) start (Lanczos 1950), all its vectors kept orthogonal; fewer where that span is smaller.
    Within `residual` of each value lies an eigenvalue. One NaN where a product is not finite. Memory:
    n_products vectors in float64.
    """
    basis = np.empty((n_products, len(start)))
    diagonal, beside = [], []
    v = start / np.linalg.norm(start)
    for k in range(n_products):
        basis[k] = v
        v = product(v)
        diagonal.append(float(basis[k] @ v))
        for _ in range(2):  # once leaves what rounding leaves
            v = v - (basis[: k + 1] @ v) @ basis[: k + 1]
        beside.append(float(np.linalg.norm(v)))
        if not np.isfinite(beside[-1]):
            return np.full(1, np.nan), np.full(1, np.nan)
        if beside[-1] <= 1e-7 * max(np.abs(diagonal)):  # float32 products have no more digits
            break
        v /= beside[-1]
    T = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    values, vectors = np.linalg.eigh(T)
    return values, beside[-1] * np.abs(vectors[-1])
