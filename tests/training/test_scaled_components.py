"""Components that learn and decay at rates of their own, against updates done by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.test_loop import at, facts, snapshots
from undergrowth.models import state_dict
from undergrowth.spec import RunSpec, SpecError

SPEC = RunSpec.from_dict(
    {
        "task": {"name": "modular", "p": 5},
        "model": {"name": "planted", "lookups": False, "strips": [5, 7], "spread": 0.1},
        "optimiser": {"name": "sgd", "lr": 0.1, "warmup_steps": 0},
        "steps": 3,
        "checkpoints": {"every": 1, "until": 10, "per_decade": 1},
        "measures": [{"name": "curves"}],
    }
)
LAST = {"component": "block", "indices": [2]}


def strengths(spec: RunSpec) -> dict[int, np.ndarray]:
    found = snapshots(facts(spec))
    return {s: state_dict(x.state.model)["strength"].astype(float) for s, x in found.items()}


def scaled(spec: RunSpec = SPEC, components: Any = LAST, **how: float) -> RunSpec:
    action = {"name": "scale_components", "components": components, **how}
    return spec.replace(interventions=[at(0, action)])


def with_optimiser(**fields: Any) -> RunSpec:
    return SPEC.replace(optimiser={"lr": 0.1, "warmup_steps": 0, **fields})


def test_a_gradient_is_multiplied_for_those_components_alone() -> None:
    plain, found = strengths(SPEC), strengths(scaled(gradient=0.25))
    step, mine = plain[1] - plain[0], found[1] - found[0]
    np.testing.assert_allclose(mine, step * [1, 1, 0.25], rtol=1e-4)
    assert (np.abs(step) > 1e-3).all()


@pytest.mark.parametrize("name", ["sgd", "sign_sgd", "adamw"])
def test_decay_is_multiplied_for_those_components_alone(name: str) -> None:
    decaying = with_optimiser(name=name, weight_decay=0.3)
    without = strengths(with_optimiser(name=name, weight_decay=0.0))
    found = strengths(scaled(decaying, decay=5.0))
    pulled = found[1] - without[1]
    np.testing.assert_allclose(pulled, -0.1 * 0.3 * found[0] * [1, 1, 5], rtol=1e-3, atol=1e-7)


def test_a_share_of_the_steps_is_drawn_by_the_noise_seed_and_step() -> None:
    spec = scaled(SPEC.replace(steps=200), share=0.25)
    found = strengths(spec.replace(checkpoints={"every": 1, "until": 200, "per_decade": 1}))
    moved = np.array([found[t + 1] - found[t] for t in range(200)])
    assert (np.abs(moved[:, :2]) > 0).all()
    assert 0.12 < (moved[:, 2] != 0).mean() < 0.4
    other = spec.replace(seeds={"model": 0, "data": 0, "noise": 1})
    again, else_ = strengths(spec), strengths(other)
    assert (again[200] == found[200]).all()
    assert else_[200][2] != found[200][2]


def test_scales_of_two_actions_multiply() -> None:
    once = {"name": "scale_components", "components": LAST, "gradient": 0.5}
    twice = SPEC.replace(interventions=[at(0, once), at(0, once)])
    np.testing.assert_array_equal(strengths(twice)[3], strengths(scaled(gradient=0.25))[3])


@pytest.mark.parametrize(
    "optimiser", [{"name": "sgd", "momentum": 0.9}, {"name": "adam", "weight_decay": 0.1}]
)
def test_a_decay_that_is_remembered_is_refused(optimiser: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="cannot be told apart: take adamw"):
        scaled(SPEC.replace(optimiser=optimiser), decay=2.0)
    assert scaled(SPEC.replace(optimiser=optimiser), gradient=2.0)


def test_components_that_are_not_there_are_refused() -> None:
    with pytest.raises(SpecError, match="a planted has none: take 'block'"):
        scaled(components={"component": "neuron", "indices": [0]})
    with pytest.raises(SpecError, match=r"the model has 3 at blocks\.hook_out"):
        scaled(components={"component": "block", "indices": [3]})
