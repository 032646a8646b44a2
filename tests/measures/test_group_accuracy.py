"""Accuracy by group against counting one example at a time."""

from __future__ import annotations

import numpy as np
import pytest

from tests import tiny
from undergrowth.measures import GroupAccuracy, Observed
from undergrowth.models import MLPSpec, state_dict
from undergrowth.rng import stream
from undergrowth.spec import SpecError
from undergrowth.tasks import LeakyRandom, MultitaskParity, WholeGroups, make_data

TASK = MultitaskParity(n_tasks=3, n_bits=6, n_examples=60)
SPLIT = LeakyRandom(frac_train=0.6)
SPEC = MLPSpec(d_mlp=6, n_hidden=1)


def test_of_each_group_the_share_that_is_right_on_each_side() -> None:
    model = SPEC.init(TASK.input_space, 2, stream(3, "init"))
    data = make_data(TASK, SPLIT, "true", 0)
    at = tiny.context(model, 0, task=TASK, split=SPLIT, model=SPEC)
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


def test_a_group_without_an_example_on_a_side_has_no_accuracy_there() -> None:
    model, split = SPEC.init(TASK.input_space, 2, stream(3, "init")), WholeGroups(frac_train=0.6)
    data = make_data(TASK, split, "true", 0)
    before = {name: array.copy() for name, array in state_dict(model).items()}
    at = tiny.context(model, 0, task=TASK, split=split, model=SPEC)
    found = GroupAccuracy().observe(model, Observed.of(data), at)
    for side, mask in (("train", data.is_train), ("val", data.is_val)):
        there = np.isin(np.arange(3), TASK.groups()[mask])
        values = found[f"group_accuracy_{side}"].values
        assert 0 < there.sum() < 3
        assert (np.isfinite(values) == there).all()
    again = GroupAccuracy().observe(model, Observed.of(data), at)
    for name, reading in found.items():
        np.testing.assert_array_equal(again[name].values, reading.values)
    assert all((array == before[name]).all() for name, array in state_dict(model).items())


def test_a_task_without_groups_is_refused() -> None:
    with pytest.raises(SpecError, match=r"x\+y mod 5 has no groups of examples: use a task that has"):
        tiny.spec(measures=[{"name": "curves"}, {"name": "group_accuracy"}])
