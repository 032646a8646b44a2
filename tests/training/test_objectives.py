"""What a run goes down: by the name of its loss, and no other place knows a loss by its name."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undergrowth
from tests import tiny
from undergrowth.losses import LOSSES, LossName
from undergrowth.models import Model
from undergrowth.spec import RunSpec
from undergrowth.tasks import Gridworld
from undergrowth.training.objectives import OBJECTIVES, MeanLoss, TrainSet

ROOT = Path(undergrowth.__file__).parent
EPISODES = {
    "task": {"name": "gridworld", "side": 3},
    "split": {"name": "whole_groups"},
    "model": {"name": "mlp", "d_mlp": 6},
}


def test_every_loss_of_a_spec_is_an_objective_and_those_of_examples_are_their_means() -> None:
    assert set(OBJECTIVES) == set(get_args(LossName))
    of_examples = {name: each.of_example for name, each in OBJECTIVES.items() if each.of_example}
    assert of_examples == LOSSES
    assert all(each.unit for each in OBJECTIVES.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradient_of_every_objective_is_that_of_its_value(name: LossName) -> None:
    """Along a direction, against central differences. A policy's value is that of episodes which its own
    weights play, so of it only the value is held: minus a mean return.
    """
    run = RunSpec.from_dict({**EPISODES, "loss": name})
    data, model = run.data(), tiny.made(run.model, n_features=12, n_labels=4)
    side = data.is_train
    inputs, labels = jnp.asarray(data.inputs[side]), jnp.asarray(data.labels[side])
    world = jax.device_put(OBJECTIVES[name].world(run.task, side))
    examples = TrainSet(inputs, labels, None, jnp.uint32(0), world)

    def forward(model: Model, inputs: jax.Array, key: jax.Array) -> jax.Array:
        return model(inputs)

    def at(model: Model) -> tuple[jax.Array, Model]:
        return OBJECTIVES[name].gradient(model, examples, forward, jax.random.key(1))

    value, gradient = at(model)
    assert jax.tree.structure(gradient) == jax.tree.structure(model)
    if world is not None:
        assert -1 <= float(value) <= 0
        return
    assert float(value) == pytest.approx(float(LOSSES[name](model(inputs), labels).mean()), rel=1e-5)
    rng, h = np.random.default_rng(0), 1e-2
    way = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype), model)
    ends = [at(jax.tree.map(lambda w, d, s=s: w + s * h * d, model, way))[0] for s in (1, -1)]
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True)
    along = sum(float(jnp.sum(slope * step)) for slope, step in pairs)
    assert float(ends[0] - ends[1]) / (2 * h) == pytest.approx(along, rel=0.02)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_can_be_taken_of_a_gridworld_and_only_means_have_no_world(
    name: LossName,
) -> None:
    run = RunSpec.from_dict({**EPISODES, "loss": name})
    assert isinstance(run.task, Gridworld)
    world = OBJECTIVES[name].world(run.task, run.data().is_train)
    assert (world is None) == isinstance(OBJECTIVES[name], MeanLoss)


@pytest.mark.parametrize("folder", ["spec", "engine", "measures"])
def test_spec_engine_and_measures_know_no_objective_by_its_name(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        assert "policy_gradient" not in file.read_text(), file
