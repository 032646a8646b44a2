"""The laws of training, over every kind of task, model, optimiser, batch, noise and action."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tests import tiny
from tests.engine.test_loop import at, bits, facts, observations, snapshots
from undergrowth.engine import train
from undergrowth.engine.facts import Advanced, Branched, Fact, Fired, Forked, Saved
from undergrowth.losses import LossName
from undergrowth.models import AnyModel
from undergrowth.spec import RunSpec
from undergrowth.store.checkpoints import load_snapshot
from undergrowth.store.layout import create
from undergrowth.store.writer import Writer
from undergrowth.training.batches import AnyBatch
from undergrowth.training.interventions import AnyAction, AtStep, Intervention, NoOp
from undergrowth.training.optimisers import AnyOptimiser
from undergrowth.training.state import Snapshot

DEEP = {**tiny.TRANSFORMER.model_dump(), "n_layers": 2, "layer_norm": "pre", "act_fn": "gelu"}
PARITY = {"name": "sparse_parity", "n_bits": 4, "k": 2, "n_examples": 16}
ONE_MEASURE = [{"name": "curves", "schedule": tiny.EVERY_10}]

WAYS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd-momentum-mini": {
        "optimiser": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        "batch": {"name": "mini", "batch_size": 4},
    },
    "adam-with-replacement-by-weight": {
        "optimiser": {"name": "adam", "lr": 0.01, "weight_decay": 0.01},
        "batch": {"name": "with_replacement", "batch_size": 4},
        "weights": {"name": "power_law", "exponent": 1.0, "by": "sampling"},
    },
    "adamw-to-init-blocked-weighted": {
        "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 0.5, "decay_to": "init"},
        "batch": {"name": "blocked", "batch_size": 2, "repeats": 3},
        "weights": {"name": "of_noisy", "weight": 3.0},
        "label_noise": 0.2,
    },
    "adam-mini-kept-update-noise-residual-dropout": {
        "optimiser": {"name": "adam", "lr": 0.01},
        "batch": {"name": "mini", "batch_size": 4, "remainder": "kept"},
        "noise": {"update": 0.5, "residual_dropout": 0.2},
        "model": {**DEEP, "attn_bias": "output", "pos_embed": "scaled", "unembed_bias": True},
    },
    "muon-deep": {"optimiser": {"name": "muon", "lr": 0.01}, "model": DEEP},
    "sign-sgd-single-stablemax-two-token": {
        "optimiser": {"name": "sign_sgd", "lr": 0.01},
        "batch": {"name": "mini", "batch_size": 1},
        "loss": "stablemax",
        "model": tiny.MLP.model_dump(),
    },
    "grokfast-cosine-dropout": {
        "optimiser": {
            "name": "adamw",
            "lr": 0.01,
            "filter": {"name": "grokfast_ema"},
            "annealing": {"name": "cosine", "steps": 20},
        },
        "noise": {"dropout": 0.2},
    },
    "orthogonal-gradient-noise-mse": {
        "optimiser": {"name": "sgd", "lr": 0.1, "filter": {"name": "orthogonal_gradient"}},
        "noise": {"gradient": 0.01},
        "loss": "mse",
        "temperature": 2.0,
    },
    "parity-weight-noise-float32": {
        "task": PARITY,
        "model": {"name": "mlp", "d_mlp": 6},
        "noise": {"weight": 0.05},
        "loss": "cross_entropy_float32",
        "labels": "random",
    },
    "planted": {
        "model": {"name": "planted", "lookups": False, "strips": (5, 5), "spread": 0.1},
        "optimiser": {"name": "sgd", "lr": 0.1},
        "batch": {"name": "mini", "batch_size": 1},
    },
    "toy-heads": {
        "task": {"name": "table", "csv": "x,y,label\n0,0,0\n1,1,1\n2,2,0\n3,3,1\n4,4,0\n"},
        "model": {"name": "toy_heads", "sharing": 0.5, "routed": True, "spread": 0.1},
        "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    },
    "policy-gradient": {
        "task": {"name": "gridworld", "side": 3, "start": "far_corner"},
        "split": {"name": "whole_groups", "frac_train": 0.7},
        "model": {"name": "mlp", "d_mlp": 6},
        "loss": "policy_gradient",
        "temperature": 1.5,
    },
}
COMPONENTS = {"component": "neuron", "choice": "most_salient", "n": 2}
ACTIONS: dict[str, dict[str, Any]] = {
    "scale_learning_rate": {"factor": 2.0, "keep_decay_pull": True},
    "anneal": {"factor": 0.1, "steps": 7},
    "set_weight_decay": {"weight_decay": 0.9},
    "reset_moments": {},
    "scale_gradient": {"factor": 0.0},
    "route_gradient": {"dose": 0.7, "routes": {"name": "random_weights", "group_size": 2}},
    "scale_components": {"components": COMPONENTS, "gradient": 0.1, "share": 0.5, "decay": 3.0},
    "set_batch": {"batch": {"name": "mini", "batch_size": 5}},
    "set_noise": {"gradient": 0.01, "weight": 0.01, "dropout": 0.1},
    "set_temperature": {"temperature": 3.0},
    "set_data": {"keep": 0.5, "labels": "shuffled"},
    "rescale_norm": {"factor": 0.5, "parameters": "*.W_U"},
    "clamp_norm": {"norm": 0.9},
    "kick": {"norm": 0.1, "relative": True},
    "ablate": {"components": COMPONENTS, "baseline": "mean"},
    "freeze": {"components": {"choice": "random", "n": 3}},
    "freeze_parameters": {"parameters": "embed.*"},
}


def made(**fields: Any) -> RunSpec:
    return tiny.spec(measures=ONE_MEASURE, **fields)


def kinds(union: Any) -> set[str]:
    """The names of all that a union of values has."""
    return {kind.model_fields["name"].default for kind in get_args(get_args(union)[0])}


@pytest.mark.parametrize(
    ("field", "union"), [("model", AnyModel), ("optimiser", AnyOptimiser), ("batch", AnyBatch)]
)
def test_the_laws_are_held_by_every_kind_of_model_optimiser_and_batch(field: str, union: Any) -> None:
    assert {getattr(made(**way), field).name for way in WAYS.values()} == kinds(union)


def test_the_laws_are_held_by_every_loss_and_action() -> None:
    assert {made(**way).loss for way in WAYS.values()} == set(get_args(LossName))
    assert {*ACTIONS, "no_op"} == kinds(AnyAction)


def stored(spec: RunSpec, snapshot: Snapshot, folder: Path) -> Snapshot:
    """A snapshot by way of the files of a checkpoint."""
    create(folder)
    writer = Writer(folder, "worker-0")
    writer.write(spec, Saved(snapshot))
    writer.close()
    return load_snapshot(folder, spec, snapshot.step, snapshot.curves)


def after(found: list[Fact], step: int) -> list[object]:
    """What was observed beyond a step."""
    return observations([f for f in found if (f.snapshot if isinstance(f, Saved) else f).step > step])  # type: ignore[union-attr]


def assert_continues(spec: RunSpec, whole: list[Fact], folder: Path) -> None:
    """Taken up from the files of any checkpoint, or forked there bare, a run goes on as it did."""
    at_20 = snapshots(whole)[20]
    assert after(facts(spec, stored(spec, at_20, folder)), 20) == after(whole, 20)
    bare = spec.forked(AtStep(step=20))
    arm = facts(bare, at_20)
    assert arm[0] == Forked(20)
    assert after(arm, 20) == after(whole, 20)
    assert snapshots(arm)[20].forked_at == 20


@pytest.mark.parametrize("way", WAYS)
def test_no_op_resume_and_bare_fork_change_no_bit(way: str, tmp_path: Path) -> None:
    spec = made(**WAYS[way])
    plain = facts(spec)
    no_op = spec.replace(interventions=(Intervention(trigger=AtStep(step=13), action=NoOp()),))
    acted = facts(no_op)
    assert [fact.step for fact in acted if isinstance(fact, Fired)] == [13]
    assert observations(acted) == observations(plain)
    first, last = (bits(snapshots(plain)[step].state.model) for step in (0, 30))
    assert first != last
    assert_continues(spec, plain, tmp_path)


SUBTASKS: dict[str, Any] = {
    "task": {"name": "multitask_parity", "n_tasks": 2, "n_bits": 4, "n_examples": 20},
    "split": {"name": "leaky_random", "frac_train": 0.6},
    "model": {"name": "mlp", "d_mlp": 6, "n_hidden": 1},
}
OTHER_WAYS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("route_gradient", {"dose": 0.7, "deviation": "low_rank"}, {}),
    ("route_gradient", {"routes": {"name": "parts_of_groups", "parts": [1, 3]}}, SUBTASKS),
]
"""Of an action that keeps something else in the state: its name, its fields, the run's."""


