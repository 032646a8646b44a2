from __future__ import annotations

import numpy as np

from tests import brute_force, tiny
from undergrowth.measures import Observed, Predictions
from undergrowth.models import Transformer, state_dict


def test_each_example_has_its_margin_and_the_log_probability_of_its_label(
    transformer: Transformer, observed: Observed
) -> None:
    labels = np.asarray(observed.labels)
    logits = brute_force.transformer(state_dict(transformer), np.asarray(observed.inputs))
    found = Predictions().observe(transformer, observed, tiny.context(transformer))
    assert all(reading.dims == ("example",) for reading in found.values())
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    margin = logits[rows, labels] - others.max(axis=1)
    np.testing.assert_allclose(found["prediction_margin"].values, margin, atol=1e-5)
    np.testing.assert_allclose(
        found["prediction_log_prob"].values, brute_force.score("log_prob", logits, labels), rtol=1e-4
    )
    right = found["prediction_margin"].values > 0
    assert (right == (logits.argmax(axis=1) == labels)).all()
    assert 0 < right.mean() < 1
