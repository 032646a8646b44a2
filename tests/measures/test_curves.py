"""Loss and accuracy of each side, whatever is computed at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests import brute_force, tiny
from undergrowth.measures import Curves, Observed
from undergrowth.models import Transformer, load_state_dict, micro_batches, state_dict


def curves_of(model: Transformer, data: Observed) -> dict[str, float]:
    readings = Curves().observe(model, data, tiny.context(model))
    assert all(reading.dims == () for reading in readings.values())
    return {name: float(reading.values) for name, reading in readings.items()}


def test_curves_are_means_over_each_side(transformer: Transformer, observed: Observed) -> None:
    labels = np.asarray(observed.labels)
    logits = brute_force.transformer(state_dict(transformer), np.asarray(observed.inputs))
    losses = -brute_force.score("log_prob", logits, labels)
    correct = logits.argmax(axis=1) == labels
    found = curves_of(transformer, observed)
    assert set(found) == {"train_loss", "val_loss", "train_accuracy", "val_accuracy"}
    for side, mask in zip(("train", "val"), observed.sides(), strict=True):
        np.testing.assert_allclose(found[f"{side}_loss"], losses[mask].mean(), rtol=1e-5)
        np.testing.assert_allclose(found[f"{side}_accuracy"], correct[mask].mean(), rtol=1e-6)
    assert 0 < correct.mean() < 1


@pytest.mark.parametrize("room", [6 * 4, 6 * 24, 6 * 25])
def test_curves_do_not_depend_on_how_many_examples_there_is_room_for(
    transformer: Transformer, observed: Observed, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    whole = curves_of(transformer, observed)
    monkeypatch.setattr(micro_batches, "ROOM", room)
    in_chunks = curves_of(transformer, observed)
    assert in_chunks == pytest.approx(whole, rel=1e-6)
    if room == 6 * 25:
        assert in_chunks == whole


def test_a_loss_that_float32_would_round_to_zero_is_still_told() -> None:
    model, data = tiny.transformer(), tiny.observed()
    arrays = state_dict(model)
    # Logits that grow without bound for every label alike but one: certain, and right on one class.
    arrays["unembed.W_U"] = np.zeros_like(arrays["unembed.W_U"])
    arrays["unembed.W_U"][0, 2] = 1.0
    arrays["blocks.0.mlp.W_out"] = np.zeros_like(arrays["blocks.0.mlp.W_out"])
    arrays["blocks.0.attn.W_O"] = np.zeros_like(arrays["blocks.0.attn.W_O"])
    arrays["blocks.0.mlp.b_out"] = np.zeros_like(arrays["blocks.0.mlp.b_out"])
    resid = arrays["embed.W_E"][-1, 0] + arrays["pos_embed.W_pos"][2, 0]
    arrays["blocks.0.mlp.b_out"][0] = 60 - resid
    certain = load_state_dict(model, arrays)
    twos = replace(data, labels=tiny.on_device(np.full(25, 2)))
    loss = curves_of(certain, twos)["train_loss"]
    np.testing.assert_allclose(loss, 4 * np.exp(-60.0), rtol=1e-4)
