"""Coherence and stiffness: how far the gradients of different examples are one gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from undergrowth.losses import LossName
from undergrowth.measures.context import Context
from undergrowth.measures.reading import COMPONENTS, SIDES, LossMeasure, Observed, Reading, scalar
from undergrowth.measures.reinforcement.entries import ratio
from undergrowth.measures.reinforcement.example_gradients import (
    Chunk,
    example_gradients,
    in_chunks,
    slices,
)
from undergrowth.measures.reinforcement.gradient_groups import MODULE, WHOLE, Masks, groupings
from undergrowth.measures.reinforcement.ledger import families
from undergrowth.models import Model
from undergrowth.schedules import Schedule

PAIRS = ("train", "train_val")
"""Two different training examples; a training and a validation example."""


class Coherence(LossMeasure):
    r"""How well the loss gradients of different examples agree, in each component, module and overall.

    g_i is the gradient of example i's own loss (as in `Ledger`) with respect to the weights of a group.

    m-coherence (Chatterjee & Zielinski 2020, arXiv:2008.01217) of the n examples of a side,

    .. math:: \frac{\lVert \sum_i g_i \rVert^2}{\sum_i \lVert g_i \rVert^2} \in [0, n]

    is 1 where they are unrelated, n where they are identical, 0 where no example has a gradient:
    {prefix}_{component} [layer, side, component], {prefix}_module [side, module], {prefix}_{side}.

    Stiffness (Fort et al. 2019, arXiv:1901.09491): the mean over pairs i != j of cos(g_i, g_j), over all
    pairs exactly, and of sign(g_i . g_j), over `n_pairs` pairs drawn anew at every step. `pair`: two
    training examples (`train`), or one and a validation example (`train_val`). A pair in which one has
    no gradient in the group counts as 0; {prefix}_{component}_active [layer, side, component] is the
    share of the examples that have one. {prefix}_{component}_cosine, _sign [layer, pair, component];
    {prefix}_module_cosine, _sign [pair, module]; {prefix}_cosine_{pair}, {prefix}_sign_{pair}.

    n_pairs: 0 leaves the signs out.
    """

    endings: ClassVar[tuple[str, ...]] = (
        *(
            f"{of}{what}"
            for of in (*COMPONENTS, "module")
            for what in ("", "_active", "_cosine", "_sign")
        ),
        *SIDES,
        *(f"{what}_{pair}" for what in ("cosine", "sign") for pair in PAIRS),
    )

    name: Literal["coherence"] = "coherence"
    prefix: str = Field(default="coherence", pattern=r"^[a-z][a-z0-9_]*$")
    n_pairs: int = Field(default=256, ge=0)
    schedule: Schedule = Schedule(every=100, until=100, per_decade=12)

    @property
    def scalars(self) -> tuple[str, ...]:
        stiffness = ("cosine", "sign") if self.n_pairs else ("cosine",)
        of_pairs = (f"{self.prefix}_{name}_{pair}" for name in stiffness for pair in PAIRS)
        return (*(f"{self.prefix}_{side}" for side in SIDES), *of_pairs)

    def observe(self, model: Model, data: Observed, at: Context) -> Mapping[str, Reading]:
        loss, temperature = at.spec.loss, at.state.knobs["temperature"]
        found = coherence(model, data, loss=loss, temperature=temperature)
        values = {
            name: {"": of.m_coherence, "active": of.active, "cosine": of.cosine}
            for name, of in found.items()
        }
        if self.n_pairs:
            first, second = _drawn(data, self.n_pairs, at.rng)
            signs = sign_stiffness(model, data, first, second, loss=loss, temperature=temperature)
            for name, of in signs.items():
                values[name]["sign"] = of
        return self._readings(model, values)

    def _readings(
        self, model: Model, values: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[str, Reading]:
        readings = {}
        for what in values[WHOLE]:
            axis, labels = ("pair", PAIRS) if what in ("cosine", "sign") else ("side", SIDES)
            suffix, coords = f"_{what}" * bool(what), {axis: labels}
            for component, sites in families(model).items():
                stacked = np.stack([values[site][what] for site in sites]).astype(np.float32)
                readings[f"{component}{suffix}"] = Reading(("layer", axis, component), stacked, coords)
            if what == "active":
                continue
            modules = {**coords, "module": groupings(model, {})[MODULE].labels}
            by_module = values[MODULE][what].astype(np.float32)
            readings[f"module{suffix}"] = Reading((axis, "module"), by_module, modules)
            for label, value in zip(labels, values[WHOLE][what][:, 0], strict=True):
                readings["_".join(filter(None, (what, label)))] = scalar(float(value))
        return {f"{self.prefix}_{name}": reading for name, reading in readings.items()}


class Agreement(NamedTuple):
    """How far the gradients of different examples agree in some groups of weights; see `Coherence`."""

    m_coherence: Float[np.ndarray, "side group"]
    active: Float[np.ndarray, "side group"]
    cosine: Float[np.ndarray, "pair group"]


def coherence(
    model: Model,
    data: Observed,
    *,
    masks: Masks | None = None,
    loss: LossName = "cross_entropy",
    temperature: float | Array = 1.0,
) -> dict[str, Agreement]:
    """The agreement of gradients, by site name (each component a group), `module` and `whole`.

    masks: by name, a site's name and which of its components are one group.
    """
    at, masked = jnp.asarray(temperature), _on_device(masks)
    sides = [_of_side(model, data, np.flatnonzero(s), masked, at, loss) for s in data.sides()]
    return {name: _agreement(*(side[name] for side in sides)) for name in sides[0]}


def sign_stiffness(
    model: Model,
    data: Observed,
    first: Int[np.ndarray, "pair draw"],
    second: Int[np.ndarray, "pair draw"],
    *,
    masks: Masks | None = None,
    loss: LossName = "cross_entropy",
    temperature: float | Array = 1.0,
) -> dict[str, Float[np.ndarray, "pair group"]]:
    """Mean sign(g_i . g_j) over pairs of examples, (first, second) by their places in the data.

    Grouped as by `coherence`.
    """
    at, masked = jnp.asarray(temperature), _on_device(masks)
    signs: dict[str, list[np.ndarray]] = {}
    both = (in_chunks(data, places.ravel()) for places in (first, second))
    for one, other in zip(*both, strict=True):
        for name, sign in _signs(model, one, other, masked, at, loss).items():
            signs.setdefault(name, []).append(np.asarray(sign, np.float64))
    return {
        name: np.concatenate(found)[: first.size].reshape(*first.shape, -1).mean(axis=1)
        for name, found in signs.items()
    }


class _Side(NamedTuple):
    """Sums over the n examples of a side, of one grouping.

    squares: of the squared norms of the gradients; active: how many have any. raw, unit: the sums of the
    gradients, and of the gradients at norm 1 in the group, by slice [m, component, k]; members: as in
    `Grouping`.
    """

    n: int
    squares: Float[np.ndarray, " group"]
    active: Float[np.ndarray, " group"]
    raw: list[np.ndarray]
    unit: list[np.ndarray]
    members: list[Any]

    def dots(self, a: list[np.ndarray], b: list[np.ndarray]) -> Float[np.ndarray, " group"]:
        """The inner products of two sums of gradients, group by group."""
        of_slices = [np.einsum("mck,mck->c", x, y) for x, y in zip(a, b, strict=True)]
        pairs = zip(of_slices, self.members, strict=True)
        return np.sum(
            [of if member is None else of @ np.asarray(member) for of, member in pairs], axis=0
        )


def _agreement(train: _Side, val: _Side) -> Agreement:
    squared_sums = [side.dots(side.raw, side.raw) for side in (train, val)]
    m_coherence = [ratio(of, s.squares) for of, s in zip(squared_sums, (train, val), strict=True)]
    of_others = train.dots(train.unit, train.unit) - train.active  # less each with itself
    within = of_others / max(train.n * (train.n - 1), 1)
    across = train.dots(train.unit, val.unit) / max(train.n * val.n, 1)
    active = np.stack([side.active / max(side.n, 1) for side in (train, val)])
    return Agreement(np.stack(m_coherence), active, np.stack([within, across]))


def _of_side(
    model: Model,
    data: Observed,
    index: Int[np.ndarray, " picked"],
    masks: Masks,
    temperature: Array,
    loss: LossName,
) -> dict[str, _Side]:
    norms, sums = None, None
    for chunk in in_chunks(data, index):
        here, sums_here = _chunk_sums(model, chunk, masks, temperature, loss)
        in_float64 = jax.tree.map(lambda a: np.asarray(a, np.float64), here)
        of_chunk = {name: (peak**2 * s, active) for name, (peak, s, active) in in_float64.items()}
        norms = of_chunk if norms is None else jax.tree.map(np.add, norms, of_chunk)
        sums = sums_here if sums is None else _added(sums, sums_here)
    assert norms is not None
    raw, at_norm_1 = jax.tree.map(lambda a: np.asarray(a, np.float64), sums)
    places = {each: place for place, each in enumerate(slices(model))}
    return {
        name: _Side(
            len(index),
            norms[name][0],
            norms[name][1],
            [raw[places[each]] for each in grouping.members],
            at_norm_1[name],
            list(grouping.members.values()),
        )
        for name, grouping in groupings(model, masks).items()
    }


@eqx.filter_jit
def _chunk_sums(
    model: Model, chunk: Chunk, masks: Masks, temperature: Array, loss: LossName
) -> tuple[Any, ...]:
    """By grouping the largest norm, the sum of squares in its units and how many are not 0; and the sums
    of the gradients by slice, and by grouping those of gradients at norm 1.
    """
    gradients = example_gradients(model, chunk.inputs, chunk.labels, loss, temperature)
    units = jnp.where(chunk.counts, gradients.unit, 0)[:, None]
    factors = {each: gradients.factors(each) for each in slices(model)}
    squares = {each: of.squares() for each, of in factors.items()}
    weights = {each: [jnp.broadcast_to(units, of.shape)] for each, of in squares.items()}
    norms, asked = {}, {each: [""] for each in factors}
    for name, grouping in groupings(model, masks).items():
        norm = jnp.sqrt(grouping.summed(squares))
        is_active = (norm > 0) & (units > 0)
        peak = jnp.max(norm * units, axis=0)
        share = norm * units / jnp.where(peak > 0, peak, 1)
        norms[name] = peak, jnp.sum(share**2, axis=0), jnp.sum(is_active, axis=0)
        inverse = jnp.where(is_active, 1 / jnp.where(is_active, norm, 1), 0)
        for each in grouping.members:
            weights[each].append(grouping.spread(each, inverse))
            asked[each].append(name)
    summed = {each: of.summed(jnp.stack(weights[each])) for each, of in factors.items()}
    at_norm_1 = {
        name: [summed[each][asked[each].index(name)] for each in grouping.members]
        for name, grouping in groupings(model, masks).items()
    }
    return norms, ([of[0] for of in summed.values()], at_norm_1)


@jax.jit
def _added(sums: Any, more: Any) -> Any:
    return jax.tree.map(jnp.add, sums, more)


@eqx.filter_jit
def _signs(
    model: Model, one: Chunk, other: Chunk, masks: Masks, temperature: Array, loss: LossName
) -> dict[str, Array]:
    """sign(g_i . g_j) of each example of a chunk and its partner in another, by grouping."""
    pair = [
        example_gradients(model, chunk.inputs, chunk.labels, loss, temperature) for chunk in (one, other)
    ]
    dots = {each: pair[0].factors(each).dots(pair[1].factors(each)) for each in slices(model)}
    return {name: jnp.sign(of.summed(dots)) for name, of in groupings(model, masks).items()}


def _drawn(
    data: Observed, n: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "pair draw"], Int[np.ndarray, "pair draw"]]:
    """Pairs as in `PAIRS`, with replacement, of two different examples each."""
    train, val = (np.flatnonzero(side) for side in data.sides())
    first = rng.integers(len(train), size=(2, n))
    another = (first[0] + rng.integers(1, max(len(train), 2), size=n)) % len(train)
    return train[first], np.stack([train[another], rng.choice(val, n)])


def _on_device(masks: Masks | None) -> Masks:
    return {name: (site, jnp.asarray(mask)) for name, (site, mask) in (masks or {}).items()}
