"""Whatever public value is made of wrong fields, one line says so; in a spec with its whole place."""

from __future__ import annotations

from typing import Any

import pytest

import undergrowth as ug
from undergrowth.spec import RunSpec, SpecError
from undergrowth.values import Value

NAMES: dict[str, Any] = {name: getattr(ug, name) for name in ug.__all__}
KINDS: list[Any] = [
    kind
    for kind in (getattr(ug, name) for name in ug.__all__)
    if isinstance(kind, type) and issubclass(kind, Value)
]


def test_there_are_many_kinds() -> None:
    assert len(KINDS) > 60


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_field_is_one_line(kind: Any) -> None:
    with pytest.raises(SpecError) as wrong:
        kind(colour="red")
    assert str(wrong.value)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ug.Modular(p=24, operation="x/y"), "p = 24 is not prime"),
        (lambda: ug.AdamW(lr=-1), "lr = -1: input should be greater than 0"),
        (lambda: ug.Schedule(every=0, until=1, per_decade=1), "every = 0"),
        (lambda: ug.AtStep(), "'step' is missing"),
        (lambda: ug.RunSpec(task={"operation": "x/y", "p": 12}), "task: "),
        (lambda: ug.RunSpec(optimiser={"lr": -1}), "optimiser.lr = -1"),
    ],
)
def test_a_wrong_value_is_told_where_it_stands(make: Any, says: str) -> None:
    with pytest.raises(SpecError) as wrong:
        make()
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_value_of_ones_own_inside_a_spec_is_still_that_value() -> None:
    modular = ug.Modular(p=7)
    assert RunSpec(task=modular).task == modular
    assert RunSpec.from_dict({"task": {"name": "modular", "p": 7}}).task == modular


def example(kind: Any) -> Any:
    """A value of a kind by its defaults; None where it has no default for some field."""
    try:
        return kind()
    except SpecError:
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_prints_the_expression_that_makes_it(kind: Any) -> None:
    value = example(kind)
    if value is not None:
        assert eval(repr(value), NAMES) == value
        assert "\n" not in repr(value)


def test_what_is_printed_is_what_differs_from_the_defaults() -> None:
    spec = ug.RunSpec(task=ug.Modular(p=7), optimiser=ug.SGD(lr=0.5), steps=9)
    assert repr(spec) == "RunSpec(task=Modular(p=7), optimiser=SGD(lr=0.5), steps=9)"
    assert eval(repr(spec), NAMES) == spec


OTHER = ug.RunSpec(
    optimiser=ug.SGD(lr=0.5),
    measures=(ug.Curves(), ug.Norms(), ug.Saliency(n_nodes=3)),
    fork=ug.Fork(of="0123456789abcdef", at=ug.AtStep(step=30)),
)


def test_a_difference_names_fields_as_spec_files_do_and_what_each_has() -> None:
    spec = ug.RunSpec()
    assert spec.diff(spec) == {}
    assert spec.diff(spec.replace(task=ug.Modular(p=7), steps=9)) == {
        "task.p": (53, 7),
        "steps": (1400, 9),
    }
    found = spec.diff(OTHER)
    assert found == {
        "optimiser.name": ("adamw", "sgd"),
        "optimiser.lr": (0.002, 0.5),
        "optimiser.weight_decay": (2.0, 0.0),
        "measures.2.name": (None, "saliency"),
        "measures.2.n_nodes": (None, 3),
        "fork.of": (None, "0123456789abcdef"),
        "fork.at.name": (None, "at_step"),
        "fork.at.step": (None, 30),
    }
    assert OTHER.diff(spec) == {name: (its, mine) for name, (mine, its) in found.items()}


def test_only_equal_specs_do_not_differ() -> None:
    for kind in KINDS:
        value = example(kind)
        assert value is None or value.diff(example(kind)) == {}
    tasks = [ug.Modular(), ug.Modular(p=7), ug.SparseParity(), ug.Group()]
    for one in tasks:
        for another in tasks:
            assert (one.diff(another) == {}) == (one == another)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda s: s.seeded(1.5), "model = 1.5: input should be a valid integer"),
        (lambda s: s.seeded(-1), "model = -1"),
        (lambda s: s.replace(stepz=3), "stepz = 3: unknown key 'stepz'; did you mean 'steps'?"),
        (lambda s: s.replace(optimiser={"lr": "fast"}), "optimiser.lr = 'fast'"),
        (lambda s: s.model_copy(update={"steps": "x"}), "steps = 'x': input should be a valid integer"),
        (lambda s: s.model_copy(update={"stepz": 3}), "did you mean 'steps'?"),
        (
            lambda s: setattr(s, "steps", 3),
            "RunSpec.steps = 3: a value cannot be changed: replace(steps",
        ),
        (lambda s: setattr(s.task, "p", 3), "Modular.p = 3: a value cannot be changed: model_copy"),
        (lambda s: delattr(s, "steps"), "RunSpec.steps: a value cannot be changed"),
        (lambda s: ug.AdamW.model_validate({"lr": "x"}), "lr = 'x': input should be a valid number"),
        (lambda s: ug.RunSpec.model_validate_json('{"steps": 0}'), "steps = 0"),
        (lambda s: ug.RunSpec.model_validate_json("{"), "invalid JSON"),
        (lambda s: ug.RunSpec({"steps": 3}), "fields are given by name"),
        (lambda s: ug.RunSpec(task=ug.AdamW()), "task.name = 'adamw': unknown name"),
        (
            lambda s: ug.RunSpec(measures=["saliency"]),
            "measures.0 = 'saliency': input should be a table",
        ),
        (lambda s: s.forked(3), "at = 3: input should be a table"),
        (lambda s: s.forked(ug.AtStep(step=3), 5), "interventions.0 = 5: input should be a table"),
        (lambda s: ug.RunSpec.from_toml("[optimiser]\nlr = -1"), "optimiser.lr = -1"),
        (
            lambda s: NAMES["train"]([s, {"steps": 3}], "nowhere"),
            "{'steps': 3} is no run: give a RunSpec",
        ),
    ],
)
def test_whatever_makes_a_wrong_value_one_line_says_so(make: Any, says: str) -> None:
    with pytest.raises(SpecError) as wrong:
        make(ug.RunSpec())
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_notebook_shows_a_value_escaped_and_in_its_own_colours() -> None:
    table = ug.Table(csv="x,y,label\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", title="<b>xor</b>")
    shown = ug.RunSpec(task=table)._repr_html_()
    assert "&lt;b&gt;xor&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "#" not in shown
    assert "rgb" not in shown
