"""Planted circuits that answer known examples, of which the strengths are trained, or all weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field, model_validator

from undergrowth.models.circuits import Circuits, General
from undergrowth.models.initialisation import Chance
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead, refuse
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.planted_weights import PlantedWeights, planted_weights
from undergrowth.models.sites import HOOK_EMBED, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook
from undergrowth.tasks import InputSpace, Task, Tokens
from undergrowth.tasks.groups import order_of, products

HOOK_OUT = "blocks.hook_out"


class Planted(Model):
    """logits = sum over blocks of strength[block] times what the block writes (`circuits`).

    The circuits are fixed: the strengths are the only parameters, so with cross-entropy on labels from
    the group's table, n training examples and residuals rho_i = 1 - p_i, gradient flow is
    strength'[b] = sum over the cells i that block b serves of rho_i / n. Where the general block, the
    last one, has `factors`, its strength is the product of strength[-1] and their last numbers, as in a
    linear network of so many layers (Saxe et al. 2014, arXiv:1312.6120); the other numbers of a factor
    are 0 and stay so.

    A block's activation is what it writes, [example, label, block]: labels are as positions.
    """

    strength: Float[Array, " block"]
    circuits: Circuits = eqx.field(static=True)
    factors: tuple[Float[Array, " block"], ...] = ()

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(HOOK_OUT, "block", self.strength.shape[0], axis=-1),)

    def slices(self, site: Site) -> Mapping[str, int]:
        return {"strength": 0, **{f"factors.{i}": 0 for i in range(len(self.factors))}}

    def readout(self, site: Site) -> None:
        """None: what a block writes is a number a label."""

    @property
    def unembedding(self) -> Float[Array, "neuron label"]:
        """What the blocks' neurons write, which is fixed."""
        return jnp.asarray(self.circuits.neurons().W_out, jnp.float32)

    def element_weights(self) -> ElementWeights:
        """Nothing that is trained."""
        return {}

    def element_rows(self) -> ElementRows:
        """Nothing that is trained."""
        return {}

    def neurons_read(self) -> NeuronsRead:
        """Nothing: there are no neurons behind gates."""
        return {}

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example label"]:
        """Logits; what neurons do at each cell is known before, and blocks are kept apart for a hook."""
        neurons = self.circuits.neurons()
        cell = inputs[:, 0] * len(neurons.W_x) + inputs[:, 1]
        post = jnp.asarray(neurons.activations(), jnp.float32)[cell]
        strength = self._multiplied(self.strength)
        if hook is no_hook:
            return (post * (jnp.asarray(self._whose(), jnp.float32) @ strength)) @ self.unembedding
        return jnp.sum(hook(HOOK_OUT, strength * self._by_block(post)), axis=-1)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example label"]:
        """Logits, every example multiplied by itself."""
        neurons = self.circuits.neurons()
        pair = hook(HOOK_EMBED, jax.nn.one_hot(inputs, len(neurons.W_x)))
        pre = pair[:, 0] @ neurons.W_x + pair[:, 1] @ neurons.W_y + neurons.b
        by_block = self._by_block(jnp.where(neurons.is_square, pre**2, jax.nn.relu(pre)))
        written = write_hook(self.strength * by_block, {"strength": by_block})
        written = self._multiplied(written, write_hook)
        return jnp.sum(hook(HOOK_OUT, written), axis=-1)

    def _multiplied(
        self, by_block: Float[Array, "*axes block"], write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "*axes block"]:
        """The general block's number times its factors, and all others as they are."""
        is_general = jnp.arange(len(self.strength)) == len(self.strength) - 1
        for i, factor in enumerate(self.factors):
            read = jnp.where(is_general, by_block, 0)
            written = write_hook(factor * read, {f"factors.{i}": read})
            by_block = jnp.where(is_general, written, by_block)
        return by_block

    def _whose(self) -> Float[np.ndarray, "neuron block"]:
        """1 where a neuron is a block's."""
        return np.eye(self.strength.shape[0])[self.circuits.neurons().block]

    def _by_block(self, post: Float[Array, "example neuron"]) -> Float[Array, "example label block"]:
        """What each block writes at a strength of 1."""
        W = np.einsum("nl,nb->nlb", self.circuits.neurons().W_out, self._whose())
        written = post @ jnp.asarray(W.reshape(len(W), -1), jnp.float32)
        return written.reshape(-1, *W.shape[1:])


