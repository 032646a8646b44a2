"""A plain MLP of one to four hidden layers, on numbers or on two operands as one-hot vectors.

On two one-hot vectors laid end to end with act_fn = "square" it is the network of Gromov 2023
(arXiv:2301.02679).
"""

# ruff: noqa: N815 (b_U: the field's names)

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.models.activations import ACT_FNS, ActFn
from undergrowth.models.blocks import plus
from undergrowth.models.initialisation import (
    ZERO,
    Chance,
    Drawer,
    Scheme,
    Spread,
    by_fan_in,
    is_bias,
    linear,
)
from undergrowth.models.lookup import rows
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.products import product
from undergrowth.models.sites import HOOK_EMBED, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook
from undergrowth.tasks import InputSpace, Tokens

HOOK_POST = "mlp.{}.hook_post"
MLPInitMode = Literal["fan_in", "torch", "doshi"]
Combine = Literal["concatenated", "summed"]


class Layer(eqx.Module):
    """One hidden layer; the first reads the inputs, another the activations before it."""

    W_in: Float[Array, "d_before d_mlp"]
    b_in: Float[Array, " d_mlp"] | None


class Unembed(eqx.Module):
    """The last hidden activations to logits."""

    W_U: Float[Array, "d_mlp d_vocab_out"]
    b_U: Float[Array, " d_vocab_out"] | None


class MLP(Model):
    """logits = act(... act(input W_in + b_in) ...) W_U + b_U.

    Two tokens out of n are read as 2 n numbers, a one-hot vector for x before one for y; where these are
    `summed`, as the sum of the two, so that one matrix is of both.
    """

    mlp: tuple[Layer, ...]
    unembed: Unembed
    act_fn: ActFn = eqx.field(static=True)
    reads: InputSpace = eqx.field(static=True)
    combine: Combine = eqx.field(static=True, default="concatenated")

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(
            Site(HOOK_POST.format(i), "neuron", layer.W_in.shape[1], axis=-1)
            for i, layer in enumerate(self.mlp)
        )

    def slices(self, site: Site) -> Mapping[str, int]:
        at = self.sites.index(site)
        biases = {} if self.mlp[at].b_in is None else {f"mlp.{at}.b_in": 0}
        after = "unembed.W_U" if at == len(self.mlp) - 1 else f"mlp.{at + 1}.W_in"
        return {f"mlp.{at}.W_in": 1, **biases, after: 0}

    def readout(self, site: Site) -> Float[Array, "neuron d_vocab_out"] | None:
        return self.unembed.W_U if site == self.sites[-1] else None

    @property
    def unembedding(self) -> Float[Array, "d_mlp d_vocab_out"]:
        return self.unembed.W_U

    def element_weights(self) -> ElementWeights:
        """The rows of the first layer, which are its embeddings of one-hot vectors."""
        if not isinstance(self.reads, Tokens):
            return {}
        if self.combine == "summed":
            return {"W_in": ("x", self.mlp[0].W_in)}
        of_x, of_y = self._of_each()
        return {"W_in[x]": ("x", of_x), "W_in[y]": ("y", of_y)}

    def element_rows(self) -> ElementRows:
        if not isinstance(self.reads, Tokens):
            return {}
        n = self.reads.n_operands
        if self.combine == "summed":
            return {"mlp.0.W_in": {"x": slice(0, n)}}
        return {"mlp.0.W_in": {"x": slice(0, n), "y": slice(n, 2 * n)}}

    def neurons_read(self) -> NeuronsRead:
        if len(self.mlp) > 1 or not isinstance(self.reads, Tokens):
            return {}
        of_x, of_y = self._of_each()
        return {"x": np.asarray(of_x, np.float64), "y": np.asarray(of_y, np.float64)}

    def _of_each(self) -> tuple[Array, Array]:
        """The rows of the first layer that are looked up for x, and those for y."""
        W_in = self.mlp[0].W_in
        of_x, of_y = (W_in, W_in) if self.combine == "summed" else jnp.split(W_in, 2)
        return of_x, of_y

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example d_vocab_out"]:
        """Logits; for tokens the first product is a look-up in two tables."""
        if not isinstance(self.reads, Tokens):
            return self._read(inputs @ self.mlp[0].W_in, hook)
        of_x, of_y = self._of_each()
        return self._read(rows(of_x, inputs[:, 0]) + rows(of_y, inputs[:, 1]), hook)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example d_vocab_out"]:
        """Logits; for tokens the first layer multiplies one-hot vectors."""
        if isinstance(self.reads, Tokens):
            one_hot = jax.nn.one_hot(inputs, self.reads.n_operands)
            is_summed = self.combine == "summed"
            inputs = one_hot.sum(axis=1) if is_summed else one_hot.reshape(len(inputs), -1)
        inputs = hook(HOOK_EMBED, inputs)
        return self._read(inputs @ self.mlp[0].W_in, hook, write_hook, inputs)

    def _read(
        self, pre: Array, hook: Hook, write_hook: WriteHook = no_write_hook, read: Array | None = None
    ) -> Array:
        """Logits from the first layer's product on; a write hook sees what that is of."""
        weights = [*(layer.W_in for layer in self.mlp[1:]), self.unembed.W_U]
        for i, (layer, W_after) in enumerate(zip(self.mlp, weights, strict=True)):
            pre = write_hook(plus(pre, layer.b_in), {f"mlp.{i}.W_in": read, f"mlp.{i}.b_in": None})
            read = hook(HOOK_POST.format(i), ACT_FNS[self.act_fn](pre))
            pre = product(read, W_after)
        return write_hook(plus(pre, self.unembed.b_U), {"unembed.W_U": read, "unembed.b_U": None})


