"""A run is a value: it survives being written, its id is the same everywhere, and errors are plain."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError

from tests import tiny
from undergrowth.measures import Curves, Deletion, Norms, Saliency
from undergrowth.models import MLPSpec, TransformerSpec, TwoTokenMLPSpec
from undergrowth.schedules import Schedule
from undergrowth.spec import Fork, RunSpec, Seeds, SpecError
from undergrowth.studies.one_layer_addition import SMALL
from undergrowth.tasks import (
    CommutationSafe,
    Digits,
    Equal,
    FeatureTable,
    Given,
    Group,
    LeakyRandom,
    Modular,
    OfGroups,
    OfNoisy,
    PowerLaw,
    SparseParity,
    Table,
)
from undergrowth.training.batches import Blocked, FullBatch, MiniBatch, WithReplacement
from undergrowth.training.interventions import (
    Ablate,
    AfterFork,
    AfterIntervention,
    Anneal,
    AtStep,
    ClampNorm,
    Components,
    Freeze,
    FreezeParameters,
    Intervention,
    Kick,
    NoOp,
    OnOnset,
    RescaleNorm,
    ResetMoments,
    ScaleLearningRate,
    SetBatch,
    SetData,
    SetNoise,
    SetTemperature,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.noise import Noise
from undergrowth.training.optimisers import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    GrokfastEMA,
    Muon,
    NoFilter,
    OrthogonalGradient,
    SignSGD,
)
from undergrowth.training.stopping import Stop
from undergrowth.values import Value, essence, unchecked


def _with_a_follower(interventions: list[Intervention]) -> tuple[Intervention, ...]:
    """The same, and one that comes some steps after the first."""
    later = [Intervention(trigger=AfterIntervention(intervention=0, steps=3), action=NoOp())]
    return (*interventions, *(later if interventions else []))


SPECS = TypeAdapter(RunSpec)

UP = st.floats(1e-6, 1e3)
SHARE = st.just(0.0) | st.floats(1e-6, 0.999)
BATCHES = st.one_of(
    st.just(FullBatch()),
    st.builds(MiniBatch, batch_size=st.integers(1, 999)),
    st.builds(WithReplacement, batch_size=st.integers(1, 999)),
    st.builds(Blocked, batch_size=st.integers(1, 999), repeats=st.integers(1, 99)),
)
SCHEDULES = st.builds(Schedule, every=st.integers(1, 99), per_decade=st.integers(1, 99))
FORK_POINTS = st.one_of(
    st.builds(AtStep, step=st.integers(0, 1000)),
    st.builds(
        WhenCrosses,
        reading=st.sampled_from(["train_loss", "val_accuracy"]),
        direction=st.sampled_from(["above", "below"]),
        level=st.floats(-1e6, 1e6).map(lambda level: round(level, 6)),
        evaluations=st.integers(1, 9),
    ),
    st.builds(
        OnOnset,
        rule=st.sampled_from(["accuracy", "loss"]),
        margin=st.floats(0.01, 0.9),
        evaluations=st.integers(1, 9),
    ),
)
TRIGGERS = st.one_of(
    FORK_POINTS, st.builds(AfterFork, steps=st.integers(0, 99)), st.just(AtStep(step=1000))
)
COMPONENTS = st.one_of(
    st.builds(Components, indices=st.just((0,))),
    st.builds(Components, choice=st.sampled_from(["random", "most_salient"]), n=st.just(1)),
)
NAMES = st.sampled_from(["*", "*W_*"])
ACTIONS = st.one_of(
    st.just(NoOp()),
    st.just(ResetMoments()),
    st.builds(ScaleLearningRate, factor=UP, keep_decay_pull=st.booleans()),
    st.builds(
        Anneal,
        factor=SHARE,
        steps=st.integers(1, 99),
        shape=st.sampled_from(["linear", "cosine"]),
    ),
    st.builds(SetWeightDecay, weight_decay=UP),
    st.builds(SetBatch, batch=BATCHES),
    st.builds(SetNoise, gradient=st.none() | UP, weight=UP, dropout=st.none() | SHARE),
    st.builds(SetTemperature, temperature=UP),
    st.builds(SetData, keep=st.floats(0.01, 0.99), label_noise=st.none() | SHARE),
    st.builds(RescaleNorm, factor=UP, parameters=NAMES),
    st.builds(ClampNorm, norm=UP, hold=st.sampled_from(["at", "below"])),
    st.builds(Kick, norm=UP, relative=st.booleans(), parameters=NAMES),
    st.builds(Ablate, components=COMPONENTS, baseline=st.sampled_from(["zero", "mean"])),
    st.builds(Freeze, components=COMPONENTS),
    st.builds(FreezeParameters, parameters=NAMES),
)
FILTERS = st.one_of(
    st.just(NoFilter()), st.builds(GrokfastEMA, alpha=SHARE, lamb=UP), st.just(OrthogonalGradient())
)
ANNEALINGS = st.one_of(st.just(Constant()), st.builds(Cosine, steps=st.integers(1, 999), final=SHARE))
OPTIMISERS = st.one_of(
    st.builds(
        AdamW,
        lr=UP,
        betas=st.tuples(SHARE, SHARE),
        decay_to=st.sampled_from(["zero", "init"]),
        filter=FILTERS,
        annealing=ANNEALINGS,
    ),
    st.builds(Adam, lr=UP, weight_decay=UP, filter=FILTERS),
    st.builds(SGD, lr=UP, momentum=SHARE, nesterov=st.booleans(), annealing=ANNEALINGS),
    st.builds(SignSGD, lr=UP, warmup_steps=st.integers(0, 99)),
    st.builds(Muon, lr=UP, ns_steps=st.integers(1, 9), adam_lr=UP),
)
PARITY = SparseParity(n_bits=5, k=2, n_examples=32)
NUMBERS = FeatureTable(csv='a,"b ""c""",label\n1,0.5,0\n2,-3e4,1\n')
TASKS_AND_MODELS = st.one_of(
    st.tuples(
        st.one_of(
            st.builds(Modular, operation=st.sampled_from(["x+y", "x*y"]), p=st.integers(2, 200)),
            st.builds(Modular, operation=st.just("x/y"), p=st.sampled_from([7, 113])),
            st.builds(
                Group, group=st.sampled_from(["S5", "C2xC4"]), operation=st.sampled_from(["xy", "xyx"])
            ),
            st.just(Table(csv="x,y,label\n0,0,0\n0,1,1\n1,0,1\n", title='a "b" \\ ü')),
        ),
        st.one_of(
            st.builds(TransformerSpec, d_mlp=st.integers(1, 999), init_scale=UP),
            st.builds(
                TransformerSpec,
                n_layers=st.just(2),
                layer_norm=st.sampled_from(["pre", "post"]),
                prompt=st.sampled_from(["x y =", "<eos> x o y ="]),
                attn_bias=st.sampled_from([True, False, "output"]),
                pos_embed=st.sampled_from(["learned", "scaled", "sinusoidal"]),
                unembed_bias=st.booleans(),
            ),
            st.builds(TwoTokenMLPSpec, d_embed=st.integers(1, 999), bias=st.booleans()),
        ),
    ),
    st.tuples(
        st.sampled_from([PARITY, Digits(), NUMBERS]),
        st.builds(MLPSpec, d_mlp=st.integers(1, 999), n_hidden=st.integers(1, 4)),
    ),
)
WEIGHTS = st.one_of(
    st.just(Equal()),
    st.builds(OfNoisy, weight=UP),
    st.builds(PowerLaw, exponent=UP),
    st.builds(OfGroups, values=st.lists(UP, min_size=1, max_size=4).map(tuple)),
    st.builds(Given, values=st.lists(UP, min_size=1, max_size=4).map(tuple)),
)
FIELDS = st.fixed_dictionaries(
    {
        "task_and_model": TASKS_AND_MODELS,
        "split": st.one_of(
            *(
                st.builds(kind, frac_train=st.floats(0.01, 0.99))
                for kind in (CommutationSafe, LeakyRandom)
            )
        ),
        "labels": st.sampled_from(["true", "shuffled", "random"]),
        "label_noise": SHARE,
        "weights": WEIGHTS,
        "loss": st.sampled_from(["cross_entropy", "cross_entropy_float32", "stablemax", "mse"]),
        "temperature": UP,
        "optimiser": OPTIMISERS,
        "noise": st.builds(Noise, gradient=SHARE, weight=SHARE, dropout=SHARE, update=UP),
        "batch": BATCHES,
        "steps": st.integers(1001, 10**6),
        "measures": st.tuples(
            st.builds(Curves, schedule=SCHEDULES),
            st.builds(
                Saliency, score=st.sampled_from(["centred_logit", "log_prob"]), n_nodes=st.integers(1, 9)
            ),
            st.builds(Deletion, ks=st.just((0, 2, 5)), repeats=st.integers(1, 9)),
        ),
        "checkpoints": SCHEDULES,
        "fork": st.builds(Fork, of=st.from_regex(r"[0-9a-f]{16}", fullmatch=True), at=FORK_POINTS),
        "interventions": st.lists(
            st.builds(Intervention, trigger=TRIGGERS, action=ACTIONS), max_size=2
        ).map(_with_a_follower),
        "stop": st.lists(
            st.builds(Stop, level=SHARE, evaluations=st.integers(1, 99), after=st.integers(0, 999)),
            max_size=2,
        ).map(tuple),
        "seeds": st.builds(Seeds, **{name: st.integers(0, 2**31 - 1) for name in Seeds.model_fields}),
        "threads": st.integers(1, 8),
    }
)


