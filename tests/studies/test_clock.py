"""The study of the clock on runs whose waits are known; every ruling can come out each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

from tests.studies.made_up import MadeUpRun
from tests.studies.planted import ruling_of, table_of, verdict_of
from undergrowth.store import Run
from undergrowth.studies.clock import (
    ADDITION,
    FIRST_ORDER,
    ORDERS,
    PARITY,
    SHUFFLED,
    STUDY,
    WHOLE,
    Reordered,
    orders,
    wait,
)

MEMORISED, EVERY, STEPS = 300, 10, 4_000
SPECS = {arm.name: arm.spec for arm in STUDY.arms("standard")}
Waits = Callable[[np.random.Generator], float]


def run(arm: str, seed: int, waited: float) -> Run:
    """A run that has memorised at step 300 and groks after so many steps more, or not by its end."""
    steps = np.arange(0, STEPS + 1, EVERY)
    curves = xr.Dataset(
        {
            "train_accuracy": ("step", (steps >= MEMORISED) * 1.0),
            "val_accuracy": ("step", (steps >= MEMORISED + waited) * 1.0),
        },
        {"step": steps},
    )
    made = MadeUpRun(SPECS[arm].seeded(seed), {"train_accuracy": [0] * 6, "val_accuracy": [0] * 6})
    made.__dict__.update(curves=curves)
    return made


def exponential(rng: np.random.Generator) -> float:
    return 20 + rng.exponential(600)


def clock(rng: np.random.Generator) -> float:
    return 600 + 20 * rng.normal()


def bursts(rng: np.random.Generator) -> float:
    """As rare events are: mostly at once, at times very late."""
    return 3_000.0 if rng.random() < 0.1 else 40.0


def forks(waits: Waits, seeds: Sequence[int] = range(16), trunk: str = ADDITION) -> dict[str, list[Run]]:
    rng = np.random.default_rng(1)
    return {
        each.name: [run(each.name, seed, waits(rng)) for seed in seeds]
        for each in orders(trunk, "standard")
    }


def fresh(waits: Waits, trunk: str = ADDITION) -> dict[str, list[Run]]:
    rng = np.random.default_rng(2)
    return {trunk: [run(trunk, seed, waits(rng)) for seed in range(100, 116)]}


@pytest.mark.parametrize(
    ("waits", "said"), [(clock, "supported"), (exponential, "no effect"), (bursts, "contradicted")]
)
def test_the_waits_of_forks_of_one_checkpoint(waits: Waits, said: str) -> None:
    assert ruling_of(STUDY, "addition-orders", forks(waits), "standard") == said
    assert ruling_of(STUDY, "parity-orders", forks(waits, trunk=PARITY), "standard") == said


def test_two_seeds_that_disagree_are_inconclusive() -> None:
    mixed = {
        name: [runs[0], other[1]]
        for (name, runs), other in zip(
            forks(clock, (0, 1)).items(), forks(exponential, (0, 1)).values(), strict=True
        )
    }
    assert ruling_of(STUDY, "addition-orders", mixed, "standard") == "inconclusive"


def test_the_waits_of_fresh_seeds() -> None:
    assert ruling_of(STUDY, "addition-seeds", fresh(clock), "standard") == "supported"
    found = verdict_of(STUDY, "addition-seeds", fresh(exponential), "standard")
    assert found.ruling != "supported"
    assert found.estimate.low < 0 < found.estimate.high
    late = fresh(clock)
    late[ADDITION][3] = run(ADDITION, 103, 9_999)
    open_ = verdict_of(STUDY, "addition-seeds", late, "standard")
    assert open_.estimate.low == -np.inf
    waited = open_.by_arm[ADDITION]
    assert waited[103] == (STEPS - MEMORISED, np.inf)
    assert [seed for seed, value in waited.items() if np.ptp(value)] == [103]


def test_a_wait_is_in_the_middle_of_two_evaluations_or_was_not_over() -> None:
    assert wait(run(ADDITION, 0, 500)) == (495.0, False)
    assert wait(run(ADDITION, 0, 9_999)) == (STEPS - MEMORISED, True)
    never = run(ADDITION, 0, 500)
    never.curves["train_accuracy"][:] = 0.5
    assert verdict_of(STUDY, "addition-seeds", {ADDITION: [never]}, "standard").missing == {
        "never memorised": 1
    }


def test_forks_that_were_not_over_leave_their_seed_open_and_a_seed_without_any_is_missing() -> None:
    some = forks(clock, (0, 1, 2))
    some[Reordered(ADDITION, 1).name][0] = run(Reordered(ADDITION, 1).name, 0, 9_999)
    for name, runs in some.items():
        runs[2] = run(name, 2, 9_999)
    found = verdict_of(STUDY, "addition-orders", some, "standard")
    assert found.missing == {"fewer than 4 forks, or none that grokked": 1}
    assert found.values[0][0] == -np.inf  # type: ignore[index]
    assert isinstance(found.values[1], float)


def test_full_batches_have_no_order_to_wait_for() -> None:
    same = {each.name: [run(each.name, s, 500 + s) for s in range(6)] for each in orders(WHOLE, "quick")}
    found = verdict_of(STUDY, "full-batch-orders", same, "standard")
    assert found.ruling == "supported"
    assert found.estimate.effect == 1.0


@pytest.mark.parametrize("budget", ["quick", "standard", "full"])
def test_forks_differ_from_their_trunk_in_the_order_of_batches_alone(budget) -> None:
    STUDY.check(budget)
    by_name = {arm.name: arm for arm in STUDY.arms(budget)}
    assert len(orders(ADDITION, budget)) == ORDERS[budget]
    trunk = by_name[ADDITION].seeded(101)
    fork = by_name[Reordered(ADDITION, 2).name].seeded(101)
    assert fork.fork is not None
    assert fork.fork.of == trunk.id
    assert fork.seeds.noise == 101 + 2 * FIRST_ORDER
    assert fork.replace(fork=None, seeds=trunk.seeds) == trunk
    assert not any(each.is_primary for each in STUDY.endpoints(budget))
    waits = {each.name: bool(each.waits_for) for each in STUDY.endpoints(budget)}
    assert waits["parity-orders"] == (budget == "quick")


def test_the_figure_has_a_row_for_each_checkpoint_and_the_note_tells_of_shuffled_labels() -> None:
    every = forks(clock, (0, 1)) | {
        ADDITION: [run(ADDITION, s, 600) for s in (0, 1)],
        SHUFFLED: [run(SHUFFLED, s, 9_999) for s in (0, 1)],
    }
    answer = STUDY.answer(table_of(STUDY, every, "standard"))
    (figure,) = answer.figures
    assert {"checkpoint of seed 0 (n = 12)", "fresh seeds (n = 2)"} <= set(figure.table["row"])
    note = next(v.note for v in answer.verdicts if v.endpoint == "addition-orders")
    assert note == "With shuffled labels 0 of 2 that memorised grok."
    assert STUDY.answer(table_of(STUDY, {})).figures == ()
