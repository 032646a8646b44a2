"""What is said without some components: step by step, set by set, and in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.gating.attribution import BaselineName, baselines, site_of
from undergrowth.measures.circuits.closing import Said, _walks, evaluate_ablated, said, side_means
from undergrowth.models import Ablated, Model, Site, state_dict


class Unread(Ablated):
    """A model that does not say how its logits depend on its neurons."""

    def readout(self, site: Site) -> None:
        return None


def sequences(seed: int = 0, n: int = 6) -> np.ndarray:
    """Sets that grow, that shrink, and that have nothing to do with the one before."""
    rng = np.random.default_rng(seed)
    grown = np.tri(n + 1, n, -1, dtype=bool)[:, rng.permutation(n)]
    return np.stack([grown, grown[::-1], rng.random(grown.shape) < 0.5])


def without(model: Model, closed: np.ndarray, baseline: BaselineName = "mean") -> Said:
    data, site = tiny.observed(), site_of(model, "neuron")
    stand_in = baselines(model, data.train_inputs(), baseline)
    return evaluate_ablated(model, data, closed, site=site, baseline=stand_in)


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_going_from_set_to_set_is_as_good_as_a_forward_pass_for_each(baseline: BaselineName) -> None:
    model = tiny.transformer()
    walked = without(model, sequences(), baseline)
    passed = without(Unread(model, {}, {}), sequences(), baseline)
    np.testing.assert_allclose(walked.accuracy, passed.accuracy)
    np.testing.assert_allclose(walked.log_prob, passed.log_prob, rtol=1e-5, atol=1e-6)
    assert np.ptp(passed.accuracy) > 0.2


def test_any_sets_are_walked_in_one_shape_so_that_they_compile_once() -> None:
    random = np.random.default_rng(0).random((3, 5, 70)) < 0.5
    zigzag = np.zeros((3, 5, 70), bool)
    zigzag[:, ::2] = True
    assert _walks(random).component.shape == _walks(zigzag).component.shape == (3, 15, 32)


def test_each_set_is_as_in_float64() -> None:
    closed, data = sequences(1), tiny.observed()
    found = without(tiny.mlp(), closed, "zero")
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    for sequence, step in np.ndindex(closed.shape[:2]):
        gates = ~closed[sequence, step]
        logits = brute_force.mlp(state_dict(tiny.mlp()), inputs, neuron_gates=gates)
        log_prob = brute_force.score("log_prob", logits, labels)
        ahead = logits[np.arange(25), labels, None] > logits
        right = ahead.sum(axis=1) == 4
        for i, side in enumerate(data.sides()):
            at = sequence, step, i
            assert found.log_prob[at] == pytest.approx(log_prob[side].mean(), rel=1e-5)
            assert found.accuracy[at] == pytest.approx(right[side].mean())


def test_equal_logits_predict_nothing() -> None:
    """Without its neurons the two-token MLP says 0 of every label."""
    everything = np.ones((1, 1, 6), bool)
    for model in (tiny.mlp(), Unread(tiny.mlp(), {}, {})):
        nothing = without(model, everything, "zero")
        assert (nothing.accuracy == 0).all()
        np.testing.assert_allclose(nothing.log_prob, -np.log(5), rtol=1e-6)


def test_log_probabilities_keep_their_precision_near_certainty() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 5, 30), rng.normal(size=(30, 5)).astype(np.float32)
    logits[np.arange(30), labels] += np.linspace(-60, 60, 30, dtype=np.float32)
    right, log_prob = said(tiny.on_device(logits.T), tiny.on_device(labels))
    exact = brute_force.score("log_prob", logits.astype(np.float64), labels)
    np.testing.assert_allclose(log_prob, exact, rtol=1e-5)
    assert (np.asarray(right) == (logits.argmax(axis=1) == labels)).all()
    assert exact.max() > -1e-20


@pytest.mark.parametrize("at_once", [1, 7, 10, 25, 100])
def test_means_do_not_depend_on_how_many_examples_are_taken_at_a_time(at_once: int) -> None:
    data = tiny.observed()
    means = side_means(lambda inputs, labels, of_side: (labels @ of_side,), data, at_once)
    labels = np.asarray(data.labels)
    np.testing.assert_allclose(means[0], [labels[side].mean() for side in data.sides()], rtol=1e-6)
