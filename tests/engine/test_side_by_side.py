"""Runs side by side, each by its own steps: each is what it is alone, up to rounding, whichever slot it
takes and whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_laws import ACTIONS, ONE_MEASURE, WAYS
from tests.engine.test_loop import assert_same_up_to_rounding, at, bits, facts, snapshots, update_losses
from undergrowth.engine import Beginning, shape_key, side_by_side, stacks
from undergrowth.engine.facts import Advanced, Diverged, Fact, Fired, Over, Stopped
from undergrowth.measures import Curves
from undergrowth.spec import RunSpec
from undergrowth.training.interventions import AtStep

RULE = {"reading": "train_loss", "direction": "below", "level": 100.0, "evaluations": 3}
"""Fires at the third evaluation that it looks at: step 20."""


def of(way: str, **fields: Any) -> RunSpec:
    return tiny.spec(**{"measures": ONE_MEASURE, **WAYS[way], **fields})


def trained(runs: Sequence[Beginning], width: int) -> list[list[Fact]]:
    """What comes of each run, in slots of which there are fewer than runs."""
    waiting, found = list(runs), {run: [] for run in runs}

    def more(n: int) -> list[Beginning]:
        taken = waiting[:n]
        del waiting[:n]
        return taken

    for run, fact in side_by_side(more, width):
        found[run].append(fact)
    assert all(isinstance(its[-1], Over) for its in found.values())
    for its in found.values():
        assert not any(isinstance(fact, Over) for fact in its[:-1])
    return [found[run] for run in runs]


def assert_as_alone(run: Beginning, found: Sequence[Fact]) -> None:
    assert_same_up_to_rounding(found[:-1], facts(run.spec, run.start))


def with_a_rate_of_its_own(spec: RunSpec, factor: float) -> RunSpec:
    return spec.replace(optimiser={**dict(spec.optimiser), "lr": spec.optimiser.lr * factor})


KEPT = {"batch": {"name": "mini", "batch_size": 4, "remainder": "kept"}, "noise": {"update": 0.5}}
OTHERS: dict[str, Any] = {
    **{way: fields for way, fields in WAYS.items() if "residual_dropout" not in str(fields)},
    "adam-mini-kept-update-noise": {"optimiser": {"name": "adam", "lr": 0.01}, **KEPT},
}
"""All but one, whose two layers with their dropout take a minute to compile."""


@pytest.mark.parametrize(
    "way", list(OTHERS)[::2]
)  # each is compiled twice; packs of all are in test_laws
def test_every_way_of_training_with_steps_rates_and_interventions_of_each_runs_own(way: str) -> None:
    plain = tiny.spec(**{"measures": ONE_MEASURE, **OTHERS[way]})
    louder = at(13, {"name": "scale_learning_rate", "factor": 1.5})
    cooler = at(7, {"name": "set_temperature", "temperature": 1.2})
    runs = [
        Beginning(plain.seeded(0)),
        Beginning(with_a_rate_of_its_own(plain, 0.5).seeded(1).replace(steps=10)),
        Beginning(plain.seeded(2).replace(steps=25, interventions=[louder])),
        Beginning(plain.seeded(3).replace(stop=[RULE])),
        Beginning(plain.seeded(4).replace(steps=17, interventions=[cooler])),
    ]
    for run, found in zip(runs, trained(runs, 2), strict=True):
        assert_as_alone(run, found)


def acting(step: int, name: str) -> RunSpec:
    return of("adamw", interventions=[at(step, {"name": name, **ACTIONS[name]})])


def test_every_action_fired_in_mid_run_at_a_step_of_its_own() -> None:
    """In one pack; those that add something to the state leave for a stack of their new shape."""
    runs = [Beginning(acting(3 + i, name).seeded(i)) for i, name in enumerate(ACTIONS)]
    for i, (run, found) in enumerate(zip(runs, trained(runs, 6), strict=True)):
        assert_as_alone(run, found)
        assert [fact.step for fact in found if isinstance(fact, Fired)] == [3 + i]


@pytest.mark.parametrize("name", ["anneal", "set_batch", "clamp_norm"])
def test_runs_of_a_new_shape_are_a_stack_again(name: str) -> None:
    runs = [Beginning(acting(step, name).seeded(step)) for step in (4, 11, 4)]
    runs.insert(1, Beginning(of("adamw").seeded(9)))
    with watched() as work:
        together = trained(runs, 3)
    for run, found in zip(runs, together, strict=True):
        assert_as_alone(run, found)
    assert sum(steps for slots, steps in work.together if slots > 1) > 30  # both kinds


def test_forks_and_runs_taken_up_stand_at_other_steps_beside_those_that_begin() -> None:
    spec = of("sgd-momentum-mini")
    kept = snapshots(facts(spec))
    arm = spec.forked(AtStep(step=20), steps=45)
    runs = [
        Beginning(spec.seeded(1)),
        Beginning(arm, kept[20]),
        Beginning(spec, kept[10]),
        Beginning(spec.seeded(2).replace(steps=50)),
    ]
    for run, found in zip(runs, trained(runs, 3), strict=True):
        assert_as_alone(run, found)


def test_the_order_in_which_slots_are_filled_changes_no_more_than_rounding() -> None:
    plain = of("sgd-momentum-mini")
    runs = [Beginning(plain.seeded(i).replace(steps=n)) for i, n in enumerate((30, 5, 12, 41, 8, 20))]
    orders = [runs, runs[::-1], [runs[i] for i in (3, 0, 5, 1, 4, 2)]]
    found = [dict(zip(order, trained(order, 2), strict=True)) for order in orders]
    for run in runs:
        first, *others = (each[run][:-1] for each in found)
        for other in others:
            assert_same_up_to_rounding(first, other)


@dataclass
class Work:
    """What has been stepped: of each call of the compiled step its slots and steps, in `together`."""

    together: list[tuple[int, int]] = field(default_factory=list)

    @property
    def slots(self) -> list[int]:
        return [slots for slots, _ in self.together]

    @property
    def run_steps(self) -> int:
        return sum(slots * steps for slots, steps in self.together)


@contextmanager
def watched() -> Iterator[Work]:
    work, step = Work(), stacks.advance_together

    def noted(
        states: Any, train_sets: Any, batches: Any, starts: Any, seen: Any, n: int, **how: Any
    ) -> Any:
        work.together.append((len(starts), n))
        return step(states, train_sets, batches, starts, seen, n, **how)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stacks, "advance_together", noted)
        yield work


LENGTHS = (40, 10, 20, 10, 30, 20, 50, 10, 10, 40)


def by_hand(lengths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Ten steps at a time: (slots, steps), as long as there is more than one run."""
    waiting, left, calls = list(lengths), [0] * 0, []
    slots = width
    while waiting or left:
        while waiting and len(left) < width:
            left.append(waiting.pop(0))
        while len(left) < width and len(left) <= slots // 2:
            slots //= 2
        if slots > 1:
            calls.append((slots, 10))
        left = [steps - 10 for steps in left if steps > 10]
    return calls