@pytest.mark.parametrize(
    ("name", "fields", "way"), [*((name, fields, {}) for name, fields in ACTIONS.items()), *OTHER_WAYS]
)
def test_every_action_changes_what_it_says_and_survives_resume_and_fork(
    name: str, fields: dict[str, Any], way: dict[str, Any], tmp_path: Path
) -> None:
    plain = facts(made(**way))
    spec = made(**way, interventions=[at(12, {"name": name, **fields})])
    acted = facts(spec)
    (fired,) = (fact for fact in acted if isinstance(fact, Fired))
    assert (fired.step, fired.intervention) == (12, 0)
    assert fired.changed
    assert all(was != now for was, now in fired.changed.values())
    assert observations(acted)[:4] == observations(plain)[:4]  # readings and weights at 0 and 10
    assert after(acted, 12) != after(plain, 12)
    assert_continues(spec, acted, tmp_path)


@pytest.mark.parametrize("name", ACTIONS)
def test_an_arm_equals_the_run_that_was_told_beforehand(name: str) -> None:
    """A fork with an action at the fork is the run whose spec had that action at that step."""
    trunk = made()
    told = facts(trunk.replace(interventions=[at(10, {"name": name, **ACTIONS[name]})]))
    action = Intervention.model_validate(
        {"trigger": {"name": "after_fork"}, "action": {"name": name, **ACTIONS[name]}}
    )
    arm = facts(trunk.forked(AtStep(step=10), action), snapshots(facts(trunk))[10])
    assert [fact.step for fact in arm if isinstance(fact, Fired)] == [10]
    assert after(arm, 10) == after(told, 10)


