"""An action that lasts carries its hooks: a new one is its file, and the engine asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import undergrowth
from tests import tiny
from undergrowth.engine import initial
from undergrowth.engine.step import slope, update
from undergrowth.measures.reinforcement.ledger import parts_of
from undergrowth.models import Hook, Model, no_hook, state_dict
from undergrowth.training.interventions import (
    Action,
    AtStep,
    ClampNorm,
    Freeze,
    FreezeParameters,
    Intervention,
    lasting,
)
from undergrowth.training.objectives import TrainSet
from undergrowth.training.optimisers import SGD
from undergrowth.training.setup import Setup
from undergrowth.training.state import Moment, TrainState

ROOT = Path(undergrowth.__file__).parent
HOOKS = {name for name in vars(Action) if name.startswith("on_")}
SPEC = tiny.spec(optimiser=SGD(lr=0.1, warmup_steps=0))
SIDE = np.flatnonzero(tiny.observed().is_train)


def halved(model: Model) -> Model:
    return jax.tree.map(lambda leaf: leaf / 2, model)


class Halve(Action):
    """From here on something of every step is halved; made up."""

    name: Literal["halve"] = "halve"

    def act(self, moment: Moment, run: Setup, rng: np.random.Generator) -> Moment:
        return moment


class HalveActivations(Halve):
    @staticmethod
    def on_activations(hook: Hook, state: TrainState) -> Hook:
        return lambda name, activation: hook(name, activation) / 2


class HalveGradient(Halve):
    @staticmethod
    def on_gradient(gradient: Model, state: TrainState, noise: Any) -> Model:
        return halved(gradient)


class HalveUpdate(Halve):
    @staticmethod
    def on_update(change: Model, state: TrainState, step: Array) -> Model:
        return halved(change)


class HalveWeights(Halve):
    @staticmethod
    def on_weights(model: Model, state: TrainState) -> Model:
        return halved(model)


def stepped() -> dict[str, np.ndarray]:
    """The weights after one step of plain gradient descent, less those before it."""
    observed, state, at = tiny.observed(), initial(SPEC).state, jnp.asarray(0)
    examples = TrainSet(observed.inputs[SIDE], observed.labels[SIDE], None, jnp.uint32(0))
    _, gradient = slope(state, "cross_entropy", examples, at)
    after = update(state, SPEC.optimiser, gradient, at, examples.noise_seed)
    before = state_dict(state.model)
    return {name: array - before[name] for name, array in state_dict(after.model).items()}


@pytest.mark.parametrize("kind", [HalveGradient, HalveUpdate, HalveWeights, HalveActivations])
def test_the_engine_asks_the_hooks_of_a_new_action(
    kind: type[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, before = stepped(), state_dict(initial(SPEC).state.model)
    monkeypatch.setattr(lasting, "KINDS", (*lasting.KINDS, kind))
    found = stepped()
    if kind is HalveActivations:  # the slope of the unembedding is a product with them
        assert np.abs(found["unembed.W_U"] - plain["unembed.W_U"]).max() > 1e-4
        return
    for name, change in plain.items():
        expected = (change - before[name]) / 2 if kind is HalveWeights else change / 2
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", lasting.KINDS, ids=lambda kind: kind.model_fields["name"].default)
def test_the_hooks_of_an_action_that_was_never_taken_change_nothing(kind: type[Action]) -> None:
    state = initial(SPEC).state
    assert kind.on_activations(no_hook, state) is no_hook
    assert kind.on_gradient(state.model, state, jax.random.key(0)) is state.model
    assert kind.on_decay(state.model, state) is state.model
    assert kind.on_weights(state.model, state) is state.model
    update = kind.on_update(state.model, state, jnp.asarray(0))
    assert jax.tree.leaves(update) == jax.tree.leaves(state.model)


def test_every_hook_is_that_of_some_action() -> None:
    lasting_by = {
        hook: [kind for kind in lasting.KINDS if getattr(kind, hook) is not getattr(Action, hook)]
        for hook in HOOKS
    }
    assert all(lasting_by.values())
    assert ClampNorm in lasting_by["on_weights"]


@pytest.mark.parametrize("folder", ["spec", "engine", "measures"])
def test_spec_engine_and_measures_know_no_action_by_its_name(folder: str) -> None:
    names = [f'"{kind.model_fields["name"].default}"' for kind in lasting.KINDS]
    for file in (ROOT / folder).rglob("*.py"):
        text = file.read_text()
        assert not [name for name in names if name in text], file


def test_the_ledger_has_a_part_for_what_a_new_action_does_to_weights() -> None:
    at = tiny.context(tiny.mlp())
    for kind, parts in ((Halve, {"data", "decay"}), (HalveWeights, {"data", "decay", "clamp"})):
        taken = Intervention.model_construct(trigger=AtStep(step=3), action=kind())
        spec = SPEC.model_copy(update={"interventions": (taken,)})
        assert parts_of(replace(at, spec=spec)).keys() == parts


def test_what_two_actions_share_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Freeze.on_update is FreezeParameters.on_update
    calls: list[TrainState] = []

    class Counted(Halve):
        @staticmethod
        def on_weights(model: Model, state: TrainState) -> Model:
            calls.append(state)
            return model

    class Again(Counted):
        pass

    monkeypatch.setattr(lasting, "KINDS", (*lasting.KINDS, Counted, Again))
    state = initial(SPEC).state
    assert lasting.asked("on_weights", state.model, state) is state.model
    assert len(calls) == 1