def test_no_run_waits_for_a_slower_one_and_no_step_is_made_in_vain() -> None:
    """10 runs of 240 steps in 4 slots, which are full as long as there are 4 runs left."""
    plain = of("adamw")
    runs = [Beginning(plain.seeded(i).replace(steps=n)) for i, n in enumerate(LENGTHS)]
    with watched() as work:
        trained(runs, 4)
    assert work.together == by_hand(LENGTHS, 4)
    cut_beforehand = sum(max(LENGTHS[i : i + 4]) * len(LENGTHS[i : i + 4]) for i in range(0, 10, 4))
    assert (sum(LENGTHS), cut_beforehand) == (240, 440)
    assert work.run_steps <= 1.1 * sum(LENGTHS)


def test_while_runs_wait_the_step_is_one_program_however_often_a_slot_is_filled() -> None:
    plain = of("grokfast-cosine-dropout")
    runs = [Beginning(plain.seeded(i).replace(steps=10 + i)) for i in range(9)]
    compiled: Any = stacks.advance_together
    trained(runs[:3], 3)
    before = compiled._cache_size()
    with watched() as work:
        trained(runs, 3)
    assert compiled._cache_size() == before
    assert set(work.slots) == {3, 2}


def test_a_stack_gives_up_slots_by_halves_when_nobody_waits_for_them() -> None:
    plain = of("adamw")
    runs = [Beginning(plain.seeded(i).replace(steps=10 * (1 + i))) for i in range(5)]
    with watched() as work:
        found = trained(runs, 5)
    assert work.together == [(5, 10), (5, 10), (3, 10), (2, 10)]  # the last is alone from 40 on
    for run, its in zip(runs, found, strict=True):
        assert_as_alone(run, its)
        assert len(update_losses(its)) == run.spec.steps


