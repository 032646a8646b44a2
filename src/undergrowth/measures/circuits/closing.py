"""What a model still says while sets of a site's components are at their baseline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from undergrowth.gating.gated_scores import Baselines, contributions
from undergrowth.measures.reading import Observed
from undergrowth.models import Model, Site, gated
from undergrowth.models.micro_batches import rows_at_once

SETS_AT_ONCE = 8
BLOCK = 32
"""Components that are opened or closed by one product."""


class Said(NamedTuple):
    """Accuracy in [0, 1] and correct log-probability in nats: means over each side, [..., side]."""

    accuracy: Float[np.ndarray, "*sets side"]
    log_prob: Float[np.ndarray, "*sets side"]


def evaluate_ablated(
    model: Model,
    data: Observed,
    closed: Bool[np.ndarray, "sequence step component"],
    *,
    site: Site,
    baseline: Baselines,
) -> Said:
    """What is said with each set of a site's components closed, in sequences of sets.

    Right is a prediction whose correct logit is above all others; a tie is none. Where logits are linear
    in the activations of the site (`Model.readout`) a sequence is walked from its largest set on, and a
    step costs a product over the components that it opens or closes: sets within one another cost no
    more than one forward pass. Elsewhere each set is a forward pass, however often it comes.
    """
    if model.readout(site) is None:
        return _said_by_forward_passes(model, data, closed, site, baseline)
    largest_first = np.argsort(-closed.sum(axis=2), axis=1, kind="stable")
    walks = _walks(np.take_along_axis(closed, largest_first[:, :, None], axis=1))
    found = side_means(partial(_by_walks, model, site, baseline, walks), data, rows_at_once(model, 2))
    back = np.argsort(largest_first, axis=1)[:, :, None]
    return Said(*(np.take_along_axis(values, back, axis=1) for values in found))


def side_means(function: Callable[..., Any], data: Observed, at_once: int) -> Any:
    """Means over each side, from function(inputs, labels, of_side) -> sums over a micro-batch, float32.

    of_side [example, side] is 1 where an example is on a side and 0 elsewhere; `number @ of_side` is
    such a sum, and the side is the last axis of all that the function returns.
    """
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    sides = np.stack(data.sides(), axis=1).astype(np.float32)
    n = len(labels)
    size = -(-n // -(-n // at_once))
    total = None
    for start in range(0, n, size):
        index = np.arange(start, start + size)
        filled = np.minimum(index, n - 1)
        of_side = sides[filled] * (index < n)[:, None]
        part = function(*map(jnp.asarray, (inputs[filled], labels[filled], of_side)))
        part = jax.tree.map(lambda array: np.asarray(array, np.float64), part)
        total = part if total is None else jax.tree.map(np.add, total, part)
    return jax.tree.map(lambda array: (array / sides.sum(axis=0)).astype(np.float32), total)


def said(
    logits: Float[Array, "label example"], labels: Int[Array, " example"]
) -> tuple[Bool[Array, " example"], Float[Array, " example"]]:
    """Which examples are right, and the correct log-probability of each.

    As `losses.cross_entropy`, with the labels first: XLA's CPU backend takes maxima and sums over the
    first axis four times as fast.
    """
    is_label = jnp.arange(len(logits))[:, None] == labels
    correct = jnp.sum(jnp.where(is_label, logits, 0), axis=0)
    centred_logits = jnp.where(is_label, -jnp.inf, logits - correct)
    largest = jnp.max(centred_logits, axis=0)
    shift = jnp.maximum(largest, 0)
    rest = jnp.expm1(-shift) + jnp.sum(jnp.exp(centred_logits - shift), axis=0)
    return largest < 0, -(shift + jnp.log1p(rest))


def _sums_of_said(
    logits: Float[Array, "label example"],
    labels: Int[Array, " example"],
    of_side: Float[Array, "example side"],
) -> tuple[Float[Array, " side"], Float[Array, " side"]]:
    right, log_prob = said(logits, labels)
    return right.astype(jnp.float32) @ of_side, log_prob @ of_side


def _said_by_forward_passes(
    model: Model,
    data: Observed,
    closed: Bool[np.ndarray, "sequence step component"],
    site: Site,
    baseline: Baselines,
) -> Said:
    sets, which = np.unique(closed.reshape(-1, closed.shape[-1]), axis=0, return_inverse=True)
    found = []
    for start in range(0, len(sets), SETS_AT_ONCE):
        some = sets[np.minimum(np.arange(start, start + SETS_AT_ONCE), len(sets) - 1)]
        function = partial(_by_forward_passes, model, site, baseline, jnp.asarray(some))
        found.append(side_means(function, data, rows_at_once(model, SETS_AT_ONCE)))
    accuracy, log_prob = (np.concatenate(each)[which.ravel()] for each in zip(*found, strict=True))
    in_sequences = (*closed.shape[:2], accuracy.shape[-1])
    return Said(accuracy.reshape(in_sequences), log_prob.reshape(in_sequences))


@eqx.filter_jit
def _by_forward_passes(
    model: Model,
    site: Site,
    baseline: Baselines,
    closed: Bool[Array, "set component"],
    inputs: Array,
    labels: Array,
    of_side: Array,
) -> tuple[Array, Array]:
    def one(gates: Float[Array, " component"]) -> tuple[Array, Array]:
        logits = model(inputs, gated((site,), {site.name: gates}, baseline))
        return _sums_of_said(logits.T, labels, of_side)

    return jax.vmap(one)(1.0 - closed)


class _Walks(NamedTuple):
    """Sequences of sets from all closed on, by what each step opens and closes, in blocks of components.

    sign: 1 opens, -1 closes, 0 is a filling; end: the number of blocks after which a step is reached.
    """

    component: Int[Array, "sequence block position"]
    sign: Float[Array, "sequence block position"]
    end: Int[Array, "sequence step"]


def _walks(closed: Bool[np.ndarray, "sequence step component"]) -> _Walks:
    """The walks, laid out in as many blocks as any such sets can need, so that they compile once.

    They start with all closed, so an example that no open component speaks of keeps its exact tie.
    """
    n_sequences, n_steps, n = closed.shape
    opened = np.concatenate([np.zeros((n_sequences, 1, n), bool), ~closed], axis=1)
    signs = np.diff(opened.astype(np.int8), axis=1)
    end = np.cumsum(-(-np.count_nonzero(signs, axis=2) // BLOCK), axis=1)
    first = BLOCK * (end - np.diff(end, axis=1, prepend=0))
    n_blocks = n_steps * -(-n // BLOCK)
    component = np.zeros((n_sequences, n_blocks * BLOCK), np.int32)
    sign = np.zeros(component.shape, np.float32)
    for sequence, step in np.ndindex(end.shape):
        changed = np.flatnonzero(signs[sequence, step])
        at = slice(first[sequence, step], first[sequence, step] + len(changed))
        component[sequence, at] = changed
        sign[sequence, at] = signs[sequence, step, changed]
    in_blocks = (n_sequences, n_blocks, BLOCK)
    arrays = component.reshape(in_blocks), sign.reshape(in_blocks), end.astype(np.int32)
    return _Walks(*map(jnp.asarray, arrays))


@eqx.filter_jit
def _by_walks(
    model: Model,
    site: Site,
    baseline: Baselines,
    walks: _Walks,
    inputs: Array,
    labels: Array,
    of_side: Array,
) -> tuple[Array, Array]:
    readout = model.readout(site)
    assert readout is not None
    off = contributions(model, inputs, site, baseline)[1].T
    nothing = model(inputs, gated((site,), {site.name: jnp.zeros(site.n_components)}, baseline)).T

    def along(walk: _Walks) -> tuple[Array, Array]:
        def change(block: Array, logits: Float[Array, "label example"]) -> Array:
            component, sign = walk.component[block], walk.sign[block]
            return logits + (readout[component] * sign[:, None]).T @ off[component]

        def step(at: tuple[Array, Array], end: Array) -> tuple[tuple[Array, Array], Any]:
            start, logits = at
            logits = jax.lax.fori_loop(start, end, change, logits)
            return (end, logits), _sums_of_said(logits, labels, of_side)

        return jax.lax.scan(step, (jnp.zeros((), walk.end.dtype), nothing), walk.end)[1]

    return jax.lax.map(along, walks)