class MLPSpec(ModelSpec):
    """Shape and initialisation of an `MLP`: n_hidden layers of d_mlp neurons each.

    init_mode: `fan_in`: weights normal with standard deviation 1 / sqrt(fan-in), biases zero. `torch`:
    weights and biases uniform within 1 / sqrt(fan-in), as PyTorch draws nn.Linear. `doshi`: weights
    normal with standard deviation (2 d_mlp)^(-1/3) / 2, biases zero: the quadratic network of Doshi et
    al. 2024 (arXiv:2310.13061, their code). The fan-in of two tokens is 2 n_operands. init_scale
    multiplies everything that is drawn. combine: what the first layer reads of two tokens, their one-hot
    vectors `concatenated` or `summed`, which has one matrix for both and n_operands for its fan-in.
    """

    components: ClassVar[tuple[str, ...]] = ("neuron",)

    name: Literal["mlp"] = "mlp"
    d_mlp: int = Field(default=200, ge=1)
    n_hidden: int = Field(default=2, ge=1, le=4)
    act_fn: ActFn = "relu"
    bias: bool = True
    init_mode: MLPInitMode = "fan_in"
    init_scale: float = Field(default=1.0, gt=0)
    combine: Combine = "concatenated"

    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs: any, but for the sum of two vectors two tokens."""
        return self.combine == "concatenated" or isinstance(inputs, Tokens)

    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> MLP:
        """A freshly drawn model; equal generators give equal models."""
        if self.combine == "summed" and not isinstance(inputs, Tokens):
            raise ValueError(
                f"combine = 'summed' adds the vectors of two tokens, and the inputs are "
                f"{inputs.describe()}: use combine = 'concatenated'"
            )
        n_vectors = 1 if self.combine == "summed" else 2
        n_inputs = n_vectors * inputs.n_operands if isinstance(inputs, Tokens) else inputs.n_features
        draw = Drawer(rng, self._scheme(), self.init_scale)
        layers = []
        for fan_in in (n_inputs, *(self.n_hidden - 1) * (self.d_mlp,)):
            W_in = draw("W_in", fan_in, self.d_mlp, fan_in=fan_in)
            layers.append(Layer(W_in, draw("b_in", self.d_mlp, fan_in=fan_in) if self.bias else None))
        W_U = draw("W_U", self.d_mlp, n_labels, fan_in=self.d_mlp)
        b_U = draw("b_U", n_labels, fan_in=self.d_mlp) if self.bias else None
        return MLP(tuple(layers), Unembed(W_U, b_U), self.act_fn, inputs, self.combine)

    def _scheme(self) -> Scheme:
        if self.init_mode == "doshi":
            sd = (2 * self.d_mlp) ** (-1 / 3) / 2
            return lambda name, fan_in: ZERO if is_bias(name) else Spread(sd)
        return by_fan_in if self.init_mode == "fan_in" else linear
