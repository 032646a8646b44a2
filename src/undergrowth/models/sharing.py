"""Prefix sharing: each distinct state of a position is computed once, however many examples have it.

In a causal model a position's state depends on the tokens up to it only. So a state depends on no
operand (one row for all examples), on x or on y alone (a row a token), or on both (a row an example);
y is alone in its token's embedding only, before any attention. All positions' rows lie one below the
other in one matrix, so that a norm, a projection or an MLP is one product, and only where attention
joins a query and a key of different operands are rows looked up. In the last layer nothing but the last
position is needed. Equal to the textbook pass up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undergrowth.models.blocks import Attention, Block, Change, plus, side_by_side
from undergrowth.models.lookup import rows
from undergrowth.models.mixing import by_head, mixed
from undergrowth.models.products import product
from undergrowth.models.prompts import Operands
from undergrowth.models.sites import HOOK_MLP_OUT, HOOK_POST, HOOK_Z, Hook, no_hook

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
    hook: Hook = no_hook,
) -> Float[Array, "example d_model"]:
    """The residual stream at the last position after all blocks.

    With any hook but `no_hook` every layer before the last is computed for each example by itself from
    its heads on, for a gate may differ from one example to the next: there the hook is handed [example,
    position, ...], and in the last layer [example, ...], of the last position.
    """
    n_operands = next(len(p.rows) for p in embedded if len(p.operands) == 1)
    sharing = _Sharing(inputs, n_operands)
    stream = sharing.stacked(embedded)
    for layer, block in enumerate(blocks):
        first = len(embedded) - 1 if layer == len(blocks) - 1 else 0
        stream = _after(block, layer, stream, first, sharing, hook)
    return stream.rows


def _after(
    block: Block, layer: int, stream: Stream, first: int, sharing: _Sharing, hook: Hook
) -> Stream:
    """The states after a block of the positions from `first` on."""
    read = Stream(block.read(stream.rows), stream.operands)
    z = _heads(block.attn, read, first, sharing)
    if hook is not no_hook:
        z = _hooked(sharing.moved(z, (BOTH,) * len(z.operands)), layer, block.attn, hook)
    W_O = block.attn.W_O.reshape(-1, block.attn.W_O.shape[-1])
    carried = Stream(block.carried(stream.rows, read.rows), stream.operands)
    resid = sharing.moved(carried, z.operands).rows + plus(product(z.rows, W_O), block.attn.b_O)
    hook_post, hook_out = (
        _at_positions(place.format(layer), hook, len(z.operands)) for place in (HOOK_POST, HOOK_MLP_OUT)
    )
    return Stream(block.after_mlp(block.after_attention(resid), hook_post, hook_out), z.operands)


def _hooked(z: Stream, layer: int, attn: Attention, hook: Hook) -> Stream:
    n_heads, d_head, _ = attn.W_O.shape
    of_heads = z.rows.reshape(-1, n_heads, d_head)
    changed = _at_positions(HOOK_Z.format(layer), hook, len(z.operands))(of_heads)
    return Stream(changed.reshape(z.rows.shape), z.operands)


def _at_positions(name: str, hook: Hook, n_positions: int) -> Change:
    """The hook on rows of one position after the other, handed to it as [example, position, ...]."""

    def change(stacked: Array) -> Array:
        if hook is no_hook or n_positions == 1:
            return hook(name, stacked)
        by_position = stacked.reshape(n_positions, -1, *stacked.shape[1:])
        hooked = hook(name, jnp.swapaxes(by_position, 0, 1))
        return jnp.swapaxes(hooked, 0, 1).reshape(stacked.shape)

    return change


def _heads(attn: Attention, read: Stream, first: int, sharing: _Sharing) -> Stream:
    """The heads' weighted values z, side by side, of the positions from `first` on."""

    def projected(of: Stream, W: Array, bias: Array | None) -> list[_Spreading]:
        made = plus(of.rows @ side_by_side(W), None if bias is None else bias.ravel())
        return [_Spreading(p, sharing) for p in sharing.apart(Stream(made, of.operands))]

    asking = sharing.stacked(sharing.apart(read)[first:])
    queries = projected(asking, attn.W_Q, attn.b_Q)
    keys = projected(read, attn.W_K, attn.b_K)
    values = projected(read, attn.W_V, attn.b_V)
    found = []
    for last, query in enumerate(queries, start=first):
        until = slice(last + 1)
        found.append(_attended(query, keys[until], values[until], attn, sharing))
    return sharing.stacked(found)


def _attended(
    query: _Spreading,
    keys: Sequence[_Spreading],
    values: Sequence[_Spreading],
    attn: Attention,
    sharing: _Sharing,
) -> Position:
    """z of one position, for each value of the operands of all positions up to it."""
    n_heads, d_head, _ = attn.W_O.shape
    onto = frozenset[int]().union(*(key.operands for key in keys))

    def score(key: _Spreading) -> Array:
        joint = query.operands | key.operands
        of_joint = by_head(query.onto(joint) * key.onto(joint), n_heads) / jnp.sqrt(d_head)
        return sharing.filled(Position(of_joint, joint), onto)

    scores, filled = [score(key) for key in keys], [value.onto(onto) for value in values]
    return Position(mixed(scores, filled, attn.rate), onto)


@dataclass(frozen=True)
class _Sharing:
    """Which row is whose: how states of few rows become states of more."""

    inputs: Array
    n_operands: int

    def n_rows(self, operands: Operands) -> int:
        return (1, self.n_operands, len(self.inputs))[len(operands)]

    def looked_up(self, position: Position, onto: Operands) -> Array:
        """The rows for each value of more operands; one row stays one, for it broadcasts."""
        if position.operands == onto or not position.operands:
            return position.rows
        return rows(position.rows, self.inputs[:, min(position.operands)])

    def filled(self, position: Position, onto: Operands) -> Array:
        """The same with one row repeated."""
        found = self.looked_up(position, onto)
        return jnp.broadcast_to(found, (self.n_rows(onto), *found.shape[1:]))

    def stacked(self, positions: Sequence[Position]) -> Stream:
        parts = [position.rows for position in positions]
        together = parts[0] if len(parts) == 1 else jnp.concatenate(parts)
        return Stream(together, tuple(position.operands for position in positions))

    def apart(self, stream: Stream) -> list[Position]:
        ends = list(accumulate(self.n_rows(each) for each in stream.operands))
        parts = jnp.split(stream.rows, ends[:-1])
        return [Position(*both) for both in zip(parts, stream.operands, strict=True)]

    def moved(self, stream: Stream, onto: tuple[Operands, ...]) -> Stream:
        """The last positions of a stream, with rows for more operands."""
        if stream.operands == onto:
            return stream
        kept = self.apart(stream)[-len(onto) :]
        pairs = zip(kept, onto, strict=True)
        return self.stacked([Position(self.filled(position, to), to) for position, to in pairs])


class _Spreading:
    """Rows of one position that are looked up once for each set of operands, however often asked."""

    def __init__(self, position: Position, sharing: _Sharing) -> None:
        self.operands = position.operands
        self.sharing = sharing
        self.found = {position.operands: position.rows}

    def onto(self, operands: Operands) -> Array:
        """The rows for each value of these operands, or one for all."""
        if operands not in self.found:
            mine = Position(self.found[self.operands], self.operands)
            self.found[operands] = self.sharing.looked_up(mine, operands)
        return self.found[operands]
