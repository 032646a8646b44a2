"""The stored summary of Shapley values against the values themselves."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import undergrowth as ug
from tests import tiny
from undergrowth.gating import Sampling, baselines, shapley_values, site_of
from undergrowth.gating.scores import ScoreName
from undergrowth.gating.shapley_values import ShapleyValues
from undergrowth.measures import Reading, Shapley
from undergrowth.models import Model, TwoTokenMLPSpec

WIDE = TwoTokenMLPSpec(d_embed=4, d_mlp=13, bias=True)
SAMPLING = Sampling(n_permutations=4)


def readings_of(model: Model, seed: int = 0, **fields: Any) -> dict[str, Reading]:
    measure = Shapley(sampling=SAMPLING, **fields)
    return dict(measure.observe(model, tiny.observed(), tiny.context(tiny.mlp(), seed)))


def values_of(model: Model, score: ScoreName = "accuracy") -> ShapleyValues:
    """Of all examples, training side first, as the measure goes through them when it takes all."""
    data = tiny.observed()
    order = np.concatenate([np.flatnonzero(side) for side in data.sides()])
    rng = np.random.default_rng(0)
    for side in data.sides():
        rng.choice(np.flatnonzero(side), side.sum(), replace=False)
    return shapley_values(
        model,
        data.inputs[order],
        data.labels[order],
        site=site_of(model, "neuron"),
        score=score,
        baseline=baselines(model, data.train_inputs(), "mean"),
        rng=rng,
        sampling=SAMPLING,
    )


@pytest.mark.parametrize("model", [tiny.mlp(), tiny.made(WIDE)], ids=["exact", "sampled"])
def test_the_summary_is_of_the_values_of_each_side(model: Model) -> None:
    found, readings = values_of(model), readings_of(model, n_examples=15)
    for i, side in enumerate((slice(0, 15), slice(15, 25))):
        values, errors = (np.asarray(a[side], np.float64) for a in found)
        error = np.sqrt(sum(e**2 for e in errors)) / len(errors)
        noise = np.sqrt(sum(e**2 for e in errors) / len(errors))
        median = np.array([np.median(column) for column in values.T])
        for name, expected in (
            ("mean", values.mean(axis=0)),
            ("median", median),
            ("standard_error", error),
            ("example_error", noise),
        ):
            reading = readings[f"shapley_{name}"]
            np.testing.assert_allclose(reading.values[i], expected, atol=1e-6)
            assert reading.dims == ("side", "neuron")
            assert reading.coords == {"side": ("train", "val")}
    assert readings["shapley_residual"].values < 1e-4
    is_exact = site_of(model, "neuron").n_components == 6
    assert (readings["shapley_standard_error"].values.max() == 0) == is_exact


def test_the_mean_values_of_accuracy_add_up_to_the_accuracy() -> None:
    data, model = tiny.observed(), tiny.mlp()
    means = readings_of(model, n_examples=15, baseline="zero")["shapley_mean"].values
    for mean, side in zip(means, data.sides(), strict=True):
        logits = np.asarray(tiny.forward(model, data.inputs))[side]
        accuracy = (logits.argmax(axis=1) == np.asarray(data.labels)[side]).mean()
        assert mean.sum() == pytest.approx(accuracy, abs=1e-5)  # with no neuron all logits are 0: a tie


def test_examples_are_drawn_by_the_chance_of_the_step() -> None:
    def means(seed: int) -> np.ndarray:
        return readings_of(tiny.mlp(), seed, n_examples=3)["shapley_mean"].values

    assert (means(0) == means(0)).all()
    assert (means(0) != means(1)).any()


def test_what_truncation_leaves_out_shows_in_the_residual() -> None:
    cut = Sampling(n_permutations=4, tolerance=0.05)
    measure = Shapley(sampling=cut, score="log_prob", n_examples=15)
    readings = measure.observe(tiny.made(WIDE), tiny.observed(), tiny.context(tiny.mlp()))
    largest = np.abs(values_of(tiny.made(WIDE), "log_prob").values.sum(axis=1)).max()
    assert 0.01 < readings["shapley_residual"].values * largest <= 0.05 + 1e-5


def test_the_python_of_the_page_gives_values_and_errors_of_each_example() -> None:
    page = (Path(__file__).parents[3] / "docs" / "measures.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = next(block for block in blocks if "shapley_values(" in block)
    run = SimpleNamespace(model=tiny.transformer, spec=tiny.spec(model=tiny.TRANSFORMER.model_dump()))
    names: dict[str, Any] = {"run": run, "ug": ug, "np": np}
    exec(code, names)
    assert names["saliency"].shape == names["found"].values.shape == (25, 6)
