"""A network of planted circuits all of whose weights are trained, block by block."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undergrowth.models.circuits import Circuits
from undergrowth.models.initialisation import Chance
from undergrowth.models.lookup import rows
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead
from undergrowth.models.sites import HOOK_EMBED, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook

HOOK_POST = "blocks.hook_post"


class PlantedWeights(Model):
    """logits = sum over blocks of act(pair W_in[b] + b_in[b]) W_out[b]: one hidden layer, parted.

    pair: x and y as one-hot vectors, one after the other. Every block has as many neurons as the
    largest; those that it lacks read and write 0, and so have no gradient. act is quadratic in the
    general block and ReLU in all others. A block's activation is its neurons', [example, block, neuron].
    """

    W_in: Float[Array, "block pair neuron"]
    b_in: Float[Array, "block neuron"]
    W_out: Float[Array, "block neuron label"]
    circuits: Circuits = eqx.field(static=True)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(HOOK_POST, "block", self.W_in.shape[0], axis=-2),)

    def slices(self, site: Site) -> Mapping[str, int]:
        return {"W_in": 0, "b_in": 0, "W_out": 0}

    def readout(self, site: Site) -> None:
        """None: a block's activation is a number a neuron."""

    @property
    def unembedding(self) -> Float[Array, "block_neuron label"]:
        """What the neurons of all blocks write."""
        return self.W_out.reshape(-1, self.W_out.shape[-1])

    def element_weights(self) -> ElementWeights:
        """The rows of W_in, over the neurons of all blocks."""
        of_x, of_y = self._tables()
        return {"W_in[x]": ("x", of_x), "W_in[y]": ("y", of_y)}

    def element_rows(self) -> ElementRows:
        """Nothing: W_in has a matrix for each block."""
        return {}

    def neurons_read(self) -> NeuronsRead:
        """Nothing: the neurons are not components by themselves."""
        return {}

    def _tables(self) -> tuple[Float[Array, "operand n"], Float[Array, "operand n"]]:
        n_blocks, n_pair, n_neurons = self.W_in.shape
        table = jnp.swapaxes(self.W_in, 0, 1).reshape(n_pair, n_blocks * n_neurons)
        of_x, of_y = jnp.split(table, 2)
        return of_x, of_y

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example label"]:
        """Logits; the first product is a look-up in two tables."""
        of_x, of_y = self._tables()
        pre = rows(of_x, inputs[:, 0]) + rows(of_y, inputs[:, 1])
        return self._read(pre.reshape(len(pre), *self.b_in.shape) + self.b_in, hook)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example label"]:
        """Logits; the first layer multiplies one-hot vectors, and blocks have one position."""
        one_hot = jax.nn.one_hot(inputs, self.W_in.shape[1] // 2)
        pair = hook(HOOK_EMBED, one_hot).reshape(len(one_hot), 1, -1)
        pre = jnp.einsum("npi,biw->npbw", pair, self.W_in) + self.b_in
        pre = write_hook(pre, {"W_in": pair, "b_in": None})
        return self._read(pre[:, 0], hook, write_hook)

    def _read(self, pre: Array, hook: Hook, write_hook: WriteHook = no_write_hook) -> Array:
        is_general = np.arange(len(self.W_in)) == len(self.W_in) - 1
        is_square = (is_general & (self.circuits.general != "none"))[:, None]
        post = hook(HOOK_POST, jnp.where(is_square, pre**2, jax.nn.relu(pre)))
        return write_hook(jnp.einsum("nbw,bwl->nl", post, self.W_out), {"W_out": post})


def planted_weights(
    circuits: Circuits,
    strength: Float[np.ndarray, " block"],
    spread: float,
    rng: Chance | None,
) -> PlantedWeights:
    """The circuits' own weights, what each writes times its strength, with normal noise but on b_in."""
    blocks = [circuits.neurons().of(b) for b in range(len(strength))]
    width, n = max(len(each.b) for each in blocks), len(blocks[0].W_x)
    W_in = np.zeros((len(blocks), 2 * n, width))
    b_in, W_out = np.zeros((len(blocks), width)), np.zeros((len(blocks), width, n))
    for b, each in enumerate(blocks):
        its = slice(len(each.b))
        W_in[b, :n, its], W_in[b, n:, its], b_in[b, its] = each.W_x, each.W_y, each.b
        W_out[b, its] = strength[b] * each.W_out
    if rng is None:
        blank = (jnp.zeros(each.shape, jnp.float32) for each in (W_in, b_in, W_out))
        return PlantedWeights(*blank, circuits=circuits)
    W_in = W_in + spread * rng.standard_normal(W_in.shape)
    W_out = W_out + spread * rng.standard_normal(W_out.shape)
    drawn = (jax.device_put(each.astype(np.float32)) for each in (W_in, b_in, W_out))
    return PlantedWeights(*drawn, circuits=circuits)
