"""What remains of a model's predictions when k components are deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from pydantic import Field, model_validator

from undergrowth.gating.attribution import logit_norms
from undergrowth.gating.gated_scores import Baselines, contributions
from undergrowth.measures.circuits.closing import evaluate_ablated
from undergrowth.measures.context import Context
from undergrowth.measures.gating.attributed import AttributedMeasure
from undergrowth.measures.reading import SIDES, Observed, Reading
from undergrowth.models import Model, Site
from undergrowth.models.micro_batches import micro_batched, rows_at_once

STRATEGIES = ("top", "random", "least", "norm_matched", "complement")
DRAWN = ("random", "norm_matched")
"""The strategies that chance is part of."""
Reduce = Callable[[np.ndarray], np.ndarray]


class Deletion(AttributedMeasure):
    """Accuracy and correct log-probability after closing the gates of k components.

    Components are ranked, most salient first, by their median |attribution| over the training
    examples, or with rank_by = "norm" by the norm of their change of the logits, whatever the
    attribution. `top`: the k most salient; `least`: the k least; `random`: k at random; `norm_matched`:
    random ones from outside the top k, as many as carry the same summed squared logit norm (all of them
    if that is not enough); `complement`: all but the top k. Random sets are
    drawn `repeats` times, each time one order of the components for all k.

    {prefix}_accuracy, {prefix}_log_prob [side, strategy, k]: means over the draws; {prefix}_accuracy_sd,
    {prefix}_log_prob_sd [side, strategy, k]: standard deviations over them, 0 where nothing is drawn or
    drawn once. {prefix}_n_deleted [strategy, k]; {prefix}_norm_share [strategy, k]: the deleted share of
    the summed squared logit norm on the training examples. k = 0 is the full model or, for `complement`,
    the model without any of the components.
    """

    endings: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "log_prob",
        "accuracy_sd",
        "log_prob_sd",
        "n_deleted",
        "norm_share",
    )

    name: Literal["deletion"] = "deletion"
    prefix: str = Field(default="deletion", pattern=r"^[a-z][a-z0-9_]*$")
    ks: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
    repeats: int = Field(default=20, ge=1)
    rank_by: Literal["attribution", "norm"] = "attribution"

    @model_validator(mode="after")
    def _starts_whole(self) -> Deletion:
        ascending = tuple(sorted({0, *self.ks}))
        if self.ks != ascending:
            raise ValueError(
                f"ks = {list(self.ks)} must ascend from 0 (nothing deleted): set ks = {list(ascending)}"
            )
        return self

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        site, baseline = self.where(model, data)
        ks = tuple(k for k in self.ks if k < site.n_components)
        squares = _squared_logit_norms(model, data, site, baseline, at.rng)
        where = site, baseline
        saliency = squares if self.rank_by == "norm" else self._saliency(model, data, where)
        draws = [deletion_sets(saliency, squares, ks, at.rng) for _ in range(self.repeats)]
        sequences = [
            (strategy, sets[i])
            for i, strategy in enumerate(STRATEGIES)
            for sets in (draws if strategy in DRAWN else draws[:1])
        ]
        strategies = np.array([strategy for strategy, _ in sequences])
        closed = np.stack([sets for _, sets in sequences])
        said = evaluate_ablated(model, data, closed, site=site, baseline=baseline)
        norm_shares = squares / max(squares.sum(), np.finfo(np.float64).tiny)
        coords = {"side": SIDES, "strategy": STRATEGIES, "k": ks}

        def reduced(reduce: Reduce, values: np.ndarray) -> Reading:
            by_strategy = [reduce(values[strategies == strategy]) for strategy in STRATEGIES]
            dims = ("side", "strategy", "k")[3 - values.ndim :]
            found = np.stack(by_strategy, axis=-2).astype(np.float32)
            return Reading(dims, found, {dim: coords[dim] for dim in dims})

        accuracy, log_prob = (values.swapaxes(1, 2) for values in said)
        return {
            f"{self.prefix}_accuracy": reduced(_mean, accuracy),
            f"{self.prefix}_log_prob": reduced(_mean, log_prob),
            f"{self.prefix}_accuracy_sd": reduced(_standard_deviation, accuracy),
            f"{self.prefix}_log_prob_sd": reduced(_standard_deviation, log_prob),
            f"{self.prefix}_n_deleted": reduced(_mean, closed.sum(axis=2)),
            f"{self.prefix}_norm_share": reduced(_mean, closed @ norm_shares),
        }

    def _saliency(
        self, model: Model, data: Observed, where: tuple[Site, Baselines]
    ) -> Float[np.ndarray, " component"]:
        is_train, _ = data.sides()
        return np.median(np.abs(self.attributed(model, data, is_train, where)), axis=0)


def deletion_sets(
    saliency: Float[np.ndarray, " component"],
    weight: Float[np.ndarray, " component"],
    ks: Sequence[int],
    rng: np.random.Generator,
) -> Bool[np.ndarray, "strategy k component"]:
    """Which components each of `STRATEGIES` deletes, where the top k are to be matched in `weight`.

    Chance draws two orders of the components, one for `random` and one for `norm_matched`, for all k.

    >>> rng = np.random.default_rng(0)
    >>> sets = deletion_sets(np.array([5.0, 1.0, 3.0]), np.array([2.0, 1.0, 1.0]), [1], rng)
    >>> sets[[0, 2, 3, 4], 0].tolist()  # top, least, norm_matched, complement
    [[True, False, False], [False, True, False], [False, True, True], [False, True, True]]
    """
    by_saliency = np.argsort(-saliency, kind="stable")
    drawn, drawn_to_match = rng.permutation(by_saliency), rng.permutation(by_saliency)
    sets = np.zeros((len(STRATEGIES), len(ks), len(saliency)), bool)
    for k, (top, random, least, norm_matched, complement) in zip(ks, sets.swapaxes(0, 1), strict=True):
        top[by_saliency[:k]] = True
        random[drawn[:k]] = True
        least[by_saliency[len(saliency) - k :]] = True
        others = drawn_to_match[~top[drawn_to_match]]
        carried = np.concatenate([[0.0], np.cumsum(weight[others])])
        norm_matched[others[: int(np.abs(carried - weight[top].sum()).argmin())]] = True
        complement[by_saliency[k:]] = True
    return sets


def _squared_logit_norms(
    model: Model, data: Observed, site: Site, baseline: Baselines, rng: np.random.Generator
) -> Float[np.ndarray, " component"]:
    """Mean square over the training examples of the logit change that each component makes.

    Exact where the model has a readout of the site, else estimated by `logit_norms`.
    """
    readout, inputs = model.readout(site), data.train_inputs()
    if readout is not None:
        of_batch = partial(_offsets, model, site, baseline)
        off = micro_batched(of_batch, (inputs,), rows_at_once(model))
        lengths = np.sum(np.asarray(readout, np.float64) ** 2, axis=1)
        return np.mean(off**2, axis=0, dtype=np.float64) * lengths
    shape = jax.eval_shape(model, inputs).shape
    signs = jnp.asarray(rng.choice(np.array([-1, 1], np.float32), shape))
    norms = logit_norms(model, inputs, site=site, baseline=baseline, signs=signs)
    return np.asarray(norms, np.float64) ** 2


@eqx.filter_jit
def _offsets(
    model: Model, site: Site, baseline: Baselines, inputs: Array
) -> Float[Array, "example component"]:
    return contributions(model, inputs, site, baseline)[1]


def _mean(draws: np.ndarray) -> np.ndarray:
    return draws.mean(axis=0, dtype=np.float64)


def _standard_deviation(draws: np.ndarray) -> np.ndarray:
    """Of the population that is drawn from; 0 where there is one draw."""
    return draws.std(axis=0, ddof=1, dtype=np.float64) if len(draws) > 1 else np.zeros(draws.shape[1:])
