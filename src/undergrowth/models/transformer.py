"""The decoder transformer of Nanda et al. 2023 (arXiv:2301.05217): one layer, no layer norm.

Three tokens `x y =`, causal attention, a ReLU MLP, logits read at `=`. Weights have TransformerLens's
names and shapes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from undergrowth.models.lookup import rows
from undergrowth.models.model import Model
from undergrowth.models.sites import Site, Tap, untapped
from undergrowth.tasks import Tokens
from undergrowth.values import Value

HOOK_Z = "blocks.{}.attn.hook_z"
HOOK_POST = "blocks.{}.mlp.hook_post"


class Embed(eqx.Module):
    """Token embedding; token d_vocab - 1 is `=`."""

    W_E: Float[Array, "d_vocab d_model"]


class PosEmbed(eqx.Module):
    """Learned position embedding."""

    W_pos: Float[Array, "position d_model"]


class Attention(eqx.Module):
    """Causal multi-head attention without biases."""

    W_Q: Float[Array, "head d_model d_head"]
    W_K: Float[Array, "head d_model d_head"]
    W_V: Float[Array, "head d_model d_head"]
    W_O: Float[Array, "head d_head d_model"]


class MLP(eqx.Module):
    """ReLU MLP with biases."""

    W_in: Float[Array, "d_model d_mlp"]
    b_in: Float[Array, " d_mlp"]
    W_out: Float[Array, "d_mlp d_model"]
    b_out: Float[Array, " d_model"]


class Block(eqx.Module):
    """Attention, then MLP, each added to the residual stream."""

    attn: Attention
    mlp: MLP


class Unembed(eqx.Module):
    """Residual stream to logits, without bias."""

    W_U: Float[Array, "d_model d_vocab_out"]


class Transformer(Model):
    """A decoder transformer read at its last position."""

    embed: Embed
    pos_embed: PosEmbed
    blocks: tuple[Block, ...]
    unembed: Unembed

    @property
    def sites(self) -> tuple[Site, ...]:
        n_heads = self.blocks[0].attn.W_O.shape[0]
        d_mlp = self.blocks[0].mlp.b_in.shape[0]
        return (
            Site(HOOK_Z.format(0), "head", n_heads, axis=-2),
            Site(HOOK_POST.format(0), "neuron", d_mlp, axis=-1),
        )

    def __call__(
        self, inputs: Int[Array, "example 2"], tap: Tap = untapped
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits at `=`, sharing prefixes and folding matrices; exact up to rounding.

        With one layer the query at `=` is one vector for all examples, so scores and values depend
        on one token each: they are tables over tokens, made once and looked up. Without a layer norm
        W_O W_in, W_O W_U and W_out W_U are matrices, which are multiplied once for all examples (the
        latter two only where there are few enough labels for it to pay).
        """
        attn, mlp, W_U = self.blocks[0].attn, self.blocks[0].mlp, self.unembed.W_U
        n_heads, d_head, d_model = attn.W_O.shape
        n_operands = self.embed.W_E.shape[0] - 1
        tokens, equals = self.embed.W_E[:n_operands], self.embed.W_E[n_operands]
        resid = equals + self.pos_embed.W_pos[2]
        q = (resid @ _side_by_side(attn.W_Q)).reshape(n_heads, d_head) / jnp.sqrt(d_head)
        key_for_q = jnp.sum(attn.W_K * q[:, None, :], axis=2)
        scores_and_values_of = jnp.concatenate([key_for_q.T, _side_by_side(attn.W_V)], axis=1)

        def scores_and_values(row: Array) -> tuple[Array, Array]:
            return row[:, :n_heads], row[:, n_heads:].reshape(-1, n_heads, d_head)

        def looked_up(position: int) -> tuple[Array, Array]:
            table = (tokens + self.pos_embed.W_pos[position]) @ scores_and_values_of
            return scores_and_values(rows(table, inputs[:, position]))

        (score_x, value_x), (score_y, value_y) = looked_up(0), looked_up(1)
        score_eq, value_eq = scores_and_values(resid[None] @ scores_and_values_of)

        score_eq = jnp.broadcast_to(score_eq, score_x.shape)
        pattern = jax.nn.softmax(jnp.stack([score_x, score_y, score_eq]), axis=0)[..., None]
        z = pattern[0] * value_x + pattern[1] * value_y + pattern[2] * value_eq
        z = tap(HOOK_Z.format(0), z).reshape(-1, n_heads * d_head)

        W_O = attn.W_O.reshape(-1, d_model)
        post = jax.nn.relu(z @ (W_O @ mlp.W_in) + (resid @ mlp.W_in + mlp.b_in))
        post = tap(HOOK_POST.format(0), post)
        if W_U.shape[1] * mlp.W_out.shape[0] < d_model * (d_model + mlp.W_out.shape[0]):
            return z @ (W_O @ W_U) + post @ (mlp.W_out @ W_U) + (resid + mlp.b_out) @ W_U
        return (resid + z @ W_O + post @ mlp.W_out + mlp.b_out) @ W_U

    def plain(
        self, inputs: Int[Array, "example 2"], tap: Tap = untapped
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits at `=`, every example and position computed as a textbook has it."""
        equals = jnp.full((len(inputs), 1), self.embed.W_E.shape[0] - 1, inputs.dtype)
        tokens = jnp.concatenate([inputs, equals], axis=1)
        resid = self.embed.W_E[tokens] + self.pos_embed.W_pos
        for layer, block in enumerate(self.blocks):
            resid = resid + _attention(block.attn, resid, HOOK_Z.format(layer), tap)
            post = jax.nn.relu(resid @ block.mlp.W_in + block.mlp.b_in)
            post = tap(HOOK_POST.format(layer), post)
            resid = resid + post @ block.mlp.W_out + block.mlp.b_out
        return resid[:, -1] @ self.unembed.W_U


def _side_by_side(W: Float[Array, "head d_model d_head"]) -> Float[Array, "d_model head*d_head"]:
    """All heads' matrices as one: XLA's CPU backend is slow at products of three-axis arrays."""
    return W.transpose(1, 0, 2).reshape(W.shape[1], -1)


def _attention(attn: Attention, resid: Array, hook_z: str, tap: Tap) -> Array:
    q = jnp.einsum("npm,hmd->nphd", resid, attn.W_Q)
    k = jnp.einsum("npm,hmd->nphd", resid, attn.W_K)
    v = jnp.einsum("npm,hmd->nphd", resid, attn.W_V)
    scores = jnp.einsum("nqhd,nkhd->nhqk", q, k) / jnp.sqrt(attn.W_Q.shape[-1])
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    pattern = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
    z = tap(hook_z, jnp.einsum("nhqk,nkhd->nqhd", pattern, v))
    return jnp.einsum("nqhd,hdm->nqm", z, attn.W_O)


class TransformerSpec(Value):
    """Shape and initialisation of a `Transformer`.

    Every weight is drawn from a normal of standard deviation init_scale / sqrt(d_model), the
    unembedding from init_scale / sqrt(d_vocab); biases are zero (Nanda et al.'s code).
    """

    components: ClassVar[tuple[str, ...]] = ("head", "neuron")

    name: Literal["transformer"] = "transformer"
    n_layers: Literal[1] = 1
    d_model: int = Field(default=128, ge=1)
    n_heads: int = Field(default=4, ge=1)
    d_head: int = Field(default=32, ge=1)
    d_mlp: int = Field(default=512, ge=1)
    act_fn: Literal["relu"] = "relu"
    normalization_type: Literal["none"] = "none"
    init_scale: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _heads_fill_the_model(self) -> TransformerSpec:
        filled = self.n_heads * self.d_head
        if filled != self.d_model:
            divides = self.d_model % self.n_heads == 0
            remedy = f"d_head = {self.d_model // self.n_heads}" if divides else f"d_model = {filled}"
            raise ValueError(
                f"n_heads * d_head = {self.n_heads} * {self.d_head} must be d_model = {self.d_model}: "
                f"set {remedy}"
            )
        return self

    def init(self, inputs: Tokens, n_labels: int, key: PRNGKeyArray) -> Transformer:
        """A freshly drawn model; the same key gives the same model."""
        d_vocab = inputs.n_operands + 1
        sd = self.init_scale / self.d_model**0.5
        keys = iter(jax.random.split(key, 9))

        def draw(*shape: int, sd: float = sd) -> Array:
            return sd * jax.random.normal(next(keys), shape)

        heads = (self.n_heads, self.d_model, self.d_head)
        block = Block(
            Attention(
                draw(*heads),
                draw(*heads),
                draw(*heads),
                draw(self.n_heads, self.d_head, self.d_model),
            ),
            MLP(
                W_in=draw(self.d_model, self.d_mlp),
                b_in=jnp.zeros(self.d_mlp),
                W_out=draw(self.d_mlp, self.d_model),
                b_out=jnp.zeros(self.d_model),
            ),
        )
        return Transformer(
            Embed(draw(d_vocab, self.d_model)),
            PosEmbed(draw(3, self.d_model)),
            (block,),
            Unembed(draw(self.d_model, n_labels, sd=self.init_scale / d_vocab**0.5)),
        )
