"""Laws of every task, whatever its inputs."""

from __future__ import annotations

import json
import tomllib
from typing import get_args

import numpy as np
import pytest
import tomli_w
from pydantic import TypeAdapter

from undergrowth.spec_errors import SpecError
from undergrowth.tasks import (
    AnySplit,
    AnyTask,
    BooleanFunction,
    Characters,
    CommutationSafe,
    Digits,
    Features,
    FeatureTable,
    Gridworld,
    Group,
    LeakyRandom,
    Modular,
    MultitaskParity,
    Operation,
    SparseParity,
    Table,
    Task,
    Tokens,
    WholeGroups,
    make_data,
)

TASKS: tuple[Task, ...] = (
    Modular(operation="x/y", p=13),
    Modular(operation="x^3+xy^2+y", p=12),
    Group(group="C2xC4"),
    Group(group="A4", operation="xyx^-1"),
    SparseParity(n_bits=5, k=2),
    SparseParity(n_examples=300),
    MultitaskParity(n_tasks=3, n_bits=6, n_examples=60),
    BooleanFunction(),
    BooleanFunction(n_bits=2, outputs="0001"),
    Digits(),
    Characters(n_characters=1000),
    Gridworld(side=3),
    Gridworld(side=2, start="far_corner", reward="shaped"),
    Table.of([[0, 3], [-1, 1]], title="made up"),
    FeatureTable.of([[0.1, -2e7], [1.5, 0.0], [1e-30, 3.0]], [2, 0, 2]),
)
SHOWN = {
    "x/y mod 13",
    "x^3+xy^2+y mod 12",
    "xy in C2xC4",
    "xyx^-1 in A4",
    "parity of 2 of 5 bits",
    "parity of 3 of 40 bits",
    "3 parities of 2 of 6 bits",
    "or of 2 ands of 2 of 7 bits",
    "a function of 2 bits",
    "8x8 digits",
    "the character after 5 of prose",
    "3x3 gridworld",
    "2x2 gridworld from the far corner, shaped reward",
    "made up",
    "feature table",
}
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.describe())


def test_every_kind_of_task_is_here() -> None:
    assert {type(task) for task in TASKS} == set(get_args(get_args(AnyTask)[0]))


def test_tasks_describe_themselves() -> None:
    assert {task.describe() for task in TASKS} == SHOWN


@every_task
def test_inputs_are_what_the_input_space_says(task: Task) -> None:
    inputs, space = task.examples().inputs, task.input_space
    if isinstance(space, Tokens):
        assert inputs.dtype == np.int32
        assert inputs.shape == (len(task.examples()), 2)
        assert inputs.min() >= 0
        assert inputs.max() == space.n_operands - 1
    else:
        assert isinstance(space, Features)
        assert inputs.dtype == np.float32
        assert inputs.shape == (len(task.examples()), space.n_features)
        assert np.isfinite(inputs).all()


@every_task
def test_labels_are_in_range_and_more_than_one(task: Task) -> None:
    labels = task.examples().labels
    assert labels.dtype == np.int32
    assert labels.shape == (len(task.examples()),)
    assert 0 <= labels.min() < labels.max() <= task.n_labels - 1


@every_task
def test_no_input_comes_twice(task: Task) -> None:
    inputs = task.examples().inputs
    assert len(np.unique(inputs, axis=0)) == len(inputs)


@every_task
def test_an_equal_task_has_the_same_examples_in_the_same_order(task: Task) -> None:
    one, again = task.examples(), type(task).model_validate(task.model_dump()).examples()
    assert (one.inputs == again.inputs).all()
    assert (one.labels == again.labels).all()


@every_task
def test_a_task_survives_toml_and_json(task: Task) -> None:
    fields = task.model_dump(mode="json")
    read = TypeAdapter(AnyTask).validate_python
    assert read(tomllib.loads(tomli_w.dumps(fields))) == task
    assert read(json.loads(json.dumps(fields))) == task


@every_task
def test_an_operations_table_holds_its_examples_and_nothing_else(task: Task) -> None:
    if not isinstance(task, Operation):
        return
    table, examples = task.table(), task.examples()
    assert table.dtype == np.int32
    assert table.shape == (task.n_operands, task.n_operands)
    assert (table[examples.inputs[:, 0], examples.inputs[:, 1]] == examples.labels).all()
    assert (table >= 0).sum() == len(examples)


@every_task
@pytest.mark.parametrize(
    "split", [kind(frac_train=0.5) for kind in (CommutationSafe, LeakyRandom, WholeGroups)]
)
def test_every_task_can_be_split(task: Task, split: AnySplit) -> None:
    data = make_data(task, split, "true", 0)
    assert (data.inputs == task.examples().inputs).all()
    assert (data.labels == task.examples().labels).all()
    assert 0 < data.n_train < len(data.labels)


@every_task
def test_whole_groups_are_on_one_side(task: Task) -> None:
    data, groups = make_data(task, WholeGroups(frac_train=0.5), "true", 0), task.groups()
    assert groups.shape == data.labels.shape
    assert not set(groups[data.is_train]) & set(groups[data.is_val])


@every_task
def test_unknown_fields_are_refused(task: Task) -> None:
    with pytest.raises(SpecError, match="colour"):
        type(task).model_validate({**task.model_dump(), "colour": "green"})
