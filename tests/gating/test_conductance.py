"""Conductance against its definition in float64, its completeness, and where it is a closed form."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating import attribute, baselines, conductance, site_of
from undergrowth.gating.attribution import BaselineName
from undergrowth.gating.scores import ScoreName
from undergrowth.models import HOOK_EMBED, MLPSpec, Model, state_dict

FEW = slice(0, 25, 4)
DEEP = MLPSpec(d_mlp=6)
MODELS: dict[str, Model] = {
    "transformer": tiny.transformer(),
    "mlp": tiny.mlp(),
    "deep": tiny.made(DEEP),
}


def arguments(
    name: str, component: str = "neuron", layer: int = -1, baseline: BaselineName = "zero"
) -> dict[str, Any]:
    data, model = tiny.observed(), MODELS[name]
    return {
        "model": model,
        "inputs": data.inputs,
        "labels": data.labels,
        "site": site_of(model, component, layer),
        "baseline": dict(baselines(model, data.train_inputs(), baseline)),
    }


@cache
def by_hand(name: str, component: str, score: str, n: int = 300) -> np.ndarray:
    """The definition from the zero baseline: slopes at the middles of n pieces of the path, by
    differences, times what the activation changes over a piece.
    """
    data, weights = tiny.observed(), brute_force.in_float64(state_dict(MODELS[name]))
    inputs, labels = np.asarray(data.inputs)[FEW], np.asarray(data.labels)[FEW]
    key, forward = {"head": "z", "neuron": "post"}[component], getattr(brute_force, name)

    def at(alpha: float, **changed: Any) -> tuple[np.ndarray, np.ndarray]:
        """Score and activation where everything embedded is alpha times what it is."""
        embedded = {k: alpha * w if k.startswith("embed.") else w for k, w in weights.items()}
        kept: dict[str, np.ndarray] = {}
        logits = forward(embedded, inputs, keep=kept, **changed)
        return brute_force.score(score, logits, labels), kept[key]

    total = np.zeros(at(0.0)[1].shape)
    for i in range(n):
        middle = (i + 0.5) / n
        activation = at(middle)[1]
        change = at((i + 1) / n)[1] - at(i / n)[1]
        for index in np.ndindex(activation.shape[1:]):
            there = []
            for h in (1e-5, -1e-5):
                moved = activation.copy()
                moved[:, *index] += h
                put = {f"{component}_gates": 0.0, f"{component}_baseline": moved}
                there.append(at(middle, **put)[0])
            slope = (there[0] - there[1]) / 2e-5
            total[:, *index] += slope * change[:, *index]
    return total.reshape(*total.shape[:2], -1).sum(axis=2)


@pytest.mark.parametrize(
    ("name", "component"), [("transformer", "neuron"), ("transformer", "head"), ("mlp", "neuron")]
)
@pytest.mark.parametrize("score", ["centred_logit", "log_prob"])
def test_conductance_is_what_its_definition_says(name: str, component: str, score: ScoreName) -> None:
    found = conductance(**arguments(name, component), score=score, n_panels=256)[FEW]
    expected = by_hand(name, component, score)
    assert np.abs(expected).max() > 0.1
    rough = component == "head"  # the slope jumps where the ReLU behind it does
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-2 if rough else 2e-4))


def ends(name: str, score: ScoreName, baseline: BaselineName) -> np.ndarray:
    """S(x) - S(x'), the textbook pass run from both ends of the path."""
    found, of = [], arguments(name, baseline=baseline)
    start = {} if baseline == "zero" else {HOOK_EMBED: of["baseline"][HOOK_EMBED]}
    for alpha in (1.0, 0.0):

        def hook(hook: str, activation: Any, alpha: float = alpha) -> Any:
            there = start.get(hook, 0.0)
            return there + alpha * (activation - there) if hook == HOOK_EMBED else activation

        logits = np.asarray(of["model"].plain(of["inputs"], hook), np.float64)
        found.append(brute_force.score(score, logits, np.asarray(of["labels"])))
    return found[0] - found[1]


CUTS = [
    ("mlp", "neuron", -1, "zero"),
    ("mlp", "neuron", -1, "mean"),
    ("deep", "neuron", 0, "mean"),
    ("deep", "neuron", 1, "zero"),
    ("transformer", "head", -1, "mean"),
]


@pytest.mark.parametrize(("name", "component", "layer", "baseline"), CUTS)
@pytest.mark.parametrize("score", ["centred_logit", "log_prob"])
def test_through_a_cut_of_the_graph_flows_all_that_the_score_changes(
    name: str, component: str, layer: int, baseline: BaselineName, score: ScoreName
) -> None:
    of = arguments(name, component, layer, baseline)
    found = conductance(**of, score=score, n_panels=256).sum(axis=1)
    expected = ends(name, score, baseline)
    kinked = component == "head" or (name == "deep" and layer == 0)
    tolerance = 5e-3 if kinked else 2e-4
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_past_the_neurons_of_a_transformer_some_of_the_change_flows_too() -> None:
    found = conductance(**arguments("transformer", baseline="mean"), n_panels=64).sum(axis=1)
    assert np.abs(found - ends("transformer", "centred_logit", "mean")).max() > 0.1


@pytest.mark.parametrize("name", ["transformer", "mlp", "deep"])
def test_of_a_score_linear_in_the_activations_one_panel_is_exact(name: str) -> None:
    of = arguments(name, baseline="mean")
    one, many = (conductance(**of, score="centred_logit", n_panels=n) for n in (1, 64))
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert np.abs(one).max() > 0.1


def test_then_it_is_integrated_gradients_from_the_activations_of_the_baseline_input() -> None:
    of = arguments("mlp", baseline="zero")
    silent = {of["site"].name: jax.nn.relu(of["model"].mlp.b_in)}  # what it makes of nothing
    layered = attribute(**{**of, "baseline": silent}, score="centred_logit")
    np.testing.assert_allclose(conductance(**of, score="centred_logit"), layered, atol=1e-5)


def test_otherwise_the_two_differ() -> None:
    of = arguments("mlp", baseline="zero")
    silent = {of["site"].name: jax.nn.relu(of["model"].mlp.b_in)}
    layered = attribute(**{**of, "baseline": silent}, score="log_prob", n_nodes=64)
    flow = conductance(**of, score="log_prob", n_panels=256)
    np.testing.assert_allclose(flow.sum(axis=1), layered.sum(axis=1), atol=1e-3)  # same ends
    assert np.abs(flow - layered).max() > 0.02


def test_the_error_of_a_smooth_score_falls_as_the_square_of_the_panels() -> None:
    of = arguments("mlp", baseline="mean")
    expected = ends("mlp", "log_prob", "mean")
    coarse, fine = (
        np.abs(conductance(**of, score="log_prob", n_panels=n).sum(axis=1) - expected).max()
        for n in (8, 32)
    )
    assert coarse > 6 * fine


def test_conductance_is_a_method_of_attribution() -> None:
    of = arguments("mlp", baseline="mean")
    found = attribute(**of, method="conductance", score="log_prob", n_nodes=8)
    assert (found == conductance(**of, score="log_prob", n_panels=8)).all()
