from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from tests import tiny
from undergrowth.measures import LocalLearningCoefficient, Observed, Reading
from undergrowth.measures.training_loss import TrainingLoss, loss_and_gradient
from undergrowth.models import Model, TwoTokenMLP, load_state_dict, state_dict

SHORT: dict[str, Any] = {"n_draws": 60, "burn_in": 20, "n_chains": 3, "trace_every": 1}


def readings_of(model: Model, seed: int = 0, **fields: Any) -> dict[str, Reading]:
    measure = LocalLearningCoefficient(**{**SHORT, **fields})
    return dict(measure.observe(model, tiny.observed(), tiny.context(model, seed)))


def test_the_estimate_is_read_off_the_traces(mlp: TwoTokenMLP, observed: Observed) -> None:
    for n_beta, factor in ((None, 15 / math.log(15)), (2.0, 2.0)):
        readings = readings_of(mlp, n_beta=n_beta)
        loss, _ = loss_and_gradient(TrainingLoss.of(mlp, observed, tiny.context(mlp)), mlp)
        np.testing.assert_allclose(readings["llc_loss"].values, loss, rtol=1e-6)
        trace = readings["llc_trace"]
        assert trace.dims == ("chain", "draw")
        assert trace.coords["draw"] == tuple(range(80))
        np.testing.assert_allclose(trace.values[:, 0], loss, rtol=1e-6)  # chains begin at the weights
        above = factor * (trace.values[:, 20:].astype(np.float64) - float(loss))
        by_chain = above.mean(axis=1)
        np.testing.assert_allclose(readings["llc_chain"].values, by_chain, rtol=1e-4)
        np.testing.assert_allclose(readings["llc"].values, by_chain.mean(), rtol=1e-4)
        np.testing.assert_allclose(readings["llc_sd"].values, by_chain.std(ddof=1), rtol=1e-4)
        np.testing.assert_allclose(readings["llc_negative_share"].values, (above < 0).mean())
        drift = above[:, 30:].mean() - above[:, :30].mean()
        np.testing.assert_allclose(readings["llc_drift"].values, drift, rtol=1e-3)
        assert readings["llc_diverged_share"].values == 0


def test_a_trace_is_stored_thinned(mlp: TwoTokenMLP) -> None:
    whole, thinned = (readings_of(mlp, trace_every=every) for every in (1, 10))
    assert thinned["llc_trace"].coords["draw"] == (0, 10, 20, 30, 40, 50, 60, 70)
    np.testing.assert_array_equal(thinned["llc_trace"].values, whole["llc_trace"].values[:, ::10])
    np.testing.assert_array_equal(thinned["llc"].values, whole["llc"].values)


def test_around_a_critical_point_of_known_curvature_it_has_its_closed_form() -> None:
    """With no embedding and b_in = 1 all logits are the sums of W_U's columns, here equal.

    Where labels are equally frequent the slope is 0 there, and of the Hessian's eigenvalues four are
    6 / 5, six neurons times a probability of 1 / 5, and all others 0. The chain is an autoregression.
    """
    data, localisation, lr, n_beta = tiny.observed(), 1000.0, 2e-4, 15 / math.log(15)
    arrays = {name: np.zeros_like(array) for name, array in state_dict(tiny.mlp()).items()}
    arrays["mlp.b_in"] = np.ones(6, np.float32)
    model = load_state_dict(tiny.mlp(), arrays)
    labels = np.zeros(25, np.int32)
    labels[np.asarray(data.is_train)] = np.arange(15) % 5
    even = replace(data, labels=tiny.on_device(labels))
    measure = LocalLearningCoefficient(
        batch_size=None, lr=lr, localisation=localisation, n_chains=12, n_draws=2000, trace_every=1000
    )
    readings = measure.observe(model, even, tiny.context(model))
    np.testing.assert_allclose(readings["llc_loss"].values, math.log(5), rtol=1e-6)
    a = lr / 2 * (n_beta * 6 / 5 + localisation)
    expected = 4 * n_beta * 6 / 5 / 2 * lr / (1 - (1 - a) ** 2)
    error = float(readings["llc_sd"].values) / 12**0.5
    assert error < 0.05 * expected
    assert abs(float(readings["llc"].values) - expected) < 0.1 * expected
    assert 0.9 < readings["llc_acceptance"].values < 1


def test_a_batch_of_all_examples_or_more_is_all_of_them(mlp: TwoTokenMLP) -> None:
    whole, more, batches = (readings_of(mlp, batch_size=size) for size in (None, 15, 14))
    np.testing.assert_array_equal(whole["llc_trace"].values, more["llc_trace"].values)
    assert "llc_acceptance" in whole
    assert "llc_acceptance" not in batches


def test_chains_depend_on_chance_alone_and_leave_the_weights_alone(mlp: TwoTokenMLP) -> None:
    before = {name: array.copy() for name, array in state_dict(mlp).items()}
    one, again, other = (readings_of(mlp, seed)["llc_trace"].values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one[:, 1:] != other[:, 1:]).all()
    jax.tree.map(np.testing.assert_array_equal, state_dict(mlp), before)


def test_a_chain_that_diverges_is_said_to_have(mlp: TwoTokenMLP) -> None:
    readings = readings_of(mlp, lr=10.0, n_beta=1e6, localisation=0.0)
    assert readings["llc_diverged_share"].values == 1
    assert np.isnan(readings["llc"].values)
    assert np.isnan(readings["llc_chain"].values).all()
