"""Pushes: how far a step on one example, by the weights of a component alone, moves another's margin.

m_i is the margin of example i, or a score that is linear in the logits, grad_c its gradient with respect
to the weights of component c, and P what the optimiser multiplies the gradient of each weight by. The
push of example j on example i through c is K_c(i, j) = <grad_c m_i, P grad_c m_j>. Of its two sums

    sum_ij K_ij = |P^(1/2) sum_i grad_c m_i|^2,    sum_i K_ii = sum_i |P^(1/2) grad_c m_i|^2

the one needs the summed gradient alone, the other each example's norm, which factors give
(`example_gradients`); P is inside it, so of several positions it takes their pairs (`Factors.products`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undergrowth.gating.scores import centred_logit, correct_logit, margin
from undergrowth.losses import LOSSES, LossName
from undergrowth.measures.reading import Observed
from undergrowth.measures.reinforcement.entries import ratio
from undergrowth.measures.reinforcement.example_gradients import (
    Chunk,
    Factors,
    Slice,
    gradients_of,
    in_chunks,
    slices,
)
from undergrowth.measures.reinforcement.gradient_groups import Grouping, Masks, groupings
from undergrowth.measures.reinforcement.subspaces import Directions, Subspace, parameter_shapes
from undergrowth.models import Model, parameter_names

PushedScore = Literal["margin", "centred_logit", "correct_logit"]
PUSHED: dict[PushedScore, Callable[[Array, Array], Array]] = {
    "margin": margin,
    "centred_logit": centred_logit,
    "correct_logit": correct_logit,
}
"""What is pushed: of each, the largest slope by a logit is 1, so no example's is lost to rounding."""
Subspaces = Mapping[str, Subspace]


class Pushes(NamedTuple):
    """The pushes of n examples on one another through some groups of weights, [group] each.

    together: sum_ij K_ij; alone: sum_i K_ii. by_loss_together, by_loss_alone: the same of
    L_ij = -<grad_c m_i, P grad_c l_j>, with l_j the loss of example j, which weighs its push by what of
    it is not fitted yet. squared_norm: of the weights; along: sum_i <theta_c, grad_c m_i>.
    """

    n: int
    together: Float[np.ndarray, " group"]
    alone: Float[np.ndarray, " group"]
    by_loss_together: Float[np.ndarray, " group"]
    by_loss_alone: Float[np.ndarray, " group"]
    squared_norm: Float[np.ndarray, " group"]
    along: Float[np.ndarray, " group"]

    @property
    def reach(self) -> Float[np.ndarray, " group"]:
        """sum_ij K_ij / sum_i K_ii, from 0 to n; 0 where nothing pushes."""
        return ratio(self.together, self.alone)

    @property
    def own_push(self) -> Float[np.ndarray, " group"]:
        """Mean K_ii: how far a step on an example moves its own margin, for a learning rate of 1."""
        return self.alone / self.n

    @property
    def reach_by_loss(self) -> Float[np.ndarray, " group"]:
        """sum_ij L_ij / sum_i L_ii; 0 where the examples do not push themselves up, all in all."""
        return ratio(self.by_loss_together, self.by_loss_alone)

    @property
    def strength(self) -> Float[np.ndarray, " group"]:
        """Mean <theta_c, grad_c m_i>: how fast the mean margin grows with the size of theta_c."""
        return self.along / self.n


def pushes(
    model: Model,
    data: Observed,
    *,
    score: PushedScore = "margin",
    preconditioner: Model | None = None,
    masks: Masks | None = None,
    subspaces: Subspaces | None = None,
    loss: LossName = "cross_entropy",
    temperature: float | Array = 1.0,
) -> dict[str, Pushes]:
    """The pushes of the training examples by site name (each component a group), `module` and `whole`.

    preconditioner: P, in the place of the model's arrays; None where it is 1. masks: by name, a site's
    name and which of its components are one group; subspaces: by name, directions of some parameters
    that are one group. A P that differs among directions pushes across them too: K_c has what starts
    and ends in the group.

    Raises ValueError for a mask of no site and a subspace that does not fit its parameter.
    """
    subspaces = dict(subspaces or {})
    masked = {name: (site, jnp.asarray(mask)) for name, (site, mask) in (masks or {}).items()}
    largest = 1.0
    if preconditioner is not None:
        largest = max(float(jnp.max(leaf)) for leaf in jax.tree.leaves(preconditioner)) or 1.0
        preconditioner = jax.tree.map(lambda p: p / largest, preconditioner)
    at, index = jnp.asarray(temperature), np.flatnonzero(np.asarray(data.is_train))
    wanted, directions = _slices(model, subspaces), [each for of in subspaces.values() for each in of]
    for each in directions:
        each.check(parameter_shapes(model))
    total, arrays = None, None
    for chunk in in_chunks(data, index):
        found = _of_chunk(model, chunk, preconditioner, wanted, directions, at, score, loss)
        unit, norms, sums = jax.tree.map(lambda a: np.asarray(a, np.float64), found)
        here = [of._replace(by_loss=unit * of.by_loss) for of in (*norms, *sums)]
        total = here if total is None else jax.tree.map(np.add, total, here)
        if arrays is None:
            laid_out = _laid_out(model, chunk, preconditioner, wanted)
            arrays = jax.tree.map(lambda a: np.asarray(a, np.float64), laid_out)
    assert total is not None
    assert arrays is not None
    k, end = len(wanted), len(wanted) + len(directions)
    norms, of_directions, sums = total[:k], iter(total[k:end]), total[end:]
    of_slices = zip(wanted, norms, sums, *arrays, strict=True)
    terms = {each: _OfSlice(*of) for each, *of in of_slices}
    n, groups = len(index), groupings(model, masked)
    found = {name: _added(n, largest, _grouped(of, terms)) for name, of in groups.items()}
    for name, subspace in subspaces.items():
        of_parts = [terms[_whole(each)].within(each, next(of_directions)) for each in subspace]
        found[name] = _added(n, largest, np.sum([of.terms() for of in of_parts], axis=0))
    return found


