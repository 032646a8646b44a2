"""Attributions against brute force in float64, which shares no code with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating import SCORES, attribute, baselines, completeness_residual, site_of
from undergrowth.gating.attribution import Method, logit_norms
from undergrowth.gating.scores import ScoreName
from undergrowth.measures import Observed, Saliency
from undergrowth.models import Model, state_dict

METHODS: tuple[Method, ...] = ("gradient_x_activation", "integrated_gradients", "ablation")
"""Those that move the gates alone; conductance moves the input."""
SCORE_NAMES: tuple[ScoreName, ...] = get_args(ScoreName)
LINEAR: tuple[ScoreName, ...] = ("centred_logit", "correct_logit")
BY_HAND = {
    "gradient_x_activation": brute_force.gradient_x_activation,
    "integrated_gradients": brute_force.integrated_gradients,
    "ablation": brute_force.ablation,
}
NODES = {"neuron": 32, "head": 256}
"""A head's path crosses kinks of the ReLU, where quadrature errs by about one part in n_nodes."""
FEW = slice(0, 25, 2)
"""The examples that brute force goes through."""


@dataclass(frozen=True)
class Case:
    """A model, one of its families of components, and what the gates do to its score, by hand."""

    name: str
    model: Model
    component: str
    baseline: str

    @property
    def n_components(self) -> int:
        return site_of(self.model, self.component).n_components

    def attributed(self, method: Method, score: ScoreName, n_nodes: int = 0) -> np.ndarray:
        """What the package says, for all examples."""
        return _attributed(self.name, method, score, n_nodes or NODES[self.component]).copy()

    def compute(self, method: Method, score: ScoreName, n_nodes: int) -> np.ndarray:
        data = tiny.observed()
        found = attribute(
            self.model,
            data.inputs,
            data.labels,
            site=site_of(self.model, self.component),
            method=method,
            score=score,
            baseline=self.package_baselines(),
            n_nodes=n_nodes,
        )
        return np.asarray(found, np.float64)

    def package_baselines(self) -> Any:
        name: Any = self.baseline
        return baselines(self.model, tiny.observed().train_inputs(), name)

    def score(self, name: str, examples: slice = FEW) -> brute_force.Score:
        """The score as a function of the gates, in float64."""
        data, weights = tiny.observed(), state_dict(self.model)
        inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
        forward = brute_force.mlp if "mlp" in self.name else brute_force.transformer
        activation = {"head": "z", "neuron": "post"}[self.component]
        baseline: Any = 0.0
        if self.baseline == "mean":
            kept: dict[str, np.ndarray] = {}
            forward(weights, inputs[np.asarray(data.is_train)], keep=kept)
            baseline = kept[activation].mean(axis=0)

        def scored(gates: np.ndarray) -> np.ndarray:
            gated: Any = {
                f"{self.component}_gates": gates,
                f"{self.component}_baseline": baseline,
            }
            logits = forward(weights, inputs[examples], **gated)
            return brute_force.score(name, logits, labels[examples])

        return scored

    def by_hand(self, method: str, score: str) -> np.ndarray:
        n = len(range(*FEW.indices(25)))
        return BY_HAND[method](self.score(score), (n, self.n_components))


CASES = [
    Case(f"{name}-{component}-{baseline}", model, component, baseline)
    for name, model, component in [
        ("transformer", tiny.transformer(), "neuron"),
        ("transformer", tiny.transformer(), "head"),
        ("mlp", tiny.mlp(), "neuron"),
    ]
    for baseline in ("zero", "mean")
    if baseline == "mean" or (name, component) == ("transformer", "neuron")
]
NEURONS = [case for case in CASES if case.component == "neuron"]
HEADS = [case for case in CASES if case.component == "head"]


@cache
def _attributed(case: str, method: Method, score: ScoreName, n_nodes: int) -> np.ndarray:
    return next(c for c in CASES if c.name == case).compute(method, score, n_nodes)


