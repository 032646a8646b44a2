"""Generality of components: how many examples each is needed for, sufficient for, or carries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import Field, field_validator

from undergrowth.gating.attribution import attribute
from undergrowth.gating.gated_scores import Baselines, contributions, gated_scores
from undergrowth.measures.circuits.closing import side_means
from undergrowth.measures.context import Context
from undergrowth.measures.gating.attributed import SiteMeasure
from undergrowth.measures.reading import SIDES, Observed, Reading
from undergrowth.models import Inputs, Model, Site, gated
from undergrowth.models.micro_batches import rows_at_once

COMPONENTS_AT_ONCE = 8


class Generality(SiteMeasure):
    """The share of each side's examples that each component serves, by three rules.

    *Needed*: the full model is right, and wrong with the component's gate closed. *Sufficient*: the
    model is right with only the component's gate open, all others of the site closed. *Carries* at a
    threshold t: the full model is right, and closing the gate removes at least t of its centred logit
    (the correct logit minus the mean of the others). Right means a correct logit above all others.

    {prefix}_needed, {prefix}_sufficient [side, component], {prefix}_carries [side, threshold,
    component]: shares in [0, 1] of all examples of a side. {prefix}_group_needed,
    {prefix}_group_sufficient [side, group]: the same for sets, the components in `groups` groups of
    nearly equal size (or as many as there are components), the first being those whose closing changes
    the centred logits of the training examples most on average. {prefix}_intact, {prefix}_without
    [side]: the share that is right with all gates open, and with all closed.

    rank_by: `closing` closes every component by itself, a forward pass each where logits are not linear
    in it; `attribution` ranks by mean |gradient x activation| of the centred logit instead, which is the
    same where they are, and reads the groups alone.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "needed",
        "sufficient",
        "carries",
        "group_needed",
        "group_sufficient",
        "intact",
        "without",
    )

    name: Literal["generality"] = "generality"
    prefix: str = Field(default="generality", pattern=r"^[a-z][a-z0-9_]*$")
    thresholds: tuple[Annotated[float, Field(gt=0)], ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    groups: int = Field(default=10, ge=1)
    rank_by: Literal["closing", "attribution"] = "closing"

    @field_validator("thresholds")
    @classmethod
    def _ascend(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        ascending = tuple(sorted(set(thresholds)))
        if not thresholds or thresholds != ascending:
            raise ValueError(
                f"thresholds = {list(thresholds)} must ascend: set {list(ascending) or [0.1]}"
            )
        return thresholds

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        where = self.where(model, data)
        if self.rank_by == "attribution":
            return self._of_groups(model, data, where, _salience(model, data, where))
        count = partial(_counted, model, *where, jnp.asarray(self.thresholds, jnp.float32))
        counts = side_means(count, data, rows_at_once(model, COMPONENTS_AT_ONCE))
        return {
            f"{self.prefix}_needed": _reading(counts.needed, self.component),
            f"{self.prefix}_sufficient": _reading(counts.sufficient, self.component),
            f"{self.prefix}_carries": _reading(
                counts.carries, "threshold", self.component, threshold=self.thresholds
            ),
            **self._of_groups(model, data, where, counts.lost[:, 0]),
            f"{self.prefix}_intact": _reading(counts.intact),
            f"{self.prefix}_without": _reading(counts.without),
        }

    def _of_groups(
        self,
        model: Model,
        data: Observed,
        where: tuple[Site, Baselines],
        salience: Float[np.ndarray, " component"],
    ) -> Mapping[str, Reading]:
        site, baseline = where
        masks = _ranked_groups(salience, self.groups)
        sets = serves(model, data.inputs, data.labels, masks, site=site, baseline=baseline)

        def of_sides(served: Bool[np.ndarray, "set example"]) -> np.ndarray:
            return np.stack([served[:, side].mean(axis=1) for side in data.sides()], axis=1)

        return {
            f"{self.prefix}_group_needed": _reading(of_sides(sets.needed), "group"),
            f"{self.prefix}_group_sufficient": _reading(of_sides(sets.sufficient), "group"),
        }


def _reading(values: Float[np.ndarray, "... side"], *dims: str, **coords: tuple[float, ...]) -> Reading:
    return Reading(("side", *dims), values.T.astype(np.float32), {"side": SIDES, **coords})


def _salience(
    model: Model, data: Observed, where: tuple[Site, Baselines]
) -> Float[np.ndarray, " component"]:
    """The mean over training examples of |gradient x activation| of the centred logit."""
    (site, baseline), (is_train, _) = where, data.sides()
    inputs, labels = data.inputs[is_train], data.labels[is_train]
    found = attribute(
        model, inputs, labels, site=site, method="gradient_x_activation", baseline=baseline
    )
    return np.abs(found).mean(axis=0)


class Served(NamedTuple):
    """Which examples each set of components serves."""

    needed: Bool[np.ndarray, "set example"]
    sufficient: Bool[np.ndarray, "set example"]


def serves(
    model: Model,
    inputs: Inputs,
    labels: Int[Array, " example"],
    masks: Bool[np.ndarray, "set component"] | Bool[np.ndarray, " component"],
    *,
    site: Site,
    baseline: Baselines | None = None,
) -> Served:
    """Which examples each set of a site's components is needed for, and which it is sufficient for.

    masks: the components of each set, or of the one set. Needed: the whole model is right, and wrong
    with the set's gates closed. Sufficient: it is right with them alone open. Components that stand in
    for one another are needed only as a set, so the generality of a set is not the sum of theirs.
    Costs two forward passes a set.
    """
    sets = np.atleast_2d(masks)
    patterns = np.concatenate([np.ones((1, site.n_components), bool), ~sets, sets]).astype(np.float32)
    right = gated_scores(
        model, inputs, labels, patterns, site=site, score="accuracy", baseline=baseline
    ).T.astype(bool)
    whole, closed, alone = np.split(right, [1, 1 + len(sets)])
    return Served(whole & ~closed, alone)


class _Counts(NamedTuple):
    """How many examples of each side, in the end a share of them; and the mean |centred logit lost|."""

    needed: Any  # [component, side]
    sufficient: Any  # [component, side]
    carries: Any  # [component, threshold, side]
    lost: Any  # [component, side]
    intact: Any  # [side]
    without: Any  # [side]


@eqx.filter_jit
def _counted(
    model: Model,
    site: Site,
    baseline: Baselines,
    thresholds: Float[Array, " threshold"],
    inputs: Array,
    labels: Array,
    of_side: Float[Array, "example side"],
) -> _Counts:
    """Every component closed and alone: where logits are linear in it, a rank-1 change of them."""

    def through(gates: Array) -> Float[Array, "label example"]:
        return model(inputs, gated((site,), {site.name: gates}, baseline)).T

    n, readout = site.n_components, model.readout(site)
    whole, without = through(jnp.ones(n)), through(jnp.zeros(n))
    whole_right, centred_logit = _judged(whole, labels)
    off = None if readout is None else contributions(model, inputs, site, baseline)[1].T

    def of_component(j: Int[Array, ""]) -> tuple[Array, ...]:
        if readout is None or off is None:
            only = (jnp.arange(n) == j).astype(jnp.float32)
            closed, alone = through(1 - only), through(only)
        else:
            part = readout[j][:, None] * off[j]
            closed, alone = whole - part, without + part
        closed_right, closed_centred_logit = _judged(closed, labels)
        lost = centred_logit - closed_centred_logit
        carried = whole_right & (lost >= thresholds[:, None] * centred_logit)
        served = whole_right & ~closed_right, _judged(alone, labels)[0], carried, jnp.abs(lost)
        return tuple(each @ of_side for each in served)

    found = jax.lax.map(of_component, jnp.arange(n), batch_size=COMPONENTS_AT_ONCE)
    ends = (_judged(each, labels)[0] @ of_side for each in (whole, without))
    return _Counts(*found, *ends)


def _judged(
    logits: Float[Array, "label example"], labels: Int[Array, " example"]
) -> tuple[Bool[Array, " example"], Float[Array, " example"]]:
    """Whether the correct logit is above all others, and by how much it is above their mean."""
    is_label = jnp.arange(len(logits))[:, None] == labels
    correct = jnp.sum(jnp.where(is_label, logits, 0), axis=0)
    others = jnp.max(jnp.where(is_label, -jnp.inf, logits), axis=0)
    centred_logit = correct - (jnp.sum(logits, axis=0) - correct) / (len(logits) - 1)
    return correct > others, centred_logit


def _ranked_groups(
    salience: Float[np.ndarray, " component"], n_groups: int
) -> Bool[np.ndarray, "group component"]:
    """Groups of nearly equal size, the most salient components in the first."""
    n = len(salience)
    order = np.argsort(-salience, kind="stable")
    groups = np.zeros((min(n_groups, n), n), bool)
    for group, members in zip(groups, np.array_split(order, len(groups)), strict=True):
        group[members] = True
    return groups