class _Pair(NamedTuple):
    """Something of the margins, and the same with minus the losses in place of one or both of them."""

    of_margins: Any
    by_loss: Any


class _OfSlice(NamedTuple):
    """What the examples come to in a slice of a parameter.

    norms: the sums of K_ii and L_ii [component]; sums: of the gradients [m, component, k]; metric,
    weights: P and the weights, laid out like them.
    """

    norms: _Pair
    sums: _Pair
    metric: Float[np.ndarray, "m component k"]
    weights: Float[np.ndarray, "m component k"]

    def within(self, directions: Directions, norms: _Pair) -> _OfSlice:
        """What there is along some directions, where the norms are these."""
        sums = _Pair(*(directions.of_array(each) for each in self.sums))
        return _OfSlice(norms, sums, self.metric, directions.of_array(self.weights))

    def terms(self) -> Float[np.ndarray, "term component"]:
        """What is added up over the slices of a group, in the order of `Pushes`."""
        raw, by_loss = self.sums
        products = raw * raw, raw * by_loss
        together, by_loss_together = ((self.metric * each).sum(axis=(0, 2)) for each in products)
        ends = ((self.weights * each).sum(axis=(0, 2)) for each in (self.weights, raw))
        alone, by_loss_alone = self.norms
        return np.stack([together, alone, by_loss_together, by_loss_alone, *ends])


def _grouped(grouping: Grouping, of_slices: Mapping[Slice, _OfSlice]) -> np.ndarray:
    """The terms of each of some groups, [term, group]."""
    terms = [
        of_slices[each].terms() if of is None else of_slices[each].terms() @ np.asarray(of)
        for each, of in grouping.members.items()
    ]
    return np.sum(terms, axis=0)


def _added(n: int, largest: float, terms: Float[np.ndarray, "term group"]) -> Pushes:
    """The pushes whose terms these are, P in units of `largest`."""
    return Pushes(n, *(largest * terms[:4]), *terms[4:])


def _slices(model: Model, subspaces: Subspaces) -> tuple[Slice, ...]:
    """All slices that are looked at, each once: the components', and whole parameters of subspaces."""
    of_subspaces = (_whole(each) for subspace in subspaces.values() for each in subspace)
    return tuple(dict.fromkeys((*slices(model), *of_subspaces)))


def _whole(directions: Directions) -> Slice:
    return Slice(directions.parameter, None, None)


@eqx.filter_jit
def _of_chunk(
    model: Model,
    chunk: Chunk,
    preconditioner: Model | None,
    wanted: tuple[Slice, ...],
    directions: Sequence[Directions],
    temperature: Array,
    score: PushedScore,
    loss: LossName,
) -> tuple[Array, list[_Pair], list[_Pair]]:
    """Sums over a chunk's examples: of K_ii and L_ii, by slice and then by directions, and of the
    gradients, by slice. What is by loss is so in the unit of the losses, which comes first.
    """
    margins, losses = gradients_of(
        model,
        chunk.inputs,
        lambda z: PUSHED[score](z, chunk.labels),
        lambda z: LOSSES[loss](z / temperature, chunk.labels),
    )
    units = jnp.where(chunk.counts, losses.unit, 0)
    unit = jnp.where(jnp.any(units > 0), jnp.max(units), 1)
    weights = _Pair(chunk.counts.astype(jnp.float32), -units / unit)
    by_name = {} if preconditioner is None else _by_name(preconditioner)

    def norms(each: Slice, of: _Pair) -> _Pair:
        scale = by_name.get(each.parameter)
        metric = None if scale is None else margins.laid_out(each, scale[None])[0]
        squares = of.of_margins.squares(metric), of.of_margins.dots(of.by_loss, metric)
        return _Pair(*(share @ square for share, square in zip(weights, squares, strict=True)))

    def summed(of: Factors, share: Array) -> Array:
        spread = jnp.broadcast_to(share[None, :, None], (1, len(share), of.own.shape[2]))
        return of.summed(spread)[0]

    factors = {each: _Pair(margins.factors(each), losses.factors(each)) for each in wanted}
    within = [
        (_whole(each), _Pair(*map(each.of_gradients, factors[_whole(each)]))) for each in directions
    ]
    return (
        unit,
        [norms(each, of) for each, of in (*factors.items(), *within)],
        [_Pair(*map(summed, of, weights)) for of in factors.values()],
    )


@eqx.filter_jit
def _laid_out(
    model: Model, chunk: Chunk, preconditioner: Model | None, wanted: tuple[Slice, ...]
) -> tuple[list[Array], list[Array]]:
    """P, and the weights, as the factors of each slice have their axes."""
    (gradients,) = gradients_of(model, chunk.inputs, lambda z: z[:, 0])
    weights = model.network
    ones = jax.tree.map(jnp.ones_like, weights)

    def of(arrays: Model) -> list[Array]:
        by_name = _by_name(arrays)
        return [gradients.laid_out(each, by_name[each.parameter][None])[0] for each in wanted]

    return of(ones if preconditioner is None else preconditioner), of(weights)


def _by_name(arrays: Model) -> dict[str, Array]:
    return dict(zip(parameter_names(arrays), jax.tree.leaves(arrays), strict=True))
