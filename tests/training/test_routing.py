"""Routed gradients against each example's own gradient, taken one at a time and mixed in float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from tests.engine.test_loop import at, facts, snapshots
from undergrowth.engine.step import slope
from undergrowth.engine.training_side import TrainingSide
from undergrowth.engine.under_way import initial
from undergrowth.losses import LOSSES
from undergrowth.models import state_dict
from undergrowth.rng import stream
from undergrowth.spec import RunSpec
from undergrowth.spec_errors import SpecError
from undergrowth.training.state import Moment, Regime, TrainState

RANDOM = {"name": "random_weights", "group_size": 2}
NEURONS = {"name": "random_components", "group_size": 3}
BY_LABEL = {
    "name": "by_label",
    "routes": [{"labels": [0, 1], "components": [0, 2]}, {"labels": [3], "components": [5]}],
}
PARTS = {"name": "parts_of_groups", "parts": (1, 2, 5)}
SUBTASKS = {
    "task": {"name": "multitask_parity", "n_tasks": 3, "n_bits": 6, "n_examples": 60},
    "split": {"name": "leaky_random", "frac_train": 0.6},
    "model": {"name": "mlp", "d_mlp": 6, "n_hidden": 1},
}
Flat = dict[str, np.ndarray]


def routed(dose: float = 0.6, routes: dict[str, Any] = RANDOM, **fields: Any) -> RunSpec:
    action: dict[str, Any] = {"name": "route_gradient", "dose": dose, "routes": routes}
    action |= {name: fields.pop(name) for name in ("deviation", "rank") if name in fields}
    return tiny.spec(interventions=[at(0, action)], **fields)


def acted(spec: RunSpec) -> tuple[TrainState, TrainingSide]:
    """The state after the action at step 0, and what it trains on."""
    side = TrainingSide.of(spec, Regime(spec.data(), spec.batch))
    moment = Moment(0, initial(spec).state, side.regime)
    action = spec.interventions[0].action
    return action.act(moment, spec, stream(spec.seeds.noise, "interventions")).state, side


def followed(spec: RunSpec) -> tuple[Flat, TrainState]:
    """The gradient that the engine follows at step 0 of a full batch."""
    state, side = acted(spec)
    gradient = slope(state, spec.loss, side.train_set, jnp.asarray(0))[1]
    return float64(state_dict(gradient)), state


def float64(arrays: dict[str, np.ndarray]) -> Flat:
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def one_by_one(spec: RunSpec, state: TrainState) -> tuple[list[Flat], np.ndarray]:
    """The gradient of every training example's loss / n by itself, and where it is in the task."""
    data = spec.data()
    trained = np.flatnonzero(data.is_train)

    @jax.jit
    def gradient(x: jax.Array, y: jax.Array) -> Any:
        return jax.grad(lambda model: LOSSES[spec.loss](model(x[None]), y[None])[0])(state.model)

    found = [gradient(jnp.asarray(data.inputs[i]), jnp.asarray(data.labels[i])) for i in trained]
    share = data.weights[trained] / len(trained)
    return [
        {n: a * w for n, a in float64(state_dict(g)).items()} for g, w in zip(found, share, strict=True)
    ], trained


