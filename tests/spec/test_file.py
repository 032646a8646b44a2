"""Spec files: one run or many, presets, names, forks and seeds; one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from tests import tiny
from tests.sweep.test_packing import bits
from undergrowth.spec import Fork, RunSpec, SpecError, check_parent
from undergrowth.spec.file import read_file, read_runs
from undergrowth.spec.presets import PRESETS, preset
from undergrowth.sweep import Layout, train
from undergrowth.tasks import Group
from undergrowth.training.interventions import AtStep, Intervention, ScaleLearningRate
from undergrowth.training.optimisers import SGD, AdamW

TOP = tomli_w.dumps(tiny.spec().model_dump(mode="json", exclude_none=True))
ARMS = """
[[runs]]
name = "trunk"

[[runs]]
name = "faster"
fork = { of = "trunk", at = { name = "at_step", step = 10 } }
[[runs.interventions]]
trigger = { name = "after_fork" }
action = { name = "scale_learning_rate", factor = 3 }

[[runs]]
fork = { of = "faster", at = { name = "at_step", step = 20 } }
seeds = { noise = 7 }
"""


def test_a_file_without_runs_is_one_run() -> None:
    assert read_runs(TOP) == (tiny.spec(),)
    assert read_runs("") == (RunSpec(),)
    assert read_runs(TOP, seeds=3) == tuple(tiny.spec().seeded(seed) for seed in range(3))


def test_a_preset_with_other_fields_is_the_preset_but_for_them() -> None:
    nanda = preset("nanda2023")
    (spec,) = read_runs(
        'preset = "nanda2023"\nsteps = 7\n[optimiser]\nweight_decay = 0.5\n[task]\np = 59'
    )
    assert isinstance(nanda.optimiser, AdamW)
    decayed = {**dict(nanda.optimiser), "weight_decay": 0.5}
    assert spec == nanda.replace(steps=7, optimiser=decayed, task={"name": "modular", "p": 59})


def test_another_kind_takes_the_place_of_the_whole_table() -> None:
    text = 'preset = "nanda2023"\n[optimiser]\nname = "sgd"\nlr = 0.5\n[task]\nname = "group"'
    (spec,) = read_runs(text)
    assert (spec.optimiser, spec.task) == (SGD(lr=0.5), Group())


def test_the_kind_that_a_table_has_by_default_may_be_named_further_down() -> None:
    text = '[optimiser]\nlr = 0.5\n[[runs]]\noptimiser = { name = "adamw", weight_decay = 1 }'
    assert read_runs(text)[0].optimiser == AdamW(lr=0.5, weight_decay=1.0)


def test_each_run_has_the_fields_at_the_top_but_for_its_own() -> None:
    runs = read_runs(TOP + "[[runs]]\n[[runs]]\nsteps = 20\nseeds = { model = 4 }")
    assert runs == (tiny.spec(), tiny.spec(steps=20, seeds={"model": 4}))


def test_a_fork_starts_from_the_fields_of_the_run_it_names() -> None:
    trunk, faster, last = read_runs(TOP + ARMS)
    assert trunk == tiny.spec()
    assert faster.fork == Fork(of=trunk.id, at=AtStep(step=10))
    assert last.fork == Fork(of=faster.id, at=AtStep(step=20))
    assert last.interventions == faster.interventions
    assert isinstance(faster.interventions[0].action, ScaleLearningRate)
    assert last.seeds == last.seeds.model_copy(update={"noise": 7})
    check_parent(faster, trunk)
    check_parent(last, faster)


def test_a_forks_interventions_come_after_those_it_has_from_its_parent() -> None:
    first, second = (
        f"{{ trigger = {{ name = 'at_step', step = {step} }}, action = {{ name = 'no_op' }} }}"
        for step in (5, 15)
    )
    text = f"""
        [[runs]]
        name = "a"
        interventions = [{first}]
        [[runs]]
        fork = {{ of = "a", at = {{ name = "at_step", step = 10 }} }}
        interventions = [{second}]
    """
    _, arm = read_runs(TOP + text)
    steps = [i.trigger.step for i in arm.interventions if isinstance(i.trigger, AtStep)]
    assert steps == [5, 15]
    assert all(isinstance(i, Intervention) for i in arm.interventions)


def test_with_seeds_each_fork_leaves_the_parent_of_its_seed() -> None:
    runs = read_runs(TOP + ARMS, seeds=2)
    assert len({run.id for run in runs}) == 6
    by_id = {run.id: run for run in runs}
    for run in runs:
        if run.fork is not None:
            assert by_id[run.fork.of].seeds.model == run.seeds.model
            check_parent(run, by_id[run.fork.of])
    assert runs[0] == read_runs(TOP + ARMS)[0].seeded(0)
    assert len({run.without_seeds().id for run in runs}) == 3


def test_a_fork_may_name_the_id_of_a_stored_run() -> None:
    text = f'[fork]\nof = "{"a1" * 8}"\nat = {{ name = "at_step", step = 10 }}'
    assert read_runs(text)[0].fork == Fork(of="a1" * 8, at=AtStep(step=10))


def test_the_order_of_independent_runs_means_nothing(tmp_path: Path) -> None:
    """Neither for which runs they are, nor for a bit of what is stored of them."""
    entries = ["[[runs]]\nseeds = { model = 1 }", "[[runs]]\nseeds = { noise = 2 }", ARMS]
    orders = [entries, entries[::-1], [entries[1], entries[2], entries[0]]]
    runs = [read_runs("\n".join([TOP, *order])) for order in orders]
    ids = [{run.id for run in found} for found in runs]
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 5
    stores = [
        train(found, tmp_path / f"{i}", layout=Layout(workers=1)) for i, found in enumerate(runs[:2])
    ]
    stored = [{run.id: bits(run) for run in store.runs} for store in stores]
    assert stored[0].keys() == ids[0]
    assert stored[0] == stored[1]


FORK = 'fork = { of = "%s", at = { name = "at_step", step = 10 } }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps =", "not TOML: "),
        ("runs = 3", "runs: not a list of tables: write each run under its own [[runs]] line"),
        ("runs = [1, 2]", "runs: not a list of tables"),
        ("[runs]\nsteps = 3", "runs: not a list of tables"),
        ("runs = []", "runs = []: no run in it"),
        ("steps = 0", "steps = 0: input should be greater than or equal to 1"),
        ("[[runs]]\n[[runs]]\nsteps = 0", "runs.1: steps = 0: input should be greater"),
        ("[[runs]]\nstepz = 3", "runs.0: stepz = 3: unknown key 'stepz'; did you mean 'steps'?"),
        (
            '[[runs]]\nname = "a"\n[[runs]]\nname = "a"',
            "runs.1: name = 'a': an earlier run has that name",
        ),
        ("[[runs]]\nname = 3", "runs.0: name = 3: not a name: write it in quotes"),
        ('[[runs]]\nname = ""', "runs.0: name = '': not a name"),
        (
            '[[runs]]\nname = "trunk"\n[[runs]]\n' + FORK % "trnk",
            "runs.1: fork.of = 'trnk': neither the name of a run above nor the id of a stored run; "
            "did you mean 'trunk'?",
        ),
        ("[[runs]]\n" + FORK % "x", "runs.0: fork.of = 'x': neither the name"),
        (FORK % "x", "fork.of = 'x': neither the name of a run above nor the id of a stored run"),
        (
            "[[runs]]\n" + FORK % "late" + '[[runs]]\nname = "late"',
            "runs.0: fork.of = 'late': that run is not above this one: move it up",
        ),
        (
            '[[runs]]\nname = "self"\n' + FORK % "self",
            "runs.0: fork.of = 'self': that run is not above this one",
        ),
        ('[[runs]]\nfork = "main"', "runs.0: fork = 'main': input should be"),
        ('[[runs]]\nname = "a"\n[[runs]]\nfork.of = "a"', "runs.1: fork = {'of': '"),
        (
            "[[runs]]\nfork.of = [1]\nfork.at = 3",
            "runs.0: fork.of = [1]: input should be a valid string",
        ),
        (
            "[[runs]]\nname = 'a'\n[[runs]]\ninterventions = 3\n" + FORK % "a",
            "runs.1: interventions = 3: ",
        ),
        ('preset = "nanda2032"', "preset = 'nanda2032': no such preset; did you mean 'nanda2023'?"),
        ("preset = 3", "preset = 3: no such preset; presets: "),
        ('preset = ""', "preset = '': no such preset; presets: "),
        ("[[preset]]\na = 1", "preset = [{'a': 1}]: no such preset"),
        (
            "[[runs]]\n" + FORK % ("0" * 16) + "steps = 10",
            "runs.0: fork.at.step = 10 leaves nothing to do in this run of 10 steps",
        ),
    ],
)
def test_a_file_that_cannot_be_is_an_error_of_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_runs(text)
    told = str(caught.value)
    assert told.startswith(message)
    assert "\n" not in told
    assert len(told) < 300


def test_names_are_kept_by_run_and_shared_by_its_seeds() -> None:
    found = read_file(TOP + ARMS, seeds=2)
    trunk, faster, third = found.runs[:3]
    assert found.names == {
        **{spec.id: ("trunk",) for spec in (trunk, found.runs[3])},
        **{spec.id: ("faster",) for spec in (faster, found.runs[4])},
    }
    assert third.id not in found.names
    twice = read_file(f'{TOP}\n[[runs]]\nname = "a"\n[[runs]]\nname = "b"')
    assert twice.names == {tiny.spec().id: ("a", "b")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOP,
        TOP + ARMS,
        f'{TOP}\n[[runs]]\nname = "it\'s [one] \\"run\\""',
        f"{TOP}\n[[runs]]\n[[runs]]\nsteps = 31",
        *(f'preset = "{name}"' for name in PRESETS),
        'preset = "nanda2023"\n[[runs]]\nname = "a"\n[[runs]]\nfork.of = "a"\nfork.at.name = "on_onset"',
    ],
)
def test_a_file_with_every_default_is_read_as_the_same_file(text: str) -> None:
    found = read_file(text)
    again = read_file(found.to_toml())
    assert again == found
    assert [spec.id for spec in again.runs] == [spec.id for spec in found.runs]
    assert again.to_toml() == found.to_toml()
