"""Runs beside one another are told apart, by their names or by what differs, and by no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests import tiny
from undergrowth.naming import arms_told_apart, runs_told_apart
from undergrowth.training.interventions import AtStep, Intervention, ScaleLearningRate

BASE = tiny.spec()


def test_one_run_is_called_what_it_is() -> None:
    assert runs_told_apart([BASE]) == {BASE.id: "x+y mod 5, seed 0"}
    assert arms_told_apart([BASE]) == {BASE.id: "x+y mod 5"}


def test_seeds_of_an_arm_share_its_name() -> None:
    seeds = [BASE.seeded(seed) for seed in range(3)]
    assert set(arms_told_apart(seeds).values()) == {"x+y mod 5"}
    assert list(runs_told_apart(seeds).values()) == [f"x+y mod 5, seed {seed}" for seed in range(3)]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"steps": 40}, ("steps=30", "steps=40")),
        ({"optimiser": {"name": "adamw", "lr": 0.5, "weight_decay": 0.1}}, ("lr=0.01", "lr=0.5")),
        ({"optimiser": {"name": "sgd", "lr": 0.5}}, ("(adamw", "sgd lr=0.5")),
        ({"measures": [*BASE.measures, {"name": "kernel"}]}, ("measures=[]", "measures=[(kernel)]")),
        (
            {"split": {"name": "commutation_safe", "frac_train": 0.8}},
            ("frac_train=0.6", "frac_train=0.8"),
        ),
        ({"seeds": {"data": 7}}, ("data=0", "data=7")),
    ],
)
def test_what_differs_follows_and_nothing_else(fields: dict[str, Any], told: tuple[str, str]) -> None:
    other = BASE.replace(**fields)
    for spec, its in zip((BASE, other), told, strict=True):
        line = runs_told_apart([BASE, other])[spec.id]
        assert line.startswith("x+y mod 5, seed 0, ")
        assert its.strip("(") in line
        assert line.count(",") <= 3


def test_a_given_name_comes_first_and_may_be_given_twice() -> None:
    other = BASE.replace(steps=40)
    names = {BASE.id: ["trunk"], other.id: ["trunk"]}
    assert list(arms_told_apart([BASE, other], names).values()) == ["trunk, steps=30", "trunk, steps=40"]
    assert runs_told_apart([BASE, other], {other.id: ["long", "slow"]}) == {
        BASE.id: "x+y mod 5, seed 0",
        other.id: "long, slow: x+y mod 5, seed 0",
    }


def test_any_runs_have_lines_of_their_own() -> None:
    boost = Intervention(trigger=AtStep(step=20), action=ScaleLearningRate(factor=2))
    long = BASE.replace(steps=40)
    specs = [
        *(each.seeded(seed) for each in (BASE, long) for seed in (0, 1)),
        *(each.forked(AtStep(step=10), boost, steps=50) for each in (BASE, long)),
        BASE.replace(labels="shuffled"),
        BASE.replace(steps=41),
    ]
    lines = runs_told_apart(specs)
    assert len(set(lines.values())) == len({spec.id for spec in specs})