def flat(arrays: Flat) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def own_and_routed(spec: RunSpec, state: TrainState) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the gradients, and that of their own parts."""
    gradients, places = one_by_one(spec, state)
    group = np.asarray(state.groups["examples"])
    own = {n: np.sum([g[n] for g in gradients], axis=0) for n in gradients[0]}
    kept = {n: np.zeros_like(a) for n, a in own.items()}
    for gradient, place in zip(gradients, places, strict=True):
        for name, array in gradient.items():
            owner = np.asarray(state.owners.get(name, np.full(array.shape, -1)))
            if "parts" in state.groups:
                owner = np.where(owner < 0, -1, owner % np.asarray(state.groups["parts"])[place])
            kept[name] += np.where((owner == group[place]) | (owner == -1), array, 0)
    return flat(own), flat(kept)


WAYS = {
    "weights": {"routes": RANDOM},
    "neurons": {"routes": NEURONS},
    "labels": {"routes": BY_LABEL},
    "an example a group": {"routes": {"name": "random_weights"}, "dose": 1.0},
    "transformer": {"routes": RANDOM, "model": tiny.TRANSFORMER.model_dump()},
    "weighted": {"routes": RANDOM, "weights": {"name": "power_law"}},
    "parts of subtasks": {"routes": PARTS, **SUBTASKS},
    "mse": {"routes": NEURONS, "loss": "mse", "dose": 0.3},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_is_the_mix_of_the_own_and_the_routed_one_at_the_own_length(way: str) -> None:
    spec = routed(**WAYS[way])
    found, state = followed(spec)
    own, kept = own_and_routed(spec, state)
    dose, length = spec.interventions[0].action.dose, float(np.linalg.norm(own))  # type: ignore[union-attr]
    mixed = (1 - dose) * own + dose * kept * length / np.linalg.norm(kept)
    mixed *= length / np.linalg.norm(mixed)
    np.testing.assert_allclose(flat(found), mixed, rtol=2e-4, atol=2e-5 * length)
    assert np.linalg.norm(mixed - own) > 0.05 * length


def test_the_random_control_is_as_far_from_the_gradient_to_another_side_at_every_step() -> None:
    spec = routed(deviation="random")
    state, side = acted(spec)
    own, _ = own_and_routed(spec, state)
    found = [
        flat(float64(state_dict(slope(state, spec.loss, side.train_set, jnp.asarray(k))[1])))
        for k in (0, 1)
    ]
    mixed = flat(followed(routed())[0])
    lengths = [np.linalg.norm(v) for v in (own, mixed, *found)]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)
    cosines = [own @ v / lengths[0] ** 2 for v in (mixed, *found)]
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-4)
    across = [v - own * (own @ v) / lengths[0] ** 2 for v in (mixed, *found)]
    alike = [across[i] @ across[j] / (across[0] @ across[0]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.abs(alike).max() < 0.4  # of 134 numbers: random directions are within 3 / sqrt(134)


def projected(arrays: Flat, state: TrainState) -> Flat:
    """On the columns of each matrix's subspace."""
    found = dict(arrays)
    for name, columns in state.subspaces.items():
        Q = np.asarray(columns, np.float64)
        flat_rows = arrays[name].reshape(len(arrays[name]), -1)
        found[name] = (Q @ (Q.T @ flat_rows)).reshape(arrays[name].shape)
    return found


@pytest.mark.parametrize("model", [tiny.MLP, tiny.TRANSFORMER])
def test_the_low_rank_control_is_as_far_from_the_gradient_towards_its_projection(model: Any) -> None:
    """Same length and cosine as routing's, in the plane of the gradient and its projection."""
    fields = {"model": model.model_dump()}
    spec = routed(deviation="low_rank", **fields)
    state, side = acted(spec)
    plain = tiny.spec(**fields)
    train_set = TrainingSide.of(plain, Regime(plain.data(), plain.batch)).train_set
    gradient = slope(initial(plain).state, plain.loss, train_set, jnp.asarray(0))[1]
    own = float64(state_dict(gradient))
    mixed = flat(followed(routed(**fields))[0])
    toward = flat(projected(own, state))
    own = flat(own)
    length = np.linalg.norm(own)
    for k in (0, 1):  # the subspaces stay
        found = flat(float64(state_dict(slope(state, spec.loss, side.train_set, jnp.asarray(k))[1])))
        assert np.linalg.norm(found) == pytest.approx(length, rel=1e-4)
        assert own @ found == pytest.approx(own @ mixed, rel=1e-4)
        across, aside = (v - own * (own @ v) / length**2 for v in (found, toward))
        assert np.linalg.norm(across) > 0.1 * length
        assert across @ aside == pytest.approx(np.linalg.norm(across) * np.linalg.norm(aside), rel=1e-3)
    for columns in state.subspaces.values():
        Q = np.asarray(columns, np.float64)
        assert Q.shape[1] == min(3, len(Q))
        np.testing.assert_allclose(Q.T @ Q, np.eye(Q.shape[1]), atol=1e-5)
    assert set(state.subspaces) == {n for n, a in state_dict(gradient).items() if a.ndim > 1}