def test_one_that_diverges_leaves_its_slot_to_the_next() -> None:
    plain = of("adamw")
    absurd = with_a_rate_of_its_own(plain, 1e32)
    runs = [Beginning(absurd), Beginning(plain.seeded(1)), Beginning(plain.seeded(2))]
    with watched() as work:
        diverged, *others = trained(runs, 2)
    assert diverged[-2] == Diverged(10)
    assert work.together == [(2, 10)] * 3
    for run, found in zip(runs[1:], others, strict=True):
        assert_as_alone(run, found)


def test_an_error_in_a_run_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    observe = Curves.observe

    def fails_for_seed_1(self: Curves, model: Any, data: Any, context: Any) -> Any:
        if context.spec.seeds.model == 1 and context.step == 10:
            raise KeyError("mlp")
        return observe(self, model, data, context)

    monkeypatch.setattr(Curves, "observe", fails_for_seed_1)
    plain = of("adamw")
    runs = [Beginning(plain.seeded(seed)) for seed in range(3)]
    first, wrong, last = trained(runs, 2)
    assert isinstance(wrong[-1], Over)
    assert (wrong[-1].step, repr(wrong[-1].error)) == (10, "KeyError('mlp')")
    for run, found in ((runs[0], first), (runs[2], last)):
        assert_as_alone(run, found)