def of(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_close(mine: np.ndarray, other: np.ndarray, relative: float) -> None:
    """Equal up to `relative` of the largest number."""
    np.testing.assert_allclose(mine, other, rtol=0, atol=relative * np.abs(other).max())


@of(CASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("score", ["centred_logit", "log_prob"])
def test_every_attribution_is_what_brute_force_says(
    case: Case, method: Method, score: ScoreName
) -> None:
    rough = case.component == "head" and method == "integrated_gradients"
    by_hand = case.by_hand(method, score)
    assert np.abs(by_hand).max() > 0.05
    assert_close(case.attributed(method, score)[FEW], by_hand, 5e-3 if rough else 1e-5)


@of(NEURONS)
@pytest.mark.parametrize("score", LINEAR)
def test_all_methods_agree_where_the_score_is_linear_in_the_gates(case: Case, score: ScoreName) -> None:
    slope, mean_slope, difference = (case.attributed(m, score) for m in METHODS)
    assert_close(mean_slope, slope, 1e-5)
    assert_close(difference, slope, 1e-5)


@of(NEURONS)
def test_the_methods_differ_for_the_log_probability_which_is_not_linear(case: Case) -> None:
    found = [case.attributed(method, "log_prob") for method in METHODS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[one] - found[other]).max() > 0.01 * np.abs(found[0]).max()


@of(HEADS)
def test_the_methods_differ_for_heads_which_go_through_the_relu(case: Case) -> None:
    found = [case.attributed(method, "centred_logit") for method in METHODS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[one] - found[other]).max() > 0.01 * np.abs(found[0]).max()


@of(NEURONS)
def test_integrated_gradients_of_a_linear_score_are_shapley_values(case: Case) -> None:
    """By enumeration of all 64 coalitions of 6 neurons."""
    n = len(range(*FEW.indices(25)))
    shapley = brute_force.shapley(case.score("centred_logit"), (n, 6))
    assert_close(case.attributed("integrated_gradients", "centred_logit")[FEW], shapley, 1e-5)
    whole, none = (case.score("centred_logit")(np.full((n, 6), gate)) for gate in (1.0, 0.0))
    np.testing.assert_allclose(shapley.sum(axis=1), whole - none, atol=1e-12)


@of(CASES)
@pytest.mark.parametrize("score", ["centred_logit", "log_prob"])
def test_integrated_gradients_add_up_to_the_difference_that_they_explain(
    case: Case, score: ScoreName
) -> None:
    everything = slice(0, 25)
    whole, none = (
        case.score(score, everything)(np.full((25, case.n_components), gate)) for gate in (1.0, 0.0)
    )
    total = case.attributed("integrated_gradients", score).sum(axis=1)
    tolerance = 5e-3 if case.component == "head" else 1e-5
    assert np.abs(total - (whole - none)).max() <= tolerance * np.abs(whole - none).max()


@of(NEURONS)
@pytest.mark.parametrize(
    ("score", "n_nodes"), [("centred_logit", 1), ("centred_logit", 32), ("log_prob", 32)]
)
def test_the_completeness_residual_of_neurons_is_below_1e_4(
    case: Case, score: ScoreName, n_nodes: int
) -> None:
    residual = residual_of(case, score, case.attributed("integrated_gradients", score, n_nodes))
    assert residual.shape == (25,)
    assert np.abs(residual).max() <= 1e-4


def test_the_completeness_residual_tells_of_too_few_nodes() -> None:
    case = NEURONS[0]
    coarse, fine = (
        np.abs(residual_of(case, "log_prob", case.attributed("integrated_gradients", "log_prob", n)))
        for n in (1, 32)
    )
    assert coarse.max() > 1e-3
    assert coarse.max() > 10 * fine.max()


def test_the_completeness_residual_is_relative_to_the_largest_difference() -> None:
    case = NEURONS[0]
    everything = slice(0, 25)
    whole, none = (case.score("centred_logit", everything)(np.full((25, 6), g)) for g in (1.0, 0.0))
    attribution = case.attributed("integrated_gradients", "centred_logit")
    attribution[3, 2] += 0.1  # an error put in by hand
    expected = np.zeros(25)
    expected[3] = 0.1 / np.abs(whole - none).max()
    np.testing.assert_allclose(residual_of(case, "centred_logit", attribution), expected, atol=1e-5)


def residual_of(case: Case, score: ScoreName, attribution: np.ndarray) -> np.ndarray:
    data = tiny.observed()
    residual = completeness_residual(
        case.model,
        data.inputs,
        data.labels,
        attribution,
        site=site_of(case.model, case.component),
        score=score,
        baseline=case.package_baselines(),
    )
    return np.asarray(residual)


def test_attributing_without_a_baseline_is_attributing_against_zero(
    transformer: Model, observed: Observed
) -> None:
    site = site_of(transformer, "neuron")
    found = [
        attribute(transformer, observed.inputs, observed.labels, site=site, baseline=baseline)
        for baseline in (None, {})
    ]
    assert (np.asarray(found[0]) == np.asarray(found[1])).all()
    zero = next(case for case in NEURONS if case.name == "transformer-neuron-zero")
    assert_close(np.asarray(found[0]), zero.attributed("integrated_gradients", "centred_logit"), 1e-6)


@of(CASES)
def test_the_mean_baseline_is_the_mean_over_the_training_set_alone(case: Case) -> None:
    data = tiny.observed()
    is_train = np.asarray(data.is_train)
    found = case.package_baselines()
    if case.baseline == "zero":
        assert found == {}
        return
    site = site_of(case.model, case.component)
    forward = brute_force.mlp if "mlp" in case.name else brute_force.transformer
    kept: dict[str, np.ndarray] = {}
    forward(state_dict(case.model), np.asarray(data.inputs), keep=kept)
    activations = kept[{"head": "z", "neuron": "post"}[case.component]]
    np.testing.assert_allclose(found[site.name], activations[is_train].mean(axis=0), atol=1e-5)
    over_all = activations.mean(axis=0)
    assert np.abs(np.asarray(found[site.name]) - over_all).max() > 1e-3  # the two can be told apart


def logit_slopes(case: Case) -> np.ndarray:
    """d logits / d gate [example, component, label], from one logit at a time in float64."""
    data, weights = tiny.observed(), state_dict(case.model)
    forward = brute_force.mlp if "mlp" in case.name else brute_force.transformer
    kept: dict[str, np.ndarray] = {}
    inputs = np.asarray(data.inputs)
    forward(weights, inputs[np.asarray(data.is_train)], keep=kept)
    key = {"head": "z", "neuron": "post"}[case.component]
    baseline = kept[key].mean(axis=0) if case.baseline == "mean" else 0.0

    def logit(label: int) -> brute_force.Score:
        def scored(gates: np.ndarray) -> np.ndarray:
            gated: Any = {
                f"{case.component}_gates": gates,
                f"{case.component}_baseline": baseline,
            }
            return forward(weights, inputs, **gated)[:, label]

        return scored

    ones = np.ones((25, case.n_components))
    return np.stack([brute_force.slopes(logit(label), ones) for label in range(5)], axis=2)


@of(CASES)
def test_logit_norms_are_exact_on_average_over_all_signs(case: Case) -> None:
    """Averaged over all 2^5 sign vectors their squares are the exact mean squared norms."""
    exact = (logit_slopes(case) ** 2).sum(axis=2).mean(axis=0)
    site, data, found = site_of(case.model, case.component), tiny.observed(), []
    for signs in product([-1.0, 1.0], repeat=5):
        norms = logit_norms(
            case.model,
            data.inputs,
            site=site,
            baseline=case.package_baselines(),
            signs=tiny.on_device(np.tile(signs, (25, 1))),
        )
        found.append(np.asarray(norms, np.float64) ** 2)
    np.testing.assert_allclose(np.mean(found, axis=0), exact, rtol=1e-4)


def test_one_draw_of_signs_estimates_logit_norms() -> None:
    case = NEURONS[0]
    exact = np.sqrt((logit_slopes(case) ** 2).sum(axis=2).mean(axis=0))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (25, 5))
    found = logit_norms(
        case.model,
        tiny.observed().inputs,
        site=site_of(case.model, "neuron"),
        baseline=case.package_baselines(),
        signs=tiny.on_device(signs),
    )
    np.testing.assert_allclose(found, exact, rtol=0.5)


@pytest.mark.parametrize("name", SCORE_NAMES)
def test_scores_are_what_their_names_say(name: ScoreName) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (25, 5)).astype(np.float32)
    labels = rng.integers(5, size=25).astype(np.int32)
    mine = SCORES[name](tiny.on_device(logits), tiny.on_device(labels))
    np.testing.assert_allclose(mine, brute_force.score(name, logits, labels), rtol=1e-5, atol=1e-6)


def test_a_component_that_the_model_has_not_is_an_error_that_lists_what_it_has(mlp: Model) -> None:
    with pytest.raises(ValueError, match="component = 'head': this model has neuron"):
        site_of(mlp, "head")


@pytest.mark.parametrize("method", ["gradient_x_activation", "integrated_gradients", "conductance"])
def test_a_step_function_has_no_gradient_to_attribute_by(mlp: Model, method: Method) -> None:
    data, message = tiny.observed(), f"method = '{method}' takes a gradient, and score = 'accuracy'"
    with pytest.raises(ValueError, match=message):
        attribute(mlp, data.inputs, data.labels, site=mlp.sites[0], method=method, score="accuracy")
    with pytest.raises(ValueError, match=message):
        Saliency(method=method, score="accuracy")
    assert Saliency(method="ablation", score="accuracy").score == "accuracy"
