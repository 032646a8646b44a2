"""A run is a value: it survives being written, its id is the same everywhere, and errors are plain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from undergrowth.measures import Curves, Deletion, Norms, Saliency
from undergrowth.models import TransformerSpec, TwoTokenMLPSpec
from undergrowth.spec import RunSpec, Seeds, SpecError
from undergrowth.studies.one_layer_addition import SMALL
from undergrowth.tasks import CommutationSafe, Group, LeakyRandom, Modular
from undergrowth.training.batches import FullBatch, MiniBatch
from undergrowth.training.interventions import (
    AtStep,
    Intervention,
    NoOp,
    ScaleLearningRate,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.optimisers import SGD, AdamW
from undergrowth.training.schedules import Schedule

UP = st.floats(1e-6, 1e3)
SCHEDULES = st.builds(Schedule, every=st.integers(1, 99), per_decade=st.integers(1, 99))
TRIGGERS = st.one_of(
    st.builds(AtStep, step=st.integers(0, 1000)),
    st.builds(
        WhenCrosses,
        reading=st.sampled_from(["train_loss", "val_accuracy"]),
        direction=st.sampled_from(["above", "below"]),
        level=st.floats(-1e6, 1e6),
        evaluations=st.integers(1, 9),
    ),
)
ACTIONS = st.one_of(
    st.just(NoOp()),
    st.builds(ScaleLearningRate, factor=UP, keep_decay_pull=st.booleans()),
    st.builds(SetWeightDecay, weight_decay=UP),
)
SPECS = st.builds(
    RunSpec,
    task=st.one_of(
        st.builds(Modular, operation=st.sampled_from(["x+y", "x*y"]), p=st.integers(2, 200)),
        st.builds(Modular, operation=st.just("x/y"), p=st.sampled_from([7, 113])),
        st.builds(
            Group, group=st.sampled_from(["S5", "C2xC4"]), operation=st.sampled_from(["xy", "xyx"])
        ),
    ),
    split=st.one_of(
        *(st.builds(kind, frac_train=st.floats(0.01, 0.99)) for kind in (CommutationSafe, LeakyRandom))
    ),
    labels=st.sampled_from(["true", "shuffled"]),
    model=st.one_of(
        st.builds(TransformerSpec, d_mlp=st.integers(1, 999), init_scale=UP),
        st.builds(TwoTokenMLPSpec, d_embed=st.integers(1, 999), bias=st.booleans()),
    ),
    loss=st.sampled_from(["cross_entropy", "cross_entropy_float32"]),
    optimiser=st.one_of(
        st.builds(AdamW, lr=UP, betas=st.tuples(*2 * [st.floats(0, 0.999)]), weight_decay=UP),
        st.builds(SGD, lr=UP, momentum=st.floats(0, 0.999), warmup_steps=st.integers(0, 99)),
    ),
    batch=st.one_of(st.just(FullBatch()), st.builds(MiniBatch, batch_size=st.integers(1, 999))),
    steps=st.integers(1001, 10**6),
    measures=st.tuples(
        st.builds(Curves, schedule=SCHEDULES),
        st.builds(Saliency, score=st.sampled_from(["margin", "log_prob"]), n_nodes=st.integers(1, 9)),
        st.builds(Deletion, ks=st.just((0, 2, 5)), repeats=st.integers(1, 9)),
    ),
    checkpoints=SCHEDULES,
    interventions=st.lists(st.builds(Intervention, trigger=TRIGGERS, action=ACTIONS), max_size=3).map(
        tuple
    ),
    seeds=st.builds(Seeds, **{name: st.integers(0, 2**31 - 1) for name in Seeds.model_fields}),
    threads=st.integers(1, 8),
)


@given(spec=SPECS)
def test_a_spec_survives_toml(spec: RunSpec) -> None:
    back = RunSpec.from_toml(spec.to_toml())
    assert back == spec
    assert back.id == spec.id


@given(spec=SPECS)
def test_a_spec_survives_json(spec: RunSpec) -> None:
    back = RunSpec.from_dict(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert back == spec
    assert back.id == spec.id


def reversed_order(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {key: reversed_order(fields[key]) for key in reversed(fields)}
    return [reversed_order(item) for item in fields] if isinstance(fields, list) else fields


@given(spec=SPECS)
def test_the_id_does_not_depend_on_the_order_of_keys(spec: RunSpec) -> None:
    assert RunSpec.from_dict(reversed_order(spec.model_dump(mode="json"))).id == spec.id


def test_the_id_is_the_same_in_another_process() -> None:
    spec = tiny.spec(interventions=[{"trigger": AtStep(step=3), "action": NoOp()}])
    code = (
        "import sys; from undergrowth.spec import RunSpec; print(RunSpec.from_toml(sys.stdin.read()).id)"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        input=spec.to_toml(),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert elsewhere.stdout.strip() == spec.id
    assert len(spec.id) == 16
    assert int(spec.id, 16) >= 0


def test_a_released_spec_keeps_its_id() -> None:
    assert SMALL.seeded(0).id == "fd9de12aeb4fc290"


def test_defaults_need_not_be_written() -> None:
    assert RunSpec.from_toml("") == RunSpec()
    assert RunSpec.from_toml("[optimiser]\nlr = 0.5").optimiser == AdamW(lr=0.5)
    whole_number, decimal = (RunSpec.from_toml(f"[optimiser]\nlr = {lr}") for lr in ("1", "1.0"))
    assert whole_number.id == decimal.id


def leaves(fields: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    if isinstance(fields, dict):
        return [leaf for key, value in fields.items() for leaf in leaves(value, *path, key)]
    if isinstance(fields, list):
        return [leaf for i, value in enumerate(fields) for leaf in leaves(value, *path, i)]
    return [path]


WHOLE = tiny.spec(
    batch={"name": "mini", "batch_size": 4},
    interventions=[{"trigger": AtStep(step=3), "action": ScaleLearningRate(factor=2)}],
)


OTHER_CHOICES = {
    "operation": "x-y",
    "labels": "shuffled",
    "loss": "cross_entropy_float32",
    "frac_train": 0.55,
}


def moved(name: str, value: Any) -> Any:
    """Another possible value of a field; None where its kind or its only choice leaves none."""
    if isinstance(value, bool):
        return not value
    if name in OTHER_CHOICES or isinstance(value, str):
        return OTHER_CHOICES.get(name)
    return value / 2 if isinstance(value, float) else value + 1


def fields_that_can_move() -> list[tuple[str | int, ...]]:
    whole = WHOLE.model_dump(mode="json")
    return [path for path in leaves(whole) if moved(str(path[-1]), at(whole, path)) is not None]


def at(fields: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        fields = fields[key]
    return fields


@pytest.mark.parametrize("path", fields_that_can_move(), ids=lambda path: ".".join(map(str, path)))
def test_every_field_counts_for_the_id(path: tuple[str | int, ...]) -> None:
    fields = WHOLE.model_dump(mode="json")
    at(fields, path[:-1])[path[-1]] = moved(str(path[-1]), at(fields, path))
    assert RunSpec.from_dict(fields).id != WHOLE.id


def test_nearly_every_field_has_been_moved() -> None:
    names = {str(path[-1]) for path in fields_that_can_move()}
    assert {"p", "frac_train", "d_mlp", "bias", "lr", "batch_size", "steps", "factor", "noise"} <= names
    assert len(fields_that_can_move()) > 30


def test_kinds_count_for_the_id() -> None:
    ids = {WHOLE.id}
    for field, kind in (
        ("task", Group(group="S2")),
        ("split", LeakyRandom(frac_train=tiny.SPLIT.frac_train)),
        ("model", tiny.TRANSFORMER),
        ("optimiser", SGD()),
        ("batch", FullBatch()),
        ("measures", (Curves(schedule=Schedule(**tiny.EVERY_10)),)),
        ("interventions", (Intervention(trigger=AtStep(step=3), action=NoOp()),)),
    ):
        ids.add(WHOLE.replace(**{field: kind}).id)
    assert len(ids) == 8


def test_replacing_gives_a_checked_copy() -> None:
    spec = tiny.spec()
    other = spec.replace(steps=7)
    assert (other.steps, spec.steps) == (7, 30)
    assert other.replace(steps=30) == spec
    with pytest.raises(SpecError, match=r"^stepz = 3: unknown key 'stepz'; did you mean 'steps'\?$"):
        spec.replace(stepz=3)
    with pytest.raises(SpecError, match=r"^steps = 0: input should be greater"):
        spec.replace(steps=0)


def test_seeding_sets_all_three_seeds_and_nothing_else() -> None:
    spec = tiny.spec()
    seeded = spec.seeded(5)
    assert seeded.seeds == Seeds(model=5, data=5, noise=5)
    assert seeded.replace(seeds=spec.seeds) == spec
    assert len({spec.seeded(seed).id for seed in range(10)}) == 10


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(tiny.spec(), "steps", 3)  # noqa: B010 (what is tested)


def test_a_run_describes_itself() -> None:
    assert tiny.spec().describe() == "x+y mod 5, seed 0"
    assert tiny.spec(labels="shuffled").seeded(3).describe() == "x+y mod 5, seed 3, shuffled labels"


def test_the_data_are_those_of_task_split_labels_and_seed() -> None:
    data = tiny.spec().data()
    assert (data.labels == data.inputs.sum(axis=1) % 5).all()
    assert data.n_train == 15
    other = tiny.spec(seeds={"data": 1}).data()
    assert (other.is_train != data.is_train).any()
    assert (tiny.spec(seeds={"model": 1, "noise": 1}).data().is_train == data.is_train).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stepz": 3}, "stepz = 3: unknown key 'stepz'; did you mean 'steps'?"),
        (
            {"optimiser": {"name": "adamw", "weigth_decay": 1}},
            "optimiser.weigth_decay = 1: unknown key 'weigth_decay'; did you mean 'weight_decay'?",
        ),
        (
            {"measures": [{"name": "curves", "schedule": {"evry": 3}}]},
            "measures.0.schedule.evry = 3: unknown key 'evry'; did you mean 'every'?",
        ),
        (
            {"interventions": [{"trigger": {"name": "at_step", "step": 3, "stap": 1}, "action": {}}]},
            "interventions.0.trigger.stap = 1: unknown key 'stap'; did you mean 'step'?",
        ),
        (
            {"seeds": {"zzz": 1}},
            "seeds.zzz = 1: unknown key 'zzz'; known keys: data, model, noise",
        ),
        (
            {"optimiser": {"name": "sgd", "betas": [0.9, 0.9]}},
            "optimiser.betas = [0.9, 0.9]: unknown key 'betas'",
        ),
        ({"steps": "many"}, "steps = 'many': input should be a valid integer"),
        ({"steps": 0}, "steps = 0: input should be greater than or equal to 1"),
        ({"steps": 1.5}, "steps = 1.5: input should be a valid integer"),
        ({"steps": True}, "steps = True: input should be a valid integer"),
        ({"steps": "12"}, "steps = '12': input should be a valid integer"),
        ({"task": {"p": "53"}}, "task.p = '53': input should be a valid integer"),
        ({"optimiser": {"lr": "1"}}, "optimiser.lr = '1': input should be a valid number"),
        ({"optimiser": {"lr": True}}, "optimiser.lr = True: input should be a valid number"),
        (
            {"optimiser": {"betas": [True, 0.9]}},
            "optimiser.betas.0 = True: input should be a valid number",
        ),
        ({"optimiser": {"betas": [0.9]}}, "optimiser.betas = [0.9]: value 2 is missing"),
        ({"optimiser": {"betas": [0.9, 0.9, 0.9]}}, "optimiser.betas = [0.9, 0.9, 0.9]: tuple should"),
        ({"task": 7}, "task = 7: input should be"),
        (
            {"task": {"name": "modularr"}},
            "task.name = 'modularr': unknown name; known names: 'digits', 'feature_table', "
            "'group', 'modular', 'sparse_parity', 'table'; did you mean 'modular'?",
        ),
        ({"task": {"name": 3}}, "task.name = '3': unknown name; known names: 'digits', "),
        (
            {"measures": [{"name": "curvs"}]},
            "measures.0.name = 'curvs': unknown name; known names: 'cur",
        ),
        ({"measures": [{"name": "curvs"}]}, "; did you mean 'curves'?"),
        ({"measures": [{}]}, "measures.0 = {}: it has no name; known names: 'curves', "),
        (
            {"interventions": [{"trigger": {"step": 3}, "action": {"name": "no_op"}}]},
            "interventions.0.trigger = {'step': 3}: it has no name; "
            "known names: 'at_step', 'when_crosses'",
        ),
        (
            {"interventions": [{"trigger": AtStep(step=30), "action": NoOp()}]},
            "interventions.0.trigger.step = 30 is past the last update, which leads from step 29 to 30: "
            "take a step below 30, or more steps",
        ),
        (
            {"task": {"name": "modular", "operation": "x^y"}},
            "task.operation = 'x^y': input should be 'x+y', 'x-y', 'x*y', 'x/y', ",
        ),
        (
            {"task": {"name": "modular", "operation": "x/y", "p": 12}},
            "task: p = 12 is not prime, and x/y mod p needs every y > 0 to have an inverse: "
            "take a prime p, such as 13",
        ),
        (
            {"split": {"name": "commutation_safe", "frac_train": 1.5}},
            "split.frac_train = 1.5: input should be less than 1",
        ),
        ({"split": {"frac_train": 1}}, "split.frac_train = 1: input should be less than 1"),
        ({"split": {"frac_train": 0}}, "split.frac_train = 0: input should be greater than 0"),
        ({"split": {"frac_train": -0.5}}, "split.frac_train = -0.5: input should be greater than 0"),
        (
            {"model": {"name": "transformer", "d_model": 128, "n_heads": 4, "d_head": 16}},
            "model: n_heads * d_head = 4 * 16 must be d_model = 128: set d_head = 32",
        ),
        (
            {"model": {"name": "transformer", "d_model": 128, "n_heads": 3, "d_head": 32}},
            "model: n_heads * d_head = 3 * 32 must be d_model = 128: set d_model = 96",
        ),
        (
            {"measures": [{"name": "norms"}]},
            "measures have no 'curves', which events need: add { name = 'curves' }",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "norms"}, {"name": "norms"}]},
            "measures hold 'norms' twice, so its readings would clash: drop one",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "saliency", "component": "head"}]},
            "measures look at component = 'head', which a two_token_mlp has not: take 'neuron'",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "deletion", "ks": [2, 1]}]},
            "measures.1: ks = [2, 1] must ascend from 0, where the model is whole: set ks = [0, 1, 2]",
        ),
        (
            {"optimiser": {"name": "adamw", "lr": float("nan")}},
            "optimiser.lr = nan: input should be a finite number",
        ),
        (
            {"optimiser": {"name": "adamw", "lr": -1}},
            "optimiser.lr = -1: input should be greater than 0",
        ),
        ({"seeds": {"model": -1}}, "seeds.model = -1: input should be greater than or equal to 0"),
        ({"labels": "false"}, "labels = 'false': input should be 'true', 'shuffled' or 'random'"),
        (
            {"labels": "suffled"},
            "labels = 'suffled': input should be 'true', 'shuffled' or 'random'; did you mean "
            "'shuffled'?",
        ),
        (
            {"interventions": [{"trigger": {"name": "at_step", "step": 3}}]},
            "interventions.0 = {'trigger': {'name': 'at_step', 'step': 3}}: 'action' is missing",
        ),
        ({"optimiser": {"lr": "a\nb"}}, r"optimiser.lr = 'a\nb': input should be a valid number"),
        ({"steps": [0] * 1000}, "steps = [0, 0, 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_spec_is_an_error_of_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny.spec(**fields)
    told = str(caught.value)
    assert message in told
    assert "\n" not in told
    assert len(told) < 250


def test_a_trigger_at_the_last_update_is_possible() -> None:
    at_29 = {"trigger": {"name": "at_step", "step": 29}, "action": {"name": "no_op"}}
    assert tiny.spec(steps=30, interventions=[at_29]).interventions[0].trigger == AtStep(step=29)


def test_numpys_numbers_are_numbers() -> None:
    spec = RunSpec(steps=np.int64(7), optimiser=AdamW(lr=np.float64(0.25)))  # pyright: ignore[reportArgumentType]
    assert spec == RunSpec(steps=7, optimiser=AdamW(lr=0.25))
    assert spec.id == RunSpec(steps=7, optimiser=AdamW(lr=0.25)).id


def test_a_spec_built_in_python_has_the_same_errors() -> None:
    with pytest.raises(SpecError, match=r"^steps = 0: input should be greater than or equal to 1$"):
        RunSpec(steps=0)
    with pytest.raises(SpecError, match=r"^stepz = 3: unknown key 'stepz'; did you mean 'steps'\?$"):
        RunSpec(**cast(Any, {"stepz": 3}))
    with pytest.raises(ValueError, match=r"^measures have no 'curves'"):
        RunSpec(measures=(Norms(),))


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"split": {"frac_train": 0.001}}, ["frac_train = 0.001", "no training example", "towards 0.5"]),
        ({"split": {"frac_train": 0.999}}, ["frac_train = 0.999", "no validation example", "both"]),
        (
            {"batch": {"name": "mini", "batch_size": 16}},
            ["batch_size = 16", "15 training examples", "smaller batch"],
        ),
    ],
)
def test_data_that_cannot_be_had_are_an_error_of_one_line(
    fields: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        tiny.spec(**fields).data()
    told = str(caught.value)
    assert all(part in told for part in parts)
    assert "\n" not in told


def test_a_batch_of_exactly_the_data_is_possible() -> None:
    assert tiny.spec(batch={"name": "mini", "batch_size": 15}).data().n_train == 15


@pytest.mark.parametrize("text", ["steps = ", "steps = 3\nsteps = 4", "[task"])
def test_what_is_not_toml_is_an_error_of_one_line(text: str) -> None:
    with pytest.raises(SpecError, match=r"^not TOML: ") as caught:
        RunSpec.from_toml(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [None, 3, [1, 2]])
def test_what_is_no_table_is_an_error_of_one_line(given: Any) -> None:
    with pytest.raises(SpecError, match=r"^the spec = ") as caught:
        RunSpec.from_dict(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [tiny.transformer, tiny.mlp])
def test_specs_know_the_components_of_their_models(make: Callable[[], Any]) -> None:
    spec = {tiny.transformer: tiny.TRANSFORMER, tiny.mlp: tiny.MLP}[make]
    assert spec.components == tuple(site.component for site in make().sites)


def test_the_default_measures_are_there() -> None:
    assert {type(measure) for measure in RunSpec().measures} == {Curves, Norms}