def test_the_subspace_is_drawn_anew_for_each_seed_and_a_later_action_takes_it_away() -> None:
    spec = routed(deviation="low_rank")
    (one, _), (other, _) = acted(spec), acted(spec.seeded(1))
    for name, columns in one.subspaces.items():
        assert not np.allclose(columns, other.subspaces[name])
    later = routed().interventions[0].action
    moment = Moment(3, one, Regime(spec.data(), spec.batch))
    assert not later.act(moment, spec, stream(0, "interventions")).state.subspaces


DOSE_0 = [
    (RANDOM, {}),
    (PARTS, SUBTASKS),
    (RANDOM, {"deviation": "low_rank"}),
]


@pytest.mark.parametrize(("routes", "fields"), DOSE_0)
def test_dose_0_changes_no_bit(routes: dict[str, Any], fields: dict[str, Any]) -> None:
    plain_fields = {name: of for name, of in fields.items() if name != "deviation"}
    specs = tiny.spec(**plain_fields), routed(0.0, routes, **fields)
    plain, none = (snapshots(facts(s))[30].state for s in specs)
    same = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), plain, none)
    assert all(jax.tree.leaves(same))


def test_every_weight_belongs_to_a_group_with_a_gradient_there_and_groups_share_alike() -> None:
    spec = routed(routes={"name": "random_weights"}, model={**tiny.MLP.model_dump(), "d_mlp": 64})
    state, _ = acted(spec)
    gradients, places = one_by_one(spec, state)
    place_of = {int(np.asarray(state.groups["examples"])[place]): k for k, place in enumerate(places)}
    assert sorted(place_of) == list(range(len(places)))
    owned = np.zeros(len(places))
    for name, owner in state.owners.items():
        has = np.array([g[name] != 0 for g in gradients])
        mine = np.vectorize(place_of.__getitem__)(np.asarray(owner))
        taken = np.take_along_axis(has, mine[None], axis=0)[0]
        assert taken[has.any(axis=0)].all()
        if name == "unembed.W_U":
            owned += np.bincount(mine.ravel(), minlength=len(places))
    # 320 weights of W_U among 15 examples, near half of which have a gradient at each
    assert owned.min() > 5
    assert owned.max() < 60


def test_components_of_a_route_learn_from_its_labels_alone() -> None:
    """With SGD the weights of a component move only where an example of its labels is trained on."""
    spec = routed(1.0, BY_LABEL, optimiser={"name": "sgd", "lr": 0.1, "weight_decay": 0.0})
    gradients, places = one_by_one(spec, acted(spec)[0])
    labels = spec.data().labels[places]
    found, state = followed(spec)
    for group, (of, components) in enumerate((((0, 1), (0, 2)), ((3,), (5,)))):
        of_group = [g["mlp.W_in"] for g, y in zip(gradients, labels, strict=True) if y in of]
        expected = np.sum(of_group, axis=0)
        for c in components:
            ours, theirs = found["mlp.W_in"][:, c], expected[:, c]
            np.testing.assert_allclose(
                ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-4
            )
            assert (np.asarray(state.owners["mlp.W_in"])[:, c] == group).all()


def test_a_neuron_learns_from_one_part_of_each_subtask_as_many_as_there_are_parts() -> None:
    """At dose 1 a neuron's weights move along the sum of one part's examples of each subtask."""
    spec = routed(1.0, PARTS, **SUBTASKS)
    found, state = followed(spec)
    gradients, places = one_by_one(spec, state)
    subtask, part = spec.task.groups()[places], np.asarray(state.groups["examples"])[places]
    ratios = []
    for neuron in range(6):
        mine = part == neuron % np.array(PARTS["parts"])[subtask]
        for of, n_parts in enumerate(PARTS["parts"]):
            share = mine[subtask == of].mean()
            assert share == pytest.approx(1 / n_parts, abs=1 / (subtask == of).sum())
        rows = [g["mlp.0.W_in"][:, neuron] for g, own in zip(gradients, mine, strict=True) if own]
        expected = np.sum(rows, axis=0)
        ratios += list(found["mlp.0.W_in"][:, neuron][expected != 0] / expected[expected != 0])
    np.testing.assert_allclose(ratios, ratios[0], rtol=2e-3)
    everybodys = np.sum([g["unembed.b_U"] for g in gradients], axis=0)
    np.testing.assert_allclose(found["unembed.b_U"], ratios[0] * everybodys, rtol=2e-3)