def built(task_and_model: tuple[Any, Any], **fields: Any) -> RunSpec:
    """The spec, built in the test: what JAX does in between is no part of a strategy."""
    task, model = task_and_model
    return RunSpec(task=task, model=model, **fields)


@given(fields=FIELDS)
def test_a_spec_survives_toml_and_json(fields: dict[str, Any]) -> None:
    spec = built(**fields)
    plain = json.loads(json.dumps(spec.model_dump(mode="json")))
    for back in (RunSpec.from_toml(spec.to_toml()), RunSpec.from_dict(plain)):
        assert back == spec
        assert back.id == spec.id
    assert RunSpec.from_dict(reversed_order(plain)).id == spec.id  # the order of keys means nothing


def reversed_order(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {key: reversed_order(fields[key]) for key in reversed(fields)}
    return [reversed_order(item) for item in fields] if isinstance(fields, list) else fields


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


def test_a_changed_copy_has_an_id_of_its_own() -> None:
    spec, other = RunSpec(), RunSpec(steps=9)
    assert spec.id != other.id
    assert spec.without_seeds().id != other.without_seeds().id
    copy = spec.model_copy(update={"steps": 9})
    assert copy == other
    assert hash(copy) == hash(other)
    assert copy.id == other.id
    assert copy.without_seeds() == other.without_seeds()
    assert dict(spec) == dict(RunSpec())
    assert spec.model_dump() == RunSpec().model_dump()


def test_what_was_worked_out_of_a_spec_is_no_other_specs() -> None:
    first = tiny.spec().seeded(0)
    first_id, bare = first.id, first.without_seeds()
    second = first.seeded(1)
    del first
    third = second.seeded(2)  # where the first lay, perhaps
    for spec in (second, third):
        anew = RunSpec.from_dict(dict(spec))
        assert spec.id == anew.id != first_id
        assert spec.without_seeds() == bare
        assert vars(unchecked(spec)).keys() == RunSpec.model_fields.keys()


def test_a_released_spec_keeps_its_id() -> None:
    assert SMALL.seeded(0).id == "6f822d12fbed1273"


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


def whole(
    model: dict[str, Any] | None = None, actions: Sequence[Any] = (), **fields: Any
) -> dict[str, Any]:
    """A spec as plain data, with something of many kinds in it."""
    spec = tiny.spec(
        **{"model": model} if model else {},
        **{
            "batch": {"name": "blocked", "batch_size": 4},
            "label_noise": 0.1,
            "weights": {"name": "power_law"},
            "noise": {"gradient": 0.1, "weight": 0.1, "dropout": 0.1},
            "interventions": [
                {"trigger": AtStep(step=13), "action": ScaleLearningRate(factor=2)},
                {"trigger": OnOnset(), "action": SetNoise(gradient=0.1, weight=0.1, dropout=0.1)},
                {
                    "trigger": {"name": "after_intervention", "intervention": 0, "steps": 3},
                    "action": NoOp(),
                },
                {"trigger": AfterFork(steps=2), "action": SetData(keep=0.5, label_noise=0.1)},
                *({"trigger": AtStep(step=14), "action": action} for action in actions),
            ],
            "fork": {"of": "0" * 16, "at": AtStep(step=11)},
            **fields,
        },
    )
    return spec.model_dump(mode="json")


EVERY_ACTION = (
    Anneal(steps=3),
    SetWeightDecay(weight_decay=0.5),
    ResetMoments(),
    SetBatch(batch=MiniBatch(batch_size=3)),
    SetTemperature(temperature=2.0),
    RescaleNorm(factor=0.5),
    ClampNorm(norm=0.5),
    Kick(norm=0.1),
    Ablate(components=Components(indices=(2,))),
    Freeze(components=Components(choice="random", n=2)),
    FreezeParameters(parameters="*"),
)
FILTERED = {"filter": {"name": "grokfast_ema"}, "annealing": {"name": "cosine", "steps": 9}}
WHOLES = {
    "adamw": whole(actions=EVERY_ACTION),
    "stopped": whole(stop=[{"evaluations": 3, "after": 2}]),
    "transformer-adam": whole(
        {**tiny.TRANSFORMER.model_dump(), "layer_norm": "pre"}, optimiser={"name": "adam", **FILTERED}
    ),
    "mlp-sgd": whole(
        {"name": "mlp", "d_mlp": 6},
        optimiser={"name": "sgd", "momentum": 0.5},
        batch={"name": "mini", "batch_size": 4},
        weights={"name": "of_noisy", "weight": 2.0},
    ),
    "muon": whole(optimiser={"name": "muon"}, weights={"name": "given", "values": [1.0, 2.0]}),
    "sign": whole(optimiser={"name": "sign_sgd"}, batch={"name": "with_replacement", "batch_size": 4}),
    "parity": whole(
        {"name": "mlp", "d_mlp": 6},
        task=PARITY.model_dump(),
        fork={"of": "0" * 16, "at": WhenCrosses(reading="val_loss", level=0.5)},
    ),
}

OTHER_CHOICES = {
    "operation": "x-y",
    "labels": "shuffled",
    "loss": "cross_entropy_float32",
    "precision": "bfloat16",
    "frac_train": 0.55,
    "of": "1" * 16,
    "by": "sampling",
    "decay_to": "init",
    "shape": "linear",
    "hold": "below",
    "baseline": "mean",
    "direction": "below",
    "rule": "loss",
    "reading": "train_loss",
    "choice": "largest_norm",
    "parameters": "*W*",
    "act_fn": "gelu",
    "combine": "summed",
    "prompt": "x o y =",
    "pos_embed": "sinusoidal",
    "final_layer_norm": False,
}


def moved(path: Sequence[str | int], value: Any) -> Any:
    """Another value of a field that may be possible; None where none is known."""
    name = path[-1]
    if value is None:
        return {"labels": "shuffled", "gradient": 0.1, "weight": 0.1}.get(str(name))
    if isinstance(value, bool):
        return not value
    if name in OTHER_CHOICES or isinstance(value, str):
        return OTHER_CHOICES.get(str(name))
    return (value / 2 or 0.25) if isinstance(value, float) else value + 1


def with_moved(fields: dict[str, Any], path: Sequence[str | int]) -> RunSpec | None:
    """The spec with one field moved; None where that is not possible."""
    other = copy.deepcopy(fields)
    at(other, path[:-1])[path[-1]] = moved(path, at(fields, path))
    try:
        return SPECS.validate_python(other)  # its errors are not put into words, which takes long
    except ValidationError:
        return None


def at(fields: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        fields = fields[key]
    return fields


@pytest.mark.parametrize("name", WHOLES)
def test_every_field_counts_for_the_id(name: str) -> None:
    fields = WHOLES[name]
    paths = [path for path in leaves(fields) if moved(path, at(fields, path)) is not None]
    others = {path: with_moved(fields, path) for path in paths}
    ids = {path: spec.id for path, spec in others.items() if spec is not None}
    assert len({*ids.values(), RunSpec.from_dict(fields).id}) == len(ids) + 1
    impossible = [".".join(map(str, path)) for path, spec in others.items() if spec is None]
    assert len(impossible) < 0.15 * len(paths), impossible


def test_nearly_every_field_of_every_kind_has_been_moved() -> None:
    """All but what has one choice alone, and what would not be possible with the rest."""
    seen = {
        str(path[-1])
        for fields in WHOLES.values()
        for path in leaves(fields)
        if moved(path, at(fields, path)) is not None and with_moved(fields, path) is not None
    }
    kinds = (RunSpec, TransformerSpec, TwoTokenMLPSpec, MLPSpec, Muon, AdamW, SGD, Blocked, Noise)
    kinds += (PowerLaw, OfNoisy, SetNoise, SetData, Kick, ClampNorm, Ablate, Components, WhenCrosses)
    kinds += (
        Stop,
        OnOnset,
        AfterFork,
        AfterIntervention,
        Fork,
        Seeds,
        SparseParity,
        GrokfastEMA,
        Cosine,
    )
    named = {name for kind in kinds for name in kind.model_fields}
    assert named - seen <= {
        *("task", "split", "weights", "model", "optimiser", "batch", "measures", "checkpoints"),
        *("fork", "origin", "interventions", "seeds", "at", "filter", "annealing", "components", "name"),
        *("noise", "stop", "betas", "adam_betas", "indices", "component"),
        *("init_mode", "logits", "residual_from_layer_norm", "layer_norm", "layer", "n"),
        "operand_embeddings",
    }


def test_kinds_count_for_the_id() -> None:
    plain = tiny.spec()
    others: list[tuple[str, Sequence[Any]]] = [
        ("task", (Group(group="S2"), Modular(p=7), Table(csv="x,y,label\n0,0,0\n0,1,1\n"))),
        ("split", (LeakyRandom(frac_train=tiny.SPLIT.frac_train),)),
        ("model", (tiny.TRANSFORMER, MLPSpec())),
        ("optimiser", (SGD(), AdamW(), Adam(), SignSGD(), Muon())),
        ("optimiser", [AdamW(filter=kind) for kind in (GrokfastEMA(), OrthogonalGradient())]),
        ("optimiser", [AdamW(annealing=Cosine())]),
        ("batch", (MiniBatch(), WithReplacement(), Blocked())),
        ("weights", (OfNoisy(), PowerLaw(), OfGroups(values=(1.0,)), Given(values=(1.0,)))),
        ("measures", ((Curves(schedule=Schedule.model_validate(tiny.EVERY_10)),),)),
        ("fork", [Fork(of="0" * 16, at=point) for point in (AtStep(step=0), OnOnset())]),
        *(
            ("interventions", [(Intervention(trigger=AtStep(step=3), action=action),)])
            for action in (NoOp(), *EVERY_ACTION, SetNoise(weight=0.0), SetData(keep=0.5))
        ),
        ("interventions", [(Intervention(trigger=OnOnset(), action=NoOp()),)]),
    ]
    ids = [plain.replace(**{field: kind}).id for field, kinds in others for kind in kinds]
    assert len({*ids, plain.id}) == len(ids) + 1


class Before(Value):
    """A kind as it was in an earlier version, beside the later one and another kind."""

    name: Literal["kind"] = "kind"
    size: float = 1.0


class Later(Before):
    bias: bool = False
    inner: Before = Before(size=2.0)


class Other(Value):
    name: Literal["other"] = "other"
    size: float = 1.0


def test_a_field_added_with_a_default_leaves_what_a_value_is() -> None:
    assert essence(Later()) == essence(Before()) == {"name": "kind"}
    assert essence(Later(size=3)) == essence(Before(size=3)) == {"name": "kind", "size": 3.0}


def test_what_is_not_at_its_default_counts() -> None:
    assert essence(Later(bias=True)) == {"name": "kind", "bias": True}
    assert essence(Later(inner=Before())) == {"name": "kind", "inner": {"name": "kind"}}
    assert essence((Before(), Other())) == [{"name": "kind"}, {"name": "other"}]


def test_what_is_required_counts_whatever_it_is() -> None:
    assert essence(AtStep(step=0)) == {"name": "at_step", "step": 0}


def test_equal_values_are_one_whichever_way_zero_is_written() -> None:
    below, above = (WhenCrosses(reading="val_loss", level=zero) for zero in (-0.0, 0.0))
    assert below == above
    assert json.dumps(essence(below)) == json.dumps(essence(above))


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
    with pytest.raises(ValueError, match="a value cannot be changed"):
        setattr(tiny.spec(), "steps", 3)  # noqa: B010 (what is tested)


def test_a_run_describes_itself() -> None:
    assert tiny.spec().describe() == "x+y mod 5, seed 0"
    assert tiny.spec(labels="shuffled").seeded(3).describe() == "x+y mod 5, seed 3, shuffled labels"


def test_arms_of_one_trunk_describe_themselves_differently() -> None:
    trunk = tiny.spec()
    scaled, kicked = (
        Intervention(trigger=trigger, action=action)
        for trigger, action in (
            (AfterFork(), ScaleLearningRate(factor=10)),
            (AtStep(step=25), Kick(norm=0.5, parameters="*.W_U")),
        )
    )
    fork = "x+y mod 5, seed 0, fork at step 20"
    bare = trunk.forked(AtStep(step=20))
    assert bare.describe() == fork
    assert trunk.forked(AtStep(step=20), scaled).describe() == (
        f"{fork}, then scale_learning_rate factor=10"
    )
    assert trunk.forked(AtStep(step=20), kicked).describe() == (
        f"{fork}, then kick parameters=*.W_U norm=0.5 at step 25"
    )
    often = trunk.forked(AtStep(step=20), *[kicked] * 5)
    assert often.describe().endswith("norm=0.5 at step 25, then 2 more")
    noisy = trunk.forked(AtStep(step=20), seeds={"noise": 7})
    assert noisy.describe() == fork.replace("seed 0", "seed 0, noise seed 7")


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (WhenCrosses(reading="val_loss", direction="below", level=0.5), "at val_loss ≤ 0.5"),
        (
            WhenCrosses(reading="val_loss", level=2, evaluations=3),
            "at val_loss ≥ 2 3 times running",
        ),
        (OnOnset(rule="loss"), "at onset by loss"),
        (AfterIntervention(intervention=1, steps=5), "5 steps after intervention 1"),
        (AfterFork(steps=5), "5 steps after the fork"),
    ],
)
def test_a_trigger_says_when(trigger: Any, words: str) -> None:
    assert Intervention(trigger=trigger, action=NoOp()).describe() == f"no_op {words}"


