"""Muon's steps against singular value decompositions, and which parameters they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.training.optimisers.suite import GRADIENTS, HIDDEN, WEIGHTS, state_of, updated
from undergrowth.models import state_dict
from undergrowth.training.optimisers import Muon


def test_muons_step_has_the_momentums_singular_vectors_and_singular_values_near_one() -> None:
    muon = Muon(warmup_steps=0, lr=1.0, weight_decay=0.0)
    after, _ = updated(muon.skeleton(), GRADIENTS[0], state_of(muon), WEIGHTS)
    for name in HIDDEN:
        step = np.asarray(WEIGHTS[name] - after[name], np.float64)
        step /= np.sqrt(max(1, step.shape[-1] / step.shape[-2]))
        u, s, v = np.linalg.svd(GRADIENTS[0][name].astype(np.float64), full_matrices=False)
        assert (s.min(axis=-1) / s.max(axis=-1)).min() > 0.05
        inside = np.swapaxes(u, -1, -2) @ step @ np.swapaxes(v, -1, -2)
        diagonal = np.diagonal(inside, axis1=-2, axis2=-1)
        assert (diagonal > 0.65).all()
        assert (diagonal < 1.25).all()
        off = inside - diagonal[..., None] * np.eye(inside.shape[-1])
        np.testing.assert_allclose(off, 0, atol=1e-4)
        np.testing.assert_allclose(u @ inside @ v, step, atol=1e-4)  # and nothing outside of them


@pytest.mark.parametrize(
    ("made", "hidden"),
    [
        (
            tiny.transformer,
            {
                *(f"blocks.0.attn.W_{matrix}" for matrix in "QKVO"),
                "blocks.0.mlp.W_in",
                "blocks.0.mlp.W_out",
            },
        ),
        (tiny.mlp, {"mlp.W_in"}),
    ],
    ids=["transformer", "mlp"],
)
def test_muon_takes_the_hidden_matrices_of_a_model_and_adamw_the_rest(
    made: Any, hidden: set[str]
) -> None:
    model = made()
    names = set(state_dict(state_of(Muon(), model)))
    muons = {name.split(".mu.")[1] for name in names if ".muon." in name and ".mu." in name}
    adams = {name.split(".mu.")[1] for name in names if ".adamw." in name and ".mu." in name}
    assert muons == hidden
    assert adams == set(state_dict(model)) - hidden


def test_muon_treats_each_head_as_a_matrix_of_its_own() -> None:
    muon = Muon(warmup_steps=0, lr=1.0, weight_decay=0.0)
    scaled = {**GRADIENTS[0], "W_Q": GRADIENTS[0]["W_Q"] * np.array([1, 100], np.float32)[:, None, None]}
    one, _ = updated(muon.skeleton(), GRADIENTS[0], state_of(muon), WEIGHTS)
    other, _ = updated(muon.skeleton(), scaled, state_of(muon), WEIGHTS)
    np.testing.assert_allclose(one["W_Q"], other["W_Q"], atol=1e-5)
