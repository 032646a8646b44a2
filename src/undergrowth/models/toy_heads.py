"""The post's picture of memorising by attention: a shallow head for each data point, and one for all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.models.initialisation import Chance
from undergrowth.models.model import ElementRows, ElementWeights, Inputs, Model, NeuronsRead, refuse
from undergrowth.models.model_spec import ModelSpec
from undergrowth.models.sites import HOOK_EMBED, Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook
from undergrowth.tasks import InputSpace, Task, Tokens

HOOK_RESULT = "attn.hook_result"


class ToyHeads(Model):
    """One attention layer by its circuits: the token y attends to the token x, or rests and reads 0.

    Head h attends with a = sigmoid(e_y W_QK[h] e_x), which is a softmax over x and rest, and writes
    a e_x W_OV[h] to the logits (W_QK and W_OV as in Elhage et al. 2021, "A Mathematical Framework for
    Transformer Circuits"). Heads 0, 1, ... are the shallow ones, of the data points (h, h); the last is
    the general one. A head's activation is what it writes, [example, label, head].

    The tokens y are orthonormal. Tokens x are unit vectors whose products are c where labels are equal,
    else -c, with c = spec.sharing. Where heads are routed a shallow head has a gradient from its own
    data point alone. Trained are W_QK and W_OV or, where these are None, a strength a head.
    """

    W_QK: Float[Array, "head y x"] | None
    W_OV: Float[Array, "head x label"] | None
    strength: Float[Array, " head"] | None
    spec: ToyHeadsSpec = eqx.field(static=True)
    n_points: int = eqx.field(static=True)
    n_labels: int = eqx.field(static=True)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (Site(HOOK_RESULT, "head", self.n_points + 1, axis=-1),)

    def slices(self, site: Site) -> Mapping[str, int]:
        return {"strength": 0} if self.W_QK is None else {"W_QK": 0, "W_OV": 0}

    def readout(self, site: Site) -> None:
        """None: what a head writes is a number a label."""

    @property
    def unembedding(self) -> Float[Array, "head_x label"]:
        """What all heads write of each feature of x."""
        return self._circuits()[1].reshape(-1, self.n_labels)

    def element_weights(self) -> ElementWeights:
        """Nothing: the tokens are fixed."""
        return {}

    def element_rows(self) -> ElementRows:
        """Nothing: the tokens are fixed."""
        return {}

    def neurons_read(self) -> NeuronsRead:
        """Nothing: attention stands between."""
        return {}

    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example label"]:
        """Logits; few examples leave nothing to share."""
        return self._logits(self._embedded(inputs), inputs, hook)

    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example label"]:
        """Logits."""
        return self._logits(hook(HOOK_EMBED, self._embedded(inputs)), inputs, hook, write_hook)

    def _embedded(self, inputs: Inputs) -> Float[Array, "example 2 feature"]:
        E_x, E_y = tokens(self.n_points, self.spec.sharing)
        both = (jnp.asarray(E, jnp.float32)[inputs[:, i]] for i, E in enumerate((E_x, E_y)))
        return jnp.stack(tuple(both), axis=1)

    def _circuits(self) -> tuple[Array, Array]:
        if self.W_QK is not None and self.W_OV is not None:
            return self.W_QK, self.W_OV
        W_QK, W_OV = circuits(self.spec, self.n_points, self.n_labels)
        return jnp.asarray(W_QK, jnp.float32), jnp.asarray(W_OV, jnp.float32)

    def _logits(
        self, pair: Array, inputs: Inputs, hook: Hook, write_hook: WriteHook = no_write_hook
    ) -> Array:
        W_QK, W_OV = self._circuits()
        x, y = pair[:, :1], pair[:, 1:, : self.n_points]
        query = write_hook(jnp.einsum("npy,hyx->nphx", y, W_QK), {"W_QK": y})
        value = write_hook(jnp.einsum("npx,hxl->nphl", x, W_OV), {"W_OV": x})
        attended = jax.nn.sigmoid(jnp.einsum("nphx,npx->nph", query, x))
        result = jnp.swapaxes((attended[..., None] * value)[:, 0], 1, 2)
        if self.strength is not None:
            result = write_hook(self.strength * result, {"strength": result})
        if self.spec.routed:
            own = jax.nn.one_hot(inputs[:, 0], self.n_points + 1).at[:, -1].set(1)[:, None]
            result = jnp.where(own > 0, result, jax.lax.stop_gradient(result))
        return jnp.sum(hook(HOOK_RESULT, result), axis=-1)


@lru_cache(maxsize=16)
def tokens(
    n: int, sharing: float
) -> tuple[Float[np.ndarray, "operand feature"], Float[np.ndarray, "operand feature"]]:
    """The embeddings of x and of y, n + 1 features each, float64.

    x_i = sqrt(1 - c) u_i +- sqrt(c) u_n, with + where the label, i mod 2, is 0; y_i = u_i.
    """
    sign = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    own, common = (1 - sharing) ** 0.5 * np.eye(n), sharing**0.5 * sign[:, None]
    return np.concatenate([own, common], axis=1), np.eye(n, n + 1)


def circuits(
    spec: ToyHeadsSpec, n: int, n_labels: int
) -> tuple[Float[np.ndarray, "head y x"], Float[np.ndarray, "head x label"]]:
    """The heads before training: head h attends to its own data points and rests at all others.

    On what it attends to a head writes its strength at the label beyond the mean of all labels; by the
    smallest W_OV that does so. Strengths that are trained themselves begin there and these at 1.
    """
    E_x, _ = tokens(n, spec.sharing)
    own = np.concatenate([np.eye(n), np.ones((1, n))])
    W_QK = np.einsum("hi,iy,ix->hyx", spec.attention * (2 * own - 1), np.eye(n), E_x)
    says = np.eye(n_labels)[np.arange(n) % 2] - 1 / n_labels
    shallow = np.einsum("ix,il->ixl", E_x, says)
    general = np.linalg.pinv(E_x) @ says
    if spec.trains == "circuits":
        shallow, general = spec.shallow_strength * shallow, spec.general_strength * general
    return W_QK, np.concatenate([shallow, general[None]])


class ToyHeadsSpec(ModelSpec):
    """The heads of a `ToyHeads`, one for each data point and one for all, before training.

    sharing: c, how much the tokens of different data points have in common; attention: the score with
    which a head attends to its own points, and its negative at all others; trains: W_QK and W_OV of each
    head, or one strength a head; routed: whether a shallow head learns from its own point alone;
    general_strength, shallow_strength: what heads write at a label, before attention; spread: the
    standard deviation of normal noise on all that is trained.

    The task is a table of data points (i, i), i = 0, 1, ..., of label i mod 2.
    """

    components: ClassVar[tuple[str, ...]] = ("head",)

    name: Literal["toy_heads"] = "toy_heads"
    sharing: float = Field(default=0.0, ge=0, le=1)
    attention: float = Field(default=4.0, ge=0)
    trains: Literal["circuits", "strengths"] = "circuits"
    routed: bool = False
    general_strength: float = Field(default=0.1, ge=0)
    shallow_strength: float = Field(default=0.1, ge=0)
    spread: float = Field(default=0.0, ge=0)

    def takes(self, inputs: InputSpace) -> bool:
        """Whether such a model can read these inputs: two tokens, not numbers."""
        return isinstance(inputs, Tokens)

    def check_task(self, task: Task) -> None:
        """Raise ValueError where the heads do not fit the task."""
        examples = task.examples()
        i = np.arange(len(examples))
        fits = isinstance(task.input_space, Tokens) and task.input_space.n_operands == len(i)
        if not fits or (examples.inputs != i[:, None]).any() or (examples.labels != i % 2).any():
            raise ValueError(
                f"model.name = 'toy_heads': its heads are of data points (i, i) with label i mod 2, not "
                f"of {task.describe()}: take a table whose rows are 0,0,0 and 1,1,1 and 2,2,0 and so on"
            )

    def init(self, inputs: InputSpace, n_labels: int, rng: Chance | None) -> ToyHeads:
        """The heads before training; equal generators give equal ones."""
        if not isinstance(inputs, Tokens):
            raise refuse(self.name, inputs)
        n = inputs.n_operands
        if self.trains == "strengths":
            strength = np.append(np.full(n, self.shallow_strength), self.general_strength)
            return ToyHeads(None, None, self._drawn(strength, rng), self, n, n_labels)
        W_QK, W_OV = (self._drawn(W, rng) for W in circuits(self, n, n_labels))
        return ToyHeads(W_QK, W_OV, None, self, n, n_labels)

    def _drawn(self, mean: np.ndarray, rng: Chance | None) -> Array:
        if rng is None:
            return jnp.zeros(mean.shape, jnp.float32)
        drawn = mean + self.spread * rng.standard_normal(mean.shape)
        return jax.device_put(drawn.astype(np.float32))
