"""One layer without a layer norm: scores and values are tables, and matrices fold into one another."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undergrowth.models.activations import ACT_FNS
from undergrowth.models.blocks import Attention, Block, plus, side_by_side
from undergrowth.models.lookup import rows
from undergrowth.models.mixing import mixed
from undergrowth.models.products import product
from undergrowth.models.sharing import Position
from undergrowth.models.sites import HOOK_POST, HOOK_Z, Hook, no_hook


def folded_logits(
    block: Block,
    W_U: Float[Array, "d_model d_vocab_out"],
    embedded: Sequence[Position],
    inputs: Int[Array, "example 2"],
    hook: Hook = no_hook,
) -> Float[Array, "example d_vocab_out"]:
    """Logits at the last position, sharing prefixes and folding matrices; exact up to rounding.

    With one layer the query is one vector for all examples, so scores and values depend on one token
    each: they are tables over tokens, made once and looked up. Without a layer norm W_O W_in, W_O W_U
    and W_out W_U are matrices, which are multiplied once for all examples (the latter two only where
    there are few enough labels for it to pay).
    """
    attn, mlp = block.attn, block.mlp
    n_heads, d_head, d_model = attn.W_O.shape
    z = hook(HOOK_Z.format(0), _heads(attn, embedded, inputs)).reshape(-1, n_heads * d_head)
    resid = plus(embedded[-1].rows[0], attn.b_O)
    W_O = attn.W_O.reshape(-1, d_model)
    post = ACT_FNS[block.act_fn](z @ (W_O @ mlp.W_in) + plus(resid @ mlp.W_in, mlp.b_in))
    post = hook(HOOK_POST.format(0), post)
    resid = plus(resid, mlp.b_out)
    if W_U.shape[1] * mlp.W_out.shape[0] < d_model * (d_model + mlp.W_out.shape[0]):
        return product(z, W_O @ W_U) + product(post, mlp.W_out @ W_U) + resid @ W_U
    return product(resid + z @ W_O + product(post, mlp.W_out), W_U)


def _heads(
    attn: Attention, embedded: Sequence[Position], inputs: Array
) -> Float[Array, "example head d_head"]:
    """The heads' weighted values at the last position, whose own state is one for all examples."""
    n_heads, d_head, _ = attn.W_O.shape
    last = plus(embedded[-1].rows[0] @ side_by_side(attn.W_Q), _flat(attn.b_Q))
    q = last.reshape(n_heads, d_head) / jnp.sqrt(d_head)
    key_for_q = jnp.sum(attn.W_K * q[:, None, :], axis=2)
    of_state = jnp.concatenate([key_for_q.T, side_by_side(attn.W_V)], axis=1)
    of_bias = _biases(attn, q)

    def scores_and_values(position: Position) -> Array:
        table = plus(position.rows @ of_state, of_bias)
        return rows(table, inputs[:, min(position.operands)]) if position.operands else table

    found = [scores_and_values(position) for position in embedded]
    z = mixed([row[:, :n_heads] for row in found], [row[:, n_heads:] for row in found], attn.rate)
    return z.reshape(-1, n_heads, d_head)


def _biases(attn: Attention, q: Float[Array, "head d_head"]) -> Array | None:
    """What the biases add to each score and value."""
    if attn.b_K is None or attn.b_V is None:
        return None
    return jnp.concatenate([jnp.sum(attn.b_K * q, axis=1), attn.b_V.ravel()])


def _flat(bias: Array | None) -> Array | None:
    return None if bias is None else bias.ravel()
