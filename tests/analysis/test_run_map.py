"""Maps of planted rows: phases, medians of censored steps, axes, and what is refused."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import given, strategies as st

from undergrowth.analysis.phases import PHASES, Phase, delay, phase_of, rules_of
from undergrowth.analysis.run_map import MOST_CELLS, MapError, Median, RunMap, quantity_named, run_map
from undergrowth.store.events import Rules
from undergrowth.store.listing import Listed

LR, DECAY = "optimiser.lr", "optimiser.weight_decay"
SAID = {
    "0.0": "0",
    "1.0": "1",
    "-1.0": "-1",
    "1000000.0": "1e+06",
    "None": "none",
    "True": "true",
    "False": "false",
}


def row(
    lr: Any = 0.1,
    decay: Any = 1.0,
    seed: int = 0,
    *,
    memorised: int | None = 10,
    grokked: int | None = 200,
    last: int = 1000,
    status: str = "done",
    readings: Mapping[str, float] | None = None,
    also: Mapping[str, Any] | None = None,
) -> Listed:
    times = {"memorised": memorised, "onset": grokked, "grokked": grokked}
    events: dict[str, int | bool | None] = {}
    for name, step in times.items():
        events |= {name: step, f"{name}_stable": step, f"{name}_censored": step is None}
    seeds = {f"seeds.{of}": seed for of in ("model", "data", "noise")}
    fixed = {"task.name": "modular", "task.p": 23}
    settings = {**fixed, LR: lr, DECAY: decay, **seeds, **(also or {})}
    return Listed(
        id=f"{lr} {decay} {seed}",
        names=(),
        studies=(),
        arms=(),
        seed=seed,
        status=status,
        settings={name: value for name, value in settings.items() if value is not None},
        last_step=last,
        events=events,
        readings=readings or {},
    )


def square(*rows: Listed) -> RunMap:
    """A map of these rows at lr 0.1 and decay 1, and of one row at each other corner."""
    corners = [row(0.2, 1.0), row(0.1, 2.0), row(0.2, 2.0)]
    return run_map([*rows, *corners], "lr", "weight_decay")


def median(*grokked: int | None, lasts: tuple[int, ...] = ()) -> Median:
    """Of grokked, in the cell at lr 0.1 and decay 1."""
    ends = lasts or (1000,) * len(grokked)
    runs = [
        row(seed=i, grokked=g, last=end) for i, (g, end) in enumerate(zip(grokked, ends, strict=True))
    ]
    found = square(*runs).medians("grokked")[0]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("phase", "course"),
    [
        ("comprehension", {"memorised": 20, "grokked": 200}),  # ten times as late, not more
        ("grokking", {"memorised": 19, "grokked": 200}),
        ("comprehension", {"memorised": 200, "grokked": 20}),
        ("comprehension", {"memorised": None, "grokked": 20}),
        ("memorisation", {"memorised": 20, "grokked": None}),
        ("confusion", {"memorised": None, "grokked": None}),
        ("failed", {"memorised": 20, "grokked": 200, "status": "failed"}),
        ("unknown", {"memorised": 20, "grokked": None, "status": "running"}),
        ("unknown", {"memorised": 20, "grokked": None, "status": "interrupted"}),
        ("grokking", {"memorised": 10, "grokked": 200, "status": "running"}),
    ],
)
def test_each_phase_has_its_rule(phase: Phase, course: dict[str, Any]) -> None:
    assert phase_of(row(**course)) == phase


def test_the_rules_are_told_with_the_thresholds_they_have() -> None:
    told = rules_of(Rules(memorised=0.9, grokked=0.8), late=5.0)
    assert list(told) == list(PHASES)
    assert (
        "validation accuracy ≥ 0.8, more than 5 times as late as train accuracy ≥ 0.9"
        in told["grokking"]
    )
    assert phase_of(row(memorised=20, grokked=200), late=5.0) == "grokking"


def test_a_run_without_accuracies_or_damaged_has_no_phase() -> None:
    bare = Listed("a", (), (), (), 0, "done", {})
    damaged = Listed("a", (), (), (), 0, "damaged", {}, damage="its digest differs")
    assert [phase_of(bare), phase_of(damaged)] == ["unknown", "unknown"]


def test_a_delay_has_a_bound_where_the_run_ended_first() -> None:
    assert delay(10, None, 1000) == (100.0, math.inf)
    assert delay(0, 40, 1000) == (40.0, 40.0)


def test_medians_of_known_steps() -> None:
    assert (median(100).at_least, median(100).at_most) == (100, 100)
    assert median(100, 300, 200).at_least == 200
    assert median(100, 300).at_least == median(100, 300).at_most == 200


def test_a_median_is_censored_as_soon_as_half_of_the_runs_are() -> None:
    one = median(100, 200, None)
    assert (one.at_least, one.at_most, one.n, one.n_censored) == (200, 200, 3, 1)
    half = median(100, None)
    assert half.is_censored
    assert half.at_least == 550  # halfway from 100 to the 1000 that the other outlived
    most = median(100, None, None)
    assert most.is_censored
    assert most.at_least == 1000


def test_runs_of_other_lengths_leave_bounds_of_a_median() -> None:
    found = median(600, 900, None, lasts=(1000, 1000, 500))
    assert (found.at_least, found.at_most, found.is_censored) == (600, 900, False)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=7),
)
def test_a_median_lies_between_those_of_all_ways_to_complete_the_runs(
    runs: list[tuple[int, bool]],
) -> None:
    found = median(*(s if seen else None for s, seen in runs), lasts=tuple(s for s, _ in runs))
    ways = product(*([step] if seen else [step, 10**6] for step, seen in runs))
    medians = [statistics.median(way) for way in ways]
    assert found.at_least == min(medians)
    assert found.is_censored == (max(medians) > 10**4)
    if not found.is_censored:
        assert found.at_most == max(medians)


def test_the_interval_of_a_median_is_that_of_the_sign_test() -> None:
    assert math.isnan(median(*range(1, 6)).low)
    six = median(1, 2, 3, 4, 5, 6)
    assert (six.low, six.high) == (1, 6)  # 2 / 2^6 < 5 %
    sixteen = median(*range(1, 14), None, None, None)
    assert (sixteen.low, sixteen.high) == (4, 13)  # at most 3 of 16 beyond: 2.1 % of all
    assert median(*range(1, 13), None, None, None, None).high == math.inf


def test_no_run_is_dropped_and_a_cell_without_runs_is_no_cell() -> None:
    runs = [row(lr, decay, seed) for lr in (0.1, 0.2) for decay in (1.0, 2.0) for seed in range(3)]
    runs = [run for run in runs if (run.settings[LR], run.settings[DECAY]) != (0.2, 2.0)]
    runs[0] = row(0.1, 1.0, 0, memorised=None, grokked=None, status="failed", last=20)
    table = run_map(runs, "lr", "weight_decay").table(["phase", "delay", "grokked"])
    assert [table["runs"].tolist(), len(runs)] == [[3, 3, 3], 9]
    assert table[list(PHASES)].to_numpy().sum() == 9
    assert table[[LR, DECAY]].to_numpy().tolist() == [[0.1, 1.0], [0.2, 1.0], [0.1, 2.0]]
    first = table.iloc[0].to_dict()
    assert (first["grokking"], first["failed"], first["phase"]) == (2, 1, "grokking")
    assert (first["delay_n"], first["grokked_n"], first["grokked_n_censored"]) == (2, 3, 1)


def test_a_cell_without_a_majority_is_mixed() -> None:
    assert square(row(seed=0), row(seed=1, grokked=None)).cells[0].phase == "mixed"
    assert square(row(seed=0), row(seed=1), row(seed=2, grokked=None)).cells[0].phase == "grokking"


def test_a_reading_is_the_median_of_last_values_and_of_none_where_it_is_not_finite() -> None:
    runs = [row(seed=i, readings={"val_loss": x}) for i, x in enumerate((1.0, 4.0, math.inf))]
    found = square(*runs)
    first, *others = found.medians("val_loss")
    assert first is not None
    assert (first.at_least, first.at_most, first.n) == (2.5, 2.5, 2)
    assert others == [None, None, None]
    assert found.table(["val_loss"])["val_loss_n"].tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize(
    ("values", "spacing", "places"),
    [
        ([1e-4, 3e-4, 1e-3, 3e-3], "log", (0, 1, 2, 3)),
        ([1e-4, 1e-3, 1e-1], "log", (0, 1, 3)),  # none at 1e-2
        ([0.0, 0.1, 0.3, 1.0], "log", (0, 1, 2, 3)),
        ([1, 2, 5, 10], "log", (0, 1, 2, 3)),
        ([0.1, 0.2, 0.3, 0.6], "linear", (0, 1, 2, 5)),
        ([0.2, 0.3, 0.5], "linear", (0, 1, 3)),
        ([-1.0, 0.0, 1.0], "linear", (0, 1, 2)),
        ([0, 1, 2, 3], "linear", (0, 1, 2, 3)),
        ([1.0, 1.4, 2.5, 1e6], "in order", (0, 1, 2, 3)),
        (["b", "a"], "names", (0, 1)),
        ([None, 0.1, 0.2], "in order", (0, 1, 2)),
        ([False, True], "names", (0, 1)),
    ],
)
def test_an_axis_is_spaced_as_its_values_are(
    values: list[Any], spacing: str, places: tuple[int, ...]
) -> None:
    runs = [row(value, decay) for value in reversed(values) for decay in (1.0, 2.0)]
    axis = run_map(runs, LR, DECAY).x
    assert (axis.spacing, axis.places) == (spacing, places)
    written = [axis.written(place) for place in range(axis.n)]
    assert [text for text in written if text] == [SAID.get(str(v), f"{v}") for v in axis.values]


def test_fields_are_found_by_their_ends_and_by_the_part_they_name() -> None:
    runs = [
        row(lr, seed=1, also={"task.name": name}) for lr in (0.1, 0.2) for name in ("modular", "group")
    ]
    found = run_map(runs, "lr", "task")
    assert (found.x.field, found.y.field) == (LR, "task.name")
    assert (found.x.short, found.y.short) == ("lr", "task.name")


def refused(runs: list[Listed], x: str = "lr", y: str = "weight_decay") -> str:
    with pytest.raises(MapError) as error:
        run_map(runs, x, y)
    assert "\n" not in str(error.value)
    return str(error.value)


GRID = [row(lr, decay) for lr in (0.1, 0.2) for decay in (1.0, 2.0)]


def test_what_cannot_be_mapped_is_refused_in_a_line_with_the_remedy() -> None:
    assert "no runs to map" in refused([])
    assert "did you mean 'lr'?" in refused(GRID, "learning_rate")
    assert "did you mean 'optimiser.lr'?" in refused(GRID, "optimizer.lr")
    assert f"these runs differ in {LR}, {DECAY}" in refused(GRID, "quite_unknown")
    one = refused(GRID, "p")
    assert one.startswith("task.p is 23 in all 4 runs: a map needs fields of two or more values")
    assert one.endswith(f"these runs differ in {LR}, {DECAY}")
    assert "are one field" in refused(GRID, "lr", LR)
    many = [row(i, j) for i in range(1, 102) for j in (0, 200)]
    assert refused([*many, *(row(1, j) for j in range(101))]).startswith("101 values of")
    assert f"more than the {MOST_CELLS:,}" in refused([*many, *(row(1, j) for j in range(101))])


def test_cells_that_mix_other_fields_are_refused_and_those_that_differ_between_cells_are_named() -> None:
    steps = [
        row(lr, decay, also={"steps": n})
        for lr in (0.1, 0.2)
        for decay in (1.0, 2.0)
        for n in (400, 900)
    ]
    said = refused([*steps[:2], *GRID[1:]])
    assert "1 of 4 cells mix runs that differ in steps beside their seeds" in said
    assert "--where steps=400" in said
    assert "steps is 400, 900" in said
    zipped = [
        row(lr, decay, also={"steps": int(lr * 1000)}) for lr in (0.1, 0.2) for decay in (1.0, 2.0)
    ]
    assert run_map(zipped, "lr", "weight_decay").also == ("steps",)
    forks = [
        row(lr, decay, seed, also={"fork.of": f"{seed}"})
        for lr in (0.1, 0.2)
        for decay in (1.0, 2.0)
        for seed in (0, 1)
    ]
    assert [len(cell.runs) for cell in run_map(forks, "lr", "weight_decay").cells] == [2] * 4


def test_colours_are_phases_events_delays_and_readings() -> None:
    runs = [row(readings={"val_loss": 1.0})]
    names = ("phase", "delay", "grokked", "grokked_stable", "val loss")
    assert [quantity_named(name, runs) for name in names] == [*names[:4], "val_loss"]
    with pytest.raises(
        MapError, match="no run has 'val_los' to colour cells by; did you mean 'val_loss'"
    ):
        quantity_named("val_los", runs)
    with pytest.raises(MapError, match="there are phase, delay, memorised"):
        quantity_named("zzz", runs)


def test_fields_of_one_end_keep_their_whole_names() -> None:
    fields = [f"interventions.{i}.action.factor" for i in (0, 1)]
    runs = [row(also={fields[0]: x, fields[1]: y}) for x in (2.0, 3.0) for y in (4.0, 5.0)]
    found = run_map(runs, fields[0], fields[1])
    assert (found.x.short, found.y.short) == tuple(fields)


def test_the_condition_that_is_offered_has_all_digits() -> None:
    mixed = [row(lr, decay) for lr in (0.1, 0.2) for decay in (1.0, 2.0)]
    mixed += [row(0.1, 1.0, 1, also={"split.frac_train": x}) for x in (0.123456789, 0.5)]
    assert "split.frac_train=" in refused(mixed)
    alone = [
        row(lr, d, also={"split.frac_train": x})
        for lr in (1, 2)
        for d in (1, 2)
        for x in (0.123456789, 0.5)
    ]
    assert "--where split.frac_train=0.123456789," in refused(alone)
