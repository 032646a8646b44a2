"""Models and specs small enough to enumerate; all tests share their shapes, so they compile once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undergrowth.engine.under_way import UnderWay
from undergrowth.measures import Context, Observed, Update
from undergrowth.models import (
    AnyModel,
    Model,
    Transformer,
    TransformerSpec,
    TwoTokenMLP,
    TwoTokenMLPSpec,
    gated,
    no_hook,
    recording,
)
from undergrowth.spec import RunSpec
from undergrowth.tasks import CommutationSafe, Features, Modular, Tokens, make_data
from undergrowth.training.state import Snapshot, TrainState

P = 5
SPLIT = CommutationSafe(frac_train=0.6)
TRANSFORMER = TransformerSpec(d_model=8, n_heads=2, d_head=4, d_mlp=6)
MLP = TwoTokenMLPSpec(d_embed=4, d_mlp=6, bias=True)


def made(
    spec: AnyModel, n_operands: int = P, n_labels: int = P, seed: int = 0, n_features: int = 0
) -> Any:
    """A model with every number drawn anew, biases too (zeros would test nothing), by numpy, for
    JAX would compile each shape's draw. It reads tokens, or numbers if their number is given.
    """
    reads = Features(n_features) if n_features else Tokens(n_operands)
    blank = spec.init(reads, n_labels, np.random.default_rng(0))
    rng = np.random.default_rng(seed)

    def draw(path: jax.tree_util.KeyPath, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        spread = 1.2 / leaf.shape[-2] ** 0.5 if len(leaf.shape) > 1 else 0.3
        around = 1.0 if str(path[-1]) == ".w" else 0.0  # a layer norm's
        return jnp.asarray(around + spread * rng.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, blank)


def transformer(seed: int = 12) -> Transformer:
    """The tiny transformer with random weights; by default a draw with every neuron alive."""
    return made(TRANSFORMER, seed=seed)


def mlp(seed: int = 9) -> TwoTokenMLP:
    """The tiny two-token MLP with random weights; by default a draw with every neuron alive."""
    return made(MLP, seed=seed)


@eqx.filter_jit
def forward(
    model: Model,
    inputs: jax.Array,
    gates: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Any] | None = None,
    *,
    plain: bool = False,
) -> jax.Array:
    """Logits, compiled, through the gates that are given."""
    hook = no_hook if gates is None else gated(model.sites, gates, baselines)
    return model.plain(inputs, hook) if plain else model(inputs, hook)


@eqx.filter_jit
def recorded(model: Model, inputs: jax.Array) -> dict[str, jax.Array]:
    """The activations at every site."""
    found: dict[str, jax.Array] = {}
    model(inputs, recording(found))
    return found


def observed() -> Observed:
    """x + y mod 5 with a split of 15 : 10."""
    return Observed.of(make_data(Modular(p=P), SPLIT, "true", seed=0))


def pairs(p: int = P) -> jax.Array:
    """All p * p inputs."""
    return jnp.asarray(np.argwhere(np.ones((p, p), bool)).astype(np.int32))


def on_device(array: np.ndarray) -> jax.Array:
    """float32 or int32, as the package wants it."""
    kind = np.float32 if array.dtype.kind == "f" else np.int32
    return jnp.asarray(array.astype(kind))


def spec(**fields: Any) -> RunSpec:
    """A run of 30 steps on x + y mod 5, measured every 10, with some fields replaced."""
    return RunSpec.from_dict(
        {
            "task": {"name": "modular", "p": P},
            "split": SPLIT.model_dump(),
            "model": MLP.model_dump(),
            "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
            "steps": 30,
            "measures": [{"name": "curves", "schedule": EVERY_10}, {"name": "norms"}],
            "checkpoints": EVERY_10,
            **fields,
        }
    )


EVERY_10 = {"every": 10, "until": 1000, "per_decade": 1}


def context(model: Model, seed: int = 0, /, **fields: Any) -> Context:
    """Step 0 of a tiny run of this model, full batch, with chance from `seed`; fields: of the spec."""
    kind = TRANSFORMER if isinstance(model, Transformer) else MLP
    run = spec(**{"model": kind.model_dump(), **fields})
    opt_state = run.optimiser.build().init(model)  # pyright: ignore[reportArgumentType]
    state = TrainState(model, opt_state, {}).with_knobs(temperature=run.temperature)

    def under_way() -> UnderWay:
        return UnderWay(run, Snapshot(0, state), ())

    def update() -> Update:
        return under_way().next_update()

    def gradient() -> Model:
        return under_way().side.gradient(state, 0)

    return Context(0, np.random.default_rng(seed), run, state, update, gradient)
