"""The two-token MLP of Chughtai et al. 2023 (arXiv:2302.03025): two embeddings, one hidden layer."""

from __future__ import annotations

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from undergrowth.models.lookup import rows
from undergrowth.models.model import Model
from undergrowth.models.sites import Site, Tap, untapped
from undergrowth.tasks import Tokens
from undergrowth.values import Value

HOOK_POST = "mlp.hook_post"


class PairEmbed(eqx.Module):
    """One embedding for each operand."""

    W_x: Float[Array, "operand d_embed"]
    W_y: Float[Array, "operand d_embed"]


class Hidden(eqx.Module):
    """The hidden layer over the two embeddings laid end to end."""

    W_in: Float[Array, "d_pair d_mlp"]
    b_in: Float[Array, " d_mlp"] | None


class Unembed(eqx.Module):
    """Hidden activations to logits."""

    W_U: Float[Array, "d_mlp d_vocab_out"]


class TwoTokenMLP(Model):
    """logits = relu([W_x[x], W_y[y]] W_in + b_in) W_U."""

    embed: PairEmbed
    mlp: Hidden
    unembed: Unembed

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(HOOK_POST, "neuron", self.mlp.W_in.shape[1], axis=-1),)

    def __call__(
        self, inputs: Int[Array, "example 2"], tap: Tap = untapped
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits; the first layer is one table for each operand, looked up and added."""
        d_embed = self.embed.W_x.shape[1]
        pre = rows(self.embed.W_x @ self.mlp.W_in[:d_embed], inputs[:, 0])
        pre = pre + rows(self.embed.W_y @ self.mlp.W_in[d_embed:], inputs[:, 1])
        return self._read(pre, tap)

    def plain(
        self, inputs: Int[Array, "example 2"], tap: Tap = untapped
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits, every example embedded and multiplied by itself."""
        embedded = [self.embed.W_x[inputs[:, 0]], self.embed.W_y[inputs[:, 1]]]
        return self._read(jnp.concatenate(embedded, axis=1) @ self.mlp.W_in, tap)

    def _read(self, pre: Array, tap: Tap) -> Array:
        if self.mlp.b_in is not None:
            pre = pre + self.mlp.b_in
        return tap(HOOK_POST, jax.nn.relu(pre)) @ self.unembed.W_U


class TwoTokenMLPSpec(Value):
    """Shape and initialisation of a `TwoTokenMLP`: each weight normal with 1 / sqrt(fan in)."""

    components: ClassVar[tuple[str, ...]] = ("neuron",)

    name: Literal["two_token_mlp"] = "two_token_mlp"
    d_embed: int = Field(default=256, ge=1)
    d_mlp: int = Field(default=128, ge=1)
    act_fn: Literal["relu"] = "relu"
    bias: bool = False
    init_scale: float = Field(default=1.0, gt=0)

    def init(self, inputs: Tokens, n_labels: int, key: PRNGKeyArray) -> TwoTokenMLP:
        """A freshly drawn model; the same key gives the same model."""
        keys = iter(jax.random.split(key, 4))

        def draw(rows: int, columns: int, fan_in: int) -> Array:
            return self.init_scale * jax.random.normal(next(keys), (rows, columns)) / fan_in**0.5

        return TwoTokenMLP(
            PairEmbed(
                draw(inputs.n_operands, self.d_embed, self.d_embed),
                draw(inputs.n_operands, self.d_embed, self.d_embed),
            ),
            Hidden(
                draw(2 * self.d_embed, self.d_mlp, 2 * self.d_embed),
                jnp.zeros(self.d_mlp) if self.bias else None,
            ),
            Unembed(draw(self.d_mlp, n_labels, self.d_mlp)),
        )
