"""Triggers against histories by hand; actions against what they say of themselves."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter

from tests import tiny
from tests.engine.test_loop import at, facts, snapshots
from undergrowth.engine import initial
from undergrowth.engine.facts import Fired
from undergrowth.gating import attribute, baselines, site_of
from undergrowth.models import state_dict
from undergrowth.rng import stream
from undergrowth.spec import RunSpec, SpecError
from undergrowth.training.interventions import (
    AfterFork,
    AfterIntervention,
    AnyAction,
    AtStep,
    History,
    NoOp,
    OnOnset,
    ScaleLearningRate,
    SetWeightDecay,
    WhenCrosses,
)
from undergrowth.training.interventions.actions.components import component_norms
from undergrowth.training.interventions.actions.learning_rate import annealed
from undergrowth.training.interventions.actions.weights import norm
from undergrowth.training.optimisers import SGD, AdamW, hyperparams
from undergrowth.training.state import Moment, Regime, TrainState

ADAMW = AdamW(lr=0.01, weight_decay=0.5)
OPTIMISERS = [ADAMW, SGD(lr=0.1, momentum=0.9, weight_decay=0.5, warmup_steps=0)]
ACTIONS = [NoOp(), ScaleLearningRate(factor=3), SetWeightDecay(weight_decay=2)]
SPEC = tiny.spec()

every_optimiser = pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda o: o.name)


def moment_of(optimiser: AdamW | SGD = ADAMW, step: int = 0) -> Moment:
    spec = tiny.spec(optimiser=optimiser.model_dump())
    model = tiny.mlp()
    opt_state = jax.tree.map(jnp.asarray, optimiser.build().init(cast(optax.Params, model)))
    state = TrainState(model, opt_state, {}).with_knobs(temperature=1.0)
    return Moment(step, state, Regime(spec.data(), spec.batch))


def acted(moment: Moment, name: str, seed: int = 0, **fields: Any) -> Moment:
    action = TypeAdapter(AnyAction).validate_python({"name": name, **fields})
    return action.act(moment, SPEC, stream(seed, "interventions"))


def curve(*values: float) -> list[tuple[int, float]]:
    return [(10 * i, value) for i, value in enumerate(values)]


def test_at_step_fires_at_its_step_alone() -> None:
    trigger = AtStep(step=7)
    assert [step for step in range(20) if trigger.fires(History(step))] == [7]


@pytest.mark.parametrize(
    ("direction", "evaluations", "values", "fires"),
    [
        ("above", 1, (0.1, 0.5), True),
        ("above", 1, (0.1, 0.49), False),
        ("above", 1, (0.9, 0.4), False),
        ("above", 2, (0.1, 0.6), False),
        ("above", 2, (0.5, 0.6), True),
        ("above", 2, (0.6, 0.4, 0.6), False),
        ("above", 3, (0.6, 0.7), False),
        ("below", 1, (0.9, 0.5), True),
        ("below", 1, (0.9, 0.51), False),
        ("below", 2, (0.4, 0.9, 0.4), False),
        ("below", 2, (0.9, 0.4, 0.3), True),
        ("below", 1, (float("nan"),), False),
        ("above", 1, (), False),
    ],
)
def test_when_crosses_needs_the_level_for_so_many_evaluations_in_a_row(
    direction: str, evaluations: int, values: tuple[float, ...], fires: bool
) -> None:
    trigger = WhenCrosses.model_validate(
        {
            "reading": "train_loss",
            "direction": direction,
            "level": 0.5,
            "evaluations": evaluations,
        }
    )
    now = 10 * (len(values) - 1)
    assert trigger.fires(History(now, {"train_loss": curve(*values)})) is fires


def test_when_crosses_fires_only_at_an_evaluation() -> None:
    trigger = WhenCrosses(reading="val_accuracy", level=0.5)
    curves = {"val_accuracy": curve(0.1, 0.9)}
    assert trigger.fires(History(10, curves))
    assert not trigger.fires(History(13, curves))


def test_when_crosses_reads_the_curve_that_it_names() -> None:
    trigger = WhenCrosses(reading="val_accuracy", level=0.5)
    assert not trigger.fires(History(10, {"train_accuracy": curve(0.9, 0.9)}))
    both = {"train_accuracy": curve(1, 1), "val_accuracy": curve(0, 0)}
    assert not trigger.fires(History(10, both))


@pytest.mark.parametrize(
    ("train", "val", "evaluations", "fires"),
    [
        ((0.5, 1.0, 1.0, 1.0), (0.1, 0.2, 0.26, 0.3), 2, True),
        ((0.5, 1.0, 1.0, 1.0), (0.1, 0.2, 0.24, 0.3), 2, False),  # above the margin only once
        ((0.5, 1.0, 1.0, 1.0), (0.1, 0.2, 0.24, 0.3), 1, True),
        ((0.5, 0.9, 0.98, 0.98), (0.1, 0.5, 0.7, 0.9), 1, False),  # not memorised
        ((0.5, 1.0, 1.0, 1.0), (0.0, 0.5, 0.5, 0.5), 1, False),  # its level when memorised counts
    ],
)
def test_onset_by_accuracy(
    train: tuple[float, ...], val: tuple[float, ...], evaluations: int, fires: bool
) -> None:
    trigger = OnOnset(rule="accuracy", margin=0.05, evaluations=evaluations)
    curves = {"train_accuracy": curve(*train), "val_accuracy": curve(*val)}
    assert trigger.fires(History(30, curves)) is fires
    assert not trigger.fires(History(33, curves))


@pytest.mark.parametrize(
    ("loss", "fires"),
    [((9, 2, 4, 3.9), False), ((9, 2, 4, 3.7), True), ((9, 4, 3.9, 3.7), True), ((9, 4, 4, 4), False)],
)
def test_onset_by_loss_is_a_fall_from_its_peak_since_memorised(
    loss: tuple[float, ...], fires: bool
) -> None:
    trigger = OnOnset(rule="loss", margin=0.05, evaluations=1)
    curves = {"train_accuracy": curve(0, 1, 1, 1), "val_loss": curve(*loss)}
    assert trigger.fires(History(30, curves)) is fires


def test_steps_after_another_intervention_are_counted_from_where_it_fired() -> None:
    trigger = AfterIntervention(intervention=1, steps=5)
    assert trigger.due(History(3, fired={0: 1})) is None
    assert trigger.due(History(3, fired={0: 1, 1: 2})) == 7
    assert [s for s in range(10) if trigger.fires(History(s, fired={1: 2}))] == [7]
    delayed = {"trigger": {"name": "after_intervention", "intervention": 0, "steps": 7}}
    first = {"name": "when_crosses", "reading": "train_loss", "direction": "below", "level": 1e9}
    found = facts(
        tiny.spec(
            interventions=[
                {"trigger": {**first, "evaluations": 2}, "action": {"name": "no_op"}},
                {**delayed, "action": {"name": "no_op"}},
            ]
        )
    )
    assert [(f.step, f.intervention) for f in found if isinstance(f, Fired)] == [(10, 0), (17, 1)]


def test_steps_after_the_fork_are_counted_from_the_fork() -> None:
    trigger = AfterFork(steps=4)
    assert trigger.due(History(3)) is None
    assert [s for s in range(20) if trigger.fires(History(s, forked_at=10))] == [14]


@every_optimiser
def test_a_no_op_changes_nothing(optimiser: AdamW | SGD) -> None:
    moment = moment_of(optimiser)
    assert acted(moment, "no_op") is moment


@every_optimiser
def test_scaling_the_learning_rate_scales_it_alone(optimiser: AdamW | SGD) -> None:
    before = moment_of(optimiser)
    after = acted(before, "scale_learning_rate", factor=3)
    expected = {**hyperparams(before.state.opt_state), "learning_rate": 3 * optimiser.lr}
    assert hyperparams(after.state.opt_state) == pytest.approx(expected, rel=1e-6)


@every_optimiser
@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_the_pull_of_the_decay_is_kept_when_asked(optimiser: AdamW | SGD, factor: float) -> None:
    after = acted(moment_of(optimiser), "scale_learning_rate", factor=factor, keep_decay_pull=True)
    found = hyperparams(after.state.opt_state)
    assert found["learning_rate"] == pytest.approx(factor * optimiser.lr)
    pull = found["learning_rate"] * found["weight_decay"]
    assert pull == pytest.approx(optimiser.lr * optimiser.weight_decay)


@every_optimiser
def test_setting_the_weight_decay_sets_it_alone(optimiser: AdamW | SGD) -> None:
    before = moment_of(optimiser)
    after = acted(before, "set_weight_decay", weight_decay=2)
    expected = {**hyperparams(before.state.opt_state), "weight_decay": 2}
    assert hyperparams(after.state.opt_state) == pytest.approx(expected)


@every_optimiser
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_on_the_optimiser_leaves_moments_types_and_the_given_state_alone(
    action: NoOp | ScaleLearningRate | SetWeightDecay, optimiser: AdamW | SGD
) -> None:
    moment = moment_of(optimiser)
    state = moment.state.opt_state
    before = state_dict(state)
    after = action.act(moment, SPEC, stream(0, "interventions")).state.opt_state
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
    for name, array in state_dict(after).items():
        if "hyperparams" not in name:
            assert (array == before[name]).all()
    assert all((array == before[name]).all() for name, array in state_dict(state).items())


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_annealing_leads_the_rate_to_its_factor_and_leaves_it_there(shape: str) -> None:
    knobs = acted(moment_of(step=10), "anneal", factor=0.2, steps=8, shape=shape).state.knobs
    rates = [float(annealed(knobs, jnp.asarray(step))) for step in range(10, 22)]
    assert rates[0] == pytest.approx(1)
    assert rates[4] == pytest.approx(0.6)
    assert rates[8:] == pytest.approx([0.2] * 4)
    straight = 1 - 0.8 * np.arange(9) / 8
    curved = 0.2 + 0.8 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    assert rates[:9] == pytest.approx(straight if shape == "linear" else curved, abs=1e-6)


def test_a_second_annealing_goes_on_from_where_the_first_has_come() -> None:
    first = acted(moment_of(step=0), "anneal", factor=0.5, steps=10, shape="linear")
    second = acted(first.replace(step=5), "anneal", factor=2.0, steps=10, shape="linear")
    assert float(annealed(second.state.knobs, jnp.asarray(5))) == pytest.approx(0.75)
    assert float(annealed(second.state.knobs, jnp.asarray(99))) == pytest.approx(1.5)


def test_an_annealed_step_is_the_plain_step_times_the_factor() -> None:
    sgd = {"name": "sgd", "lr": 0.5, "warmup_steps": 0}
    plain = snapshots(facts(tiny.spec(steps=10, optimiser=sgd)))
    halved = at(0, {"name": "anneal", "factor": 0.0, "steps": 4, "shape": "linear"})
    found = snapshots(facts(tiny.spec(steps=20, optimiser=sgd, interventions=[halved])))
    moved = [
        norm({n: a - b[n] for n, a in state_dict(found[t].state.model).items()})
        for t, b in ((10, state_dict(found[0].state.model)), (20, state_dict(found[10].state.model)))
    ]
    whole = norm(
        {
            n: a - state_dict(plain[0].state.model)[n]
            for n, a in state_dict(plain[10].state.model).items()
        }
    )
    assert 0 < moved[0] < whole  # 1 + 3/4 + 2/4 + 1/4 of a step, then none
    assert moved[1] == 0


def test_a_kick_has_the_norm_it_was_given_and_its_own_direction() -> None:
    moment = moment_of()
    before = state_dict(moment.state.model)
    for fields, expected in (
        ({"norm": 0.3}, 0.3),
        ({"norm": 0.3, "relative": True}, 0.3 * norm(before)),
        ({"norm": 2.0, "parameters": "embed.*"}, 2.0),
    ):
        one, other = (state_dict(acted(moment, "kick", s, **fields).state.model) for s in (1, 2))
        pushes = [{name: after[name] - before[name] for name in before} for after in (one, other)]
        assert norm(pushes[0]) == pytest.approx(expected, rel=1e-5)
        assert norm({n: pushes[0][n] - pushes[1][n] for n in before}) > 0.5 * expected
        if "parameters" in fields:
            assert all((pushes[0][n] == 0).all() for n in before if not n.startswith("embed."))


def test_rescaling_multiplies_the_chosen_weights_alone() -> None:
    moment = moment_of()
    before = state_dict(moment.state.model)
    after = state_dict(acted(moment, "rescale_norm", factor=3, parameters="*.W_U").state.model)
    for name, array in after.items():
        factor = 3 if name.endswith(".W_U") else 1
        np.testing.assert_allclose(array, factor * before[name], rtol=1e-6)


@pytest.mark.parametrize("hold", ["at", "below"])
@pytest.mark.parametrize("share", [0.8, 1.3])
def test_a_clamp_holds_the_norm_of_all_weights(hold: str, share: float) -> None:
    clamp = at(10, {"name": "clamp_norm", "norm": share, "hold": hold})
    found = snapshots(facts(tiny.spec(interventions=[clamp])))
    at_10, at_20, at_30 = (norm(state_dict(found[s].state.model)) for s in (10, 20, 30))
    held = share * at_10
    if hold == "at" or share < 1:
        assert [at_20, at_30] == pytest.approx([held, held], rel=1e-5)
    else:
        assert at_20 < held
        assert at_30 < held


def test_an_ablated_component_is_absent_in_training_and_in_what_is_measured() -> None:
    """Its outgoing weights get no gradient, so without decay they stand still."""
    still = {"name": "sgd", "lr": 0.1, "warmup_steps": 0}
    ablation = at(10, {"name": "ablate", "components": {"indices": [2]}})
    spec = tiny.spec(optimiser=still, interventions=[ablation])
    found = snapshots(facts(spec))
    before, after = (state_dict(found[s].state.model) for s in (10, 30))
    assert (before["unembed.W_U"][2] == after["unembed.W_U"][2]).all()
    assert (before["mlp.W_in"][:, 2] == after["mlp.W_in"][:, 2]).all()
    assert (before["unembed.W_U"] != after["unembed.W_U"]).sum() > 10
    inputs = tiny.pairs()
    cut = state_dict(found[30].state.model)
    cut["unembed.W_U"] = cut["unembed.W_U"].copy()
    cut["unembed.W_U"][2] = 0
    from undergrowth.models import load_state_dict

    expected = load_state_dict(found[30].state.model, cut)(inputs)
    np.testing.assert_allclose(found[30].state.seen()(inputs), expected, atol=1e-6)


def test_an_ablation_to_the_mean_leaves_the_mean_over_the_training_examples_in_its_place() -> None:
    moment = moment_of()
    after = acted(moment, "ablate", components={"indices": [1, 4]}, baseline="mean").state
    (site,) = after.gates
    assert np.asarray(after.gates[site]).tolist() == [1, 0, 1, 1, 0, 1]
    data = moment.regime.data
    means = baselines(moment.state.model, jnp.asarray(data.inputs[data.is_train]), "mean")[site]
    np.testing.assert_allclose(after.baselines[site][jnp.array([1, 4])], means[jnp.array([1, 4])])


def test_frozen_components_stand_still_and_the_others_move() -> None:
    spec = tiny.spec(interventions=[at(10, {"name": "freeze", "components": {"indices": [0, 3]}})])
    found = snapshots(facts(spec))
    model = found[10].state.model
    before, after = (state_dict(found[s].state.model) for s in (10, 30))
    slices = model.slices(model.sites[0])
    for name, array in before.items():
        moved = array != after[name]
        if name in slices:
            by_component = np.moveaxis(moved, slices[name], 0).reshape(6, -1).any(axis=1)
            assert by_component.tolist() == [False, True, True, False, True, True]
        else:
            assert moved.any()


def test_frozen_parameters_stand_still_though_decay_pulls() -> None:
    freeze = at(10, {"name": "freeze_parameters", "parameters": "embed.*"})
    found = snapshots(facts(tiny.spec(interventions=[freeze])))
    before, after = (state_dict(found[s].state.model) for s in (10, 30))
    for name in before:
        assert (before[name] == after[name]).all() == name.startswith("embed.")


@pytest.mark.parametrize("choice", ["largest_norm", "smallest_norm", "most_salient", "least_salient"])
def test_components_are_chosen_by_their_rank(choice: str) -> None:
    moment = moment_of()
    model, data = moment.state.model, moment.regime.data
    site = site_of(model, "neuron")
    if choice.endswith("norm"):
        arrays = state_dict(model)
        rank = [
            np.sqrt(
                sum(
                    np.sum(np.take(arrays[n], c, axis=axis) ** 2)
                    for n, axis in model.slices(site).items()
                )
            )
            for c in range(6)
        ]
        np.testing.assert_allclose(component_norms(model, site), rank, rtol=1e-5)
    else:
        inputs, labels = (jnp.asarray(a[data.is_train]) for a in (data.inputs, data.labels))
        baseline = baselines(model, inputs, "mean")
        scores = attribute(model, inputs, labels, site=site, baseline=baseline)
        rank = np.median(np.abs(np.asarray(scores)), axis=0).tolist()
    order = np.argsort(rank)
    expected = order[-2:] if choice in ("largest_norm", "most_salient") else order[:2]
    after = acted(moment, "ablate", components={"choice": choice, "n": 2}).state
    gates = np.asarray(next(iter(after.gates.values())))
    assert sorted(np.flatnonzero(gates == 0)) == sorted(expected)


def test_random_components_are_as_many_as_asked_and_differ_with_the_stream() -> None:
    chosen = {
        tuple(
            np.asarray(next(iter(acted(moment_of(), "ablate", seed, components=C).state.gates.values())))
        )
        for seed in range(12)
    }
    assert all(sum(gates) == 4 for gates in chosen)
    assert len(chosen) > 3


C = {"choice": "random", "n": 2}


def test_fewer_data_leave_validation_as_it_was_and_smaller_shares_are_nested() -> None:
    moment = moment_of()
    half, third = (acted(moment, "set_data", keep=k).regime.data for k in (0.5, 0.3))
    data = moment.regime.data
    assert (half.n_train, third.n_train) == (8, 5)
    assert (half.is_train <= data.is_train).all()
    assert (third.is_train <= half.is_train).all()
    assert (half.is_val == data.is_val).all()
    assert not (half.is_val & half.is_train).any()


def test_reset_moments_are_those_of_a_fresh_optimiser() -> None:
    found = snapshots(facts(tiny.spec(interventions=[at(29, {"name": "reset_moments"})])))
    fresh = initial(tiny.spec()).state.opt_state
    moment = Moment(29, found[20].state, moment_of().regime)
    reset = state_dict(acted(moment, "reset_moments").state.opt_state)
    for name, array in state_dict(fresh).items():
        if "mu" in name or "nu" in name:
            assert (reset[name] == array).all()


AWAY = {"name": "scale_gradient", "factor": 0.0}
DECAYING = {"name": "adamw", "lr": 0.01, "weight_decay": 0.5, "warmup_steps": 0}


def weights_of(**fields: Any) -> dict[int, dict[str, np.ndarray]]:
    """By step, the weights of a run that has no gradient and no moments from step 10 on."""
    alone = [at(10, AWAY), at(10, {"name": "reset_moments"}), *fields.pop("then", [])]
    found = snapshots(facts(tiny.spec(interventions=alone, **{"optimiser": DECAYING, **fields})))
    return {step: state_dict(found[step].state.model) for step in (10, 20, 30)}


@pytest.mark.parametrize(
    "optimiser", [DECAYING, {**DECAYING, "name": "sgd", "momentum": 0.9}], ids=["adamw", "sgd"]
)
def test_without_gradient_and_decay_no_weight_moves(optimiser: dict[str, Any]) -> None:
    still = {**optimiser, "weight_decay": 0.0}
    found = weights_of(optimiser=still)
    assert all((found[10][name] == found[30][name]).all() for name in found[10])


def test_decay_alone_shrinks_every_weight_by_lr_times_decay_a_step() -> None:
    found = weights_of()
    for name, array in found[10].items():
        np.testing.assert_allclose(found[20][name], array * (1 - 0.01 * 0.5) ** 10, rtol=2e-6)
        np.testing.assert_allclose(found[30][name], array * (1 - 0.01 * 0.5) ** 20, rtol=4e-6)


def test_gradient_noise_alone_is_a_random_walk() -> None:
    """Its steps are as large as they are told, and those of one time know nothing of another's."""
    sgd = {"name": "sgd", "lr": 0.1, "warmup_steps": 0}
    noisy = [at(10, {"name": "set_noise", "gradient": 0.5})]
    found = weights_of(optimiser=sgd, then=noisy)
    early, late = (
        np.concatenate([(found[b][n] - found[a][n]).ravel() for n in found[10]])
        for a, b in ((10, 20), (20, 30))
    )
    for way in (early, late):
        assert way.std() == pytest.approx(0.1 * 0.5 * np.sqrt(10), rel=0.2)
        assert abs(way.mean()) < 4 * way.std() / np.sqrt(len(way))
    assert abs(np.corrcoef(early, late)[0, 1]) < 4 / np.sqrt(len(early))


