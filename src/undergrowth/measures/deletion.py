"""What remains of a model's predictions when k components are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from pydantic import Field, model_validator

from undergrowth.measures.attributed import AttributedMeasure
from undergrowth.measures.attribution import Baselines, logit_norms
from undergrowth.measures.context import Context
from undergrowth.measures.reading import SIDES, Observed, Reading
from undergrowth.measures.scores import SCORES
from undergrowth.models import Model, Site, gated

STRATEGIES = ("top", "random", "least", "norm_matched")
PATTERNS_AT_ONCE = 8


class Deletion(AttributedMeasure):
    """Accuracy and correct log-probability after closing the gates of k components.

    Components are ranked by their median |attribution| over the training examples. `top`: the k most
    salient; `least`: the k least; `random`: k at random; `norm_matched`: as many at random from outside
    the top k as carry the same summed squared logit norm (all of them where that is not enough).
    Random sets are averaged over `repeats` draws.

    {prefix}_accuracy, {prefix}_log_prob [side, strategy, k]; {prefix}_n_deleted [strategy, k];
    {prefix}_norm_share [strategy, k]: the deleted share of the summed squared logit norm. k = 0 is the
    whole model.
    """

    name: Literal["deletion"] = "deletion"
    prefix: str = Field(default="deletion", pattern=r"^[a-z][a-z0-9_]*$")
    ks: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
    repeats: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _starts_whole(self) -> Deletion:
        ascending = tuple(sorted({0, *self.ks}))
        if self.ks != ascending:
            raise ValueError(
                f"ks = {list(self.ks)} must ascend from 0, where the model is whole: "
                f"set ks = {list(ascending)}"
            )
        return self

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        site, baseline = self.where(model, data)
        ks = tuple(k for k in self.ks if k < site.n_components)
        is_train, _ = data.sides()
        saliency = np.median(np.abs(self.attributed(model, data, only=is_train)), axis=0)
        squares = self._squared_logit_norms(model, data, site, baseline, at.rng)
        deleted = np.stack(
            [
                np.stack([deletion_sets(saliency, squares, k, at.rng) for k in ks], axis=1)
                for _ in range(self.repeats)
            ]
        )  # [repeat, strategy, k, component]
        accuracy, log_prob = _after_deleting(
            model, data.inputs, data.labels, jnp.asarray(data.sides()), site, baseline, _closed(deleted)
        )
        coords = {"side": SIDES, "strategy": STRATEGIES, "k": ks}
        shape = (*deleted.shape[:3], 2)

        def by_side(values: Array) -> Reading:
            mean = np.asarray(values).reshape(shape).mean(axis=0)
            return Reading(("side", "strategy", "k"), np.moveaxis(mean, 2, 0), coords)

        def of_set(values: np.ndarray) -> Reading:
            mean = values.mean(axis=0).astype(np.float32)
            return Reading(("strategy", "k"), mean, {"strategy": STRATEGIES, "k": ks})

        return {
            f"{self.prefix}_accuracy": by_side(accuracy),
            f"{self.prefix}_log_prob": by_side(log_prob),
            f"{self.prefix}_n_deleted": of_set(deleted.sum(axis=3)),
            f"{self.prefix}_norm_share": of_set(deleted @ (squares / squares.sum())),
        }

    def _squared_logit_norms(
        self,
        model: Model,
        data: Observed,
        site: Site,
        baseline: Baselines,
        rng: np.random.Generator,
    ) -> Float[np.ndarray, " component"]:
        shape = jax.eval_shape(model, data.inputs).shape
        signs = jnp.asarray(rng.choice(np.array([-1, 1], np.float32), shape))
        norms = logit_norms(model, data.inputs, site=site, baseline=baseline, signs=signs)
        return np.asarray(norms, np.float64) ** 2


def deletion_sets(
    saliency: Float[np.ndarray, " component"],
    weight: Float[np.ndarray, " component"],
    k: int,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "strategy component"]:
    """Which components each of `STRATEGIES` deletes, where the top k are to be matched in `weight`.

    >>> rng = np.random.default_rng(0)
    >>> sets = deletion_sets(np.array([5.0, 1.0, 3.0]), np.array([2.0, 1.0, 1.0]), 1, rng)
    >>> sets[[0, 2, 3]].tolist()  # top, least, norm_matched
    [[True, False, False], [False, True, False], [False, True, True]]
    """
    by_saliency = np.argsort(-saliency, kind="stable")
    sets = np.zeros((len(STRATEGIES), len(saliency)), bool)
    top, random, least, norm_matched = sets
    top[by_saliency[:k]] = True
    random[rng.permutation(by_saliency)[:k]] = True  # by rank: the draw follows a renumbering
    least[by_saliency[len(saliency) - k :]] = True
    others = rng.permutation(by_saliency[k:])
    carried = np.concatenate([[0.0], np.cumsum(weight[others])])
    n_matched = int(np.abs(carried - weight[top].sum()).argmin())
    norm_matched[others[:n_matched]] = True
    return sets


def _closed(deleted: np.ndarray) -> Float[Array, "pattern component"]:
    return jnp.asarray(~deleted.reshape(-1, deleted.shape[-1]), jnp.float32)


@eqx.filter_jit
def _after_deleting(
    model: Model,
    inputs: Array,
    labels: Array,
    sides: Bool[Array, "side example"],
    site: Site,
    baseline: Baselines,
    patterns: Float[Array, "pattern component"],
) -> tuple[Float[Array, "pattern side"], Float[Array, "pattern side"]]:
    """Accuracy and mean correct log-probability on each side with each pattern of gates."""
    share = sides.astype(jnp.float32)
    share = share / share.sum(axis=1, keepdims=True)

    def one(gates: Array) -> tuple[Array, Array]:
        logits = model(inputs, gated((site,), {site.name: gates}, baseline))
        correct = (jnp.argmax(logits, axis=1) == labels).astype(jnp.float32)
        return share @ correct, share @ SCORES["log_prob"](logits, labels)

    return jax.lax.map(one, patterns, batch_size=PATTERNS_AT_ONCE)
