"""Which runs a worker is handed, and which take the place of those that have ended."""

from __future__ import annotations

from tests import tiny
from undergrowth.spec import RunSpec
from undergrowth.sweep.waiting import Handed, Waiting
from undergrowth.training.interventions import AtStep

NARROW = [tiny.spec().seeded(seed) for seed in range(5)]
WIDE = [tiny.spec(model={**tiny.MLP.model_dump(), "d_mlp": 7}).seeded(seed) for seed in range(3)]


def anything(spec: RunSpec) -> bool:
    return True


def taken(waiting: Waiting) -> Handed:
    handed = waiting.take(anything)
    assert handed is not None
    return handed


def test_without_packs_runs_go_out_one_by_one_in_their_order_whatever_their_shape() -> None:
    mixed = [NARROW[0], WIDE[0], NARROW[1], WIDE[1]]
    waiting = Waiting(mixed, 1)
    assert len(waiting) == 4
    handed = [taken(waiting) for _ in mixed]
    assert [each.runs for each in handed] == [[spec] for spec in mixed]
    assert {(each.pack, each.shape) for each in handed} == {(1, None)}
    assert waiting.take(anything) is None
    assert len(waiting) == 0


def test_a_pack_is_of_one_shape_and_is_filled_up_with_others_of_it() -> None:
    waiting = Waiting([NARROW[0], WIDE[0], *NARROW[1:], *WIDE[1:]], 2)
    assert len(waiting) == 3 + 2  # workers that could be busy
    narrow = taken(waiting)
    assert narrow.runs == NARROW[:2]
    assert waiting.more(narrow.shape, 1, anything) == NARROW[2:3]
    assert taken(waiting).runs == NARROW[3:]
    wide = taken(waiting)
    assert wide.runs == WIDE[:2]
    assert waiting.more(narrow.shape, 2, anything) == []
    assert waiting.more(wide.shape, 2, anything) == WIDE[2:]


def test_no_more_come_than_were_asked_for_or_are_there_and_none_twice() -> None:
    waiting = Waiting(NARROW, 3)
    handed = taken(waiting)
    assert (handed.runs, handed.pack) == (NARROW[:3], 3)
    assert waiting.more(handed.shape, 1, anything) == NARROW[3:4]
    assert waiting.more(handed.shape, 9, anything) == NARROW[4:]
    assert waiting.more(handed.shape, 9, anything) == []


def test_steps_and_rates_of_their_own_split_no_pack() -> None:
    optimiser = {"name": "adamw", "lr": 0.5, "weight_decay": 0.0}
    specs = [
        tiny.spec(),
        tiny.spec(steps=70),
        tiny.spec(optimiser=optimiser),
        tiny.spec(temperature=2.0),
    ]
    assert taken(Waiting(specs, 8)).runs == specs


def test_a_fork_waits_for_its_trunk_and_then_joins_its_parent() -> None:
    trunk = NARROW[0]
    arm = trunk.forked(AtStep(step=10))
    grown: set[str] = set()

    def can_begin(spec: RunSpec) -> bool:
        return spec.fork is None or spec.fork.of in grown

    waiting = Waiting([arm, trunk], 4)
    handed = waiting.take(can_begin)
    assert handed is not None
    assert (handed.runs, handed.pack) == ([trunk], 2)
    assert waiting.more(handed.shape, 1, can_begin) == []
    assert waiting.take(can_begin) is None
    grown.add(trunk.id)
    assert waiting.more(handed.shape, 1, can_begin) == [arm]


def test_what_a_worker_died_of_goes_out_again_in_halves_which_none_join() -> None:
    waiting = Waiting(NARROW, 5)
    died = taken(waiting).runs
    waiting.put_back(died)
    first, second = taken(waiting), taken(waiting)
    assert (first.runs, second.runs) == (NARROW[:3], NARROW[3:])
    assert {each.shape for each in (first, second)} == {None}
    assert [each.pack for each in (first, second)] == [3, 2]
    waiting.put_back(second.runs[:1])
    assert taken(waiting).runs == NARROW[3:4]
    waiting.put_back([])
    assert waiting.take(anything) is None