def test_a_scaled_gradient_makes_a_plain_step_as_many_times_as_long() -> None:
    sgd = {"name": "sgd", "lr": 0.5, "warmup_steps": 0}
    half = [at(0, {"name": "scale_gradient", "factor": f}) for f in (5.0, 0.1)]
    scaled = snapshots(facts(tiny.spec(steps=10, optimiser=sgd, interventions=half)))
    slower = snapshots(facts(tiny.spec(steps=10, optimiser={**sgd, "lr": 0.25})))
    mine, its = (state_dict(found[10].state.model) for found in (scaled, slower))
    for name, array in its.items():
        np.testing.assert_allclose(mine[name], array, rtol=1e-4, atol=1e-6)


def test_the_gradient_that_was_left_in_the_moments_still_moves_the_weights() -> None:
    still = {**DECAYING, "weight_decay": 0.0}
    found = snapshots(facts(tiny.spec(optimiser=still, interventions=[at(10, AWAY)])))
    before, after = (state_dict(found[step].state.model) for step in (10, 20))
    assert any((before[name] != after[name]).any() for name in before)


POSSIBLE = {"trigger": {"name": "at_step", "step": 3}, "action": {"name": "no_op"}}


@pytest.mark.parametrize(
    ("intervention", "says"),
    [
        (
            {"trigger": {"name": "when_crosses", "reading": "val_lss", "level": 1}},
            "interventions.0.trigger.reading = 'val_lss': no measure of this run gives such a number: "
            "use one of train_accuracy, train_loss, val_accuracy, val_loss, weight_norm",
        ),
        (
            {"trigger": {"name": "after_fork"}},
            "interventions.0.trigger.name = 'after_fork': this run is no",
        ),
        (
            {"trigger": {"name": "after_intervention", "intervention": 0, "steps": 1}},
            "interventions.0.trigger.intervention = 0 does not come before",
        ),
        (
            {"trigger": {"name": "at_step", "step": 30}},
            "interventions.0.trigger.step = 30 is past the last",
        ),
        (
            {"action": {"name": "freeze_parameters", "parameters": "head.*"}},
            "interventions.0.action.parameters = 'head.*' matches no parameter of the model: use '*'",
        ),
        (
            {"action": {"name": "ablate", "components": {"indices": [6]}}},
            "interventions.0.action.components name at least 7 neurons, but the model has 6",
        ),
        (
            {"action": {"name": "ablate", "components": {"indices": [0], "layer": 1}}},
            "interventions.0.action.components.layer = 1: the model has 1 layers of neurons",
        ),
        (
            {"action": {"name": "ablate", "components": {"indices": [0], "component": "head"}}},
            "interventions.0.action.components.component = 'head': a two_token_mlp has none",
        ),
        ({"action": {"name": "set_noise"}}, "set_noise sets nothing"),
        ({"action": {"name": "set_data"}}, "set_data sets nothing"),
        (
            {"action": {"name": "scale_learning_rate", "factor": 0}},
            "factor = 0: input should be greater",
        ),
        (
            {"action": {"name": "set_batch", "batch": {"name": "mini", "batch_size": 99}}},
            "interventions.0.action: batch_size = 99 exceeds the 15 training examples",
        ),
        ({"action": {"name": "kick", "norm": 1, "size": 1}}, "unknown key 'size'"),
    ],
)
def test_an_impossible_intervention_is_refused_in_one_line(
    intervention: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        RunSpec.from_dict({**dict(SPEC), "interventions": [{**POSSIBLE, **intervention}]}).data()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