def test_scaling_the_rate_with_the_pull_held_leaves_the_decay_of_every_weight_as_it_was() -> None:
    """With no gradient a weight shrinks by lr x decay a step, whatever the factor."""
    frozen_loss = {"name": "adamw", "lr": 0.01, "weight_decay": 0.5, "warmup_steps": 0}
    for k in (0.1, 3.0, 50.0):
        scaled = at(10, {"name": "scale_learning_rate", "factor": k, "keep_decay_pull": True})
        kept = made(optimiser=frozen_loss, interventions=[scaled])
        (fired,) = (fact for fact in facts(kept) if isinstance(fact, Fired))
        (lr, lr_after), (decay, decay_after) = (
            fired.changed[name] for name in ("learning_rate", "weight_decay")
        )
        assert lr_after == pytest.approx(k * lr, rel=1e-6)
        assert lr_after * decay_after == pytest.approx(lr * decay, rel=1e-6)


def test_a_branch_is_saved_where_others_fork_and_changes_no_bit() -> None:
    spec = made()
    plain = facts(spec)
    found = [fact for _, fact in train([spec], [None], {0: [AtStep(step=7), AtStep(step=20)]})]
    assert [(f.step, f.branch) for f in found if isinstance(f, Branched)] == [(7, 0), (20, 1)]
    assert sorted(snapshots(found)) == [0, 7, 10, 20, 30]
    without = [f for f in found if not (isinstance(f, Saved) and f.snapshot.step == 7)]
    assert observations(without) == observations(plain)


def test_packed_runs_part_ways_where_one_of_them_changes_shape() -> None:
    batches = at(10, {"name": "set_batch", "batch": {"name": "mini", "batch_size": 5}})
    fewer = at(15, {"name": "set_data", "keep": 0.5})
    specs = [made().seeded(0), made(interventions=[batches, fewer]).seeded(1), made().seeded(2)]
    together: list[list[Fact]] = [[] for _ in specs]
    for position, fact in train(specs, [None] * 3):
        together[position].append(fact)
    for spec, found in zip(specs, together, strict=True):
        alone = snapshots(facts(spec))[30].state.model
        mine = snapshots(found)[30].state.model
        for name, array in _arrays(alone).items():
            np.testing.assert_allclose(_arrays(mine)[name], array, rtol=1e-3, atol=1e-5)
        assert [f.step for f in found if isinstance(f, Advanced)][-1] == 30


def _arrays(model: Any) -> dict[str, np.ndarray]:
    from undergrowth.models import state_dict

    return state_dict(model)
