"""Attributions against Captum's, on the same weights in PyTorch."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from captum.attr import (
    FeatureAblation,
    LayerConductance,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    ShapleyValues,
    ShapleyValueSampling,
)
from torch import Tensor, nn

from tests import tiny
from tests.oracles import torch_models
from undergrowth.gating import Sampling, attribute, baselines, shapley_values, site_of
from undergrowth.gating.attribution import BaselineName
from undergrowth.gating.scores import ScoreName
from undergrowth.models import Model, Site, TransformerSpec, TwoTokenMLPSpec, state_dict

torch.set_num_threads(1)

TWO_LAYERS = TransformerSpec(n_layers=2, d_model=8, n_heads=2, d_head=4, d_mlp=6, layer_norm="pre")
WIDE = TwoTokenMLPSpec(d_embed=4, d_mlp=13, bias=True)


@dataclass(frozen=True)
class Case:
    """A site of a model, and the module that makes its activation in PyTorch."""

    name: str
    model: Model
    component: str = "neuron"
    layer: int = -1

    @property
    def site(self) -> Site:
        return site_of(self.model, self.component, self.layer)

    @property
    def is_last(self) -> bool:
        return self.site in self.model.sites[-2:]

    @cached_property
    def theirs(self) -> Any:
        kind = torch_models.MLP if "mlp" in self.name else torch_models.Transformer
        return kind(state_dict(self.model))

    @property
    def module(self) -> nn.Module:
        if "mlp" in self.name:
            return self.theirs.post
        block = self.theirs.blocks[self.layer]
        return block.z if self.component == "head" else block.post

    def embedded(self) -> Tensor:
        return self.theirs.embedded(np.asarray(tiny.observed().inputs))

    def start(self, baseline: BaselineName) -> Tensor:
        """What is embedded at the start of a path: nothing, or the mean over the training side."""
        embedded = self.embedded()
        of_train = embedded[torch.tensor(np.asarray(tiny.observed().is_train))]
        mean = of_train.mean(0, keepdim=True)
        return (mean if baseline == "mean" else torch.zeros_like(mean)).expand_as(embedded)

    def activation(self, embedded: Tensor) -> Tensor:
        kept: list[Any] = []
        handle = self.module.register_forward_hook(lambda module, inputs, output: kept.append(output))
        self.theirs(embedded)
        handle.remove()
        return kept[0]

    def baseline(self, embedded: Tensor) -> dict[str, Any]:
        """The activation of one input, as the package wants its baselines."""
        found = self.activation(embedded)[0].numpy()
        if found.ndim > 1 + self.site.trailing and self.is_last:
            found = found[-1]
        return {self.site.name: jnp.asarray(found, jnp.float32)}

    def scored(self, score: ScoreName) -> Callable[[Tensor], Tensor]:
        labels = torch.tensor(np.asarray(tiny.observed().labels), dtype=torch.int64)

        def function(embedded: Tensor) -> Tensor:
            repeated = labels.repeat(len(embedded) // len(labels))  # for Captum's copies of a batch
            return torch_models.score(score, self.theirs(embedded), repeated)

        return function

    def of_gates(self, score: ScoreName, baseline: np.ndarray) -> Callable[[Tensor], Tensor]:
        """The score as a function of gates [example, component], with a baseline a component."""
        scored, embedded = self.scored(score), self.embedded()
        start = torch_models.tensor(baseline)

        def function(gates: Tensor) -> Tensor:
            def put(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
                gate = gates.reshape(len(gates), *(1,) * (output.ndim - 2 - self.site.trailing), -1)
                gate = gate.reshape(gate.shape + (1,) * self.site.trailing)
                return start + gate * (output - start)

            handle = self.module.register_forward_hook(put)
            found = scored(embedded)
            handle.remove()
            return found

        return function

    def package(self, **fields: Any) -> np.ndarray:
        data = tiny.observed()
        return attribute(self.model, data.inputs, data.labels, site=self.site, **fields)

    def means(self) -> dict[str, Any]:
        return dict(baselines(self.model, tiny.observed().train_inputs(), "mean"))

    def reduced(self, found: Any) -> np.ndarray:
        """[example, component] from attributions in the shape of an activation."""
        array = found.detach().numpy()
        component = array.ndim + self.site.axis
        return array.sum(axis=tuple(axis for axis in range(1, array.ndim) if axis != component))


TWO = tiny.made(TWO_LAYERS)
CASES = [
    Case("transformer-neuron", tiny.transformer()),
    Case("transformer-head", tiny.transformer(), "head"),
    Case("mlp-neuron", tiny.mlp()),
    Case("two-layers-neuron-0", TWO, layer=0),
    Case("two-layers-neuron-1", TWO, layer=1),
    Case("two-layers-head-0", TWO, "head", layer=0),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_start = pytest.mark.parametrize("start", ["zero", "mean"])
smooth = pytest.mark.parametrize("score", ["centred_logit", "log_prob"])


def assert_close(mine: np.ndarray, theirs: np.ndarray, relative: float) -> None:
    assert np.abs(theirs).max() > 0.05
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=relative * np.abs(theirs).max())


@every_case
def test_the_copy_in_pytorch_has_the_same_logits(case: Case) -> None:
    mine = tiny.forward(case.model, tiny.observed().inputs)
    np.testing.assert_allclose(mine, case.theirs(case.embedded()).numpy(), atol=2e-5)


@every_case
@every_start
@smooth
def test_conductance_is_captums_layer_conductance(
    case: Case, start: BaselineName, score: ScoreName
) -> None:
    theirs = LayerConductance(case.scored(score), case.module).attribute(
        case.embedded(), case.start(start), n_steps=1000, method="riemann_trapezoid"
    )
    mine = case.package(
        method="conductance", score=score, baseline=case.means() if start == "mean" else {}, n_nodes=256
    )
    assert_close(mine, case.reduced(theirs), 1e-2)


@every_case
@smooth
def test_integrated_gradients_are_captums_on_the_layer(case: Case, score: ScoreName) -> None:
    """From the activations of the mean embedding, as Captum's baseline is an input."""
    start = case.start("mean")
    theirs = LayerIntegratedGradients(case.scored(score), case.module).attribute(
        case.embedded(), start, n_steps=256, method="gausslegendre"
    )
    mine = case.package(score=score, baseline=case.baseline(start), n_nodes=256)
    assert_close(mine, case.reduced(theirs), 1e-4)