def test_an_error_in_a_compiled_step_ends_those_that_it_steps_and_the_next_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, calls = stacks.advance_together, iter(range(100))

    def fails_once(*given: Any, **how: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("out of memory")
        return step(*given, **how)

    monkeypatch.setattr(stacks, "advance_together", fails_once)
    plain = of("adamw")
    runs = [Beginning(plain.seeded(seed)) for seed in range(4)]
    found = trained(runs, 2)
    assert [repr(its[-1].error) for its in found] == [  # type: ignore[union-attr]
        *["RuntimeError('out of memory')"] * 2,
        *["None"] * 2,
    ]
    assert_as_alone(runs[2], found[2])


def test_one_alone_is_stepped_as_ever_whatever_waits_behind_it() -> None:
    runs = [Beginning(of("adamw").seeded(seed)) for seed in range(3)]
    for run, found in zip(runs, trained(runs, 1), strict=True):
        alone = snapshots(facts(run.spec))
        assert {step: bits(s.state) for step, s in snapshots(found).items()} == {
            step: bits(s.state) for step, s in alone.items()
        }


def test_runs_of_different_shape_are_each_in_a_stack_of_their_own() -> None:
    wide = of("adamw", model={**tiny.MLP.model_dump(), "d_mlp": 7})
    runs = [
        Beginning(spec.seeded(i))
        for spec in (of("adamw"), wide, of("sgd-momentum-mini"))
        for i in (0, 1)
    ]
    with watched() as work:
        found = trained(runs, 6)
    assert set(work.slots) == {2}
    for run, its in zip(runs, found, strict=True):
        assert_as_alone(run, its)


def test_a_run_that_is_over_already_says_so_and_nothing_else() -> None:
    spec = of("adamw", stop=[RULE])
    kept = snapshots(facts(spec))
    (found,) = trained([Beginning(spec, kept[20])], 2)
    assert [type(fact) for fact in found] == [Over]
    stops = [f for its in trained([Beginning(spec)], 2) for f in its if isinstance(f, Stopped)]
    assert stops == [Stopped(20, 0)]


@pytest.mark.parametrize(
    "fields",
    [
        {
            "optimiser": {
                "name": "adamw",
                "lr": 0.5,
                "weight_decay": 3.0,
                "betas": (0.5, 0.6),
                "eps": 1e-3,
            }
        },
        {"steps": 77},
        {"temperature": 3.0},
        {"stop": [RULE]},
        {"interventions": [at(3, {"name": "ablate", **ACTIONS["ablate"]})]},
        {"measures": [*ONE_MEASURE, {"name": "norms"}]},
        {"seeds": {"model": 7, "data": 8, "noise": 9}},
        {"model": {**tiny.MLP.model_dump(), "init_scale": 0.5}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_no_part_of_the_compiled_step_splits_no_pack(fields: dict[str, Any]) -> None:
    plain = tiny.spec(optimiser={"name": "adamw"})
    spec = plain.replace(**fields)
    n_train = plain.data().n_train
    assert shape_key(spec, n_train) == shape_key(plain, n_train)
    assert hash(shape_key(spec, n_train)) == hash(shape_key(plain, n_train))
    runs = [Beginning(plain.replace(steps=10)), Beginning(spec.replace(steps=10))]
    with watched() as work:
        trained(runs, 2)
    assert work.slots[0] == 2


def test_batches_drawn_in_another_way_split_no_pack() -> None:
    ways = [{"name": "mini"}, {"name": "with_replacement"}, {"name": "blocked"}]
    runs = [Beginning(tiny.spec(batch={**way, "batch_size": 4}, steps=10)) for way in ways]
    assert len({shape_key(run.spec, 15) for run in runs}) == 1
    with watched() as work:
        found = trained(runs, 3)
    assert work.slots == [3]
    for run, its in zip(runs, found, strict=True):
        assert_as_alone(run, its)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimiser": {"name": "sgd"}},
        {"optimiser": {"name": "adamw", "warmup_steps": 3}},
        {"loss": "mse"},
        {"noise": {"gradient": 0.1}},
        {"precision": "bf16"},
        {"batch": {"name": "mini", "batch_size": 4}},
        {"model": {**tiny.MLP.model_dump(), "d_mlp": 7}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_the_step_is_compiled_for_does(fields: dict[str, Any]) -> None:
    plain = tiny.spec(optimiser={"name": "adamw"})
    assert shape_key(plain.replace(**fields), 15) != shape_key(plain, 15)


def test_what_a_run_says_of_its_way_does_not_depend_on_its_companions() -> None:
    often = of("adamw", measures=[{"name": "curves", "schedule": {"every": 3}}])
    runs = [Beginning(of("adamw")), Beginning(often.seeded(1))]
    found, _ = trained(runs, 2)
    assert [fact.step for fact in found if isinstance(fact, Advanced)] == [0, 10, 20, 30]


def test_long_stretches_of_batches_are_those_of_each_run() -> None:
    """Over more steps than are advanced at once, beside a run that stops all the time."""
    seldom = {"every": 1000, "until": 2000, "per_decade": 1}
    mini = {"name": "mini", "batch_size": 4}
    slow = tiny.spec(batch=mini, steps=2 * 250 + 40, measures=[{"name": "curves", "schedule": seldom}])
    slow = slow.replace(checkpoints=seldom, optimiser={"name": "sgd", "lr": 1e-3})
    often = slow.replace(measures=[{"name": "curves", "schedule": {"every": 7, "until": 2000}}])
    runs = [Beginning(slow), Beginning(often.seeded(1))]
    for run, found in zip(runs, trained(runs, 2), strict=True):
        np.testing.assert_allclose(update_losses(found), update_losses(facts(run.spec)), rtol=1e-4)


def test_a_stack_is_as_wide_as_the_runs_need_and_no_wider_than_a_half_step() -> None:
    assert [stacks.Stacks(5)._slots(n) for n in (1, 2, 3, 4, 5)] == [1, 2, 3, 5, 5]
    assert [stacks.Stacks(32)._slots(n) for n in (1, 3, 9, 16, 17, 32)] == [1, 4, 16, 16, 32, 32]
