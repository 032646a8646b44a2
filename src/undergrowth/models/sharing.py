"""Prefix sharing: each distinct state of a position is computed once, however many examples have it.

In a causal model a position's state depends on the tokens up to it only. So a state depends on no
operand (one row for all examples), on x or on y alone (a row a token), or on both (a row an example);
y is alone in its token's embedding only, before any attention. All positions' rows lie one below the
other in one matrix, so that a norm, a projection or an MLP is one product, and only where attention
joins a query and a key of different operands are rows looked up. In the last layer nothing but the last
position is needed. Equal to the textbook pass up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undergrowth.models.blocks import Attention, Block, Change, plus, side_by_side
from undergrowth.models.lookup import rows
from undergrowth.models.prompts import Operands
from undergrowth.models.sites import HOOK_POST, HOOK_Z, Tap, untapped

BOTH: Operands = frozenset({0, 1})


class Position(NamedTuple):
    """The states of one position: a row for each value of the operands that they depend on."""

    rows: Array
    operands: Operands


class Stream(NamedTuple):
    """The states of all positions, one below the other, and what each position depends on."""

    rows: Array
    operands: tuple[Operands, ...]


def last_state(
    blocks: Sequence[Block],
    embedded: Sequence[Position],
    inputs: Int[Array, "example 2"],
    tap: Tap = untapped,
) -> Float[Array, "example d_model"]:
    """The residual stream at the last position after all blocks.

    With any tap but `untapped` every layer before the last is computed for each example by itself from
    its heads on, for a gate may differ from one example to the next: there the tap is handed [example,
    position, ...], and in the last layer [example, ...], of the last position.
    """
    n_operands = next(len(p.rows) for p in embedded if len(p.operands) == 1)
    sharing = _Sharing(inputs, n_operands)
    stream = sharing.stacked(embedded)
    for layer, block in enumerate(blocks):
        first = len(embedded) - 1 if layer == len(blocks) - 1 else 0
        stream = _after(block, layer, stream, first, sharing, tap)
    return stream.rows


def _after(block: Block, layer: int, stream: Stream, first: int, sharing: _Sharing, tap: Tap) -> Stream:
    """The states after a block of the positions from `first` on."""
    read = Stream(block.read(stream.rows), stream.operands)
    z = _heads(block.attn, read, first, sharing)
    n_heads, d_head, d_model = block.attn.W_O.shape
    if tap is not untapped:
        z = sharing.moved(z, (BOTH,) * len(z.operands))
        split = z.rows.reshape(-1, n_heads, d_head)
        tapped = _at_positions(HOOK_Z.format(layer), tap, len(z.operands))(split)
        z = Stream(tapped.reshape(-1, n_heads * d_head), z.operands)
    carried = Stream(block.carried(stream.rows, read.rows), stream.operands)
    resid = sharing.moved(carried, z.operands).rows
    resid = resid + plus(z.rows @ block.attn.W_O.reshape(-1, d_model), block.attn.b_O)
    tap_post = _at_positions(HOOK_POST.format(layer), tap, len(z.operands))
    return Stream(block.after_mlp(block.after_attention(resid), tap_post), z.operands)


def _at_positions(name: str, tap: Tap, n_positions: int) -> Change:
    """The tap on rows of one position after the other, handed to it as [example, position, ...]."""

    def change(stacked: Array) -> Array:
        if tap is untapped or n_positions == 1:
            return tap(name, stacked)
        by_position = stacked.reshape(n_positions, -1, *stacked.shape[1:])
        tapped = tap(name, jnp.swapaxes(by_position, 0, 1))
        return jnp.swapaxes(tapped, 0, 1).reshape(stacked.shape)

    return change


def _heads(attn: Attention, read: Stream, first: int, sharing: _Sharing) -> Stream:
    """The heads' weighted values z, side by side, of the positions from `first` on."""
    n_heads, d_head, _ = attn.W_O.shape
    operands = read.operands
    queries, keys, values = (
        sharing.apart(projected, positions)
        for projected, positions in _projected(attn, read, first, sharing)
    )

    @cache
    def key(position: int, onto: Operands) -> Array:
        return sharing.looked_up(keys[position], operands[position], onto)

    @cache
    def value(position: int, onto: Operands) -> Array:
        return sharing.looked_up(values[position], operands[position], onto)

    def z(query: int) -> Position:
        """Of one position, for each value of the operands of all positions up to it."""
        onto = frozenset[int]().union(*operands[: query + 1])
        scores = []
        for position in range(query + 1):
            joint = operands[query] | operands[position]
            q = sharing.looked_up(queries[query - first], operands[query], joint)
            score = jnp.sum((q * key(position, joint)).reshape(-1, n_heads, d_head), axis=-1)
            score = sharing.looked_up(score, joint, onto)
            scores.append(jnp.broadcast_to(score, (sharing.n_rows(onto), n_heads)))
        pattern = jax.nn.softmax(jnp.stack(scores), axis=0)[..., None]
        weighted = [
            pattern[position] * value(position, onto).reshape(-1, n_heads, d_head)
            for position in range(query + 1)
        ]
        return Position(reduce(jnp.add, weighted).reshape(-1, n_heads * d_head), onto)

    return sharing.stacked([z(query) for query in range(first, len(operands))])