def test_one_part_each_is_the_gradient_as_it_is() -> None:
    spec = routed(1.0, {**PARTS, "parts": (1, 1, 1)}, **SUBTASKS)
    found, state = followed(spec)
    own, _ = own_and_routed(spec, state)
    np.testing.assert_allclose(flat(found), own, rtol=1e-4, atol=1e-6)


def test_in_a_batch_only_its_own_examples_are_summed() -> None:
    batch = {"name": "mini", "batch_size": 4, "remainder": "kept"}
    spec = routed(1.0, batch=batch)
    state, side = acted(spec)
    gradients, places = one_by_one(spec, state)
    batches = side.batches(0, 4)
    assert batches is not None
    group = np.asarray(state.groups["examples"])
    for k in range(4):  # the last one is smaller
        chosen = side.train_set.of(jnp.asarray(batches[k]), has_gaps=True)
        found = float64(state_dict(slope(state, spec.loss, chosen, jnp.asarray(k))[1]))
        of = [int(i) for i in batches[k] if i >= 0]
        for name, array in found.items():
            owner = np.asarray(state.owners[name])
            mine = [np.where(owner == group[places[i]], gradients[i][name], 0) for i in of]
            kept = np.sum(mine, axis=0)
            where = np.abs(kept) > 1e-9
            ratio = array[where] / kept[where]
            np.testing.assert_allclose(ratio, ratio.mean(), rtol=2e-3)
            np.testing.assert_allclose(array[~where], 0, atol=1e-7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"routes": {"name": "random_components"}},
            r"group_size = 1 makes 15 groups of examples and there are 6 neurons.*at least 3",
        ),
        ({"routes": {"name": "random_components", "component": "head"}}, "component = 'head'"),
        ({"routes": {"name": "random_components", "layer": 1, "group_size": 9}}, "layer = 1"),
        (
            {"routes": {**BY_LABEL, "routes": [*BY_LABEL["routes"], BY_LABEL["routes"][1]]}},
            "label 3 is in two routes",
        ),
        (
            {"routes": {**BY_LABEL, "routes": [{"labels": [7], "components": [0]}]}},
            "name label 7, and there are 5 labels",
        ),
        (
            {"routes": {**BY_LABEL, "routes": [{"labels": [1], "components": [6]}]}},
            "name component 6, and there are 6 components",
        ),
        ({"routes": {**BY_LABEL, "routes": [{"labels": [1], "components": []}]}}, "components"),
        ({"dose": 1.5}, "dose"),
        ({"rank": 5}, "rank = 5 is of deviation = 'low_rank', and deviation is 'routed'"),
        ({"rank": 0, "deviation": "low_rank"}, "rank"),
        (
            {"routes": {**PARTS, "parts": (1, 2)}, **SUBTASKS},
            "has 2 numbers, and 3 parities of 2 of 6 bits 3 groups",
        ),
        ({"routes": {**PARTS, "parts": (1, 2, 7)}, **SUBTASKS}, "7 parts, and there are 6 neurons"),
        ({"routes": {**PARTS, "parts": (1, 2, 0)}, **SUBTASKS}, "parts"),
        (
            {
                "routes": {**PARTS, "parts": (1, 1, 30)},
                **SUBTASKS,
                "model": {"name": "mlp", "d_mlp": 40},
            },
            r"deals the \d+ training examples of group 2 into 30 parts",
        ),
        (
            {
                "loss": "policy_gradient",
                "task": {"name": "gridworld", "side": 3},
                "split": {"name": "whole_groups", "frac_train": 0.7},
                "model": {"name": "mlp", "d_mlp": 6},
            },
            "route_gradient",
        ),
    ],
)
def test_routes_that_leave_somebody_nothing_are_refused_in_one_line(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as told:
        routed(**fields).data()
    assert "\n" not in str(told.value)
