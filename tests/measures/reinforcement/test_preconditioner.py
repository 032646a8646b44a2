"""The preconditioner against the updates that optimisers make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from undergrowth.engine.under_way import UnderWay
from undergrowth.measures import Context
from undergrowth.measures.reinforcement.preconditioner import preconditioner, refusal
from undergrowth.models import load_state_dict, state_dict
from undergrowth.training.optimisers import SGD, AdamW, Muon, OrthogonalGradient
from undergrowth.training.state import Snapshot, TrainState

FULL = {"name": "full"}


def later(n_steps: int = 3, frozen: dict[str, Any] | None = None, **fields: Any) -> Context:
    """A run of the tiny MLP whose optimiser has seen some gradients, drawn by hand."""
    run = tiny.spec(**fields)
    model, rng = tiny.mlp(), np.random.default_rng(0)
    tx = run.optimiser.build()
    opt_state = tx.init(model)  # pyright: ignore[reportArgumentType]
    for _ in range(n_steps):
        drawn = {n: rng.normal(size=w.shape).astype(np.float32) for n, w in state_dict(model).items()}
        _, opt_state = tx.update(load_state_dict(model, drawn), opt_state, model)  # pyright: ignore[reportArgumentType]
    state = TrainState(model, opt_state, {}).with_knobs(temperature=run.temperature)
    state = state.replace(frozen=frozen or {})
    under_way = UnderWay(run, Snapshot(n_steps, state), ())
    return Context(
        n_steps,
        rng,
        run,
        state,
        under_way.next_update,
        lambda: under_way.side.gradient(state, n_steps),
    )


WITHOUT_MEMORY: dict[str, dict[str, Any]] = {
    "adamw": {"name": "adamw", "betas": (0.0, 0.9), "eps": 1e-3, "weight_decay": 1.0},
    "adam": {"name": "adam", "betas": (0.0, 0.9), "eps": 1e-3, "weight_decay": 0.0},
    "sign_sgd": {"name": "sign_sgd"},
    "grokfast": {
        "name": "adamw",
        "betas": (0.0, 0.9),
        "eps": 1e-3,
        "filter": {"name": "grokfast_ema", "alpha": 0.0, "lamb": 2.0},
    },
}
"""Optimisers whose next update is of this step's gradient alone."""


@pytest.mark.parametrize("batch", [FULL, {"name": "mini", "batch_size": 4}], ids=["full", "mini"])
@pytest.mark.parametrize("name", WITHOUT_MEMORY)
def test_the_update_is_minus_the_rate_times_p_times_the_gradient(name: str, batch: dict) -> None:
    fields = {**WITHOUT_MEMORY[name], "lr": 0.01, "warmup_steps": 0}
    at = later(optimiser=fields, batch=batch)
    p = state_dict(preconditioner(at))
    gradient, moved = state_dict(at.gradient()), state_dict(at.update().data)
    amplified = 3.0 if name == "grokfast" else 1.0
    for parameter, change in moved.items():
        expected = -0.01 * p[parameter] * amplified * gradient[parameter]
        np.testing.assert_allclose(expected, change, rtol=2e-4, atol=1e-7)
        assert np.abs(change).max() > 1e-4


def test_adams_second_moment_has_this_steps_gradient_in_it_and_its_decay() -> None:
    """Written out from the gradients that were drawn."""
    fields = {"name": "adam", "betas": (0.9, 0.8), "eps": 1e-3, "weight_decay": 0.5, "lr": 0.01}
    at, rng = later(2, optimiser=fields), np.random.default_rng(0)
    weights, gradient = state_dict(tiny.mlp()), state_dict(at.gradient())
    drawn = [{n: rng.normal(size=w.shape) for n, w in weights.items()} for _ in range(2)]
    for name, found in state_dict(preconditioner(at)).items():
        seen = [*(of[name] for of in drawn), gradient[name]]
        squares = [(g + 0.5 * weights[name]).astype(np.float64) ** 2 for g in seen]
        v = 0.2 * (0.64 * squares[0] + 0.8 * squares[1] + squares[2]) / (1 - 0.8**3)
        np.testing.assert_allclose(found, 1 / (np.sqrt(v) + 1e-3), rtol=1e-4)


def test_before_the_first_update_adam_divides_by_the_first_gradient() -> None:
    at = later(0, optimiser={"name": "adamw", "eps": 1e-4})
    gradient = state_dict(at.gradient())
    for name, found in state_dict(preconditioner(at)).items():
        np.testing.assert_allclose(found, 1 / (np.abs(gradient[name]) + 1e-4), rtol=1e-3)


def test_gradient_descent_multiplies_all_alike_but_what_is_frozen() -> None:
    assert preconditioner(later(optimiser={"name": "sgd", "momentum": 0.9})) is None
    still = {"mlp.b_in": jnp.asarray([1.0, 0, 1, 1, 0, 1])}
    p = state_dict(preconditioner(later(optimiser={"name": "sgd"}, frozen=still)))
    assert p["mlp.b_in"].tolist() == [1, 0, 1, 1, 0, 1]
    assert (p["mlp.W_in"] == 1).all()
    of_adam = later(optimiser={"name": "adamw"})
    freed, held = (
        state_dict(preconditioner(at))
        for at in (of_adam, replace(of_adam, state=of_adam.state.replace(frozen=still)))
    )
    assert (held["mlp.b_in"] == freed["mlp.b_in"] * np.asarray(still["mlp.b_in"])).all()


def test_what_mixes_the_gradients_of_different_weights_has_none() -> None:
    assert refusal(SGD()) == refusal(AdamW()) == ""
    assert "'muon' mixes" in refusal(Muon())
    assert "'orthogonal_gradient' mixes" in refusal(SGD(filter=OrthogonalGradient()))
    with pytest.raises(ValueError, match=r"'muon' mixes .*: it has no diagonal preconditioner"):
        preconditioner(later(optimiser={"name": "muon"}))
