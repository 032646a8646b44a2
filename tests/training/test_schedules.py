from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from undergrowth.training.schedules import Schedule

SCHEDULES = st.builds(
    Schedule, every=st.integers(1, 50), until=st.integers(1, 300), per_decade=st.integers(1, 80)
)
LAST = st.integers(0, 5000)


@given(schedule=SCHEDULES, last=LAST)
def test_the_untrained_model_and_the_last_step_are_always_observed(
    schedule: Schedule, last: int
) -> None:
    steps = schedule.steps(last)
    assert steps[0] == 0
    assert steps[-1] == last


@given(schedule=SCHEDULES, last=LAST)
def test_steps_ascend_strictly_and_are_the_same_each_time(schedule: Schedule, last: int) -> None:
    steps = schedule.steps(last)
    assert all(a < b for a, b in pairwise(steps))
    assert steps == Schedule.model_validate(schedule.model_dump()).steps(last)


@given(schedule=SCHEDULES, last=LAST)
def test_early_steps_are_evenly_spaced(schedule: Schedule, last: int) -> None:
    early = set(range(0, min(schedule.until, last) + 1, schedule.every))
    assert early <= set(schedule.steps(last))


@given(schedule=SCHEDULES, last=LAST)
def test_later_steps_are_spaced_by_the_ratio(schedule: Schedule, last: int) -> None:
    later = [step for step in schedule.steps(last) if step >= schedule.until]
    ratio = 10 ** (1 / schedule.per_decade)
    assert all(b <= a * ratio + 2 for a, b in pairwise(later))
    assert len(later) <= 2 + schedule.per_decade * 4


def test_more_steps_only_add_steps() -> None:
    shorter, longer = Schedule().steps(1000), Schedule().steps(3000)
    assert set(shorter) <= {*longer, 1000}
