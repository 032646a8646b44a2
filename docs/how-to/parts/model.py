"""A network whose neurons multiply what they read of x with what they read of y."""

from typing import ClassVar, Literal

import jax
from jaxtyping import Array, Float
from pydantic import Field

from undergrowth.models import Model, ModelSpec, Site, no_hook
from undergrowth.models.initialisation import Drawer, by_fan_in
from undergrowth.models.write_hooks import no_write_hook
from undergrowth.tasks import Tokens

HOOK_POST = "hook_post"


class Bilinear(Model):
    """logits = (W_x[x] * W_y[y]) W_U, with a neuron for each column of W_x and W_y."""

    W_x: Float[Array, "operand neuron"]
    W_y: Float[Array, "operand neuron"]
    W_U: Float[Array, "neuron label"]

    @property
    def sites(self):
        return (Site(HOOK_POST, "neuron", len(self.W_U), axis=-1),)

    def slices(self, site):
        return {"W_x": 1, "W_y": 1, "W_U": 0}

    def readout(self, site):
        return self.W_U

    @property
    def unembedding(self):
        return self.W_U

    def element_weights(self):
        return {"W_x": ("x", self.W_x), "W_y": ("y", self.W_y)}

    def element_rows(self):
        every = slice(0, len(self.W_x))
        return {"W_x": {"x": every}, "W_y": {"y": every}}

    def neurons_read(self):
        return {}  # a product of two numbers, not their sum

    def __call__(self, inputs, hook=no_hook):
        return hook(HOOK_POST, self.W_x[inputs[:, 0]] * self.W_y[inputs[:, 1]]) @ self.W_U

    def plain(self, inputs, hook=no_hook, write_hook=no_write_hook):
        x, y = jax.nn.one_hot(inputs, len(self.W_x)).swapaxes(0, 1)
        of_x = write_hook(self.W_x[inputs[:, 0]], {"W_x": x})
        of_y = write_hook(self.W_y[inputs[:, 1]], {"W_y": y})
        post = hook(HOOK_POST, of_x * of_y)
        return write_hook(post @ self.W_U, {"W_U": post})


class BilinearSpec(ModelSpec):
    """Shape of a `Bilinear`; weights are normal with 1 / sqrt(fan-in), that of an operand being 1."""

    components: ClassVar[tuple[str, ...]] = ("neuron",)

    name: Literal["bilinear"] = "bilinear"
    d_mlp: int = Field(default=64, ge=1)

    def takes(self, inputs):
        return isinstance(inputs, Tokens)

    def init(self, inputs, n_labels, rng):
        draw = Drawer(rng, by_fan_in, 1.0)
        return Bilinear(
            draw("W_x", inputs.n_operands, self.d_mlp, fan_in=1),
            draw("W_y", inputs.n_operands, self.d_mlp, fan_in=1),
            draw("W_U", self.d_mlp, n_labels, fan_in=self.d_mlp),
        )