def _projected(
    attn: Attention, read: Stream, first: int, sharing: _Sharing
) -> Iterable[tuple[Array, tuple[Operands, ...]]]:
    """Queries of the positions from `first` on, scaled, keys and values of all."""
    W_Q, W_K, W_V = (side_by_side(W) for W in (attn.W_Q, attn.W_K, attn.W_V))
    b_Q, b_K, b_V = (None if b is None else b.ravel() for b in (attn.b_Q, attn.b_K, attn.b_V))
    asking = sharing.stacked(sharing.positions(read)[first:])
    scale = attn.W_Q.shape[-1] ** -0.5
    yield plus(asking.rows @ W_Q, b_Q) * scale, asking.operands
    yield plus(read.rows @ W_K, b_K), read.operands
    yield plus(read.rows @ W_V, b_V), read.operands


@dataclass(frozen=True)
class _Sharing:
    """Which row is whose: how states of few rows become states of more."""

    inputs: Array
    n_operands: int

    def n_rows(self, operands: Operands) -> int:
        return (1, self.n_operands, len(self.inputs))[len(operands)]

    def looked_up(self, rows_of: Array, operands: Operands, onto: Operands) -> Array:
        """The rows for each value of more operands; one row stays one, for it broadcasts."""
        if operands == onto or not operands:
            return rows_of
        (operand,) = operands
        return rows(rows_of, self.inputs[:, operand])

    def stacked(self, positions: Sequence[Position]) -> Stream:
        operands = tuple(position.operands for position in positions)
        if len(positions) == 1:
            return Stream(positions[0].rows, operands)
        return Stream(jnp.concatenate([position.rows for position in positions]), operands)

    def apart(self, stacked: Array, operands: tuple[Operands, ...]) -> list[Array]:
        ends = list(accumulate(self.n_rows(each) for each in operands))
        return jnp.split(stacked, ends[:-1])

    def positions(self, stream: Stream) -> list[Position]:
        parts = self.apart(stream.rows, stream.operands)
        return [Position(*both) for both in zip(parts, stream.operands, strict=True)]

    def moved(self, stream: Stream, onto: tuple[Operands, ...]) -> Stream:
        """The last positions of a stream, with rows for more operands."""
        if stream.operands == onto:
            return stream
        kept = self.positions(stream)[-len(onto) :]
        return self.stacked(
            [
                Position(self._filled(self.looked_up(*position, to), to), to)
                for position, to in zip(kept, onto, strict=True)
            ]
        )

    def _filled(self, rows_of: Array, operands: Operands) -> Array:
        return jnp.broadcast_to(rows_of, (self.n_rows(operands), *rows_of.shape[1:]))
