from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from undergrowth.schedules import Schedule, Window
from undergrowth.spec import RunSpec, SpecError

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


@given(schedule=SCHEDULES, last=LAST, start=st.integers(0, 4000), n=st.integers(1, 300))
def test_a_window_adds_its_steps_and_no_others(
    schedule: Schedule, last: int, start: int, n: int
) -> None:
    within = schedule.model_copy(update={"windows": (Window(start=start, stop=start + n, every=3),)})
    added = {step for step in range(start, start + n + 1, 3) if step <= last}
    assert set(within.steps(last)) == {*schedule.steps(last), *added}
    assert list(within.steps(last)) == sorted(within.steps(last))


def test_a_schedule_without_windows_is_what_it_was() -> None:
    with_a_default = {"measures": [{"name": "curves", "schedule": {"every": 5, "windows": []}}]}
    assert (
        RunSpec.from_dict(with_a_default).id
        == RunSpec.from_dict({"measures": [{"name": "curves", "schedule": {"every": 5}}]}).id
    )


def test_windows_are_written_in_toml() -> None:
    spec = RunSpec.from_toml(
        """
        [[measures]]
        name = "curves"
        schedule = { windows = [{ start = 500, stop = 600 }, { start = 700, stop = 1000, every = 30 }] }
        """
    )
    steps = spec.measures[0].schedule.steps(spec.steps)
    assert {*range(500, 601), *range(700, 1001, 30)} <= set(steps)
    assert RunSpec.from_toml(spec.to_toml()) == spec


@pytest.mark.parametrize("stop", [10, 9])
def test_a_window_that_does_not_run_forward_is_one_line(stop: int) -> None:
    window = {"start": 10, "stop": stop}
    with pytest.raises(
        SpecError, match=f"a window from 10 to {stop} is empty: set start < stop"
    ) as error:
        RunSpec.from_dict({"measures": [{"name": "curves", "schedule": {"windows": [window]}}]})
    assert "\n" not in str(error.value)
    with pytest.raises(SpecError):
        Window(**window)