def test_runs_that_differ_in_chance_alone_are_alike() -> None:
    arms = [tiny.spec().seeded(seed).forked(AtStep(step=20)) for seed in range(3)]
    assert len({arm.without_seeds().id for arm in arms}) == 1
    assert arms[0].without_seeds() != tiny.spec().forked(AtStep(step=10)).without_seeds()


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
            "task.name = 'modularr': unknown name; did you mean 'modular'?",
        ),
        (
            {"task": {"name": 3}},
            "task.name = '3': unknown name; known names: 'boolean_function', 'characters', ",
        ),
        (
            {"measures": [{"name": "curvs"}]},
            "measures.0.name = 'curvs': unknown name; did you mean 'curves'?",
        ),
        ({"measures": [{"name": "x"}]}, "measures.0.name = 'x': unknown name; known names: 'ali"),
        ({"measures": [{}]}, "measures.0 = {}: name is missing; known names: 'alignment', "),
        (
            {"interventions": [{"trigger": {"step": 3}, "action": {"name": "no_op"}}]},
            "interventions.0.trigger = {'step': 3}: name is missing; "
            "known names: 'after_fork', 'after_intervention', 'at_step', 'on_onset', 'when_crosses'",
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
            "use a prime p, such as 13",
        ),
        (
            {"split": {"name": "commutation_safe", "frac_train": 1.5}},
            "split.frac_train = 1.5: input should be less than 1",
        ),
        ({"split": {"frac_train": 1}}, "split.frac_train = 1: input should be less than 1"),
        ({"split": {"frac_train": 0}}, "split.frac_train = 0: input should be greater than 0"),
        ({"split": {"frac_train": -0.5}}, "split.frac_train = -0.5: input should be greater than 0"),
        (
            {"noise": {"residual_dropout": 0.1}},
            "noise.residual_dropout = 0.1 needs a transformer with two layers or a layer norm, and "
            "this two_token_mlp has no separate MLP output: use noise.dropout, or such a model",
        ),
        (
            {"measures": [{"name": "norms"}]},
            "measures lack 'curves', which events need: add { name = 'curves' }",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "norms"}, {"name": "norms"}]},
            "measures contain 'norms' twice, so its readings would clash: drop one",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "saliency", "component": "head"}]},
            "measures look at component = 'head', which a two_token_mlp lacks: take 'neuron'",
        ),
        (
            {"measures": [{"name": "curves"}, {"name": "deletion", "ks": [2, 1]}]},
            "measures.1: ks = [2, 1] must ascend from 0 (nothing deleted): set ks = [0, 1, 2]",
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
        (
            {"fork": {"of": "0" * 16, "at": {"name": "at_stop", "step": 3}}},
            "fork.at.name = 'at_stop': unknown name; did you mean 'at_step'?",
        ),
        ({"fork": {"of": "0" * 16, "at": {}}}, "fork.at = {}: name is missing; known names: 'at_step'"),
        ({"optimiser": {"name": "AdamW"}}, "unknown name; did you mean 'adamw'?"),
        (
            {"optimiser": {"name": "adamw", "learning_rate": 1}},
            "optimiser.learning_rate = 1: unknown key 'learning_rate'; did you mean 'lr'?",
        ),
        ({"optimiser": {"name": "adamw", "wd": 1}}, "unknown key 'wd'; did you mean 'weight_decay'?"),
        ({"epochs": 3}, "epochs = 3: unknown key 'epochs'; did you mean 'steps'?"),
        (
            {"measures": ["saliency"]},
            "measures.0 = 'saliency': input should be a table: write { name = \"saliency\" }",
        ),
        ({"optimiser": "AdamW"}, 'input should be a table: write { name = "adamw" }'),
        ({"seeds": 3}, "seeds = 3: input should be a table: write { ... } with model, data, noise"),
        (
            {"labels": True},
            "labels = True: input should be 'true', 'shuffled' or 'random'; write \"true\" in quotes",
        ),
        (
            {"interventions": [{"trigger": AtStep(step=3), "action": NoOp(), "temperature": 2.0}]},
            "interventions.0.temperature = 2.0: unknown key 'temperature'; it is a key of the run, but "
            "in TOML everything after a [table] or [[table]] header belongs to that table: move it",
        ),
        ({"threads": 20_000}, "threads = 20000: input should be less than or equal to 256"),
        ({"steps": 10**5000}, "steps = an integer of about 5000 digits does not fit into int32"),
        ({"temperature": 1e-308}, "temperature = 1e-308 does not fit into float32: use 0 if"),
        ({"optimiser": {"lr": 1e308}}, "optimiser: lr = 1e+308 does not fit into float32"),
        (
            {"weights": {"name": "given", "values": [1.0, 1e308]}},
            "weights: values.1 = 1e+308 does not fit into float32",
        ),
        (
            {"checkpoints": {"per_decade": 10**9}, "steps": 10_000},
            "checkpoints.per_decade gives 1698970005 of the run's 10000 steps, but a schedule",
        ),
        (
            {"measures": [{"name": "curves", "schedule": {"every": 1, "until": 2**30}}], "steps": 2**30},
            "measures.0.schedule.every gives 1073741824 of",
        ),
        (
            {"checkpoints": {"windows": [{"start": 0, "stop": 2**30}]}, "steps": 2**30},
            "checkpoints.windows gives 1073741824 of",
        ),
        ({"k" * 5000: 1}, "unknown key 'kkk"),
        ({"a\nb": 1}, "unknown key 'a\\nb'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_spec_is_an_error_of_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny.spec(**fields)
    told = str(caught.value)
    assert message in told
    assert "\n" not in told
    assert len(told) < 400


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
    with pytest.raises(ValueError, match=r"^measures lack 'curves'"):
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


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"steps = {'1' * 5001}", "not TOML: a number has thousands of digits"),
        (f"a = {'[' * 40}{']' * 40}", "tables and lists are nested more than 32 deep"),
        (f"a = {'[' * 9000}{']' * 9000}", "tables and lists are nested more than 32 deep"),
        (f"[{'a.' * 9000}b]", "tables and lists are nested more than 32 deep"),
        ("\x00\x01\x02", "not TOML: "),
    ],
    ids=["digits", "deep", "deeper", "dotted", "binary"],
)
def test_text_that_cannot_be_read_is_an_error_of_one_line(text: str, wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong) as caught:
        RunSpec.from_toml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_byte_order_mark_before_a_spec_is_passed_over() -> None:
    assert RunSpec.from_toml("\ufeffsteps = 7") == RunSpec(steps=7)


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
