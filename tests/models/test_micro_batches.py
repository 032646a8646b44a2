"""Numbers do not depend on how many examples are computed at a time, nor does what is compiled."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests import tiny
from undergrowth.gating import attribute, baselines, site_of
from undergrowth.gating.attribution import Method, logit_norms
from undergrowth.models import micro_batches
from undergrowth.models.micro_batches import micro_batched, rows_at_once, rows_that_fit


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 8])
def test_rows_come_back_in_their_order_whatever_is_computed_at_a_time(n_rows: int) -> None:
    rows, seen = np.arange(n_rows * 2.0).reshape(n_rows, 2), []

    def function(batch: jax.Array) -> dict[str, jax.Array]:
        seen.append(batch.shape)
        return {"double": 2 * batch, "sum": batch.sum(axis=1)}

    found = micro_batched(function, (rows,), at_once=4)
    assert (found["double"] == 2 * rows).all()
    assert (found["sum"] == rows.sum(axis=1)).all()
    assert set(seen) == {(min(n_rows, 4), 2)}  # one shape is compiled


def test_as_many_rows_as_keep_the_widest_site_in_a_cache() -> None:
    assert rows_at_once(tiny.mlp()) == 2**20 // 6
    assert rows_at_once(tiny.mlp(), passes=100) == 2**20 // 600
    assert rows_at_once(tiny.mlp(), passes=2**20) == 1


def test_no_more_rows_than_there_is_room_for_their_logits() -> None:
    few_neurons = tiny.made(tiny.MLP, n_operands=7, n_labels=10_000)
    assert rows_at_once(few_neurons) == rows_that_fit(few_neurons) == 2**25 // 10_000
    assert rows_at_once(few_neurons, passes=10) == 2**25 // 100_000
    assert rows_that_fit(tiny.mlp()) == 2**25 // 6


CACHES = (2**20, 4 * 8 * 16)
"""All 25 examples at a time; a few of them."""


@pytest.mark.parametrize(
    "method", ["gradient_x_activation", "integrated_gradients", "conductance", "ablation"]
)
def test_attributions_do_not_depend_on_how_many_examples_are_computed_at_a_time(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, found = tiny.transformer(), tiny.observed(), []
    for cached in CACHES:
        monkeypatch.setattr(micro_batches, "CACHED", cached)
        baseline = baselines(model, data.train_inputs(), "mean")
        site = site_of(model, "head")
        found.append(
            attribute(
                model, data.inputs, data.labels, site=site, method=method, baseline=baseline, n_nodes=4
            )
        )
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_baselines_and_norms_do_not_depend_on_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, found = tiny.transformer(), tiny.observed(), []
    signs = tiny.on_device(np.random.default_rng(0).choice([-1.0, 1.0], (25, 5)))
    for cached in CACHES:
        monkeypatch.setattr(micro_batches, "CACHED", cached)
        baseline = baselines(model, data.train_inputs(), "mean")
        site = site_of(model, "neuron")
        norms = logit_norms(model, data.inputs, site=site, baseline=baseline, signs=signs)
        found.append([np.asarray(baseline[site.name]), norms])
    for whole, in_batches in zip(*found, strict=True):
        np.testing.assert_allclose(in_batches, whole, rtol=1e-5, atol=1e-6)
