"""What every model offers: two forward passes that agree, and named gated sites."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from undergrowth.models.sites import Hook, Site, no_hook
from undergrowth.models.write_hooks import WriteHook, no_write_hook
from undergrowth.tasks import InputSpace

M = TypeVar("M")
Inputs = Int[Array, "example 2"] | Float[Array, "example feature"]
"""What a model reads: two operand tokens an example, or numbers; see `tasks.InputSpace`."""
Operand = Literal["x", "y"]
ElementWeights = Mapping[str, tuple[Operand, Float[Array, "operand feature"]]]
ElementRows = Mapping[str, Mapping[Operand, slice]]
NeuronsRead = Mapping[Operand, Float[np.ndarray, "operand neuron"]]


class Model(eqx.Module):
    """A network from two operand tokens, or from numbers, to the logits of a label.

    Its array fields, read by their paths, are its state dict: `embed.W_E`, `blocks.0.attn.W_Q`.
    """

    @property
    @abstractmethod
    def sites(self) -> tuple[Site, ...]:
        """The gated component families, in the order in which the forward pass meets them."""

    @abstractmethod
    def slices(self, site: Site) -> Mapping[str, int]:
        """Which axis of which parameter counts a site's components, by name in the state dict.

        Slice c of all of them is what belongs to component c alone: what it reads with and writes with.
        """

    @abstractmethod
    def readout(self, site: Site) -> Float[Array, "component label"] | None:
        """By what the logits change for one unit of each component, where they do so linearly.

        That is for the neurons of the last layer with no norm after it. None where logits are not linear
        in the site's activations, or an activation is not one number.
        """

    @property
    @abstractmethod
    def unembedding(self) -> Float[Array, "feature d_vocab_out"]:
        """The matrix that the logits are a product with; its columns are theirs."""

    @abstractmethod
    def element_weights(self) -> ElementWeights:
        """The weights of which each row is one operand's, by name, and whether the left operand's or the
        right one's; "x" where both share them.

        They are what a transform over the elements of a group is taken of. None where a model reads
        numbers.
        """

    @abstractmethod
    def element_rows(self) -> ElementRows:
        """Which rows of which parameters are the operands', by name in the state dict, for the left
        operand and for the right one; "x" alone where both share them.

        Their arrays are those of `element_weights`, in its order; nothing where a model reads numbers
        or they are not rows of one matrix.
        """

    @abstractmethod
    def neurons_read(self) -> NeuronsRead:
        """What each neuron of the last layer reads of each operand as x and as y, where it reads the sum
        of one number of each (and a bias); nothing elsewhere. float64.
        """

    @property
    def operand_positions(self) -> tuple[int, int] | None:
        """At which positions of what is shown as `HOOK_EMBED` the embeddings of x and y stand; None
        where it is no embedding.
        """
        return None

    @property
    def n_logits(self) -> int:
        """How many numbers are computed of an example in the end; also of a model of mere shapes."""
        return jax.eval_shape(lambda model: model.unembedding, self).shape[-1]

    @property
    def network(self) -> Model:
        """What has the weights: the model itself, or what is behind its gates."""
        return self

    def with_network(self, network: Model) -> Model:
        """The model with other weights, and its gates as they are."""
        return network

    @abstractmethod
    def __call__(self, inputs: Inputs, hook: Hook = no_hook) -> Float[Array, "example label"]:
        """Logits, with everything that examples share computed once; what the engine runs."""

    @abstractmethod
    def plain(
        self, inputs: Inputs, hook: Hook = no_hook, write_hook: WriteHook = no_write_hook
    ) -> Float[Array, "example label"]:
        """Logits in the textbook way, every example and position by itself; equal to `__call__`.

        write_hook: is shown what every weight reads and writes; see `write_hooks`.
        """


def refuse(name: str, inputs: InputSpace) -> ValueError:
    """The error of a kind of model that cannot read such inputs."""
    return ValueError(f"a {name} reads two tokens, not {inputs.describe()}: take model.name = 'mlp'")


def state_dict(model: Any) -> dict[str, np.ndarray]:
    """The arrays of a model by TransformerLens name, such as `blocks.0.attn.W_Q`.

    Serves any tree of arrays, an optimiser's state too.
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    return {_dotted(path): np.asarray(leaf) for path, leaf in leaves}


def load_state_dict(like: M, arrays: dict[str, np.ndarray]) -> M:
    """A copy of `like` with its arrays replaced by name.

    Raises ValueError where a name is missing or superfluous, or a shape or type differs.
    """
    expected = state_dict(like)
    if expected.keys() != arrays.keys():
        differing = sorted(expected.keys() ^ arrays.keys())
        raise ValueError(f"the arrays do not fit this model: {', '.join(differing)} differ")
    for name, leaf in expected.items():
        if leaf.shape != arrays[name].shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, the model wants {leaf.shape}")
        if leaf.dtype != arrays[name].dtype:
            raise ValueError(f"{name} is of {arrays[name].dtype}, the model wants {leaf.dtype}")

    return mapped(lambda name, leaf: jax.numpy.asarray(arrays[name]), like)


def mapped(function: Callable[[str, Array], Array], model: M) -> M:
    """The model with function(name, array) in place of every array of its state dict."""

    def one(path: jax.tree_util.KeyPath, leaf: Any) -> Any:
        return function(_dotted(path), leaf) if eqx.is_array(leaf) else leaf

    return jax.tree_util.tree_map_with_path(one, model)


def parameter_names(model: Any) -> tuple[str, ...]:
    """The names of a state dict, also of a model that has shapes in the place of its arrays."""
    return tuple(_dotted(path) for path, _ in jax.tree_util.tree_leaves_with_path(model))


def _dotted(path: jax.tree_util.KeyPath) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