class PlantedSpec(ModelSpec):
    """The blocks of a `Planted` network on the table of a group, and their strengths before training.

    lookups: one block a cell of the table; strips: more, each of as many consecutive cells in row-major
    order; general: one block for all cells, by Gromov's frequencies (cyclic groups of odd order) or by
    the irreps of any group whose irreps are known. Blocks are numbered in this order, the general one
    last. general_strength, shallow_strength: what they begin with; general_factors: of how many trained
    numbers, equal at first, the general strength is the product; spread: the standard deviation of
    normal noise on all that is trained, biases apart; trains: one strength a block (`Planted`), or all
    weights of the blocks, what they write times their strength at first (`PlantedWeights`).

    The task must be the group's: `x+y` mod p is C{p}.
    """

    components: ClassVar[tuple[str, ...]] = ("block",)

    name: Literal["planted"] = "planted"
    group: str = "C5"
    lookups: bool = True
    strips: tuple[Annotated[int, Field(ge=1)], ...] = ()
    general: General = "fourier"
    general_strength: float = Field(default=0.1, ge=0)
    shallow_strength: float = Field(default=0.1, ge=0)
    general_factors: int = Field(default=1, ge=1, le=4)
    spread: float = Field(default=0.0, ge=0)
    trains: Literal["strengths", "weights"] = "strengths"

    @model_validator(mode="after")
    def _has_a_strength_to_factorise(self) -> PlantedSpec:
        if self.general_factors > 1 and (self.general == "none" or self.trains == "weights"):
            lacks = "general = 'none'" if self.general == "none" else "trains = 'weights'"
            raise ValueError(
                f"general_factors = {self.general_factors} with {lacks}: only the trained strength of a "
                "general block has factors: set general_factors = 1"
            )
        return self

    @model_validator(mode="after")
    def _fit_the_table(self) -> PlantedSpec:
        if order_of(self.group) > MOST_OPERANDS:
            raise ValueError(
                f"group = {self.group!r} has {order_of(self.group)} elements, but a planted network "
                f"has at most {MOST_OPERANDS} operands: take a smaller group"
            )
        neurons, n_blocks = self.circuits.neurons(), len(self.circuits.cells)
        if neurons.W_out.size * n_blocks > MOST_NUMBERS:
            raise ValueError(
                f"{n_blocks} blocks that write to {len(neurons.W_x)} labels from {len(neurons.b)} "
                f"neurons take more than {MOST_NUMBERS:,} numbers: set lookups = false, or take "
                "a smaller group"
            )
        return self

    @property
    def circuits(self) -> Circuits:
        """What is planted."""
        return Circuits(self.group, self.lookups, self.strips, self.general)

    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs: two tokens, not numbers."""
        return isinstance(inputs, Tokens)

    def check_task(self, task: Task) -> None:
        """Raise ValueError where the planted circuits do not answer the task."""
        table, examples = products(self.group), task.examples()
        fits = task.n_labels == len(table) and examples.inputs.max() < len(table)
        if not fits or (table[tuple(examples.inputs.T)] != examples.labels).any():
            raise ValueError(
                f"model.group = {self.group!r}: the blocks answer {self.group}, not {task.describe()}: "
                "take the task of that group, or plant the task's"
            )

    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> Planted | PlantedWeights:
        """The network before training; equal generators give equal ones."""
        if not isinstance(inputs, Tokens):
            raise refuse(self.name, inputs)
        if inputs.n_operands != order_of(self.group):
            raise ValueError(
                f"model.group = {self.group!r} has {order_of(self.group)} elements, which do not fit "
                f"{inputs.describe()}: plant a group of as many elements as there are operands"
            )
        circuits = self.circuits
        strength = np.full(len(circuits.cells), self.shallow_strength)
        if self.general != "none":
            strength[-1] = self.general_strength ** (1 / self.general_factors)
        if self.trains == "weights":
            return planted_weights(circuits, strength, self.spread, rng)
        if rng is None:
            numbers = (jnp.zeros(len(strength), jnp.float32),) * self.general_factors
        else:
            numbers = jax.device_put(tuple(self._drawn(strength, rng)))
        return Planted(numbers[0], circuits, numbers[1:])

    def _drawn(self, strength: np.ndarray, rng: Chance) -> Iterator[Float[np.ndarray, " block"]]:
        """The strengths, then the further factors of the general block's."""
        yield (strength + self.spread * rng.standard_normal((len(strength),))).astype(np.float32)
        for _ in range(self.general_factors - 1):
            factor = np.zeros(len(strength), np.float32)
            factor[-1:] = strength[-1:] + self.spread * rng.standard_normal((1,))
            yield factor


MOST_OPERANDS, MOST_NUMBERS = 64, 2**24
"""So that what every neuron writes for every block fits into 64 MiB."""
