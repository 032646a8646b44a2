"""The two-token MLP of Chughtai et al. 2023 (arXiv:2302.03025): two embeddings, one hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field, model_validator

from undergrowth.models.activations import ACT_FNS, ActFn
from undergrowth.models.blocks import plus
from undergrowth.models.initialisation import Chance, Drawer, by_fan_in
from undergrowth.models.lookup import rows
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead, refuse
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.products import product
from undergrowth.models.sites import HOOK_EMBED, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook
from undergrowth.tasks import InputSpace, Tokens

HOOK_POST = "mlp.hook_post"
Combine = Literal["concatenated", "summed"]


class PairEmbed(eqx.Module):
    """One embedding for each operand."""

    W_x: Float[Array, "operand d_embed"]
    W_y: Float[Array, "operand d_embed"]


class Hidden(eqx.Module):
    """The hidden layer over the pair: the two embeddings laid end to end, or their sum."""

    W_in: Float[Array, "d_pair d_mlp"]
    b_in: Float[Array, " d_mlp"] | None


class Unembed(eqx.Module):
    """Hidden activations to logits."""

    W_U: Float[Array, "d_mlp d_vocab_out"]


class TwoTokenMLP(Model):
    """logits = act([W_x[x], W_y[y]] W_in + b_in) W_U, or with W_x[x] + W_y[y] for the pair."""

    embed: PairEmbed
    mlp: Hidden
    unembed: Unembed
    act_fn: ActFn = eqx.field(static=True, default="relu")
    combine: Combine = eqx.field(static=True, default="concatenated")
    leak: float = eqx.field(static=True, default=0.0)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(HOOK_POST, "neuron", self.mlp.W_in.shape[1], axis=-1),)

    def slices(self, site: Site) -> Mapping[str, int]:
        biases = {} if self.mlp.b_in is None else {"mlp.b_in": 0}
        return {"mlp.W_in": 1, **biases, "unembed.W_U": 0}

    def readout(self, site: Site) -> Float[Array, "neuron d_vocab_out"]:
        return self.unembed.W_U

    @property
    def unembedding(self) -> Float[Array, "d_mlp d_vocab_out"]:
        return self.unembed.W_U

    def element_weights(self) -> ElementWeights:
        return {"W_x": ("x", self.embed.W_x), "W_y": ("y", self.embed.W_y)}

    def element_rows(self) -> ElementRows:
        n_operands = len(self.embed.W_x)
        return {"embed.W_x": {"x": slice(0, n_operands)}, "embed.W_y": {"y": slice(0, n_operands)}}

    @property
    def operand_positions(self) -> tuple[int, int]:
        return 0, 1

    def neurons_read(self) -> NeuronsRead:
        weights = self.embed.W_x, self.embed.W_y, self.mlp.W_in
        W_x, W_y, W_in = (np.asarray(W, np.float64) for W in weights)
        of_x, of_y = self._rows_of_each()
        return {"x": W_x @ W_in[of_x], "y": W_y @ W_in[of_y]}

    def _rows_of_each(self) -> tuple[slice, slice]:
        """The rows of W_in that the embeddings of x and of y are multiplied with."""
        d_embed = self.embed.W_x.shape[1]
        of_y = slice(d_embed, None) if self.combine == "concatenated" else slice(None)
        return slice(d_embed), of_y

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example d_vocab_out"]:
        """Logits; the first layer is one table for each operand, looked up and added."""
        of_x, of_y = self._rows_of_each()
        pre = rows(self.embed.W_x @ self.mlp.W_in[of_x], inputs[:, 0])
        pre = pre + rows(self.embed.W_y @ self.mlp.W_in[of_y], inputs[:, 1])
        return self._read(pre, hook)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits, every example embedded and multiplied by itself."""
        of_x, of_y = jnp.moveaxis(jax.nn.one_hot(inputs, len(self.embed.W_x)), 1, 0)
        x = write_hook(self.embed.W_x[inputs[:, 0]], {"embed.W_x": of_x})
        y = write_hook(self.embed.W_y[inputs[:, 1]], {"embed.W_y": of_y})
        x, y = jnp.moveaxis(hook(HOOK_EMBED, jnp.stack([x, y], axis=1)), 1, 0)
        pair = jnp.concatenate([x, y], axis=1) if self.combine == "concatenated" else x + y
        return self._read(pair @ self.mlp.W_in, hook, write_hook, pair)

    def _read(
        self, pre: Array, hook: Hook, write_hook: WriteHook = no_write_hook, pair: Array | None = None
    ) -> Array:
        """Logits from the first product on; a write hook sees the pair that it is of."""
        pre = write_hook(plus(pre, self.mlp.b_in), {"mlp.W_in": pair, "mlp.b_in": None})
        post = ACT_FNS[self.act_fn](pre)
        if self.leak:
            post = post + self.leak * jnp.minimum(pre, 0)
        post = hook(HOOK_POST, post)
        return write_hook(product(post, self.unembed.W_U), {"unembed.W_U": post})


class TwoTokenMLPSpec(ModelSpec):
    """Shape and initialisation of a `TwoTokenMLP`: each weight normal with 1 / sqrt(fan in), b_in zero.

    combine: what the hidden layer reads of the two embeddings, `concatenated` (Chughtai et al.) or
    `summed`, which has one input matrix for both. The fan-in of an embedding is taken as d_embed.
    init_scale multiplies all that is drawn. leak: the slope of relu below 0, so how far a neuron whose
    gate is closed for an example still acts on it and learns from it.
    """

    components: ClassVar[tuple[str, ...]] = ("neuron",)

    name: Literal["two_token_mlp"] = "two_token_mlp"
    d_embed: int = Field(default=256, ge=1)
    d_mlp: int = Field(default=128, ge=1)
    act_fn: ActFn = "relu"
    combine: Combine = "concatenated"
    bias: bool = False
    init_scale: float = Field(default=1.0, gt=0)
    leak: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _only_relu_leaks(self) -> TwoTokenMLPSpec:
        if self.leak and self.act_fn != "relu":
            raise ValueError(
                f"leak = {self.leak:g} is the slope of relu below 0, and act_fn = {self.act_fn!r} has "
                'none: use act_fn = "relu", or leak = 0'
            )
        return self

    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs: two tokens, not numbers."""
        return isinstance(inputs, Tokens)

    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> TwoTokenMLP:
        """A freshly drawn model; equal generators give equal models."""
        if not isinstance(inputs, Tokens):
            raise refuse(self.name, inputs)
        draw = Drawer(rng, by_fan_in, self.init_scale)
        d_pair = self.d_embed * (2 if self.combine == "concatenated" else 1)
        return TwoTokenMLP(
            PairEmbed(
                draw("W_x", inputs.n_operands, self.d_embed, fan_in=self.d_embed),
                draw("W_y", inputs.n_operands, self.d_embed, fan_in=self.d_embed),
            ),
            Hidden(
                draw("W_in", d_pair, self.d_mlp, fan_in=d_pair),
                draw("b_in", self.d_mlp, fan_in=d_pair) if self.bias else None,
            ),
            Unembed(draw("W_U", self.d_mlp, n_labels, fan_in=self.d_mlp)),
            self.act_fn,
            self.combine,
            self.leak,
        )
