"""Accuracy by group against counting one example at a time."""

from __future__ import annotations

import numpy as np

from tests import brute_force, tiny
from undergrowth.measures import GroupAccuracy, Observed
from undergrowth.models import MLPSpec, Transformer, state_dict
from undergrowth.rng import stream
from undergrowth.tasks import LeakyRandom, MultitaskParity, make_data

TASK = MultitaskParity(n_tasks=3, n_bits=6, n_examples=60)
SPLIT = LeakyRandom(frac_train=0.6)


def test_of_each_group_the_share_that_is_right_on_each_side() -> None:
    model = MLPSpec(d_mlp=6, n_hidden=1).init(TASK.input_space, 2, stream(3, "init"))
    data = make_data(TASK, SPLIT, "true", 0)
    at = tiny.context(model, 0, task=TASK, split=SPLIT, model=MLPSpec(d_mlp=6, n_hidden=1))
    found = GroupAccuracy().observe(model, Observed.of(data), at)
    arrays = {name: array.astype(np.float64) for name, array in state_dict(model).items()}
    right: dict[tuple[str, int], list[bool]] = {}
    for inputs, label, trained, group in zip(
        data.inputs, data.labels, data.is_train, TASK.groups(), strict=True
    ):
        hidden = np.maximum(inputs @ arrays["mlp.0.W_in"] + arrays["mlp.0.b_in"], 0)
        logits = hidden @ arrays["unembed.W_U"] + arrays["unembed.b_U"]
        right.setdefault(("train" if trained else "val", group), []).append(logits.argmax() == label)
    for side in ("train", "val"):
        reading = found[f"group_accuracy_{side}"]
        assert reading.dims == ("group",)
        by_hand = [np.mean(right[side, group]) for group in range(3)]
        np.testing.assert_allclose(reading.values, by_hand, rtol=1e-6)
    assert len({float(value) for value in found["group_accuracy_train"].values}) > 1


def test_a_group_without_an_example_on_a_side_has_no_accuracy_there(
    transformer: Transformer, observed: Observed
) -> None:
    found = GroupAccuracy().observe(transformer, observed, tiny.context(transformer))
    logits = brute_force.transformer(state_dict(transformer), np.asarray(observed.inputs))
    is_right = logits.argmax(axis=1) == np.asarray(observed.labels)
    for side, mask in (("train", observed.is_train), ("val", observed.is_val)):
        there, values = np.asarray(mask), found[f"group_accuracy_{side}"].values
        assert np.isnan(values[~there]).all()
        assert (values[there] == is_right[there]).all()
