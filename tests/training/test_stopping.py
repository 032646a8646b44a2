"""Rules that end a run early: which evaluation ends it, and what a rule refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests import tiny
from undergrowth.spec import SpecError
from undergrowth.training.interventions import History
from undergrowth.training.stopping import Stop

CURVE = [(0, 0.1), (10, 0.995), (20, 0.5), (30, 0.99), (40, 1.0), (50, 1.0)]


def at(step: int) -> History:
    return History(step, {"val_accuracy": [point for point in CURVE if point[0] <= step]})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"evaluations": 1}, [10, 30, 40, 50]),
        ({"evaluations": 2}, [40, 50]),
        ({"evaluations": 3}, [50]),
        ({"evaluations": 2, "after": 31}, [50]),
        ({"evaluations": 1, "direction": "below", "level": 0.5}, [0, 20]),
        ({"evaluations": 1, "direction": "below", "level": 0.5, "after": 1}, [20]),
        ({"evaluations": 1, "reading": "norm"}, []),
    ],
)
def test_a_rule_ends_a_run_at_an_evaluation_by_which_it_has_held_often_enough(
    rule: dict[str, Any], expected: list[int]
) -> None:
    stop = Stop(**rule)
    assert [step for step in range(60) if stop.fires(at(step))] == expected


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"reading": "norm"}, "stop.0.reading = 'norm': no measure of this run gives such a number"),
        ({"after": 30}, "stop.0.after = 30 is not before the last step, 30, so it would stop nothing"),
        ({"evaluations": 0}, "stop.0.evaluations = 0: input should be greater than or equal to 1"),
    ],
)
def test_a_rule_that_can_end_nothing_is_refused_in_one_line(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny.spec(stop=[rule])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_rule_is_part_of_what_a_run_is_and_none_leaves_the_id_what_it_was() -> None:
    plain = tiny.spec()
    assert tiny.spec(stop=[]).id == plain.id
    assert len({plain.id, tiny.spec(stop=[{}]).id, tiny.spec(stop=[{"evaluations": 3}]).id}) == 3


def test_a_reason_says_the_rule() -> None:
    assert Stop().describe() == "val_accuracy ≥ 0.99 10 times running"
    rule = Stop(reading="train_accuracy", direction="below", level=0.5, evaluations=1)
    assert rule.describe() == "train_accuracy ≤ 0.5"