@every_case
@smooth
def test_gradient_x_activation_is_captums_on_the_layer(case: Case, score: ScoreName) -> None:
    theirs = LayerGradientXActivation(case.scored(score), case.module).attribute(case.embedded())
    mine = case.package(method="gradient_x_activation", score=score, baseline={})
    assert_close(mine, case.reduced(theirs), 1e-4)


@every_case
@smooth
def test_ablation_is_captums_of_the_gates(case: Case, score: ScoreName) -> None:
    baseline = case.means()
    of_gates = case.of_gates(score, np.asarray(baseline[case.site.name]))
    theirs = FeatureAblation(of_gates).attribute(torch.ones(25, case.site.n_components))
    mine = case.package(method="ablation", score=score, baseline=baseline)
    assert_close(mine, theirs.numpy(), 1e-4)


def package_shapley(
    case: Case, score: ScoreName, baseline: dict[str, Any], sampling: Sampling | None = None
) -> Any:
    data, rng = tiny.observed(), np.random.default_rng(0)
    return shapley_values(
        case.model,
        data.inputs,
        data.labels,
        site=case.site,
        score=score,
        baseline=baseline,
        rng=rng,
        sampling=sampling,
    )


@pytest.mark.parametrize(
    ("case", "score"),
    [(CASES[1], "accuracy"), (CASES[2], "accuracy"), (CASES[2], "log_prob"), (CASES[3], "log_prob")],
    ids=lambda each: getattr(each, "name", each),
)
def test_exact_shapley_values_are_captums_over_all_orders(case: Case, score: ScoreName) -> None:
    """All 720 of 6 neurons, or 2 of 2 heads."""
    baseline = case.means()
    of_gates = case.of_gates(score, np.asarray(baseline[case.site.name]))
    theirs = ShapleyValues(of_gates).attribute(torch.ones(25, case.site.n_components))
    assert_close(package_shapley(case, score, baseline).values, theirs.numpy(), 1e-4)


def test_sampled_shapley_values_agree_with_captums_within_their_errors() -> None:
    """Captum pairs no orders: its error is that of as many of ours without pairs."""
    case, n = Case("mlp-wide", tiny.made(WIDE)), 400
    baseline = case.means()
    of_gates = case.of_gates("log_prob", np.asarray(baseline[case.site.name]))
    torch.manual_seed(0)
    theirs = ShapleyValueSampling(of_gates).attribute(torch.ones(25, 13), n_samples=n).numpy()
    mine = package_shapley(case, "log_prob", baseline, Sampling(n_permutations=n))
    unpaired = Sampling(n_permutations=n, antithetic=False)
    their_errors = package_shapley(case, "log_prob", baseline, unpaired).standard_errors
    error = np.hypot(mine.standard_errors, their_errors)
    assert (np.abs(mine.values - theirs) < 5 * error + 1e-5).all()
    assert np.abs(theirs).mean() > 5 * error.mean()
