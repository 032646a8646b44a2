"""Grids: every way to choose, in one order, with the ids that the runs themselves have."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings, strategies as st

from tests import tiny
from undergrowth.spec import RunSpec, SpecError, check_parent
from undergrowth.spec.file import read_file, read_grid, seed_range
from undergrowth.spec.grid import grid
from undergrowth.training.optimisers import SGD, AdamW

TOP = tomli_w.dumps(tiny.spec().model_dump(mode="json", exclude_none=True))

FORKS = """
[sweep]
optimiser.lr = [0.001, 0.003]
seeds = "100-101"

[[sweep.zip]]
model.d_mlp = [8, 16]
optimiser.weight_decay = [0.0, 1.0]

[[runs]]
name = "trunk"

[[runs]]
name = "boost"
fork = { of = "trunk", at = { name = "at_step", step = 10 } }
sweep.interventions.0.action.factor = [2.0, 5.0]
[[runs.interventions]]
trigger = { name = "after_fork" }
action = { name = "scale_learning_rate", factor = 3 }

[[runs]]
name = "late"
fork = { of = "boost", at = { name = "at_step", step = 20 } }
seeds = { noise = 7 }
"""

POSSIBLE: dict[str, Sequence[Any]] = {
    "optimiser.lr": [1e-3, 0.01, 0.25],
    "optimiser.weight_decay": [0.0, 0.1, 1.0],
    "optimiser.betas": [(0.9, 0.98), (0.9, 0.999)],
    "optimiser": [SGD(lr=0.5), AdamW(lr=0.01)],
    "model.d_mlp": [6, 12],
    "model": [tiny.MLP, tiny.TRANSFORMER],
    "task.p": [5, 7],
    "split.frac_train": [0.5, 0.6],
    "steps": [30, 40],
    "labels": ["true", "shuffled"],
    "label_noise": [0.0, 0.25],
    "seeds.noise": [0, 1, 2],
    "measures.0.schedule.every": [5, 10],
    "temperature": [1.0, 0.5],
}


@st.composite
def varied_fields(draw: st.DrawFn) -> dict[Any, Any]:
    """Some fields and their values, of which none is within another, some of them varied together."""
    names = draw(st.lists(st.sampled_from(sorted(POSSIBLE)), unique=True, max_size=4))
    within = {name.split(".")[0] for name in names if "." in name}
    names = [name for name in names if "." in name or name not in within]
    varied: dict[Any, Any] = {
        name: draw(st.lists(st.sampled_from(POSSIBLE[name]), min_size=1, unique_by=repr))
        for name in names
    }
    if len(names) >= 2 and draw(st.booleans()):
        first, second = names[:2]
        rows = list(zip(varied.pop(first), varied.pop(second), strict=False))
        varied[first, second] = rows
    return varied


SEEDS = st.none() | st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True)


@given(varied_fields(), SEEDS)
@settings(max_examples=60)
def test_ids_are_those_of_the_runs(varied: dict[Any, Any], seeds: list[int] | None) -> None:
    found = grid(tiny.spec(), varied, seeds=seeds)
    runs = list(found)
    assert len(runs) == len(found)
    assert list(found.ids()) == [spec.id for spec in runs]
    assert [found[i] for i in range(len(found))] == runs


@given(varied_fields())
def test_what_is_tabulated_is_what_each_run_gives(varied: dict[Any, Any]) -> None:
    def of(spec: RunSpec) -> tuple[object, ...]:
        return spec.steps, spec.task

    found = grid(tiny.spec(), varied, seeds=range(2))
    assert list(found.tabulated(of, ("steps", "task"))) == [of(spec) for spec in found]


OWN_NOISE = """
[sweep]
seeds = [5, 6]
[[runs]]
name = "trunk"
[[runs]]
name = "noisier"
fork = { of = "trunk", at = { name = "at_step", step = 10 } }
seeds = { noise = 5 }
"""


def test_a_grid_is_the_product_seed_by_seed() -> None:
    rates, decays = [0.001, 0.003], [0.0, 1.0, 2.0]
    found = grid(
        tiny.spec(), {"optimiser.lr": rates, "optimiser.weight_decay": decays}, seeds=range(100, 102)
    )
    expected = [
        tiny.spec(optimiser={"name": "adamw", "lr": lr, "weight_decay": decay}).seeded(seed)
        for seed, lr, decay in product((100, 101), rates, decays)
    ]
    assert list(found) == expected
    assert (found[-1], found[1:3]) == (expected[-1], tuple(expected[1:3]))
    assert found.name(1) == found.name(7) == "lr=0.001, weight_decay=1"
    with pytest.raises(IndexError):
        found[12]


def test_rows_of_several_fields_are_varied_together() -> None:
    rows = [(8, 0.01), (16, 0.02)]
    found = grid(tiny.spec(), {("model.d_mlp", "optimiser.lr"): rows})
    assert [(spec.model.d_mlp, spec.optimiser.lr) for spec in found] == rows  # pyright: ignore
    text = f"{TOP}\n[[sweep.zip]]\nmodel.d_mlp = [8, 16]\noptimiser.lr = [0.01, 0.02]"
    assert list(read_grid(text)) == list(found)


def test_seeds_may_be_varied_together_with_a_field() -> None:
    text = f'{TOP}\n[[sweep.zip]]\nseeds = "3-4"\nsteps = [40, 50]'
    assert list(read_grid(text)) == [tiny.spec(steps=s).seeded(k) for k, s in ((3, 40), (4, 50))]


def test_every_point_has_its_own_forks() -> None:
    found = read_grid(TOP + FORKS)
    runs = {spec.id: spec for spec in found}
    assert len(runs) == len(found) == 2 * 2 * 2 * 5
    assert list(found.ids()) == list(runs)
    forks = [spec for spec in runs.values() if spec.fork]
    for spec in forks:
        assert spec.fork is not None
        check_parent(spec, runs[spec.fork.of])
    told = {spec.id: spec.fork.of if spec.fork else None for spec in runs.values()}
    assert dict(found.parents()) == told
    assert sum(spec.fork.of in {f.id for f in forks} for spec in forks if spec.fork) == 16


def test_names_say_what_was_varied_and_not_the_seed() -> None:
    found = read_grid(TOP + FORKS)
    names = found.names
    assert {len(its) for its in names.values()} == {1}
    last = "late, factor=5, lr=0.003, d_mlp=16, weight_decay=1"
    assert [found.name(i) for i in (0, 2, -1 % len(found))] == [
        "trunk, lr=0.001, d_mlp=8, weight_decay=0",
        "boost, factor=5, lr=0.001, d_mlp=8, weight_decay=0",
        last,
    ]
    of_last = {run_id for run_id, its in names.items() if its == (last,)}
    assert {spec.seeds.model for spec in found if spec.id in of_last} == {100, 101}


def test_fields_that_end_alike_are_named_in_full() -> None:
    found = grid(tiny.spec(), {"model.name": ["two_token_mlp"], "task.name": ["modular"]})
    assert found.name(0) == "model.name=two_token_mlp, task.name=modular"


def test_values_that_read_alike_in_brief_are_told_in_full() -> None:
    found = grid(tiny.spec(), {"optimiser.lr": [0.01, 0.010000001]})
    assert [found.name(0), found.name(1)] == ["lr=0.01", "lr=0.010000001"]


def test_seeds_of_the_command_line_take_the_place_of_those_in_the_file() -> None:
    text = f'{TOP}\n[sweep]\nseeds = "100-115"\nsteps = [30, 40]'
    assert [(s.seeds.model, s.steps) for s in read_grid(text, 2)] == [(0, 30), (0, 40), (1, 30), (1, 40)]
    assert [spec.seeds.data for spec in read_grid(text, range(7, 8))] == [7, 7]
    assert {spec.seeds.model for spec in read_grid(text)} == set(range(100, 116))


def test_a_preset_can_be_varied() -> None:
    found = read_grid('preset = "nanda2023"\n[sweep]\noptimiser.lr = [0.001, 0.003]\ntask.p = [59, 61]')
    assert [(s.optimiser.lr, s.task.p) for s in found] == list(product((0.001, 0.003), (59, 61)))  # pyright: ignore
    assert {s.optimiser.weight_decay for s in found} == {1.0}  # pyright: ignore


def test_a_table_of_another_kind_takes_the_place_of_the_whole() -> None:
    text = TOP + '\n[sweep]\noptimiser = [{ lr = 0.3 }, { name = "sgd", lr = 0.5 }]'
    first, second = read_grid(text)
    assert first == tiny.spec(optimiser={"name": "adamw", "lr": 0.3, "weight_decay": 0.1})
    assert second.optimiser == SGD(lr=0.5)


def test_a_grid_written_out_is_the_same_runs() -> None:
    file = read_file(TOP + FORKS)
    again = read_file(file.to_toml())
    assert (again.runs, again.names_in_order) == (file.runs, file.names_in_order)


def test_no_run_is_made_for_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    found = grid(tiny.spec(), {"optimiser.lr": [0.001 * i for i in range(1, 41)]}, seeds=range(500))
    made, make = [], RunSpec.from_dict

    def counted(fields: Any) -> RunSpec:
        made.append(1)
        return make(fields)

    monkeypatch.setattr(RunSpec, "from_dict", counted)
    assert len(set(found.ids())) == 20_000
    assert len(made) <= 1 + 40 + 2


def test_a_fork_may_have_a_seed_of_its_own() -> None:
    found = read_grid(TOP + OWN_NOISE)
    assert [(spec.seeds.model, spec.seeds.noise) for spec in found] == [(5, 5), (5, 5), (6, 6), (6, 5)]
    assert list(found.ids()) == [spec.id for spec in found]


def test_values_are_compared_by_their_kinds_and_as_a_whole() -> None:
    tables = [{"name": "adamw", "lr": 0.1}, {"lr": 0.1, "name": "adamw"}, {"name": "adamw", "lr": 0.2}]
    with pytest.raises(SpecError, match="is there twice"):
        grid(tiny.spec(), {"optimiser": tables})
    assert len(grid(tiny.spec(), {"optimiser": tables[1:]})) == 2
    assert len(grid(tiny.spec(), {"temperature": [1, 2.0]})) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep = 3", "sweep = 3: not a table: write [sweep] above the fields"),
        ("[sweep]\nsteps = 30", "sweep.steps = 30: not a list of values to vary over"),
        ('[sweep]\nlabels = "true"', "sweep.labels = 'true': not a list of values"),
        ("[sweep]\nsteps = []", "sweep.steps = []: no value to vary over"),
        ("[sweep]\nsteps = [30, 30]", "sweep.steps: 30 is there twice: give each value once"),
        ("[sweep]\nstepz = [30]", "at stepz=30: stepz = 30: unknown key 'stepz'; did you mean 'steps'?"),
        (
            "[sweep]\noptimiser.lr = [0.1, -1.0]",
            "at lr=-1: optimiser.lr = -1.0: input should be greater",
        ),
        ("steps = 9\n[sweep]\nsteps.within = [1]", "steps.within: 9 has no 'within' within it"),
        ("[sweep]\nmeasures.7.name = ['x']", "measures.7.name: there are 2 of these, and no '7'"),
        ('[sweep]\nseeds = "9-3"', "sweep.seeds = '9-3': neither a range nor a list of seeds"),
        ("[sweep]\nseeds = [-1]", "seeds: -1 is no seed"),
        ("[sweep]\nseeds = []", "seeds = []: no seed"),
        ("[sweep]\nseeds = [3, 3]", "seeds: one of them is there twice"),
        ("sweep.zip = 3", "sweep.zip: not a list of tables: write [[sweep.zip]]"),
        ("[[sweep.zip]]", "sweep.zip.0: no field in it"),
        (
            "[[sweep.zip]]\nsteps = [30, 40]\noptimiser.lr = [0.1]",
            "sweep.zip.0: fields are varied together, but steps has 2, optimiser.lr has 1",
        ),
        (
            "[sweep]\nsteps = [30]\n[[sweep.zip]]\nsteps = [40]",
            "sweep: steps is varied twice: leave it out of one of them",
        ),
        (
            "[sweep]\nsteps = [30, 40]\n[[runs]]\nsteps = 50",
            "runs.0: at steps=30: steps is varied for all runs, and this one sets it too",
        ),
        (
            '[[runs]]\nsweep.seeds = "1-2"',
            "runs.0: sweep.seeds: seeds are varied for all runs of a file",
        ),
    ],
)
def test_what_cannot_be_varied_is_an_error_of_one_line(text: str, message: str) -> None:
    top = tiny.spec().model_dump(mode="json", exclude_none=True)
    with pytest.raises(SpecError) as caught:
        read_grid(tomli_w.dumps({**top, **tomllib.loads(text)}))
    told = str(caught.value)
    assert told.startswith(message), told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("100-115", range(100, 116)), (" 3 - 3 ", range(3, 4)), ("5-4", None), ("a-b", None), ("7", None)],
)
def test_a_range_of_seeds_has_its_last_among_them(text: str, seeds: range | None) -> None:
    assert seed_range(text) == seeds
